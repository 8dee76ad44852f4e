"""The window of class averages, with real clicks: select, sort, average, earlier iterations, save."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtomo.engine.parameters import protocol_named
from emtomo.gui.tk.classes import PARTICLES
from emtomo.io import mrc
from emtomo.objects import SetOfParticles
from emtomo.viewers.windows import ViewClasses
from tests.compute.classification.data import DIAMETER, PIXEL, simulate
from tests.engine.helpers import Bench

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    """A project with a classification of three iterations."""
    before = Path.cwd()
    made = Bench(tmp_path_factory.mktemp("classes") / "a project")
    source = made.project.new_run(protocol_named("simulate-micrographs"), "source")
    made.project.saveProtocol(source)
    folder = Path(source.getWorkingDir())
    (folder / "extra").mkdir(parents=True)
    images = simulate(32, 90, 3, 0.4)
    stack = folder / "extra" / "images.mrcs"
    mrc.write_volume(stack, images.values, PIXEL, stack=True)
    particles = SetOfParticles.create(folder / "particles.sqlite", pixel_size=PIXEL, box_size=32)
    particles.extend(pd.DataFrame({"micrograph_id": "m", "file": str(stack), "index": np.arange(90)}))
    source._register(None, particles=particles)
    source.setStatus("finished")
    made.project._storeProtocol(source)
    made.project.mapper.commit()
    made.run(
        "classify-2d",
        "classes",
        particles="source.particles",
        number_of_classes=5,
        iterations=3,
        mask_diameter=DIAMETER,
        ctf_correction=False,
    )
    path = Path(made.project.path)
    made.project.closeMapper()
    os.chdir(before)
    return path


@pytest.fixture
def opened(windows, classified):
    robot = windows(classified)
    got = []
    run = robot.run_named("classes")
    robot.window.view(robot.window.output_named(f"{run.id}.classes"), ViewClasses, got.append)
    assert robot.pump(until=lambda: got and got[0].sheet is not None, timeout=20)
    yield robot, got[0]
    if got[0].winfo_exists():
        got[0].shut()


def middle(window, place):
    x0, y0, x1, y1 = window.sheet.box(place)
    return window.canvas.winfo_rootx() + (x0 + x1) // 2, window.canvas.winfo_rooty() + (y0 + y1) // 2


def test_the_particles_of_the_class_under_the_pointer_are_shown(opened):
    robot, window = opened
    row = int(window.classes.order[1])
    robot.click_at(*middle(window, 1), button=3)
    robot.pump(0.3)
    menu = window.w["menu"]
    robot.click_at(menu.winfo_rootx() + 20, menu.winfo_rooty() + menu.yposition(PARTICLES) + 8)
    assert robot.pump(until=lambda: "browser" in window.w and window.w["browser"].browser.condition, timeout=20)
    frame = window.classes.frame.iloc[row]
    assert window.w["browser"].browser.condition == f"class_number = {frame['class_number']}"
    assert len(window.w["browser"].browser.rows) == frame["members"]
    assert not window.classes.selected  # a right click selects nothing
    window.w["browser"].shut()


def test_classes_are_selected_averaged_and_saved(opened):
    robot, window = opened
    classes = window.classes
    members = classes.frame["members"].to_numpy()
    assert str(window.w["keep"].cget("state")) == "disabled"
    assert members[classes.order[0]] == members.max()
    robot.click_at(*middle(window, 1))
    assert robot.pump(until=lambda: classes.selected == {int(classes.order[1])})
    assert str(window.w["keep"].cget("state")) == "normal"
    robot.click_at(*middle(window, 1))
    assert robot.pump(until=lambda: classes.selected == set())
    robot.drag(middle(window, 0), middle(window, 2))
    assert robot.pump(until=lambda: classes.selected == {int(row) for row in classes.order[:3]})
    assert f"3 of 5 classes selected: {members[classes.order[:3]].sum()} of 90" in window.w["message"].cget("text")
    robot.click(window.w["invert"])
    assert robot.pump(until=lambda: classes.selected == {int(row) for row in classes.order[3:]})
    robot.key("ctrl+a")
    assert robot.pump(until=lambda: len(classes.selected) == 5)
    robot.key("i")
    assert robot.pump(until=lambda: not classes.selected)
    robot.key("a")
    assert robot.pump(until=lambda: window.w["message"].cget("text").startswith("Select classes first"))
    robot.click_at(*middle(window, 0))
    assert robot.pump(until=lambda: classes.selected == {int(classes.order[0])})
    robot.click(window.w["average"])
    assert robot.pump(until=lambda: "average window" in window.w and window.w["average window"]._photo is not None)
    window.w["average window"].close()
    chosen = classes.ids().tolist()
    robot.click(window.w["keep"])
    robot.finished("classes selected from classes")
    outputs = {o.name: o for o in robot.run_named("classes selected from classes").outputs}
    assert outputs["class_averages"].summary.startswith("1 class ")
    assert int(outputs["particles"].summary.split()[0]) == members[chosen[0] - 1]
    window.close()
    assert not window.winfo_exists()  # what is selected is saved: nothing to ask


def test_sorting_iterations_and_closing(opened):
    robot, window = opened
    robot.choose(window.w["sort"], "gain")
    gain = window.classes.frame["gain"].to_numpy()[window.classes.order]
    known = gain[np.isfinite(gain)]
    assert np.all(np.diff(known) <= 0)
    last = window.images.copy()
    window.w["slider"].set(1)
    assert robot.pump(until=lambda: not np.array_equal(window.images, last), timeout=10)
    with np.load(window.iterations[0], allow_pickle=False) as data:
        assert np.array_equal(window.images, data["references"])
    window.w["slider"].set(3)
    assert robot.pump(until=lambda: np.array_equal(window.images, last), timeout=10)
    robot.click_at(*middle(window, 0))
    assert robot.pump(until=lambda: window.classes.selected)
    window.close()
    assert "question" in window.w and window.winfo_exists()
    window.w["question"].w["Forget"].invoke()
    robot.pump(0.1)
    assert not window.winfo_exists()
