"""Damaged projects: one sentence for each bad run, the others shown, and a way to mend it."""

import errno
import json
import os
import shutil
import sqlite3
import time
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
from pyworkflow.protocol import Protocol
from typer.testing import CliRunner

from emtomo import cli
from emtomo.cli import app
from emtomo.engine import overview, state
from emtomo.engine.engine_words import plain_error
from emtomo.engine.launcher import LAUNCH, note_launch
from emtomo.engine.overview import run_states, states_at_rest
from emtomo.engine.parameters import protocols_by_name
from emtomo.engine.project import START_SECONDS, EmtomoProject
from emtomo.engine.state import read_json, write_json
from emtomo.errors import EmtomoError, one_line, plain_text
from emtomo.gui.core.run_actions import set_label
from emtomo.objects import SetOfTiltSeries
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
TINY = {"size_x": 40, "size_y": 40, "size_z": 24, "vesicles": 1, "vesicle_radius": 60, "soluble_proteins": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    before = Path.cwd()
    bench = Bench(tmp_path_factory.mktemp("whole") / "project")
    bench.run("simulate-tomograms", "first", **TINY)
    bench.run("bin-tomograms", "second", tomograms="first.tomograms", factor=2)
    bench.project.closeMapper()
    os.chdir(before)
    return Path(bench.project.path)


@pytest.fixture
def project(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def emtomo(*arguments):
    """Run the command in this process; an EmtomoError counts as its sentence."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(done.exception, EmtomoError):
        return 2, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def folder_of(project, label="first"):
    return next(project.glob("Runs/*Simulate*" if label == "first" else "Runs/*Bin*"))


def forget_starter(project, run, **more):
    """Let the process that a launch names be one that has ended (its number may be another's)."""
    launch = project / LAUNCH.format(run.strId())
    write_json(launch, {**json.loads(launch.read_text()), "started": 1.0, **more})


def garbage(path):
    path.write_bytes(b"no database at all, but long enough to be looked at " * 100)


DAMAGE = {
    "set is missing": lambda p: (folder_of(p) / "tomograms.sqlite").unlink(),
    "set is empty": lambda p: (folder_of(p) / "tomograms.sqlite").write_bytes(b""),
    "set is garbage": lambda p: garbage(folder_of(p) / "tomograms.sqlite"),
    "set is cut": lambda p: os.truncate(folder_of(p) / "tomograms.sqlite", 5000),
    "folder is gone": lambda p: shutil.rmtree(folder_of(p)),
}
SHAPES = ["", "[]", "3", '"text"', "{}", '{"pid": "x"}', '{"pid": null, "started": [], "host": 1}', "{" * 5000, "\x00"]


def set_value(project, name, value):
    """Write the value of an attribute of the run "second" into the project's database."""
    with sqlite3.connect(project / "project.sqlite") as db:
        second = "(SELECT id FROM Objects WHERE parent_id IS NULL AND label = 'second')"
        db.execute(f"UPDATE Objects SET value = ? WHERE name LIKE '%.' || ? AND parent_id = {second}", (value, name))


STATES = {
    **DAMAGE,
    "whole": lambda p: None,
    "other parameter": lambda p: set_value(p, "factor", "4.0"),
    "other input": lambda p: (folder_of(p) / "tomograms.sqlite").open("ab").write(b"more"),
    "failed": lambda p: (set_value(p, "status", "failed"), set_value(p, "_error", "Protocol failed: why")),
}


@pytest.mark.parametrize("what", STATES)
def test_database_tells_of_runs_at_rest_what_they_tell_themselves(project, what, monkeypatch):
    STATES[what](project)
    monkeypatch.chdir(project)
    found = states_at_rest(project)
    monkeypatch.setattr(overview, "states_at_rest", lambda folder: None)
    assert found == run_states(project)
    assert found is not None
    assert any(one.damage or one.out_of_date or one.error for one in found) == (what != "whole")


def test_full_disk_is_one_sentence(monkeypatch, capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "extra/part.mrc")
    for error in (full, sqlite3.OperationalError("database or disk is full")):
        monkeypatch.setattr("emtomo.cli.app", Mock(side_effect=error))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr().err
        assert stop.value.code == 2
        assert "disk is full" in said and said.count("\n") == 1
        for reason in (f"Protocol failed: {error}", f"its log ends with: {type(error).__name__}: {error}"):
            assert plain_error(reason) == "The disk is full: make room, then resume the run; its finished steps stay."
    moved = "its log ends with: sqlite3.OperationalError: attempt to write a readonly database"
    assert plain_error(moved).startswith("The project was moved while this ran")
    assert plain_error("Protocol failed: 1000 requested and 12 written").startswith("The disk is full")
    assert plain_error("Protocol failed: the disk, full of files") == "the disk, full of files"


def test_project_that_may_only_be_read_says_so_before_anything_is_written(project, monkeypatch):
    before = (project / "project.sqlite").read_bytes()
    monkeypatch.setattr("emtomo.engine.run_folder.os.access", lambda path, mode: mode != os.W_OK)  # root may write
    for verb in (
        ["run", "bin-tomograms", "tomograms=first.tomograms"],
        ["resume", "second"],
        ["rename", "second", "x"],
    ):
        code, said = emtomo(verb[0], project, *verb[1:])
        assert code == 2 and "may only be read" in said
    assert emtomo("status", project)[0] == 0
    assert (project / "project.sqlite").read_bytes() == before


def test_runs_tell_themselves_where_the_database_leaves_doubts(project, monkeypatch):
    monkeypatch.chdir(project)
    for doubt in (("status", "running"), ("factor", "abc"), ("input_tomograms", "x")):
        shutil.copy(project / "project.sqlite", project / "kept")
        set_value(project, *doubt)
        assert states_at_rest(project) is None, doubt
        (project / "kept").replace(project / "project.sqlite")
    for name, cls in protocols_by_name().items():  # as the overview takes them from the names of their classes
        assert cls.__module__.rpartition(".")[2].replace("_", "") == cls.__name__.lower()
        assert cls.__module__.rpartition(".")[2].replace("_", "-") == name


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_is_reported_and_the_others_are_shown(what, project, tmp_path):
    DAMAGE[what](project)
    code, reported = emtomo("status", project)
    assert code == 0 and "second" in reported and "tomograms" in reported or "folder" in reported, reported
    code, reported = emtomo("outputs", project)
    assert code == 0 and "second.tomograms  1 tomogram 20×20×12" in reported, reported
    code, reported = emtomo("report", project, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert code == 0 and "20×20×12" in page and "Traceback" not in page
    code, reported = emtomo("doctor", project)
    bad = [line for line in reported.splitlines() if line.startswith("--")]
    assert code == 1 and any("first" in line and "--restart makes it again" in line for line in bad), reported
    assert any(line.startswith("ok") and "second" in line for line in reported.splitlines()) or "second" in reported
    code, reported = emtomo("log", project, "first")
    assert code == 0 and "first: " in reported and "--restart makes it again" in reported, reported
    code, reported = emtomo("resume", project)
    assert code == 1 and "first" in reported and "--restart" in reported and "Every run is finished" not in reported


def test_ctrl_c_while_a_log_is_followed_says_that_the_run_goes_on(project, monkeypatch):
    monkeypatch.setattr("emtomo.cli.logs.time.sleep", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(Protocol, "isActive", lambda run: True)
    code, said = emtomo("log", project, "second", "--follow")
    assert code == 130 and "stopped watching; the run goes on." in said


@pytest.mark.parametrize(
    "name", ["process.json", "progress.json", "remarks.json", "provenance.json", "fingerprint.json"]
)
@pytest.mark.parametrize("text", SHAPES)
def test_state_of_another_shape_is_no_traceback(name, text, project):
    folder = folder_of(project)
    path = {"process.json": folder / "logs", "progress.json": folder / "logs", "provenance.json": folder}.get(
        name, folder / "extra"
    ) / name
    path.write_text(text)
    code, reported = emtomo("status", project)
    assert code == 0 and "first" in reported and "second" in reported
    code, reported = emtomo("outputs", project)
    assert code == 0 and "first.tomograms" in reported
    EmtomoProject.open(project).find("first")._summary()


@pytest.mark.parametrize("damage", [garbage, lambda p: p.write_bytes(b""), lambda p: os.truncate(p, 100)])
def test_a_damaged_database_of_the_project_is_one_sentence(damage, project):
    damage(project / "project.sqlite")
    for verb in ("status", "outputs", "doctor", "resume"):
        code, reported = emtomo(verb, project)
        assert (
            code == 2
            and "project.sqlite" in reported
            and "cannot be opened" in reported
            and "\n" not in reported.strip()
        )


@pytest.mark.parametrize("damage", [garbage, lambda p: p.write_bytes(b"")])
def test_damaged_settings_are_put_aside(damage, project):
    damage(project / "settings.sqlite")
    code, reported = emtomo("status", project)
    assert code == 0 and "finished" in reported
    assert (project / "settings.sqlite.damaged").exists()


# --- runs whose process is gone ---


def test_a_run_that_was_to_be_started_and_never_began_is_resumed(project, monkeypatch):
    opened = EmtomoProject.open(project)
    run = opened.find("second")
    run.setStatus("launched")
    run.setPid(0)
    (project / run.getDbPath()).unlink()
    opened._storeProtocol(run)
    (project / run._getLogsPath("process.json")).unlink()
    forget_starter(project, run)
    assert opened.find("second").isFailed()
    run = opened.find("first")
    run.setStatus("launched")
    run.setPid(0)
    (project / run._getLogsPath("process.json")).unlink()
    opened._storeProtocol(run)
    forget_starter(project, run, host="another machine")
    database = project / run.getDbPath()
    garbage(database)
    assert opened.find("first").isActive()  # just now
    os.utime(database, (time.time() - START_SECONDS - 1,) * 2)
    found = opened.find("first")
    assert found.isFailed() and "never began" in found.getErrorMessage()


# --- full disks ---


def test_state_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    assert read_json(path, {}) == {"a": 1} and read_json(path, []) == [] and read_json(tmp_path / "none", {}) == {}


# --- words that somebody else wrote ---

CODES = ["a\nb", "a\rb", "\x1b[2Ja", "\x9b2Ja", "a\u202eb", "a\u2028b", "a\x00b", "a\x07b"]


@pytest.mark.parametrize("text", CODES)
def test_words_of_others_are_one_line_without_codes(text):
    reported = one_line(text)
    assert reported.isprintable() and len(reported.splitlines()) == 1
    assert all(c.isprintable() or c in "\n\t" for c in plain_text(text))


@pytest.mark.parametrize("text", CODES)
def test_a_label_and_a_comment_with_codes_reach_no_terminal(text, project):
    opened = EmtomoProject.open(project)
    run = opened.find("first")
    run.setObjLabel(text)
    opened.amend(run)
    for verb in ("status", "outputs", "doctor"):
        _, reported = emtomo(verb, project)
        assert all(c.isprintable() or c in "\n\t" for c in reported)
        assert len(reported.splitlines()) <= 8
    found = EmtomoProject.open(project).runs_now()
    assert all(one_line(str(one.getObjLabel())) == one.getObjLabel() for one in found)  # in windows as well
    with pytest.raises(EmtomoError, match="label"):
        opened.new_run(type(run), text)
    with pytest.raises(EmtomoError, match="label"):
        set_label(opened, found[0], text)


# --- templates ---


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[" + "9" * 10_000 + "]", '[{"object.className": "NoSuch", "object.id": "1"}]',
     '[{"object.className": "BinTomograms", "object.id": "1", "no_such": 1}]',
     '[{"object.className": "BinTomograms", "object.id": "1", "object.label": "a\\nb"}]', "[1]", "[{}]", "\x00["],
)  # fmt: skip
def test_a_refused_template_is_a_sentence_and_leaves_no_project(text, tmp_path):
    path = tmp_path / "a.json.template"
    path.write_text(text)
    code, reported = emtomo("workflow", path, "--project", tmp_path / "new")
    assert code == 2 and "\n" not in reported.strip(), reported
    assert not (tmp_path / "new").exists()


def test_a_file_does_not_take_the_place_of_a_shipped_template(tmp_path, monkeypatch):
    from emtomo.engine.templates import read_template

    (tmp_path / "directional_picking").write_text("[]")
    monkeypatch.chdir(tmp_path)
    assert len(read_template("directional_picking").protocols) > 3


# --- who starts runs is killed ---


def test_a_run_whose_starter_was_killed_before_it_began_goes_on_at_once(project):
    """The starter's process decides, not a time: a living one is waited for, a dead one is not."""
    opened = EmtomoProject.open(project)
    run = opened.find("second")
    run.setStatus("launched")
    run.setPid(0)
    opened._storeProtocol(run)
    (project / run._getLogsPath("process.json")).unlink()
    garbage(project / run.getDbPath())  # of this moment
    note_launch(run, os.getpid())
    assert opened.find("second").isActive()
    forget_starter(project, run)
    os.utime(project / run._getLogsPath("launch.stderr"), (0, 0))  # its process was never started
    found = opened.find("second")
    assert found.isFailed() and "never began" in found.getErrorMessage()


def test_a_process_started_just_before_its_starter_was_killed_is_found(project, monkeypatch):
    opened = EmtomoProject.open(project)
    run = opened.find("second")
    run.setStatus("launched")
    run.setPid(0)
    opened._storeProtocol(run)
    record = project / run._getLogsPath("process.json")
    record.unlink()
    note_launch(run, os.getpid())
    mine = json.loads((project / LAUNCH.format(run.strId())).read_text())
    forget_starter(project, run)
    (project / run._getLogsPath("launch.stderr")).write_text("")
    slept = []
    monkeypatch.setattr("emtomo.engine.project.time.sleep", lambda s: slept.append(write_json(record, mine)))
    assert opened._begins(run) and len(slept) == 1


def test_provenance_stands_before_a_run_says_that_it_has_finished(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Protocol, "_store", lambda self, *objs: said.append((self.getStatus(), record(self).exists())))

    def record(run):
        return Path(run._getPath("provenance.json"))

    bench = Bench(tmp_path / "project")
    run = bench.project.find(str(bench.add("bin-tomograms", "run")))
    record(run).parent.mkdir(parents=True)
    run._started = time.time()
    for status in ("running", "finished", "finished"):
        run.setStatus(status)
        run._store(run.status)
    assert said[-3:] == [("running", False), ("finished", True), ("finished", True)]
    monkeypatch.undo()


def test_a_missing_set_of_tilt_series_is_reported_and_not_made(tmp_path):
    SetOfTiltSeries.save(tmp_path / "series.sqlite", pd.DataFrame())
    found = SetOfTiltSeries.open(tmp_path / "series.sqlite")
    (tmp_path / "series.sqlite").unlink()
    for read in (found.summary, lambda: found.images("TS_01"), found.tomogram_ids):
        with pytest.raises(EmtomoError, match="the set's file is missing"):
            read()
    assert not list(tmp_path.iterdir())
