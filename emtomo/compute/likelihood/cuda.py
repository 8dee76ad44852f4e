"""Particles many at a time on a CUDA device: one launch does for a batch what the CPU's threads do one by one."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.filters import soft_masks
from emtomo.compute.fourier.padded_reference import margin
from emtomo.compute.likelihood.ascents import Ascents
from emtomo.compute.likelihood.cuda_arrays import Cuda, CudaViews
from emtomo.compute.likelihood.grid_search import pick_sums
from emtomo.compute.likelihood.measurement import Measurement
from emtomo.compute.likelihood.newton import newton_ascents
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan, PartialSums
from emtomo.compute.likelihood.pose_estimator import EDGE, PoseEstimator
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import Pose, best_shifts
from emtomo.compute.likelihood.views import ParticleSource, Views
from emtomo.compute.map_reduce import OnProgress

DEVICE_BYTES = 2**31  # of a batch's boxes and data, and again of its scores
MAX_BATCH = 64  # particles


class CudaPoseEstimator(PoseEstimator):
    """Estimates poses with the CUDA kernels."""

    def __init__(self, source: ParticleSource, half: HalfSet, plan: IterationPlan) -> None:
        super().__init__(source, half, plan)
        coefficients, n = self.coefficients, self.coefficients.size
        self.cuda = Cuda(coefficients.k, n, plan.device)
        self.xp = xp = self.cuda.xp
        self._transform = xp.asarray(self.reference)
        self._noise, self._index, self._centre = (
            xp.asarray(a) for a in (self.noise, coefficients.index, coefficients.centre)
        )
        explained = np.zeros(len(coefficients), np.bool_)
        explained[coefficients.within(plan.radius)] = True
        self._explained = xp.asarray(explained)
        self._stages = [[xp.asarray(coefficients.within(s), np.int32) for s in one.stages] for one in plan.searches]
        self._grids = [_DeviceGrid(self, which) for which in range(len(plan.searches))]
        views = max(1, source.usual_views)
        bytes_of_one = views * (40 * n**source.dimension + 60 * len(coefficients))
        self.batch_size = int(np.clip(DEVICE_BYTES // bytes_of_one, 1, MAX_BATCH))

    def search_sections(self, which: int, rotations: np.ndarray) -> np.ndarray:
        """See :class:`PoseEstimator`."""
        return self.cuda.host(self._grids[which].sections_at(rotations))

    def estimate(self, members: np.ndarray, poses: Poses, on_progress: OnProgress) -> PartialSums:
        """See :class:`PoseEstimator`; the sums stay on the device until all particles are in them."""
        out = super().estimate(members, poses, on_progress)
        out.sums = self.cuda.host(out.sums)
        return out

    def empty_sums(self) -> PartialSums:
        """See :class:`PoseEstimator`."""
        out = super().empty_sums()
        out.sums = self.xp.asarray(out.sums)
        return out

    def batches(self, members: np.ndarray, shifts: np.ndarray) -> Iterator[Measurement]:
        """See :class:`PoseEstimator`; views are read while the device works on those before them."""
        if not len(members):
            return
        parts = np.array_split(np.asarray(members, int), -(-len(members) // self.batch_size))
        with ThreadPoolExecutor(threads()) as pool:

            def submit(part: np.ndarray) -> list[Future[tuple[Views, np.ndarray | None]]]:
                return [pool.submit(self._read_with_weight, int(i)) for i in part]

            coming = submit(parts[0])
            for part, after in zip(parts, [*parts[1:], np.zeros(0, int)], strict=True):
                here, coming = [one.result() for one in coming], submit(after)
                yield self._measure_batch(part, here, shifts[part])

    def _read_with_weight(self, i: int) -> tuple[Views, np.ndarray | None]:
        views = self.read(i)
        return views, self.weight(i, views)

    def _measure_batch(
        self, members: np.ndarray, read: list[tuple[Views, np.ndarray | None]], shifts: np.ndarray
    ) -> Measurement:
        """Return what :meth:`PoseEstimator.measure` does, of several particles on the device."""
        xp, source = self.xp, self.source
        views = [one for one, _ in read]
        first = np.concatenate([[0], np.cumsum([len(one) for one in views])])
        rotations, offsets = (
            np.concatenate([getattr(one, name) for one in views]) for name in ("rotations", "offsets")
        )
        group = np.concatenate([one.noise_group for one in views])
        owner = np.repeat(np.arange(len(members)), np.diff(first))
        centres = np.einsum("vij,vj->vi", rotations, shifts[owner]) + offsets
        whole = xp.asarray(np.concatenate([one.values for one in views]))
        weight = None
        if source.kind != "none":
            weight = xp.asarray(np.concatenate([one for _, one in read if one is not None]))
        masks = soft_masks(source.size, centres, self.plan.mask_radius, EDGE, source.dimension, xp)
        masked, square = source.statistics(self._pack(whole * masks, offsets), weight)
        data, _ = source.statistics(self._pack(whole, offsets), weight)
        full = xp.empty(data.shape, np.float32)
        full[...] = xp.asarray(square)
        if self.scale is not None:
            scale = xp.asarray(self.scale[group])[:, None]
            masked, data, full = masked * scale, data * scale, full * scale**2
        noise = self._noise[xp.asarray(group)]
        d, w = (masked / noise).astype(np.complex64), (full / noise).astype(np.float32)
        return Measurement(members, first, rotations, group, masked, data.astype(np.complex64), full, d, w)

    def _pack(self, values: Any, offsets: np.ndarray) -> Any:
        """Return packed transforms of views, their origin at the particle's projected centre."""
        spectra = self.xp.fft.rfftn(values, axes=self.coefficients.axes).reshape(len(values), -1)
        packed = spectra[:, self._index] * self._centre
        return packed * self.cuda.phases(self.cuda.k, offsets) if offsets.any() else packed

    def _views(self, batch: Measurement) -> CudaViews:
        return CudaViews(self.cuda, batch.rotations, batch.first, batch.group)

    def _grid_data(self, which: int, batch: Measurement, places: np.ndarray, shifts: np.ndarray) -> tuple[Any, Any]:
        """Return what :meth:`PoseEstimator.grid_data` does, `(b, n)`, for the particles at `places` of a batch."""
        xp, grid = self.xp, self._grids[which]
        rows = np.concatenate([np.arange(batch.first[p], batch.first[p + 1]) for p in places])
        owner = np.repeat(np.arange(len(places)), np.diff(batch.first)[places])
        moves = np.einsum("vij,vj->vi", batch.rotations[rows], shifts[owner])
        d, w = (a[xp.asarray(rows)][:, grid.chosen] for a in (batch.d, batch.w))
        d = (d * self.cuda.phases(grid.k_of_views, moves)).astype(np.complex64)
        if grid.factor is None:
            return d.reshape(len(places), -1), w.reshape(len(places), -1)
        m = margin(grid.radius, 1)
        sums = xp.zeros((len(places), 2 * m + 1, 2 * m + 1, m + 2, 4), np.float32)
        pose = np.eye(3)[None], np.zeros((1, 3))
        for b in range(len(places)):
            here = np.flatnonzero(owner == b)
            part = xp.asarray(here)
            views = CudaViews(self.cuda, batch.rotations[rows[here]], np.array([0, len(here)]), batch.group[rows[here]])
            self.cuda.insert(
                views, d[part], w[part], np.zeros(1, int), *pose, np.ones(1), sums[b], k=grid.k_of_views, pad=1
            )
        data, weight = pick_sums(sums, grid.k_host, xp)
        return data, weight * grid.factor

    def score_grid(
        self, which: int, batch: Measurement, places: np.ndarray, poses: Poses, penalty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`PoseEstimator`."""
        grid, members = self._grids[which], batch.members[places]
        at_once = max(1, DEVICE_BYTES // grid.bytes_of_one)
        parts = []
        for first in range(0, len(places), at_once):
            some = slice(first, first + at_once)
            data, weight = self._grid_data(which, batch, places[some], poses.shifts[members[some]])
            parts.append(grid.score(data, weight, poses.rotations[members[some]], penalty[some]))
        heights, best = (np.concatenate(part) for part in zip(*parts, strict=True))
        return heights, best

    def ascend(
        self, which: int, stage: int, batch: Measurement, owner: np.ndarray, starts: Pose, priors: Pose
    ) -> Ascents:
        """See :class:`PoseEstimator`."""
        chosen, views = self._stages[which][stage], self._views(batch)

        def likelihoods(*poses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return self.cuda.likelihoods(self._transform, chosen, views, batch.d, batch.w, *poses)

        precision = self.prior(int(batch.members[0])).precision
        limits, steps = self.step_limits(which), self.plan.searches[which].steps
        return newton_ascents(likelihoods, owner, *starts, priors, precision, limits, steps)

    def insert(self, batch: Measurement, owner: np.ndarray, factors: np.ndarray, poses: Pose, out: PartialSums) -> None:
        """See :class:`PoseEstimator`."""
        data = (batch.data / self._noise[self.xp.asarray(batch.group)]).astype(np.complex64)
        weight = batch.square / self._noise[self.xp.asarray(batch.group)]
        self.cuda.insert(self._views(batch), data, weight, owner, *poses, factors, out.sums)

    def accumulate_residual(self, batch: Measurement, poses: Pose, out: PartialSums) -> None:
        """See :class:`PoseEstimator`."""
        groups = self.source.noise_groups
        power, measured = self.cuda.residuals(
            self._transform, self._explained, self._views(batch), groups, batch.data, batch.square, *poses
        )
        index = self.source.noise_index(np.arange(groups), self.coefficients.band).ravel()
        out.residual += np.bincount(index, power.ravel(), minlength=len(out.residual))
        out.measured += np.bincount(index, measured.ravel(), minlength=len(out.measured))

    def view_products(self, batch: Measurement, poses: Pose) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`PoseEstimator`."""
        owner = np.repeat(np.arange(len(batch)), np.diff(batch.first))
        k = self.cuda.k[self._explained]
        moves = np.einsum("vij,vj->vi", batch.rotations, poses[1][owner])
        moved = batch.d[:, self._explained] * self.cuda.phases(k, moves)
        model = self.cuda.sections(self._transform, k, batch.rotations @ poses[0][owner])
        real, imaginary = model[:, ::2], model[:, 1::2]
        cross = (real * moved.real + imaginary * moved.imag).sum(axis=1)
        power = ((real**2 + imaginary**2) * batch.w[:, self._explained]).sum(axis=1)
        return self.cuda.host(cross), self.cuda.host(power)


class _DeviceGrid:
    """A search's grid on the device."""

    def __init__(self, estimator: CudaPoseEstimator, which: int) -> None:
        self.cuda, self.xp, search = estimator.cuda, estimator.xp, estimator.plan.searches[which]
        grid, coefficients, xp = search.grid, estimator.coefficients, estimator.xp
        chosen = coefficients.within(grid.radius)
        self.rotations, self.radius, self.k_host = grid.rotations, grid.radius, grid.k
        self.chosen, self.phases = xp.asarray(chosen), xp.asarray(grid.phases)
        self.k, self.k_of_views = (self.cuda.float32(k) for k in (grid.k, coefficients.k[chosen]))
        factor = estimator.grid_weight_factor(which)
        self.factor = None if factor is None else xp.asarray(factor)
        self.transform = xp.asarray(estimator.search_transform(which))
        self.sections = self.squares = None
        many, few, points = len(grid.rotations), len(grid.shifts), len(grid.k)
        self.bytes_of_one = 8 * (2 * few * points + many * few)
        if search.absolute:
            self.sections = self.sections_at(grid.rotations)[None]
            self.squares = self.sections[0] ** 2
        else:
            self.bytes_of_one += 16 * many * points

    def sections_at(self, rotations: np.ndarray) -> Any:
        """Return `(o, 2 n)` sections of the reference that the grid compares."""
        return self.cuda.sections(self.transform, self.k, rotations)

    def score(
        self, data: Any, weight: Any, rotations: np.ndarray, penalty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what :func:`.posterior.best_shifts` does, of b particles.

        Parameters
        ----------
        data, weight : (b, n) arrays
            Of the grid's frequencies, moved by minus the particles' shifts.
        rotations : (b, 3, 3) array
            Orientations that the grid is laid around.
        penalty : (b, s) array
            Taken off every shift.
        """
        double = self.xp.repeat(weight, 2, axis=1)
        sections = self.sections
        if sections is not None:
            norms = (self.squares @ double.T).T
        else:
            wanted = (rotations[:, None] @ self.rotations).reshape(-1, 3, 3)
            sections = self.sections_at(wanted).reshape(len(data), len(self.rotations), -1)
            norms = ((sections**2) @ double[:, :, None])[:, :, 0]
        height, best = best_shifts(sections, norms, self.phases, data, self.xp.asarray(penalty))
        return self.cuda.host(height), self.cuda.host(best)
