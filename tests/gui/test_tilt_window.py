"""The window of tilt series: real clicks mark tilts, and the marks become a new set."""

import tkinter

import numpy as np
import pytest

from emtomo.compute.tilt.aligned_images import align_image
from emtomo.engine.project import EmtomoProject
from emtomo.gui.core.shown import viewers_of_kinds

pytestmark = pytest.mark.gui


@pytest.fixture
def robot(windows, project):
    return windows(project)


def _open(robot):
    window, got = robot.window, []
    output = next(o for run in window.runs.values() for o in run.outputs if "SetOfTiltSeries" in o.kinds)
    viewer = next(v for v in viewers_of_kinds(output.kinds) if v.KEY == "tilts")
    window.view(output, viewer, got.append)
    assert robot.pump(until=lambda: got, timeout=20)
    robot.pump(0.3)
    opened = [c for c in window.winfo_children() if isinstance(c, tkinter.Toplevel) and hasattr(c, "w")]
    chooser = next((c for c in opened if "tomograms" in c.w and "bars" not in c.w), None)
    if chooser is not None:
        chooser.open(chooser.tree.get_children()[0])
        assert robot.pump(until=lambda: chooser.w.get("opened"), timeout=20)
        return chooser.w["opened"]
    return next(c for c in opened if "bars" in c.w)


def test_marked_tilts_become_a_new_set(robot, project):
    tilts = _open(robot)
    tilts.lift()
    robot.pump(0.5)
    n = len(tilts.captions)
    angles = tilts.marks.angle
    bars = tilts.w["bars"]
    assert robot.pump(until=bars.winfo_viewable, timeout=5)
    place = n - 2  # by angle
    x = bars.winfo_rootx() + int((place + 0.5) * bars.winfo_width() / n)
    robot.click_at(x, bars.winfo_rooty() + bars.winfo_height() // 2)
    wanted = int(np.argsort(angles, kind="stable")[place])
    assert robot.pump(until=lambda: tilts.tilt == wanted, timeout=5)
    canvas = tilts.panels[0].canvas
    robot.xdotool("mousemove", *robot.at(canvas))
    assert robot.pump(until=lambda: "grey" in tilts.place_label.cget("text"), timeout=5)
    under_mouse = tilts.place_label.cget("text")  # two lengths: no tilt is at a height
    assert " z " not in under_mouse and under_mouse.split("(")[1].split(" Å)")[0].count(",") == 1
    assert f"tilt {wanted + 1}" in [canvas.itemcget(i, "text") for i in canvas.find_all() if canvas.type(i) == "text"]
    robot.click(tilts.w["acquisition"])
    order = np.argsort(tilts.marks.geometry.order, kind="stable")
    assert robot.pump(until=lambda: list(tilts.tilts.order) == list(order), timeout=5) and tilts.tilt == wanted
    robot.click(tilts.w["aligned"])
    assert robot.pump(until=lambda: tilts.tilts.aligned, timeout=5) and tilts.tilt == wanted
    shown = tilts.tilts.plane(0, tilts.tilts.place_of(wanted))
    raw, geometry = tilts.marks.images(wanted), tilts.marks.geometry
    assert np.allclose(shown, align_image(raw, geometry, wanted, shown.shape))
    robot.click(tilts.w["angle"])
    assert robot.pump(until=lambda: tilts.tilts.order[place] == wanted, timeout=5) and tilts.tilt == wanted
    robot.click(tilts.w["suggest"])
    assert robot.pump(until=lambda: "out of line" in tilts.message.cget("text"), timeout=20)
    assert not tilts.marks.changed
    robot.click(tilts.w["exclude"])
    assert robot.pump(until=lambda: bool(tilts.marks.marked[wanted]), timeout=5)
    assert "marked as excluded" in tilts.message.cget("text")
    robot.click(tilts.w["exclude"])
    assert robot.pump(until=lambda: not tilts.marks.marked[wanted], timeout=5)
    robot.click(tilts.w["keep"])
    assert robot.pump(until=lambda: "No mark was changed" in tilts.message.cget("text"), timeout=5)
    tilts.focus_force()
    robot.key("e")
    assert robot.pump(until=lambda: bool(tilts.marks.marked[wanted]), timeout=5)
    robot.key("ctrl+q")  # marks are not dropped without a word
    assert robot.pump(until=lambda: "question" in tilts.w, timeout=5)
    robot.click(tilts.w["question"].w["Stay"])
    assert tilts.winfo_exists() and tilts.marks.marked[wanted]
    robot.click(tilts.w["keep"])
    assert robot.pump(until=lambda: "Kept in" in tilts.message.cget("text"), timeout=20), tilts.message.cget("text")
    label = tilts.message.cget("text").removeprefix("Kept in ").rstrip(".")
    done = lambda: any(r.label == label and r.status == "finished" for r in robot.window.runs.values())  # noqa: E731
    assert robot.pump(until=done, timeout=60)
    opened = EmtomoProject.open(project) if hasattr(EmtomoProject, "open") else EmtomoProject(project)
    made = opened.find(label).tilt_series
    name = tilts.marks.name
    assert list(np.flatnonzero(made.images(name)["excluded"])) == [wanted]
