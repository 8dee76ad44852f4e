"""What a run has written of its progress."""

from pathlib import Path
from typing import Any

from pyworkflow.protocol import Protocol

from emtomo.engine.launcher import PROCESS
from emtomo.engine.protocol import PROGRESS
from emtomo.engine.state import read_json


def process_start(run: Protocol) -> float | None:
    """Return when the process of the present try of `run` began (seconds since 1970); None where that is not known."""
    started = read_json(Path(run._getLogsPath(PROCESS)), {}).get("started")
    return float(started) if isinstance(started, int | float) else None


def progress_of(run: Protocol) -> dict[str, Any]:
    """Return what the run last said of its progress, empty if nothing."""
    return progress_in(Path(run._getLogsPath()))


def progress_in(logs: Path) -> dict[str, Any]:
    """Return what the run of this folder of logs last said of its progress, empty if nothing."""
    found = read_json(logs / PROGRESS, {})
    numbers = all(isinstance(found.get(name, 0), int | float) for name in ("done", "total", "time"))
    return found if numbers else {}
