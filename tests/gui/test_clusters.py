"""The part of a form that says where a run is carried out: a queue, a Dask cluster."""

import os
import stat
from pathlib import Path

import pytest
import pyworkflow

import emtomo.engine
from emtomo.gui.core import run_actions

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


def computation(robot, form):
    form.page.fold(form.model.tabs[-1], folded=False)
    assert robot.pump(until=lambda: "queue" in form.w)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue of the shipped hosts.conf whose commands are scripts: it takes a job and keeps it waiting."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, reported in (("sbatch", "Submitted batch job 4711"), ("squeue", "PENDING Resources"), ("scancel", "")):
        path = programs / name
        path.write_text(f'#!/bin/sh\necho "{reported}"\necho {name} "$@" >> "{tmp_path}/asked"\n', encoding="utf8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    shipped = Path(emtomo.engine.__file__).with_name("hosts_slurm.conf")
    monkeypatch.setattr(pyworkflow.Config, "SCIPION_HOSTS", str(shipped))
    return tmp_path / "asked"


def test_without_a_queue_the_form_says_how_to_get_one(windows, project):
    robot = windows(project)
    form = robot.window.new_form("bin-tomograms")
    computation(robot, form)
    frame = form.w["queue"].master
    assert robot.pump(until=lambda: "docs/clusters.md" in str(frame.message.cget("text")))
    assert str(form.w["queue"].cget("state")) == "disabled"
    form.destroy_form()


def test_a_run_goes_to_a_queue_says_what_it_waits_for_and_keeps_its_queue(windows, project, queue):
    robot = windows(project)
    window = robot.window
    form = window.new_form("bin-tomograms")
    sim = next(r.id for r in window.runs.values() if r.label == "simulate")
    form.model.put("tomograms", f"{sim}.tomograms")
    form.label.set("in the queue")
    computation(robot, form)
    assert robot.pump(until=lambda: str(form.w["queue"].cget("state")) == "normal")
    form.w["queue"].invoke()
    entry = form.w["queue JOB_TIME"]
    entry.delete(0, "end")
    entry.insert(0, "1; touch evil")
    assert robot.pump(until=lambda: any("JOB_TIME must be letters" in s for s in form.refusals))
    assert "JOB_TIME must be letters" in form.w["message"].cget("text")
    entry.delete(0, "end")
    entry.insert(0, "2:00:00")
    assert robot.pump(until=lambda: not form.refusals)
    assert "--queue-set JOB_TIME=2:00:00" in form.model.command("p")
    form.w["run"].invoke()
    assert robot.pump(
        until=lambda: any(r.label == "in the queue" and r.doing for r in window.runs.values()), timeout=30
    )
    run = next(r for r in window.runs.values() if r.label == "in the queue")
    assert run.status == "launched" and run.doing == "job 4711: PENDING Resources"
    stopped = []
    window.service.ask(lambda p: run_actions.stop_runs(p, [run.id]), stopped.append)
    assert robot.pump(until=lambda: stopped)
    assert "scancel 4711" in queue.read_text()
    assert robot.pump(until=lambda: window.runs[run.id].status == "aborted", timeout=30)

    window.open_form_of(run.id)
    assert robot.pump(until=lambda: any(f.model.run == run.id for f in window.forms))
    again = next(f for f in window.forms if f.model.run == run.id)
    assert again.model.queue == ("main", {"JOB_CPUS": "4", "JOB_MEMORY": "8G", "JOB_TIME": "2:00:00"})
    computation(robot, again)
    assert robot.pump(until=lambda: "queue JOB_TIME" in again.w)
    assert again.w["queue JOB_TIME"].get() == "2:00:00" and not again.model.dirty
    again.w["queue"].invoke()  # off
    assert again.model.queue is None and again.model.dirty
    again.w["run"].invoke()
    assert robot.pump(until=lambda: window.runs[run.id].status == "finished", timeout=60)


def test_a_run_spreads_over_dask_from_the_form(windows, project):
    robot = windows(project)
    window = robot.window
    form = window.new_form("bin-tomograms")
    sim = next(r.id for r in window.runs.values() if r.label == "simulate")
    form.model.put("tomograms", f"{sim}.tomograms")
    form.label.set("spread")
    computation(robot, form)
    assert not form.shows("cluster")
    form.model.put("executor", "dask")
    robot.pump(0.1)
    assert form.rows["cluster"].input.winfo_manager()
    form.model.put("cluster", "somewhere")
    assert "Dask cluster must be empty" in form.model.errors()["cluster"]
    assert robot.pump(until=lambda: "Dask cluster must be empty" in form.rows["cluster"].error.cget("text"))
    form.model.put("cluster", "")
    assert robot.pump(until=lambda: not form.model.errors() and not form.refusals)
    form.w["run"].invoke()
    run = robot.finished("spread")  # a run that failed ends the wait at once
    assert "Dask: tls://" in (project / run.logs[0]).read_text()
