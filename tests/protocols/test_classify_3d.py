"""classify-3d in a project: particles with class numbers, maps, picture, bad input."""

import numpy as np
import pandas as pd
import pytest

from emtomo.io import mrc
from emtomo.io.particles_star import write_particles
from emtomo.viewers.pictures import picture_of_output
from tests.compute.classification.test_classify_3d import N, purity, two_states
from tests.compute.refinement.data import PIXEL, wedge
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
COUNT = 32
OPTIONS = {"subtomograms": "boxes.subtomograms", "classes": 2, "iterations": 2, "initial_lowpass": 50, "starts": 2}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with particles of two states, half of them with the site, in known poses."""
    folder = tmp_path_factory.mktemp("two states")
    source, poses, state = two_states("boxes", COUNT, 1.0)
    with mrc.StackWriter(folder / "boxes.mrc", (COUNT, N, N, N), PIXEL, COUNT) as writer:
        writer.batch(COUNT)[:] = np.stack([source.box(i) for i in range(COUNT)])
    whole = np.fft.fftn(np.fft.irfftn(wedge(N), (N, N, N))).real  # both halves of the frequencies
    mrc.write_volume(folder / "ctf.mrc", np.fft.fftshift(whole).astype(np.float32), PIXEL)
    frame = pd.DataFrame({
        "tomogram_id": "TS_1", "file": str(folder / "boxes.mrc"), "index": np.arange(COUNT),
        "ctf_file": str(folder / "ctf.mrc"),
        **{f"coordinate_{a}": 50.0 + 100 * np.arange(COUNT) for a in "xyz"},
        **{f"shift_{a}": poses.shifts[:, k] * PIXEL for k, a in enumerate("xyz")},
    })  # fmt: skip
    write_particles(folder / "particles.star", frame, poses.rotations, PIXEL, N)
    made = Bench(folder / "a project")
    made.run("import-subtomograms", "boxes", files=folder / "particles.star")
    made.state = state
    return made


def test_particles_get_their_class_and_classes_their_maps(bench, monkeypatch, tmp_path):
    monkeypatch.chdir(bench.project.path)
    run = bench.run("classify-3d", "sorted", **OPTIONS)
    frame, classes = run.subtomograms.frame(), run.classes.frame()
    assert purity(frame["class_number"].to_numpy(int), bench.state) >= 0.9
    assert list(classes["class_number"]) == [1, 2] and classes["members"].sum() == COUNT
    assert classes["members"][0] >= classes["members"][1] and "2 classes of 32 particles" in run.classes.summary()
    assert (frame["class_number"] == 1).sum() == classes["members"][0]
    before = bench.project.find("boxes").subtomograms.frame()
    for name in ("x", "r12", "shift_z", "file", "index"):
        assert (frame[name] == before[name]).all()
    assert run.average.file.get() == classes["file"][0]
    assert len(pd.read_csv(run._getExtraPath("classes.csv"))) == 2
    subset = bench.run("select-subset", "second", items="sorted.subtomograms", classes="2")
    assert len(subset.subset) == classes["members"][1]
    for name, viewer in (("classes", "maps"), ("classes", "curves"), ("classes", "table")):
        picture_of_output(run, name, tmp_path / f"{viewer}.png", viewer)
        assert (tmp_path / f"{viewer}.png").stat().st_size > 5000


def test_bad_input_is_reported(bench):
    def errors(label, **parameters):
        run = bench.project.find(str(bench.add("classify-3d", label, **{**OPTIONS, **parameters})))
        return " ".join(run.validate())

    assert "20 classes need at least 40 particles, there are 32" in errors("many", classes=20)
    assert "Symmetry must be" in errors("group", symmetry="Q")
    assert "device must be" in errors("device", device="x")
