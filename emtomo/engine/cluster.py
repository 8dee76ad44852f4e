"""A Dask cluster for the work inside a run: on this machine, an existing one, or one of jobs of a queue.

Dask is the extra ``scale``; nothing here imports it before a run asks for it. Clusters that are started here talk
by TLS with keys of their own, since whoever reaches a Dask scheduler may run code on it.
"""

import importlib.util
import logging
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from emtomo.compute.device import cores
from emtomo.engine.environment import user_folder
from emtomo.errors import ProjectError
from emtomo.options import Param

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)
# all of Dask's, and those that get a level of their own when they are loaded
DASK_LOGGERS = "distributed", "distributed.worker", "distributed.scheduler", "distributed.nanny"
LOCAL, DASK = "local", "dask"
KNOWN = "clusters.txt"  # in the user's folder: addresses that were given on this machine
SECONDS = 30.0  # to reach a scheduler
FIRST_WORKER = 300.0  # until a queue gives the first
# names of dask-jobqueue's clusters, configured in ~/.config/dask/jobqueue.yaml
JOBQUEUE = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
    "moab": "MoabCluster",
}


def validate_cluster(name: str) -> str:
    """Return in a sentence why there can be no cluster of that name; empty if nothing is known against it."""
    if importlib.util.find_spec("distributed") is None:
        return "Dask is not installed: pip install 'emtomo[scale]'."
    name = name.strip()
    if name.lower() in JOBQUEUE and importlib.util.find_spec("dask_jobqueue") is None:
        return "Clusters of jobs need dask-jobqueue: pip install 'emtomo[scale]'."
    if not name or name.lower() in JOBQUEUE or name.startswith(("tcp://", "tls://")):
        return ""
    if name.endswith(".json"):
        return "" if Path(name).expanduser().is_file() else f"There is no scheduler's file {name}."
    return f"Dask cluster must be empty, tcp://HOST:PORT, a file .json or one of {', '.join(JOBQUEUE)}; got {name!r}."


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where the work inside the run is done."""

    executor: Annotated[
        str,
        Param(
            "Executor",
            "local: in the threads of one machine. dask: spread over the workers of a Dask cluster, "
            "which see the project's folder under the same name.",
            choices=(LOCAL, DASK),
        ),
    ] = LOCAL
    cluster: Annotated[
        str,
        Param(
            "Dask cluster",
            "Empty: workers on this machine. tcp://HOST:8786 or tls://…: a scheduler that runs. A "
            f"file .json: a scheduler's file. {', '.join(JOBQUEUE)}: workers that are jobs of such a queue, as "
            "~/.config/dask/jobqueue.yaml says.",
            when=("executor", DASK),
            validate=validate_cluster,
        ),
    ] = ""
    workers: Annotated[
        int,
        Param(
            "Workers",
            "Worker processes on this machine (0: one), or jobs of the queue (0: two). A cluster that "
            "runs has its own number.",
            ge=0,
            le=10000,
            when=("executor", DASK),
        ),
    ] = 0


def problem_of(options: ClusterOptions) -> str:
    """Return in a sentence why there can be no such cluster; empty if nothing is known against it."""
    return validate_cluster(options.cluster) if options.executor == DASK else ""


def untrusted_address(options: ClusterOptions) -> str:
    """Return the address or file of a cluster that was never given on this machine, else ``""``.

    What a scheduler sends is unpickled, so a project or a template that somebody sent must not choose one.
    """
    name = options.cluster.strip()
    if options.executor != DASK or not name or name.lower() in JOBQUEUE:
        return ""
    path = user_folder() / KNOWN
    return "" if path.is_file() and name in path.read_text(encoding="utf8").split("\n") else name


def trust(name: str) -> None:
    """Remember the address or file of a cluster that the user gave."""
    if not untrusted_address(ClusterOptions(executor=DASK, cluster=name)):
        return
    path = user_folder() / KNOWN
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf8") as stream:
        stream.write(" ".join(name.split()) + "\n")


@contextmanager
def open_cluster(options: ClusterOptions, threads: int, folder: Path) -> Iterator["Client"]:
    """Yield a client of the cluster; one that was started for it ends with it.

    Parameters
    ----------
    options : ClusterOptions
    threads : int
        Threads of all workers on this machine together; 0 takes all cores.
    folder : Path
        Absolute, for what workers write beside their memory, and for the logs of jobs.

    Raises
    ------
    ProjectError
        If it cannot be reached or started.
    """
    problem = problem_of(options)
    if problem:
        raise ProjectError(problem)
    _set_log_level(logging.WARNING)
    _serve_no_pages()
    name = options.cluster.strip()
    with ExitStack() as stack:
        try:
            client = _client(name, options, threads, folder, stack)
            wait = FIRST_WORKER if name.lower() in JOBQUEUE else SECONDS
            client.wait_for_workers(1, timeout=wait)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            if isinstance(error, ProjectError):
                raise
            problem = " ".join(str(error).split()) or type(error).__name__
            raise ProjectError(f"The Dask cluster {name or 'on this machine'} cannot be used: {problem}") from error
        threads_of = client.nthreads()
        where = client.scheduler.address if client.scheduler else "a cluster"
        log.info("Dask: %s, so far %d workers with %d threads", where, len(threads_of), sum(threads_of.values()))
        # connections that end before their peers know of it are no errors while all is being closed
        stack.callback(_set_log_level, logging.CRITICAL)
        yield client


def _set_log_level(level: int) -> None:
    """Let Dask, and what its connections are made of, write no messages below this level."""
    for name in (*DASK_LOGGERS, "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(level)


def _serve_no_pages() -> None:
    """Let schedulers and workers that are started here serve no pages: those need no keys."""
    import dask

    dask.config.set({"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []})


def _client(name: str, options: ClusterOptions, threads: int, folder: Path, stack: ExitStack) -> "Client":
    """Return a client of an existing or a new cluster; `stack` closes what was opened."""
    if name.startswith(("tcp://", "tls://")):
        return stack.enter_context(connect(name))
    if name.endswith(".json"):
        return stack.enter_context(connect(scheduler_file=str(Path(name).expanduser())))
    folder.mkdir(parents=True, exist_ok=True)
    if not name:
        return stack.enter_context(connect(stack.enter_context(_here(options, threads, folder))))
    scratch = _scratch()
    stack.callback(_keep_logs, scratch, folder)
    cluster = _jobs(name.lower(), scratch)
    stack.callback(_close, cluster)
    for _ in range(options.workers or 2):  # what scale() does, but that waits until the queue has taken the jobs
        cluster.worker_spec.update(cluster.new_worker_spec())
    cluster.sync(cluster._correct_state)
    return stack.enter_context(connect(cluster))


def connect(scheduler: Any = None, **options: Any) -> "Client":
    """Return a client of a scheduler or cluster; raises OSError or TimeoutError after ``SECONDS``.

    Dask leaves a client that reached nobody to the garbage collector, which closes it under a lock that the start of
    the next client holds in the same thread: the process would stand still for ever (distributed 2026.8.0). So this
    one closes itself.
    """
    from distributed import Client

    class ClosedOnFailure(Client):
        def __init__(self) -> None:
            try:
                super().__init__(scheduler, timeout=SECONDS, **options)
            except BaseException:
                self.close()
                raise

    return ClosedOnFailure()


def count_workers(options: ClusterOptions, client: "Client") -> int:
    """Return how many workers there are, or will be when the queue has given all."""
    asked = (options.workers or 2) if options.cluster.strip().lower() in JOBQUEUE else 0
    return max(asked, len(client.nthreads()), 1)


def _here(options: ClusterOptions, threads: int, folder: Path) -> Any:
    """Return a cluster of processes on this machine."""
    from distributed import LocalCluster, Security

    count = options.workers or 1
    return LocalCluster(
        n_workers=count,
        threads_per_worker=max(1, math.ceil((threads or cores()) / count)),
        processes=True,
        host="127.0.0.1",
        protocol="tls://",
        security=Security.temporary(),
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},  # its pages need no keys
        local_directory=str(folder),
        silence_logs=logging.WARNING,
    )


def _scratch() -> Path:
    """Return a new folder for keys and logs of jobs, in the user's own, which all machines see.

    It is not the project's: dask-jobqueue puts its name unquoted into scripts.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emtomo"
    if not re.fullmatch(r"[\w./+-]+", str(cache)):
        raise ProjectError(f"The folder for jobs of a Dask cluster must have no spaces or quotes in its name: {cache}.")
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="dask-", dir=cache))


def _close(cluster: Any) -> None:
    """Close a cluster of jobs; one whose jobs the queue refused stumbles over them."""
    with suppress(AssertionError):
        cluster.close()


def _keep_logs(scratch: Path, folder: Path) -> None:
    """Move the logs of jobs to the run's folder, and drop the keys."""
    for path in [*scratch.glob("*.err"), *scratch.glob("*.out")]:
        shutil.move(path, folder / path.name)
    shutil.rmtree(scratch, ignore_errors=True)


def _jobs(kind: str, scratch: Path) -> Any:
    """Return a cluster of jobs of a queue, which has none yet."""
    import dask
    import dask_jobqueue

    for needed in ("cores", "memory"):
        if dask.config.get(f"jobqueue.{kind}.{needed}", None) is None:
            raise ProjectError(
                "~/.config/dask/jobqueue.yaml must say how many cores and how much memory a job has (jobqueue: "
                f"{kind}: cores: 16, memory: 32GB); {needed} is missing."
            )
    prologue = dask.config.get(f"jobqueue.{kind}.job-script-prologue", None) or []
    return getattr(dask_jobqueue, JOBQUEUE[kind])(
        job_script_prologue=[*prologue, "export PYTHONSAFEPATH=1"],  # no modules of the folder that a job starts in
        security=True,
        protocol="tls://",
        shared_temp_directory=str(scratch),
        log_directory=str(scratch),
        scheduler_options={"dashboard_address": "127.0.0.1:0", "dashboard": False},
    )


def threads_of_worker(steps: int = 1) -> int:
    """Return how many threads a task may take, inside a worker; `steps` tasks share it."""
    from distributed import get_worker

    return max(1, int(get_worker().state.nthreads) // max(1, steps))
