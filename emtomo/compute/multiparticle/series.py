"""One tilt series: groups of parameters one after the other, each kept only if held-out particles agree better."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.compute.multiparticle.blocks import choose_blocks
from emtomo.compute.multiparticle.calibration import (
    agreement_shell,
    calibrate,
    fit_particle_factors,
    fit_tilt_weights,
    ring_correlation,
)
from emtomo.compute.multiparticle.defocus_search import search_defocus
from emtomo.compute.multiparticle.folds import FEWEST, Fold, hold_out
from emtomo.compute.multiparticle.images import SpeciesImages
from emtomo.compute.multiparticle.least_squares import Fit, PopulationImages, Problem, fit, put_poses_back
from emtomo.compute.multiparticle.optics_parameters import OpticsOfTilts
from emtomo.compute.multiparticle.options import NO_WEIGHTS, TILT_WEIGHTS, MultiParticleOptions
from emtomo.compute.multiparticle.parameters import ParameterBlock
from emtomo.compute.multiparticle.pose_parameters import PoseParameters
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ImageModel, correlate
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.wording import count_text

# of the log likelihood of what was held out; a group of parameters that fits noise alone lets it fall, and rises so far
# less than once in a hundred times (its change is then -k/2 +- sqrt(k) times the held-out share, for k parameters)
LEAST_GAIN = 4.0
HELD_OUT_IMAGES = 0.1  # share of the images that is held out when poses are tried
MOST_TRIED = 100  # particles by whose images poses are tried
FIXED_SWEEPS = 3  # of a geometry with the poses that there were, which begins where both were fitted
WEIGHTS, POSES = "weights", "particle poses"
LEAST_AGREEMENT = 0.5  # of the shells that are compared, in which images must agree with their reference
POSE_SWEEPS = 8  # of held-out particles, which move along


@dataclass(frozen=True)
class Trial:
    """What came of one group of parameters.

    Attributes
    ----------
    name : str
    kept : bool
    gain : float
        By how much the log likelihood of what was held out rose.
    held_out : int
        Particles (of poses: images) that were held out.
    remark : str
        Why it was not tried, or what was changed about it.
    """

    name: str
    kept: bool
    gain: float
    held_out: int
    remark: str = ""


@dataclass(frozen=True)
class SeriesResult:
    """A refined series.

    Attributes
    ----------
    state : SeriesState
    trials : list of Trial
    score : (p,) array
        Log likelihood of every particle against noise alone.
    score_before : float
        Of all particles together, before.
    ring_correlations : list of (t, s) arrays
        Of every species, from image to reference.
    models : list of ImageModel
    fold_geometries : list of TiltGeometry
        Of the second and further fits of few particles, each without others.
    trial_poses : SeriesState
        Poses in which the images by which poses are tried never had a part.
    """

    state: SeriesState
    trials: list[Trial]
    score: np.ndarray
    score_before: float
    ring_correlations: list[np.ndarray]
    models: list[ImageModel]
    fold_geometries: list[TiltGeometry]
    trial_poses: SeriesState


@dataclass
class SeriesRefinement:
    """The refinement of one series: what it has come to, and what it may still try.

    Parameters
    ----------
    species : sequence of SpeciesImages
    start : SeriesState
        Of all species' particles, one after the other.
    options : MultiParticleOptions
        As :meth:`.MultiParticleOptions.resolve_preset` gives them.
    seed : int
        Of what is held out.
    first : bool
        Whether the exhaustive search is due.
    alone : bool
        Whether the references are of this series alone, whose magnification then has no mean of its own.
    device : str
    fold_geometries : sequence of TiltGeometry
        Of the iteration before; see :class:`SeriesResult`. Without them all fits begin at `start`.
    trial_poses : SeriesState, optional
        Of the iteration before, likewise; the geometry does not count.
    """

    species: Sequence[SpeciesImages]
    start: SeriesState
    options: MultiParticleOptions
    seed: int = 0
    first: bool = True
    alone: bool = False
    device: str = "cpu"
    fold_geometries: Sequence[TiltGeometry] = ()
    trial_poses: SeriesState | None = None
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept, options = list[ParameterBlock](), self.options
        self.main = self._fold(np.zeros(len(self.start), bool), self.start.geometry)
        widths = np.deg2rad(options.pose_angle), options.pose_shift, options.motion_prior
        self.poses = PoseParameters(*widths, rigid=True) if options.poses else None
        self.species = [self._if_shown(k) for k in range(len(self.species))]
        self._calibrate()
        self.rng = np.random.default_rng([self.seed, len(self.start)])
        held = hold_out(self.images.half, options.held_out / 100, self.rng)
        geometries = [self.start.geometry] * len(held)
        if len(self.fold_geometries) == len(held) - 1:
            geometries[1:] = self.fold_geometries
        self.folds = [self._fold(*each) for each in zip(held, geometries, strict=True)]
        self.main = self.folds[0] if self.folds else self.main
        self.apart = self.rng.random(self.images.used.shape) < HELD_OUT_IMAGES  # the same in all iterations
        self.apart[self.rng.permutation(len(self.start))[MOST_TRIED:]] = False

    @property
    def state(self) -> SeriesState:
        """What the refinement has come to: the first fold's."""
        return self.main.state

    def _fold(self, held: np.ndarray, geometry: TiltGeometry) -> Fold:
        start = self.start if geometry is self.start.geometry else replace(self.start, geometry=geometry)
        return Fold(held, start, start, np.zeros((len(start), 6)))

    def run(self, on_progress: Callable[[float], None] = lambda share: None) -> SeriesResult:
        """Try all groups of parameters that were asked for; with none of them nothing changes."""
        before = self._score(self.state).sum()
        if not self.images.used.any():
            return self._result(float(before))
        blocks, remarks = choose_blocks(self.images, self.start, self.options, self.alone)
        self.trials += [Trial(name, False, 0.0, 0, remark) for name, remark in remarks]
        steps = len(blocks) + 2
        if blocks and not self.folds:
            few = (
                f"{count_text(len(self.start), 'particle is', 'particles are')} "
                f"too few to hold some out; {FEWEST} are the least."
            )
            self.trials += [Trial(block.name, False, 0.0, 0, few) for block in blocks]
            blocks = []
        for number, block in enumerate(blocks):
            if isinstance(block, OpticsOfTilts) and not any(isinstance(one, OpticsOfTilts) for one in self.kept):
                self._calibrate()  # amplitudes first: what is wrong with them, defocus makes up for
            self._try_block(block)
            on_progress((number + 1) / steps)
        if self.poses is not None:
            self._try_poses()
        if self.options.weights == TILT_WEIGHTS and self.folds:
            self._try_weights()
        if self.poses is not None and self.start.knots > 1:
            self._try_motion(replace(self.poses, rigid=False))
        on_progress(1.0)
        return self._result(float(before))

    def _result(self, before: float) -> SeriesResult:
        """Return the present state with how well it agrees."""
        products = [correlate(one, self._part(k)) for k, one in enumerate(self.species)]
        rings = [ring_correlation(one, sums) for one, sums in zip(self.species, products, strict=True)]
        models = [
            calibrate(one, self._part(k), sums)
            for k, (one, sums) in enumerate(zip(self.species, products, strict=True))
        ]
        score = self._score(self.state).sum(axis=1)
        geometries = [fold.state.geometry for fold in self.folds[1:]]
        poses = self.trial_poses or self.start
        return SeriesResult(self.state, self.trials, score, before, rings, models, geometries, poses)

    # --- trials ---

    def _try_poses(self) -> None:
        """Let the particles move beside what was kept of the geometry, if images that took no part agree better.

        They are compared with the poses that there were, in the geometry that fits those best: with few particles the
        geometry is found although their poses, fitted beside it, come to fit noise. The same images are held out in all
        iterations, and have never had a part in the poses that are compared.
        """
        if self.kept:
            self._calibrate()
        used, unmoved = self.images.used, [self._fit_geometry(fold) for fold in self.folds or [self.main]]
        apart, before = used & self.apart, self.trial_poses or self.start
        tried = used & ~apart & self.apart.any(axis=1)[:, None]
        start = replace(before, geometry=self.state.geometry)
        moved = fit(Problem(self.images, start, [], self.poses, tried), self.options.sweeps).state
        gain = self._score_held(moved, apart)
        gain -= self._score_held(replace(before, geometry=unmoved[0].geometry), apart)
        kept = gain > LEAST_GAIN
        self.trials.append(Trial(POSES, kept, gain, int(apart.sum())))
        self.trial_poses = moved if kept else before
        for fold, state in zip(self.folds or [self.main], unmoved, strict=True):
            fold.state = self._fit_poses(fold) if kept else state

    def _fit_geometry(self, fold: Fold) -> SeriesState:
        """Return what was kept of a fold's geometry, fitted to the poses that there were."""
        if not self.kept:
            return fold.start
        geometry = fold.start.geometry
        for block in self.kept:
            geometry = block.prepare(geometry)
        start = replace(fold.start, geometry=geometry)
        problem = Problem(self.images, start, self.kept, self.poses, self.images.used & ~fold.held[:, None])
        values = put_poses_back(problem, Fit(start, fold.values, fold.pose_values, np.zeros(0), 0))
        first = Fit(start, values, np.zeros((len(start), 0)), np.zeros(0), 0)
        return fit(replace(problem, poses=None), FIXED_SWEEPS, first).state

    def _fit_poses(self, fold: Fold) -> SeriesState:
        """Return a fold's state with all poses fitted in its geometry."""
        start = replace(fold.start, geometry=fold.state.geometry)
        first = Fit(start, np.zeros(0), fold.pose_values, np.zeros(0), 0)
        return fit(Problem(self.images, start, [], self.poses, self.images.used), self.options.sweeps, first).state

    def _try_motion(self, poses: PoseParameters) -> None:
        """Let particles move over the dose; keep it if images that took no part agree better than without."""
        used, scores = self.images.used, []
        apart = used & (self.rng.random(used.shape) < HELD_OUT_IMAGES)
        for each in (replace(poses, rigid=True), poses):
            found = fit(Problem(self.images, self.state, [], each, used & ~apart), self.options.sweeps)
            scores.append(self._score_held(found.state, apart))
        if not any(trial.kept for trial in self.trials if trial.name == POSES):
            scores[0] = max(scores[0], self._score_held(self.state, apart))
        gain = scores[1] - scores[0]
        self.trials.append(Trial("movement of particles", gain > LEAST_GAIN, gain, int(apart.sum())))
        if gain > LEAST_GAIN:
            self.main.state = fit(Problem(self.images, self.state, [], poses, used), self.options.sweeps).state

    def _try_block(self, block: ParameterBlock) -> None:
        """Fit one more block together with those that were kept; keep it if held-out particles agree better.

        A series of few particles is fitted several times, each time without others; the first fit is the one to keep.
        The others go on beside it: their held-out particles would have had a part in the first one's geometry.
        """
        found = [self._fit_without(block, fold) for fold in self.folds]
        gain, tried = sum(one[2] for one in found), sum(int(fold.held.sum()) for fold in self.folds)
        kept = gain > LEAST_GAIN
        self.trials.append(Trial(block.name, kept, gain, tried))
        if not kept:
            return
        self.kept.append(block)
        for fold, (train, after, _) in zip(self.folds, found, strict=True):
            fold.take(train, after)

    def _fit_without(self, block: ParameterBlock, fold: Fold) -> tuple[Fit, Fit, float]:
        """Return the fit of a block without held-out particles, theirs in its geometry, and how their score rose."""
        train = self.images.used & ~fold.held[:, None]
        initial = np.zeros(block.size)
        if self.first and self.options.exhaustive_defocus and block.name == "defocus":
            initial = search_defocus(self.images, fold.state, train, self.options)
            if isinstance(block, OpticsOfTilts) and block.mean is not None:
                initial -= initial.mean()
        before = self._fit_held(fold.state, fold.pose_values, fold.held)
        fitted = self._fit(fold, [*self.kept, block], train, initial)
        after = self._fit_held(fitted.state, fitted.pose_values, fold.held)
        held = self.images.used & fold.held[:, None]
        return fitted, after, self._score_held(after.state, held) - self._score_held(before.state, held)

    def _try_weights(self) -> None:
        """Fit every tilt's scale and B factor; keep them if held-out particles agree better."""
        found = [self._weigh_without(fold) for fold in self.folds]
        gain, tried = sum(rise for _, rise in found), sum(int(fold.held.sum()) for fold in self.folds)
        kept = gain > LEAST_GAIN
        self.trials.append(Trial(WEIGHTS, kept, gain, tried))
        if kept:
            for fold, (state, _) in zip(self.folds, found, strict=True):
                fold.state = state

    def _weigh_without(self, fold: Fold) -> tuple[SeriesState, float]:
        """Return the state with weights fitted without held-out particles, and how their score rose."""
        train = [
            replace(one, used=one.used & ~fold.held[part, None])
            for one, part in zip(self.species, self.images.parts, strict=True)
        ]
        products = [correlate(one, self._part(k, fold.state)) for k, one in enumerate(train)]
        geometry = fit_tilt_weights(fold.state.geometry, self.images.models, train, products)
        state = replace(fold.state, geometry=geometry)
        scores = []
        others = [_of_other_half(one) for one in train]
        products = [correlate(one, self._part(k, fold.state)) for k, one in enumerate(others)]
        for here in (fold.state, state):  # each with the amplitudes and the noise that go with it
            models = [
                calibrate(one, self._part(k, here), sums)
                for k, (one, sums) in enumerate(zip(others, products, strict=True))
            ]
            scores.append(self._score_held(here, self.images.used & fold.held[:, None], models))
        return state, scores[1] - scores[0]

    # --- helpers ---

    def _fit(self, fold: Fold, blocks: list[ParameterBlock], used: np.ndarray, more: np.ndarray | None = None) -> Fit:
        """Return the fit of blocks, and of poses where they are refined, from a fold's values (and `more`) on."""
        geometry = fold.start.geometry
        for block in blocks:
            geometry = block.prepare(geometry)
        start = replace(fold.start, geometry=geometry)
        problem = Problem(self.images, start, blocks, self.poses, used)
        values = np.zeros(0) if more is None else np.concatenate([fold.values, more])
        return fit(problem, self.options.sweeps, Fit(start, values, fold.pose_values, np.zeros(0), 0))

    def _fit_held(self, state: SeriesState, pose_values: np.ndarray, held: np.ndarray) -> Fit:
        """Return the held-out particles' own best poses in a geometry, and how well they agree then."""
        used = self.images.used & held[:, None]
        start = replace(self.start, geometry=state.geometry)
        problem = Problem(self.images, start, [], self.poses, used)
        return fit(problem, POSE_SWEEPS, Fit(start, np.zeros(0), pose_values, np.zeros(0), 0))

    def _part(self, number: int, state: SeriesState | None = None) -> SeriesState:
        edges = np.cumsum([0, *(len(one) for one in self.species)])
        return (self.state if state is None else state).take(np.arange(edges[number], edges[number + 1]))

    def _if_shown(self, number: int) -> SpeciesImages:
        """Return a species' images; none of them used where they do not show its reference."""
        one, here = self.species[number], self._part(number)
        products = correlate(one, here)
        agrees, radius = agreement_shell(one, calibrate(one, here, products), products), one.references.radius
        if agrees >= LEAST_AGREEMENT * radius:
            return one
        reach = one.references.size * one.pixel_size
        sentence = (
            f"not refined: its images agree with its reference to {reach / max(agrees, 1):.0f} Å only, and the "
            f"reference shows {reach / radius:.0f} Å."
        )
        self.trials.append(Trial(f"species {number + 1}", False, 0.0, 0, sentence))
        return replace(one, used=np.zeros_like(one.used))

    def _calibrate(self) -> None:
        """Find noise and amplitudes as they are in the present state."""
        self.images = self._calibrated(self.species)
        self.opposite = self._calibrated([_of_other_half(one) for one in self.species])

    def _calibrated(self, species: Sequence[SpeciesImages]) -> PopulationImages:
        models = []
        for number, one in enumerate(species):
            here = self._part(number)
            products = correlate(one, here)
            model = calibrate(one, here, products)
            models.append(model if self.options.weights == NO_WEIGHTS else fit_particle_factors(model, one, products))
        return PopulationImages(species, models, self.device)

    def _score(self, state: SeriesState) -> np.ndarray:
        """Return (p, t) log likelihoods."""
        return self.images.sweep(state, self.images.used, slopes=False).score

    def _score_held(self, state: SeriesState, used: np.ndarray, models: list[ImageModel] | None = None) -> float:
        """Return the log likelihood of held-out images, against the references of the other half.

        Their own half's reference holds their own noise at the poses that it was made with: it would agree best with
        images that stay there.
        """
        images = self.opposite if models is None else replace(self.opposite, models=models)
        return float(images.sweep(state, used, slopes=False).score.sum())


def _of_other_half(images: SpeciesImages) -> SpeciesImages:
    """Return images that are compared with the other half's reference."""
    return replace(images, half=3 - images.half)
