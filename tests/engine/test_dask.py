"""Work on a Dask cluster: the same result, clear sentences, and nothing lost when workers or runs are killed."""

import gc
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.map_reduce import in_threads
from emtomo.compute.refinement.iteration import Block
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import sum_half_sets
from emtomo.compute.refinement.refine import Refinement
from emtomo.engine.cluster import ClusterOptions, connect, open_cluster, problem_of, trust
from emtomo.engine.dask_map import DaskMapReduce
from emtomo.engine.parameters import protocol_named, protocols_by_name
from emtomo.engine.project import error_of
from emtomo.engine.remote_steps import RemoteSteps, StepKilled, beating, signal_words
from emtomo.engine.step_main import LOOK_SECONDS, SILENT_SECONDS, watch
from emtomo.errors import EmtomoError, FormatError, ProjectError
from emtomo.gui.core.run_actions import FormValues, save_form, texts_of
from emtomo.io import mrc
from emtomo.objects.image_particles import StackedImages, StackedParticles
from emtomo.objects.particle_source import StackedBoxes
from tests.compute.classification.data import simulate
from tests.compute.refinement.data import GroupedByTilt, blobs, image_particles, particles
from tests.engine.helpers import Bench

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
def client():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as one:
        yield one


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


# --- the map itself ---


def test_a_map_on_a_cluster_is_that_of_threads_to_the_bit_and_finer_pieces_differ_by_rounding(client, monkeypatch):
    some, poses, _ = particles(blobs(16), 40, 1.0)
    told = []
    here = sum_half_sets(some, poses)
    there = sum_half_sets(some, poses, progress=told.append, map_reduce=DaskMapReduce(client))
    assert all(np.array_equal(here[h].data, there[h].data) for h in (1, 2))
    assert told[-1] == 40 and told == sorted(told)
    monkeypatch.setattr("emtomo.engine.dask_map.PER_THREAD", 40)
    finer = sum_half_sets(some, poses, map_reduce=DaskMapReduce(client))
    largest = np.abs(here[1].data).max()
    assert not np.array_equal(here[1].data, finer[1].data)
    assert np.abs(here[1].data - finer[1].data).max() < 1e-5 * largest


@pytest.mark.parametrize("options", [{}, {"zero_mask": False, "mini_batches": 3}])
def test_2d_classes_on_a_cluster_are_those_of_threads_to_the_bit(client, monkeypatch, tmp_path, options):
    monkeypatch.setattr("emtomo.compute.classification.expectation.CHUNK", 40)
    images = simulate(32, 110, 3, 0.4, groups=2)
    file = str(tmp_path / "it's a stack.mrcs")
    mrc.write_volume(file, -images.values, 5.0, stack=True)
    stack = StackedImages(StackedParticles([file] * 110, np.arange(110), 32, 5.0, -1, None, False))
    assert len(pickle.dumps(stack)) < 3000  # no image is in it
    chosen = ClassificationOptions(number_of_classes=3, iterations=3, mask_diameter=110, **options)
    done = []
    here, there = (
        Classification(stack, 5.0, chosen, images.ctf, images.group, map_reduce)
        for map_reduce in (in_threads, DaskMapReduce(client))
    )
    there.step(there.begin(), done.append)
    assert done == sorted(done) and done[-1] == 110
    a, b = (vars(replace(one.run(), metrics=[])) for one in (here, there))
    np.testing.assert_equal(b, a)


def test_the_strength_of_every_tilt_on_a_cluster_is_that_of_threads_to_the_bit(client):
    source, truth = image_particles(blobs(16), 8, 0.5, np.arange(-60, 61, 30.0))
    source = replace(source, views=GroupedByTilt(source.views), noise_groups=5)
    options = RefineOptions(initial_lowpass=60.0, angular_step=1.8)
    states = []
    for map_reduce in (in_threads, DaskMapReduce(client)):
        refinement = Refinement(source, truth, blobs(16), options, map_reduce=map_reduce)
        state, *_ = refinement.step(refinement.begin())
        states.append(refinement.step(state)[0])
    here, there = states
    assert np.ptp(here.halves[1].scale) > 0.01
    for h in (1, 2):
        np.testing.assert_equal(vars(there.halves[h]), vars(here.halves[h]))
    np.testing.assert_equal(vars(there.poses), vars(here.poses))


def test_an_error_of_a_worker_is_the_error_of_the_caller(client):
    some, poses, _ = particles(blobs(16), 10, 1.0)
    bad = replace(some, box=lambda i: some.box(i) * np.float32(np.nan if i == 7 else 1))
    with pytest.raises(EmtomoError, match="Particle 8: there are voxels that are no numbers"):
        sum_half_sets(bad, poses, map_reduce=DaskMapReduce(client))
    assert str(pickle.loads(pickle.dumps(FormatError("a.star", "is bad", 3)))) == "a.star, line 3: is bad"


def test_blocks_are_divided_without_loss():
    block = Block(1, np.arange(10))
    assert [len(part) for part in block.parts(3)] == [4, 3, 3]
    assert [len(part) for part in block.parts(99)] == [1] * 10
    assert [len(part) for part in Block(2, np.arange(0)).parts(4)] == [0]


def test_boxes_travel_with_absolute_names(bench, tmp_path):
    boxes = bench.project.find("boxes").subtomograms
    frame = boxes.frame()
    stacked = StackedBoxes(list(frame["file"]), frame["index"].to_numpy(int), 24, -1)
    packed = pickle.dumps(stacked)
    assert len(packed) < 20_000  # no box is in it
    os.chdir(tmp_path)
    assert np.array_equal(pickle.loads(packed)(17), stacked(17))


# --- protocols ---


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


def test_a_step_that_fails_on_a_worker_is_told_by_its_own_sentence(bench):
    run = bench.project.find("boxes")
    i = bench.add("apply-alignment", "broken", subtomograms="boxes.subtomograms", **TWO_WORKERS)
    stack = Path(run._getExtraPath("sim_02.mrc"))
    whole = stack.read_bytes()
    stack.write_bytes(whole[:2000])
    try:
        assert bench.go(i)[i] == "failed"
        told = error_of(bench.project.find("broken"))
    finally:
        stack.write_bytes(whole)
    assert "sim_02.mrc" in told and "Traceback" not in told
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


# --- killed ---


def running_steps(project):
    out = subprocess.run(["pgrep", "-f", f"emtomo.engine.step_main {project}"], capture_output=True, text=True).stdout
    return [int(pid) for pid in out.split()]


def wait_for(ready, seconds=180.0):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
    return found


class Clock:
    """Time that passes only by sleeping; a run that lives beats meanwhile."""

    def __init__(self, pulse, beats_until):
        self.pulse, self.beats_until, self.now = pulse, beats_until, 0.0
        pulse.touch()

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.now <= self.beats_until:
            os.utime(self.pulse, (self.now, self.now))


@pytest.mark.parametrize(
    ("beats_until", "parent", "ends"),
    [(0, os.getppid(), SILENT_SECONDS), (1000, os.getppid(), 1000 + SILENT_SECONDS), (1000, -1, 0)],
)
def test_a_step_ends_when_its_run_is_silent_or_its_worker_is_gone(tmp_path, monkeypatch, beats_until, parent, ends):
    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError

    clock = Clock(tmp_path / "pulse", beats_until)
    monkeypatch.setattr("emtomo.engine.step_main.time", clock)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(EndedError):
        watch(clock.pulse, parent)
    assert ends < clock.now <= ends + 2 * LOOK_SECONDS


def test_a_run_that_beats_is_not_silent(tmp_path, monkeypatch):
    monkeypatch.setattr("emtomo.engine.remote_steps.BEAT_SECONDS", 0.02)
    pulse = tmp_path / "pulse"
    with beating(pulse):
        first = pulse.stat().st_mtime_ns
        wait_for(lambda: pulse.stat().st_mtime_ns > first, 5)
    last = pulse.stat().st_mtime_ns
    time.sleep(0.1)
    assert pulse.stat().st_mtime_ns == last


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


# --- clusters ---


@pytest.fixture
def daemons(tmp_path):
    """A scheduler and a worker, as somebody else would start them."""
    file = tmp_path / "scheduler.json"
    common = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--scheduler-file", str(file)]
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen([*dask, *options, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"], **common)
    wait_for(file.exists)
    estimator = [sys.executable, "-m", "distributed.cli.dask_worker", *options, "--nthreads", "1", "--no-dashboard"]
    workers = [subprocess.Popen(estimator, **common) for _ in range(2)]
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


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("ftp://x", "must be empty, tcp://HOST:PORT, a file .json or one of slurm, pbs"),
        ("/nowhere/s.json", "There is no scheduler's file /nowhere/s.json."),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_before_the_run(cluster, told):
    run = protocol_named("bin-tomograms")()
    run.executor.set("dask")
    run.cluster.set(cluster)
    assert any(told in sentence for sentence in run.validate())
    assert problem_of(ClusterOptions(cluster=cluster)) == ""  # nobody asks for it


def test_a_cluster_that_a_project_or_a_template_brings_is_not_talked_to(bench, tmp_path):
    # what a scheduler sends is unpickled: only one that the user gave on this machine may
    told = bench.fails(
        "bin-tomograms", "lured", tomograms="sim.tomograms", executor="dask", cluster="tcp://127.0.0.1:9"
    )
    assert "the Dask cluster tcp://127.0.0.1:9, which was never given on this machine" in told
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


def test_a_scheduler_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("emtomo.engine.cluster.SECONDS", 2.0)
    with (
        pytest.raises(ProjectError, match="cluster tcp://127.0.0.1:9 cannot be used"),
        open_cluster(ClusterOptions(executor="dask", cluster="tcp://127.0.0.1:9"), 1, tmp_path),
    ):
        pass


def test_jobs_without_cores_and_memory_are_told(tmp_path):
    with (
        pytest.raises(ProjectError, match="must say how many cores .* cores is missing"),
        open_cluster(ClusterOptions(executor="dask", cluster="pbs"), 1, tmp_path),
    ):
        pass


def left_behind():
    """Return clients that the garbage collector would have to close: that can hold up the next one for ever."""
    return [x for x in gc.get_objects() if isinstance(x, Client) and x.status not in ("running", "closed")]


def test_the_cluster_on_this_machine_talks_by_tls_on_loopback_alone(tmp_path, monkeypatch):
    with open_cluster(ClusterOptions(executor="dask", workers=1), 1, tmp_path) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert all(estimator.startswith("tls://127.0.0.1:") for estimator in client.nthreads())
        monkeypatch.setattr("emtomo.engine.cluster.SECONDS", 2.0)
        with pytest.raises((OSError, TimeoutError, TypeError)):
            connect(address)  # without its keys
        assert not left_behind()
        with pytest.raises((OSError, TimeoutError)):
            connect(address.replace("tls", "tcp"))
        assert not left_behind()
        assert logging.getLogger("distributed.core").isEnabledFor(logging.ERROR)
    # a worker that is gone before the scheduler knows of it is no error of the run
    assert not logging.getLogger("distributed.core").isEnabledFor(logging.ERROR)


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


def test_the_process_of_a_step_that_is_killed_is_told_from_one_that_fails(client, bench, monkeypatch):
    task = [bench.project.path, "no.db", "1", "step", "[]", "pulse"]
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    def killed(task):
        from emtomo.engine import remote_steps

        remote_steps.python_command = lambda *_: [sys.executable, "-c", code]
        return remote_steps.carry_out(task, 1, 1)

    with pytest.raises(StepKilled, match="probably out of memory"):
        client.submit(killed, task, pure=False).result()


def test_no_dashboard_is_served(tmp_path):
    import urllib.error
    import urllib.request

    with open_cluster(ClusterOptions(executor="dask", workers=1), 1, tmp_path) as client:
        port = client.scheduler_info()["services"].get("dashboard")
        if port:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5)
