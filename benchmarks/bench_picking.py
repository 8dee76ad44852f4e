"""Geometry, consensus, cleaning and subsets on large numbers of particles."""

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.compute.consensus import ConsensusOptions, consensus
from emtomo.compute.geometry.models import ModelOptions, build
from emtomo.compute.rotations import random_rotations
from emtomo.compute.subset import SubsetOptions, choose

N = 15_000


def main() -> None:
    print(machine())
    rng = np.random.default_rng(0)
    u = rng.normal(size=(100, 3))
    clicks = u / np.linalg.norm(u, axis=1, keepdims=True) * 830
    options = ModelOptions(cropping=9.2, mesh_parameter=50)
    roles = np.full(100, "point", object)
    made = len(build("vesicle", clicks, roles, options).positions)
    time, _ = seconds(lambda: build("vesicle", clicks, roles, options), 3)
    row(f"vesicle: {made} oriented points, fit included", f"{time:.2f} s", "100,000 in <= 1 s")
    true = rng.uniform(0, 4000, (N // 3, 3))
    positions = np.concatenate([true + rng.normal(0, 3, true.shape) for _ in range(3)])
    picker, score, rotations = np.repeat([0, 1, 2], N // 3), rng.random(N), random_rotations(N, 0)
    vote = ConsensusOptions(radius=30.0)
    time, _ = seconds(lambda: consensus(positions, picker, vote, pickers=3, rotations=rotations, score=score))
    row(f"consensus of {N} picks with orientations", f"{time * 1e3:.0f} ms", "<= 200 ms")
    rules = CleanOptions(min_distance=50.0, neighbours=2, neighbour_distance=300.0, neighbour_angle=90.0)
    time, _ = seconds(lambda: clean(positions, rotations, score, rules))
    row(f"cleaning of {N} particles, distance and neighbours", f"{time * 1e3:.0f} ms", "<= 200 ms")
    some = SubsetOptions(number=500, min_score=0.2)
    time, _ = seconds(lambda: choose(N, some, score=score))
    row(f"subset of {N} particles", f"{time * 1e3:.1f} ms", "<= 200 ms")


if __name__ == "__main__":
    main()
