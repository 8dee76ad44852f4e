"""All parameters of a series at once: normal equations, particles eliminated, Levenberg-Marquardt steps.

Every parameter moves an image through its few own parameters alone (:class:`.sweep.SweepStatistics`), so that the
normal equations are sums over images of J^T F J, with F the image's Fisher information. Particles have a block each, of
which nothing but the shared parameters knows: they are eliminated first (Schur complement), and a small dense system of
the shared parameters is left.

References
----------
Triggs et al., Bundle adjustment - a modern synthesis (2000), section 6; Marquardt, J. SIAM 11 (1963).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emtomo.compute.linear_algebra import multiply
from emtomo.compute.multiparticle.images import SpeciesImages
from emtomo.compute.multiparticle.parameters import ParameterBlock, Slopes
from emtomo.compute.multiparticle.pose_parameters import PoseParameters
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ImageModel, SweepStatistics, sweep

FIRST_DAMPING = 1e-3
LARGEST_DAMPING = 1e3
SUFFICIENT_GAIN = 0.01  # of the log density for every parameter: less of it ends a fit


@dataclass(frozen=True)
class PopulationImages:
    """Images of all species in one series, their particles one species after the other.

    Attributes
    ----------
    species : list of SpeciesImages
    models : list of ImageModel
        Noise and amplitude of each.
    device : str
    """

    species: Sequence[SpeciesImages]
    models: Sequence[ImageModel]
    device: str = "cpu"

    def __len__(self) -> int:
        return sum(len(one) for one in self.species)

    @property
    def parts(self) -> list[slice]:
        """Which particles are a species'."""
        edges = np.cumsum([0, *(len(one) for one in self.species)])
        return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    @property
    def used(self) -> np.ndarray:
        """(p, t) bool: which images take part."""
        return np.concatenate([one.used for one in self.species])

    @property
    def half(self) -> np.ndarray:
        """(p,) half sets of all particles."""
        return np.concatenate([one.half for one in self.species])

    def sweep(
        self, state: SeriesState, used: np.ndarray, *, slopes: bool = True, optics: bool = False,
        magnification: bool = False,
    ) -> SweepStatistics:  # fmt: skip
        """Return the statistics of all species' images; see :func:`.sweep.sweep`."""
        found = [
            sweep(
                images, state.take(np.arange(part.start, part.stop)), model, slopes=slopes, optics=optics,
                magnification=magnification, used=used[part], device=self.device,
            )
            for images, model, part in zip(self.species, self.models, self.parts, strict=True)
        ]  # fmt: skip
        return SweepStatistics(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


@dataclass(frozen=True)
class Problem:
    """What is fitted to which images.

    Attributes
    ----------
    images : PopulationImages
    start : SeriesState
        Prepared: with room for all blocks' values.
    blocks : sequence of ParameterBlock
    poses : PoseParameters or None
        None where particles stay where they are.
    used : (p, t) bool array
    """

    images: PopulationImages
    start: SeriesState
    blocks: Sequence[ParameterBlock]
    poses: PoseParameters | None
    used: np.ndarray

    @property
    def places(self) -> list[slice]:
        """Where the blocks' values stand among all shared ones."""
        edges = np.cumsum([0, *(block.size for block in self.blocks)])
        return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    @property
    def optics(self) -> bool:
        """Whether a block needs more of the optics than the defocus."""
        return any(block.optics for block in self.blocks)

    def state(self, values: np.ndarray, pose_values: np.ndarray) -> SeriesState:
        """Return the state that shared values (s) and those of particles (p, 6 k) give."""
        geometry = self.start.geometry
        for block, place in zip(self.blocks, self.places, strict=True):
            geometry = block.apply(geometry, values[place])
        state = SeriesState(geometry, self.start.rotations, self.start.positions)
        return state if self.poses is None else self.poses.apply(state, pose_values)

    def precision(self) -> np.ndarray:
        """Return the shared prior's inverse covariance."""

        from scipy.linalg import block_diag

        return block_diag(*(block.precision() for block in self.blocks)) if self.blocks else np.zeros((0, 0))

    def evaluate(self, state: SeriesState) -> SweepStatistics:
        """Return the statistics that the blocks need."""
        return self.images.sweep(
            state, self.used, optics=self.optics, magnification=any(block.magnification for block in self.blocks)
        )


@dataclass(frozen=True)
class NormalEquations:
    """Gradient and information: shared `s`, particles' `p` and between them `ps`; without priors."""

    shared_gradient: np.ndarray
    shared: np.ndarray
    pose_gradient: np.ndarray
    pose: np.ndarray
    between: np.ndarray


@dataclass(frozen=True)
class Fit:
    """The end of a fit.

    Attributes
    ----------
    state : SeriesState
    values : (s,) array
        Of the blocks, one after the other.
    pose_values : (p, 6 k) array
    score : (p, t) array
        Log likelihoods.
    sweeps : int
        That it took.
    """

    state: SeriesState
    values: np.ndarray
    pose_values: np.ndarray
    score: np.ndarray
    sweeps: int


def normal_equations(problem: Problem, state: SeriesState, found: SweepStatistics) -> NormalEquations:
    """Return the sums of J^T g and J^T F J over all images."""
    count, shared = len(state), sum(block.size for block in problem.blocks)
    own = problem.poses.size(state) if problem.poses is not None else 0
    out = NormalEquations(
        np.zeros(shared), np.zeros((shared, shared)), np.zeros((count, own)), np.zeros((count, own, own)),
        np.zeros((count, own, shared)),
    )  # fmt: skip
    parameters = found.gradient.shape[2]
    optics = problem.optics
    rotations, knots, geometry = state.image_rotations(), state.knot_weights(), state.geometry
    derivatives = state.derivatives()
    for t in range(len(geometry)):
        members = np.flatnonzero(problem.used[:, t] & (found.information[:, t, 0, 0] > 0))
        if not len(members):
            continue
        stage = np.eye(3) if geometry.stage is None else geometry.stage[t]
        at = Slopes(t, derivatives.take(t, members), geometry.hand, stage, parameters, optics)
        gradient, information = found.gradient[members, t], found.information[members, t]
        columns = [place.start + block.columns(t) for block, place in zip(problem.blocks, problem.places, strict=True)]
        by_shared = np.concatenate([block.slopes(at) for block in problem.blocks], axis=2) if columns else None
        if by_shared is not None:
            chosen = np.concatenate(columns)
            weighted = information @ by_shared
            flat = by_shared.reshape(-1, len(chosen))
            out.shared_gradient[chosen] += flat.T @ gradient.ravel()
            out.shared[np.ix_(chosen, chosen)] += flat.T @ weighted.reshape(-1, len(chosen))
        if problem.poses is None:
            continue
        by_pose = problem.poses.slopes(at, rotations[members, t], knots[t])
        transposed = np.swapaxes(by_pose, 1, 2)
        out.pose_gradient[members] += (transposed @ gradient[:, :, None])[..., 0]
        out.pose[members] += transposed @ (information @ by_pose)
        if by_shared is not None:
            out.between[np.ix_(members, np.arange(own), chosen)] += transposed @ weighted
    return out


def solve_damped(
    equations: NormalEquations, priors: tuple[np.ndarray, np.ndarray], values: tuple[np.ndarray, np.ndarray],
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the steps of shared values and of particles' values.

    Parameters
    ----------
    equations : NormalEquations
    priors : (s, s) and (6 k, 6 k) arrays
        Inverse covariances.
    values : (s,) and (p, 6 k) arrays
        Where they are now; the priors are centred at 0.
    damping : float
        Added to the diagonals as a fraction of them.
    """
    shared, own = equations.shared + priors[0], equations.pose + priors[1]
    shared = shared + damping * np.diag(np.diag(shared))
    gradient = equations.shared_gradient - priors[0] @ values[0]
    count, size = equations.pose_gradient.shape
    if not size:
        return _solve(shared, gradient), np.zeros((count, 0))
    own = own + damping * own * np.eye(size)
    inverse = np.linalg.inv(own)
    pose_gradient = equations.pose_gradient - values[1] @ priors[1]
    first = (inverse @ pose_gradient[:, :, None])[..., 0]
    if not len(gradient):
        return np.zeros(0), first
    flat = equations.between.reshape(count * size, -1)
    eliminated = (inverse @ equations.between).reshape(count * size, -1)
    step = _solve(shared - multiply(flat.T, eliminated), gradient - eliminated.T @ pose_gradient.ravel())
    return step, first - (eliminated @ step).reshape(count, size)


def put_poses_back(problem: Problem, together: Fit) -> np.ndarray:
    """Return the shared values that explain the images best once particles are where they were, to first order.

    Particles that moved together with the geometry, as all may by the same shift, leave a geometry that is far off
    without them; from there a fit would not find back.

    Parameters
    ----------
    problem : Problem
    together : Fit
        Of shared values and poses.
    """
    state = problem.state(together.values, together.pose_values)
    equations, prior = normal_equations(problem, state, problem.evaluate(state)), problem.precision()
    gradient = equations.shared_gradient - prior @ together.values
    gradient += np.einsum("pos,po->s", equations.between, together.pose_values)
    return together.values + _solve(equations.shared + prior, gradient)


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the solution of a positive definite system, scaled to a diagonal of ones first."""

    from scipy.linalg import cho_factor, cho_solve

    if not len(vector):
        return np.zeros(0)
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * scale[:, None] * scale + 1e-12 * np.eye(len(vector))
    return np.asarray(scale * cho_solve(cho_factor(scaled, lower=True, check_finite=False), scale * vector))


def fit(problem: Problem, sweeps: int = 6, first: Fit | None = None) -> Fit:
    """Return the state of largest posterior density near the start, after at most so many sweeps over the images.

    With no parameter, or no sweep, the start itself comes back with its scores. `first` is another fit, of the same
    start and blocks, from whose values this one goes on. Particles of which no image takes part keep its poses.
    """
    shared = sum(block.size for block in problem.blocks)
    own = problem.poses.size(problem.start) if problem.poses is not None else 0
    values, pose_values = np.zeros(shared), np.zeros((len(problem.start), own))
    if first is not None:
        values = first.values if len(first.values) else values
        pose_values = first.pose_values[:, :own]
    if sweeps == 0 or shared + own == 0:
        state = problem.start if not (values.any() or pose_values.any()) else problem.state(values, pose_values)
        score = problem.images.sweep(state, problem.used, slopes=False).score
        return Fit(state, values, first.pose_values if first is not None else pose_values, score, 1)
    priors = problem.precision(), problem.poses.precision(problem.start.knots) if problem.poses else np.zeros((0, 0))
    taking_part = problem.used.any(axis=1)
    parameters = shared + own * int(taking_part.sum())
    best, kept, damping = -np.inf, None, FIRST_DAMPING
    step = np.zeros(shared), np.zeros_like(pose_values)
    done = 0
    while True:
        trial = values + step[0], pose_values + step[1]
        state = problem.state(*trial)
        found = problem.evaluate(state)
        done += 1
        density = float(found.score.sum()) - 0.5 * float(trial[0] @ priors[0] @ trial[0])
        density -= 0.5 * float(np.einsum("pi,ij,pj->", trial[1], priors[1], trial[1]))
        if density > best:
            gain, best = density - best, density
            values, pose_values = trial
            kept = state, found.score, normal_equations(problem, state, found)
            damping = max(damping / 4, FIRST_DAMPING)
            ended = gain < SUFFICIENT_GAIN * parameters
        else:
            damping *= 10
            ended = damping > LARGEST_DAMPING
        assert kept is not None
        if ended or done >= sweeps:
            return Fit(kept[0], values, pose_values, kept[1], done)
        step = solve_damped(kept[2], priors, (values, pose_values), damping)
        step[1][~taking_part] = 0.0  # the prior alone would take them back to the start
