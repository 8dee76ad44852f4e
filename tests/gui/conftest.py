"""A small project with every kind of output, and a display of its own with a robot that clicks."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from emtomo.cli.demo import write_points
from tests.engine.helpers import SAMPLE, Bench, make_once

SHOTS = Path(os.environ.get("EMTOMO_SHOTS", "/tmp/emtomo-shots"))
NAME = "a project 'quoted'"
SMALL = {**SAMPLE, "number": 2, "soluble_proteins": 6, "membrane_proteins": 8}


@pytest.fixture(scope="session")
def made_project(tmp_path_factory):
    """The folder of a project whose runs have made every kind of output."""
    return make_once(tmp_path_factory, "gui", _make_project) / NAME


def _make_project(where):
    folder = where / NAME
    bench = Bench(folder)
    simulated = bench.run("simulate-tomograms", "simulate", **SMALL)
    points = folder / "points.csv"
    write_points(simulated.meshes.frame(), points)
    bench.run("bin-tomograms", "bin", tomograms="simulate.tomograms", factor=2)
    bench.run("pick-vectorial", "pick", tomograms="simulate.tomograms", points=points, box_size=24)
    bench.run("model-workflow", "model", meshes="pick.meshes", cropping=8)
    bench.run(
        "extract-subtomograms",
        "extract",
        coordinates="model.coordinates",
        tomograms="simulate.tomograms",
        box_size=24,
        border="pad",
    )
    bench.run("reconstruct-average", "average", subtomograms="extract.subtomograms")
    bench.run("create-mask", "mask", volume="average.average", shape="sphere", diameter=160)
    bench.run("symmetrize", "symmetrize", volume="average.average", symmetry="C2")
    bench.project.closeMapper()


@pytest.fixture
def project(made_project, tmp_path):
    """A copy of that project that a test may change."""
    folder = tmp_path / made_project.name
    shutil.copytree(made_project, folder, symlinks=True)
    return folder


# --- the display ---


@pytest.fixture(scope="session")
def display():
    """An X server of our own: ``-displayfd`` picks a free number, ``-noreset`` keeps it between clients."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian packages xvfb, xdotool)")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-noreset", "-nolisten", "tcp", "-ac"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    number = os.fdopen(read).readline().strip()
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = f":{number}"
    manager = None
    if shutil.which("openbox"):  # keyboard focus is the window manager's work
        manager = subprocess.Popen(["openbox"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
    yield f":{number}"
    for process in (manager, server):
        if process is not None:
            process.terminate()
            process.wait()
    if before is None:
        os.environ.pop("DISPLAY", None)
    else:
        os.environ["DISPLAY"] = before


@pytest.fixture(autouse=True)
def settings_folder(tmp_path, monkeypatch):
    """Windows remember things in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TTKBOOTSTRAP_STRICT", "1")
    monkeypatch.delenv("EMTOMO_SCALE", raising=False)


@pytest.fixture
def windows(display, request):
    """Opens project windows; a picture is kept on failure, and an error in any callback fails the test."""
    from tests.gui.robot import Robot

    opened = []

    def make(folder, factor=None):
        robot = Robot(folder, factor)
        opened.append(robot)
        return robot

    yield make
    failed = getattr(request.node, "rep_call", None)
    if failed is not None and failed.failed:
        SHOTS.mkdir(parents=True, exist_ok=True)
        subprocess.run(["import", "-window", "root", str(SHOTS / f"{request.node.name[:80]}.png")], check=False)
    errors = []
    for robot in opened:
        errors += robot.window.errors
        robot.close()
    assert not errors, "\n".join(errors)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures see whether the test has failed."""
    outcome = yield
    setattr(item, f"rep_{call.when}", outcome.get_result())
