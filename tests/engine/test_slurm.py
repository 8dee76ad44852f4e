"""Runs as jobs of a real SLURM, and Dask workers that are its jobs; the daemons are started here, as root."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numba
import numpy as np
import pytest

import emtomo.compute.kernels
import emtomo.engine
from tests.slurm import Slurm

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
SMALL = [
    "number=2",
    "size_x=96",
    "size_y=96",
    "size_z=64",
    "vesicles=1",
    "vesicle_radius=200",
    "membrane_proteins=12",
    "soluble_proteins=4",
]
ONE_CPU = ("--queue-set", "JOB_CPUS=1", "--queue-set", "JOB_MEMORY=2G")
JOBQUEUE = """
jobqueue:
  slurm:
    cores: 1
    processes: 1
    memory: 2GB
    queue: main
    walltime: '00:10:00'
    interface: lo
    job-extra-directives: []
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    missing = Slurm.missing()
    if missing:
        pytest.skip(missing)
    one = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def emtomo_command(slurm, tmp_path_factory):
    """Return what runs the command line with the shipped hosts.conf for SLURM as the user's own."""
    home = tmp_path_factory.mktemp("home")
    (home / "emtomo").mkdir()
    shipped = Path(emtomo.engine.__file__).with_name("hosts_slurm.conf")
    (home / "emtomo" / "hosts.conf").write_bytes(shipped.read_bytes())
    (home / "dask").mkdir()
    (home / "dask" / "jobqueue.yaml").write_text(JOBQUEUE, encoding="utf8")
    compiled = Path(numba.config.CACHE_DIR)  # a cache of its own, but no kernel is compiled again
    (home / "cache" / "emtomo").mkdir(parents=True)
    (home / "cache" / "emtomo" / compiled.name).symlink_to(compiled)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SCIPION", "NUMBA_ENABLE"))}
    environment |= {
        "XDG_CONFIG_HOME": str(home),
        "DASK_CONFIG": str(home / "dask"),
        "XDG_CACHE_HOME": str(home / "cache"),
        **slurm.environment,
    }

    def command(*arguments, **others):
        words = [sys.executable, "-m", "emtomo", *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, env=environment | others, timeout=120)

    return command


@pytest.fixture(scope="module")
def project(emtomo_command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("projects") / "it's a project ü"
    assert emtomo_command("new", folder).returncode == 0
    done = emtomo_command("run", folder, "simulate-tomograms", *SMALL, "--label", "sim")
    assert done.returncode == 0, done.stderr
    return folder


def row(command, project, label):
    return next(r for r in json.loads(command("status", project, "--json").stdout) if r["label"] == label)


def until(ready, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.3)
    return found


def test_a_run_is_a_job_of_a_harmless_name(emtomo_command, project, slurm):
    # the label goes into the job's script: what is no letter there is replaced
    label = "it's $(touch evil); `touch evil`"
    options = ("--executor", "queue", *ONE_CPU, "--label", label)
    done = emtomo_command("run", project, "bin-tomograms", "tomograms=sim.tomograms", *options)
    assert done.returncode == 0, done.stderr
    assert row(emtomo_command, project, label)["status"] == "finished"
    script = next(project.glob("Runs/*_BinTomograms/logs/emtomo_*.job")).read_text()
    assert "#SBATCH --job-name=it_s_touch_evil_touch_evil_" in script and "#SBATCH --cpus-per-task=1" in script
    assert not list(project.rglob("evil"))
    log = emtomo_command("log", project, label).stdout
    assert "output_step" in log


def test_a_job_that_cannot_begin_says_why_and_can_be_stopped(emtomo_command, project, slurm):
    run = ("run", project, "bin-tomograms", "tomograms=sim.tomograms", "--label", "waits", "--no-wait")
    assert emtomo_command(*run, "--executor", "queue", "--queue-set", "JOB_CPUS=1000").returncode == 0
    reported = row(emtomo_command, project, "waits")
    if reported["status"] == "failed":  # some versions refuse such a job at once
        assert "did not take the run" in reported["error"]
        return
    assert reported["status"] == "launched" and "PENDING" in reported["queue"]
    assert "PENDING" in emtomo_command("status", project).stdout
    assert emtomo_command("stop", project, "waits").returncode == 0
    until(lambda: "waits" not in slurm.run("squeue", "-h", "-o", "%j"))
    assert row(emtomo_command, project, "waits")["status"] == "aborted"
    done = emtomo_command("resume", project, "waits", *ONE_CPU)
    assert done.returncode == 0, done.stderr


def test_a_job_that_was_cancelled_by_others_has_failed(emtomo_command, project, slurm):
    bigger = [*SMALL[1:], "number=30"]
    run = ("run", project, "simulate-tomograms", *bigger, "--label", "cancelled", "--no-wait")
    assert emtomo_command(*run, "--executor", "queue", *ONE_CPU).returncode == 0
    until(lambda: row(emtomo_command, project, "cancelled")["status"] == "running")
    slurm.run("scancel", "--name=cancelled")
    until(lambda: row(emtomo_command, project, "cancelled")["status"] != "running")
    reported = row(emtomo_command, project, "cancelled")
    assert reported["status"] == "failed" and "is no longer in the queue and reported no result" in reported["error"]
    assert "CANCELLED" in reported["error"]
    fewer = ("--set", "number=2", "--executor", "local")
    assert emtomo_command("resume", project, "cancelled", *fewer).returncode == 0


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--queue", "gpu"), "There is no queue 'gpu'; hosts.conf has main."),
        (("--queue-set", "JOB_RAM=1"), "Queue main has no parameter JOB_RAM; it has JOB_CPUS, JOB_MEMORY, JOB_TIME."),
        (
            ("--queue-set", "JOB_TIME=1\n rm -rf x"),
            "JOB_TIME must be letters, digits and . : , = @ / + - _ on one line",
        ),
        (("--executor", "spark"), "--executor must be local, dask or queue, got 'spark'."),
    ],
)
def test_bad_queues_and_values_are_reported_and_nothing_is_left(emtomo_command, project, tmp_path, options, reported):
    filled = [f"--set={name}=1" for name in ("tomograms", "pixel_size", "points")]
    new = emtomo_command("workflow", "directional_picking", "--project", tmp_path / "new", *filled, *options)
    assert new.returncode == 2 and reported in " ".join(new.stderr.split()), new.stderr
    assert not (tmp_path / "new").exists()
    before = emtomo_command("status", project).stdout
    done = emtomo_command("run", project, "bin-tomograms", "tomograms=sim.tomograms", *options)
    assert done.returncode == 2 and reported in " ".join(done.stderr.split()), done.stderr
    assert emtomo_command("status", project).stdout == before


def test_what_the_queue_refuses_is_reported_in_its_words(emtomo_command, project):
    options = ("--executor", "queue", "--queue-set", "JOB_TIME=soon", "--label", "refused")
    done = emtomo_command("run", project, "bin-tomograms", "tomograms=sim.tomograms", *options)
    assert done.returncode == 1 and "The queue did not take the run" in done.stderr
    assert "time" in row(emtomo_command, project, "refused")["error"].lower()


def test_dask_is_refused_for_a_run_in_one_piece(emtomo_command, project):
    done = emtomo_command("run", project, "consensus-picks", "coordinates=sim.truth", "--executor", "dask")
    assert done.returncode == 2 and "works in one piece: Dask has nothing to spread" in done.stderr


def test_jobs_that_the_queue_refuses_are_reported_at_once(emtomo_command, project, tmp_path):
    (tmp_path / "jobqueue.yaml").write_text(JOBQUEUE.replace("queue: main", "queue: nowhere"), encoding="utf8")
    options = ("executor=dask", "cluster=slurm", "--label", "refused jobs")
    run = ("run", project, "bin-tomograms", "tomograms=sim.tomograms", *options)
    done = emtomo_command(*run, DASK_CONFIG=str(tmp_path))
    assert done.returncode == 1
    assert "The Dask cluster slurm cannot be used" in done.stderr and "invalid partition" in done.stderr.lower()


def test_dask_workers_are_jobs_of_slurm(emtomo_command, project, slurm):
    options = ("executor=dask", "cluster=slurm", "workers=2", "--label", "by jobs")
    done = emtomo_command("run", project, "simulate-tomograms", *SMALL, *options)
    assert done.returncode == 0, done.stderr
    until(lambda: not slurm.run("squeue", "-h").strip())
    log = emtomo_command("log", project, "by jobs").stdout
    assert "Dask: tls://" in log
    assert len(list(project.glob("Runs/*/extra/dask/dask-worker-*.err"))) == 2
    assert list(slurm.folder.parent.glob("home0/cache/emtomo/dask-*")) == []  # keys are dropped
    folders = sorted(project.glob("Runs/*_SimulateTomograms"))
    here, away = folders[0], folders[-1]
    for name in ("sim_01.mrc", "sim_02.mrc"):
        assert np.array_equal(mrcfile.read(here / "extra" / name), mrcfile.read(away / "extra" / name))


def test_a_job_spreads_its_work_over_jobs(emtomo_command, project, slurm):
    options = ("executor=dask", "cluster=slurm", "workers=1", "--executor", "queue", *ONE_CPU, "--label", "both")
    done = emtomo_command("run", project, "bin-tomograms", "tomograms=sim.tomograms", *options)
    assert done.returncode == 0, done.stderr
    log = emtomo_command("log", project, "both").stdout
    assert "Dask: tls://" in log and "output_step" in log
    until(lambda: not slurm.run("squeue", "-h").strip())
