"""The options of the command line that say where a run is carried out."""

from typing import Annotated

import typer
from pyworkflow.protocol import Protocol

from emtomo.engine.cluster import DASK, LOCAL
from emtomo.engine.project import EmtomoProject
from emtomo.engine.queues import set_queue, unset_queue
from emtomo.errors import EmtomoError

QUEUE = "queue"
Executor = Annotated[
    str,
    typer.Option(
        help="local: this machine. dask: spread over a Dask cluster (parameters cluster and workers say which). "
        "queue: the whole run as a job of a queue of hosts.conf."
    ),
]
QueueName = Annotated[str, typer.Option(help="Queue of hosts.conf; the first by default.")]
QueueSettings = Annotated[
    list[str] | None,
    typer.Option("--queue-set", metavar="key=value", help="What the queue asks, e.g. JOB_TIME=2:00:00."),
]


def check_executor(executor: str) -> None:
    """Refuse an executor that there is not."""
    if executor not in ("", LOCAL, DASK, QUEUE):
        raise EmtomoError(f"--executor must be {LOCAL}, {DASK} or {QUEUE}, got {executor!r}.")


def set_executor(
    project: EmtomoProject, run: Protocol, executor: str, queue: str, settings: dict[str, str], *, strict: bool = True
) -> None:
    """Let `run` be carried out where the options say; nothing said leaves it as it is.

    A run may be a job of a queue and spread over a Dask cluster from there: executor dask with a queue.

    Raises
    ------
    EmtomoError
        For an executor or a queue that there is not; where `strict`, for dask with a run that is in one piece.
    """
    check_executor(executor)
    spreads = hasattr(run, "can_distribute") and run.can_distribute()
    if executor == DASK and not spreads and strict:
        raise EmtomoError(f"{getattr(run, 'NAME', run.getClassName())} works in one piece: Dask has nothing to spread.")
    if executor in (LOCAL, DASK) and spreads:
        run.executor.set(executor)
    if executor == QUEUE or queue or settings:
        set_queue(project, run, queue, settings)
    elif executor in (LOCAL, DASK):
        unset_queue(run)
