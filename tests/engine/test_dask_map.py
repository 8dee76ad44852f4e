"""Computing on a Dask cluster without a project: the same result as threads, addresses, errors, the end of steps."""

import gc
import logging
import os
import pickle
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from distributed import Client, LocalCluster

from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.map_reduce import in_threads
from emtomo.compute.refinement.iteration import ParticleBlock
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import sum_half_sets
from emtomo.compute.refinement.refine import Refinement
from emtomo.engine.cluster import ClusterOptions, connect, open_cluster, problem_of
from emtomo.engine.dask_map import DaskMapReduce
from emtomo.engine.parameters import protocol_named
from emtomo.engine.remote_steps import StepKilled, beating
from emtomo.engine.step_main import LOOK_SECONDS, SILENT_SECONDS, watch
from emtomo.errors import EmtomoError, FormatError, ProjectError
from emtomo.io import mrc
from emtomo.objects.image_particles import StackedParticleImages, StackedParticles
from tests.compute.classification.data import simulate
from tests.compute.refinement.data import GroupedByTilt, blobs, image_particles, particles
from tests.engine.helpers import wait_for

# workers are processes of their own, which load every kernel
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as one:
        yield one


@pytest.fixture(autouse=True)
def settings_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_map_on_a_cluster_is_that_of_threads_to_the_bit_and_finer_pieces_differ_by_rounding(client, monkeypatch):
    some, poses, _ = particles(blobs(16), 40, 1.0)
    reported = []
    here = sum_half_sets(some, poses)
    there = sum_half_sets(some, poses, progress=reported.append, map_reduce=DaskMapReduce(client))
    assert all(np.array_equal(here[h].data, there[h].data) for h in (1, 2))
    assert reported[-1] == 40 and reported == sorted(reported)
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
    stack = StackedParticleImages(StackedParticles([file] * 110, np.arange(110), 32, 5.0, -1, None, False))
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
    block = ParticleBlock(1, np.arange(10))
    assert [len(part) for part in block.parts(3)] == [4, 3, 3]
    assert [len(part) for part in block.parts(99)] == [1] * 10
    assert [len(part) for part in ParticleBlock(2, np.arange(0)).parts(4)] == [0]


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


@pytest.mark.parametrize(
    ("cluster", "reported"),
    [
        ("ftp://x", "must be empty, tcp://HOST:PORT, a file .json or one of slurm, pbs"),
        ("/nowhere/s.json", "There is no scheduler's file /nowhere/s.json."),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_before_the_run(cluster, reported):
    run = protocol_named("bin-tomograms")()
    run.executor.set("dask")
    run.cluster.set(cluster)
    assert any(reported in sentence for sentence in run.validate())
    assert problem_of(ClusterOptions(cluster=cluster)) == ""  # nobody asks for it


def test_a_scheduler_that_is_not_there_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("emtomo.engine.cluster.SECONDS", 2.0)
    with (
        pytest.raises(ProjectError, match="cluster tcp://127.0.0.1:9 cannot be used"),
        open_cluster(ClusterOptions(executor="dask", cluster="tcp://127.0.0.1:9"), 1, tmp_path),
    ):
        pass


def test_jobs_without_cores_and_memory_are_reported(tmp_path):
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
        assert all(worker.startswith("tls://127.0.0.1:") for worker in client.nthreads())
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


def test_the_process_of_a_step_that_is_killed_is_distinguished_from_one_that_fails(client, tmp_path):
    task = [str(tmp_path), "no.db", "1", "step", "[]", "pulse"]
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
