"""One iteration: estimate the pose of every particle, add it to its half's new volume, measure the noise."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.reconstruction import Sums
from emtomo.compute.likelihood.cpu import CpuPoseEstimator
from emtomo.compute.likelihood.cuda import CudaPoseEstimator
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan, PartialSums
from emtomo.compute.likelihood.pose_estimator import PoseEstimator
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import MapReduce, OnProgress, in_threads

BLOCK_BYTES = 2**29


@dataclass
class IterationSums:
    """What a half set gives: sums, for every noise band the power that is not explained and the weights, and products.

    See :class:`PartialSums` for the latter. `beyond` particles had no pose within the offset range.
    """

    sums: Sums
    residual: np.ndarray
    measured: np.ndarray
    products: np.ndarray
    beyond: int = 0


def create_estimator(source: ParticleSource, half: HalfSet, plan: IterationPlan) -> PoseEstimator:
    """Return the pose estimator of the plan's device."""
    return CpuPoseEstimator(source, half, plan) if plan.device == "cpu" else CudaPoseEstimator(source, half, plan)


def count_blocks(size: int) -> int:
    """Return in how many independent sums a half set's particles are added up; never depends on the threads."""
    one = 16 * (2 * size + 3) ** 2 * (size + 3)
    return int(np.clip(BLOCK_BYTES // (2 * one), 1, 8))


@dataclass(frozen=True)
class ParticleBlock:
    """Particles of one half set that are added up together.

    Attributes
    ----------
    half : int
    members : int array
        Numbers of the particles.
    """

    half: int
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    def parts(self, n: int) -> list["ParticleBlock"]:
        """Return at most `n` blocks of about the same length."""
        return [ParticleBlock(self.half, part) for part in np.array_split(self.members, max(1, min(n, len(self))))]


class Iteration:
    """What all blocks of an iteration share; estimators are made where and when they are first needed."""

    def __init__(self, source: ParticleSource, halves: dict[int, HalfSet], poses: Poses, plan: IterationPlan) -> None:
        self.source, self.halves, self.poses, self.plan = source, halves, poses, plan
        self._reset()

    def _reset(self) -> None:
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._estimators: dict[int, PoseEstimator] = {}

    def __getstate__(self) -> tuple[ParticleSource, dict[int, HalfSet], Poses, IterationPlan]:
        return self.source, self.halves, self.poses, self.plan

    def __setstate__(self, state: tuple[ParticleSource, dict[int, HalfSet], Poses, IterationPlan]) -> None:
        self.source, self.halves, self.poses, self.plan = state
        self._reset()

    @property
    def parallel(self) -> bool:
        """Whether blocks may be worked on side by side in one process: a CUDA device takes one at a time."""
        return self.plan.device == "cpu"

    def estimator(self, h: int) -> PoseEstimator:
        """Return the one estimator of half `h` in this process."""
        with self._lock:
            if h not in self._estimators:
                self._estimators[h] = create_estimator(self.source, self.halves[h], self.plan)
            return self._estimators[h]

    def lock(self) -> AbstractContextManager[object]:
        """Return what a block must hold while it is worked on."""
        return nullcontext() if self.parallel else self._one_at_a_time


def estimate_block(shared: Iteration, block: ParticleBlock, on_progress: OnProgress) -> PartialSums:
    """Estimate the poses of a block's particles and add them up."""
    with shared.lock():
        return shared.estimator(block.half).estimate(block.members, shared.poses, on_progress)


def run_iteration(
    source: ParticleSource,
    halves: dict[int, HalfSet],
    poses: Poses,
    plan: IterationPlan,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> tuple[Poses, dict[int, IterationSums]]:
    """Estimate the poses of all particles against their own half's reference.

    Returns the new poses and, for each half, the sums for its new volume. `map_reduce` says where the blocks are
    worked on.
    """
    coefficients = plan.coefficients
    count = count_blocks(coefficients.size)
    blocks = [ParticleBlock(h, np.flatnonzero(poses.half == h)).parts(count) for h in halves]
    done = [0]

    def on_progress(more: int) -> None:
        """Report how many particles are done."""
        done[0] += more
        progress(done[0])

    totals = map_reduce(estimate_block, Iteration(source, halves, poses, plan), blocks, on_progress)
    new = poses.copy()
    results: dict[int, IterationSums] = {}
    for h, partial in zip(halves, totals, strict=True):
        for i, one in partial.estimates.items():
            new.rotations[i], new.shifts[i], new.score[i] = one.rotation, one.shift, one.score
            new.angle_spread[i], new.shift_spread[i], new.certainty[i] = (
                one.angle_spread, one.shift_spread, one.certainty,
            )  # fmt: skip
        sums = Sums.of(coefficients.size, coefficients.radius, [partial.sums])
        beyond = sum(one.beyond for one in partial.estimates.values())
        results[h] = IterationSums(sums, partial.residual, partial.measured, partial.products, beyond)
    return new, results
