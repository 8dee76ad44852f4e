"""import-micrographs: lists of RELION 3.0 to 5, patterns, CTF of CTFFIND and Gctf, and what is refused."""

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose

from emtomo.errors import FormatError
from emtomo.io import mrc
from emtomo.io.micrographs import read_ctf, read_micrographs
from tests.conftest import shared
from tests.engine.helpers import Bench

NAMES = ("mic one", "b.02")
OPTICS = (
    "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnMicrographOriginalPixelSize #3\n"
    "_rlnVoltage #4\n_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n_rlnMicrographPixelSize #7\n"
    "g1 1 0.885 200.0 1.4 0.08 1.77\n\n"
)
RELION31 = OPTICS + (
    "data_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n_rlnDefocusU #3\n_rlnDefocusV #4\n"
    "_rlnDefocusAngle #5\n_rlnPhaseShift #6\n_rlnCtfFigureOfMerit #7\n_rlnCtfMaxResolution #8\n"
    '"Micrographs/mic one.mrc" 1 12000.5 11000.25 33.5 90.0 0.2 4.5\nMicrographs/b.02.mrc 1 9000 8000 -20 0 0.1 6\n\n'
)
RELION30 = (
    "data_\n\nloop_\n_rlnMicrographName #1\n_rlnDefocusU #2\n_rlnDefocusV #3\n_rlnDefocusAngle #4\n_rlnVoltage #5\n"
    "_rlnSphericalAberration #6\n_rlnAmplitudeContrast #7\n_rlnMagnification #8\n_rlnDetectorPixelSize #9\n"
    "_rlnFinalResolution #10\n"
    '"Micrographs/mic one.mrc" 12000.5 11000.25 33.5 200 1.4 0.08 10000 1.77 4.5\n'
    "Micrographs/b.02.mrc 9000 8000 -20 200 1.4 0.08 10000 1.77 6\n\n"
)
CTFFIND = (
    "# Output from CTFFind version 4.1.8\n# Columns: #1 - micrograph number; ...\n"
    "1.000000 {u} {v} {angle} 1.570796 0.2 4.5\n"
)


@pytest.fixture
def folder(tmp_path):
    """Two micrographs of different sizes, with a pixel size in their headers."""
    (tmp_path / "data" / "Micrographs").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name, shape in zip(NAMES, ((1, 40, 50), (1, 33, 41)), strict=True):
        mrc.write_volume(tmp_path / "data" / "Micrographs" / f"{name}.mrc", rng.normal(size=shape), 1.77)
    return tmp_path / "data"


def imported(folder, **given):
    bench = Bench(folder.parent / "p")
    run = bench.run("import-micrographs", "import", **given)
    return run.micrographs, run


def refused(folder, **given):
    bench = Bench(folder.parent / "p")
    i = bench.add("import-micrographs", "import", **given)
    errors = bench.project.getProtocol(i).validate()
    assert len(errors) == 1, errors
    return errors[0]


@pytest.mark.parametrize(("text", "score"), [(RELION31, 0.2), (RELION30, np.nan)])
def test_lists_of_relion(folder, text, score):
    (folder / "micrographs_ctf.star").write_text(text)
    found, run = imported(folder, files=folder / "micrographs_ctf.star")
    frame = found.frame()
    assert frame["micrograph_id"].tolist() == list(NAMES)
    assert found.pixel_size.get() == pytest.approx(1.77)
    assert (found.voltage.get(), found.cs.get(), found.amplitude_contrast.get()) == (200.0, 1.4, 0.08)
    assert_allclose(frame[["defocus_u", "defocus_v", "defocus_angle"]], [[12000.5, 11000.25, 33.5], [9000, 8000, -20]])
    assert_allclose(frame["max_resolution"], [4.5, 6])
    assert_allclose(frame["ctf_score"].iloc[0], score)
    assert_allclose(frame["phase_shift"], [90 if np.isfinite(score) else 0, 0])
    assert frame[["size_x", "size_y"]].to_numpy().tolist() == [[50, 40], [41, 33]]
    assert mrc.open_volume(frame["file"].iloc[0]).shape == (1, 40, 50)
    assert not run._remarks()


TWO_GROUPS = RELION31.replace(
    "g1 1 0.885 200.0 1.4 0.08 1.77\n", "g1 1 0.885 200 1.4 0.08 1.77\ng2 2 1 300 2.7 0.1 2\n"
)
TWO_GROUPS = TWO_GROUPS.replace("Micrographs/b.02.mrc 1", "Micrographs/b.02.mrc 2")


def test_one_optics_group_of_a_list(folder):
    path = folder / "m.star"
    path.write_text(TWO_GROUPS)
    with pytest.raises(FormatError, match="several values of pixel size .1.77, 2 Å.; import each optics group alone"):
        read_micrographs(path)
    with pytest.raises(FormatError, match="no micrograph of optics group 3 in it; groups in use: 1, 2"):
        read_micrographs(path, 3)
    found, _ = imported(folder, files=path, optics_group=2)
    assert found.frame()["micrograph_id"].tolist() == ["b.02"] and found.frame()["defocus_u"].tolist() == [9000]
    assert (found.pixel_size.get(), found.voltage.get()) == (2.0, 300.0)
    path.write_text(TWO_GROUPS.replace("Micrographs/b.02.mrc", "gone.mrc"))
    with pytest.raises(FormatError, match="line 26: the file gone.mrc is missing"):
        read_micrographs(path, 2)


def test_a_pattern_has_no_optics_groups(folder):
    assert "only a STAR file has optics groups" in refused(folder, files=folder / "Micrographs", optics_group=2)


def test_a_pattern_and_ctffind(folder):
    for name, u in zip(NAMES, (12000, 9000), strict=True):
        (folder / f"{name}_ctffind4.txt").write_text(CTFFIND.format(u=u, v=u - 500, angle=12))
    found, _ = imported(folder, files=folder / "Micrographs", pattern="*.mrc", ctf=folder)
    frame = found.frame()
    assert frame["micrograph_id"].tolist() == sorted(NAMES)
    assert_allclose(frame["defocus_u"], [9000, 12000])
    assert_allclose(frame["phase_shift"], 90, atol=1e-3)
    assert_allclose(frame["ctf_score"], 0.2)
    assert (found.voltage.get(), found.pixel_size.get()) == (300.0, pytest.approx(1.77))


def test_gctf_of_one_of_them(folder):
    (folder / "gctf.star").write_text(RELION30.split('"Micrographs')[0] + "b.02.mrc 9000 8000 -20 200 1.4 0.08 1 1 6\n")
    found, run = imported(folder, files=folder / "Micrographs", ctf=folder / "gctf.star")
    assert np.isfinite(found.frame()["defocus_u"]).tolist() == [True, False]
    assert "The CTF of 1 micrograph is not known (mic one)" in " ".join(run._remarks())


def test_a_pixel_size_that_differs_is_said(folder):
    (folder / "m.star").write_text(RELION31)
    found, run = imported(folder, files=folder / "m.star", pixel_size=2.0, voltage=300)
    assert found.pixel_size.get() == 2.0 and found.voltage.get() == 300.0
    said = " ".join(run._remarks())
    assert "The STAR file says 1.77 Å a pixel; 2 Å is taken" in said and "headers of 2 micrographs" in said
    assert "The STAR file says voltage 200; 300 is taken" in said


def test_tiff_is_converted(folder):
    import tifffile

    image = np.random.default_rng(0).normal(size=(30, 44)).astype(np.float32)
    tifffile.imwrite(folder / "t.tif", image)
    found, _ = imported(folder, files=folder, pattern="*.tif", pixel_size=1.5)
    data = mrc.open_volume(found.frame()["file"].iloc[0])
    assert data.shape == (1, 30, 44) and data.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data_movies\n\nloop_\n_rlnMicrographMovieName #1\na.tif\n", "lists movies; align their frames first"),
        (RELION31.replace("Micrographs/b.02.mrc", "Micrographs/gone.mrc"), "line 25: the file Micrographs/gone.mrc is"),
        (RELION31.replace("Micrographs/b.02.mrc", '"Other/mic one.mrc"'), "two micrographs have the id 'mic one'"),
        (RELION31.replace("9000", "nan"), "rlnDefocusU must be a finite number"),
        (RELION31.replace("Micrographs/b.02.mrc 1", "Micrographs/b.02.mrc 2"), "optics group 2 is not in the table"),
        ("data_x\n\nloop_\n_a #1\n1\n", "lists no micrographs"),
    ],
)
def test_wrong_lists_are_one_sentence(folder, text, sentence):
    (folder / "m.star").write_text(text)
    assert sentence in refused(folder, files=folder / "m.star")


def test_movies_duplicates_and_nothing_are_refused(folder):
    mrc.write_volume(folder / "movie.mrcs", np.zeros((5, 8, 8)), 1.0, stack=True)
    assert "5 images in one file: a movie" in refused(folder, files=folder / "movie.mrcs")


def test_two_files_of_one_name_are_refused(folder):
    mrc.write_volume(folder / "Micrographs" / "b.02.rec", np.zeros((1, 8, 8)), 1.77)
    said = refused(folder, files=folder / "Micrographs", pattern="*")
    assert "Two files have the micrograph id 'b.02'" in said and "b.02.rec" in said


def test_headers_that_disagree_need_a_pixel_size(folder):
    mrc.write_volume(folder / "Micrographs" / "c.mrc", np.zeros((1, 8, 8)), 2.0)
    assert "do not agree on a pixel size" in refused(folder, files=folder / "Micrographs")
    bare = folder / "Micrographs" / "one.tif"
    tifffile.imwrite(bare, np.zeros((8, 8), np.uint8))
    assert "one: the header does not say the pixel size" in refused(folder / "Micrographs", files=bare)


def test_nan_fails_with_the_file(folder):
    mrc.write_volume(folder / "Micrographs" / "c.mrc", np.full((1, 8, 8), np.nan), 1.77)
    bench = Bench(folder.parent / "p")
    i = bench.add("import-micrographs", "import", files=folder / "Micrographs")
    assert bench.go(i)[i] == "failed"
    assert "c.mrc: holds NaN" in bench.project.getProtocol(i).getErrorMessage()


def test_ctf_of_other_micrographs_is_refused(folder):
    (folder / "other.txt").write_text(CTFFIND.format(u=1, v=1, angle=1))
    assert "of none of the micrographs" in refused(folder, files=folder / "Micrographs", ctf=folder / "other.txt")


def test_a_series_of_ctf_is_none_of_a_micrograph():
    with pytest.raises(FormatError, match="holds the CTF of 60 images"):
        read_ctf(shared("formats", "ctf", "017_ctffind4.txt"))


def test_the_apoferritin_list():
    """19 real micrographs, RELION 3.1."""
    table = read_micrographs(shared("micrographs", "apoferritin", "micrographs_ctf.star"))
    assert len(table.frame) == 19 and table.pixel_size == 3.0
    assert table.optics == {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.07}
    assert (table.frame["defocus_u"].min(), table.frame["defocus_u"].max()) == (15600.0, 24950.0)
