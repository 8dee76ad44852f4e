"""Laplacian-of-Gaussian picking of a whole tomogram."""

import resource
import time

import numpy as np
from timing import machine, row

from emtomo.compute.blobs import LogOptions, pick_blobs

SHAPE = (300, 1000, 1000)


def main() -> None:
    """Print seconds and memory for a tomogram of noise with 500 balls."""
    print(machine())
    rng = np.random.default_rng(0)
    volume = rng.standard_normal(SHAPE, np.float32)
    ball = np.sqrt(sum((g - 12.0) ** 2 for g in np.indices((25,) * 3))) < 12
    for z, y, x in rng.integers(30, np.array(SHAPE) - 55, (500, 3)):
        volume[z : z + 25, y : y + 25, x : x + 25] -= ball
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    found = pick_blobs(volume, 10.0, LogOptions(min_diameter=220, max_diameter=260, adjust_threshold=3))
    taken = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row("pick-log, 1000×1000×300, 220 to 260 Å at 10 Å", f"{taken:.1f} s, {len(found.places)} picks", "≤ 60 s")
    row("peak memory, the tomogram included", f"{peak:.1f} GB (before {before:.1f})")


if __name__ == "__main__":
    main()
