"""Particles many at a time on a CUDA device: one launch does for a batch what the CPU's threads do one by one."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.likelihood.cuda_arrays import Cuda
from emtomo.compute.likelihood.newton import newton_ascent_batch
from emtomo.compute.likelihood.pose_estimator import EDGE, HalfSet, IterationPlan, PartialSums, PoseEstimator
from emtomo.compute.likelihood.posterior import MAX_NEWTON_STEPS, Grid, Peaks, distinct, laplace_modes, separate_maxima
from emtomo.compute.likelihood.views import Particles, Poses
from emtomo.compute.map_reduce import OnProgress

DEVICE_BYTES = 2**31  # of a batch's boxes and data, and again of its scores
MOST = 64  # particles of a batch

Start = tuple[np.ndarray, np.ndarray]


@dataclass
class Batch:
    """Some particles on the device; data and weights are `(b, n)`.

    Attributes
    ----------
    members : int array
        Their numbers.
    data, square : arrays
        Whole data and weights.
    d, w : arrays
        Masked data and weights, divided by the noise's variance.
    """

    members: np.ndarray
    data: Any
    square: Any
    d: Any
    w: Any


class CudaPoseEstimator(PoseEstimator):
    """Locates particles with the CUDA kernels."""

    def __init__(self, particles: Particles, half: HalfSet, plan: IterationPlan) -> None:
        super().__init__(particles, half, plan)
        coefficients, n = self.coefficients, self.coefficients.size
        self.cuda = Cuda(self.reference, coefficients.k, n, plan.device)
        self.xp = xp = self.cuda.xp
        self.searches = self.prepared()
        self._noise, self._index, self._centre = (
            xp.asarray(a) for a in (self.noise, coefficients.index, coefficients.centre)
        )
        inside = np.zeros(len(coefficients), np.bool_)
        inside[coefficients.within(plan.radius)] = True
        self._inside = xp.asarray(inside)
        self._stages = [[xp.asarray(coefficients.within(s), np.int32) for s in one.stages] for one in plan.searches]
        self._grids = [_DeviceGrid(self.cuda, search.grid) for search in self.searches]
        self.most = int(np.clip(DEVICE_BYTES // (40 * n**3 + 60 * len(coefficients)), 1, MOST))

    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """See :class:`PoseEstimator`."""
        return self.cuda.host(self.cuda.sections(self.cuda.float32(k), rotations))

    def partial(self, members: np.ndarray, poses: Poses, on_progress: OnProgress) -> PartialSums:
        """See :class:`PoseEstimator`; boxes are read while the device works on those before them."""
        out = self.no_particles()
        if not len(members):
            return out
        sums = self.xp.zeros(out.sums.shape, np.float32)
        batches = np.array_split(np.asarray(members, int), -(-len(members) // self.most))
        with ThreadPoolExecutor(threads()) as pool:

            def asked(batch: np.ndarray) -> list[Future[np.ndarray]]:
                return [pool.submit(self.box, int(i)) for i in batch]

            coming = asked(batches[0])
            for members_here, after in zip(batches, [*batches[1:], np.zeros(0, int)], strict=True):
                boxes, coming = np.stack([box.result() for box in coming]), asked(after)
                batch = self.on_device(members_here, boxes, poses.shifts[members_here])
                peaks = self.peaks(batch, poses)
                self._add(batch, peaks, poses, sums, out)
                on_progress(len(members_here))
        out.sums = self.cuda.host(sums)
        return out

    def on_device(self, members: np.ndarray, boxes: np.ndarray, shifts: np.ndarray) -> Batch:
        """Return what :meth:`PoseEstimator.measured` does, of a batch."""
        xp = self.xp
        whole = xp.asarray(boxes)
        weights = [self.weight(int(i)) for i in members]
        weight = None if weights[0] is None else xp.asarray(np.stack(weights))  # type: ignore[arg-type]
        masked, squares = self.particles.statistics(self._transform(whole * self._balls(shifts)), weight)
        data, _ = self.particles.statistics(self._transform(whole), weight)
        square = xp.empty(data.shape, np.float32)
        square[...] = xp.asarray(squares)
        d, w = (masked / self._noise).astype(np.complex64), square / self._noise
        return Batch(members, data.astype(np.complex64), square, d, w.astype(np.float32))

    def _balls(self, shifts: np.ndarray) -> Any:
        """Return the masks about particles' centres; see :func:`~emtomo.compute.fourier.filters.ball`."""
        xp, n = self.xp, self.coefficients.size
        along = self.cuda.float32((np.arange(n) - n // 2 - np.asarray(shifts)[:, :, None]) ** 2)
        r = along[:, 2, :, None, None] + along[:, 1, None, :, None] + along[:, 0, None, None, :]
        t = xp.clip((xp.sqrt(r) - np.float32(self.plan.mask_radius)) / np.float32(EDGE), 0, 1)
        return np.float32(0.5) + np.float32(0.5) * xp.cos(np.float32(np.pi) * t)

    def _transform(self, boxes: Any) -> Any:
        """Return packed transforms, their origin at voxel ``n // 2``."""
        spectra = self.xp.fft.rfftn(boxes, axes=(1, 2, 3)).reshape(len(boxes), -1)
        return spectra[:, self._index] * self._centre

    def peaks(self, batch: Batch, poses: Poses) -> list[Peaks]:
        """Return the peaks of every particle of a batch."""
        which = self.plan.which[batch.members]
        found: list[Peaks | None] = [None] * len(batch.members)
        for search in np.unique(which):
            places = np.flatnonzero(which == search)
            begun = self._starts(int(search), batch, places, poses)
            for place, peaks in zip(places, self._climbed(int(search), batch, places, begun), strict=True):
                found[place] = peaks
        return [peaks for peaks in found if peaks is not None]

    def _starts(self, which: int, batch: Batch, places: np.ndarray, poses: Poses) -> list[list[Start]]:
        """Return for every particle at `places` what :func:`.posterior.initial_poses` does."""
        search, grid = self.searches[which], self._grids[which]
        members = batch.members[places]
        shifts, priors = poses.shifts[members], [self.prior(int(i)) for i in members]
        rotations = poses.rotations[members]
        off = shifts[:, None] + search.grid.shifts - np.array([prior.shift for prior in priors])[:, None]
        penalty = 0.5 * priors[0].per_shift * (off**2).sum(axis=2)
        out = []
        at_once = max(1, DEVICE_BYTES // grid.bytes_of_one)
        for first in range(0, len(places), at_once):
            some = slice(first, first + at_once)
            d, w = (a[places[some]][:, grid.chosen] for a in (batch.d, batch.w))
            height, best = grid.heights(d, w, rotations[some], shifts[some], penalty[some])
            for j, prior in enumerate(priors[some]):
                turns = search.grid.rotations if search.absolute else rotations[first + j] @ search.grid.rotations
                moves = shifts[first + j] + search.grid.shifts[best[j]]
                out.append(separate_maxima(height[j], turns, moves, prior, search.grid.angle_step, search.peaks))
        return out

    def _climbed(self, which: int, batch: Batch, places: np.ndarray, begun: list[list[Start]]) -> list[Peaks]:
        """Return the peaks that Newton steps lead to, their resolution rising stage by stage."""
        search, size = self.plan.searches[which], self.coefficients.size
        priors = [self.prior(int(i)) for i in batch.members]
        centres = np.array([prior.rotation for prior in priors]), np.array([prior.shift for prior in priors])
        limits = float(np.deg2rad(search.grid.angle_step)), max(1.0, size / (4 * search.stages[0]))
        owner = np.repeat(places, [len(one) for one in begun])
        rotations, shifts = (np.array([start[part] for one in begun for start in one]) for part in (0, 1))
        for chosen in self._stages[which]:

            def likelihoods(*poses: np.ndarray, chosen: Any = chosen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                return self.cuda.likelihoods(chosen, batch.d, batch.w, *poses)

            density, rotations, shifts, curvature = newton_ascent_batch(
                likelihoods, owner, rotations, shifts, centres, priors[0].precision, limits, MAX_NEWTON_STEPS
            )
            kept = []
            for part in (np.flatnonzero(owner == place) for place in places):
                some = density[part], rotations[part], shifts[part], curvature[part]
                kept.append(part[distinct(*some, self.plan.group)])
            last, every = (density, rotations, shifts, curvature), np.concatenate(kept)
            owner, rotations, shifts = owner[every], rotations[every], shifts[every]
        density, rotations, shifts, curvature = last
        return [laplace_modes(density[part], rotations[part], shifts[part], curvature[part]) for part in kept]

    def _add(self, batch: Batch, peaks: list[Peaks], poses: Poses, sums: Any, out: PartialSums) -> None:
        """Insert a batch, and add up what the reference does not explain of it."""
        halves = poses.half[batch.members]
        added = [self.poses_to_add(one, int(half)) for one, half in zip(peaks, halves, strict=True)]
        owner = np.repeat(np.arange(len(peaks)), [len(one) for one in added])
        factors, rotations, shifts = (np.array([pose[part] for one in added for pose in one]) for part in range(3))
        data = (batch.data / self._noise).astype(np.complex64)
        self.cuda.insert(data, batch.w, owner, rotations, shifts, factors, sums)
        first = np.array([one.rotations[0] for one in peaks]), np.array([one.shifts[0] for one in peaks])
        power, measured = self.cuda.residuals(self._inside, batch.data, batch.square, *first)
        band = self.coefficients.band
        out.residual += np.bincount(band, power, minlength=len(out.residual))
        out.measured += np.bincount(band, measured, minlength=len(out.measured))
        for i, one, half in zip(batch.members, peaks, halves, strict=True):
            out.found[int(i)] = self.found(one, int(half))


class _DeviceGrid:
    """A search's grid on the device."""

    def __init__(self, cuda: Cuda, grid: Grid) -> None:
        self.cuda, self.xp, self.rotations = cuda, cuda.xp, grid.rotations
        self.chosen, self.k, self.waves = (cuda.xp.asarray(a) for a in (grid.chosen, grid.k, grid.waves))
        self.sections = self.squares = None
        many, few, points = len(grid.rotations), len(grid.shifts), len(grid.k)
        self.bytes_of_one = 8 * (2 * few * points + many * few)
        if grid.sections is not None:
            self.sections = cuda.xp.asarray(grid.sections)
            self.squares = self.sections**2
        else:
            self.bytes_of_one += 16 * many * points

    def heights(
        self, d: Any, w: Any, rotations: np.ndarray, shifts: np.ndarray, penalty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for every particle and orientation the best log likelihood of all shifts, and whose it is.

        Parameters
        ----------
        d, w : (b, n) arrays
            Data and weights of the grid's frequencies.
        rotations, shifts : (b, 3, 3) and (b, 3) arrays
            Poses that the grid is laid around.
        penalty : (b, s) array
            Taken off every shift.
        """
        xp, count = self.xp, len(d)
        turns = self.cuda.float32(shifts) @ self.k.T * self.cuda.turn
        here = d * (xp.cos(turns) + 1j * xp.sin(turns)).astype(np.complex64)
        apply_phase_shift = (self.waves[None] * here[:, None]).view(np.float32)  # (b, s, 2 n)
        double = xp.repeat(w, 2, axis=1)
        if self.sections is not None:
            scores = (self.sections @ apply_phase_shift.reshape(-1, apply_phase_shift.shape[2]).T).reshape(
                len(self.sections), count, -1
            )
            scores, norms = scores.transpose(1, 0, 2), (self.squares @ double.T).T
        else:
            wanted = (rotations[:, None] @ self.rotations).reshape(-1, 3, 3)
            sections = self.cuda.sections(self.k, wanted).reshape(count, len(self.rotations), -1)
            scores = sections @ apply_phase_shift.transpose(0, 2, 1)
            norms = ((sections**2) @ double[:, :, None])[:, :, 0]
        scores = 2 * scores - self.cuda.float32(penalty)[:, None, :]
        best = scores.argmax(axis=2)
        return self.cuda.host(scores.max(axis=2) - norms), self.cuda.host(best)
