"""import-tilt-series and select-tilts in a project: every format, what the form says, and what is wrong with files."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose

from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import ReconstructTomogramOptions
from emtomo.compute.tilt.selection import CtfFit, TiltStatistics, suggest_exclusions
from emtomo.io import mrc
from emtomo.objects.exchange import export_output
from emtomo.objects.tilt_images import TiltImages
from tests.conftest import shared
from tests.engine.helpers import Bench
from tests.io.test_tilt_sources import N, mdoc, stack, write

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("tilts") / "a 'project'")


@pytest.fixture(autouse=True)
def in_project(bench):
    import os

    os.chdir(bench.project.path)


def errors(bench, files, **parameters):
    """What validation says, without a run."""
    from emtomo.engine.parameters import protocol_named, set_parameters

    run = bench.project.newProtocol(protocol_named("import-tilt-series"))
    set_parameters(bench.project, run, {"files": str(files), **{k: str(v) for k, v in parameters.items()}}, Path("/"))
    return " ".join(run.validate())


LISTS = {"relion5": "ImportJob/tomograms.star", "relion4": "tomograms.star", "scipion": "tiltseries.sqlite"}


@pytest.mark.parametrize("kind", ["imod", "aretomo", "warp", "relion5", "relion4", "scipion"])
def test_series_of_every_program_give_the_same_places_and_tomogram(kind, bench, tmp_path):
    given = write(kind, tmp_path)
    folder = tmp_path / LISTS.get(kind, "")
    run = bench.run("import-tilt-series", kind, files=folder, pixel_size=2)
    found = run.tilt_series
    assert found.tomogram_ids() == [given.name] and len(found.images(given.name)) == N
    points = np.random.default_rng(0).uniform(-20, 20, (5, 3))
    if kind == "imod":
        given.table["x_tilt"] = 1.5
    assert_allclose(
        found.geometry(given.name).project(points)[..., :2], given.project(points)[..., :2], atol=0.05 * 2.0
    )
    for row in found.images(given.name).itertuples():
        assert Path(row.file).exists() and mrc.read_header(row.file).stored_shape[0] > row.index
    assert (found.frame()["size_x"][0], found.frame()["size_y"][0]) == (24, 20)
    images = np.random.default_rng(0).normal(100, 10, (N, 20, 24)).astype(np.float32)
    if kind == "imod":  # which names no images; what is written of it is read from anywhere
        target = tmp_path / "out" / f"{given.name}.xml"
        target.parent.mkdir()
        export_output(run, "tilt_series", target)
        assert errors(bench, target.parent) == ""
    options = ReconstructTomogramOptions(dose_weights=False)
    made = [
        reconstruct_tomogram(read, geometry, (9, 20, 20), 2.0, options)
        for read, geometry in (
            (TiltImages(found.images(given.name)), found.geometry(given.name)),
            (images.__getitem__, given.geometry()),
        )
    ]
    assert np.abs(made[0] - made[1]).max() < 0.01 * made[1].std()


def test_two_series_with_halves_gain_and_what_the_form_says(bench, tmp_path):
    for name in ("TS_1", "TS 2"):
        images = stack(tmp_path / f"{name}.mrc")
        mdoc(tmp_path / f"{name}.mrc.mdoc")
        stack(tmp_path / f"{name}_odd.mrc")
        stack(tmp_path / f"{name}_even.mrc")
    stack(tmp_path / "alone.mrc")
    (tmp_path / "gain.txt").write_text("no image")
    form = {
        "pixel_size": 2.1,
        "voltage": 200,
        "tilt_axis_angle": -6,
        "dose_per_tilt": 4,
        "dose_before": 1,
        "hand": "-1",
    }
    run = bench.run("import-tilt-series", "two", files=tmp_path, gain=tmp_path / "gain.txt", **form)
    found = run.tilt_series
    table = found.images("TS 2")
    assert found.tomogram_ids() == ["TS 2", "TS_1"] and found.pixel_size.get() == 2.1 and found.voltage.get() == 200
    assert_allclose(table["dose"], [13.0, 5.0, 1.0, 9.0, 17.0])
    assert_allclose(table["tilt_axis_angle"], -6)
    assert mrc.read_header(table["odd_file"][0]).stored_shape == (N, 20, 24)
    assert_allclose(mrc.open_volume(table["file"][2])[table["index"][2]], images[2])
    frame = found.frame()
    assert frame["hand"].tolist() == [-1, -1] and frame["gain_file"][0].endswith("gain.txt")
    reported = " ".join(run._summary())
    for sentence in (
        "say 2 Å a pixel, and the form 2.1",
        "voltage is 300 in the metadata and 200 in the form",
        "tilt axis lies at 84.0°",
        "dose goes up to 12.0",
        "1 file belongs to no series: alone.mrc",
        "2 of 2 tilt series have odd and even images.",
    ):
        assert sentence in reported, sentence


def test_a_list_of_stacks_images_in_tiff_and_angles_in_names(bench, tmp_path):
    for name in ("a", "b"):
        stack(tmp_path / f"{name}.st")
        mdoc(tmp_path / f"{name}.mdoc")
    (tmp_path / "list.txt").write_text("# two\na.st\n\nb.st\n")
    run = bench.run("import-tilt-series", "list", files=tmp_path / "list.txt")
    assert run.tilt_series.tomogram_ids() == ["a", "b"]
    for angle in (-20, 0, 20):
        tifffile.imwrite(tmp_path / f"TS_9_{angle}.tif", np.full((20, 24), 100 + angle, np.int16))
    run = bench.run(
        "import-tilt-series", "names", files=tmp_path, pattern="{TS}_{TA}.tif", pixel_size=3, dose_per_tilt=2,
        order="dose-symmetric",
    )  # fmt: skip
    table = run.tilt_series.images("TS_9")
    assert table["angle"].tolist() == [-20, 0, 20] and table["dose"].tolist() == [4, 0, 2]
    assert [float(mrc.read_volume(f).mean()) for f in table["file"]] == [80, 100, 120]
    (tmp_path / "list.txt").write_text("a.st\nnone.st\n")
    assert "line 2: there is no file none.st" in errors(bench, tmp_path / "list.txt")


def test_bad_series_get_a_sentence(bench, tmp_path):
    stack(tmp_path / "a.mrc")
    mdoc(tmp_path / "a.mrc.mdoc")
    text = (tmp_path / "a.mrc.mdoc").read_text()
    (tmp_path / "a.mrc.mdoc").write_text(text.replace("24 20", "20 24"))
    assert "are x and y swapped" in errors(bench, tmp_path)
    (tmp_path / "a.mrc.mdoc").write_text(text.replace("PixelSpacing = 2.0", "PixelSpacing = 2.2"))
    assert "the metadata say 2.2 Å a pixel, and the headers of the images 2" in errors(bench, tmp_path)
    assert errors(bench, tmp_path, pixel_size=2.2) == ""
    (tmp_path / "a.mrc.mdoc").write_text(text.replace("TiltAngle = 0.000", "TiltAngle = nan"))
    assert "TiltAngle must be a finite number" in errors(bench, tmp_path)
    (tmp_path / "a.mrc.mdoc").write_text(text)
    stack(tmp_path / "b.mrc")
    mdoc(tmp_path / "b.mrc.mdoc")
    (tmp_path / "b.mrc.mdoc").write_text(
        (tmp_path / "b.mrc.mdoc").read_text().replace("Spacing = 2.0", "Spacing = 2.01")
    )
    assert "The pixel size is 2 Å in a and 2.01 Å in b" in errors(bench, tmp_path)  # before any image is read
    assert "there is no such file or folder" in errors(bench, tmp_path / "none")
    (tmp_path / "TS_9.edf").write_text("Setup.DatasetName=TS_9\n")
    assert f"give its folder, {tmp_path}, where .tlt, .xf" in errors(bench, tmp_path / "TS_9.edf")
    (tmp_path / "TS_9.edf").unlink()
    assert "No tilt series in" in errors(bench, tmp_path, format="relion")
    stack(tmp_path / "c_0.0.mrc", 1)
    stack(tmp_path / "c_3.0.mrc", 1, (20, 25))
    assert "25×20 pixels, and c_0.0.mrc has 24×20" in errors(bench, tmp_path, pattern="{TS}_{TA}.mrc", pixel_size=2)


def test_nan_images_and_series_without_dose(bench, tmp_path):
    images = stack(tmp_path / "a.mrc")
    mdoc(tmp_path / "a.mrc.mdoc")
    text = (tmp_path / "a.mrc.mdoc").read_text().replace("ExposureDose = 3.0", "ExposureDose = 0.0")
    (tmp_path / "a.mrc.mdoc").write_text(text)
    run = bench.run("import-tilt-series", "no dose", files=tmp_path)
    assert "no dose is known" in " ".join(run._summary()) and "tilt axis" not in " ".join(run._summary())
    images[3, 1, 1] = np.nan
    mrc.write_volume(tmp_path / "a.mrc", images, 2.0, stack=True)
    assert "image 4 holds NaN" in bench.fails("import-tilt-series", "nan", files=tmp_path)


def test_real_series_with_a_list_of_angles(bench):
    path = shared("tilt_series", "HAADF.mrc")
    run = bench.run("import-tilt-series", "haadf", files=path, pixel_size=33.6)
    table = run.tilt_series.images("HAADF")
    assert len(table) == 77 and table["angle"].min() == -76 and "no dose" in (said := " ".join(run._summary()))
    assert "no angle of the tilt axis is known; it is taken along the images' y" in said
    assert "No tilt series" in errors(bench, shared("tilt_series", "vlp_4_tilts.mrc"))


def test_tilts_are_excluded_when_asked_for_and_suggested_when_out_of_line(bench, tmp_path):
    rng = np.random.default_rng(0)
    scene, n = rng.normal(100, 10, (64, 64)).astype(np.float32), 15
    images = np.stack([scene + rng.normal(0, 5, scene.shape) for _ in range(n)]).astype(np.float32)
    images[4] *= 0.1  # a grid bar
    images[9] = rng.normal(100, 11, scene.shape)  # the stage jumped
    fit = CtfFit(np.where(np.arange(n) == 12, 0.1, 0.8), 30000.0 + 5000 * (np.arange(n) == 2))
    looks = TiltStatistics(np.full(n, 100.0), np.full(n, 10.0), np.full(n, 0.9))
    reasons = suggest_exclusions(looks, np.linspace(-42, 42, n), np.zeros(n, bool), fit)
    assert reasons == {
        2: "defocus in Å 35000, its neighbours' 30000", 12: "score of the CTF fit 0.1, its neighbours' 0.8"
    }  # fmt: skip
    mrc.write_volume(tmp_path / "a.mrc", images, 2.0, stack=True)
    mdoc(tmp_path / "a.mrc.mdoc", np.linspace(-42, 42, n))
    bench.run("import-tilt-series", "select", files=tmp_path)
    run = bench.run("select-tilts", "look", tilt_series="select.tilt_series")
    assert not run.tilt_series.images("a")["excluded"].any()
    reported = " ".join(run._summary())
    assert "tilt 5 at -18.0° is out of line: mean" in reported
    assert "tilt 10 at 12.0° is out of line: correlation" in reported
    assert "2 tilts are suggested to be excluded, and are not" in reported
    listed = run._getExtraPath("suggested.csv")  # as the remark writes it: relative to the project
    assert f"give {listed} as excluded tilts" in reported
    run = bench.run("select-tilts", "take", tilt_series="select.tilt_series", excluded=listed, max_angle=40)
    assert (np.flatnonzero(run.tilt_series.images("a")["excluded"]) + 1).tolist() == [1, 5, 10, 15]
    assert run.tilt_series.geometry("a").excluded.sum() == 4
    run = bench.run("select-tilts", "first", tilt_series="take.tilt_series", first_tilts=3, suggest=False)
    kept = run.tilt_series.images("a")
    assert kept["angle"][~kept["excluded"]].round().tolist() == [-6, 0, 6]
    assert "all 15 tilts would be excluded" in bench.fails(
        "select-tilts",
        "none",
        tilt_series="select.tilt_series",
        max_dose=0,
        max_angle=0.0,
        first_tilts=1,
        excluded=_all(tmp_path, n),
    )
    (tmp_path / "bad.csv").write_text("tomogram_id,tilt\na,16\n")
    message = bench.fails("select-tilts", "bad", tilt_series="select.tilt_series", excluded=tmp_path / "bad.csv")
    assert "line 2: tilt must be from 1 to 15, got '16'" in message


def _all(folder, n):
    (folder / "all.csv").write_text("tomogram_id,tilt\n" + "".join(f"a,{k}\n" for k in range(1, n + 1)))
    return folder / "all.csv"


def test_a_picture_and_the_slices_of_images_in_files_of_their_own(bench, tmp_path):
    from emtomo.gui.core.output_volumes import load_tilts, tilt_tables
    from emtomo.gui.core.shown import load
    from emtomo.viewers.pictures import picture_of_output

    given = write("warp", tmp_path)
    run = bench.run("import-tilt-series", "picture", files=tmp_path, pixel_size=2)
    picture_of_output(run, "tilt_series", tmp_path / "series.png")
    assert (tmp_path / "series.png").read_bytes()[:4] == b"\x89PNG"
    shown = load(bench.project, "picture.tilt_series")
    tilts = load_tilts(shown, given.name)
    assert tilts.data.shape == (N, 20, 24)
    # by angle or in the order of acquisition, whatever the order of the table
    table, images = shown.value.images(given.name), TiltImages(shown.value.images(given.name), folder=shown.path(""))
    for sorted_by, column in (("angle", "angle"), ("acquisition", "acquisition_order")):
        tilts.arrange(sorted_by, aligned=False)
        order = np.argsort(table[column].to_numpy(), kind="stable")
        assert np.array_equal(tilts.slab(0, N), np.stack([images(int(k)) for k in order]))
    captions = tilt_tables(shown)[given.name]
    assert captions[2].startswith("0.0°, 0.0 e/Å² before, defocus 2.9") and len(captions) == N
