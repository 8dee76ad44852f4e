"""How a project of many runs, and sets of many coordinates, behave.

``python -m benchmarks.bench_growth [--runs 500] [--points 1000000]``. Runs: one real run is copied into a project so
many times; then a new run, ``status`` and ``report`` (twice: the second takes the pictures that the first has kept) are
timed, with few runs and with all of them. Coordinates: random positions with orientations in twenty tomograms are
imported, cleaned, exported as STAR file, two such sets vote, and one is compared with the other. Seconds of wall time,
and of the processor: of the command and of the run that it starts, which is a process of its own.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.rotations import random_rotations
from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.engine.project import EmtomoProject
from emtomo.io.mrc import write_volume
from emtomo.isolation import python_command

TOMOGRAMS, SHAPE, PIXEL = 20, (64, 256, 256), 40.0
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TINY = {"size_x": 40, "size_y": 40, "size_z": 24, "vesicles": 1, "vesicle_radius": 60, "soluble_proteins": 2}


def timed(*arguments: object) -> tuple[float, float]:
    """Return wall time and processor time of an ``emtomo`` command, with all that it started.

    Runs are in sessions of their own: this process is made their parent when the command has ended (Linux).
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*python_command("-m", "emtomo"), *map(str, arguments)], check=True, capture_output=True)
    wall = time.perf_counter() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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


def write_picks(folder: Path, points: int) -> Path:
    """Write a file of picks at random places with orientations, and the empty tomograms that they lie in."""
    rng = np.random.default_rng(1)
    (folder / "tomograms").mkdir()
    for k in range(TOMOGRAMS):
        write_volume(folder / "tomograms" / f"TS_{k:02d}.mrc", np.zeros(SHAPE, np.int8), PIXEL)
    frame = pd.DataFrame({"tomogram_id": [f"TS_{k:02d}" for k in rng.integers(0, TOMOGRAMS, points)]})
    for axis, size in zip("xyz", SHAPE[::-1], strict=True):
        frame[axis] = rng.uniform(0, size - 1, points)
    for k, column in enumerate(random_rotations(points, 1).reshape(-1, 9).T):
        frame[f"r{k // 3 + 1}{k % 3 + 1}"] = column
    frame["score"] = rng.random(points)
    frame.to_csv(folder / "picks.csv", index=False, float_format="%.8g")
    return folder / "picks.csv"


def measure_coordinates(folder: Path, points: int) -> None:
    """Print what the runs take that import, clean and export `points` coordinates and vote on two such sets."""
    picks, project = write_picks(folder, points), folder / "coordinates"
    emtomo("new", project)
    emtomo("run", project, "import-tomograms", f"files={picks.parent / 'tomograms'}", "--label", "tomograms")
    chosen = ("tomograms=tomograms.tomograms", f"files={picks}")
    neighbours = ("min_distance=80", "neighbours=1", "neighbour_distance=200", "max_normal_angle=150")
    rows = {
        "import": timed("run", project, "import-coordinates", *chosen, "--label", "one"),
        "import again": timed("run", project, "import-coordinates", *chosen, "--label", "two"),
        "clean": timed("run", project, "clean-coordinates", "coordinates=one.coordinates", *neighbours),
        "export": timed("run", project, "export-coordinates", "particles=one.coordinates"),
        "consensus": timed(
            "run", project, "consensus-picks", "coordinates=one.coordinates,two.coordinates", "votes=1", "radius=2"
        ),
        "compare": timed("run", project, "compare-picks", "coordinates=one.coordinates", "truth=two.coordinates"),
    }
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # of the largest process
    for name, (wall, used) in rows.items():
        print(f"{points:>9} coordinates  {name:<14}{wall:8.2f} s  {used:8.2f} s of the processor")
    print(f"{points:>9} coordinates  {memory:.2f} GB at most in one process")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="runs that are added; 0: none is measured")
    parser.add_argument("--points", type=int, default=100_000, help="coordinates of a set; 0: none is measured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.runs:
            measure_project(Path(folder, "project"), asked.runs)
        if asked.points:
            os.chdir("/")
            measure_coordinates(Path(folder), asked.points)
        os.chdir("/")


if __name__ == "__main__":
    main()
