"""How a project of many runs, and sets of many coordinates, behave.

``python -m benchmarks.bench_growth [RUNS] [POINTS]``. Runs: one real run is copied into a project RUNS times; then a
new run, ``status`` and ``report`` (twice: the second takes the pictures that the first has kept) are timed, with few
runs and with all of them. Coordinates: POINTS random positions in twenty tomograms are written and read as a set.
Seconds of wall time, and of the processor.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.engine.project import EmtomoProject
from emtomo.isolation import python_command

TINY = {"size_x": 40, "size_y": 40, "size_z": 24, "vesicles": 1, "vesicle_radius": 60, "soluble_proteins": 2}


def timed(*arguments: object) -> tuple[float, float]:
    """Return wall time and processor time of an ``emtomo`` command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*python_command("-m", "emtomo"), *map(str, arguments)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def emtomo(*arguments: object) -> None:
    """Run an ``emtomo`` command."""
    timed(*arguments)


def grow(folder: Path, count: int) -> None:
    """Add `count` copies of the finished run ``bin`` to a project."""
    project = EmtomoProject.open(folder)
    first = project.find("bin")
    for k in range(count):
        run = project.newProtocol(protocol_named("bin-tomograms"))
        set_parameters(project, run, {"tomograms": "simulate.tomograms", "factor": "2"}, folder)
        run.setObjLabel(f"copy {k}")
        project.saveProtocol(run)
        shutil.copytree(first.getWorkingDir(), run.getWorkingDir(), symlinks=True)
        output = type(first.tomograms).open(run._getPath("tomograms.sqlite"))
        run._defineOutputs(tomograms=output)
        run.setStatus("finished")
        project.mapper.store(run)
    project.mapper.commit()
    project.closeMapper()


def measure_project(folder: Path, runs: int) -> None:
    """Print what a new run, ``status`` and ``report`` take, with two runs and with many."""
    emtomo("new", folder)
    emtomo("run", folder, "simulate-tomograms", "--label", "simulate", *(f"{k}={v}" for k, v in TINY.items()))
    emtomo("run", folder, "bin-tomograms", "tomograms=simulate.tomograms", "--label", "bin")
    here = Path.cwd()
    for label, count in (("few", 0), ("many", runs)):
        grow(folder, count)
        os.chdir(here)
        rows = {
            "new run": timed("run", folder, "bin-tomograms", "tomograms=simulate.tomograms", "--label", f"new {label}"),
            "status": timed("status", folder),
            "report": timed("report", folder, "-o", folder.parent / "report.html"),
            "report again": timed("report", folder, "-o", folder.parent / "report.html"),
        }
        for name, (wall, used) in rows.items():
            print(f"{count + 2:>6} runs  {name:<14}{wall:8.2f} s  {used:8.2f} s of the processor")


def measure_coordinates(folder: Path, points: int) -> None:
    """Print what writing and reading a set of coordinates takes, and the largest memory of this process."""
    from emtomo.objects import SetOfCoordinates3D

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"tomogram_id": rng.choice([f"TS_{k:02d}" for k in range(20)], points)})
    for axis in "xyz":
        frame[axis] = rng.uniform(-5000, 5000, points)
    for k, value in enumerate(np.eye(3).ravel()):
        frame[f"r{k // 3 + 1}{k % 3 + 1}"] = value
    frame["score"], frame["group"] = rng.random(points), 1
    start = time.perf_counter()
    SetOfCoordinates3D.save(folder / "set.sqlite", frame, pixel_size=5.0, box_size=32)
    written = time.perf_counter()
    SetOfCoordinates3D.open(folder / "set.sqlite").frame()
    read = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{points:>9} coordinates: written in {written - start:.1f} s, read in {read - written:.1f} s, {memory:.2f} GB"
    )


def main() -> None:
    """Measure with the numbers of the command line."""
    given = [int(word) for word in sys.argv[1:3]]
    runs, points = [*given, *(500, 1_000_000)[len(given) :]]
    with tempfile.TemporaryDirectory() as folder:
        measure_project(Path(folder, "project"), runs)
        measure_coordinates(Path(folder), points)
        os.chdir("/")


if __name__ == "__main__":
    main()
