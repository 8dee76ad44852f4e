"""One iteration of 3D classification: the classes and poses of particles, block by block."""

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from emtomo.compute.classification.state_3d import ClassState
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.likelihood.measurement import Measurement
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan, PartialSums, PoseEstimate
from emtomo.compute.likelihood.pose_estimator import PoseEstimator
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import PosteriorModes
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import OnProgress
from emtomo.compute.refinement.iteration import ParticleBlock, create_estimator

SMALLEST_SHARE = 0.01  # probability with which a particle is added to a class


@dataclass
class VolumeClassSums:
    """What a block of particles gives.

    Attributes
    ----------
    sums : (2 K, ...) array
        Of the classes' first halves, then of their second ones.
    residual, measured : arrays
        Of the noise, see :class:`~emtomo.compute.likelihood.plan.PartialSums`.
    estimates : dict
        Probabilities of the classes, pose in the likeliest, log likelihood, of every particle.
    """

    sums: np.ndarray
    residual: np.ndarray
    measured: np.ndarray
    estimates: dict[int, tuple[np.ndarray, PoseEstimate, float]]

    def combine(self, other: "VolumeClassSums") -> "VolumeClassSums":
        """Return what both blocks give together."""
        return VolumeClassSums(
            np.add(self.sums, other.sums, dtype=float),
            self.residual + other.residual,
            self.measured + other.measured,
            self.estimates | other.estimates,
        )


class ClassIteration:
    """What all blocks of an iteration share; estimators are made where they are first needed."""

    def __init__(self, source: ParticleSource, state: ClassState, plan: IterationPlan, align: bool) -> None:
        self.source, self.state, self.plan, self.align = source, state, plan, align
        self._reset()

    def _reset(self) -> None:
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._estimators: list[PoseEstimator] = []

    def __getstate__(self) -> tuple[ParticleSource, ClassState, IterationPlan, bool]:
        return self.source, self.state, self.plan, self.align

    def __setstate__(self, state: tuple[ParticleSource, ClassState, IterationPlan, bool]) -> None:
        self.source, self.state, self.plan, self.align = state
        self._reset()

    @property
    def parallel(self) -> bool:
        """Whether blocks may be worked on side by side in one process."""
        return self.plan.device == "cpu"

    def lock(self) -> AbstractContextManager[object]:
        """Return what a block must hold while it is worked on."""
        return nullcontext() if self.parallel else self._one_at_a_time

    def estimators(self) -> list[PoseEstimator]:
        """Return one estimator for every class."""
        with self._lock:
            if not self._estimators:
                halves = [HalfSet(volume, self.state.noise) for volume in self.state.references]
                self._estimators = [create_estimator(self.source, half, self.plan) for half in halves]
            return self._estimators


def sort_block(shared: ClassIteration, block: ParticleBlock, on_progress: OnProgress) -> VolumeClassSums:
    """Find the classes and poses of a block's particles and add them up."""
    estimators, poses, plan = shared.estimators(), shared.state.poses, shared.plan
    k, logs = len(estimators), np.log(np.maximum(shared.state.shares, 1e-12))
    empty = empty_sums(plan.coefficients.radius)
    parts = [estimators[0].empty_sums() for _ in range(2 * k)]
    if plan.device == "cpu":
        for part in parts:
            part.sums = np.zeros_like(empty)
    estimates: dict[int, tuple[np.ndarray, PoseEstimate, float]] = {}
    with shared.lock():
        for batch in estimators[0].batches(block.members, poses.shifts):
            found = [_modes(one, batch, poses, shared.align) for one in estimators]
            density = np.array([[modes.density for modes in one] for one in found]).T + logs
            top = density.max(axis=1, keepdims=True)
            probability = np.exp(density - top)
            evidence = top[:, 0] + np.log(probability.sum(axis=1))
            probability /= probability.sum(axis=1, keepdims=True)
            _add(batch, estimators, found, probability, poses, parts)
            best = probability.argmax(axis=1)
            for b, i in enumerate(batch.members):
                pose = estimators[best[b]].summarise(found[best[b]][b], 1)
                estimates[int(i)] = probability[b], pose, float(evidence[b])
            on_progress(len(batch))
    sums = np.stack([_on_host(part.sums) for part in parts])
    return VolumeClassSums(sums, parts[0].residual, parts[0].measured, estimates)


def _modes(estimator: PoseEstimator, batch: Measurement, poses: Poses, align: bool) -> list[PosteriorModes]:
    """Return the modes of every particle of a batch: those of its posterior, or the pose that it has."""
    if align:
        return estimator.find_modes(batch, poses)
    members, owner = batch.members, np.arange(len(batch))
    start = poses.rotations[members].astype(float), poses.shifts[members].astype(float)
    ends = estimator.ascend(0, 0, batch, owner, start, start)
    narrow = np.eye(6)[None] * 1e-8
    return [
        PosteriorModes(np.ones(1), start[0][b : b + 1], start[1][b : b + 1], narrow, float(ends.density[b]))
        for b in owner
    ]


def _add(
    batch: Measurement,
    estimators: list[PoseEstimator],
    found: list[list[PosteriorModes]],
    probability: np.ndarray,
    poses: Poses,
    parts: list[PartialSums],
) -> None:
    """Add a batch's particles to the sums of their classes, each by its probability."""
    k = len(estimators)
    halves, best = poses.half[batch.members], probability.argmax(axis=1)
    for c, estimator in enumerate(estimators):
        for half in (1, 2):
            part = parts[c + k * (half - 1)]
            members = np.flatnonzero((halves == half) & (probability[:, c] > SMALLEST_SHARE))
            if len(members):
                added = [estimator.poses_to_add(found[c][b], 1) for b in members]
                owner = np.repeat(members, [len(one[0]) for one in added])
                mass, rotations, shifts = (np.concatenate(values) for values in zip(*added, strict=True))
                estimator.insert(batch, owner, mass * probability[owner, c], (rotations, shifts), part)
    # the noise is what the likeliest class leaves; of a batch of many (on a GPU), the class that most belong to
    rotation = np.array([found[best[b]][b].rotations[0] for b in range(len(batch))])
    shift = np.array([found[best[b]][b].shifts[0] for b in range(len(batch))])
    common = int(np.bincount(best).argmax())
    estimators[common].accumulate_residual(batch, (rotation, shift), parts[0])


def _on_host(array: np.ndarray) -> np.ndarray:
    return np.asarray(array.get() if hasattr(array, "get") else array)
