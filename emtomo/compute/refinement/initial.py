"""Before the first iteration: noise spectrum, and the grey scale of a reference from elsewhere."""

import numpy as np

from emtomo.compute.fourier.coefficients import count_bands
from emtomo.compute.likelihood.pose_estimator import HalfSet, PoseEstimator
from emtomo.compute.likelihood.posterior import Grid, waves
from emtomo.compute.likelihood.views import Poses

SAMPLE = 400  # particles of a half set that the first noise spectrum is taken from
FEWEST, MOSTLY = 5, 0.9  # particles, and their share, that show that contrast is inverted
SILENT = 1e-4  # of the median power
SCALED = 32  # particles of a half set that the grey scale is taken from


def some_of(members: np.ndarray, most: int) -> np.ndarray:
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
    """Return the mean power of particles in every shell as a first guess of the noise.

    It holds the particles' own power as well, which is little beside the noise.
    """
    shell, size = estimator.coefficients.band, count_bands(estimator.coefficients.size)
    power, measured = np.zeros(size), np.zeros(size)
    for i in some_of(members, SAMPLE):
        _, data, square = estimator.measured(int(i), poses.shifts[i])
        power += np.bincount(shell, np.abs(data) ** 2, minlength=size)
        measured += np.bincount(shell, square, minlength=size)
    return smooth_gaps(power / np.maximum(measured, 1e-30), measured)


def grey_scale(estimator: PoseEstimator, members: np.ndarray, poses: Poses, which: int) -> tuple[float, bool]:
    """Return the factor that brings the reference to the particles' grey scale, and whether contrast is inverted.

    For some particles the pose of best correlation, which does not depend on scale, is found on
    the grid; there the factor is that of least squares. The median of its size is returned; inverted means
    that it is negative for nearly all of them.
    """
    search, size = estimator.searches[which], estimator.coefficients.size
    grid = search.grid
    factors = []
    for i in some_of(members, SCALED):
        masked, _, square = estimator.measured(int(i), poses.shifts[i])
        d, w = masked / estimator.noise, square / estimator.noise
        cross, norm = _cross(estimator, grid, d, w, poses.rotations[i], poses.shifts[i], size)
        best = np.unravel_index(np.argmax(np.abs(cross) / np.sqrt(norm)[:, None]), cross.shape)
        factors.append(float(cross[best] / norm[best[0]]))
    if not factors or not np.median(np.abs(factors)) > 0:
        return 1.0, False
    inverted = len(factors) >= FEWEST and np.mean(np.array(factors) < 0) >= MOSTLY
    return float(np.median(np.abs(factors))), bool(inverted)


def _cross(
    estimator: PoseEstimator,
    grid: Grid,
    d: np.ndarray,
    w: np.ndarray,
    rotation: np.ndarray,
    shift: np.ndarray,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    from emtomo.compute.kernels import fourier_cpu

    sections = grid.sections
    if sections is None:
        sections = estimator.sections(grid.k, rotation @ grid.rotations)
    norm = np.empty(len(sections), np.float32)
    fourier_cpu.norms(sections, w[grid.chosen], norm)
    here = d[grid.chosen] * waves(grid.k, shift[None, :], size)[0]
    return sections @ (grid.waves * here).view(np.float32).T, np.maximum(norm, 1e-30)


def flat_half(reference: np.ndarray) -> HalfSet:
    """Return a half with a reference and noise of one everywhere."""
    return HalfSet(reference, np.ones(count_bands(reference.shape[0])))
