"""What Dask costs on one machine: the same work in threads and on workers with as many threads, in one run.

``python benchmarks/bench_dask.py`` needs the extra ``scale``. On one machine nothing can be gained; what is measured
is how much of the time is not the work itself, and with that how small the work may be that other machines speed up.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.device import cores
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.particles import Particles, Poses, assign_halves
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.rotations import random_rotations
from emtomo.compute.spread import Spread, in_threads
from emtomo.engine.cluster import ClusterOptions, opened
from emtomo.engine.spread import DaskSpread

SIZE, PIXEL, COUNT = 64, 5.0, 400


def particles() -> tuple[Particles, Poses, np.ndarray]:
    """Return noisy boxes with a missing wedge, poses, and a reference."""
    rng = np.random.default_rng(1)
    axis = np.arange(SIZE) - SIZE // 2
    reference = np.zeros((SIZE, SIZE, SIZE), np.float32)
    for centre in rng.uniform(-14, 14, (12, 3)):
        z, y, x = (np.exp(-((axis - c) ** 2) / 8) for c in centre)
        reference += (z[:, None, None] * y[:, None] * x).astype(np.float32)
    boxes = (reference + rng.normal(0, 1.0, (COUNT, SIZE, SIZE, SIZE))).astype(np.float32)
    weights = wedge_weights(SIZE, np.eye(3)[None], np.array([-60.0]), np.array([60.0]))
    rotations = random_rotations(COUNT, 1)
    source = Particles(SIZE, PIXEL, Boxes(boxes), [0] * COUNT, Weights(weights), "wedge")
    return source, Poses(rotations, np.zeros((COUNT, 3)), assign_halves(COUNT, 1)), reference


class Boxes:
    """Boxes in memory."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes

    def __call__(self, i: int) -> np.ndarray:
        """Return box `i`."""
        return self.boxes[i]


class Weights(Boxes):
    """One array of weights for all."""

    def __call__(self, key: object) -> np.ndarray:
        """Return the weights."""
        return self.boxes


def iteration(spread: Spread) -> tuple[float, np.ndarray]:
    """Return the seconds of a local iteration, and a half's sums."""
    source, poses, reference = particles()
    options = RefineOptions(angular_step=3.7, initial_lowpass=30, offset_range=3)
    refinement = Refinement(source, poses, reference, options, spread=spread)
    state = refinement.begin()
    state, *_ = refinement.step(state)
    kept: list[np.ndarray] = []
    median, _ = seconds(lambda: kept.append(refinement.step(state)[2][1].data), 3)
    return median, kept[-1]


def main() -> None:
    """Measure and print a table."""
    print(machine())
    here, sums = iteration(in_threads)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with opened(ClusterOptions(executor="dask", workers=cores()), 0, Path(folder)) as client:
            opening = time.perf_counter() - start
            away, others = iteration(DaskSpread(client))
    row("what", "measured", "")
    row("---", "---", "---")
    row(f"iteration of {COUNT} particles, box {SIZE}, in {cores()} threads", f"{here:.2f} s", "")
    row(f"the same on {cores()} Dask workers of one thread", f"{away:.2f} s", f"{away / here:.2f} of the threads")
    row("largest difference of the sums", f"{np.abs(sums - others).max() / np.abs(sums).max():.1e}", "of the largest")
    row("opening the cluster", f"{opening:.1f} s", "once a run")


if __name__ == "__main__":
    main()
