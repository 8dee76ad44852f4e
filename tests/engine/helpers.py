"""A project for tests, driven as the command line drives it."""

import shutil
from pathlib import Path

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.runner import run_all

SAMPLE = {"size_x": 128, "size_y": 128, "size_z": 64, "vesicles": 1, "vesicle_radius": 240, "snr": 1.0}


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
