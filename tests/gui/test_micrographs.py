"""Picking on micrographs by real mouse events: list, threshold bar, eraser, loading again, what is registered."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from emtomo.engine.project import EmtomoProject
from emtomo.objects import SetOfCoordinates2D
from tests.engine.helpers import Bench
from tests.gui.picking import begin_picking

pytestmark = [pytest.mark.gui, pytest.mark.workflow]
SIM = {"size_x": 300, "size_y": 260, "pixel_size": 6, "per_micrograph": 6, "number": 2, "snr": 0.5, "seed": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("mics") / "a project 'quoted'"
    bench = Bench(folder)
    bench.run("simulate-micrographs", "sim", **SIM)
    bench.run("pick-log", "log", micrographs="sim.micrographs", min_diameter=110, max_diameter=170, box_size=24)
    bench.project.closeMapper()
    os.chdir(before)
    return folder


@pytest.fixture
def robot(windows, made, tmp_path):
    folder = tmp_path / made.name
    shutil.copytree(made, folder, symlinks=True)
    return windows(folder)


def open_list(robot, *, previous=True):
    targets = {(r.label, o.name): o.target for r in robot.window.runs.values() for o in r.outputs}
    form = robot.window.new_form("pick-manually")
    form.model.put("micrographs", targets["sim", "micrographs"])
    form.model.put("box_size", "24")
    if previous:
        form.model.put("coordinates", targets["log", "coordinates"])
    return begin_picking(robot, form)


def search_again(robot, dialog, most):
    """Pick again in the run that the previous coordinates come from: its file is replaced."""
    path = Path(dialog.picking_run.coordinates.getFileName())
    old = SetOfCoordinates2D.open(path)
    frame = old.frame().groupby("micrograph_id").head(most)
    new = SetOfCoordinates2D.create(path)
    new.copy_fields(old)
    new.extend(frame)
    new.write()


def open_picker(robot, dialog, name):
    dialog.open(name)
    assert robot.pump(until=lambda: name in dialog.pickers, timeout=15), dialog.state_.cget("text")
    picker = dialog.pickers[name]
    picker.geometry("1150x780+60+40")
    robot.pump(1.0)
    robot.xdotool("mousemove", *robot.at(picker.panels[0].canvas))
    return picker


def screen(picker, y, x):
    panel = picker.panels[0]
    sx, sy = panel.screen_of((0, y, x))
    return panel.canvas.winfo_rootx() + int(round(sx)), panel.canvas.winfo_rooty() + int(round(sy))


def test_picks_are_added_erased_loaded_again_and_registered(robot):
    dialog = open_list(robot)
    picker = open_picker(robot, dialog, "mic_001")
    session = picker.session
    before = [(p.x, p.y) for p in session.models[1].points]
    assert len(before) >= 5 and all(p.score > 3 for p in session.models[1].points)
    assert not any(picker.panels[axis].winfo_ismapped() for axis in (1, 2))  # a micrograph is one slice
    places = np.array(before)
    free = next(
        (x, y) for x in range(40, 260, 10) for y in range(40, 220, 10) if np.hypot(*(places - (x, y)).T).min() > 40
    )
    robot.click_at(*screen(picker, free[1], free[0]))
    assert session.count == len(before) + 1
    added = session.models[1].points[-1]
    assert abs(added.x - free[0]) < 1 and abs(added.y - free[1]) < 1 and added.z == 0
    # the middle button erases along the way: from beside a pick across it, and nothing far from that
    picker.tools.radius.set("8")
    victim = places[0]
    robot.drag(screen(picker, victim[1] - 20, victim[0]), screen(picker, victim[1] + 20, victim[0]), button=2)
    left = [(p.x, p.y) for p in session.models[1].points]
    assert len(left) == len(before) and before[0] not in left
    robot.key("ctrl+z")
    assert session.count == len(before) + 1
    robot.click(picker.w["reload"])
    assert np.allclose([(p.x, p.y) for p in session.models[1].points], before)
    # a run that picks again is followed, but never over picks that were changed by hand
    search_again(robot, dialog, 2)
    assert robot.pump(until=lambda: session.count == 2, timeout=10)
    robot.key("ctrl+z")
    assert session.count == len(before)
    search_again(robot, dialog, 3)
    assert robot.pump(until=lambda: "L loads them" in picker.message.cget("text"), timeout=10)
    assert session.count == len(before)
    robot.click_at(*screen(picker, free[1], free[0]))
    picker.close()
    robot.click(dialog.w["register"])
    run = dialog.picking_run.run
    label = next(r.label for r in robot.window.runs.values() if r.id == run)
    robot.finished(label)
    dialog.shut()
    project = EmtomoProject.open(robot.window.folder)
    found = project.find(label).coordinates
    assert type(found).__name__ == "SetOfCoordinates2D" and found.box_size.get() == 24
    mine = found.positions("mic_001") / 6
    assert len(mine) == len(before) + 1
    assert np.hypot(*(mine - np.array(free)).T).min() < 1
    truth = project.find("sim").truth.positions("mic_001") / 6
    assert np.median([np.hypot(*(mine - t).T).min() for t in truth]) < 3


def test_the_threshold_bar_picks_live_and_applies_to_all(robot):
    dialog = open_list(robot)
    picker = open_picker(robot, dialog, "mic_002")
    bar, table = picker.w["histogram"], picker.table
    assert robot.pump(until=bar.winfo_viewable, timeout=5)
    before = len(table.above("mic_002", picker.cut)[0])
    y = bar.winfo_rooty() + bar.winfo_height() // 2
    scores = table.scores["mic_002"]
    edges = table.histogram()[1]

    def at(score):
        return bar.winfo_rootx() + int(bar.winfo_width() * (score - edges[0]) / (edges[-1] - edges[0]))

    faint, bright = float(scores[3 * before]), float(scores[before // 2])
    robot.click_at(at(faint), y)
    low = picker.cut
    assert abs(low - faint) < 0.2
    many = len(table.above("mic_002", low)[0])
    assert many > before
    assert f"{many} here, {table.count(low)} in all" in picker.cut_label.cget("text")
    robot.drag((at(faint), y), (at(bright), y))
    assert abs(picker.cut - bright) < 0.2 and 0 < len(table.above("mic_002", picker.cut)[0]) < before
    robot.click(picker.w["take"])
    assert [p.score for p in picker.session.models[1].points] == pytest.approx(
        list(table.above("mic_002", picker.cut)[1])
    )
    robot.click_at(at(faint), y)
    robot.click(picker.w["apply"])
    wanted = table.count(picker.cut)
    assert robot.pump(until=lambda: any("score" in r.label for r in robot.window.runs.values()), timeout=15)
    label = next(r.label for r in robot.window.runs.values() if "score" in r.label)
    robot.finished(label)
    assert abs(len(EmtomoProject.open(robot.window.folder).find(label).coordinates) - wanted) <= 1
    picker.close()
    dialog.shut()


def ctf_cell(robot, dialog, name):
    x, y, wide, high = dialog.tree.bbox(name, "ctf")
    return dialog.tree.winfo_rootx() + x + wide // 2, dialog.tree.winfo_rooty() + y + high // 2


def test_the_ctf_button_says_the_ctf_or_opens_what_estimates_it(robot):
    dialog = open_list(robot, previous=False)
    first, second = dialog.picking_run.names[:2]
    assert str(dialog.tree.set(first, "ctf")).startswith("◉")
    robot.click_at(*ctf_cell(robot, dialog, first))
    assert f"{first}: defocus" in dialog.state_.cget("text")
    dialog.defocus[second] = np.nan
    dialog.refresh(second)
    assert dialog.tree.set(second, "ctf") == "✎ estimate"
    robot.click_at(*ctf_cell(robot, dialog, second))
    form = dialog.w["ctf form"]
    assert form.model.protocol_class.NAME == "estimate-ctf"
    assert form.model.fields["micrographs"].text == dialog.texts["micrographs"]
    form.destroy_form()
    dialog.shut()


def test_a_selection_of_micrographs_is_saved_as_a_set(robot):
    dialog = open_list(robot, previous=False)
    tree = dialog.tree
    assert [tree.set(name, "checked") for name in ("mic_001", "mic_002")] == ["☑", "☑"]
    assert "µm" in tree.set("mic_001", "ctf")
    robot.click(dialog.w["invert"])
    assert tree.set("mic_001", "checked") == "☐"
    x, y, w, h = tree.bbox("mic_002", "checked")
    robot.click_at(tree.winfo_rootx() + x + w // 2, tree.winfo_rooty() + y + h // 2)
    assert tree.set("mic_002", "checked") == "☑" and "1 checked" in dialog.state_.cget("text")
    robot.click(dialog.w["save selection"])
    assert robot.pump(until=lambda: any("selected" in r.label for r in robot.window.runs.values()), timeout=15)
    label = next(r.label for r in robot.window.runs.values() if "selected" in r.label)
    robot.finished(label)
    subset = EmtomoProject.open(robot.window.folder).find(label).subset
    assert subset.group_ids() == ["mic_002"]
    x, y, w, h = tree.bbox("mic_001", "pick")
    robot.click_at(tree.winfo_rootx() + x + w // 2, tree.winfo_rooty() + y + h // 2)
    assert robot.pump(until=lambda: "mic_001" in dialog.pickers, timeout=10)
    assert dialog.pickers["mic_001"].table is None  # nothing was searched: no threshold
    dialog.shut()
