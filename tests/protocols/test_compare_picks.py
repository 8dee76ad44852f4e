"""compare-picks in a project."""

import pytest

from tests.engine.helpers import SAMPLE, Bench

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A simulated tomogram with its truth, and half of it."""
    made = Bench.simulated(tmp_path_factory, tmp_path_factory.mktemp("compare") / "p", "sim", **SAMPLE)
    made.run("select-subset", "half", items="sim.truth", number=len(made.project.find("sim").truth) // 2)
    return made


def test_precision_and_recall_of_every_set(bench):
    total = len(bench.project.find("sim").truth)
    run = bench.run("compare-picks", "compared", coordinates="half.subset,sim.truth", truth="sim.truth", distance=5)
    reported = run._summary()
    assert any(line.startswith(f"half: {total // 2} of {total} found among {total // 2}") for line in reported)
    assert any("sim:" in line and "precision 1.00, recall 1.00, F1 1.00; 0 Å and 0.0° off" in line for line in reported)
    scores = run.coordinates.frame()["score"]
    assert sorted(set(scores)) == [0.5, 1.0] and (scores == 1).sum() == total // 2
