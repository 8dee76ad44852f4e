"""The thread that owns the project, and what the window asks of it, with real runs."""

import json
import sqlite3
import subprocess
import sys
import time

import pytest

from emtomo.engine.overview import run_states
from emtomo.engine.project import EmtomoProject
from emtomo.engine.runner import run_all
from emtomo.engine.templates import export_workflow
from emtomo.errors import ProjectError
from emtomo.gui.core import run_actions
from emtomo.gui.core.background import Mailbox
from emtomo.gui.core.compare import differences
from emtomo.gui.core.run_actions import FormValues
from emtomo.gui.core.runs import _seconds, snapshot
from emtomo.gui.core.service import ProjectService

pytestmark = pytest.mark.workflow


class Window:
    """What stands for the window."""

    def __init__(self, folder):
        self.mailbox, self.seen, self.reported = Mailbox(), [], []
        self.service = ProjectService(folder, self.mailbox, self.seen.append, self.reported.append)
        self.service.open()

    def wait(self, condition, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            self.mailbox.deliver()
            if condition():
                return True
            time.sleep(0.01)
        return False

    def ask(self, work):
        got = []
        self.service.ask(work, lambda r: got.append((True, r)), lambda s: got.append((False, s)))
        assert self.wait(lambda: got)
        return got[0]

    @property
    def runs(self):
        return self.seen[-1]

    def status(self, label):
        return next((r.status for r in self.runs.values() if r.label == label), None)


@pytest.fixture
def window(project):
    made = Window(project)
    assert made.wait(lambda: made.seen)
    yield made
    made.service.close()


def test_a_folder_that_is_not_there_becomes_a_project_and_a_full_one_is_refused(tmp_path):
    new = Window(tmp_path / "new one")
    assert new.wait(lambda: new.seen) and new.runs == {}
    new.service.close()
    (tmp_path / "x.txt").write_text("")
    full = Window(tmp_path)
    assert full.wait(lambda: full.reported) and "not an empty folder" in full.reported[0]
    full.service.close()


def test_rows_hold_what_the_window_shows(window):
    by_label = {r.label: r for r in window.runs.values()}
    assert by_label["simulate"].status == "finished" and by_label["simulate"].seconds > 0
    assert by_label["model"].parents == {by_label["pick"].id}
    (output,) = by_label["model"].outputs
    assert output.kinds[0] == "SetOfCoordinates3D" and "particles" in output.summary
    assert by_label["average"].resolution is None or by_label["average"].resolution > 0


def test_runs_started_on_the_command_line_appear_by_themselves(window):
    done = subprocess.run(
        [sys.executable, "-m", "emtomo", "run", str(window.service.folder), "select-subset", "items=model.coordinates",
         "number=5", "--label", "from outside"], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert window.wait(lambda: window.status("from outside") == "finished", 20)


def test_complaints_pending_inputs_and_a_chain_that_runs_in_its_order(window, tmp_path):
    first = FormValues("select-subset", "one", {"items": "model.coordinates", "number": "8"})
    assert window.ask(lambda p: run_actions.validate_form(p, first, tmp_path)) == (True, [])
    bad = FormValues("select-subset", "pick", {"items": "model.coordinates"})
    assert "labelled 'pick' already" in window.ask(lambda p: run_actions.validate_form(p, bad, tmp_path))[1][0]
    ok, one = window.ask(lambda p: run_actions.save_form(p, first, tmp_path))
    assert ok
    second = FormValues("clean-coordinates", "two", {"coordinates": f"{one}.subset", "min_distance": "1"})
    # the input is pending: no complaint, and starting it alone is refused by nobody but waits
    assert window.ask(lambda p: run_actions.validate_form(p, second, tmp_path)) == (True, [])
    ok, two = window.ask(lambda p: run_actions.save_form(p, second, tmp_path))
    assert window.ask(lambda p: run_actions.launch_runs(p, [one, two]))[0]
    assert window.wait(lambda: window.status("two") == "scheduled" or window.status("two") == "finished", 10)
    assert window.wait(lambda: window.status("two") == "finished", 60), window.runs[two]
    assert window.status("one") == "finished"


def test_a_scheduled_run_can_be_taken_back(window, tmp_path):
    slow = FormValues("denoise-tomograms", "slow", {"tomograms": "simulate.tomograms", "iterations": "3000"})
    ok, i = window.ask(lambda p: run_actions.start_form(p, slow, tmp_path))
    assert ok, i
    later = FormValues("bin-tomograms", "later", {"tomograms": f"{i}.tomograms"})
    ok, k = window.ask(lambda p: run_actions.start_form(p, later, tmp_path))
    assert ok, k
    assert window.wait(lambda: window.status("later") == "scheduled", 10)
    assert window.wait(lambda: window.status("slow") == "running", 30)
    refused = window.ask(lambda p: run_actions.delete_runs(p, [i]))
    assert refused == (False, "slow is running; stop it before you delete it.")
    assert window.ask(lambda p: run_actions.stop_runs(p, [k]))[0]
    assert window.wait(lambda: window.status("later") == "saved", 10)
    assert window.ask(lambda p: run_actions.stop_runs(p, [i]))[0]
    assert window.wait(lambda: window.status("slow") == "aborted", 10)
    assert not json.loads((window.service.folder / "Logs" / "scheduled.json").read_text())


def test_copy_rename_compare_delete(window):
    by_label = {r.label: r.id for r in window.runs.values()}
    ok, made = window.ask(lambda p: run_actions.copy_runs(p, [by_label["pick"], by_label["model"]]))
    assert ok and len(made) == 2
    assert window.wait(lambda: set(made) <= set(window.runs), 10)
    assert window.runs[made[1]].parents == {made[0]}  # connections between copies are kept
    assert window.ask(lambda p: run_actions.rename_run(p, made[1], "other model", "why not"))[0]
    assert window.wait(lambda: window.status("other model"), 10)
    assert window.runs[made[1]].comment == "why not"
    assert window.ask(lambda p: run_actions.rename_run(p, made[1], "pick", "")) == (
        False,
        "This project has a run labelled 'pick' already; labels are unique.",
    )
    change = FormValues("model-workflow", "other model", {"cropping": "9"}, run=made[1])
    assert window.ask(lambda p: run_actions.save_form(p, change, window.service.folder))[0]
    rows = window.ask(lambda p: differences(p, by_label["model"], made[1]))[1]
    assert ("Cropping parameter (voxel)", "8", "9") in rows
    assert all(row[0] in ("Cropping parameter (voxel)", "Input meshes") for row in rows)
    # a label that is being typed is checked and not stored; saving the form stores it
    typed = FormValues("model-workflow", "third model", {"cropping": "9"}, run=made[1])
    assert window.ask(lambda p: run_actions.validate_form(p, typed, window.service.folder)) == (True, [])
    assert window.ask(lambda p: p.find(str(made[1])).getObjLabel()) == (True, "other model")
    assert window.ask(lambda p: run_actions.save_form(p, typed, window.service.folder))[0]
    assert window.ask(lambda p: p.find(str(made[1])).getObjLabel()) == (True, "third model")
    assert window.ask(lambda p: run_actions.rename_run(p, made[1], "other model", ""))[0]
    refused = window.ask(lambda p: run_actions.delete_runs(p, [made[0]]))
    assert refused[0] is False and "would lose an input" in refused[1]
    folders = [window.service.folder / window.runs[i].folder for i in made]
    assert window.ask(lambda p: run_actions.delete_runs(p, made))[0]
    assert window.wait(lambda: not set(made) & set(window.runs), 10)
    assert not any(f.exists() for f in folders)


def test_methods_say_what_was_done_with_which_parameters(window):
    by_label = {r.label: r.id for r in window.runs.values()}
    reported = window.ask(lambda p: run_actions.details(p, by_label["model"]))[1]
    assert "cropping parameter (voxel) 8" in reported.methods and "mesh parameter" not in reported.methods
    assert "particles" in reported.methods and "/" not in reported.methods.split("Result")[0].split("):")[1]
    assert reported.parameters["meshes"].endswith(".meshes")
    assert any("coordinates:" in line for line in reported.summary)


def test_an_edited_run_that_goes_on_is_never_stale(project):
    opened = EmtomoProject.open(project)
    runs = snapshot(opened)
    by_label = {r.label: r.id for r in runs.values()}
    run_actions.save_form(
        opened, FormValues("model-workflow", "model", {"cropping": "12"}, run=by_label["model"]), project
    )
    after = snapshot(opened)
    assert after[by_label["model"]].out_of_date and after[by_label["extract"]].out_of_date
    assert not after[by_label["pick"]].out_of_date
    with pytest.raises(ProjectError, match="no parameter 'colour'"):
        run_actions.save_form(
            opened, FormValues("model-workflow", "model", {"colour": "red"}, run=by_label["model"]), project
        )


def test_a_new_parameter_with_its_default_makes_no_run_out_of_date(project):
    opened = EmtomoProject.open(project)
    run = opened.find("pick")
    path = project / run._getExtraPath("fingerprint.json")
    reported = json.loads(path.read_text())
    del reported["parameters"]["replace_previous"]  # as an older emtomo wrote it
    path.write_text(json.dumps(reported))
    assert not opened.find("pick").out_of_date()
    reported["parameters"]["box_size"] = 99
    path.write_text(json.dumps(reported))
    assert opened.find("pick").out_of_date()


def test_a_run_of_a_protocol_that_is_not_known_is_shown_and_keeps_what_it_is(project, monkeypatch, capsys):
    def classes():
        with sqlite3.connect(project / "project.sqlite") as db:
            return {name for (name,) in db.execute("SELECT classname FROM Objects WHERE parent_id IS NULL")}

    name = next(iter(classes() - {"String"}))
    with sqlite3.connect(project / "project.sqlite") as db:
        db.execute("UPDATE Objects SET classname = 'OfALaterVersion' WHERE classname = ?", (name,))
    monkeypatch.chdir(project)  # run_states goes there
    opened = EmtomoProject.open(project)
    i = next(i for i, row in snapshot(opened).items() if "does not know" in row.title)
    for change in (
        lambda: run_actions.rename_run(opened, i, "another", ""),
        lambda: run_actions.read_form(opened, i),
        lambda: run_actions.launch_runs(opened, [i]),
        lambda: run_actions.copy_runs(opened, [i]),
        lambda: opened.fail(opened.find(str(i)), "why"),
        lambda: run_all(opened, [i], restart=True),
        lambda: export_workflow(opened, [opened.find(str(i))], project / "workflow.json"),
        lambda: differences(opened, i, i),
    ):
        with pytest.raises(ProjectError, match="was made by a protocol that this version does not"):
            change()
    assert "OfALaterVersion" in classes() and "LegacyProtocol" not in classes()
    state = next(one for one in run_states(project) if one.id == i)
    assert state.protocol == "unknown protocol" and "this version does not know" in state.damage[0]
    assert "be validated" not in capsys.readouterr().out  # the engine's words


def test_runs_below_one_that_is_restarted_are_out_of_date_if_it_made_something_else(window):
    by_label = {r.label: r.id for r in window.runs.values()}
    first = window.service.folder / window.runs[by_label["pick"]].folder / "meshes.sqlite"
    before = first.stat().st_mtime_ns
    assert window.ask(lambda p: run_actions.launch_runs(p, [by_label["pick"]], restart=True)) == (True, None)
    assert window.wait(
        lambda: window.status("pick") == "finished" and first.exists() and first.stat().st_mtime_ns != before, 30
    )
    # the same points again are the same input
    assert window.wait(lambda: not window.runs[by_label["model"]].out_of_date, 10)
    other = FormValues("pick-vectorial", "pick", {"box_size": "26"}, run=by_label["pick"])
    started, said = window.ask(lambda p: run_actions.start_form(p, other, window.service.folder))
    assert started, said
    assert window.wait(lambda: window.status("pick") == "finished" and window.runs[by_label["model"]].out_of_date, 30)
    assert window.ask(lambda p: run_actions.launch_runs(p, [by_label[n] for n in ("model", "extract", "average")]))[0]
    assert window.wait(
        lambda: (
            not any(
                r.out_of_date or r.active for r in window.runs.values() if r.label in ("model", "extract", "average")
            )
        ),
        60,
    )


def test_a_folder_that_was_moved_while_open_is_reported_once_and_never_made_anew(window):
    here = window.service.folder
    here.rename(here.parent / "moved")
    refused = window.ask(lambda p: run_actions.copy_runs(p, [2]))
    assert not refused[0] and "is gone: it was moved, renamed or deleted" in refused[1]
    window.service.refresh()
    assert window.wait(lambda: window.reported)
    assert not here.exists() and len({*window.reported}) == 1
    (here.parent / "moved").rename(here)
    assert window.ask(lambda p: p.find("pick").getObjLabel()) == (True, "pick")


def test_a_workflow_is_scheduled_on_picks_that_are_still_to_come(window):
    """Two picking runs are joined; both wait for a user, and all below them for that."""
    made = []
    for label in ("first", "second"):
        values = {"tomograms": "simulate.tomograms", "box_size": "20"}
        form = FormValues("pick-manually", label, values)
        assert window.ask(lambda p, f=form: run_actions.validate_form(p, f, window.service.folder))[1] == [
            "Give a file of points or previous coordinates. Press Pick to pick in a window."
        ]
        made.append(window.ask(lambda p, f=form: run_actions.save_form(p, f, window.service.folder))[1])
    both = FormValues(
        "consensus-picks", "both", {"coordinates": "first.coordinates,second.coordinates", "radius": "50"}
    )
    assert window.ask(lambda p: run_actions.validate_form(p, both, window.service.folder)) == (True, [])
    ok, i = window.ask(lambda p: run_actions.start_form(p, both, window.service.folder))
    assert ok, i
    assert window.wait(lambda: window.status("both") == "scheduled", 10)
    lock = window.service.folder / "Logs" / f"start_{i}.lock"
    assert window.wait(lock.exists)  # now its process looks at the picks, which are missing, and waits
    assert not window.wait(lambda: window.status("both") != "scheduled", 1.5), window.runs[i].error
    points = window.service.folder / "few.csv"
    points.write_text("tomogram_id,x,y,z\nTS_001,0,0,0\n".replace("TS_001", _first_tomogram(window)))
    for k in made:
        form = FormValues("pick-manually", window.runs[k].label, {"points": str(points)}, run=k)
        assert window.ask(lambda p, f=form: run_actions.start_form(p, f, window.service.folder))[0]
    assert window.wait(lambda: window.status("both") in ("finished", "failed"), 60)
    assert window.status("both") == "finished", window.runs[i].error


def _first_tomogram(window):
    return window.ask(lambda p: p.find("simulate").tomograms.tomogram_ids()[0])[1]


def test_the_time_of_a_run_is_that_of_its_last_try_and_so_is_why_it_ended(project):
    from emtomo.engine.launcher import PROCESS

    opened = EmtomoProject.open(project)
    run = opened.find("pick")
    record = project / run._getLogsPath(PROCESS)
    log = project / run._getLogsPath("run.stderr")
    log.write_text("an earlier failure\n")
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "stderr": log.stat().st_size}))
    assert opened._last_words(run) == "it was killed or the machine stopped."
    with log.open("a") as stream:
        stream.write("no space left\n")
    assert opened._last_words(run) == "its log ends with: no space left"
    run.setStatus("running")
    record.write_text(json.dumps({**known, "started": time.time() - 7}))
    assert 6 < _seconds(run) < 20
    opened.closeMapper()
