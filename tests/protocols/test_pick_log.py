"""pick-log in a project: several tomograms, number, empty results, bad diameters."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.io import mrc
from tests.compute.test_blobs import PIXEL, PLACES, balls
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PARAMETERS = {"tomograms": "import.tomograms", "min_diameter": 130, "max_diameter": 190, "adjust_threshold": 2}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with three dark-particle tomograms of different sizes, one without particles."""
    folder = tmp_path_factory.mktemp("log")
    for name, shape, places in (("a", (64, 96, 100), PLACES), ("b", (63, 95, 101), PLACES), ("c", (40, 60, 60), [])):
        mrc.write_volume(folder / f"{name}.mrc", -balls(shape, places, 16, noise=0.3), PIXEL)
    made = Bench(folder / "a 'project'")
    made.run("import-tomograms", "import", files=folder, pattern="*.mrc", pixel_size=PIXEL)
    return made


def test_balls_of_every_tomogram_are_found(bench):
    run = bench.run("pick-log", "picks", **{**PARAMETERS, "adjust_threshold": 3, "box_size": 24})
    found = run.coordinates
    assert found.box_size.get() == 24 and found.pixel_size.get() == PIXEL
    for name, shape in (("a", (64, 96, 100)), ("b", (63, 95, 101))):
        truth = (PLACES - [n // 2 for n in shape])[:, ::-1] * PIXEL
        distance = cKDTree(found.positions(name)).query(truth)[0]
        assert distance.max() < 7
    assert np.isnan(found.rotations()).all()
    assert set(found.frame()["picker"]) == {"log"}


def test_the_best_of_each_tomogram(bench):
    found = bench.run("pick-log", "best", **PARAMETERS, number_of_particles=2).coordinates
    counts = found.frame()["tomogram_id"].value_counts()
    assert counts["a"] == counts["b"] == 2


def test_nothing_found_is_an_empty_set_and_a_sentence(bench):
    run = bench.run("pick-log", "none", **{**PARAMETERS, "adjust_threshold": 100})
    assert len(run.coordinates) == 0
    assert any("Nothing was found in a, b, c" in line for line in run._summary())


def test_diameters_the_wrong_way_round_are_refused(bench):
    run = bench.project.find(str(bench.add("pick-log", "wrong", **{**PARAMETERS, "min_diameter": 300})))
    assert any("must not be above the maximum" in error for error in run.validate())
    message = bench.fails("pick-log", "too large", **{**PARAMETERS, "max_diameter": 5000})
    assert "do not fit" in message
