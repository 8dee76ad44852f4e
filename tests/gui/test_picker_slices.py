"""Pickers by real mouse events: which slice a click belongs to, montage, linked views, zoom."""

import threading

import numpy as np
import pytest

from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk.beforeafter import BeforeAfter
from emtomo.io import mrc
from tests.gui.picking import dialog_of, picker_of, screen, turn_wheel

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


@pytest.fixture
def robot(windows, project):
    return windows(project)


def test_while_a_slow_disk_reads_a_slice_clicks_land_on_the_one_that_is_seen(robot, monkeypatch):
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    assert robot.pump(until=lambda: picker.source.settled)
    go_on, read = threading.Event(), type(picker.source).plane

    def slow(self, axis, index, thickness=1, sigma=0.0):
        assert go_on.wait(20)
        return read(self, axis, index, thickness, sigma)

    monkeypatch.setattr(type(picker.source), "plane", slow)
    monkeypatch.setattr(type(picker.source), "at_hand", lambda self, *wanted: self._cache.get(wanted))
    seen = picker.state_.place[0]
    picker.state_.go(0, seen + 5)
    robot.pump(0.3)  # the window answers although the slice does not come
    assert picker.panels[0].drawn == seen
    robot.click_at(*screen(picker, seen, 60, 50))
    assert picker.session.models[1].points[0].z == seen
    go_on.set()
    assert robot.pump(until=lambda: picker.panels[0].drawn == seen + 5)
    robot.click_at(*screen(picker, seen + 5, 80, 70))
    assert picker.session.models[1].points[1].z == seen + 5


def test_keys_and_clicks_use_the_slice_that_is_shown_and_neighbours_catch_none(robot):
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    session, panel = picker.session, picker.panels[0]
    z = picker.state_.place[0]
    robot.xdotool("mousemove", *screen(picker, z, 60, 50))
    turn_wheel(robot, 3)  # the mouse rests
    assert picker.state_.place[0] == z + 3 and f"z {z + 3:.1f}" in picker.place_label.cget("text")
    robot.key("c")
    robot.key("shift+c")
    assert [p.z for p in session.models[1].points] == [z + 3, z + 3]
    turn_wheel(robot, 5, 5)
    robot.key("c")
    assert session.models[1].points[-1].z == z - 2
    # a click beside a point of a neighbouring slice adds one here, and leaves that where it is
    turn_wheel(robot, 2)
    before = [(p.x, p.y, p.z) for p in session.models[1].points]
    robot.click_at(*screen(picker, z, 60, 50))
    assert [(p.x, p.y, p.z) for p in session.models[1].points[:-1]] == before
    assert session.models[1].points[-1].z == z and session.count == 4
    turn_wheel(robot, 1)
    start = screen(picker, z, 60, 50)
    robot.drag(start, (start[0] + 4, start[1] + 4))  # a jerk moves no point of another slice
    assert session.count == 4 and {p.z for p in session.models[1].points} == {z + 3, z - 2, z}
    picker.panels[0].fit()
    robot.pump(0.1)
    robot.click_at(*screen(picker, z, 60, 50), keys=("shift",))
    assert session.count == 4
    assert f"lies on slice z {z}" in picker.w["message"].cget("text")
    assert "lies on slice" in " ".join(panel.canvas.itemcget(i, "text") for i in panel.canvas.find_withtag("notice")
                                       if panel.canvas.type(i) == "text")  # fmt: skip
    turn_wheel(robot, 1, 5)
    robot.click_at(*screen(picker, z, 60, 50), button=3)
    assert session.count == 3
    picker.close()
    dialog.shut()


def test_every_click_on_every_tile_of_the_montage_counts(robot):
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    session = picker.session
    robot.key("m")
    assert robot.pump(until=lambda: picker.montage is not None, timeout=5)
    montage = picker.montage
    robot.pump(0.8)
    assert not picker.panels[0].winfo_ismapped()  # it takes the place of the planes

    def tile(k, y, x):
        panel = montage.panels[k]
        h, v = panel.screen_of((panel.at, y, x))
        return panel.canvas.winfo_rootx() + int(round(h)), panel.canvas.winfo_rooty() + int(round(v))

    for k in (0, 1, 2):  # the same eight places on neighbouring tiles, two slices apart
        for y, x in [(30, 30), (30, 60), (30, 90), (60, 30), (60, 90), (90, 30), (90, 60), (90, 90)]:
            robot.click_at(*tile(k, y, x))
    levels = [p.z for p in session.models[1].points]
    first = montage.panels[0].at
    assert levels == [first] * 8 + [first + 2] * 8 + [first + 4] * 8
    before = montage.panels[1].at
    robot.xdotool("mousemove", *tile(1, 45, 45))
    turn_wheel(robot, 1)
    assert [p.view.place[0] for p in montage.panels[:2]] == [before, before + 2]  # all tiles are turned
    robot.key("c")
    assert session.models[1].points[-1].z == montage.panels[1].at == before + 2
    assert f"z {before + 2}" in picker.place_label.cget("text")
    half = montage.panels[1].camera.zoom / 2
    montage.panels[0].redraw()  # its neighbour waits to be drawn: it must not bring the old zoom back
    montage.panels[1].zoom(0.5)
    robot.pump(0.5)
    assert {round(p.camera.zoom, 6) for p in montage.panels} == {round(half, 6)}
    robot.click_at(*tile(1, -20, 45))
    assert session.count == 25 and "outside the tomogram" in picker.w["message"].cget("text")
    first = montage.first
    robot.key("Up")
    robot.key("Next")
    assert montage.first == max(first + 2 - montage.pages(), 0) and picker.in_montage
    robot.key("m")
    robot.pump(0.5)
    assert picker.panels[0].winfo_ismapped() and not montage.winfo_ismapped()
    picker.state_.go(0, 25)
    robot.key("m")
    robot.pump(0.5)
    assert montage.winfo_ismapped() and montage.panels[0].at == montage.first
    robot.key("z")  # one plane
    robot.pump(0.5)
    assert picker.panels[0].winfo_ismapped() and not montage.winfo_ismapped() and not picker.panels[1].winfo_ismapped()
    picker.close()
    dialog.shut()


def test_a_tomogram_and_what_it_was_made_from_follow_each_other(robot, tmp_path):
    rng = np.random.default_rng(3)
    for name, shape in (("old.mrc", (24, 81, 100)), ("new.mrc", (12, 40, 50))):
        mrc.write_volume(
            tmp_path / name, rng.normal(size=shape).astype(np.float32), 10.0 if name == "old.mrc" else 20.0
        )
    window = BeforeAfter(
        robot.window, VolumeSource(tmp_path / "old.mrc"), VolumeSource(tmp_path / "new.mrc"), "x", 20.0
    )
    window.geometry("+40+40")
    robot.pump(0.8)
    new, old = window.panels[0], window.old_panel
    for panel in (new, old):
        zooms = new.camera.zoom, old.camera.zoom
        x, y = robot.at(panel.canvas)
        robot.xdotool("mousemove", x + 20, y + 10, "keydown", "ctrl")
        turn_wheel(robot, 2)
        robot.xdotool("keyup", "ctrl")
        robot.pump(0.3)
        assert (new.camera.zoom, old.camera.zoom) == pytest.approx([1.44 * z for z in zooms])
        robot.drag((x, y), (x + 30, y - 20), button=2)
        robot.pump(0.3)
        assert (old.camera.horizontal - 50, old.camera.vertical - 40) == pytest.approx(
            (2 * (new.camera.horizontal - 25), 2 * (new.camera.vertical - 20))
        )
        level = window.state_.place[0]
        turn_wheel(robot, 1)
        assert window.state_.place[0] == level + 1 and window.old.place[0] == 2 * level + 2
    window.close()


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_clicks_land_within_half_a_pixel_at_any_zoom_and_scale(windows, project, factor):
    robot = windows(project, factor)
    dialog = dialog_of(robot, "pick-vectorial", model="general")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    panel, session = picker.panels[0], picker.session
    rng = np.random.default_rng(3)
    for notches in (0, 4, 9, -16):
        x, y = robot.at(panel.canvas)
        robot.xdotool("mousemove", x + 7, y - 5)
        robot.xdotool("keydown", "ctrl", "click", "--repeat", abs(notches) or 1, "--delay", 15, 4 if notches > 0 else 5,
                      "keyup", "ctrl")  # fmt: skip
        robot.pump(0.2)
        for _ in range(3):
            sx, sy = (int(v) for v in rng.uniform(0.35, 0.65, 2) * (panel.camera.width, panel.camera.height))
            z, vy, vx = panel.place_of(sx, sy)
            if any(not 0 <= v <= n - 1 for v, n in zip((z, vy, vx), picker.source.shape, strict=True)):
                continue
            before = session.count
            robot.click_at(panel.canvas.winfo_rootx() + sx, panel.canvas.winfo_rooty() + sy)
            if session.count == before:  # it hit the point that is there already
                continue
            p = session.models[1].points[-1]
            off = np.subtract(panel.screen_of((p.z, p.y, p.x)), (sx, sy))
            assert np.abs(off).max() <= 0.5 and p.z == picker.state_.place[0]
    assert session.count >= 6
    lens = picker.corner.magnified
    robot.key("a")
    robot.key("f")
    robot.xdotool("mousemove", *robot.at(picker.panels[1].canvas))
    assert robot.pump(until=lambda: lens.caption(7) == "XZ  y 7", timeout=5)  # it says which plane it magnifies
    x, y = robot.at(panel.canvas)
    robot.xdotool("mousemove", x + 61, y - 53)  # what is there is magnified, and a click there is a point too
    assert lens.camera.zoom >= 3 and np.allclose(_middle(lens), panel.mouse)
    sx, sy, before = lens.camera.width // 2 + 21, lens.camera.height // 2 - 17, session.count
    robot.click_at(lens.canvas.winfo_rootx() + sx, lens.canvas.winfo_rooty() + sy)
    p = session.models[1].points[-1]
    assert session.count == before + 1 and np.abs(np.subtract(lens.screen_of((p.z, p.y, p.x)), (sx, sy))).max() <= 0.5
    assert robot.pump(until=lambda: dialog.tree.set(dialog.picking_run.names[0], "#1") == str(session.count), timeout=3)
    picker.close()
    dialog.shut()


def _middle(panel):
    return panel.view.to_voxel(panel.axis, panel.camera.horizontal, panel.camera.vertical)
