"""What Dask costs on one machine: the same work in threads and on workers with as many threads, in one run.

``python benchmarks/bench_dask.py`` needs the extra ``scale``. On one machine nothing can be gained; what is measured
is how much of the time is not the work itself, and with that how small the work may be that other machines speed up.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.device import cores
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.rotations import random_rotations
from emtomo.engine.cluster import ClusterOptions, open_cluster
from emtomo.engine.dask_map import DaskMapReduce
from emtomo.io import mrc
from emtomo.objects.particle_source import KeyedWeights, StackedBoxes

SIZE, PIXEL, COUNT = 64, 5.0, 200


def particles(folder: Path) -> tuple[BoxParticles, Poses, np.ndarray]:
    """Return noisy boxes with a missing wedge in a file, poses, and a reference."""
    rng = np.random.default_rng(1)
    axis = np.arange(SIZE) - SIZE // 2
    reference = np.zeros((SIZE, SIZE, SIZE), np.float32)
    for centre in rng.uniform(-14, 14, (12, 3)):
        z, y, x = (np.exp(-((axis - c) ** 2) / 8) for c in centre)
        reference += (z[:, None, None] * y[:, None] * x).astype(np.float32)
    path = str(folder / "boxes.mrc")
    boxes = (reference + rng.normal(0, 1.0, (COUNT, SIZE, SIZE, SIZE))).astype(np.float32)
    mrc.write_volume(path, boxes.reshape(-1, SIZE, SIZE), PIXEL)
    box = StackedBoxes([path] * COUNT, np.arange(COUNT), SIZE, 1)
    weights = KeyedWeights("wedge", SIZE, str(folder))
    source = BoxParticles(SIZE, PIXEL, box, [(-60.0, 60.0)] * COUNT, weights, "wedge")
    return source, Poses(random_rotations(COUNT, 1), np.zeros((COUNT, 3)), assign_halves(COUNT, 1)), reference


def iteration(map_reduce: MapReduce, made: tuple[BoxParticles, Poses, np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the seconds of a local iteration, and a half's sums."""
    source, poses, reference = made
    options = RefineOptions(angular_step=1.8, local_from=1.8, initial_lowpass=30, offset_range=3)  # local searches
    refinement = Refinement(source, poses, reference, options, map_reduce=map_reduce)
    state = refinement.begin()
    state, *_ = refinement.step(state)
    kept: list[np.ndarray] = []
    median, _ = seconds(lambda: kept.append(refinement.step(state)[2][1].data), 3)
    return median, kept[-1]


def main() -> None:
    """Measure and print a table."""
    print(machine())
    row("what", "measured", "")
    row("---", "---", "---")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = particles(folder)
        here, sums = iteration(in_threads, made)
        row(f"local iteration of {COUNT} particles, box {SIZE}, in {cores()} threads", f"{here:.2f} s", "")
        for workers in (1, cores()):
            start = time.perf_counter()
            with open_cluster(ClusterOptions(executor="dask", workers=workers), 0, folder) as client:
                opening = time.perf_counter() - start
                away, others = iteration(DaskMapReduce(client), made)
            what = f"the same on {workers} Dask worker(s) of {cores() // workers} thread(s), opened in {opening:.1f} s"
            row(what, f"{away:.2f} s", f"{away - here:.2f} s more; sums equal: {np.array_equal(sums, others)}")


if __name__ == "__main__":
    main()
