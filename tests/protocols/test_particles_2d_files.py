"""import-particles and export-particles-2d: RELION's files there and back, and RELION reading what is written."""

import shutil
import subprocess

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.rotations import angle_between
from emtomo.io import mrc, star
from emtomo.io.particles_2d import read_particles_2d
from emtomo.objects import rotations_of
from tests.conftest import shared
from tests.engine.helpers import Bench

SMALL = {"size_x": 200, "size_y": 180, "pixel_size": 6, "per_micrograph": 6, "number": 3, "snr": 3, "seed": 4}
OPTICS = (
    "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnMicrographPixelSize #3\n_rlnVoltage #4\n"
    "_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n_rlnImagePixelSize #7\n_rlnImageSize #8\n"
    "_rlnImageDimensionality #9\ng1 1 1.5 200.0 1.4 0.08 3.0 8 2\ng2 2 1.5 300.0 1.4 0.08 3.0 8 2\n\n"
)
ROWS = (
    "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnImageName #3\n_rlnMicrographName #4\n"
    "_rlnOpticsGroup #5\n_rlnDefocusU #6\n_rlnDefocusV #7\n_rlnDefocusAngle #8\n_rlnAngleRot #9\n_rlnAngleTilt #10\n"
    "_rlnAnglePsi #11\n_rlnOriginXAngst #12\n_rlnOriginYAngst #13\n_rlnClassNumber #14\n_rlnRandomSubset #15\n"
    '10.5 20 000002@s.mrcs "Movies/a b.mrc" 1 9000 8000 30 0 0 40 1.5 -3 4 1\n'
    '30 40 000001@s.mrcs "Movies/a b.mrc" 1 9000 8000 30 0 0 -50 0 0 2 2\n\n'
)


@pytest.fixture
def folder(tmp_path):
    mrc.write_volume(tmp_path / "s.mrcs", np.arange(2 * 64.0).reshape(2, 8, 8), 3.0, stack=True)
    return tmp_path


def imported(folder, text, **given):
    (folder / "p.star").write_text(text)
    bench = Bench(folder / "p")
    return bench.run("import-particles", "import", files=folder / "p.star", **given)


def refused(folder, text, **given):
    (folder / "p.star").write_text(text)
    bench = Bench(folder / "p")
    i = bench.add("import-particles", "import", files=folder / "p.star", **given)
    errors = bench.project.getProtocol(i).validate()
    assert len(errors) == 1, errors
    return errors[0]


def test_relion_31_of_a_classification(folder):
    run = imported(folder, OPTICS + ROWS)
    found, frame = run.particles, run.particles.frame()
    assert frame["micrograph_id"].tolist() == ["a b"] * 2 and frame["index"].tolist() == [1, 0]
    assert_allclose(frame[["x", "y"]], [[15.75, 30], [45, 60]])
    assert_allclose(frame[["shift_x", "shift_y"]], [[-1.5, 3], [0, 0]])
    assert_allclose(frame["psi"], [-40, 50])  # no rotation in space: rot and tilt are zero
    assert np.isnan(frame["r11"]).all()
    assert frame["class_number"].tolist() == [4, 2] and frame["half"].tolist() == [1, 2]
    assert (found.pixel_size.get(), found.box_size.get(), found.voltage.get()) == (3.0, 8, 200.0)
    assert found.white.get() and frame["particle_id"].tolist() == [1, 2]


def test_relion_30_in_pixels(folder):
    text = (
        "data_\n\nloop_\n_rlnImageName #1\n_rlnMicrographName #2\n_rlnAngleRot #3\n_rlnAngleTilt #4\n_rlnAnglePsi #5\n"
        "_rlnOriginXAngst #6\n_rlnOriginY #7\n_rlnMagnification #8\n_rlnDetectorPixelSize #9\n_rlnVoltage #10\n"
        "1@s.mrcs m.mrc 10 20 30 2.5 -2 10000 2.5 300\n2@s.mrcs m.mrc 0 0 0 0 0 10000 2.5 300\n\n"
    )
    run = imported(folder, text)
    frame = run.particles.frame()
    assert run.particles.pixel_size.get() == pytest.approx(2.5)
    said = " ".join(run.summary())
    assert "Headers of the particles say another pixel size than the set's 2.5 Å" in said and "s.mrcs 3 Å" in said
    assert_allclose(frame[["shift_x", "shift_y"]], [[-2.5, 5], [0, 0]])
    assert np.isnan(frame["x"]).all() and np.isfinite(rotations_of(frame)).all()
    assert "has no CTF" in " ".join(run._remarks())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (OPTICS + ROWS.replace("000001@s", "000003@s"), "image 3 of"),
        (OPTICS + ROWS.replace("000001@s", "0@s"), "must be number@stack, numbers from 1"),
        (OPTICS + ROWS.replace("@s.mrcs", "@gone.mrcs"), "the file gone.mrcs is missing"),
        (OPTICS + ROWS.replace("30 40 000001@s.mrcs \"Movies/a b.mrc\" 1", "30 40 000001@s.mrcs \"Movies/a b.mrc\" 2"),
         "several values of rlnVoltage (200, 300)"),
        (OPTICS.replace(" 8 2\n", " 8 3\n") + ROWS, "3D boxes; take import-subtomograms"),
        (OPTICS + ROWS.replace("9000", "inf", 1), "rlnDefocusU must be a finite number"),
        ("data_\n\nloop_\n_rlnMicrographName #1\na\n", "no block has rlnImageName"),
        ("data_\n\nloop_\n_rlnImageName #1\n1@s.mrcs\n", "does not say the pixel size of the images"),
    ],
)  # fmt: skip
def test_wrong_files_are_one_sentence(folder, text, sentence):
    assert sentence in refused(folder, text)


def test_one_optics_group_alone(folder):
    text = OPTICS + ROWS.replace('30 40 000001@s.mrcs "Movies/a b.mrc" 1', '30 40 000001@s.mrcs "Movies/a b.mrc" 2')
    run = imported(folder, text, optics_group=2)
    assert len(run.particles.frame()) == 1 and run.particles.voltage.get() == 300.0


def test_real_particles_of_the_relion_tutorial():
    """2,374 β-galactosidase particles, extracted by RELION 5."""
    path = shared("bgal", "relion_bgal_particles.star")
    table = read_particles_2d(path)
    assert len(table.frame) == 2374 and table.box_size == 64 and table.pixel_size == 3.54
    assert table.micrograph_pixel_size is None
    assert table.optics == {"voltage": 200.0, "cs": 1.4, "amplitude_contrast": 0.1}
    assert table.frame["micrograph_id"].nunique() == 10
    assert table.frame["defocus_u"].between(8000, 12000).all()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("files") / "p")
    made.run("simulate-micrographs", "sim", **SMALL)
    return made


@pytest.mark.parametrize("one_stack", ["yes", "no"])
def test_there_and_back(bench, tmp_path, one_stack):
    source = bench.run(
        "export-particles-2d",
        f"out {one_stack}",
        particles="sim.particles",
        file=tmp_path / "q.star",
        one_stack=one_stack,
    ).input_particles.get()
    back = bench.run("import-particles", f"back {one_stack}", files=tmp_path / "q.star").particles
    a, b = source.frame(), back.frame()
    for name in ("x", "y", "shift_x", "shift_y", "defocus_u", "defocus_v", "defocus_angle"):
        assert_allclose(a[name], b[name], atol=1e-4, err_msg=name)
    assert a["micrograph_id"].tolist() == b["micrograph_id"].tolist()
    assert angle_between(rotations_of(a), rotations_of(b)).max() < 1e-3
    first, again = (mrc.open_volume(f["file"].iloc[8])[f["index"].iloc[8]] for f in (a, b))
    assert_allclose(first, again)
    assert back.summary() == source.summary()


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_relion_reconstructs_what_is_exported(bench, tmp_path):
    """RELION 3.1.3 finds stack, poses, shifts and CTF: its map is the one that was simulated."""
    bench.run("export-particles-2d", "relion", particles="sim.particles", file=tmp_path / "q.star")
    command = ["relion_reconstruct", "--i", "q.star", "--o", "map.mrc", "--ctf", "--sym", "D7", "--angpix", "6"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    shown = subprocess.run(
        ["relion_image_handler", "--i", "q.mrcs", "--stats"], cwd=tmp_path, capture_output=True, text=True, check=False
    ).stdout
    assert "18" in shown
    theirs = mrc.read_volume(tmp_path / "map.mrc")
    truth = mrc.read_volume(bench.project.find("sim").volume.file.get())
    n = min(len(theirs), len(truth))
    cut = [v[tuple(slice(len(v) // 2 - n // 2, len(v) // 2 - n // 2 + n) for _ in range(3))] for v in (theirs, truth)]
    assert np.corrcoef(cut[0].ravel(), cut[1].ravel())[0, 1] > 0.7


def test_class_averages_are_written(bench, tmp_path):
    from emtomo.io.particles_2d_write import write_classes_2d

    frame = bench.project.find("sim").particles.frame().iloc[:2].assign(share=[0.6, 0.4], resolution=[8.0, 9.0])
    write_classes_2d(tmp_path / "c.star", frame)
    table = star.read_blocks(tmp_path / "c.star")[""]
    assert table["rlnClassDistribution"].tolist() == [0.6, 0.4]
    assert table["rlnReferenceImage"].iloc[1].startswith("000002@")


def test_every_set_is_exported_and_read_again(bench, tmp_path):
    """emtomo export: STAR files that the imports read, and tables."""
    from emtomo.io.micrographs import read_micrographs
    from emtomo.objects.exchange import export_output

    run = bench.project.find("sim")
    for name in ("micrographs", "truth", "particles"):
        export_output(run, name, tmp_path / f"{name}.star")
        assert len((tmp_path / f"{name}.star").read_text()) > 100
        export_output(run, name, tmp_path / f"{name}.csv")
    table = read_micrographs(tmp_path / "micrographs.star")
    assert_allclose(table.frame["defocus_u"], run.micrographs.frame()["defocus_u"])
    assert table.pixel_size == 6
    back = read_particles_2d(tmp_path / "particles.star")
    assert_allclose(back.frame["coordinate_x"] * 6, run.particles.frame()["x"], atol=1e-4)
    picks = star.read_blocks(tmp_path / "truth.star")[""]
    assert_allclose(picks[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float) * 6, run.truth.positions(), atol=1e-4)
    with pytest.raises(Exception, match=r"written as \.star or \.csv"):
        export_output(run, "truth", tmp_path / "x.tbl")
