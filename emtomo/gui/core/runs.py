"""What the window knows of the runs of a project: plain, frozen rows, made in the thread that owns the project."""

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyworkflow.object import Object, Set
from pyworkflow.protocol import Protocol

from emtomo.engine.launcher import is_alive
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.provenance import read_provenance
from emtomo.engine.queues import describe_waiting, launch_log
from emtomo.engine.run_progress import process_start, progress_of
from emtomo.engine.runner import out_of_date, parents_of
from emtomo.gui.core.unregistered import count_unregistered
from emtomo.objects.volume import reaches_nyquist
from emtomo.wording import count_text

UNKNOWN = "a protocol that this version does not know"
SCHEDULED = "Logs/scheduled.json"
# word, glyph, colour name of the theme: never colour alone
STATES: dict[str, tuple[str, str]] = {
    "saved": ("○", "secondary"),
    "scheduled": ("◷", "info"),
    "launched": ("↑", "info"),
    "running": ("▶", "primary"),
    "finished": ("✓", "success"),
    "failed": ("✗", "danger"),
    "aborted": ("■", "warning"),
    "interactive": ("✎", "info"),
}
_CLAUSE = re.compile(r", | at | in | \(")  # where the first clause of a summary ends
ACTIVE = ("launched", "running", "scheduled")


@dataclass(frozen=True)
class RunOutput:
    """One output of a run; ``pending`` until the run has made it."""

    run: int
    label: str
    name: str
    kinds: tuple[str, ...]
    summary: str = ""
    pending: bool = False

    @property
    def target(self) -> str:
        """The output as inputs are written: ``RUN.output``, with the run's number."""
        return f"{self.run}.{self.name}"

    @property
    def title(self) -> str:
        """The output as people read it."""
        return f"{self.label}.{self.name}" + (" (pending)" if self.pending else "")


@dataclass(frozen=True)
class Run:
    """One run of a project."""

    id: int
    label: str
    protocol: str
    title: str
    status: str
    parents: frozenset[int]
    outputs: tuple[RunOutput, ...] = ()
    progress: float | None = None
    doing: str = ""
    left: float | None = None
    resolution: float | None = None
    at_nyquist: bool = False
    seconds: float | None = None
    started: str = ""
    error: str = ""
    comment: str = ""
    out_of_date: bool = False
    folder: str = ""
    logs: tuple[str, ...] = ()
    number: int = 0
    interactive: str = ""
    unregistered: int = 0

    @property
    def active(self) -> bool:
        """Whether it runs, or waits to."""
        return self.status in ACTIVE

    @property
    def result_line(self) -> str:
        """What it has made, or what a user has still to do: the second line of its card."""
        if self.unregistered:
            return f"{count_text(self.unregistered, 'pick')} not registered"
        return "  ·  ".join(o.summary for o in self.outputs if not o.pending and o.summary)

    @property
    def card_result(self) -> str:
        """What it has made in few words, as a card has room for: ``"381 particles  ·  12.3 Å"``."""
        if self.unregistered:
            return self.result_line
        made = [o.summary for o in self.outputs if not o.pending and o.summary]
        return "  ·  ".join(_CLAUSE.split(text, maxsplit=1)[0] for text in made)

    @property
    def needs_update(self) -> bool:
        """Whether it is to be run to bring it up to date."""
        return not self.active and (self.out_of_date or self.status != "finished")

    @property
    def card_button(self) -> str:
        """What the button of its card says: Pick, + for the next step, or nothing."""
        if self.interactive and not self.active and (self.unregistered or self.status != "finished"):
            return "Pick"
        return "+" if self.outputs else ""

    @property
    def colour(self) -> str:
        """Name of the theme's colour for its state; what is out of date is not as good as what is finished."""
        return "warning" if self.out_of_date else STATES.get(self.status, ("", "secondary"))[1]

    @property
    def status_line(self) -> str:
        """Status, progress, time left, resolution: one line."""
        parts = [f"{STATES.get(self.status, ('○', ''))[0]} {self.status}"]
        if self.status == "running" and self.progress is not None:
            parts.append(f"{self.progress:.0%}")
            if self.left is not None:
                parts.append(f"{duration(self.left)} left")
            elif self.seconds:
                parts.append(duration(self.seconds))
        elif self.seconds and self.status == "finished":
            parts.append(duration(self.seconds))
        if self.resolution:
            parts.append(f"{self.resolution:.1f} Å" if not self.at_nyquist else f"Nyquist ({self.resolution:.1f} Å)")
        if self.out_of_date:
            parts.append("out of date")
        return "  ".join(parts)

    @property
    def card_state(self) -> str:
        """Return what a card says of the state: how long a run has taken, and will as far as that is known."""
        if self.status != "running" or self.left is None or not self.seconds:
            return self.status_line
        reached = f"  {self.resolution:.1f} Å" if self.resolution else ""
        return f"▶ {duration(self.seconds)} of {duration(self.seconds + self.left)}{reached}"

    @property
    def time_share(self) -> float:
        """Return how much of its time a run has taken, by the time left, else by its steps; 0 unless it runs."""
        if self.status != "running":
            return 0.0
        if self.left is not None and self.seconds:
            return self.seconds / (self.seconds + self.left)
        return self.progress or 0.0

    def matches(self, text: str) -> bool:
        """Return whether every word occurs in number, label, protocol, status or outputs."""
        words = " ".join((str(self.number or self.id), self.label, self.protocol, self.title, self.status, self.comment,
                          *(o.name for o in self.outputs))).lower()  # fmt: skip
        return all(word in words for word in text.lower().split())


@dataclass
class Watched:
    """What was seen before, from which the time left is estimated."""

    steps: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def estimate_time_left(self, run: int, done: float, total: float, now: float) -> float | None:
        """Return the seconds left by the speed since the run was first seen; None until there are three looks."""
        seen = self.steps.setdefault(run, [])
        if seen and done < seen[-1][1]:
            seen.clear()
        if not seen or done > seen[-1][1]:
            seen.append((now, done))
        if len(seen) < 3 or seen[-1][1] <= seen[0][1]:
            return None
        first, last = seen[max(0, len(seen) - 12)], seen[-1]
        speed = (last[1] - first[1]) / max(last[0] - first[0], 1e-6)
        return max(0.0, (total - done) / speed - (now - last[0]))


def snapshot(
    project: EmtomoProject, watched: Watched | None = None, progress: Callable[[float], object] = lambda _: None
) -> dict[int, Run]:
    """Return all runs of the project as they are now, by number; `progress` hears the share that was read."""
    runs = project.runs_now()
    old = {run.getObjId() for run in out_of_date(runs)}
    waiting = read_scheduled(Path(project.path))
    rows = []
    for run in runs:
        rows.append(_row(run, run.getObjId() in old, waiting, watched or Watched(), Path(project.path)))
        progress(len(rows) / len(runs))
    numbers = {i: k for k, i in enumerate(sorted(row.id for row in rows), 1)}  # the engine's ids leave gaps
    return {row.id: replace(row, number=numbers[row.id]) for row in rows}


def _row(run: Protocol, old: bool, waiting: set[int], watched: Watched, project: Path) -> Run:
    i, status = run.getObjId(), run.getStatus() or "saved"
    if i in waiting and status in ("saved", "new", "failed", "aborted"):
        status = "scheduled"
    state: dict[str, Any] = progress_of(run) if status == "running" else {}
    share = state["done"] / state["total"] if state.get("total") else None
    left = watched.estimate_time_left(i, state["done"], state["total"], time.time()) if share is not None else None
    seconds = _seconds(run)
    kind = str(getattr(type(run), "INTERACTIVE", ""))
    return Run(
        i, run.getObjLabel(), getattr(run, "NAME", run.getClassName()), getattr(run, "_label", "") or UNKNOWN,
        "saved" if status == "new" else status, frozenset(parents_of(run)), tuple(_outputs(run)),
        progress=share, doing=str(state.get("what", "")) or describe_waiting(run), left=left,
        resolution=_resolution(run), at_nyquist=_at_nyquist(run), seconds=seconds,
        started=str(run.initTime.get() or "")[:19], error=error_of(run) if run.isFailed() else "",
        comment=run.getObjComment() or "", out_of_date=old, folder=run.getWorkingDir(),
        interactive=kind, unregistered=count_unregistered(project, i, kind) if kind else 0,
        logs=(run.getStdoutLog(), run.getStderrLog(), launch_log(run)),
    )  # fmt: skip


def _seconds(run: Protocol) -> float | None:
    """Return how long a run took or has taken; the engine does not keep the end of every run."""
    if not run.initTime.hasValue():
        return None
    if run.isActive():  # the engine counts from the first try
        began = process_start(run)
        return time.time() - began if began else float(run.getElapsedTime().total_seconds())
    known = read_provenance(run._getPath()).get("seconds")
    if run.isFinished() and known is not None:
        return float(known)
    return float(run.getElapsedTime().total_seconds()) if run.endTime.hasValue() else known


def _outputs(run: Protocol) -> Iterable[RunOutput]:
    made = {n: v for n, v in run.iterOutputAttributes() if not n.startswith("_")}  # the engine lists its own as well
    for name, value in made.items():
        yield RunOutput(run.getObjId(), run.getObjLabel(), name, _kinds(type(value)), str(value))
    if run.isFinished():
        return
    possible = run.plan_outputs() if hasattr(run, "plan_outputs") else run._possibleOutputs or {}
    pairs = possible.items() if isinstance(possible, dict) else ((o.name, o.value) for o in possible)
    for name, kind in pairs:
        if name not in made:
            kind = kind if isinstance(kind, type) else type(kind)
            yield RunOutput(run.getObjId(), run.getObjLabel(), name, _kinds(kind), "", pending=True)


def _kinds(kind: type) -> tuple[str, ...]:
    """Return the names of a class and those above it, the engine's own root classes left out."""
    return tuple(k.__name__ for k in kind.__mro__ if issubclass(k, Object) and k not in (Object, Set))


def _resolution(run: Protocol) -> float | None:
    """Return the resolution that the run's result, or its last iteration, has reached in Å."""
    for _, value in run.iterOutputAttributes():
        reached = getattr(value, "resolution", None)
        if reached is not None and reached.get():
            return float(reached.get())
    last = last_row(Path(run._getExtraPath("metrics.csv")))
    try:
        return float(last["resolution"]) if "resolution" in last else None
    except ValueError:
        return None


def _at_nyquist(run: Protocol) -> bool:
    """Return whether the resolution of the run's result is only the limit of its sampling."""
    for _, value in run.iterOutputAttributes():
        reached, pixel = getattr(value, "resolution", None), getattr(value, "pixel_size", None)
        if reached is not None and pixel is not None and reached.get():
            return reaches_nyquist(float(reached.get()), float(pixel.get() or 0.0))
    return False


def last_row(path: Path) -> dict[str, str]:
    """Return the last whole row of a CSV file by column; empty where there is none."""
    try:
        lines = path.read_text(encoding="utf8", errors="replace").strip().split("\n")
    except OSError:
        return {}
    if len(lines) < 2:
        return {}
    return dict(zip(lines[0].split(","), next(csv.reader(io.StringIO(lines[-1]))), strict=False))


def read_scheduled(project: Path) -> set[int]:
    """Return the runs that a scheduler that is alive is to start."""
    try:
        message = json.loads((project / SCHEDULED).read_text(encoding="utf8"))
        return {int(i) for one in message for i in one["runs"] if is_alive(int(one["pid"]))}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def descendants(runs: dict[int, Run], ids: Iterable[int]) -> set[int]:
    """Return the runs below `ids`, those themselves left out."""
    children: dict[int, set[int]] = {}
    for run in runs.values():
        for parent in run.parents:
            children.setdefault(parent, set()).add(run.id)
    start = set(ids)
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        for child in children.get(waiting.pop(), set()) - found:
            found.add(child)
            waiting.append(child)
    return found - start


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``"42 s"``, ``"3 min"``, ``"2 h 05 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = int(round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
