"""Particles one by one on the CPU; a caller's threads work side by side."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.pose_estimator import (
    MAX_CACHED_WEIGHTS,
    HalfSet,
    IterationPlan,
    PartialSums,
    PoseEstimator,
)
from emtomo.compute.likelihood.posterior import Grid, Peaks, initial_poses, newton_ascent, waves
from emtomo.compute.likelihood.views import Particles, Poses
from emtomo.compute.map_reduce import OnProgress

_PAD = np.float32(PAD)
FEW = 2000  # sections that one thread takes by itself


class CpuPoseEstimator(PoseEstimator):
    """Locates particles with the compiled drivers."""

    def __init__(self, particles: Particles, half: HalfSet, plan: IterationPlan) -> None:
        super().__init__(particles, half, plan)
        coefficients = self.coefficients
        self.used = coefficients.within(plan.radius)
        self.k_used = coefficients.k[self.used]
        self.stages = [[(c, coefficients.k[c]) for c in map(coefficients.within, s.stages)] for s in plan.searches]
        self._norms: dict[object, np.ndarray] = {}
        self.searches = self.prepared()

    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """See :class:`PoseEstimator`; many are shared out to threads."""
        out = np.empty((len(rotations), 2 * len(k)), np.float32)
        turns = np.ascontiguousarray(rotations, np.float32)

        def fill(part: np.ndarray) -> None:
            fourier_cpu.sections(self.reference, _PAD, k, turns[part], out[part[0] : part[-1] + 1])

        if len(rotations) < FEW:
            fill(np.arange(len(rotations)))
            return out
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(fill, np.array_split(np.arange(len(rotations)), threads() * 4)))
        return out

    def ascend(self, k: np.ndarray, *arguments: Any) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Return log posterior density, rotation, shift and information at the top of the nearest peak."""
        return fourier_cpu.newton_ascent(self.reference, _PAD, k, *arguments)

    def partial(self, members: np.ndarray, poses: Poses, on_progress: OnProgress) -> PartialSums:
        """See :class:`PoseEstimator`."""
        out = self.no_particles()
        for i in members:
            peaks, data, weight = self.locate(int(i), poses)
            half = int(poses.half[i])
            self.insert(peaks, data, weight, half, out.sums)
            self.accumulate_residual(peaks, data, weight, out)
            out.found[int(i)] = self.found(peaks, half)
            on_progress(1)
        return out

    def norms(self, i: int, grid: Grid, w: np.ndarray) -> np.ndarray | None:
        """Return the weighted squares of the shared sections, once for all particles with the same weights."""
        if grid.sections is None:
            return None
        key = self.particles.weight_key[i]
        norms = self._norms.get(key)
        if norms is None:
            norms = np.empty(len(grid.sections), np.float32)
            fourier_cpu.norms(grid.sections, w[grid.chosen], norms)
            if len(self._norms) >= MAX_CACHED_WEIGHTS:
                self._norms.clear()
            self._norms[key] = norms
        return norms

    def locate(self, i: int, poses: Poses) -> tuple[Peaks, np.ndarray, np.ndarray]:
        """Return the peaks of particle `i`, and its data and weights for the average."""
        plan = self.plan
        which = int(plan.which[i])
        search, grid = self.searches[which], self.searches[which].grid
        masked, data, square = self.measured(i, poses.shifts[i])
        d, w = masked / self.noise, square / self.noise
        here, prior, size = (poses.rotations[i], poses.shifts[i]), self.prior(i), self.coefficients.size
        candidates = initial_poses(grid, self.sections, d, w, *here, prior, size, search.peaks, self.norms(i, grid, w))
        limits = np.deg2rad(grid.angle_step), max(1.0, size / (4 * search.stages[0]))
        peaks = newton_ascent(candidates, self.ascend, self.stages[which], d, w, prior, size, limits, plan.group)
        return peaks, data, square

    def insert(self, peaks: Peaks, data: np.ndarray, weight: np.ndarray, half: int, sums: np.ndarray) -> None:
        """Add the particle at its peaks to the sums, in the frame of the first reference."""
        coefficients, size, reach = self.coefficients, self.coefficients.size, self.coefficients.size // 2
        d, w = (data / self.noise).astype(np.complex64), (weight / self.noise).astype(np.float32)
        table, apply_phase_shift = np.empty((3, 2 * reach + 1), np.complex64), np.empty(len(coefficients), np.complex64)
        for mass, rotation, shift in self.poses_to_add(peaks, half):
            fourier_cpu.phases(shift, size, reach, table)
            fourier_cpu.apply_phase_shift(coefficients.k, d, table, apply_phase_shift)
            fourier_cpu.insert(
                coefficients.k, _PAD, apply_phase_shift, w, rotation.astype(np.float32), np.float32(mass), sums
            )

    def accumulate_residual(self, peaks: Peaks, data: np.ndarray, weight: np.ndarray, out: PartialSums) -> None:
        """Add up, per shell, what the reference does not explain of the particle."""
        coefficients, k = self.coefficients, self.k_used
        section = self.sections(k, peaks.rotations[:1])
        expected = section.view(np.complex64)[0] * waves(k, -peaks.shifts[:1], coefficients.size)[0]
        rest = data.copy()
        rest[self.used] -= weight[self.used] * expected
        power = rest.real**2 + rest.imag**2
        out.residual += np.bincount(coefficients.band, power, minlength=len(out.residual))
        out.measured += np.bincount(coefficients.band, weight, minlength=len(out.measured))
