"""Other programs' Python packages, each group in an environment of its own (made by ``make peers``)."""

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / ".peers"


def run_with(group: str, code: str, *arguments: object) -> str:
    """Run Python code in the environment of a group and return what it prints; skip where that is missing."""
    python = FOLDER / group / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is missing: make peers installs it")
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def command_of(group: str, name: str, *arguments: object) -> str:
    """Run a command of a group and return what it prints."""
    program = FOLDER / group / "bin" / name
    if not program.exists():
        pytest.skip(f"{program} is missing: make peers installs it")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
