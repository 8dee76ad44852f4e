"""Classification in 3D: several maps compete for particles, by expectation and maximisation.

A particle belongs to every class with the probability that its likelihood there, summed over its poses, has among all
classes. Without alignment its pose is the one that it came with.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from emtomo.compute.classification.options_3d import Classification3DOptions
from emtomo.compute.classification.sorting_3d import ClassIteration, VolumeClassSums, sort_block
from emtomo.compute.classification.state_3d import ClassState
from emtomo.compute.device import check_device
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.reconstruction import Sums, empty_sums, solve
from emtomo.compute.fourier.shell_correlation import first_shell_below, fourier_shell_correlation
from emtomo.compute.likelihood.plan import IterationPlan, PoseSearch
from emtomo.compute.likelihood.pose_estimator import EDGE
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.refinement.half_alignment import IDENTITY
from emtomo.compute.refinement.initial import (
    check_sizes,
    first_noise,
    flat_half,
    grey_scale,
    mask_radius,
    reference_mask,
    smooth_gaps,
)
from emtomo.compute.refinement.iteration import ParticleBlock, create_estimator
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import sum_half_sets
from emtomo.compute.refinement.refine import remove_fine_detail
from emtomo.compute.refinement.schedule import LOCAL_REACH, Progress, global_search, local_search
from emtomo.compute.symmetry import parse_symmetry, symmetry_rotations
from emtomo.errors import EmtomoError

TRIAL_ITERATIONS = 4  # of every random start
THRESHOLD = 0.143
BLOCKS = 8  # in which particles are added up
BLOCK_BYTES = 2**30  # of the sums of all blocks


class Classification3D:
    """Everything that stays the same from the first to the last iteration.

    Parameters
    ----------
    source : ParticleSource
    start : Poses
        With halves assigned; they are kept unless poses are searched.
    options : Classification3DOptions
    reference : (n, n, n) array, optional
        Of any grey scale. By default the average of all particles in their poses, which then must be known.
    mask : (n, n, n) array, optional
    device : {"cpu", "cuda", "cuda:N"}
    map_reduce : MapReduce

    Raises
    ------
    EmtomoError
        If there are fewer particles than classes, or a volume has another size.

    References
    ----------
    Scheres, Nat. Methods 4 (2007) and J. Struct. Biol. 180 (2012): maximum-likelihood classification in 3D.
    """

    def __init__(
        self,
        source: ParticleSource,
        start: Poses,
        options: Classification3DOptions,
        reference: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        device: str = "cpu",
        map_reduce: MapReduce = in_threads,
    ) -> None:
        n = source.size
        check_sizes(n, reference=reference, mask=mask)
        k = options.number_of_classes
        if len(source) < max(2, 2 * k):
            raise EmtomoError(f"{k} classes need at least {max(2, 2 * k)} particles, there are {len(source)}.")
        self.source, self.start, self.options, self.device = source, start, options, check_device(device)
        self.map_reduce, self.symmetry = map_reduce, parse_symmetry(options.symmetry)
        self.group = symmetry_rotations(self.symmetry)
        self.mask_radius = mask_radius(n, source.pixel_size, options.mask_diameter)
        self.mask = reference_mask(n, self.mask_radius, mask)
        self.given = None if reference is None else np.asarray(reference, np.float32)
        self.coarsest = float(np.clip(n * source.pixel_size / options.initial_lowpass, 3.0, n / 2 - 1))
        finest = n * source.pixel_size / options.max_resolution if options.max_resolution else n / 2
        self.finest = float(np.clip(min(finest, n / 2, source.measured_radius), self.coarsest, n / 2))

    # --- the beginning ---

    def begin(self, on_progress: Callable[[int], None] = lambda done: None) -> ClassState:
        """Return the likeliest of several random sortings, each after a few iterations at low resolution."""
        first = self._first()
        best: ClassState | None = None
        for trial in range(self.options.starts if self.options.number_of_classes > 1 else 1):
            state = self._sort_at_random(first, trial)
            for _ in range(TRIAL_ITERATIONS if self.options.starts > 1 and self.options.number_of_classes > 1 else 0):
                state = replace(self.step(state, on_progress), shell=self.coarsest)
            if best is None or state.likelihood > best.likelihood:
                best = state
        assert best is not None
        return replace(best, iteration=0)

    def _first(self) -> ClassState:
        """Return one class of all particles: the reference on the particles' grey scale, and the noise."""
        volume = self.given
        if volume is None:
            sums = sum_half_sets(self.source, self.start, self.symmetry, self.coarsest + 1, map_reduce=self.map_reduce)
            parts = list(sums.values())
            data, weights = np.sum([s.data for s in parts], axis=0), np.sum([s.weights for s in parts], axis=0)
            total = Sums(parts[0].size, parts[0].radius, data, weights)
            volume = solve(total)
        volume = remove_fine_detail(volume * self.mask, self.coarsest + 1)
        half, members = flat_half(volume, self.source), np.arange(len(self.source))
        plan = self._plan(self.coarsest)
        half.noise = first_noise(create_estimator(self.source, half, plan), members, self.start)
        if self.given is not None:
            scale, _ = grey_scale(create_estimator(self.source, half, plan), members, self.start, 0)
            volume = volume * np.float32(scale)
        one = np.ones((len(self.source), 1))
        return ClassState(volume[None], np.ones(1), half.noise, self.start.copy(), one, self.coarsest)

    def _sort_at_random(self, first: ClassState, trial: int) -> ClassState:
        """Return classes of particles drawn at random, in their poses; or copies of the reference with some noise."""
        k, n = self.options.number_of_classes, len(self.source)
        rng = np.random.default_rng([self.options.seed, trial])
        number = rng.permutation(np.arange(n) % k)
        probability = np.eye(k)[number]
        volumes = np.repeat(first.references, k, axis=0)
        if k > 1:
            state = replace(first, probability=probability, shares=np.full(k, 1 / k))
            for c in range(k):
                some = self.start.copy()
                some.half[:] = np.where(number == c, 1, 0)
                if not self.options.align or self._local:
                    sums = sum_half_sets(
                        self.source, some, self.symmetry, self.coarsest + 1, map_reduce=self.map_reduce
                    )[1]
                    volumes[c] = remove_fine_detail(solve(sums) * self.mask, self.coarsest + 1)
                else:
                    noise = rng.normal(0, 0.3 * float(first.references.std()), volumes[c].shape).astype(np.float32)
                    volumes[c] = remove_fine_detail((volumes[c] + noise) * self.mask, self.coarsest + 1)
            return replace(state, references=volumes)
        return first

    # --- an iteration ---

    @property
    def _local(self) -> bool:
        return self.options.angular_step <= self.options.local_from

    def _plan(self, shell: float, reach: float | None = None) -> IterationPlan:
        o, n = self.options, self.source.size
        radius = float(min(shell + 1, n / 2))
        coefficients = self.source.coefficients(float(np.ceil(min(reach or radius, n / 2))))
        search = RefineOptions(
            symmetry=self.symmetry, angular_step=o.angular_step, local_from=o.local_from, offset_range=o.offset_range,
            seed=o.seed,
        )  # fmt: skip
        found = local_search(
            search, Progress(0, radius, LOCAL_REACH * o.local_from, o.offset_range), self.source, coefficients,
            self.mask_radius,
        )  # fmt: skip
        if not o.align:
            found = PoseSearch(found.grid, 1, [radius], False, steps=0)
        elif not self._local:
            found = global_search(
                search, Progress(0, radius, 90.0, o.offset_range), self.source, coefficients, self.mask_radius
            )
        return IterationPlan(
            coefficients, radius, (found,), np.zeros(len(self.source), int), self.start, 0.0,
            max(o.offset_range, 1.0), self.mask_radius, {1: IDENTITY, 2: IDENTITY}, self.group, self.device,
        )  # fmt: skip

    def _blocks(self, radius: float) -> list[ParticleBlock]:
        one = empty_sums(radius).nbytes * 2 * self.options.number_of_classes
        count = int(np.clip(BLOCK_BYTES // one, 1, BLOCKS))
        return ParticleBlock(1, np.arange(len(self.source))).parts(count)

    def step(
        self, state: ClassState, on_progress: Callable[[int], None] = lambda done: None, *, last: bool = False
    ) -> ClassState:
        """Run one iteration: sort all particles, and make the maps anew; `last` adds up all frequencies."""
        n, k = self.source.size, len(state.references)
        plan = self._plan(state.shell, n / 2 if last else min(n / 2, state.shell + max(4.0, 0.1 * n)))
        done = [0]

        def more(count: int) -> None:
            done[0] += count
            on_progress(done[0])

        shared = ClassIteration(self.source, state, plan, self.options.align)
        total = self.map_reduce(sort_block, shared, [self._blocks(plan.coefficients.radius)], more)[0]
        probability = np.array([total.estimates[i][0] for i in range(len(self.source))])
        poses, likelihood = self._poses(state, total)
        volumes, resolutions, shells = [], [], []
        for c in range(k):
            volume, shell = self._map(total.sums[c], total.sums[k + c], plan.coefficients.radius)
            volumes.append(volume)
            shells.append(shell)
            resolutions.append(n * self.source.pixel_size / shell)
        noise = total.residual / np.maximum(total.measured, 1e-30)
        noise = np.where((total.measured > 0) & (noise > 0), noise, state.noise)
        same = probability.shape == state.probability.shape
        changed = float((probability.argmax(axis=1) != state.numbers).mean()) if same else 1.0
        return ClassState(
            np.stack(volumes),
            np.maximum(probability.mean(axis=0), 1e-6),
            smooth_gaps(noise, noise),
            poses,
            probability,
            float(np.clip(max(shells), self.coarsest, self.finest)),
            state.iteration + 1,
            likelihood,
            np.array(resolutions),
            changed,
        )

    def _poses(self, state: ClassState, total: VolumeClassSums) -> tuple[Poses, float]:
        poses = state.poses.copy()
        for i, (probability, one, evidence) in total.estimates.items():
            poses.score[i], poses.certainty[i] = evidence, float(probability.max())
            if self.options.align:
                poses.rotations[i], poses.shifts[i] = one.rotation, one.shift
                poses.angle_spread[i], poses.shift_spread[i] = one.angle_spread, one.shift_spread
        return poses, float(poses.score.mean())

    def _map(self, first: np.ndarray, second: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
        """Return a class's map from the sums of its halves, and the shell to which these agree."""
        n = self.source.size
        parts = [Sums.of(n, radius, [one]).complete(self.symmetry) for one in (first, second)]
        total = Sums(n, radius, parts[0].data + parts[1].data, parts[0].weights + parts[1].weights)
        if not all(part.weights.any() for part in parts):
            if not total.weights.any():
                return np.zeros((n, n, n), np.float32), self.coarsest
            return remove_fine_detail(solve(total) * self.mask, self.coarsest), self.coarsest
        edge = ball(n, min(self.mask_radius, n / 2 - EDGE), EDGE)
        curve = fourier_shell_correlation(*(solve(part) * edge for part in parts))
        curve[int(radius) + 1 :] = 0
        whole = 2 * curve / (1 + np.maximum(curve, -0.5))
        whole = np.clip(whole, 1e-3, 0.999)
        inverse = total.mean_weight() * (1 - whole) / (self.options.regularisation * whole)
        shell = min(first_shell_below(curve, THRESHOLD, 2), n / 2)
        volume = solve(total, inverse) * self.mask
        return remove_fine_detail(volume, max(shell, self.coarsest) + 1), float(max(shell, self.coarsest))

    def run(self, on_progress: Callable[[ClassState], None] = lambda state: None) -> ClassState:
        """Go through all iterations; the last one adds up all frequencies."""
        state = self.begin()
        for k in range(self.options.iterations):
            state = self.step(state, last=k == self.options.iterations - 1)
            on_progress(state)
        return state
