"""Runs on a Dask cluster: the same result, clear sentences, and nothing lost when workers or runs are killed."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest

from emtomo.engine.cluster import trust
from emtomo.engine.parameters import protocols_by_name
from emtomo.engine.project import error_of
from emtomo.engine.remote_steps import RemoteSteps, StepKilled, signal_words
from emtomo.errors import EmtomoError, ProjectError
from emtomo.gui.core.run_actions import FormValues, save_form, texts_of
from emtomo.objects.particle_source import StackedBoxes
from tests.engine.helpers import Bench, wait_for

SAMPLE = {
    "number": 3,
    "size_x": 96,
    "size_y": 96,
    "size_z": 64,
    "vesicles": 1,
    "vesicle_radius": 200,
    "membrane_proteins": 12,
    "soluble_proteins": 4,
}
TWO_WORKERS = {"executor": "dask", "workers": 2}

# workers are processes of their own, which load every kernel
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    bench = Bench(folder / "it's a project ü")
    bench.run("simulate-tomograms", "sim", **SAMPLE)
    bench.run("extract-subtomograms", "boxes", coordinates="sim.truth", box_size=24, invert="yes")
    bench.run("reconstruct-average", "average", subtomograms="boxes.subtomograms")
    return bench


@pytest.fixture(autouse=True)
def in_the_project(bench, tmp_path, monkeypatch):
    os.chdir(bench.project.path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def voxels(run, name):
    return mrcfile.read(run._getExtraPath(name))


def test_boxes_travel_with_absolute_names(bench, tmp_path):
    boxes = bench.project.find("boxes").subtomograms
    frame = boxes.frame()
    stacked = StackedBoxes(list(frame["file"]), frame["index"].to_numpy(int), 24, -1)
    packed = pickle.dumps(stacked)
    assert len(packed) < 20_000  # no box is in it
    os.chdir(tmp_path)
    assert np.array_equal(pickle.loads(packed)(17), stacked(17))


def test_steps_of_tomograms_on_a_cluster_give_the_same(bench):
    away = bench.run("simulate-tomograms", "sim away", **SAMPLE, **TWO_WORKERS)
    here = bench.project.find("sim")
    for k in range(1, 4):
        assert np.array_equal(voxels(here, f"sim_0{k}.mrc"), voxels(away, f"sim_0{k}.mrc"))
    progress = json.loads(Path(away._getLogsPath("progress.json")).read_text())
    assert (progress["done"], progress["total"]) == (3, 3)
    log = Path(away.getStdoutLog()).read_text()
    assert "so far 2 workers with 2 threads" in log and "distributed." not in log


def test_a_refinement_on_a_cluster_gives_the_same(bench):
    options = {
        "subtomograms": "boxes.subtomograms",
        "reference": "average.average",
        "initial_lowpass": 60,
        "angular_step": 15,
        "max_iterations": 2,
    }
    here = bench.run("refine-poses", "here", **options)
    away = bench.run("refine-poses", "away", **options, **TWO_WORKERS)
    assert np.array_equal(voxels(here, "half1.mrc"), voxels(away, "half1.mrc"))
    a, b = here.subtomograms.frame(), away.subtomograms.frame()
    columns = [c for c in a if c not in ("file", "id")]
    pd.testing.assert_frame_equal(a[columns], b[columns], rtol=1e-12)  # products of 3×3 depend on alignment in memory
    assert not here.out_of_date() and here.fingerprint()["parameters"] == away.fingerprint()["parameters"]


def test_an_initial_model_on_a_cluster_gives_the_same(bench):
    options = {"subtomograms": "boxes.subtomograms", "iterations": 1, "batches": 2, "batch_size": 4, "filter_to": 80}
    here = bench.run("initial-model", "model here", **options)
    away = bench.run("initial-model", "model away", **options, **TWO_WORKERS)
    assert np.array_equal(voxels(here, "average.mrc"), voxels(away, "average.mrc"))


def test_a_step_that_fails_on_a_worker_is_reported_by_its_own_sentence(bench):
    run = bench.project.find("boxes")
    i = bench.add("apply-alignment", "broken", subtomograms="boxes.subtomograms", **TWO_WORKERS)
    stack = Path(run._getExtraPath("sim_02.mrc"))
    whole = stack.read_bytes()
    stack.write_bytes(whole[:2000])
    try:
        assert bench.go(i)[i] == "failed"
        reported = error_of(bench.project.find("broken"))
    finally:
        stack.write_bytes(whole)
    assert "sim_02.mrc" in reported and "Traceback" not in reported
    assert bench.go(i)[i] == "finished"


def test_steps_that_are_carried_out_elsewhere_are_named_and_exist():
    for cls in protocols_by_name().values():
        for name in cls.STEPS_APART:
            assert callable(getattr(cls, name)), (cls, name)
    assert {n for n, c in protocols_by_name().items() if c.PIECES} == {
        "refine-poses",
        "reconstruct-average",
        "initial-model",
        "classify-2d",
        "classify-3d",
        "multi-particle-refinement",
    }


def test_a_step_of_another_name_is_not_carried_out(bench):
    run = bench.project.find("sim")
    task = [bench.project.path, run.getDbPath(), run.strId(), "output_step", "[4]", "pulse", "1", str(os.getpid())]
    done = subprocess.run([sys.executable, "-m", "emtomo.engine.step_main", *task], capture_output=True, text=True)
    assert done.returncode == 3 and done.stdout.strip().endswith(
        "has no step output_step that is carried out elsewhere."
    )


def running_steps(project):
    out = subprocess.run(["pgrep", "-f", f"emtomo.engine.step_main {project}"], capture_output=True, text=True).stdout
    return [int(pid) for pid in out.split()]


@pytest.mark.slow
def test_a_killed_run_takes_its_cluster_with_it_and_resumes_to_the_same(bench):
    i = bench.add("simulate-tomograms", "killed", **SAMPLE, **TWO_WORKERS)
    bench.project.launch(bench.project.find("killed"))
    wait_for(lambda: running_steps(bench.project.path))
    pid = wait_for(lambda: bench.project.find("killed").getPid())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not bench.project.find("killed").isActive())
    wait_for(lambda: not running_steps(bench.project.path), 30)
    assert bench.project.find("killed").isFailed()
    assert bench.go(i)[i] == "finished"
    for k in (1, 3):
        name = f"sim_0{k}.mrc"
        assert np.array_equal(voxels(bench.project.find("killed"), name), voxels(bench.project.find("sim"), name))


@pytest.fixture
def daemons(tmp_path):
    """A scheduler and a worker, as somebody else would start them."""
    file = tmp_path / "scheduler.json"
    common = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--scheduler-file", str(file)]
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen([*dask, *options, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"], **common)
    wait_for(file.exists)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *options, "--nthreads", "1", "--no-dashboard"]
    workers = [subprocess.Popen(worker, **common) for _ in range(2)]
    yield file, workers
    for process in (*workers, scheduler):
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_an_existing_scheduler_is_used_and_left_running_and_a_dead_worker_is_replaced(bench, daemons):
    file, workers = daemons
    address = json.loads(file.read_text())["address"]
    trust(address)
    trust(str(file))
    i = bench.add("simulate-tomograms", "by address", **SAMPLE, executor="dask", cluster=address)
    bench.project.launch(bench.project.find("by address"))
    wait_for(lambda: running_steps(bench.project.path))
    nanny = workers[0].pid
    children = subprocess.run(["pgrep", "-P", str(nanny)], capture_output=True, text=True).stdout.split()
    os.kill(nanny, signal.SIGKILL)
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    wait_for(lambda: not bench.project.find("by address").isActive(), 300)
    run = bench.project.find("by address")
    assert run.isFinished(), error_of(run)
    assert np.array_equal(voxels(bench.project.find("sim"), "sim_02.mrc"), voxels(run, "sim_02.mrc"))
    bench.run("bin-tomograms", "by file", tomograms="sim.tomograms", executor="dask", cluster=file)
    assert workers[1].poll() is None
    assert i


def test_a_cluster_that_a_project_or_a_template_brings_is_not_talked_to(bench, tmp_path):
    # what a scheduler sends is unpickled: only one that the user gave on this machine may
    reported = bench.fails(
        "bin-tomograms", "lured", tomograms="sim.tomograms", executor="dask", cluster="tcp://127.0.0.1:9"
    )
    assert "the Dask cluster tcp://127.0.0.1:9, which was never given on this machine" in reported
    form_values = FormValues("bin-tomograms", "lured", texts_of(bench.project.find("lured")), run=None)
    stored = bench.project.find("lured").getObjId()
    save_form(bench.project, replace(form_values, run=stored), Path("/"))  # a form that only shows it
    with pytest.raises(ProjectError, match="was never given on this machine"):
        bench.project.launch(bench.project.find("lured"))
    mine = {**form_values.values, "cluster": "tcp://127.0.0.1:10"}
    save_form(bench.project, replace(form_values, run=stored, values=mine), Path("/"))  # one in which it was typed
    assert (tmp_path / "config" / "emtomo" / "clusters.txt").read_text() == "tcp://127.0.0.1:10\n"
    trust("tcp://127.0.0.1:10")
    trust("slurm")
    trust("")
    assert (tmp_path / "config" / "emtomo" / "clusters.txt").read_text() == "tcp://127.0.0.1:10\n"


class KilledSteps:
    """A client whose workers' steps are killed a number of times; what it is asked is kept."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, []

    def nthreads(self):
        return {"tcp://a:1": 1, "tcp://b:2": 1}

    def submit(self, *_, **how):
        self.asked.append(how.get("workers"))
        return self

    def result(self):
        if len(self.asked) <= self.times:
            raise pickle.loads(pickle.dumps(StepKilled(signal_words(signal.SIGKILL), "tcp://a:1")))
        return "done"


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_step_whose_process_is_killed_is_given_to_another_worker_once(times, bench):
    steps = RemoteSteps(KilledSteps(times), bench.project.find("boxes"))
    if times < 2:
        steps("extract_step", ["sim_01"])
    else:
        with pytest.raises(EmtomoError, match="extract_step sim_01: Its process was killed .SIGKILL., probably out of"):
            steps("extract_step", ["sim_01"])
    assert steps.client.asked == [None, ["tcp://b:2"]][: times + 1]
