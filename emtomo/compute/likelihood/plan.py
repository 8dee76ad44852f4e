"""What the particles of an iteration share, and what a block of them gives."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.likelihood.newton import MAX_STEPS
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import Pose, PoseGrid


@dataclass(frozen=True)
class PoseSearch:
    """How poses are searched in one iteration.

    Attributes
    ----------
    grid : PoseGrid
    starts : int
        Poses of the grid from which ascents begin.
    stages : list of float
        Shells of the ascents, rising to all that take part.
    absolute : bool
        The grid covers all orientations, whatever the particle's pose.
    steps : int
        Newton steps of an ascent at most; 0 evaluates poses where they are.
    """

    grid: PoseGrid
    starts: int
    stages: list[float]
    absolute: bool
    steps: int = MAX_STEPS


@dataclass(frozen=True)
class IterationPlan:
    """What all particles of an iteration share.

    Attributes
    ----------
    coefficients : FourierCoefficients
        Frequencies of a view that are added to the volume.
    radius : float
        Shells in which poses are compared.
    searches : tuple of PoseSearch
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
        For each half the rotation and shift that bring its reference onto the first one.
    group : (m, 3, 3) array
        The symmetry's rotations.
    device : str
        cpu, cuda or cuda:N.
    """

    coefficients: FourierCoefficients
    radius: float
    searches: tuple[PoseSearch, ...]
    which: np.ndarray
    start: Poses
    prior_angle: float
    prior_shift: float
    mask_radius: float
    frame: dict[int, Pose]
    group: np.ndarray
    device: str = "cpu"


@dataclass
class HalfSet:
    """One half set's reference and noise.

    Attributes
    ----------
    reference : (n, n, n) array
    noise : array
        Variance of a frequency's noise, for every :attr:`FourierCoefficients.band`, one noise group after the other.
    scale : (g,) array or None
        How strong the particles are in the views of every noise group; None: 1 in all.
    """

    reference: np.ndarray
    noise: np.ndarray
    scale: np.ndarray | None = None


@dataclass(frozen=True)
class PoseEstimate:
    """The best pose of a particle, in the first reference's frame, and how certain it is.

    Attributes
    ----------
    rotation, shift : arrays
    score : float
        Log of the posterior's mass.
    angle_spread, shift_spread : float
        Standard deviations about and along any axis, degrees and voxels.
    certainty : float
        Mass of the mode.
    beyond : bool
        All modes were beyond the offset range: the pose is the one before.
    """

    rotation: np.ndarray
    shift: np.ndarray
    score: float
    angle_spread: float
    shift_spread: float
    certainty: float
    beyond: bool = False


@dataclass
class PartialSums:
    """What one block of particles gives.

    Attributes
    ----------
    sums : array
        See :func:`~emtomo.compute.fourier.reconstruction.empty_sums`.
    residual, measured : arrays
        Power that the reference does not explain, and weights, for every entry of the noise spectra.
    estimates : dict
        Of every particle by its number.
    products : (2, g) array
        For every noise group the sums of the reference's product with the data and with itself, in units of the
        noise; without columns where the scale of views is not asked for.
    """

    sums: Any
    residual: np.ndarray
    measured: np.ndarray
    estimates: dict[int, PoseEstimate] = field(default_factory=dict)
    products: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))

    def combine(self, other: "PartialSums") -> "PartialSums":
        """Return what both blocks give together."""
        sums = np.add(self.sums, other.sums, dtype=float)  # one block is few enough for float32, all are not
        estimates = self.estimates | other.estimates
        products = self.products + other.products
        return PartialSums(sums, self.residual + other.residual, self.measured + other.measured, estimates, products)
