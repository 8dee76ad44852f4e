"""One iteration for one half set: locate every particle, add it to the new volume, measure the noise."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.reconstruction import Sums
from emtomo.compute.likelihood.cpu import CpuPoseEstimator
from emtomo.compute.likelihood.cuda import CudaPoseEstimator
from emtomo.compute.likelihood.pose_estimator import HalfSet, IterationPlan, PartialSums, PoseEstimator
from emtomo.compute.likelihood.views import Particles, Poses
from emtomo.compute.map_reduce import MapReduce, OnProgress, in_threads

BLOCK_BYTES = 2**29


@dataclass
class IterationSums:
    """What a half set gives: sums, and per shell what the references leave and how much was measured."""

    sums: Sums
    residual: np.ndarray
    measured: np.ndarray


def create_estimator(particles: Particles, half: HalfSet, plan: IterationPlan) -> PoseEstimator:
    """Return the worker of the setting's device."""
    return CpuPoseEstimator(particles, half, plan) if plan.device == "cpu" else CudaPoseEstimator(particles, half, plan)


def count_blocks(size: int) -> int:
    """Return in how many independent sums a half set's particles are added up; never depends on the threads."""
    one = 16 * (2 * size + 3) ** 2 * (size + 3)
    return int(np.clip(BLOCK_BYTES // (2 * one), 1, 8))


@dataclass(frozen=True)
class Block:
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

    def parts(self, n: int) -> list["Block"]:
        """Return at most `n` blocks of about the same length."""
        return [Block(self.half, part) for part in np.array_split(self.members, max(1, min(n, len(self))))]


class Iteration:
    """What all blocks of an iteration share; workers are made where and when they are first needed."""

    def __init__(self, particles: Particles, halves: dict[int, HalfSet], poses: Poses, plan: IterationPlan) -> None:
        self.particles, self.halves, self.poses, self.plan = particles, halves, poses, plan
        self._prepare()

    def _prepare(self) -> None:
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._workers: dict[int, PoseEstimator] = {}

    def __getstate__(self) -> tuple[Particles, dict[int, HalfSet], Poses, IterationPlan]:
        return self.particles, self.halves, self.poses, self.plan

    def __setstate__(self, state: tuple[Particles, dict[int, HalfSet], Poses, IterationPlan]) -> None:
        self.particles, self.halves, self.poses, self.plan = state
        self._prepare()

    @property
    def parallel(self) -> bool:
        """Whether blocks may be worked on side by side in one process: a CUDA device takes one at a time."""
        return self.plan.device == "cpu"

    def estimator(self, h: int) -> PoseEstimator:
        """Return the one worker of half `h` in this process."""
        with self._lock:
            if h not in self._workers:
                self._workers[h] = create_estimator(self.particles, self.halves[h], self.plan)
            return self._workers[h]

    def turn(self) -> AbstractContextManager[object]:
        """Return what a block must hold while it is worked on."""
        return nullcontext() if self.parallel else self._one_at_a_time


def estimate_block(shared: Iteration, block: Block, on_progress: OnProgress) -> PartialSums:
    """Locate the particles of a block and add them up."""
    with shared.turn():
        return shared.estimator(block.half).partial(block.members, shared.poses, on_progress)


def run_iteration(
    particles: Particles,
    halves: dict[int, HalfSet],
    poses: Poses,
    plan: IterationPlan,
    progress: Callable[[int], None] = lambda done: None,
    map_reduce: MapReduce = in_threads,
) -> tuple[Poses, dict[int, IterationSums]]:
    """Locate all particles against their own half's reference.

    Returns the new poses and, for each half, the sums for its new volume. `map_reduce` says where the blocks are
    worked on.
    """
    coefficients = plan.coefficients
    count = count_blocks(coefficients.size)
    blocks = [Block(h, np.flatnonzero(poses.half == h)).parts(count) for h in halves]
    done = [0]

    def on_progress(more: int) -> None:
        done[0] += more
        progress(done[0])

    outcomes = map_reduce(estimate_block, Iteration(particles, halves, poses, plan), blocks, on_progress)
    new = poses.copy()
    results: dict[int, IterationSums] = {}
    for h, partial in zip(halves, outcomes, strict=True):
        for i, (rotation, shift, density, angle, move, mass) in partial.found.items():
            new.rotations[i], new.shifts[i], new.score[i] = rotation, shift, density
            new.angle_spread[i], new.shift_spread[i], new.certainty[i] = angle, move, mass
        sums = Sums.of(coefficients.size, coefficients.radius, [partial.sums])
        results[h] = IterationSums(sums, partial.residual, partial.measured)
    return new, results
