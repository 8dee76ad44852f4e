"""What every worker of a half set does, wherever it computes: boxes, weights, priors, what is found."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients, count_bands
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.padded_reference import transform_padded
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.likelihood.posterior import Grid, Peaks, Prior, expand_modes
from emtomo.compute.likelihood.views import Particles, Poses
from emtomo.compute.map_reduce import OnProgress
from emtomo.errors import EmtomoError

EDGE = 3.0  # voxels of a soft sphere's edge
MIN_POSE_MASS = 0.01
MAX_CACHED_WEIGHTS = 64  # kept at a time, beside their norms


@dataclass(frozen=True)
class Search:
    """How poses are searched in one iteration.

    Attributes
    ----------
    grid : Grid
    peaks : int
        Starts taken from the grid.
    stages : list of float
        Shells of the climbs, rising to all that take part.
    absolute : bool
        The grid covers all orientations, whatever the particle's pose.
    """

    grid: Grid
    peaks: int
    stages: list[float]
    absolute: bool


@dataclass(frozen=True)
class IterationPlan:
    """What all particles of an iteration share.

    Attributes
    ----------
    coefficients : FourierCoefficients
        Frequencies that are added to the volume.
    radius : float
        Shells in which poses are compared.
    searches : tuple of Search
        What :attr:`which` chooses from.
    which : (n,) int array
        Search of every particle.
    start : Poses
        The poses given at first, about which priors lie.
    prior_angle, prior_shift : float
        Standard deviations of the priors (degrees, voxels); 0 for none.
    mask_radius : float
        Voxels.
    frame : dict
        For each half the turn and shift that bring its reference onto the first one.
    group : (m, 3, 3) array
        The symmetry's rotations.
    device : str
        cpu, cuda or cuda:N.
    """

    coefficients: FourierCoefficients
    radius: float
    searches: tuple[Search, ...]
    which: np.ndarray
    start: Poses
    prior_angle: float
    prior_shift: float
    mask_radius: float
    frame: dict[int, tuple[np.ndarray, np.ndarray]]
    group: np.ndarray
    device: str = "cpu"


@dataclass
class HalfSet:
    """One half set's reference and noise.

    Attributes
    ----------
    reference : (n, n, n) array
    noise : array
        Variance of a frequency's noise, for every :attr:`FourierCoefficients.band`.
    """

    reference: np.ndarray
    noise: np.ndarray


@dataclass
class PartialSums:
    """What one block of particles gives."""

    sums: np.ndarray
    residual: np.ndarray
    measured: np.ndarray
    found: dict[int, tuple] = field(default_factory=dict)

    def combine(self, other: "PartialSums") -> "PartialSums":
        """Return what both blocks give together."""
        sums = np.add(self.sums, other.sums, dtype=float)  # one block is few enough for float32, all are not
        found = self.found | other.found
        return PartialSums(sums, self.residual + other.residual, self.measured + other.measured, found)


class PoseEstimator(ABC):
    """Locates particles against one half's reference.

    Attributes
    ----------
    searches : list of Search
        Those over all orientations have the reference's sections in them.
    """

    searches: list[Search]

    def __init__(self, particles: Particles, half: HalfSet, plan: IterationPlan) -> None:
        self.particles, self.plan, self.coefficients = particles, plan, plan.coefficients
        coefficients = self.coefficients
        self.noise = half.noise[coefficients.band].astype(np.float32)
        self.reference = transform_padded(half.reference, plan.radius)
        self._weights: dict[object, np.ndarray] = {}
        outside = ball(coefficients.size, min(plan.mask_radius, coefficients.size / 2 - 1), 0.0) == 0
        self._outside = np.flatnonzero(outside)

    def prepared(self) -> list[Search]:
        """Return the setting's searches for :attr:`searches`."""

        def one(search: Search) -> Search:
            grid = search.grid
            return replace(search, grid=replace(grid, sections=self.sections(grid.k, grid.rotations)))

        return [one(search) if search.absolute else search for search in self.plan.searches]

    @abstractmethod
    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """Return `(o, 2 n)` real and imaginary parts of the reference at R.T k."""

    @abstractmethod
    def partial(self, members: np.ndarray, poses: Poses, on_progress: OnProgress) -> PartialSums:
        """Locate some particles and add them up."""

    def no_particles(self) -> PartialSums:
        """Return what no particles give."""
        shells = count_bands(self.coefficients.size)
        return PartialSums(empty_sums(self.coefficients.radius), np.zeros(shells), np.zeros(shells))

    def weight(self, i: int) -> np.ndarray | None:
        """Return the packed weights of particle `i`."""
        if self.particles.kind == "none":
            return None
        key = self.particles.weight_key[i]
        weights = self._weights.get(key)
        if weights is None:
            weights = self.coefficients.pick(self.particles.weight(key)).astype(np.float32)
            if len(self._weights) >= MAX_CACHED_WEIGHTS:
                self._weights.clear()  # every particle may have a file of its own
            self._weights[key] = weights
        return weights

    def box(self, i: int) -> np.ndarray:
        """Return the box of particle `i` with mean 0 and deviation 1 outside the mask."""
        return normalised(self.particles.box(i), i, self.coefficients.size, self._outside)

    def measured(self, i: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return masked data, whole data and weights of particle `i`."""
        box = self.box(i)
        mask = ball(self.coefficients.size, self.plan.mask_radius, EDGE, shift)
        both = self.coefficients.transform(np.stack([box * mask, box]))
        weight = self.weight(i)
        masked, square = self.particles.statistics(both[0], weight)
        return masked, self.particles.statistics(both[1], weight)[0], square

    def prior(self, i: int) -> Prior:
        """Return what is known of the pose of particle `i` beforehand."""
        angle, shift = np.deg2rad(self.plan.prior_angle), self.plan.prior_shift
        return Prior(
            self.plan.start.rotations[i],
            self.plan.start.shifts[i],
            1 / angle**2 if angle else 0.0,
            1 / shift**2 if shift else 0.0,
        )

    def poses_to_add(self, peaks: Peaks, half: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Return weight, rotation and shift of the poses to add a particle in, in the first reference's frame."""
        # a turn that moves the rim by a twelfth of the finest wave
        least = self.coefficients.size / (12 * self.plan.radius * self.plan.mask_radius)
        frame = self.plan.frame[half]
        return [(mass, *express_in_frame(r, s, frame)) for mass, r, s in expand_modes(peaks, least, MIN_POSE_MASS)]

    def found(self, peaks: Peaks, half: int) -> tuple:
        """Return what :attr:`PartialSums.found` keeps of a particle."""
        map_reduce = peaks.covariance[0].diagonal()
        return (
            *express_in_frame(peaks.rotations[0], peaks.shifts[0], self.plan.frame[half]),
            peaks.density,
            np.rad2deg(np.sqrt(map_reduce[:3].mean())),
            np.sqrt(map_reduce[3:].mean()),
            peaks.mass[0],
        )


def normalised(box: np.ndarray, i: int, size: int, outside: np.ndarray) -> np.ndarray:
    """Return a box with mean 0 and deviation 1 in the flat indices `outside`.

    Raises
    ------
    EmtomoError
        If the box has another size, or a voxel is no number.
    """
    box = np.asarray(box, np.float32)
    if box.shape != (size,) * 3:
        raise EmtomoError(f"Particle {i + 1}: the box must be {size} voxels wide, got shape {box.shape}.")
    around = box.reshape(-1)[outside]
    mean, deviation = float(around.mean(dtype=float)), float(around.std(dtype=float))
    if not np.isfinite(mean + deviation) or not np.isfinite(box).all():
        raise EmtomoError(f"Particle {i + 1}: there are voxels that are no numbers (NaN or infinite).")
    return (box - np.float32(mean)) / np.float32(deviation if deviation > 1e-12 else 1.0)


def express_in_frame(
    rotation: np.ndarray, shift: np.ndarray, frame: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a pose for the reference as it stands after `frame`, a turn and a shift, moved it."""
    rotate = rotation @ frame[0].T
    return rotate, shift - rotate @ frame[1]
