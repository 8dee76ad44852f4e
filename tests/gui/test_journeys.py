"""Journeys of a user: real clicks and keys on a real X server, runs in their own processes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from emtomo.gui.core.picking import PickingSession
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, positions_of, rotations_of
from tests.conftest import shared, unpack_phantom

pytestmark = [pytest.mark.gui, pytest.mark.workflow]
PIXEL = 10.0


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """The peer-made phantom tomogram under a name with a space and a quote, and its first sphere in voxels."""
    path = unpack_phantom(tmp_path_factory.mktemp("phantom"))
    sphere = pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv")).iloc[0]
    return path, np.array([sphere.x_A, sphere.y_A, sphere.z_A]) / PIXEL, sphere.r_A / PIXEL


def open_form(robot, words):
    """Search a protocol by typing and open its form with Enter."""
    before = len(robot.window.forms)
    robot.fill(robot.window.w["search"], words)
    robot.key("Return")
    assert robot.pump(until=lambda: len(robot.window.forms) > before, timeout=5), words
    form = robot.window.forms[-1]
    robot.pump(0.4)
    return form


def run_form(robot, form, label):
    """Click Run when the form allows it, and wait for the run."""
    assert robot.pump(until=lambda: str(form.w["run"].cget("state")) == "normal", timeout=10), form.w["message"].cget(
        "text"
    )
    robot.click(form.w["run"])
    return robot.finished(label)


def test_from_a_tomogram_to_an_average_in_25_clicks(windows, tmp_path, phantom):
    file, centre, radius = phantom
    robot = windows(tmp_path / "a new project")
    window = robot.window

    form = open_form(robot, "import tomograms")
    robot.type(str(file))  # the first field has the focus
    done = run_form(robot, form, "import tomograms")

    form = robot.next_step(done, "denoise tomograms")
    robot.fill(form.w["input iterations"], "8")
    done = run_form(robot, form, "denoise tomograms")

    picks = pick_vesicle(robot, done, centre, radius)
    done = robot.finished("vectorial picking")

    form = robot.next_step(done, "model workflow")
    robot.fill(form.w["input cropping"], "6")
    done = run_form(robot, form, "model workflow")

    form = robot.next_step(done, "extract subtomograms")
    chosen = window.output_named(form.model.fields["tomograms"].text)
    assert chosen.title == "import tomograms.tomograms"  # picked in denoised ones, cut from those before
    robot.fill(form.w["input box_size"], "28")
    robot.choose(form.w["input border"], "pad")
    done = run_form(robot, form, "extract subtomograms")

    form = robot.next_step(done, "apply alignment to subtomograms")
    done = run_form(robot, form, "apply alignment to subtomograms")
    assert robot.pump(until=lambda: window.selection == [done.id], timeout=5)
    robot.click(window.w["view"])
    viewer = robot.toplevel("SliceWindow")
    assert robot.clicks - picks <= 25, robot.clicks - picks
    assert viewer.source.shape == (28, 28, 28)
    folder = window.folder / robot.run_named("model workflow").folder
    check_result(SetOfCoordinates3D.open(folder / "coordinates.sqlite").frame(), viewer.source.data, phantom)


def pick_vesicle(robot, done, centre, radius):
    """Vectorial picking: the form, the picker, the question about the output; return the clicks on the vesicle."""
    window = robot.window
    form = robot.next_step(done, "vectorial picking")
    robot.choose(form.w["input model"], "vesicle")
    assert robot.pump(until=lambda: str(form.w["pick"].cget("state")) == "normal", timeout=5)
    robot.click(form.w["pick"])
    assert robot.pump(until=lambda: len(window.picking_dialogs) == 1, timeout=10)
    dialog = next(iter(window.picking_dialogs.values()))
    assert robot.pump(until=lambda: "picker" in dialog.w, timeout=10)  # by itself: there is one tomogram
    picker = dialog.w["picker"]
    robot.pump(0.8)
    before = robot.clicks
    clicked = pick_sphere(robot, picker, centre, radius)
    picks = robot.clicks - before
    points = [p for p in picker.session.models[1].points if p.role == "point"]
    off = np.abs([np.array([p.x, p.y, p.z]) - c for p, c in zip(points, clicked, strict=True)])
    assert off.max() <= 0.5 / picker.panels[0].camera.zoom + 1e-6  # half a pixel of the screen
    assert picks == len(points)  # no click was lost
    assert [p.role for p in picker.session.models[1].points].count("inside") == 1
    assert robot.pump(until=lambda: "radius" in picker.w["fit"].cget("text"), timeout=10)  # the model, live
    robot.key("ctrl+q")
    assert robot.pump(until=lambda: "question" in dialog.w, timeout=5)
    robot.key("Escape")
    name, asked = dialog.picking_run.names[0], dialog.w["question"]
    assert robot.pump(until=lambda: not asked.winfo_exists(), timeout=5)
    dialog.open(name)
    assert robot.pump(until=lambda: name in dialog.pickers, timeout=10)
    robot.pump(0.3)
    dialog.close()  # from the list, which closes the picker of its only tomogram: asked once
    assert robot.pump(until=lambda: dialog.w["question"].winfo_exists(), timeout=5)
    robot.pump(0.3)
    assert len([c for c in window.winfo_children() if type(c).__name__ == "Question"]) == 1
    robot.click(dialog.w["question"].w["Yes"])
    return picks


def check_result(frame, average, phantom):
    """The coordinates lie on the vesicle that was clicked and point away from its inside; the membrane is averaged."""
    file, centre, radius = phantom
    shape = mrc.open_volume(file).shape
    places = positions_of(frame) / PIXEL + np.array(shape[::-1]) // 2
    away = np.linalg.norm(places - centre, axis=1)
    assert len(frame) > 30 and np.abs(away - radius).max() < 3.0
    outward = (places - centre) / away[:, None]
    assert (np.einsum("ni,ni->n", rotations_of(frame)[:, :, 2], outward) > 0.95).all()
    profile = average[:, 12:17, 12:17].mean(axis=(1, 2))  # across the membrane, which lies in the middle
    assert abs(int(np.argmax(np.abs(profile - np.median(profile)))) - 14) <= 3


def pick_sphere(robot, picker, centre, radius):
    """Click eight points on the sphere on each of three slices, and Shift+C in its middle; return the places."""
    robot.xdotool("mousemove", *robot.at(picker.panels[0].canvas))
    robot.key("z")
    robot.pump(0.4)
    panel, clicked = picker.panels[0], []
    for z in (int(centre[2]) - 12, int(centre[2]), int(centre[2]) + 12):
        step = z - picker.state_.place[0]
        robot.xdotool("click", "--repeat", abs(step), "--delay", 12, 4 if step > 0 else 5)
        assert robot.pump(until=lambda z=z: picker.state_.place[0] == z, timeout=5), (picker.state_.place, z)
        r = np.sqrt(radius**2 - (z - centre[2]) ** 2)
        for angle in np.arange(8) * np.pi / 4 + 0.2:
            place = (float(z), centre[1] + r * np.sin(angle), centre[0] + r * np.cos(angle))
            x, y = (int(round(v)) for v in panel.screen_of(place))
            if not (5 < x < panel.camera.width - 5 and 5 < y < panel.camera.height - 5):
                continue
            _, wy, wx = panel.place_of(x, y)
            before = picker.session.count
            robot.click_at(panel.canvas.winfo_rootx() + x, panel.canvas.winfo_rooty() + y)
            assert robot.pump(until=lambda n=before: picker.session.count == n + 1, timeout=3)
            clicked.append((wx, wy, float(z)))
    x, y = (int(round(v)) for v in panel.screen_of((0, centre[1], centre[0])))
    robot.xdotool("mousemove", panel.canvas.winfo_rootx() + x, panel.canvas.winfo_rooty() + y)
    robot.key("shift+c")
    return clicked


PICKER = """
import sys, time
from pathlib import Path
from emtomo.gui.tk.project import ProjectWindow
from emtomo.gui.tk.pickingdialog import open_dialog
window = ProjectWindow(Path(sys.argv[1]))
window.geometry("+0+0")
def until(what):
    while not what():
        window.update()
        time.sleep(0.005)
until(lambda: window.w.get("loaded"))
run = next(r.id for r in window.runs.values() if r.label == "pick")
open_dialog(window, run)
until(lambda: window.picking_dialogs)
dialog = window.picking_dialogs[run]
name = dialog.picking_run.names[0]
dialog.open(name)
until(lambda: name in dialog.pickers)
picker = dialog.pickers[name]
picker.show_planes(0)
end = time.time() + 1.5
while time.time() < end:
    window.update()
c = picker.panels[0].canvas
print(run, picker.session.count, c.winfo_rootx(), c.winfo_rooty(), c.winfo_width(), c.winfo_height(), flush=True)
window.mainloop()
"""


def test_twenty_clicks_survive_kill_9(display, project):
    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", PICKER, str(project)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        return process, [int(v) for v in process.stdout.readline().split()]

    process, (run, before, left, top, width, height) = start()
    for k in range(20):
        x, y = left + width // 2 + (k % 5 - 2) * 30, top + height // 2 + (k // 5 - 2) * 30
        subprocess.run(["xdotool", "mousemove", str(x), str(y), "click", "1"], check=True)
        time.sleep(0.06)
    journal = next((project / "Picking" / str(run)).glob("*.jsonl"))
    end = time.time() + 10
    while PickingSession("x", journal).count < before + 20 and time.time() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again, (_, count, *_) = start()
    again.kill()
    again.wait()
    assert count == before + 20


def test_an_invalid_form_says_why_and_is_mended(windows, project):
    robot = windows(project)
    form = open_form(robot, "clean coordinates")
    robot.choose(form.w["input coordinates"], "model.coordinates")
    assert robot.pump(until=lambda: str(form.w["run"].cget("state")) == "normal", timeout=10)
    robot.fill(form.w["input min_distance"], "-3")
    assert robot.pump(until=lambda: str(form.w["run"].cget("state")) == "disabled", timeout=5)
    assert "must be >= 0" in form.w["message"].cget("text")
    assert "1 ✗" in form.w["section Parameters"].cget("text")
    robot.fill(form.w["input min_distance"], "abc")
    assert "must be a number" in form.w["message"].cget("text")
    robot.fill(form.w["input min_distance"], "50")
    robot.fill(form.w["label"], "pick")  # a label that is taken: only the project knows
    assert robot.pump(until=lambda: "already" in form.w["message"].cget("text"), timeout=10)
    assert str(form.w["run"].cget("state")) == "disabled"
    robot.fill(form.w["label"], "clean")
    run_form(robot, form, "clean")


def test_a_run_is_stopped_and_resumed_by_its_buttons(windows, project):
    robot = windows(project)
    form = open_form(robot, "denoise")
    robot.choose(form.w["input tomograms"], "simulate.tomograms")
    robot.fill(form.w["input iterations"], "900")
    assert robot.pump(until=lambda: str(form.w["run"].cget("state")) == "normal", timeout=10)
    robot.click(form.w["run"])
    label = "denoise tomograms"
    assert robot.pump(until=lambda: (r := robot.run_named(label)) and r.status == "running" and r.progress, timeout=60)
    run = robot.run_named(label)
    robot.window.graph.see(run.id)
    robot.click_at(*robot.window.graph.centre_of(run.id))
    assert robot.window.selection == [run.id]
    robot.click(robot.window.w["stop"])
    assert robot.pump(until=lambda: robot.run_named(label).status == "aborted", timeout=20)
    # fewer iterations, so that the test ends; edited in the same form
    robot.click(robot.window.w["edit"])
    assert robot.pump(until=lambda: robot.window.forms, timeout=5)
    form = robot.window.forms[-1]
    robot.pump(0.4)
    robot.fill(form.w["input iterations"], "3")
    robot.click(form.w["save"])
    robot.pump(0.5)
    robot.key("Escape")
    assert robot.pump(until=lambda: not robot.window.forms, timeout=5)
    robot.click(robot.window.w["run"])
    assert robot.pump(until=lambda: robot.run_named(label).status != "aborted", timeout=20)  # it has begun again
    robot.finished(label)
