"""Run several runs in the order of their inputs, from one process."""

import math
import time
from collections.abc import Callable, Iterable

from pyworkflow.protocol import Protocol

from emtomo.engine.engine_words import without_bold
from emtomo.engine.launcher import reap
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.run_reading import check_known
from emtomo.errors import ProjectError

POLL_SECONDS = 0.1
WAITING_SECONDS = 1.0  # between two looks while nothing of ours is active: at picks of a user, runs of others
READ_SECONDS = 5.0  # between two readings of all that is wanted, while what is active is looked at alone


def parents_of(run: Protocol) -> set[int]:
    """Return the ids of the runs whose outputs `run` takes or that it waits for."""
    ids = {int(i) for i in run.getPrerequisites()}
    for _, pointer in run.iterInputAttributes():
        parent = pointer.getObjValue()
        if parent is not None:
            ids.add(parent.getObjId() if isinstance(parent, Protocol) else parent.getObjParentId())
    return ids


def out_of_date(runs: list[Protocol]) -> list[Protocol]:
    """Return the finished runs whose parameters or inputs have changed, and the finished ones below them."""
    old = {run.getObjId() for run in runs if getattr(run, "out_of_date", lambda: False)()}
    before = -1
    while len(old) != before:
        before = len(old)
        old |= {run.getObjId() for run in runs if run.isFinished() and parents_of(run) & old}
    return [run for run in runs if run.getObjId() in old]


def run_all(
    project: EmtomoProject,
    ids: Iterable[int],
    *,
    at_once: int = 1,
    restart: bool = False,
    wait_for_picks: bool = False,
    on_change: Callable[[dict[int, Protocol]], None] | None = None,
) -> dict[int, str]:
    """Run the runs `ids` as their inputs become ready and return their final states.

    Parameters
    ----------
    project : EmtomoProject
    ids : iterable of int
        Runs that are saved and not active; a finished one is checked and skipped quickly.
    at_once : int
        Runs that may be active at the same time.
    restart : bool
        Forget earlier results of these runs.
    wait_for_picks : bool
        Wait for picking runs above, which a user registers in a window; else an input that is not there is a failure.
    on_change : callable, optional
        Called after each look, with these runs and those above them.

    Returns
    -------
    dict
        Run id → ``"finished"``, ``"failed"`` or ``"aborted"``. The children of a
        run that failed become failed, with the reason.
    """
    wanted = list(ids)
    pending = list(wanted)
    active: list[int] = []
    runs: dict[int, Protocol] = {}
    read = -math.inf
    while True:
        reap()
        for i in active:
            project.update(runs[i])
        if not active or time.monotonic() - read > READ_SECONDS or not all(runs[i].isActive() for i in active):
            runs = project.runs_with_parents(wanted)
            read = time.monotonic()
        active = [i for i in active if runs[i].isActive()]
        before = len(pending)
        for i in list(pending):
            run = runs[i]
            parents = [runs[k] for k in parents_of(run) if k in runs]
            if any(p.getObjId() in pending or p.isActive() for p in parents):
                continue
            if wait_for_picks and any(_to_be_picked(k, runs, wanted) for k in parents_of(run) if k in runs):
                continue
            bad = next((p for p in parents if not p.isFinished()), None)
            if bad is not None:
                project.fail(run, f"Its input {bad.getObjLabel()} is {bad.getStatus()}.")
                pending.remove(i)
            elif len(active) < at_once:
                _start(project, run, active, restart)
                pending.remove(i)
        if on_change:
            on_change(runs)
        if not pending and not active:
            return {i: run.getStatus() for i, run in runs.items() if i in wanted}
        time.sleep(POLL_SECONDS if active or len(pending) < before else WAITING_SECONDS)


def _to_be_picked(i: int, runs: dict[int, Protocol], wanted: list[int]) -> bool:
    """Return whether run `i` waits for a user: it is picked in a window, or takes what is, and has not failed."""
    run = runs[i]
    if run.isFinished() or run.isFailed() or run.isAborted():
        return False
    if getattr(type(run), "INTERACTIVE", "") and i not in wanted:
        return True
    return any(_to_be_picked(k, runs, wanted) for k in parents_of(run) if k in runs)


def _start(project: EmtomoProject, run: Protocol, active: list[int], restart: bool) -> None:
    check_known(run)
    errors = run.validate()
    if errors:
        project.fail(run, " ".join(without_bold(str(e)) for e in errors))
        return
    try:
        project.launch(run, restart=restart)
    except ProjectError as error:
        project.fail(run, str(error))
    else:
        active.append(run.getObjId())


__all__ = ["error_of", "out_of_date", "parents_of", "run_all"]
