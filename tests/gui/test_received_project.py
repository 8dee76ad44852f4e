"""The window of a project that somebody sent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.planted import plant, ran

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


def test_the_window_takes_nothing_of_the_folder(display, project):
    plant(project)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SCIPION", "NUMBA", "PYTHONSAFE"))}
    environment.pop("HOME", None)  # Tk would look for a profile in the working folder
    window = subprocess.Popen(
        [str(Path(sys.prefix) / "bin" / "emtomo"), "gui", "."], cwd=project, env={**environment, "DISPLAY": display},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while window.poll() is None and time.monotonic() < end and not shown(display):
        time.sleep(0.2)
    alive = window.poll() is None
    window.send_signal(signal.SIGKILL)
    reported, _ = window.communicate(timeout=60)
    assert alive, reported
    assert not ran(project)


def shown(display):
    """Return whether a window with a name is on the display."""
    done = subprocess.run(
        ["xdotool", "search", "--onlyvisible", "--name", "emtomo"], env={**os.environ, "DISPLAY": display},
        capture_output=True, text=True,
    )  # fmt: skip
    return bool(done.stdout.strip())
