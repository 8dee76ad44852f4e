"""The pickers by real mouse events: vectorial picking, boxer, network references, selections in 3D."""

import numpy as np
import pytest

from emtomo.gui.core.trainer import available
from emtomo.gui.tk.pickingdialog import open_dialog
from emtomo.io import mrc
from tests.gui.picking import dialog_of, picker_of, screen, turn_wheel

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


@pytest.fixture
def robot(windows, project):
    return windows(project)


def test_clicks_within_the_box_of_a_particle_pick_others(robot):
    dialog = dialog_of(robot, "pick-manually", box_size="40")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    session, z = picker.session, picker.state_.place[0]
    places = [(60, 40 + 6 * k) for k in range(10)]  # each within the box of the one before
    for y, x in places:
        robot.click_at(*screen(picker, z, y, x))
    assert session.count == 10
    turn_wheel(robot, 4)
    robot.click_at(*screen(picker, z + 4, 60, 40))
    assert session.count == 11 and session.models[1].points[-1].z == z + 4
    robot.click_at(*screen(picker, z + 4, 60, 70), keys=("shift",))
    assert session.count == 11 and f"lies on slice z {z}" in picker.w["message"].cget("text")
    robot.key("e")
    picker.tools.radius.set("3")
    turn_wheel(robot, 30)  # out of all boxes: what is not drawn is not erased
    robot.drag(screen(picker, z, 60, 40), screen(picker, z, 60, 100))
    assert session.count == 11
    picker.close()
    dialog.shut()


def test_the_click_that_raises_a_picker_does_not_pick(robot):
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    session, z = picker.session, picker.state_.place[0]
    robot.click_at(*screen(picker, z, 60, 50))
    assert session.count == 1
    robot.window.geometry("700x600+800+300")
    robot.pump(0.5)
    robot.click_at(*robot.at(robot.window.status))  # the project window lies over a part of the picker now
    robot.pump(0.3)
    robot.click_at(*screen(picker, z, 70, 30))
    assert session.count == 1
    robot.click_at(*screen(picker, z, 75, 35))
    assert session.count == 2
    picker.close()
    dialog.shut()


def test_points_are_added_moved_removed_undone_and_tracked(robot):
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    first, second = dialog.picking_run.names
    picker = picker_of(robot, dialog, first)
    session = picker.session
    robot.click_at(*screen(picker, 32, 60, 50))
    robot.click_at(*screen(picker, 32, 80, 70))
    robot.key("c")
    assert session.count == 3 and session.models[1].kind == "vesicle"
    z = session.models[1].points[0].z
    assert (
        {p.z for p in session.models[1].points} == {z} == {float(picker.state_.place[0])}
    )  # on the slice that is shown
    robot.drag(screen(picker, z, 60, 50), screen(picker, z, 66, 44))
    p = session.models[1].points[0]
    assert abs(p.y - 66) <= 0.6 / picker.panels[0].camera.zoom and abs(p.x - 44) <= 0.6 / picker.panels[0].camera.zoom
    robot.click_at(*screen(picker, z, p.y, p.x), button=3)
    assert session.count == 2
    robot.click_at(*screen(picker, z, 30, 30), keys=("shift",))  # nothing there
    assert session.count == 2
    robot.key("ctrl+z", "ctrl+z")
    assert session.count == 3 and session.models[1].points[0].x == pytest.approx(50, abs=0.5)
    robot.key("ctrl+y")
    robot.key("Delete")
    assert session.count == 2
    robot.click_at(*screen(picker, z, 90, 90))
    robot.key("n")
    assert session.current == 2
    robot.key("t")
    robot.click_at(*screen(picker, z, 20, 20))
    assert session.count == 3 and picker.state_.place[1:] == [20, 20]  # clicks only move the planes now
    robot.key("o")
    assert robot.pump(until=lambda: "pick at least 5" in picker.w["message"].cget("text"), timeout=3)
    robot.click_at(*screen(picker, z, 64, 64), button=2)
    # the next tomogram in a row, then closing: both are counted
    other = picker_of(robot, dialog, second)
    robot.click_at(*screen(other, 32, 40, 40))
    other.close()
    picker.close()
    robot.pump(0.3)
    values = [dialog.tree.item(n, "values") for n in (first, second)]
    assert [int(v[0]) for v in values] == [3, 1] and all("done" in v[1] for v in values)
    dialog.close()
    assert "4 points in 2 tomograms" in dialog.w["question"].text
    dialog.w["question"].w["No"].invoke()
    robot.pump(0.2)
    assert not robot.window.picking_dialogs
    # nothing is lost, and without a change nobody is asked
    open_dialog(robot.window, dialog.picking_run.run)
    assert robot.pump(until=lambda: robot.window.picking_dialogs, timeout=10)
    again = next(iter(robot.window.picking_dialogs.values()))
    assert robot.pump(until=lambda: str(again.tree.item(first, "values")[0]) == "3", timeout=5)
    again.register_output()
    robot.finished(again.label)
    again.close()
    assert "question" not in again.w


def test_a_membrane_is_followed_with_o_and_the_montage_picks_on_its_slices(robot):
    truth = robot.window.folder
    dialog = dialog_of(robot, "pick-vectorial", model="vesicle")
    name = dialog.picking_run.names[0]
    picker = picker_of(robot, dialog, name)
    session = picker.session
    session.new_model("vesicle")
    from emtomo.engine.project import EmtomoProject
    from emtomo.objects import SetOfMeshes

    run = robot.run_named("simulate")
    frame = SetOfMeshes.open(truth / run.folder / "meshes.sqlite").frame(tomogram_id=name)
    points = frame[frame["role"] == "point"][["x", "y", "z"]].to_numpy() / 10 + np.array([64, 64, 32])
    centre = frame[frame["role"] == "inside"][["x", "y", "z"]].to_numpy()[0] / 10 + np.array([64, 64, 32])
    radius = float(np.median(np.linalg.norm(points - centre, axis=1)))
    assert EmtomoProject and radius > 10
    k = int(centre[2])
    for z in (k - 2, k - 1, k):
        r = np.sqrt(radius**2 - (z - centre[2]) ** 2)
        angles = np.arange(12) * np.pi / 6
        session.add_many(1, [[centre[0] + r * np.cos(a), centre[1] + r * np.sin(a), float(z), "point"] for a in angles])
    picker.on_change()
    before = session.count
    robot.xdotool("mousemove", *screen(picker, k, 64, 64))
    robot.key("o")
    assert robot.pump(until=lambda: session.count > before, timeout=20), picker.w["message"].cget("text")
    new = np.array([[p.x, p.y, p.z] for p in session.models[1].points[before:]])
    assert set(new[:, 2]) == {float(k + 1)} and picker.state_.place[0] == k + 1
    assert np.median(np.abs(np.linalg.norm(new - centre, axis=1) - radius)) < 2.0
    robot.key("ctrl+z")
    assert session.count == before  # one undo takes all of it back
    assert robot.pump(until=lambda: 1 in picker.live.fits and len(picker.live.fits[1].faces), timeout=10)
    assert "radius" in picker.w["fit"].cget("text")

    robot.key("m")
    assert robot.pump(until=lambda: picker.montage is not None, timeout=5)
    montage = picker.montage
    robot.pump(0.8)
    panel = montage.panels[2]
    z = panel.view.place[0]
    x, y = panel.screen_of((z, 60.0, 40.0))
    robot.click_at(panel.canvas.winfo_rootx() + int(round(x)), panel.canvas.winfo_rooty() + int(round(y)))
    last = session.models[1].points[-1]
    assert session.count == before + 1 and last.z == float(z)
    assert abs(last.x - 40) <= 0.6 / panel.camera.zoom and abs(last.y - 60) <= 0.6 / panel.camera.zoom
    assert montage.active == 2 and panel.canvas.cget("highlightbackground") == "#ff3b30"  # the red frame
    montage.w["next page"].invoke()
    assert montage.panels[0].view.place[0] > montage.panels[0].view.source.shape[0] // 3
    picker.w["click picks"].invoke()
    robot.click_at(panel.canvas.winfo_rootx() + int(round(x)), panel.canvas.winfo_rooty() + int(round(y)))
    assert session.count == before + 1
    picker.close()
    dialog.shut()


def test_the_boxer_picks_moves_erases_and_lists(robot):
    dialog = dialog_of(robot, "pick-manually", box_size="24")
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    session, panel = picker.session, picker.panels[0]
    z = picker.state_.place[0]
    places = [(30, 30), (30, 90), (90, 30), (90, 90)]
    for y, x in places:
        robot.click_at(*screen(picker, z, y, x))
    assert session.count == 4
    robot.drag(screen(picker, z, 30, 30), screen(picker, z, 40, 50))
    assert session.models[1].points[0].x == pytest.approx(50, abs=1 / panel.camera.zoom)
    robot.click_at(*screen(picker, z, 90, 90), keys=("shift",))
    assert session.count == 3
    assert robot.pump(until=lambda: len(picker.particles.names) == 3, timeout=10)
    robot.click_at(*picker.particles.place_of((1, 1)))  # a picture: go there
    assert picker.state_.place[1:] == [30, 90]
    robot.click_at(*picker.particles.place_of((1, 2)), keys=("shift",))
    assert session.count == 2
    robot.xdotool("mousemove", *screen(picker, z, 60, 60))
    robot.key("n")
    robot.click_at(*screen(picker, z, 100, 20))
    assert [len(m.points) for m in session.models.values()] == [2, 1]
    robot.key("e")
    picker.tools.radius.set("14")
    robot.drag(screen(picker, z, 40, 56), screen(picker, z, 30, 90))  # rub along two particles
    assert session.count == 1
    robot.key("ctrl+z", "ctrl+z")
    assert session.count == 3
    robot.xdotool("mousemove", *screen(picker, z, 60, 60))
    robot.key("space")  # the next tomogram takes its place
    names = dialog.picking_run.names
    assert robot.pump(until=lambda: names[1] in dialog.pickers and names[0] not in dialog.pickers, timeout=10)
    assert dialog.pickers[names[1]].session.tomogram_id == names[1]
    dialog.open_next(names[1])  # after the last the first
    assert robot.pump(until=lambda: names[0] in dialog.pickers and names[1] not in dialog.pickers, timeout=10)
    dialog.pickers[names[0]].close()
    dialog.register_output()
    robot.finished("manual picking")
    run = robot.run_named("manual picking")
    assert "3 particles" in next(o for o in run.outputs if o.name == "coordinates").summary
    dialog.close()


def test_scores_hide_and_remove_particles(robot):
    dialog = dialog_of(robot, "pick-manually")
    session = dialog.picking_run.session(dialog.picking_run.names[0])
    group = session.new_model("particles")
    session.add_many(group, [[20 + k, 30, 30, "point", (k + 1) / 10] for k in range(10)])
    session.add_many(group, [[40, 40, 30, "point"]])  # marked by hand: no score, so never below one
    picker = picker_of(robot, dialog, dialog.picking_run.names[0])
    picker.tools.score.set(0.55)
    picker.tools._scored()
    picker.w["remove below"].invoke()
    assert session.count == 6
    picker.undo()
    assert session.count == 11
    picker.close()
    dialog.shut()


@pytest.mark.skipif(bool(available()), reason="PyTorch is not installed (make nn)")
def test_a_network_is_trained_applied_and_its_picks_corrected(robot):
    dialog = dialog_of(robot, "pick-convnet", box_size="24", iterations="3", copies="16", threshold="0.1")
    name = dialog.picking_run.names[0]
    picker = picker_of(robot, dialog, name)
    z = picker.state_.place[0]
    for k in range(5):
        robot.click_at(*screen(picker, z, 20 + 20 * k, 40))
        robot.click_at(*screen(picker, z, 20 + 20 * k, 90), keys=("ctrl",))
    counts = {m.kind: len(m.points) for m in picker.session.models.values()}
    assert counts == {"positive": 5, "negative": 5, "particles": 0}
    assert robot.pump(until=lambda: str(dialog.w["train"].cget("state")) == "normal", timeout=5)
    assert str(dialog.w["apply"].cget("state")) == "disabled"
    dialog.w["train"].invoke()
    assert robot.pump(until=lambda: dialog.trainer.network.exists(), timeout=120), dialog.state_.cget("text")
    assert robot.pump(until=lambda: str(dialog.w["apply"].cget("state")) == "normal", timeout=60)
    assert [k for k, _ in dialog.trainer.losses] == [1, 2, 3]
    dialog.threshold.set("0.01")
    dialog.w["apply"].invoke()
    assert robot.pump(until=lambda: "particles" in dialog.state_.cget("text"), timeout=60), dialog.state_.cget("text")
    found = len(picker.session.models[picker.group_of("particles")].points)
    assert int(dialog.tree.item(name, "values")[0]) == found > 0
    # a found particle becomes a bad reference by Ctrl+click on its picture
    assert robot.pump(until=lambda: picker.strips["particles"].names, timeout=10)
    key = picker.strips["particles"].names[0]
    picker._picture_clicked(key, 0x4)
    assert len(picker.session.models[picker.group_of("negative")].points) == 6
    dialog.load_from(str(robot.window.folder / "points.csv"))
    assert "network" in dialog.state_.cget("text").lower() or "safetensors" in dialog.state_.cget("text")
    picker.close()
    dialog.register_output()
    robot.finished("neural picking")
    dialog.shut()


def test_particles_selected_in_space_and_in_the_gallery_are_one_selection_and_the_rest_keeps_its_kind(robot):
    from emtomo.viewers import ViewParticlesInSpace

    output = robot.window.output_named(f"{robot.run_named('extract').id}.subtomograms")
    got = []
    robot.window.view(output, ViewParticlesInSpace, got.append)
    assert robot.pump(until=lambda: got, timeout=30)
    window = got[0]
    browser, total = window.browser, len(window.browser)
    assert str(window.w["keep"].cget("state")) == "disabled"
    pane = window.panes["3d"]
    if (
        robot.pump(until=lambda: pane.view is not None or "OpenGL" in pane.message.cget("text"), timeout=30)
        and pane.view
    ):
        window.geometry("1200x700+0+0")
        robot.pump(0.5)
        pane.look("z")
        robot.pump(0.3)
        canvas = pane.view.canvas
        x, y, _ = pane.view.scene.project(canvas.winfo_width(), canvas.winfo_height())[0]
        left, top = canvas.winfo_rootx() + int(x), canvas.winfo_rooty() + int(y)
        robot.drag((left - 15, top - 15), (left + 15, top + 15), button=3)
        assert browser.selected[0] and (pane.view.scene.selected == browser.selected[pane._rows]).all()
        robot.click(window.w["clear"])
        robot.window.geometry("500x400+900+500")
        robot.pump(0.4)
        robot.click_at(*robot.at(robot.window.status))  # the project window lies over a part of the browser now
        for count in (0, 1):  # the first click brings the browser to the front, the second is meant
            robot.click_at(left, top)
            assert robot.pump(until=lambda n=count: browser.selected.sum() == n, timeout=3)
    window.show_tab("gallery")
    gallery = window.panes["gallery"]
    assert robot.pump(until=lambda: gallery.sheet is not None, timeout=20)
    left, top = gallery.canvas.winfo_rootx(), gallery.canvas.winfo_rooty()
    for k, button in ((0, 1), (1, 3), (2, 3), (1, 3)):  # the first alone, two more, the second is taken back
        x0, y0, x1, y1 = gallery.sheet.box(k)
        robot.click_at(left + (x0 + x1) // 2, top + (y0 + y1) // 2, button)
    assert np.flatnonzero(browser.selected).tolist() == [0, 2] and browser.current == 1
    robot.key("Return")
    assert robot.pump(until=lambda: "box" in window.w)
    row, box = window.images.frame.iloc[1], window.w["box"].source
    truth = mrc.read_volume(robot.window.folder / row["file"]).reshape(-1, *box.shape)[int(row["index"])]
    box.build()
    assert box.shape == (24, 24, 24) and np.array_equal(box.plane(0, 11), truth[11])
    assert np.array_equal(box.slab(0, 24), truth)
    window.w["box"].close()
    robot.click(window.w["keep others"])
    robot.finished("selected from extract")
    made = next(o for o in robot.run_named("selected from extract").outputs if o.name == "subset")
    assert made.kinds[0] == output.kinds[0] == "SetOfSubtomograms"
    assert int(made.summary.split()[0]) == total - 2
    window.close()


def test_coordinates_are_edited_in_a_picker_from_the_browser_by_clicks(robot):
    window, run = robot.window, robot.run_named("model")
    got = []
    window.view(window.output_named(f"{run.id}.coordinates"), then=got.append)
    assert robot.pump(until=lambda: got, timeout=20)
    robot.pump(0.5)
    robot.click(got[0].w["edit"])
    assert robot.pump(until=lambda: "form" in got[0].w, timeout=5)
    form = got[0].w["form"]
    assert form.model.fields["coordinates"].text == f"{run.id}.coordinates"
    assert robot.pump(until=lambda: str(form.w["pick"].cget("state")) == "normal", timeout=5)
    robot.click(form.w["pick"])
    assert robot.pump(until=lambda: window.picking_dialogs, timeout=15)
    dialog = next(iter(window.picking_dialogs.values()))
    counts, tree = got[0].browser.table["tomogram_id"].value_counts(), dialog.tree
    wanted = [str(counts.get(name, 0)) for name in dialog.picking_run.names]
    assert robot.pump(until=lambda: [tree.set(name, "#1") for name in dialog.picking_run.names] == wanted, timeout=10)
    dialog.shut()
    got[0].close()
