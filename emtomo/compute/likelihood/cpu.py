"""Particles one by one on the CPU; a caller's threads work side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.likelihood.ascents import Ascents, begin_ascents
from emtomo.compute.likelihood.grid_search import points_in_particle
from emtomo.compute.likelihood.measurement import Measurement
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan, PartialSums
from emtomo.compute.likelihood.pose_estimator import MAX_CACHED_WEIGHTS, PoseEstimator
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import Pose, best_shifts
from emtomo.compute.likelihood.views import ParticleSource

_PAD = np.float32(PAD)
SECTIONS_OF_A_THREAD = 2000  # not worth sharing out


class CpuPoseEstimator(PoseEstimator):
    """Estimates poses with the compiled drivers."""

    def __init__(self, source: ParticleSource, half: HalfSet, plan: IterationPlan) -> None:
        super().__init__(source, half, plan)
        coefficients = self.coefficients
        self._explained = np.zeros(len(coefficients), np.bool_)
        self._explained[coefficients.within(plan.radius)] = True
        self._stages = [[(c, coefficients.k[c]) for c in map(coefficients.within, s.stages)] for s in plan.searches]
        self._sections = [
            self.search_sections(which, search.grid.rotations) if search.absolute else None
            for which, search in enumerate(plan.searches)
        ]
        self._norms: dict[object, np.ndarray] = {}

    def search_sections(self, which: int, rotations: np.ndarray) -> np.ndarray:
        """See :class:`PoseEstimator`; many are shared out to threads."""
        from emtomo.compute.kernels import fourier_cpu

        k, transform = self.plan.searches[which].grid.k, self.search_transform(which)
        out = np.empty((len(rotations), 2 * len(k)), np.float32)
        wanted = np.ascontiguousarray(rotations, np.float32)

        def fill(part: np.ndarray) -> None:
            fourier_cpu.sections(transform, _PAD, k, wanted[part], out[part[0] : part[-1] + 1])

        if len(rotations) < SECTIONS_OF_A_THREAD:
            fill(np.arange(len(rotations)))
            return out
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(fill, np.array_split(np.arange(len(rotations)), threads() * 4)))
        return out

    def grid_sections(self, which: int, rotation: np.ndarray) -> np.ndarray:
        """See :class:`PoseEstimator`; those of an absolute grid are kept."""
        sections = self._sections[which]
        return super().grid_sections(which, rotation) if sections is None else sections

    def batches(self, members: np.ndarray, shifts: np.ndarray) -> Iterator[Measurement]:
        """See :class:`PoseEstimator`; a batch is one particle."""
        for i in members:
            yield self.measure(int(i), shifts[i])

    def points(self, batch: Measurement, k: np.ndarray) -> np.ndarray:
        """Return frequencies `k` (n, 3) of all views of a batch in the particle's frame, `(v n, 3)`."""
        return k if self.source.dimension == 3 else points_in_particle(k, batch.rotations)

    def _section_norms(self, which: int, batch: Measurement, sections: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the weighted squares of sections; shared ones' once for all particles with the same weights."""
        from emtomo.compute.kernels import fourier_cpu

        key = self.source.weight_key(int(batch.members[0]))
        shared = self.plan.searches[which].absolute and (key is not None or self.source.kind == "none")
        if shared and (which, key) in self._norms:
            return self._norms[which, key]
        norms = np.empty(len(sections), np.float32)
        fourier_cpu.norms(sections, weight, norms)
        if shared:
            if len(self._norms) >= MAX_CACHED_WEIGHTS:
                self._norms.clear()
            self._norms[which, key] = norms
        return norms

    def score_grid(
        self, which: int, batch: Measurement, places: np.ndarray, poses: Poses, penalty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`PoseEstimator`."""
        i, grid = int(batch.members[0]), self.plan.searches[which].grid
        sections = self.grid_sections(which, poses.rotations[i])
        data, weight = self.grid_data(which, batch, poses.shifts[i])
        norms = self._section_norms(which, batch, sections, weight)
        return best_shifts(sections[None], norms[None], grid.phases, data[None], penalty)

    def ascend(
        self, which: int, stage: int, batch: Measurement, owner: np.ndarray, starts: Pose, priors: Pose
    ) -> Ascents:
        """See :class:`PoseEstimator`."""
        from emtomo.compute.kernels import fourier_cpu

        chosen, k = self._stages[which][stage]
        ascents = begin_ascents(*starts)
        fourier_cpu.newton_ascents(
            self.reference, _PAD, k, self.points(batch, k), batch.rotations,
            np.ascontiguousarray(batch.d[:, chosen]), np.ascontiguousarray(batch.w[:, chosen]), self.source.size,
            priors[0][0].astype(float), priors[1][0].astype(float), self.prior(int(batch.members[0])).precision,
            np.array(self.step_limits(which)), self.plan.searches[which].steps, ascents,
        )  # fmt: skip
        return ascents

    def insert(self, batch: Measurement, owner: np.ndarray, factors: np.ndarray, poses: Pose, out: PartialSums) -> None:
        """See :class:`PoseEstimator`."""
        k, noise = self.coefficients.k, self.noise[batch.group]
        data, weight = (batch.data / noise).astype(np.complex64), (batch.square / noise).astype(np.float32)
        insert_views(k, data, weight, batch.rotations, self.source.size, factors, poses, out.sums)

    def accumulate_residual(self, batch: Measurement, poses: Pose, out: PartialSums) -> None:
        """See :class:`PoseEstimator`."""
        from emtomo.compute.kernels import fourier_cpu

        k, count = self.coefficients.k, len(batch.rotations)
        moved, power = np.empty_like(batch.data), np.empty(batch.data.shape, np.float32)
        fourier_cpu.shift_views(k, batch.data, batch.rotations @ poses[1][0], self.source.size, moved)
        fourier_cpu.residual_power(
            self.reference, _PAD, self.points(batch, k), np.tile(self._explained, count), moved.ravel(),
            batch.square.ravel(), poses[0][0].astype(np.float32), power.reshape(-1),
        )  # fmt: skip
        index = self.source.noise_index(batch.group, self.coefficients.band).ravel()
        out.residual += np.bincount(index, power.ravel(), minlength=len(out.residual))
        out.measured += np.bincount(index, batch.square.ravel(), minlength=len(out.measured))

    def view_products(self, batch: Measurement, poses: Pose) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`PoseEstimator`."""
        from emtomo.compute.kernels import fourier_cpu

        k = self.coefficients.k[self._explained]
        d, w = np.ascontiguousarray(batch.d[:, self._explained]), batch.w[:, self._explained]
        moved, model = np.empty_like(d), np.empty((len(d), 2 * len(k)), np.float32)
        fourier_cpu.shift_views(k, d, batch.rotations @ poses[1][0], self.source.size, moved)
        turned = np.ascontiguousarray(batch.rotations @ poses[0][0], np.float32)
        fourier_cpu.sections(self.reference, _PAD, k, turned, model)
        cross = np.einsum("vn,vn->v", model, moved.view(np.float32))
        model *= model
        return cross, np.einsum("vn,vn->v", model.reshape(len(d), -1, 2).sum(axis=2), w)


def insert_views(
    k: np.ndarray,
    data: np.ndarray,
    weight: np.ndarray,
    rotations: np.ndarray,
    size: int,
    factors: np.ndarray,
    poses: Pose,
    sums: np.ndarray,
) -> None:
    """Add the views of one particle to sums on the padded grid, in every pose with its factor.

    Parameters
    ----------
    k : (n, 3) array
        Frequencies of a view.
    data, weight : (v, n) complex64 and float32 arrays
    rotations : (v, 3, 3) array
        From the particle's frame into the view's.
    size : int
        Edge of the boxes or images.
    factors : (p,) array
    poses : (p, 3, 3) and (p, 3) arrays
    sums : array
        See :func:`~emtomo.compute.fourier.reconstruction.empty_sums`.
    """
    from emtomo.compute.kernels import fourier_cpu

    fourier_cpu.insert_poses(
        k, _PAD, data, weight, np.ascontiguousarray(rotations, float), size, np.asarray(factors, np.float32),
        np.ascontiguousarray(poses[0], float), np.ascontiguousarray(poses[1], float), sums,
    )  # fmt: skip
