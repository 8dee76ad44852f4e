"""Compile the kernels that most tests use, once: ``python -m tests.warm_up``. Later processes load them."""

import os

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

import numpy as np

from emtomo.compute import slices
from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.compute.consensus import ConsensusOptions, consensus
from emtomo.compute.denoise import DenoiseOptions, denoise
from emtomo.compute.extraction import ExtractOptions, box_starts, extract
from emtomo.compute.masks import soften
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from tests.compute.refinement.data import blobs, particles

N = 16


def main() -> None:
    """Call what calls the kernels, as small as it goes."""
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(N, N, N)).astype(np.float32)
    for method in ("bflow", "eed"):
        denoise(volume, DenoiseOptions(method=method, iterations=1))
    soften(volume > 0, 1.0, 2.0)
    rotate_boxes(volume[None], np.eye(3)[None], np.zeros((1, 3)))
    starts, _ = box_starts(np.full((2, 3), N / 2), 8)
    extract(volume, starts, ExtractOptions(box_size=8), np.empty((2, 8, 8, 8), np.float32))
    places = rng.uniform(0, 50, (20, 3))
    clean(places, None, np.zeros(20), CleanOptions(min_distance=5))
    consensus(places, np.zeros(20, int), ConsensusOptions(radius=5, votes=1), pickers=1)
    slices.warm_up()
    model = blobs(N)
    source, poses, _ = particles(model, 8, 1.0)
    for step in (1.8, 30.0):  # local and exhaustive
        Refinement(source, poses, model, RefineOptions(initial_lowpass=60.0, angular_step=step, max_iterations=1)).run()


if __name__ == "__main__":
    main()
