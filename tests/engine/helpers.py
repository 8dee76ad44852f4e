"""A project for tests, driven as the command line drives it."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.runner import run_all

SAMPLE = {"size_x": 128, "size_y": 128, "size_z": 64, "vesicles": 1, "vesicle_radius": 240, "snr": 1.0}


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker who asks makes for all of them; who changes it copies it first."""
    root, here = factory.getbasetemp(), Path.cwd()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "made once"
    root.mkdir(exist_ok=True)
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            make(folder)
            os.chdir(here)
            done.touch()
    return folder


class Bench:
    """A project in which protocols are added and run by name."""

    def __init__(self, folder: Path) -> None:
        self.project = EmtomoProject.start(folder)

    @classmethod
    def copy_of(cls, made: Path, folder: Path) -> "Bench":
        """Return a copy of a project that a test may change."""
        shutil.copytree(made, folder, symlinks=True)
        bench = cls.__new__(cls)
        bench.project = EmtomoProject.open(folder)
        return bench

    @classmethod
    def simulated(cls, factory: pytest.TempPathFactory, folder: Path, label: str, /, **parameters: object) -> "Bench":
        """Return a new project whose one run has simulated tomograms; equal ones are simulated once for all modules."""

        def make(folder: Path) -> None:
            bench = cls(folder / "project")
            bench.run("simulate-tomograms", label, **parameters)
            bench.project.closeMapper()

        key = hashlib.sha256(json.dumps([label, parameters], sort_keys=True).encode()).hexdigest()[:16]
        return cls.copy_of(make_once(factory, key, make) / "project", folder)

    def add(self, name: str, label: str, /, **parameters: object) -> int:
        """Save a run."""
        run = self.project.new_run(protocol_named(name), label)
        set_parameters(self.project, run, {k: str(v) for k, v in parameters.items()}, Path("/"))
        self.project.saveProtocol(run)
        return run.getObjId()

    def go(self, *ids: int, **options: object) -> dict[int, str]:
        """Run runs to their end."""
        return run_all(self.project, ids, **options)

    def run(self, name: str, label: str, /, **parameters: object):
        """Add a run, run it, and return it finished."""
        i = self.add(name, label, **parameters)
        states = self.go(i)
        run = self.project.find(label)
        assert states[i] == "finished", error_of(run)
        return run

    def fails(self, name: str, label: str, /, **parameters: object) -> str:
        """Add a run, run it, and return why it failed."""
        i = self.add(name, label, **parameters)
        assert self.go(i)[i] == "failed"
        return error_of(self.project.find(label))


def wait_for(ready, seconds=180.0):
    """Return what `ready` gives as soon as it is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
    return found
