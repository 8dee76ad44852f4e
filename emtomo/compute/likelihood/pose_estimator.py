"""What every estimator of a half set's poses does, wherever it computes: views, weights, priors, search, ascents."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emtomo.compute.fourier.filters import soft_masks
from emtomo.compute.fourier.padded_reference import transform_padded
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.likelihood.ascents import Ascents
from emtomo.compute.likelihood.grid_search import SearchReference, pick_sums, searches_views, sum_views
from emtomo.compute.likelihood.measurement import Measurement, centre_views, normalise, pack_weights
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan, PartialSums, PoseEstimate
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import (
    Pose,
    PosteriorModes,
    Prior,
    distinct_modes,
    expand_modes,
    laplace_modes,
    separate_maxima,
)
from emtomo.compute.likelihood.views import ParticleSource, Views
from emtomo.compute.map_reduce import OnProgress

EDGE = 3.0  # voxels of a soft sphere's edge
MIN_POSE_MASS = 0.01
MAX_CACHED_WEIGHTS = 64  # kept at a time, beside their norms


class PoseEstimator(ABC):
    """Estimates particles' poses against one half's reference, and adds them up.

    Attributes
    ----------
    source, plan, coefficients
        The particles and what they share in this iteration.
    noise : (g, n) float32 array
        Variances of the packed frequencies for every noise group.
    reference : complex64 array
        Padded transform.
    """

    def __init__(self, source: ParticleSource, half: HalfSet, plan: IterationPlan) -> None:
        self.source, self.plan, self.coefficients = source, plan, plan.coefficients
        groups = np.arange(source.noise_groups)
        self.noise = half.noise[source.noise_index(groups, self.coefficients.band)].astype(np.float32)
        self.scale = None if half.scale is None else np.asarray(half.scale, np.float32)
        self.reference = transform_padded(half.reference, plan.radius)
        self.in_views = [searches_views(source, search.grid.radius) for search in plan.searches]
        self._chosen = [self.coefficients.within(search.grid.radius) for search in plan.searches]
        self.for_sums = None if all(self.in_views) else SearchReference.for_sums(half.reference, plan.radius)
        self._weight_factors = [self.grid_weight_factor(which) for which in range(len(plan.searches))]
        self._weights: dict[object, np.ndarray | None] = {}
        size, radius = source.size, min(plan.mask_radius, source.size / 2 - 1)
        inside = soft_masks(size, np.zeros((1, 3)), radius, 0.0, source.dimension)
        self._outside = np.flatnonzero(inside == 0)

    # --- what a backend computes ---

    @abstractmethod
    def search_sections(self, which: int, rotations: np.ndarray) -> np.ndarray:
        """Return `(o, 2 n)` real and imaginary parts of the reference at the frequencies of search `which`'s grid."""

    def grid_sections(self, which: int, rotation: np.ndarray) -> np.ndarray:
        """Return the sections of search `which`'s grid about an orientation; the same for all where it is absolute."""
        search = self.plan.searches[which]
        rotations = search.grid.rotations
        return self.search_sections(which, rotations if search.absolute else rotation @ rotations)

    @abstractmethod
    def batches(self, members: np.ndarray, shifts: np.ndarray) -> Iterator[Measurement]:
        """Return particles with shifts `(n, 3)`, some at a time, where the backend works on them."""

    @abstractmethod
    def score_grid(
        self, which: int, batch: Measurement, places: np.ndarray, poses: Poses, penalty: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for the particles at `places` of a batch what :func:`.posterior.best_shifts` does.

        `poses` are those that the grid of search `which` is laid around, `penalty` what the prior takes off its shifts.
        """

    @abstractmethod
    def ascend(
        self, which: int, stage: int, batch: Measurement, owner: np.ndarray, starts: Pose, priors: Pose
    ) -> Ascents:
        """Return the ends of Newton ascents.

        Parameters
        ----------
        which, stage : int
            Search and its stage.
        batch : Measurement
        owner : (p,) int array
            Place in the batch of the particle whose pose it is.
        starts : (p, 3, 3) and (p, 3) arrays
        priors : (b, 3, 3) and (b, 3) arrays
            The priors' centres, for all places of the batch.
        """

    @abstractmethod
    def insert(self, batch: Measurement, owner: np.ndarray, factors: np.ndarray, poses: Pose, out: PartialSums) -> None:
        """Add particles of a batch, each with its factor, in poses (p, 3, 3) and (p, 3)."""

    @abstractmethod
    def accumulate_residual(self, batch: Measurement, poses: Pose, out: PartialSums) -> None:
        """Add up, per noise band, what the reference does not explain of particles in poses (b, 3, 3) and (b, 3)."""

    @abstractmethod
    def view_products(self, batch: Measurement, poses: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Return for every view `(v,)` the products of the reference with the data and with itself.

        Over the frequencies that are compared, divided by the noise's variance; of particles in poses (b, 3, 3) and
        (b, 3). Their ratio is the factor by which the view is stronger than the reference.
        """

    # --- what is the same everywhere ---

    def search_transform(self, which: int) -> np.ndarray:
        """Return the padded transform of the reference that the grid of search `which` compares."""
        return self.reference if self.in_views[which] or self.for_sums is None else self.for_sums.transform

    def grid_weight_factor(self, which: int) -> np.ndarray | None:
        """Return what the weights of a grid's frequencies are multiplied with; None where views are compared."""
        if self.in_views[which] or self.for_sums is None:
            return None
        shell = np.rint(np.linalg.norm(self.plan.searches[which].grid.k, axis=1)).astype(int)
        return self.for_sums.weight_factor[shell]

    def estimate(self, members: np.ndarray, poses: Poses, on_progress: OnProgress) -> PartialSums:
        """Estimate the poses of some particles and add them up."""
        out = self.empty_sums()
        for batch in self.batches(np.asarray(members, int), poses.shifts):
            modes = self.find_modes(batch, poses)
            halves = poses.half[batch.members]
            added = [self.poses_to_add(one, int(half)) for one, half in zip(modes, halves, strict=True)]
            owner = np.repeat(np.arange(len(modes)), [len(one[0]) for one in added])
            factors, rotations, shifts = (np.concatenate(part) for part in zip(*added, strict=True))
            self.insert(batch, owner, factors, (rotations, shifts), out)
            first = np.array([one.rotations[0] for one in modes]), np.array([one.shifts[0] for one in modes])
            self.accumulate_residual(batch, first, out)
            if self.source.scaled_views:
                products = self.view_products(batch, first)
                groups = self.source.noise_groups
                out.products += np.stack([np.bincount(batch.group, part, minlength=groups) for part in products])
            for i, one, half in zip(batch.members, modes, halves, strict=True):
                out.estimates[int(i)] = self.summarise(one, int(half))
            on_progress(len(batch))
        return out

    def empty_sums(self) -> PartialSums:
        """Return what no particles give."""
        zeros = np.zeros(self.source.noise_length), np.zeros(self.source.noise_length)
        products = np.zeros((2, self.source.noise_groups if self.source.scaled_views else 0))
        return PartialSums(empty_sums(self.coefficients.radius), *zeros, products=products)

    def read(self, i: int) -> Views:
        """Return the views of particle `i`, their grey values with mean 0 and deviation 1 outside the mask."""
        return normalise(self.source.read(i), i, self.source, self._outside)

    def weight(self, i: int, views: Views) -> np.ndarray | None:
        """Return the packed weights of the views of particle `i`, `(v, n)`; shared ones are kept."""
        key = self.source.weight_key(i)
        if key is None:
            return pack_weights(views, i, self.source, self.coefficients)
        if key not in self._weights:
            if len(self._weights) >= MAX_CACHED_WEIGHTS:
                self._weights.clear()  # every particle may have a file of its own
            self._weights[key] = pack_weights(views, i, self.source, self.coefficients)
        return self._weights[key]

    def measure(self, i: int, shift: np.ndarray) -> Measurement:
        """Return particle `i`, masked about where its shift puts it."""
        views, coefficients = self.read(i), self.coefficients
        values, count = views.values, len(views)
        centres = views.rotations @ shift + views.offsets
        masks = soft_masks(coefficients.size, centres, self.plan.mask_radius, EDGE, self.source.dimension)
        both = coefficients.transform(np.concatenate([values * masks, values]))
        inside, whole = (centre_views(part, views, coefficients) for part in (both[:count], both[count:]))
        weight = self.weight(i, views)
        masked, square = self.source.statistics(inside, weight)
        data, _ = self.source.statistics(whole, weight)
        square = np.broadcast_to(square, data.shape)
        if self.scale is not None:
            scale = self.scale[views.noise_group][:, None]
            masked, data, square = masked * scale, data * scale, square * scale**2
        noise = self.noise[views.noise_group]
        return Measurement(
            np.array([i]), np.array([0, count]), views.rotations, views.noise_group, masked, data, square,
            (masked / noise).astype(np.complex64, copy=False), (square / noise).astype(np.float32, copy=False),
        )  # fmt: skip

    def grid_data(self, which: int, batch: Measurement, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return data, moved by minus a shift, and weights of one particle at the frequencies of a search's grid."""
        from emtomo.compute.kernels import fourier_cpu

        chosen = self._chosen[which]
        k = self.coefficients.k[chosen]
        d, w = np.ascontiguousarray(batch.d[:, chosen]), batch.w[:, chosen]
        moved = np.empty_like(d)
        fourier_cpu.shift_views(k, d, batch.rotations @ shift, self.source.size, moved)
        factor, grid = self._weight_factors[which], self.plan.searches[which].grid
        if factor is None:
            return moved.ravel(), w.ravel()
        data, weight = pick_sums(sum_views(k, moved, w, batch.rotations, grid.radius), grid.k)
        return data, weight * factor

    def prior(self, i: int) -> Prior:
        """Return what is known of the pose of particle `i` beforehand."""
        angle, shift = np.deg2rad(self.plan.prior_angle), self.plan.prior_shift
        return Prior(
            self.plan.start.rotations[i],
            self.plan.start.shifts[i],
            1 / angle**2 if angle else 0.0,
            1 / shift**2 if shift else 0.0,
        )

    def step_limits(self, which: int) -> tuple[float, float]:
        """Return the longest rotation (radians) and shift (voxels) of one Newton step."""
        search = self.plan.searches[which]
        return float(np.deg2rad(search.grid.angle_step)), max(1.0, self.source.size / (4 * search.stages[0]))

    def find_modes(self, batch: Measurement, poses: Poses) -> list[PosteriorModes]:
        """Return the modes of the posterior of every particle of a batch."""
        which = self.plan.which[batch.members]
        found: dict[int, PosteriorModes] = {}
        for search in np.unique(which):
            places = np.flatnonzero(which == search)
            starts = self._initial_poses(int(search), batch, places, poses)
            found |= self._ascend_stages(int(search), batch, places, starts, poses)
        return [found[place] for place in range(len(batch))]

    def _initial_poses(self, which: int, batch: Measurement, places: np.ndarray, poses: Poses) -> list[list[Pose]]:
        """Return for every particle at `places` the best poses of the grid, no two of them neighbours."""
        search, members = self.plan.searches[which], batch.members[places]
        grid, priors = search.grid, [self.prior(int(i)) for i in members]
        off = poses.shifts[members][:, None] + grid.shifts - np.array([prior.shift for prior in priors])[:, None]
        penalty = (0.5 * priors[0].per_shift * (off**2).sum(axis=2)).astype(np.float32)
        heights, best = self.score_grid(which, batch, places, poses, penalty)
        out = []
        for i, height, shift, prior in zip(members, heights, best, priors, strict=True):
            rotations = grid.rotations if search.absolute else poses.rotations[i] @ grid.rotations
            chosen = separate_maxima(height, rotations, prior, grid.angle_step, search.starts)
            out.append([(rotations[k], poses.shifts[i] + grid.shifts[shift[k]]) for k in chosen])
        return out

    def _ascend_stages(
        self, which: int, batch: Measurement, places: np.ndarray, starts: list[list[Pose]], last: Poses
    ) -> dict[int, PosteriorModes]:
        """Return for every place the modes that Newton steps lead to, their resolution rising stage by stage.

        Modes farther from the last position than particles may lie along any axis (the neighbour of a unit in a
        lattice, say) do not count; where there is no other, the particle keeps its pose.
        """
        priors = [self.prior(int(i)) for i in batch.members]
        centres = np.array([prior.rotation for prior in priors]), np.array([prior.shift for prior in priors])
        owner = np.repeat(places, [len(one) for one in starts])
        rotations, shifts = (np.array([start[part] for one in starts for start in one]) for part in (0, 1))
        for stage in range(len(self.plan.searches[which].stages)):
            ends = self.ascend(which, stage, batch, owner, (rotations, shifts), centres)
            density, information = ends.density, ends.information
            rotations, shifts = ends.best_rotation, ends.best_shift
            kept = []
            for place in places:
                part = np.flatnonzero(owner == place)
                some = density[part], rotations[part], shifts[part], information[part]
                kept.append(part[distinct_modes(*some, self.plan.group)])
            every = np.concatenate(kept)
            owner, density, information = owner[every], density[every], information[every]
            rotations, shifts = rotations[every], shifts[every]
        modes, farthest = {}, self.plan.prior_shift or np.inf
        for place in places:
            part = np.flatnonzero(owner == place)
            i = int(batch.members[place])
            near = part[np.abs(shifts[part] - last.shifts[i]).max(axis=1) <= farthest]
            beyond = not len(near)
            if beyond:
                near, frame = part[:1], self.plan.frame[int(last.half[i])]
                rotations[near], shifts[near] = express_in_half(last.rotations[i], last.shifts[i], frame)
            found = laplace_modes(density[near], rotations[near], shifts[near], information[near])
            modes[int(place)] = replace(found, beyond=beyond)
        return modes

    def poses_to_add(self, modes: PosteriorModes, half: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weights, rotations and shifts of the poses to add a particle in, in the first reference's frame."""
        # a rotation that moves the rim by a twelfth of the finest wave
        least = self.coefficients.size / (12 * self.plan.radius * self.plan.mask_radius)
        weights, rotations, shifts = expand_modes(modes, least, MIN_POSE_MASS)
        return weights, *express_in_frame(rotations, shifts, self.plan.frame[half])

    def summarise(self, modes: PosteriorModes, half: int) -> PoseEstimate:
        """Return the best pose of a particle."""
        variance = modes.covariance[0].diagonal()
        return PoseEstimate(
            *express_in_frame(modes.rotations[0], modes.shifts[0], self.plan.frame[half]),
            modes.density,
            float(np.rad2deg(np.sqrt(variance[:3].mean()))),
            float(np.sqrt(variance[3 : 3 + self.source.shift_axes].mean())),
            float(modes.mass[0]),
            modes.beyond,
        )


def express_in_frame(rotation: np.ndarray, shift: np.ndarray, frame: Pose) -> Pose:
    """Return a pose, or many, for the reference as it stands after `frame`, a rotation and a shift, moved it."""
    rotated = rotation @ frame[0].T
    return rotated, shift - rotated @ frame[1]


def express_in_half(rotation: np.ndarray, shift: np.ndarray, frame: Pose) -> Pose:
    """Return a pose for a half's reference as it stands before `frame` moved it: undoes :func:`express_in_frame`."""
    return rotation @ frame[0], shift + rotation @ frame[1]
