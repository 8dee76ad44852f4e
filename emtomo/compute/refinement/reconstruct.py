"""The average of particles in known poses, and its halves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import ball, soft_masks
from emtomo.compute.fourier.reconstruction import Sums, empty_sums, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.cpu import insert_views
from emtomo.compute.likelihood.measurement import centre_views, normalise, pack_weights
from emtomo.compute.likelihood.pose_estimator import EDGE
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import MapReduce, OnProgress, in_threads
from emtomo.compute.refinement.iteration import ParticleBlock, count_blocks
from emtomo.errors import EmtomoError


@dataclass(frozen=True)
class Reconstruction:
    """An average with its half maps and their FSC (unmasked)."""

    average: np.ndarray
    halves: dict[int, np.ndarray]
    fsc: np.ndarray


@dataclass(frozen=True)
class ReconstructionTask:
    """What all blocks of a reconstruction share."""

    source: ParticleSource
    poses: Poses
    coefficients: FourierCoefficients
    parallel: bool = True


@dataclass(frozen=True)
class InsertedSums:
    """What a block of particles adds to the volume."""

    sums: np.ndarray

    def combine(self, other: "InsertedSums") -> "InsertedSums":
        """Return what both blocks add."""
        return InsertedSums(np.add(self.sums, other.sums, dtype=float))


def insert_block(shared: ReconstructionTask, block: ParticleBlock, on_progress: OnProgress) -> InsertedSums:
    """Add up the particles of a block in their poses."""
    source, poses, coefficients = shared.source, shared.poses, shared.coefficients
    size, dimension, one = source.size, source.dimension, np.ones(1)
    outside = np.flatnonzero(soft_masks(size, np.zeros((1, 3)), size / 2 - 1, 0.0, dimension) == 0)
    out = empty_sums(coefficients.radius)
    for i in block.members:
        views = normalise(source.read(int(i)), int(i), source, outside)
        values = centre_views(coefficients.transform(views.values), views, coefficients)
        data, square = source.statistics(values, pack_weights(views, int(i), source, coefficients))
        weight = np.ascontiguousarray(np.broadcast_to(square, data.shape), np.float32)
        pose = poses.rotations[i][None], poses.shifts[i][None]
        insert_views(coefficients.k, data.astype(np.complex64), weight, views.rotations, size, one, pose, out)
        on_progress(1)
    return InsertedSums(out)


def sum_half_sets(
    source: ParticleSource,
    poses: Poses,
    symmetry: str = "C1",
    radius: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> dict[int, Sums]:
    """Return each half set's weighted data in Fourier space, symmetrised; a half without particles is left out.

    Parameters
    ----------
    source : ParticleSource
    poses : Poses
    symmetry : str
    radius : float, optional
        Shells; all of them by default.
    progress : callable
        Called with the number of particles done.
    map_reduce : MapReduce
        Where particles are added up.

    Raises
    ------
    EmtomoError
        If the boxes are so small that they have no frequency within the radius.
    """
    size = source.size
    coefficients = source.coefficients(radius or size / 2)
    if not len(coefficients):
        raise EmtomoError(f"Particles must be at least 3 voxels wide to be reconstructed from, got {size}.")
    halves = [h for h in (1, 2) if (poses.half == h).any()]
    blocks = [ParticleBlock(h, np.flatnonzero(poses.half == h)).parts(count_blocks(size)) for h in halves]
    done = [0]

    def on_progress(more: int) -> None:
        """Report how many particles are in the sums."""
        done[0] += more
        progress(done[0])

    totals = map_reduce(insert_block, ReconstructionTask(source, poses, coefficients), blocks, on_progress)
    return {
        h: Sums.of(size, coefficients.radius, [total.sums]).complete(symmetry)
        for h, total in zip(halves, totals, strict=True)
    }


def reconstruct(
    source: ParticleSource,
    poses: Poses,
    symmetry: str = "C1",
    radius: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> Reconstruction:
    """Return the average of particles in known poses, every frequency divided by how much was measured of it.

    Boxes and images are brought to mean 0 and deviation 1 outside the inscribed sphere or circle first. As in
    ``relion_reconstruct --3d_rot --ctf --ctf3d_not_squared``: sum of C X over sum of C^2.
    """
    size = source.size
    sums = sum_half_sets(source, poses, symmetry, radius, progress, map_reduce)
    edge = ball(size, size / 2 - EDGE, EDGE)
    halves = {h: solve(s) for h, s in sums.items()}  # a cut at the sphere's edge would look like agreement
    first = next(iter(sums.values()))
    whole = first
    if len(sums) == 2:
        whole = Sums(size, first.radius, sums[1].data + sums[2].data, sums[1].weights + sums[2].weights)
    average = solve(whole) * edge
    fsc = fourier_shell_correlation(halves[1], halves[2]) if len(halves) == 2 else np.zeros(size // 2 + 1)
    return Reconstruction(average, halves, fsc)
