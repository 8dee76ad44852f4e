"""One iteration for one half set: locate every particle, add it to the new volume, measure the noise."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from emtomo.compute.refinement.cpu_worker import CpuWorker
from emtomo.compute.refinement.cuda_worker import CudaWorker
from emtomo.compute.refinement.maximisation import Sums
from emtomo.compute.refinement.particles import Particles, Poses
from emtomo.compute.refinement.worker import Half, Outcome, Setting, Worker
from emtomo.compute.spread import Spread, Told, in_threads

BLOCK_BYTES = 2**29


@dataclass
class Total:
    """What a half set gives: sums, and per shell what the references leave and how much was measured."""

    sums: Sums
    residual: np.ndarray
    measured: np.ndarray


def worker_of(particles: Particles, half: Half, setting: Setting) -> Worker:
    """Return the worker of the setting's device."""
    return CpuWorker(particles, half, setting) if setting.device == "cpu" else CudaWorker(particles, half, setting)


def blocks_of(size: int) -> int:
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

    def __init__(self, particles: Particles, halves: dict[int, Half], poses: Poses, setting: Setting) -> None:
        self.particles, self.halves, self.poses, self.setting = particles, halves, poses, setting
        self._prepare()

    def _prepare(self) -> None:
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._workers: dict[int, Worker] = {}

    def __getstate__(self) -> tuple[Particles, dict[int, Half], Poses, Setting]:
        return self.particles, self.halves, self.poses, self.setting

    def __setstate__(self, state: tuple[Particles, dict[int, Half], Poses, Setting]) -> None:
        self.particles, self.halves, self.poses, self.setting = state
        self._prepare()

    @property
    def parallel(self) -> bool:
        """Whether blocks may be worked on side by side in one process: a CUDA device takes one at a time."""
        return self.setting.device == "cpu"

    def worker(self, h: int) -> Worker:
        """Return the one worker of half `h` in this process."""
        with self._lock:
            if h not in self._workers:
                self._workers[h] = worker_of(self.particles, self.halves[h], self.setting)
            return self._workers[h]

    def turn(self) -> AbstractContextManager[object]:
        """Return what a block must hold while it is worked on."""
        return nullcontext() if self.parallel else self._one_at_a_time


def outcome_of(shared: Iteration, block: Block, told: Told) -> Outcome:
    """Locate the particles of a block and add them up."""
    with shared.turn():
        return shared.worker(block.half).outcome(block.members, shared.poses, told)


def run_iteration(
    particles: Particles,
    halves: dict[int, Half],
    poses: Poses,
    setting: Setting,
    progress: Callable[[int], None] = lambda done: None,
    spread: Spread = in_threads,
) -> tuple[Poses, dict[int, Total]]:
    """Locate all particles against their own half's reference.

    Returns the new poses and, for each half, the sums for its new volume. `spread` says where the blocks are
    worked on.
    """
    packing = setting.packing
    count = blocks_of(packing.size)
    blocks = [Block(h, np.flatnonzero(poses.half == h)).parts(count) for h in halves]
    done = [0]

    def told(more: int) -> None:
        done[0] += more
        progress(done[0])

    outcomes = spread(outcome_of, Iteration(particles, halves, poses, setting), blocks, told)
    new = poses.copy()
    results: dict[int, Total] = {}
    for h, outcome in zip(halves, outcomes, strict=True):
        for i, (rotation, shift, density, angle, move, mass) in outcome.found.items():
            new.rotations[i], new.shifts[i], new.score[i] = rotation, shift, density
            new.angle_spread[i], new.shift_spread[i], new.certainty[i] = angle, move, mass
        sums = Sums.of(packing.size, packing.radius, [outcome.sums])
        results[h] = Total(sums, outcome.residual, outcome.measured)
    return new, results
