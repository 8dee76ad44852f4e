"""What the command line writes: results to stdout, messages and progress to stderr."""

import contextlib
import functools
import json
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyworkflow.protocol import Protocol

from emtomo.engine.project import error_of
from emtomo.engine.queues import describe_waiting
from emtomo.engine.run_progress import progress_of
from emtomo.errors import one_line, plain_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


@functools.cache
def messages() -> "Console":
    """Return where messages go; rich is loaded by the first one."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def result(text: str) -> None:
    """Write one line to stdout."""
    sys.stdout.write(plain_text(text) + "\n")


def result_json(value: Any) -> None:
    """Write a value as JSON to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=1) + "\n")


def say(text: str) -> None:
    """Write one message to stderr."""
    messages().print(plain_text(text))


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``"42 s"``, ``"3 min"``, ``"2 h 05 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = int(round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Interrupt:
    """Ctrl-C while runs are watched: never lost in a library that catches it, reported at the next look.

    Use as a context manager; a second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self._pressed = 0
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        with contextlib.suppress(ValueError):  # not the main thread
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, *_: object) -> None:
        self._pressed += 1
        if self._pressed > 1:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._pressed:
            raise KeyboardInterrupt


class Watcher:
    """Shows how runs go on: bars with the time left on a terminal, plain lines elsewhere.

    Use as a context manager and give :meth:`look` to ``run_all``.
    """

    def __init__(self, ids: list[int]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.ids = ids
        self.reported: set[int] = set()
        self._told: dict[int, str] = {}
        self._tasks: dict[int, TaskID] = {}
        self._started: dict[int, float] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=messages(),
            disable=not messages().is_terminal,
        )

    def __enter__(self) -> Callable[[dict[int, Protocol]], None]:
        self._bars.start()
        return self.look

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def look(self, runs: dict[int, Protocol]) -> None:
        """Show the state of the runs; how an earlier try ended is not how this one does."""
        for i in self.ids:
            run = runs[i]
            status = run.getStatus()
            if i not in self._told and status in ("failed", "aborted"):
                self._told[i] = status
            if run.isActive():
                self._started.setdefault(i, time.time())
                self._bar(i, run)
            waits = describe_waiting(run)
            status = f"{status} ({waits})" if waits else status
            if status != self._told.get(i):
                self._told[i] = status
                if not run.isActive():
                    self._end(i, run, status)
                elif waits or not messages().is_terminal:
                    say(f"{one_line(run.getObjLabel())}: {status}")

    def _bar(self, i: int, run: Protocol) -> None:
        if i not in self._tasks:
            self._tasks[i] = self._bars.add_task(one_line(run.getObjLabel()), total=1.0)
        state = progress_of(run)
        if state and state.get("total") and state["time"] >= self._started[i] - 60:
            self._bars.update(self._tasks[i], completed=state["done"] / state["total"])

    def _end(self, i: int, run: Protocol, status: str) -> None:
        if i in self._tasks:
            self._bars.update(self._tasks[i], completed=1.0)
        if status not in ("finished", "failed", "aborted"):
            return
        seconds = time.time() - self._started[i] if i in self._started else 0.0
        if status == "finished":
            say(f"{one_line(run.getObjLabel())}: finished in {seconds:.1f} s")
            for line in run._summary():
                say(f"    {one_line(line)}")
        else:
            self.reported.add(i)
            say(f"emtomo: run {one_line(run.getObjLabel())} {status}: {error_of(run)}")
