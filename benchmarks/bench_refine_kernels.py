"""Refinement's kernels against what the machine can do, and how time and memory grow with the particles.

Stacks of up to 1.3 GB are written to a temporary folder: set TMPDIR to a disk that has room.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from timing import machine, row, seconds

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.posterior import Prior, best_shifts, separate_maxima
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.linear_algebra import multiply
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.schedule import Progress, global_search
from emtomo.compute.rotations import random_rotations
from emtomo.io import mrc
from emtomo.synthetic.subtomograms import simulate_subtomograms

P = np.float32(PAD)


def volume(n: int) -> np.ndarray:
    """Return blobs at random places."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), axis=-1)
    out = np.zeros((n, n, n))
    for p in rng.normal(0, n / 9, (20, 3)):
        out += np.exp(-((grid - p) ** 2).sum(axis=-1) / 4)
    return (out / out.std()).astype(np.float32)


def kernels(radius: float, n: int) -> None:
    """Print points per second of each kernel on one thread."""
    coefficients, reference = FourierCoefficients(n, radius), transform_padded(volume(n), radius)
    rotations = random_rotations(40, 1).astype(np.float32)
    out = np.empty((40, 2 * len(coefficients)), np.float32)
    data, weight = np.ones(len(coefficients), np.complex64), np.ones(len(coefficients), np.float32)
    gradient, hessian, sums = np.empty(6), np.empty((6, 6)), empty_sums(radius)
    gather, _ = seconds(lambda: fourier_cpu.sections(reference, P, coefficients.k, rotations, out))
    slopes, _ = seconds(
        lambda: fourier_cpu.likelihood(reference, P, coefficients.k, data, weight, rotations[0], n, gradient, hessian)
    )
    scatter, _ = seconds(lambda: fourier_cpu.insert(coefficients.k, P, data, weight, rotations[0], np.float32(1), sums))
    rates = (40 * len(coefficients) / gather, len(coefficients) / slopes, len(coefficients) / scatter)
    row(
        f"radius {radius:g}, one thread: sections, likelihood with derivatives, insertion",
        " / ".join(f"{r / 1e6:.0f}" for r in rates) + " Mpoint/s",
    )


def exhaustive() -> None:
    """Print what the search over all orientations takes beside the bare matrix product of its size."""
    n, options = 32, RefineOptions(mask_diameter=200.0)
    source = BoxParticles(n, 10.0, lambda i: np.zeros((n, n, n)), [0], lambda key: np.zeros(0))
    coefficients = source.coefficients(16.0)
    search = global_search(options, Progress(0, 11.0, 14.0, 5.0), source, coefficients, 10.0)
    grid, chosen = search.grid, coefficients.within(search.grid.radius)
    reference = transform_padded(volume(n), 11.0)
    sections = np.empty((len(grid.rotations), 2 * len(grid.k)), np.float32)
    fourier_cpu.sections_parallel(reference, P, grid.k, grid.rotations.astype(np.float32), sections)
    data, moved = np.ones((1, len(coefficients)), np.complex64), np.empty((1, len(chosen)), np.complex64)
    prior, norms = Prior(np.eye(3), np.zeros(3), 0.0, 0.04), np.ones((1, len(sections)), np.float32)
    columns = np.ones((len(grid.shifts), sections.shape[1]), np.float32)
    penalty = (0.02 * (grid.shifts**2).sum(axis=1)).astype(np.float32)[None]

    def one_particle() -> None:
        fourier_cpu.shift_views(grid.k, np.ascontiguousarray(data[:, chosen]), np.zeros((1, 3)), n, moved)
        height, _ = best_shifts(sections[None], norms, grid.phases, moved, penalty)
        separate_maxima(height[0], grid.rotations, prior, grid.angle_step, search.starts)

    with threadpool_limits(1, "blas"):
        bare, _ = seconds(lambda: multiply(sections, columns.T))
        whole, _ = seconds(one_particle)
        big = np.ones((2048, 2048), np.float32)
        peak, _ = seconds(lambda: multiply(big, big))
    work = 2.0 * sections.size * len(grid.shifts)
    row(
        f"{len(sections)} orientations x {len(grid.shifts)} shifts, {len(grid.k)} frequencies, one thread",
        f"{whole * 1e3:.1f} ms a particle, {len(sections) * len(grid.shifts) / whole / 1e6:.0f} M poses/s",
    )
    row("of that the matrix product", f"{100 * bare / whole:.0f} %")
    row("whole pass / sgemm of 2048^3 (rate)", f"{100 * (work / whole) / (2 * 2048**3 / peak):.0f} %", ">= 40 %")


def scale(n: int, counts: tuple[int, ...]) -> None:
    """Print seconds of an iteration and memory for sets read from a mapped file."""
    distinct = 100
    rotations = random_rotations(distinct, 1)
    boxes = simulate_subtomograms(volume(n), rotations, np.zeros((distinct, 3)), 3.0, 1)
    weights = wedge_weights(n, np.eye(3)[None], np.array([-60.0]), np.array([60.0]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.mrc"
        with mrc.StackWriter(path, (max(counts), n, n, n), 10.0, distinct) as stack:
            for _ in range(0, max(counts), distinct):
                stack.batch(distinct)[:] = boxes
        mapped = mrc.open_volume(path).reshape(-1, n, n, n)
        for count in counts:
            which = np.arange(count) % distinct
            source = BoxParticles(n, 10.0, lambda i: np.array(mapped[i]), [0] * count, lambda key: weights, "wedge")
            start = Poses(rotations[which], np.zeros((count, 3)), assign_halves(count, 1))
            options = RefineOptions(initial_lowpass=40.0, angular_step=1.8, mask_diameter=0.6 * n * 10)
            refinement = Refinement(source, start, volume(n), options)
            state, *_ = refinement.step(refinement.begin())
            began = time.perf_counter()
            refinement.step(state)
            taken = time.perf_counter() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            row(
                f"{count} particles of {n}^3, one local iteration",
                f"{taken:.1f} s, {taken / count * 1e3:.1f} ms a particle, peak {memory:.2f} GB",
            )


def main() -> None:
    print(machine())
    for radius, n in ((12, 32), (24, 64)):
        kernels(radius, n)
    exhaustive()
    scale(32, (100, 1000, 10_000))
    scale(64, (100, 1000))


if __name__ == "__main__":
    main()
