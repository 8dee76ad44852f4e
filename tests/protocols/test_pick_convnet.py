"""pick-convnet in a project: references from sets and files, network kept, applied and trained further."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.io import mrc
from tests.engine.helpers import Bench

pytest.importorskip("torch", reason="PyTorch (extra nn) is not installed: make nn")
pytestmark = pytest.mark.workflow
PIXEL, SHAPE = 10.0, (40, 130, 120)
PLACES = np.array([[z, y, x] for y in (25, 55, 85, 110) for x, z in ((22, 16), (50, 24), (78, 20), (100, 22))], float)
QUICK = {"iterations": 8, "copies": 48, "box_size": 26}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two tomograms with dark balls; references for the first."""
    folder = tmp_path_factory.mktemp("net")
    rng = np.random.default_rng(1)
    off = np.indices((19,) * 3) - 9
    ball = (np.sqrt((off**2).sum(axis=0)) <= 8).astype(np.float32)
    for name in "ab":
        volume = rng.standard_normal(SHAPE, np.float32)
        for z, y, x in PLACES.astype(int):
            volume[z - 9 : z + 10, y - 9 : y + 10, x - 9 : x + 10] -= ball
        mrc.write_volume(folder / f"{name}.mrc", volume, PIXEL)
    good = [(x, y, z, "positive") for z, y, x in PLACES[:8]]
    bad = [(x, y, z, "negative") for x, y, z in ((36, 40, 20), (64, 40, 20), (36, 70, 20), (64, 70, 8), (36, 100, 20))]
    rows = [f"a,{10 * (x - 60)},{10 * (y - 65)},{10 * (z - 20)},{label}" for x, y, z, label in [*good, *bad]]
    (folder / "refs.csv").write_text("tomogram_id,x,y,z,label\n" + "\n".join(rows), encoding="utf8")
    (folder / "few.csv").write_text("tomogram_id,x,y,z,label\n" + "\n".join(rows[:9]), encoding="utf8")
    (folder / "wrong.csv").write_text(
        "tomogram_id,x,y,z,label\n" + rows[0].replace("positive", "good"), encoding="utf8"
    )
    for name, some in (("good", good), ("bad", bad)):
        text = "tomogram_id,x,y,z\n" + "\n".join(f"a,{x},{y},{z}" for x, y, z, _ in some)
        (folder / f"{name}.csv").write_text(text, encoding="utf8")
    made = Bench(folder / "it's a project")
    made.run("import-tomograms", "import", files=folder, pattern="*.mrc", pixel_size=PIXEL)
    made.folder = folder
    return made


@pytest.fixture(scope="module")
def trained(bench):
    return bench.run("pick-convnet", "net", tomograms="import.tomograms", references=bench.folder / "refs.csv", **QUICK)


def _found(run, name):
    truth = (PLACES - [n // 2 for n in SHAPE])[:, ::-1] * PIXEL
    distance, index = cKDTree(truth).query(run.coordinates.positions(name))
    return len(set(index[distance < 60])), len(distance)


def test_particles_of_both_tomograms_are_found(trained):
    for name in "ab":
        true, all_ = _found(trained, name)
        assert 2 * true / (all_ + len(PLACES)) >= 0.85
    assert trained.coordinates.box_size.get() == 26
    losses = np.loadtxt(trained._getExtraPath("losses.csv"), delimiter=",", skiprows=1)
    assert losses.shape == (8, 2) and losses[-1, 1] < losses[0, 1]
    assert any("The loss fell" in line for line in trained._summary())


def test_a_kept_network_is_applied_and_trained_further(bench, trained):
    path = Path(bench.project.path) / trained._getExtraPath("network.safetensors")
    applied = bench.run(
        "pick-convnet", "applied", tomograms="import.tomograms", network=path, keep_answers="yes", box_size=26
    )
    np.testing.assert_allclose(applied.coordinates.positions("a"), trained.coordinates.positions("a"), atol=1e-3)
    assert mrc.read_volume(applied._getExtraPath("b_answers.mrc")).max() > 0.4
    for name in ("good", "bad"):
        bench.run("import-coordinates", name, tomograms="import.tomograms", files=bench.folder / f"{name}.csv")
    more = bench.run(
        "pick-convnet",
        "more",
        tomograms="import.tomograms",
        coordinates="good.coordinates",
        negatives="bad.coordinates",
        network=path,
        **{**QUICK, "iterations": 2},
        number_of_particles=3,
    )
    assert more.coordinates.frame()["tomogram_id"].value_counts().tolist() == [3, 3]


def test_bad_input_is_reported(bench):
    def errors(label, **parameters):
        run = bench.project.find(str(bench.add("pick-convnet", label, tomograms="import.tomograms", **parameters)))
        return " ".join(run.validate())

    assert "at least 5 positive and 5 negative references, it has 8 and 1" in errors(
        "few", references=bench.folder / "few.csv"
    )
    assert "label must be positive or negative; got good" in errors("wrong", references=bench.folder / "wrong.csv")
    assert "Give references, or a network" in errors("none")
    assert "not a network" in errors("file", network=bench.folder / "refs.csv")
    text = (bench.folder / "refs.csv").read_text(encoding="utf8")
    (bench.folder / "far.csv").write_text(f"{text}\na,99999,0,0,positive\n", encoding="utf8")
    far = {**QUICK, "references": bench.folder / "far.csv"}
    assert "1 reference lies outside" in bench.fails("pick-convnet", "far", tomograms="import.tomograms", **far)
    message = bench.fails(
        "pick-convnet",
        "large",
        tomograms="import.tomograms",
        references=bench.folder / "refs.csv",
        **{**QUICK, "box_size": 200},
    )
    assert "does not fit" in message


def test_another_threshold_needs_no_network(bench, trained):
    """The kept maxima above a threshold are what the network itself gives with it."""
    path = Path(bench.project.path) / trained._getExtraPath("network.safetensors")
    high = float(trained.coordinates.frame()["score"].median())
    again = bench.run("pick-again", "high", coordinates="net.coordinates", threshold=high).coordinates
    direct = bench.run(
        "pick-convnet", "high net", tomograms="import.tomograms", network=path, threshold=high, box_size=26
    ).coordinates
    assert 0 < len(again) == len(direct) < len(trained.coordinates)
    np.testing.assert_allclose(again.positions(), direct.positions(), atol=1e-3)
    assert again.box_size.get() == 26
    low = bench.run("pick-again", "low", coordinates="net.coordinates", threshold=0.2).coordinates
    assert len(low) >= len(trained.coordinates)
    missing = bench.project.find(str(bench.add("pick-again", "no threshold", coordinates="net.coordinates")))
    assert any("threshold must be given" in error for error in missing.validate())
    message = bench.fails("pick-again", "faint", coordinates="net.coordinates", threshold=0.05)
    assert "Maxima of the network's answer below 0.1 were not kept" in message
