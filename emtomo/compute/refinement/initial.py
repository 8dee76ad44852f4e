"""Before the first iteration: noise spectrum, and the grey scale of a reference from elsewhere."""

import numpy as np

from emtomo.compute.fourier.box_faces import fade_at_faces
from emtomo.compute.fourier.filters import ball
from emtomo.compute.likelihood.measurement import Measurement
from emtomo.compute.likelihood.plan import HalfSet
from emtomo.compute.likelihood.pose_estimator import EDGE, PoseEstimator
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.linear_algebra import multiply
from emtomo.errors import EmtomoError

NOISE_SAMPLE = 400  # particles of a half set that the first noise spectrum is taken from
SCALE_SAMPLE = 32  # particles of a half set that the grey scale is taken from
MIN_FOR_INVERSION, INVERTED_SHARE = 5, 0.9  # particles, and their share, that show that contrast is inverted
SILENT = 1e-4  # of the median power


def check_sizes(size: int, **volumes: np.ndarray | None) -> None:
    """Refuse volumes that are not as wide as the particles.

    Raises
    ------
    EmtomoError
        With the name of the first that is not; None is no volume.
    """
    for what, volume in volumes.items():
        if volume is not None and volume.shape != (size, size, size):
            raise EmtomoError(f"The {what} must be {size} voxels wide as the particles are, got {volume.shape}.")


def mask_radius(size: int, pixel_size: float, diameter: float) -> float:
    """Return in voxels the radius of a mask of a diameter in Å, at most half the box; 0 Å: half the box."""
    return min((diameter or size * pixel_size) / 2 / pixel_size, size / 2)


def reference_mask(size: int, radius: float, given: np.ndarray | None) -> np.ndarray:
    """Return what a reference is multiplied with: the given mask within 0 to 1, else a ball of `radius` voxels.

    A mask that reaches the faces of the box falls to 0 before them, since references are cut there.
    """
    if given is not None:
        return fade_at_faces(np.clip(given, 0, 1).astype(np.float32))
    return ball(size, min(radius, size / 2 - EDGE), EDGE)


def sample_evenly(members: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the members, evenly spread."""
    return members[np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).astype(int))]


def smooth_gaps(spectrum: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return a noise spectrum that can be divided by.

    Bands without a measurement take the value of the nearest one that has one. Bands with next to no power were
    filtered out of the images: they say nothing, and get infinite noise.
    """
    good = np.flatnonzero((measured > 0) & (spectrum > 0))
    if len(good) == 0:
        return np.ones_like(spectrum)
    shells = np.arange(len(spectrum))
    nearest = good[np.argmin(np.abs(shells[:, None] - good[None, :]), axis=1)]
    filled = np.array(spectrum)[nearest]
    filled[filled < SILENT * np.median(filled)] = np.inf
    return filled


def first_noise(estimator: PoseEstimator, members: np.ndarray, poses: Poses) -> np.ndarray:
    """Return the mean power of particles in every noise band as a first guess of the noise.

    It holds the particles' own power as well, which is little beside the noise.
    """
    source, size = estimator.source, estimator.source.noise_length
    power, measured = np.zeros(size), np.zeros(size)
    for i in sample_evenly(members, NOISE_SAMPLE):
        one = estimator.measure(int(i), poses.shifts[i])
        index = source.noise_index(one.group, estimator.coefficients.band).ravel()
        power += np.bincount(index, np.abs(one.data.ravel()) ** 2, minlength=size)
        measured += np.bincount(index, one.square.ravel(), minlength=size)
    return smooth_gaps(power / np.maximum(measured, 1e-30), measured)


def grey_scale(estimator: PoseEstimator, members: np.ndarray, poses: Poses, which: int) -> tuple[float, bool]:
    """Return the factor that brings the reference to the particles' grey scale, and whether contrast is inverted.

    For some particles the pose of best correlation, which does not depend on scale, is found on
    the grid; there the factor is that of least squares. The median of its size is returned; inverted means
    that it is negative for nearly all of them.
    """
    factors = []
    for i in sample_evenly(members, SCALE_SAMPLE):
        sections = estimator.grid_sections(which, poses.rotations[i])
        one = estimator.measure(int(i), poses.shifts[i])
        cross, norm = _cross(estimator, which, one, sections, poses.shifts[i])
        best = np.unravel_index(np.argmax(np.abs(cross) / np.sqrt(norm)[:, None]), cross.shape)
        factors.append(float(cross[best] / norm[best[0]]))
    if not factors or not np.median(np.abs(factors)) > 0:
        return 1.0, False
    inverted = len(factors) >= MIN_FOR_INVERSION and np.mean(np.array(factors) < 0) >= INVERTED_SHARE
    return float(np.median(np.abs(factors))), bool(inverted)


def _cross(
    estimator: PoseEstimator, which: int, one: Measurement, sections: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation of every section and shift with a particle's data, and the sections' weighted squares."""
    from emtomo.compute.kernels import fourier_cpu

    data, weight = estimator.grid_data(which, one, shift)
    norm = np.empty(len(sections), np.float32)
    fourier_cpu.norms(sections, weight, norm)
    grid = estimator.plan.searches[which].grid
    return multiply(sections, (grid.phases * data).view(np.float32).T), np.maximum(norm, 1e-30)


def flat_half(reference: np.ndarray, source: ParticleSource) -> HalfSet:
    """Return a half with a reference and noise of one everywhere."""
    return HalfSet(reference, np.ones(source.noise_length))
