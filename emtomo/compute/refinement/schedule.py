"""What the next iteration searches, and when the search is over."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.likelihood.grid_search import grid_frequencies, searches_views
from emtomo.compute.likelihood.plan import PoseSearch
from emtomo.compute.likelihood.posterior import PoseGrid, phase_factors
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.orientations import ball_lattice, disc_lattice, local_rotations, orientation_grid, random_rotation
from emtomo.compute.refinement.options import RefineOptions

# a grid step must not move the particle's rim by more than this part of the finest wave compared
RIM_MOVEMENT = 1.4
GLOBAL, LOCAL = 0, 1
LOCAL_REACH = 8.0  # local searches reach so many steps to every side
MAX_SECTION_BYTES = 400 * 2**20  # of the sections of a search over all orientations
MAX_GLOBAL_ITERATIONS = 8  # iterations after which every particle is searched locally
MAX_SHIFTS = 1200
MASK_SMEAR = 2  # shells over which a mask smears what is shared
AGREEING_FSC = 0.5


@dataclass
class Progress:
    """How far a refinement is; carried from iteration to iteration.

    Attributes
    ----------
    iteration : int
        Iterations done.
    radius : float
        Shells compared in the next iteration.
    reach_angle, reach_shift : float
        How far local searches go (degrees, voxels).
    best_shell : float
        Best resolution so far, in shells.
    without_gain : int
        Iterations since it improved.
    settled : bool
        Poses no longer change.
    least_change : float
        Smallest median change of angles so far, in degrees.
    without_less : int
        Iterations since the changes became less.
    combine : float
        Shells that the halves' references share.
    """

    iteration: int
    radius: float
    reach_angle: float
    reach_shift: float
    best_shell: float = 0.0
    without_gain: int = 0
    settled: bool = False
    least_change: float = 180.0
    without_less: int = 0
    combine: float = 0.0

    @property
    def converged(self) -> bool:
        """Whether another iteration would change nothing that matters."""
        if self.iteration < 3 or self.without_gain < 1:
            return False
        return self.settled or (self.without_gain >= 3 and self.without_less >= 3)


def coarse_radius(step: float, mask_radius: float, size: int, most: float) -> float:
    """Return the shells that a grid of `step` degrees can tell apart for a particle of this radius in voxels."""
    return float(np.clip(size / (RIM_MOVEMENT * np.deg2rad(step) * mask_radius), 3.0, most))


def shift_grid(reach: float, radius: float, size: int, coarsest: float, axes: int = 3) -> np.ndarray:
    """Return shifts within `reach` voxels, at most half a wave of the finest shell apart.

    With two axes those of images in one plane: z is 0.
    """
    step = min(coarsest, size / (2 * RIM_MOVEMENT * radius))
    if axes == 2:
        return disc_lattice(reach, max(step, reach * np.sqrt(np.pi / MAX_SHIFTS)))
    step = max(step, reach * (4 / 3 * np.pi / MAX_SHIFTS) ** (1 / 3))
    return ball_lattice(reach, step)


def global_search(
    options: RefineOptions,
    progress: Progress,
    source: ParticleSource,
    coefficients: FourierCoefficients,
    mask_radius: float,
) -> PoseSearch:
    """Return a search over all orientations of the asymmetric unit."""
    step = 2 * options.angular_step
    radius = coarse_radius(step, mask_radius, coefficients.size, progress.radius)
    turn = random_rotation(np.random.default_rng([options.seed, progress.iteration]))
    rotations = orientation_grid(step, options.symmetry, turn)
    while radius > 4 and len(rotations) * 8 * _frequencies(source, radius) > MAX_SECTION_BYTES:
        radius *= 0.9
    middle = float(np.sqrt(radius * progress.radius))
    return PoseSearch(
        _grid(rotations, progress.reach_shift, radius, step, source, coefficients, options.offset_step),
        12,
        [radius, middle, progress.radius],
        True,
    )


def local_search(
    options: RefineOptions,
    progress: Progress,
    source: ParticleSource,
    coefficients: FourierCoefficients,
    mask_radius: float,
) -> PoseSearch:
    """Return a search about the last poses; of one start alone where Newton steps reach all others from it."""
    basin = np.rad2deg(coefficients.size / (RIM_MOVEMENT * progress.radius * mask_radius))
    step = max(progress.reach_angle / 1.3, basin)
    radius = coarse_radius(step, mask_radius, coefficients.size, progress.radius)
    rotations = local_rotations(progress.reach_angle, step)
    grid = _grid(rotations, progress.reach_shift, radius, step, source, coefficients, options.offset_step)
    stages = [progress.radius] if radius > 0.9 * progress.radius else [radius, progress.radius]
    return PoseSearch(grid, 6, stages, False)


def _grid(
    rotations: np.ndarray,
    reach: float,
    radius: float,
    step: float,
    source: ParticleSource,
    coefficients: FourierCoefficients,
    coarsest: float,
) -> PoseGrid:
    shifts = shift_grid(reach, radius, coefficients.size, coarsest, source.shift_axes)
    k = grid_frequencies(source, coefficients, radius)
    return PoseGrid(rotations, shifts, radius, k, phase_factors(k, shifts, coefficients.size), step)


def _frequencies(source: ParticleSource, radius: float) -> float:
    """Return how many frequencies a grid within `radius` shells compares, about."""
    if source.dimension == 2 and searches_views(source, radius):
        assert source.common_rotations is not None
        return len(source.common_rotations) * np.pi / 2 * radius**2
    return 2 * np.pi / 3 * radius**3


def shells_to_share(combine: float, curve: np.ndarray, most: float) -> float:
    """Return up to which shell the halves' next references are shared.

    Halves aligned to what they share agree on it, noise or not; that proves nothing. Only where they
    agree well beyond it (and beyond the shells that a mask smears it over) may they share more.

    Parameters
    ----------
    combine : float
        Shells shared so far.
    curve : array
        FSC of the halves, measured before anything was shared.
    most : float
        Shells that are shared at most.
    """
    first = int(np.ceil(combine)) + MASK_SMEAR
    good = first
    while good < len(curve) and curve[good] >= AGREEING_FSC:
        good += 1
    return float(max(combine, min(most, good - 1))) if good > first else combine


def advance(
    progress: Progress,
    shell: float,
    size: int,
    changes: tuple[float, float],
    spreads: tuple[float, float],
    local: bool,
    combine: float = 0.0,
) -> Progress:
    """Return the progress after an iteration.

    Parameters
    ----------
    progress : Progress
    shell : float
        Resolution reached, in shells.
    size : int
        Edge of the box.
    changes : (float, float)
        Median change of the orientations (degrees) and shifts (voxels).
    spreads : (float, float)
        Median width of the posteriors, in the same units.
    local : bool
        All particles were searched locally.
    combine : float
        Shells shared by the new references.
    """
    gain = shell > progress.best_shell + 0.5
    less = changes[0] < 0.9 * progress.least_change
    floor = 360 / (np.pi * size)  # degrees that move the box's rim by one voxel
    angle, shift = progress.reach_angle, progress.reach_shift
    if local:
        angle = float(np.clip(4 * max(changes[0], spreads[0]), min(angle, 0.25 * floor), angle))
        shift = float(np.clip(4 * max(changes[1], spreads[1]), min(shift, 0.5), shift))
    elif progress.iteration > 0:
        shift = float(np.clip(4 * max(changes[1], spreads[1]), min(shift, 2.0), shift))
    return Progress(
        iteration=progress.iteration + 1,
        radius=float(np.clip(shell + 1.0, 4.0, size / 2)),  # beyond it the references are zero
        reach_angle=angle,
        reach_shift=shift,
        best_shell=max(progress.best_shell, shell),
        without_gain=0 if gain else progress.without_gain + 1,
        settled=local and changes[0] < max(0.3 * spreads[0], 0.02) and changes[1] < max(0.3 * spreads[1], 0.01),
        least_change=min(progress.least_change, changes[0]),
        without_less=0 if less else progress.without_less + 1,
        combine=combine,
    )
