"""The windows and viewers, driven in-process; an error in any callback fails the test."""

import subprocess
import sys
import threading
import tkinter

import numpy as np
import pytest

from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.core.shown import viewers_of_kinds
from emtomo.gui.tk.loading import follow
from tests.gui.picking import dialog_of

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


def test_the_core_of_the_windows_imports_no_tkinter():
    code = (
        "import sys\n"
        "for name in ('tkinter', '_tkinter', 'ttkbootstrap'): sys.modules[name] = None\n"
        "import importlib, pkgutil, emtomo.gui.core as core, emtomo.viewers\n"
        "for m in pkgutil.iter_modules(core.__path__): importlib.import_module('emtomo.gui.core.' + m.name)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def robot(windows, project):
    return windows(project)


def toplevels(window):
    return [c for c in window.winfo_children() if isinstance(c, tkinter.Toplevel) and hasattr(c, "w")]


def close_all(robot):
    for one in reversed(toplevels(robot.window)):
        if one.winfo_exists():
            getattr(one, "shut", None) or getattr(one, "destroy_form", None)
            (getattr(one, "destroy_form", None) or getattr(one, "shut", None) or one.close)()
    robot.pump(0.1)


def test_every_viewer_opens_every_output_and_closes(robot):
    window, count = robot.window, 0
    for run in list(window.runs.values()):
        for output in run.outputs:
            for viewer in viewers_of_kinds(output.kinds):
                before = set(toplevels(window))
                got, window_says = [], []
                window.report_failure = window_says.append  # a refusal is a sentence, not a dialog, here
                window.view(output, viewer, got.append)
                assert robot.pump(until=lambda g=got, s=window_says: g or s, timeout=15), (output.title, viewer.KEY)
                robot.pump(0.15)
                if window_says:
                    assert viewer.KEY in ("3d", "directions", "ctf-fit", "ctf-charts"), (viewer.KEY, window_says)
                    continue
                count += 1
                assert set(toplevels(window)) - before
                close_all(robot)
    assert count > 35


def has_drawn(browser, tab):
    """Return whether a particle browser shows its tab, or says why it cannot."""
    pane = browser.panes[tab]
    if tab == "slices":
        return pane.panel is not None
    said = pane.message.cget("text")
    return pane.view is not None or (said and not said.startswith("Reading"))


def test_no_volume_is_read_in_the_thread_of_the_windows(robot, monkeypatch):
    from emtomo.gui.core.volume import VolumeSource

    read, usual = [], VolumeSource.__init__

    def init(self, path):
        read.append(threading.current_thread() is threading.main_thread())
        usual(self, path)

    monkeypatch.setattr(VolumeSource, "__init__", init)
    window, kinds, refused = robot.window, set(), []
    window.report_failure = refused.append  # a refusal is a sentence, not a dialog, here
    for output in [o for run in window.runs.values() for o in run.outputs]:
        for viewer in viewers_of_kinds(output.kinds):
            if viewer.KEY not in ("slices", "points", "coordinates", "3d"):
                continue
            got, before = [], len(read)
            refused.clear()
            window.view(output, viewer, got.append)
            assert robot.pump(until=lambda g=got: g or refused, timeout=15), (output.title, viewer.KEY)
            if refused:
                assert viewer.KEY == "3d", (viewer.KEY, refused)
                continue
            if hasattr(got[0], "browser"):
                assert robot.pump(until=lambda w=got[0], v=viewer: has_drawn(w, v.TAB), timeout=15), viewer.KEY
            elif hasattr(got[0], "tree"):  # of several tomograms: open the first
                got[0].open(got[0].tree.get_children()[0])
                assert robot.pump(until=lambda g=got: "opened" in g[0].w, timeout=15)
            kinds |= {viewer.KEY} if len(read) > before else set()
            close_all(robot)
    dialog = dialog_of(robot, "pick-vectorial")
    for name in dialog.picking_run.names:
        dialog.open(name)
        dialog.open(name)  # twice is one window
    assert robot.pump(until=lambda: len(dialog.pickers) == len(dialog.picking_run.names), timeout=15)
    dialog.shut()
    assert {"slices", "points", "coordinates"} <= kinds
    assert len(read) > 8 and not any(read)


def test_runs_are_selected_filtered_sorted_and_found(robot):
    window = robot.window
    by_label = {r.label: r.id for r in window.runs.values()}
    window.graph.select({by_label["model"]})
    robot.pump(0.3)
    assert window.list.tree.selection() == (str(by_label["model"]),)
    assert "model workflow" in window.w["summary"].get("1.0", "end")
    assert robot.pump(until=lambda: window.w["parameters"].get_children(), timeout=5)
    cells = [window.w["parameters"].item(i, "values") for i in window.w["parameters"].get_children()]
    assert ("Input meshes", "pick.meshes") in [tuple(c) for c in cells]
    window.list.words.set("average")
    assert {window.runs[int(i)].label for i in window.list.tree.get_children()} >= {"average"}
    assert len(window.list.tree.get_children()) < len(window.runs)
    window.list.words.set("")
    window.list.status.set("failed")
    window.list.fill()
    assert not window.list.tree.get_children()
    window.list.status.set("any status")
    window.list._sort("label")
    labels = [window.list.tree.item(i, "values")[1] for i in window.list.tree.get_children()]
    assert labels == sorted(labels, key=str.lower)
    quick = window.search_runs()
    quick.words.set("extr")
    assert quick.tree.selection()[0] == f"run {by_label['extract']}"
    quick.take()
    assert window.selection == [by_label["extract"]]
    window.graph.select([by_label["bin"], by_label["pick"]])
    window.compare()
    rows = robot.toplevel("Rows")
    assert rows.w["rows"].get_children()
    rows.close()
    window.graph.canvas.focus_force()
    window.select_below()
    assert len(window.selection) > 2
    window.details_copy()
    assert "emtomo" in window.clipboard_get()
    menu = window.output_menu(window.runs[by_label["model"]].outputs[0])
    assert menu.index("end") >= 4
    window.show_keys()
    close_all(robot)


def test_an_output_is_dragged_onto_an_input_and_what_does_not_fit_is_reported(robot):
    window = robot.window
    by_label = {r.label: r.id for r in window.runs.values()}
    window.graph.select({by_label["model"]})
    form = window.new_form("clean-coordinates")
    form.model.put("coordinates", "")
    window.details.select(1)
    assert robot.pump(until=lambda: window.details.outputs.get_children(), timeout=5)
    form.geometry("+820+40")
    robot.pump(0.5)
    target = f"{by_label['model']}.coordinates"
    x, y = robot.row(window.details.outputs, target)
    robot.drag((x, y), robot.at(form.rows["coordinates"].input.main))
    assert robot.pump(until=lambda: form.model.fields["coordinates"].text == target, timeout=3)
    other = window.new_form("denoise-tomograms")
    assert not other.rows["tomograms"].input.take_output(window.output_named(target))
    close_all(robot)


def test_tool_bars_and_windows_fit_narrow_and_at_twice_the_size(windows, project):
    robot = windows(project, factor=2.0)
    window = robot.window
    window.geometry("1290x900+0+0")
    robot.pump(0.5)
    assert window.factor == 2.0
    for name in ("new", "run", "stop"):
        button = window.w[name]
        assert button.winfo_viewable()
        assert button.winfo_rootx() + button.winfo_width() <= window.winfo_rootx() + window.winfo_width()
    bar = next(c for c in window.winfo_children() if type(c).__name__ == "ActionBar")
    assert bar.more.winfo_viewable() and bar.menu.index("end") >= 0  # the rest is in a menu, not cut off
    assert window.status.winfo_rooty() + window.status.winfo_height() <= window.winfo_rooty() + window.winfo_height()
    go_on = threading.Event()

    def read(task):
        task.report(0.4)
        go_on.wait(20)

    follow(window, window.work(read, lambda _: None))
    bar = window.loading_bar
    assert robot.pump(until=lambda: bar.seen, timeout=5) and float(bar.cget("value")) == 0.4
    assert bar.winfo_rooty() + bar.winfo_height() == window.winfo_rooty() + window.winfo_height()
    go_on.set()
    assert robot.pump(until=lambda: not bar.winfo_viewable(), timeout=5)


def test_five_hundred_runs_are_shown_and_a_change_of_status_touches_one_node(robot):
    graph, rng = robot.window.graph, np.random.default_rng(1)
    runs = {}
    for i in range(500):
        parents = frozenset(int(k) for k in rng.choice(i, min(i, 2), replace=False)) if i else frozenset()
        outputs = (RunOutput(i, f"run {i}", "tomograms", ("SetOfTomograms",)),)
        runs[i] = Run(i, f"run {i}", "bin-tomograms", "bin", "finished", parents, outputs, folder="Runs/x")
    graph.show(runs)
    robot.pump(0.3)
    assert len(graph.places) == 500 and robot.pump(until=graph.map.winfo_viewable, timeout=10)
    items = len(graph.canvas.find_all())
    changed = {**runs, 7: Run(7, "run 7", "bin-tomograms", "bin", "running", runs[7].parents, progress=0.5)}
    graph.show(changed)
    assert len(graph.canvas.find_all()) == items
    assert "50%" in graph.canvas.itemcget("status7", "text")
    graph.zoom(0.2)
    graph.zoom(8.0)
    graph.fit()
    graph.select({499}, see=True)
    left, top = graph.canvas.canvasx(0), graph.canvas.canvasy(0)
    x, y = graph.places[499]
    assert left <= x <= left + graph.canvas.winfo_width() and top <= y <= top + graph.canvas.winfo_height()
    for _ in range(3):
        graph._step(-1, 0)
    assert graph.selection != {499}


def test_closing_the_window_leaves_runs_alive_and_opening_finds_them(windows, project):
    robot = windows(project)
    form = robot.window.new_form("denoise-tomograms")
    form.model.put("tomograms", f"{robot.run_named('simulate').id}.tomograms")
    form.model.put("iterations", "2000")
    assert robot.pump(until=lambda: str(form.w["run"].cget("state")) == "normal", timeout=10)
    form.run()
    assert robot.pump(until=lambda: (r := robot.run_named("denoise tomograms")) and r.status == "running", timeout=30)
    robot.close()
    again = windows(project)
    assert again.run_named("denoise tomograms").status == "running"
    again.window.graph.select({again.run_named("denoise tomograms").id})
    again.window.stop_runs()
    assert again.pump(until=lambda: again.run_named("denoise tomograms").status == "aborted", timeout=15)


def test_reports_and_templates_are_written_from_the_window(robot, tmp_path):
    window = robot.window
    window.export_to([r.id for r in window.runs.values()], tmp_path / "w.json.template")
    assert robot.pump(until=(tmp_path / "w.json.template").exists, timeout=10)
    from emtomo.engine.templates import read_template

    assert len(read_template(tmp_path / "w.json.template").protocols) == len(window.runs)
    window.open_folder = lambda path: None  # no file manager here
    window.report()
    assert robot.pump(until=lambda: "Report written" in window.status.cget("text"), timeout=90)
    assert "average" in (window.folder / "report.html").read_text()


def test_a_damaged_journal_and_a_missing_tomogram_are_reported(robot):
    dialog = dialog_of(robot, "pick-vectorial")
    first, second = dialog.picking_run.names
    dialog.picking_run.sessions.clear()
    dialog.picking_run.folder.mkdir(parents=True, exist_ok=True)
    (dialog.picking_run.folder / f"{first}.jsonl").write_text("hello\n")
    dialog.refresh(first)
    assert "damaged" in dialog.tree.item(first, "values") and "line 1" in dialog.state_.cget("text")
    dialog.open(first)
    assert robot.pump(until=lambda: "line 1" in dialog.state_.cget("text"), timeout=10)
    dialog.picking_run.file(second).unlink()
    dialog.open(second)
    assert robot.pump(until=lambda: "cannot be read" in dialog.state_.cget("text"), timeout=10)
    assert not dialog.pickers
    dialog.shut()


def test_the_start_window_offers_recent_projects(display, tmp_path, made_project):
    from emtomo.gui.core.settings import Settings
    from emtomo.gui.tk.start import StartWindow

    settings = Settings(tmp_path / "s.json")
    settings.remember(str(made_project))
    window = StartWindow(settings)
    window.update()
    assert window.tree.get_children() == (str(made_project),)
    window.take(tmp_path, new=False)
    assert "is not a project" in window.message.cget("text")
    window.take(tmp_path, new=True)
    assert "is not empty" in window.message.cget("text")
    window.open_selected()
    assert window.chosen == made_project and not window.errors


def test_buttons_answer_the_space_bar(robot):
    pressed = []
    button = robot.window.w["find"] if "find" in robot.window.w else robot.window.w["search runs"]
    button.configure(command=lambda: pressed.append(1))
    button.focus_force()
    robot.pump(0.2)
    robot.key("space")
    assert pressed == [1]


def test_shortcuts_stay_out_of_text_fields(robot):
    window = robot.window
    count = len(window.runs)
    robot.click(window.w["search"])
    robot.type("pick")
    robot.key("ctrl+a", "ctrl+d", "Delete")
    robot.pump(1.0)
    assert not window.graph.selection and len(window.runs) == count
    robot.click(window.graph.canvas)
    robot.key("ctrl+a")
    assert len(window.graph.selection) == count
