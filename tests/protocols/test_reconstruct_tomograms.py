"""reconstruct-tomograms in a project: against the simulated tomogram, sizes, halves, bad input."""

import numpy as np
import pytest

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("tomograms") / "it's a 'project'")
    made.run("simulate-tomograms", "simulate", size_x=96, size_y=90, size_z=48, pixel_size=12,
             vesicles=1, vesicle_radius=240, seed=3)  # fmt: skip
    return made


def _volume(row, column="file"):
    return mrc.read_volume(row[column])


def test_tomograms_are_those_of_the_simulation(bench, monkeypatch):
    monkeypatch.chdir(bench.project.path)
    options = {"pixel_size": 12, "half_tomograms": True, "ctf": "Phase flip"}  # as the form writes it
    run = bench.run("reconstruct-tomograms", "wbp", tilt_series="simulate.tilt_series", **options)
    out, row = run.tomograms, run.tomograms.frame().iloc[0]
    assert (row["size_z"], row["size_y"], row["size_x"]) == (48, 90, 96) and out.pixel_size.get() == 12
    reference = bench.project.find("simulate").tomograms.frame().iloc[0]
    made, known = _volume(row), _volume(reference)
    pads = [(0, 96 - n) for n in made.shape]
    fsc = fourier_shell_correlation(*(np.pad(v - v.mean(), pads) for v in (made, known)))
    assert fsc[3:20].mean() > 0.7
    halves = [_volume(row, column) for column in ("half1_file", "half2_file")]
    assert np.allclose((halves[0] + halves[1]) / 2, made, atol=1e-3 * made.std())
    coarse = bench.run("reconstruct-tomograms", "coarse", tilt_series="simulate.tilt_series", pixel_size=25,
                       thickness=600, method="sirt", iterations=3)  # fmt: skip
    row = coarse.tomograms.frame().iloc[0]
    assert _volume(row).shape == (24, 43, 46) and not row["half1_file"]


def test_what_cannot_be_reconstructed_is_said(bench):
    cases = [({"pixel_size": 2}, "at least half that of the images"), ({"device": "tpu"}, "device must be")]
    for k, (values, sentence) in enumerate(cases):
        assert sentence in bench.fails(
            "reconstruct-tomograms", f"bad {k}", tilt_series="simulate.tilt_series", **values
        )
