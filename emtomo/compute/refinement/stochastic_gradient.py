"""An initial model from particles alone: random batches are aligned to what earlier ones gave."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from emtomo.compute.classification.sorting_3d import ClassIteration, sort_block
from emtomo.compute.classification.state_3d import ClassState
from emtomo.compute.device import check_device
from emtomo.compute.fourier.filters import lowpass_curve, radial_filter
from emtomo.compute.fourier.reconstruction import Sums, solve
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.refinement.initial import (
    check_sizes,
    first_noise,
    flat_half,
    grey_scale,
    mask_radius,
    reference_mask,
    smooth_gaps,
)
from emtomo.compute.refinement.iteration import ParticleBlock, count_blocks, create_estimator, run_iteration
from emtomo.compute.refinement.options import SYMMETRY, RefineOptions
from emtomo.compute.refinement.reconstruct import sum_half_sets
from emtomo.compute.refinement.schedule import Progress, global_search
from emtomo.compute.rotations import random_rotations
from emtomo.compute.symmetry import parse_symmetry, symmetry_rotations
from emtomo.errors import EmtomoError
from emtomo.options import Param

IDENTITY = (np.eye(3), np.zeros(3))
SMALLEST_BOX = 16  # voxels
SHELLS_BEYOND_FILTER = 1.0  # that are compared
BOXES, IMAGES = 12, 100  # particles of a batch that see themselves from many sides, or from one
WAVES = 5.0  # across the particle, at which models of single images begin
STARTS, STEPS = 6, 4  # ascents, and steps of each in a stage: the model changes more than the rest would
DAMPING = 0.05  # of a shell's mean weight: what hardly any particle measured stays small


@dataclass(frozen=True, kw_only=True)
class InitialModelOptions:
    """How the model grows."""

    symmetry: Annotated[str, SYMMETRY] = "C1"
    apply_symmetry: Annotated[
        bool,
        Param(
            "Apply symmetry",
            "Average the model over the group from the beginning. Otherwise it is made without symmetry; then the "
            "axes are found, and it continues with the symmetry for half as many batches.",
        ),
    ] = False
    batch_size: Annotated[
        int,
        Param(
            "Batch size",
            "Particles that are aligned at a time. 0: 12 with many tilts each, 100 of single images.",
            ge=0,
        ),
    ] = 0
    iterations: Annotated[
        int, Param("Number of iterations", "Each goes through as many batches as the next field says.", ge=1, le=1000)
    ] = 5
    batches: Annotated[int, Param("Number of batches", "In one iteration.", ge=1, le=1000)] = 10
    learning_rate: Annotated[float, Param("Learning rate", "Share of the newest batch in the model.", gt=0, le=1)] = 0.2
    filter_to: Annotated[
        float, Param("Filter to", "Resolution of the model; finer detail does not count.", unit="Å", gt=0)
    ] = 50.0
    start_filter: Annotated[
        float,
        Param(
            "Filter from",
            "Resolution of the first model; it becomes finer until half of the batches are done. 0: that of Filter "
            "to, but for single images without a reference a fifth of the mask diameter, if that is coarser.",
            unit="Å",
            ge=0,
            expert=True,
        ),
    ] = 0.0
    fourier: Annotated[
        bool,
        Param(
            "Average in Fourier space",
            "Weigh every frequency by how much of it was measured. Otherwise whole batch averages are mixed.",
            expert=True,
        ),
    ] = True
    mask_diameter: Annotated[
        float, Param("Mask diameter", "Of a sphere that holds the particle. 0 takes the box.", unit="Å", ge=0)
    ] = 0.0
    offset_range: Annotated[
        float, Param("Offset range", "How far particles may lie from the centre.", unit="voxel", gt=0, le=100)
    ] = 5.0
    number_of_classes: Annotated[
        int,
        Param(
            "Number of classes",
            "This many models compete for the particles, so that junk collects in the others. The one with most "
            "particles is kept.",
            ge=1,
            le=20,
        ),
    ] = 1
    non_negative: Annotated[
        bool, Param("Enforce non-negative solvent", "No density of the model is below 0: holds noise down.")
    ] = False
    seed: Annotated[int, Param("Random seed", "The same seed gives the same model.", ge=0)] = 1


class StochasticModel:
    """A model that learns from batches of particles.

    Parameters
    ----------
    source : ParticleSource
    poses : Poses
        Their shifts say where they lie; their rotations are not used.
    options : InitialModelOptions
    reference : (n, n, n) array, optional
        To begin with, of any grey scale; by default a batch in random orientations.
    mask : (n, n, n) array, optional
    device : {"cpu", "cuda", "cuda:N"}
    map_reduce : MapReduce
        Where batches are aligned: in the threads of this process, or on other machines.

    Raises
    ------
    EmtomoError
        If the box is too small for the filter, or the reference or mask has another size.

    References
    ----------
    Chen et al., EMAN2 (2019), e2spt_sgd, for batches and the learning rate; Punjani et al., cryoSPARC, Nature Methods
    14 (2017), for stochastic descent. Here each step is the expectation and maximisation of refinement, which weighs
    all orientations by their probability.
    """

    def __init__(
        self,
        source: ParticleSource,
        poses: Poses,
        options: InitialModelOptions,
        reference: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        device: str = "cpu",
        map_reduce: MapReduce = in_threads,
    ) -> None:
        n, pixel = source.size, source.pixel_size
        if n < SMALLEST_BOX:
            raise EmtomoError(f"The boxes must have at least {SMALLEST_BOX} voxels after shrinking, they have {n}.")
        if len(source) < 2:
            raise EmtomoError(f"An initial model needs at least two particles, there is {len(source)}.")
        check_sizes(n, reference=reference, mask=mask)
        self.source, self.options, self.device = source, options, check_device(device)
        self.map_reduce, self.given_mask = map_reduce, mask
        named = parse_symmetry(options.symmetry)
        self.symmetry = named if options.apply_symmetry else "C1"
        count = len(source)
        self.start = Poses(np.tile(np.eye(3), (count, 1, 1)), poses.shifts.copy(), np.zeros(count, int))
        diameter = options.mask_diameter or n * pixel
        self.mask_radius = mask_radius(n, pixel, options.mask_diameter)
        self.mask = reference_mask(n, self.mask_radius, mask)
        single = source.shift_axes == 2
        self.batch_size = min(options.batch_size or (IMAGES if single else BOXES), count)
        coarsest = diameter / WAVES if single and reference is None else options.filter_to
        start = options.start_filter or coarsest
        self.shells = tuple(
            float(np.clip(n * pixel / limit, 3.0, n / 2 - SHELLS_BEYOND_FILTER))
            for limit in (max(start, options.filter_to), options.filter_to)
        )
        self.coefficients = source.coefficients(float(np.ceil(min(self.shells[1] + SHELLS_BEYOND_FILTER, n / 2))))
        self.poses = self.start.copy()
        self.touched = np.zeros(len(source), bool)
        self.rng = np.random.default_rng(options.seed)
        self.order: list[int] = []
        self.sums: list[Sums | None] = [None] * options.number_of_classes
        self.shares = np.full(options.number_of_classes, 1 / options.number_of_classes)
        self.numbers = np.zeros(count, int)
        self.likelihoods: list[float] = []
        self.residual = self.measured = np.zeros(0)
        self.steps = 0
        self._begin(reference)

    @property
    def total(self) -> int:
        """Return the number of batches."""
        return self.options.iterations * self.options.batches

    @property
    def shell(self) -> float:
        """Return the resolution of the model now, in shells."""
        coarse, fine = self.shells
        return coarse + (fine - coarse) * min(1.0, 2 * self.steps / self.total)

    @property
    def radius(self) -> float:
        """Return the shells that are compared now."""
        return min(self.shell + SHELLS_BEYOND_FILTER, self.source.size / 2)

    def _plan(self) -> IterationPlan:
        o, n = self.options, len(self.source)
        search = RefineOptions(
            symmetry=self.symmetry, offset_range=o.offset_range, seed=o.seed, angular_step=min(30.0, self._step())
        )
        progress = Progress(self.steps, self.radius, 90.0, o.offset_range)
        found = global_search(search, progress, self.source, self.coefficients, self.mask_radius)
        found = replace(found, starts=STARTS, stages=[found.stages[0], found.stages[-1]], steps=STEPS)
        return IterationPlan(
            self.coefficients, self.radius, (found,), np.zeros(n, int), self.start, 0.0, o.offset_range,
            self.mask_radius,
            {1: IDENTITY}, symmetry_rotations(self.symmetry), self.device,
        )  # fmt: skip

    def _step(self) -> float:
        """Return half the step of the grid of orientations: what the filter's resolution can tell apart."""
        return float(np.rad2deg(self.source.size / (self.radius * self.mask_radius)) / 2)

    def _begin(self, reference: np.ndarray | None) -> None:
        batch = self._next_batch()
        volumes = [self._first_volume(batch, k, reference) for k in range(self.options.number_of_classes)]
        half, plan = flat_half(volumes[0], self.source), self._plan()
        half.noise = first_noise(create_estimator(self.source, half, plan), batch, self.start)
        if reference is not None:
            scale, _ = grey_scale(create_estimator(self.source, half, plan), batch, self.start, 0)
            volumes = [volume * np.float32(scale) for volume in volumes]
        self.halves = [HalfSet(volume, half.noise) for volume in volumes]

    def _first_volume(self, batch: np.ndarray, k: int, reference: np.ndarray | None) -> np.ndarray:
        """Return the first model of class `k`: the reference, or particles in random orientations."""
        if reference is not None and k == 0:
            return self._filter(np.asarray(reference, np.float32))
        random = self.start.copy()
        seed = self.options.seed if k == 0 else int(self.rng.integers(2**31))
        random.rotations[batch] = random_rotations(len(batch), seed)
        random.half[batch] = 1
        sums = sum_half_sets(self.source, random, "C1", self.coefficients.radius, map_reduce=self.map_reduce)
        return self._filter(solve(sums[1]))

    @property
    def best(self) -> int:
        """Return the class, from 0, that most particles belong to."""
        return int(np.argmax(self.shares))

    @property
    def half(self) -> HalfSet:
        """Return the model that most particles belong to, and the noise."""
        return self.halves[self.best]

    @property
    def likelihood(self) -> float:
        """Return the mean log likelihood of a particle over that of noise alone, in the last iteration."""
        return float(np.mean(self.likelihoods[-self.options.batches :])) if self.likelihoods else -np.inf

    def _filter(self, volume: np.ndarray) -> np.ndarray:
        size, pixel = self.source.size, self.source.pixel_size
        curve = lowpass_curve(size, pixel, max(self.options.filter_to, size * pixel / self.shell))
        filtered = radial_filter(volume * self.mask, curve) * self.mask
        return np.maximum(filtered, 0 if self.options.non_negative else -np.inf).astype(np.float32)

    def _next_batch(self) -> np.ndarray:
        """Return the next particles of a random order in which each comes once before any comes again."""
        chosen: list[int] = []
        while len(chosen) < self.batch_size:
            if not self.order:
                self.order = list(self.rng.permutation(len(self.source)))
            one = int(self.order.pop())
            if one not in chosen:
                chosen.append(one)
        return np.array(sorted(chosen))

    def step(self) -> float:
        """Align a batch to the model and let it learn from them; return how far it moved (1 - correlation)."""
        batch = self._next_batch()
        current = self.poses.copy()
        current.rotations[:], current.shifts[:] = self.start.rotations, self.start.shifts
        current.half[:] = 0
        current.half[batch] = 1
        before = self.half.reference
        found, sums, residual, measured = self._align(batch, current)
        for name in ("rotations", "shifts", "score", "angle_spread", "shift_spread", "certainty"):
            getattr(self.poses, name)[batch] = getattr(found, name)[batch]
        self.touched[batch] = True
        self.likelihoods.append(float(found.score[batch].mean()))
        kept = self.best
        noise = self._update_noise(residual, measured)
        self.halves = [HalfSet(self._filter(self._update_model(k, one)), noise) for k, one in enumerate(sums)]
        self.steps += 1
        a, b = before.ravel() - before.mean(), self.halves[kept].reference.ravel()
        b = b - b.mean()
        return float(1 - a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))

    def _align(self, batch: np.ndarray, current: Poses) -> tuple[Poses, list[Sums], np.ndarray, np.ndarray]:
        """Return the poses of a batch, what it adds to every class, unexplained power and weights."""
        plan = self._plan()
        if len(self.halves) == 1:
            found, totals = run_iteration(self.source, {1: self.half}, current, plan, map_reduce=self.map_reduce)
            return found, [totals[1].sums], totals[1].residual, totals[1].measured
        references = np.stack([half.reference for half in self.halves])
        nothing = np.zeros((len(current), len(self.halves)))
        state = ClassState(references, self.shares, self.half.noise, current, nothing, self.shell)
        shared = ClassIteration(self.source, state, plan, True)
        blocks = ParticleBlock(1, batch).parts(count_blocks(self.source.size))
        total = self.map_reduce(sort_block, shared, [blocks], lambda more: None)[0]
        found, k = current.copy(), len(self.halves)
        for i, (probability, one, evidence) in total.estimates.items():
            found.rotations[i], found.shifts[i], found.score[i] = one.rotation, one.shift, evidence
            found.angle_spread[i], found.shift_spread[i] = one.angle_spread, one.shift_spread
            found.certainty[i] = one.certainty * float(probability.max())
            self.numbers[i] = int(probability.argmax())
        mean = np.mean([one[0] for one in total.estimates.values()], axis=0)
        rate = self.options.learning_rate
        self.shares = np.maximum((1 - rate) * self.shares + rate * mean, 1e-3)
        parts = [
            Sums.of(self.source.size, self.coefficients.radius, [total.sums[c], total.sums[k + c]]) for c in range(k)
        ]
        return found, parts, total.residual, total.measured

    def _update_model(self, k: int, sums: Sums) -> np.ndarray:
        """Return the model of class `k` after a batch."""
        if not self.options.fourier:
            rate = self.options.learning_rate
            return (1 - rate) * self.halves[k].reference + rate * solve_damped(sums.complete(self.symmetry))
        old = self.sums[k]
        if old is not None:
            new = max(self.options.learning_rate, 1 / (self.steps + 1))
            data = (1 - new) * old.data + new * sums.data
            sums = Sums(sums.size, sums.radius, data, (1 - new) * old.weights + new * sums.weights)
        self.sums[k] = sums
        return solve_damped(sums.complete(self.symmetry))

    def _update_noise(self, residual: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Return the noise after a batch left so much unexplained."""
        keep = 1 - self.options.learning_rate
        self.residual = residual if not self.residual.size else keep * self.residual + residual
        self.measured = measured if not self.measured.size else keep * self.measured + measured
        return smooth_gaps(self.residual / np.maximum(self.measured, 1e-30), self.measured)

    def align_all(self) -> tuple[np.ndarray, Poses]:
        """Return which particles were in a batch and in the class that is kept, and the poses of all.

        Those are aligned once more to the last model.

        Particles that were in no batch keep no orientation of their own.
        """
        chosen = np.flatnonzero(self.touched & (self.numbers == self.best))
        current = self.start.copy()
        current.half[chosen] = 1
        found, _ = run_iteration(self.source, {1: self.half}, current, self._plan(), map_reduce=self.map_reduce)
        return chosen, found

    def run(self, on_progress: Callable[[int, int, float], None] = lambda done, total, change: None) -> np.ndarray:
        """Go through all batches and return the model."""
        while self.steps < self.total:
            change = self.step()
            on_progress(self.steps, self.total, change)
        return self.half.reference


def solve_damped(sums: Sums) -> np.ndarray:
    """Return the volume of completed sums, little-measured frequencies held small."""
    return solve(sums, DAMPING * sums.mean_weight())
