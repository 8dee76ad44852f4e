"""What a list of projects says of each: how many runs, and when something was changed."""

import sys
import time
from pathlib import Path

from emtomo.engine.project import EmtomoProject


def describe_project(folder: Path) -> tuple[str, str]:
    """Return the number of runs of a project and the day of its last change, as text; empty where it is gone."""
    database = folder / EmtomoProject.getDbName()
    try:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(database.stat().st_mtime))
        return str(sum(run.is_dir() for run in (folder / "Runs").iterdir())), changed
    except OSError:
        return "", ""


def demo_command(folder: Path) -> list[str]:
    """Return the command that makes the demonstration project."""
    return [sys.executable, "-m", "emtomo", "demo", "--project", str(folder)]
