"""The average of particles in known poses, and its halves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.reconstruction import Sums, empty_sums, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.pose_estimator import EDGE, normalised
from emtomo.compute.likelihood.views import Particles, Poses
from emtomo.compute.map_reduce import MapReduce, OnProgress, in_threads
from emtomo.compute.refinement.iteration import Block, count_blocks


@dataclass(frozen=True)
class Reconstruction:
    """An average with its half maps and their FSC (unmasked)."""

    average: np.ndarray
    halves: dict[int, np.ndarray]
    fsc: np.ndarray


@dataclass(frozen=True)
class Known:
    """What all blocks of a reconstruction share."""

    particles: Particles
    poses: Poses
    coefficients: FourierCoefficients
    parallel: bool = True


@dataclass(frozen=True)
class Inserted:
    """What a block of particles adds to the volume."""

    sums: np.ndarray

    def combine(self, other: "Inserted") -> "Inserted":
        """Return what both blocks add."""
        return Inserted(np.add(self.sums, other.sums, dtype=float))


def inserted(shared: Known, block: Block, on_progress: OnProgress) -> Inserted:
    """Add up the particles of a block in their poses."""
    particles, poses, coefficients = shared.particles, shared.poses, shared.coefficients
    size, pad = particles.size, np.float32(PAD)
    reach, outside = size // 2, np.flatnonzero(ball(size, size / 2 - 1, 0.0) == 0)
    out = empty_sums(coefficients.radius)
    table, here = np.empty((3, 2 * reach + 1), np.complex64), np.empty(len(coefficients), np.complex64)
    for i in block.members:
        weight = None
        if particles.kind != "none":
            weight = coefficients.pick(particles.weight(particles.weight_key[i])).astype(np.float32)
        box = normalised(particles.box(int(i)), int(i), size, outside)
        data, square = particles.statistics(coefficients.transform(box), weight)
        fourier_cpu.phases(poses.shifts[i], size, reach, table)
        fourier_cpu.apply_phase_shift(coefficients.k, data.astype(np.complex64), table, here)
        rotation = poses.rotations[i].astype(np.float32)
        fourier_cpu.insert(coefficients.k, pad, here, square.astype(np.float32), rotation, np.float32(1), out)
        on_progress(1)
    return Inserted(out)


def sum_half_sets(
    particles: Particles,
    poses: Poses,
    symmetry: str = "C1",
    radius: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> dict[int, Sums]:
    """Return each half set's weighted data in Fourier space, symmetrised; a half without particles is left out.

    Parameters
    ----------
    particles : Particles
    poses : Poses
    symmetry : str
    radius : float, optional
        Shells; all of them by default.
    progress : callable
        Called with the number of particles done.
    map_reduce : Spread
        Where particles are added up.
    """
    size = particles.size
    coefficients = FourierCoefficients(size, radius or size / 2)
    halves = [h for h in (1, 2) if (poses.half == h).any()]
    blocks = [Block(h, np.flatnonzero(poses.half == h)).parts(count_blocks(size)) for h in halves]
    done = [0]

    def on_progress(more: int) -> None:
        done[0] += more
        progress(done[0])

    totals = map_reduce(inserted, Known(particles, poses, coefficients), blocks, on_progress)
    return {
        h: Sums.of(size, coefficients.radius, [total.sums]).completed(symmetry)
        for h, total in zip(halves, totals, strict=True)
    }


def reconstruct(
    particles: Particles,
    poses: Poses,
    symmetry: str = "C1",
    radius: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> Reconstruction:
    """Return the average of particles in known poses, every frequency divided by how much was measured of it.

    Boxes are brought to mean 0 and deviation 1 outside the inscribed sphere first. As in
    ``relion_reconstruct --3d_rot --ctf --ctf3d_not_squared``: sum of C X over sum of C^2.
    """
    size = particles.size
    sums = sum_half_sets(particles, poses, symmetry, radius, progress, map_reduce)
    edge = ball(size, size / 2 - EDGE, EDGE)
    halves = {h: solve(s) * edge for h, s in sums.items()}
    first = next(iter(sums.values()))
    whole = first
    if len(sums) == 2:
        whole = Sums(size, first.radius, sums[1].data + sums[2].data, sums[1].weights + sums[2].weights)
    average = solve(whole) * edge
    fsc = fourier_shell_correlation(halves[1], halves[2]) if len(halves) == 2 else np.zeros(size // 2 + 1)
    return Reconstruction(average, halves, fsc)
