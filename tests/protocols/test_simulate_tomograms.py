"""simulate-tomograms in a project: what the metadata say and what is so, lattices, bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.rotations import angle_between
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import positions_of, rotations_of
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
LATTICE = {
    "arrangement": "hexagonal", "vesicles": 1, "vesicle_radius": 300, "soluble_proteins": 0, "size_x": 96,
    "size_y": 100, "size_z": 90, "pixel_size": 8, "tilt_step": 10, "number": 2, "snr": 1,
}  # fmt: skip
ERRORS = {
    "stage_error": 0.5, "shift_error": 12, "image_warp": 5, "volume_warp": 4, "doming": 10, "defocus_error": 1500,
    "rotation_error": 3, "position_error": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("lattice") / "a project")
    made.run("simulate-tomograms", "simulate", **LATTICE, **ERRORS)
    return made


def test_given_and_true_series_share_images_and_differ_in_geometry(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.project.find("simulate")
    for name in ("sim_01", "sim_02"):
        given, true = (s.geometry(name) for s in (run.tilt_series, run.true_tilt_series))
        assert list(run.tilt_series.images(name)["file"]) == list(run.true_tilt_series.images(name)["file"])
        made = run._true_geometry(int(name[-1]) - 1)
        points = positions_of(run.truth.frame(tomogram_id=name))
        assert_allclose(true.project(points), made.project(points), atol=1e-6)
        assert_allclose(true.sections, made.sections, atol=1e-9)
        assert_allclose(true.ctf.defocus_u, made.ctf.defocus_u)
        assert_allclose(given.ctf.defocus_u, 30000)
        assert_allclose(given.shifts, 0)
        off = (true.project(points) - given.project(points))[:, :, :2]
        assert 8 < np.sqrt((off**2).mean()) < 30
    differ = run.true_tilt_series.images("sim_01")["shift_x"] - run.true_tilt_series.images("sim_02")["shift_x"]
    assert np.abs(differ).max() > 1


def test_poses_and_truth_are_the_same_particles(bench):
    run = bench.project.find("simulate")
    given, true = run.coordinates.frame(), run.truth.frame()
    assert len(given) == len(true) > 100 and list(given["tomogram_id"]) == list(true["tomogram_id"])
    assert (positions_of(given) - positions_of(true)).std() == pytest.approx(4, rel=0.1)
    # the length of a normal vector of three components of 3° has the mean 2 √(2 / π) 3°
    assert angle_between(rotations_of(given), rotations_of(true)).mean() == pytest.approx(4.79, rel=0.1)


def test_the_true_geometry_gives_the_better_average(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    ring = mrc.read_volume(bench.project.find("simulate")._getExtraPath("membrane.mrc"))
    curves = {}
    for label, series in (("given", "simulate.tilt_series"), ("true", "simulate.true_tilt_series")):
        bench.run("export-particles", f"export {label}", tilt_series=series, coordinates="simulate.truth", box_size=24,
                  diameter=100, missing_tilts=20)  # fmt: skip
        run = bench.run("reconstruct-average", f"average {label}", subtomograms=f"export {label}.subtomograms",
                        symmetry="C6")  # fmt: skip
        found = mrc.read_volume(run.average.file.get())
        whole = np.zeros((48, 48, 48), np.float32)
        first = 24 - ring.shape[0] // 2
        whole[(slice(first, first + ring.shape[0]),) * 3] = ring
        part = whole[12:36, 12:36, 12:36]
        z, y, x = np.indices(part.shape) - 12
        inside = (x * x + y * y < 5**2) & (np.abs(z) < 7)
        curves[label] = fourier_shell_correlation(found * inside, part * inside)[2:9].mean()
    assert curves["true"] > curves["given"] + 0.1 and curves["true"] > 0.7


def test_defaults_are_in_no_error(bench):
    small = {"size_x": 48, "size_y": 48, "size_z": 32, "vesicles": 0, "soluble_proteins": 1, "tilt_step": 30}
    run = bench.run("simulate-tomograms", "plain", **small)
    assert run.getAttributeValue("true_tilt_series", None) is None and not hasattr(run, "coordinates")
    assert len(run.truth) == 1


def test_the_ctf_of_a_series_with_ice_is_that_of_every_tilt(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    small = {"size_x": 300, "size_y": 340, "size_z": 60, "pixel_size": 4, "vesicles": 0, "soluble_proteins": 3}
    sim = bench.run("simulate-tomograms", "ice", **small, tilt_step=20, structural_noise=0.2, defocus_error=1500)
    ctf = bench.run("estimate-ctf", "ctf of ice", tilt_series="ice.tilt_series", max_defocus=60000)
    true, found = (run.geometry("sim_01").ctf.defocus for run in (sim.true_tilt_series, ctf.tilt_series))
    error = np.abs(found - true)
    assert np.median(error[2:5]) <= 150 and error.max() <= 400 and np.ptp(true) > 2000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"structural_noise": 1.2}, "Structural noise must be <= 1, got 1.2"),
        ({"vesicle_radius": 150}, "has no room at a depth of 100"),
        ({"stage_error": -1}, "Stage angle error must be >= 0 °, got -1"),
        ({"arrangement": "square"}, "Arrangement"),
    ],
)
def test_bad_input_is_reported(bench, values, message):
    try:
        reported = bench.fails("simulate-tomograms", f"bad {message}", **{**LATTICE, **values})
    except EmtomoError as error:
        reported = str(error)
    assert message in reported
