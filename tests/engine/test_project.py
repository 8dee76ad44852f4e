"""The engine's habits that emtomo cures, each tried with real runs."""

import contextlib
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from pyworkflow.protocol import Protocol

from emtomo.engine.code_version import source_digest
from emtomo.engine.launcher import PROCESS
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.provenance import read_provenance
from emtomo.engine.runner import parents_of
from emtomo.engine.templates import add_workflow, export_workflow, read_template
from emtomo.errors import ProjectError
from emtomo.version import __version__
from tests.command import emtomo
from tests.engine.helpers import SAMPLE, Bench

pytestmark = pytest.mark.workflow


NAME = "a project ü 'quoted' \"twice\" $HOME"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / NAME)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a project with a simulated tomogram."""
    here = Path.cwd()
    bench = Bench.simulated(tmp_path_factory, tmp_path_factory.mktemp("made") / NAME, "sim", **SAMPLE)
    bench.project.closeMapper()
    os.chdir(here)
    return Path(bench.project.path)


@pytest.fixture
def simulated(made, tmp_path):
    return Bench.copy_of(made, tmp_path / NAME)


def wait_for(condition, seconds=30.0):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_changed_parameters_are_never_stale_in_a_chain(simulated):
    bench = simulated
    first = bench.add("select-subset", "one", items="sim.truth", number=40)
    second = bench.add("clean-coordinates", "two", coordinates="one.subset", min_distance=10)
    third = bench.add("select-subset", "three", items="two.coordinates", number=10)
    states = bench.go(first, second, third)
    assert set(states.values()) == {"finished"}
    one = bench.project.find("one")
    assert len(one.subset) == 40
    one.number.set(20)
    bench.project.amend(one)
    bench.go(first, second, third)  # resumed: the first changed, so all below must run again
    assert len(bench.project.find("one").subset) == 20
    assert len(bench.project.find("two").coordinates) <= 20
    assert bench.project.find("three").subset.getSize() == 10
    record = read_provenance(bench.project.find("one")._getPath())
    assert record["parameters"]["number"] == 20 and record["protocol"] == "SelectSubset"
    assert record["inputs"] and record["seconds"] > 0 and record["emtomo"]


def test_a_run_is_read_with_those_above_it_alone(bench):
    sim, bin_ = bench.add("simulate-tomograms", "sim"), bench.add("bin-tomograms", "bin", tomograms="sim.tomograms")
    last, *_ = (bench.add("simulate-tomograms", label) for label in ("waits", "other", "more"))
    waiting = bench.project.find("waits")
    waiting.setPrerequisites(bin_)
    bench.project.amend(waiting)
    found = bench.project.runs_with_parents([last])
    built = {i for i, one in bench.project.mapper.objDict.items() if isinstance(one, Protocol)}
    assert set(found) == built == {sim, bin_, last}
    as_all = {run.getObjId(): run.getObjDict() for run in bench.project.runs_now()}
    assert len(as_all) == 5 and {i: run.getObjDict() for i, run in found.items()} == {i: as_all[i] for i in found}
    assert bench.project.find(str(last)).getObjLabel() == "waits"
    with pytest.raises(ProjectError, match="no run 'wait' in this project .did you mean 'waits'"):
        bench.project.find("wait")


def test_resume_without_change_does_nothing_and_with_another_version_says_so_until_a_restart(simulated):
    bench = simulated
    run = bench.run("bin-tomograms", "bin", tomograms="sim.tomograms")
    path = Path(run._getExtraPath("fingerprint.json"))
    here = {"emtomo": __version__, "source": source_digest()}
    first = json.loads(path.read_text())
    assert [here] == [{key: code[key] for key in here} for code in first["codes"]] and len(run._remarks()) == 0
    before = {**first, "codes": [{"emtomo": "0.0.9", "source": "abc", "since": "2026-01-01 10:00"}]}
    path.write_text(json.dumps(before))
    made = Path(run.tomograms.frame()["file"].iloc[0])
    written = made.stat().st_mtime_ns
    bench.go(run.getObjId())
    assert made.stat().st_mtime_ns == written and "nothing to be done" in Path(run.getStdoutLog()).read_text()
    assert json.loads(path.read_text())["codes"] == before["codes"]  # nothing comes from this version
    for known, text in ((before, "0.0.9 (source abc, from 2026-01-01 10:00)"), ({"codes": 7}, "one not recorded")):
        path.write_text(json.dumps({**first, **known}))
        with contextlib.closing(sqlite3.connect(run.getStepsFile())) as steps, steps:
            steps.execute("UPDATE Objects SET c02 = 'failed' WHERE c09 = 'output_step'")
        assert bench.go(run.getObjId()) == {run.getObjId(): "finished"}
        [said] = bench.project.find("bin")._remarks()
        assert f"2 versions of emtomo, one after the other: {text}, then {__version__} (source" in said
    assert len(read_provenance(run._getPath())["codes"]) == 2
    bench.go(run.getObjId(), restart=True)
    assert bench.project.find("bin")._remarks() == [] and len(json.loads(path.read_text())["codes"]) == 1


def test_failure_is_passed_on_with_the_reason(bench):
    sim = bench.add("simulate-tomograms", "sim", **{**SAMPLE, "snr": -1})
    child = bench.add("bin-tomograms", "bin", tomograms="sim.tomograms")
    assert set(bench.go(sim, child).values()) == {"failed"}
    assert "Signal-to-noise ratio must be > 0, got -1" in error_of(bench.project.find("sim"))
    assert error_of(bench.project.find("bin")) == "Its input sim is failed."
    assert parents_of(bench.project.find("bin")) == {sim}


def test_a_killed_run_is_seen_as_failed_and_resumes_to_the_same_result(simulated):
    bench = simulated
    options = {"tomograms": "sim.tomograms", "iterations": 200}
    reference = bench.run("denoise-tomograms", "reference", **options)
    i = bench.add("denoise-tomograms", "victim", **options)
    bench.project.launch(bench.project.find("victim"))
    record = Path(bench.project.find("victim")._getLogsPath(PROCESS))
    assert wait_for(record.exists)
    progress = Path(bench.project.find("victim")._getLogsPath("progress.json"))
    assert wait_for(progress.exists)
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    assert wait_for(lambda: bench.project.find("victim").isFailed())
    assert "ended without reporting" in error_of(bench.project.find("victim"))
    assert bench.go(i)[i] == "finished"
    from emtomo.io.mrc import read_volume

    a = read_volume(reference.tomograms.frame()["file"].iloc[0])
    b = read_volume(bench.project.find("victim").tomograms.frame()["file"].iloc[0])
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6, 0.9, 1.2, 1.6])
def test_a_run_killed_at_any_moment_resumes_to_the_same_files(killable, seconds):
    """From before its first step until after its last: the boxes and the set are those of a run left in peace."""
    bench, expected = killable
    label = f"killed after {1000 * seconds:.0f} ms"
    i = bench.add(
        "extract-subtomograms",
        label,
        coordinates="mod.coordinates",
        tomograms="sim.tomograms",
        box_size=16,
        border="pad",
    )
    run = bench.project.find(label)
    bench.project.launch(run)
    process = psutil.Process(run.getPid())  # a pid that has ended is never signalled: it may be somebody else's
    time.sleep(seconds)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    assert wait_for(lambda: not bench.project.find(label).isActive())
    assert bench.go(i)[i] == "finished"
    found = bench.project.find(label).subtomograms.frame()
    np.testing.assert_array_equal(boxes_of(found), boxes_of(expected))
    pd.testing.assert_frame_equal(found.drop(columns="file"), expected.drop(columns="file"))
    assert not list(Path(bench.project.path).rglob("*.part"))


def boxes_of(frame):
    from emtomo.io.mrc import read_volume

    return np.concatenate([read_volume(file) for file in frame["file"].unique()])


@pytest.fixture(scope="module")
def killable(tmp_path_factory):
    here = Path.cwd()
    bench = Bench.simulated(tmp_path_factory, tmp_path_factory.mktemp("killed") / "p", "sim", **SAMPLE, number=2)
    bench.run("model-workflow", "mod", meshes="sim.meshes", cropping=2)
    run = bench.run(
        "extract-subtomograms",
        "peace",
        coordinates="mod.coordinates",
        tomograms="sim.tomograms",
        box_size=16,
        border="pad",
    )
    yield bench, run.subtomograms.frame()
    os.chdir(here)


@pytest.fixture(autouse=True)
def in_its_project(request):
    if "killable" in request.fixturenames:
        os.chdir(request.getfixturevalue("killable")[0].project.path)


def test_a_reused_process_number_does_not_count_as_alive(simulated, monkeypatch):
    bench = simulated
    monkeypatch.setattr(bench.project, "_ended_by_itself", lambda run: False)  # as in the middle of the run
    run = bench.project.find("sim")
    run.setStatus("running")
    run.setPid(os.getpid())
    record = Path(run._getLogsPath(PROCESS))
    me = {"pid": os.getpid(), "started": 1.0, "host": run.getHostFullName()}
    record.write_text(json.dumps(me))
    assert bench.project.checkPid(run) is False
    run.setStatus("running")
    record.write_text(json.dumps({**me, "started": psutil.Process().create_time()}))
    assert bench.project.checkPid(run) is True
    record.write_text(json.dumps({**me, "pid": 999999, "host": "another-machine"}))
    run.setPid(999999)
    assert bench.project.checkPid(run) is True


def test_a_run_connects_to_nothing(bench, tmp_path, monkeypatch):
    """An audit hook in the process of the run itself."""
    log = tmp_path / "connections"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'urllib.Request'):\n"
        f"        open({str(log)!r}, 'a').write(f'{{event}} {{args}}\\n')\n"
        "sys.addaudithook(hook)\n"
        f"open({str(tmp_path / 'hooked')!r}, 'a').write('x')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bench.run("simulate-tomograms", "sim", **SAMPLE)
    assert (tmp_path / "hooked").exists()
    assert not log.exists(), log.read_text()


def test_last_words_written_between_two_looks_are_heard(simulated):
    """The engine notes the time of a run's database after reading it; a run that ended in between was lost."""
    bench = simulated
    run = bench.run("bin-tomograms", "bin", tomograms="sim.tomograms")
    run.setStatus("running")  # as read before its end ...
    run.setPid(2**22 + 1)  # ... while its process is gone
    run.lastUpdateTimeStamp.set(datetime.datetime.now())  # ... and nothing seems to be new
    run._outputs.clear()
    bench.project.mapper.store(run)
    bench.project.mapper.commit()
    assert wait_for(lambda: bench.project.find("bin").isFinished(), 5), error_of(bench.project.find("bin"))
    assert len(bench.project.find("bin").tomograms) == 1


def test_a_start_that_dies_becomes_failed_with_its_last_words(bench, monkeypatch):
    i = bench.add("simulate-tomograms", "sim", **SAMPLE)
    monkeypatch.setattr(
        "emtomo.engine.launcher.run_command", lambda run: [sys.executable, "-c", "raise SystemExit('no licence')"]
    )
    assert bench.go(i)[i] == "failed"
    assert "no licence" in error_of(bench.project.find("sim"))


def test_stopping_and_resuming(simulated):
    bench = simulated
    i = bench.add("denoise-tomograms", "den", tomograms="sim.tomograms", iterations=5000)
    bench.project.launch(bench.project.find("den"))
    assert wait_for(lambda: bench.project.find("den").getStatus() == "running")
    bench.project.stopProtocol(bench.project.find("den"))
    assert bench.project.find("den").isAborted()
    run = bench.project.find("den")
    run.iterations.set(2)
    bench.project.amend(run)
    assert bench.go(i)[i] == "finished"


def test_interrupting_the_launcher_leaves_runs_alive(simulated, tmp_path):
    folder = Path(simulated.project.path)
    watcher = subprocess.Popen(
        [sys.executable, "-m", "emtomo", "run", str(folder), "denoise-tomograms", "tomograms=sim.tomograms",
         "iterations=250", "--label", "den"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a suite started in the background ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert wait_for(lambda: bool(list(folder.glob("Runs/*Denoise*/logs/progress.json"))), 60)
    os.killpg(watcher.pid, signal.SIGINT)  # what Ctrl-C in a terminal does to the whole group
    _, reported = watcher.communicate(timeout=60)
    assert watcher.returncode == 130 and "go on" in reported
    os.chdir(tmp_path)
    project = EmtomoProject.open(folder)
    assert wait_for(lambda: project.find("den").isFinished(), 90), error_of(project.find("den"))


def test_who_waits_for_picks_looks_once_a_second(simulated, monkeypatch):
    simulated.add("pick-manually", "picks", tomograms="sim.tomograms", box_size=20)
    i = simulated.add("clean-coordinates", "clean", coordinates="picks.coordinates", min_distance=10)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("emtomo.engine.runner.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        simulated.go(i, wait_for_picks=True)
    assert slept == [1.0] * 3 and simulated.project.find("clean").getStatus() == "saved"


def test_a_locked_project_says_so_instead_of_waiting(simulated, monkeypatch):
    monkeypatch.setattr("emtomo.engine.launcher.LOCK_SECONDS", 0.3)
    path = simulated.project.path
    with sqlite3.connect(Path(path) / "project.sqlite") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        done = emtomo("status", path)
    assert done.returncode == 2 and "Another program is writing" in done.stderr, done.stderr


def test_templates_run_twice_with_labels_that_stay_unique(simulated, tmp_path):
    bench = simulated
    simulated.run("bin-tomograms", "bin", tomograms="sim.tomograms")
    target = tmp_path / "w.json.template"
    export_workflow(bench.project, bench.project.runs_now(), target)
    template = read_template(target)
    first = add_workflow(bench.project, template, {}, tmp_path)
    second = add_workflow(bench.project, template, {}, tmp_path)
    labels = [run.getObjLabel() for run in bench.project.runs_now()]
    assert len(set(labels)) == len(labels) == 6
    assert [r.getObjLabel() for r in first] == ["sim (2)", "bin (2)"]
    assert second[1].input_tomograms.getObjValue().getObjId() == second[0].getObjId()
    states = bench.go(*[r.getObjId() for r in first])
    assert set(states.values()) == {"finished"}


def test_labels_are_unique_and_sensible(simulated):
    from emtomo.engine.parameters import protocol_named

    for label in ("sim", "12", "a.b", " "):
        with pytest.raises(ProjectError):
            simulated.project.new_run(protocol_named("bin-tomograms"), label)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tomograms", "sim", "written RUN.output"),
        ("tomograms", "nobody.tomograms", "no run 'nobody'"),
        ("tomograms", "sim.average", "no output 'average'"),
        ("factor", "two", "factor must be a number, got 'two'"),
        ("colour", "red", "no parameter 'colour'"),
    ],
)
def test_bad_parameters_get_one_sentence(simulated, key, value, message):
    with pytest.raises(ProjectError, match=message):
        simulated.add("bin-tomograms", "bin", **{key: value})


def test_opening_what_is_no_project(tmp_path):
    with pytest.raises(ProjectError, match="not a project"):
        EmtomoProject.open(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ProjectError, match="not an empty folder"):
        EmtomoProject.start(tmp_path / "full")


def test_a_missing_host_configuration_is_an_error_not_an_exit(tmp_path, monkeypatch):
    import pyworkflow

    monkeypatch.setattr(pyworkflow.Config, "SCIPION_HOSTS", str(tmp_path / "none.conf"))
    with pytest.raises(ProjectError, match="host configuration"):
        EmtomoProject.start(tmp_path / "p")
