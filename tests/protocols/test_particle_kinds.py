"""refine-poses, reconstruct-average and initial-model on particles of tilt series, whose images nobody wrote."""

from pathlib import Path

import numpy as np
import pytest

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("kinds") / "a project")
    made.run("simulate-tomograms", "simulate", size_x=128, size_y=120, size_z=48, pixel_size=10, vesicles=0,
             soluble_proteins=40, snr=2, seed=3, tilt_step=12)  # fmt: skip
    return made


def _molecule(bench, n):
    """Return the simulated molecule in a box of `n` voxels."""
    volume = mrc.read_volume(bench.project.find("simulate")._getExtraPath("soluble.mrc"))
    out = np.zeros((n,) * 3, np.float32)
    low = n // 2 - volume.shape[0] // 2
    start, width = max(low, 0), min(n, volume.shape[0])
    inner = slice(max(-low, 0), max(-low, 0) + width)
    out[start : start + width, start : start + width, start : start + width] = volume[inner, inner, inner]
    return out


def test_coordinates_and_tilt_series_are_refined_without_files(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    average = bench.run("reconstruct-average", "average", subtomograms="simulate.truth", box_size=24)
    volume = mrc.read_volume(average.average.file.get())
    curve = fourier_shell_correlation(volume, _molecule(bench, 24))
    assert curve[2:6].min() > 0.6 and average.average.pixel_size.get() == 10
    run = bench.run("refine-poses", "refined", subtomograms="simulate.truth", tilt_series="simulate.tilt_series",
                    reference="average.average", box_size=24, angular_step=1.8, initial_lowpass=60,
                    max_iterations=2)  # fmt: skip
    refined = run.particle_series
    frame = refined.frame()
    assert len(frame) == average.average.particles.get() and set(frame["half"]) == {1, 2}
    assert frame["file"].isna().all() and "cut from the tilt series" in refined.summary()
    assert refined.pixel_size.get() == 10 and refined.box_size.get() == 24
    # they go on, at another pixel size, from the tilt series that they were found in
    coarse = bench.run("reconstruct-average", "coarse", particle_series="refined.particle_series", pixel_size=15)
    assert coarse.average.box_size.get() == 16 and coarse.average.pixel_size.get() == 15
    assert not list((Path(bench.project.path) / "Runs").glob("*/extra/*.mrcs"))


def test_an_initial_model_is_made_from_tilt_series(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("initial-model", "model", subtomograms="simulate.truth", box_size=24, filter_to=60, iterations=1,
                    batches=2, batch_size=6, offset_range=1)  # fmt: skip
    assert run.average.box_size.get() == 24 and 6 <= len(run.particle_series) <= 12


def test_inputs_that_do_not_fit_are_reported(bench):
    def errors(name, **parameters):
        label = f"bad {len(bench.project.getRuns())}"
        return " ".join(bench.project.find(str(bench.add(name, label, **parameters))).validate())

    assert "at least half that of the images" in errors(
        "reconstruct-average", subtomograms="simulate.truth", box_size=24, pixel_size=3
    )
    assert "Box size must be at least 8 pixels" in errors("initial-model", subtomograms="simulate.truth", box_size=4)
