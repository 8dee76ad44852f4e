"""Where a particle may be: the posterior of its pose as a few peaks, each with its width.

The marginal likelihood is summed over a grid of orientations and shifts at a coarse
resolution (matrix products), whose peaks are then climbed at rising resolution by Newton steps;
a peak's mass is that of the Gaussian with its curvature (Laplace's method).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.kernels import fourier_cpu

DEEPEST = 12.0  # log density below the best at which a peak no longer counts
MAX_NEWTON_STEPS = 8
# a turn is never less certain than half a turn, a shift than some tens of voxels
LEAST = np.array([0.1, 0.1, 0.1, 1e-3, 1e-3, 1e-3])
WIDEST = np.deg2rad(40.0)


@dataclass(frozen=True)
class Prior:
    """What is known of a pose beforehand; precisions are 1 / variance, 0 when nothing is known."""

    rotation: np.ndarray
    shift: np.ndarray
    per_angle: float
    per_shift: float

    @property
    def precision(self) -> np.ndarray:
        """Of a turn (1 / rad^2) and of a shift (1 / voxel^2)."""
        return np.array([self.per_angle, self.per_shift])


@dataclass(frozen=True)
class Peaks:
    """Peaks of the posterior, the best first; `mass` adds up to 1."""

    mass: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    covariance: np.ndarray
    density: float


@dataclass(frozen=True)
class Grid:
    """Orientations and shifts that are tried, with the frequencies used for it.

    Attributes
    ----------
    rotations : (o, 3, 3) array
        Turned from the particle's pose, or absolute when `sections` are given.
    shifts : (s, 3) array
        Voxels, from the particle's shift.
    chosen : (n,) int array
        Which of the packed frequencies are used.
    k : (n, 3) float32 array
    waves : (s, n) complex64 array
        exp(2 pi i k shift / size).
    angle_step : float
        Degrees.
    sections : (o, 2 n) float32 array, optional
        The reference's sections, for a search of all particles over the same orientations.
    """

    rotations: np.ndarray
    shifts: np.ndarray
    chosen: np.ndarray
    k: np.ndarray
    waves: np.ndarray
    angle_step: float
    sections: np.ndarray | None = None


def waves(k: np.ndarray, shifts: np.ndarray, size: int) -> np.ndarray:
    """Return exp(2 pi i k shift / size), `(shifts, frequencies)` complex64."""
    turns = (np.asarray(shifts) @ k.T.astype(float)) / size
    return np.exp(2j * np.pi * turns).astype(np.complex64)


def initial_poses(
    grid: Grid,
    sections_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    data: np.ndarray,
    weight: np.ndarray,
    rotation: np.ndarray,
    shift: np.ndarray,
    prior: Prior,
    size: int,
    most: int,
    norms: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the best poses of the grid, no two of them neighbours, the best first.

    Parameters
    ----------
    grid : Grid
    sections_of : callable
        Frequencies and rotations to `(o, 2 n)` sections of the reference.
    data, weight : (n,) arrays
        Of the packed frequencies, divided by the noise's variance.
    rotation, shift : arrays
        The pose that the grid is laid around.
    prior : Prior
    size : int
        Edge of the box.
    most : int
        Largest number of poses returned.
    norms : (o,) array, optional
        Weighted squares of ``grid.sections``, where known.
    """
    w = weight[grid.chosen]
    if grid.sections is None:
        rotations = rotation @ grid.rotations
        sections = sections_of(grid.k, rotations)
    else:
        rotations, sections = grid.rotations, grid.sections
    if norms is None:
        norms = np.empty(len(rotations), np.float32)
        fourier_cpu.norms(sections, w, norms)
    here = data[grid.chosen] * waves(grid.k, shift[None, :], size)[0]
    apply_phase_shift = (grid.waves * here).view(np.float32)
    scores = 2 * (sections @ apply_phase_shift.T)
    off = shift + grid.shifts - prior.shift
    scores -= (0.5 * prior.per_shift * (off**2).sum(axis=1)).astype(np.float32)
    best = scores.argmax(axis=1)
    height = scores[np.arange(len(scores)), best] - norms
    return separate_maxima(height, rotations, shift + grid.shifts[best], prior, grid.angle_step, most)


def separate_maxima(
    height: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, prior: Prior, step: float, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the likeliest orientations with their shifts, the best first, no two within 1.3 `step` degrees.

    Parameters
    ----------
    height : (o,) array
        Log likelihoods, with the prior of the shifts.
    rotations, shifts : (o, 3, 3) and (o, 3) arrays
    prior : Prior
    step : float
    most : int
    """
    if prior.per_angle > 0:
        cosine = (np.einsum("ij,nij->n", prior.rotation, rotations) - 1) / 2
        height = height - 0.5 * prior.per_angle * np.arccos(np.clip(cosine, -1, 1)) ** 2
    return _apart(height, rotations, shifts, step, most)


def _apart(
    height: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, step: float, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return poses from the highest down, leaving out what lies within 1.3 steps of a higher one."""
    near = 1 + 2 * np.cos(np.deg2rad(1.3 * step))
    order = np.argsort(-height, kind="stable")
    order = order[height[order] > height[order[0]] - 2 * DEEPEST]
    kept: list[int] = []
    flat = rotations.reshape(len(rotations), 9)
    while len(order) and len(kept) < most:
        first = int(order[0])
        kept.append(first)
        order = order[flat[order] @ flat[first] < near]
    return [(rotations[i], shifts[i]) for i in kept]


def newton_ascent(
    candidates: list[tuple[np.ndarray, np.ndarray]],
    ascend: Callable[..., tuple[float, np.ndarray, np.ndarray, np.ndarray]],
    stages: list[tuple[np.ndarray, np.ndarray]],
    data: np.ndarray,
    weight: np.ndarray,
    prior: Prior,
    size: int,
    limits: tuple[float, float],
    group: np.ndarray,
) -> Peaks:
    """Return the peaks that Newton steps lead to, their resolution rising stage by stage.

    Parameters
    ----------
    candidates : list of (rotation, shift)
    ascend : callable
        Frequencies, data, weights, size, rotation, shift, the prior's centre and precision, limits and number of
        steps to log posterior density, rotation, shift and information at the top of the nearest peak.
    stages : list of (chosen, k)
        Which frequencies take part in every stage.
    data, weight : (n,) arrays
    prior : Prior
    size : int
    limits : (float, float)
        Longest turn (radians) and shift (voxels) of one step.
    group : (m, 3, 3) array
        The symmetry's rotations; equivalent peaks are one.
    """
    arguments = prior.rotation.astype(float), prior.shift.astype(float), prior.precision, np.array(limits)
    for chosen, k in stages:
        d, w = data[chosen], weight[chosen]
        peaks = [ascend(k, d, w, size, rotation, shift, *arguments, MAX_NEWTON_STEPS) for rotation, shift in candidates]
        density, rotations, shifts, information = (np.array(part) for part in zip(*peaks, strict=True))
        kept = distinct(density, rotations, shifts, information, group)
        candidates = list(zip(rotations[kept], shifts[kept], strict=True))
    return laplace_modes(density[kept], rotations[kept], shifts[kept], information[kept])


def distinct(
    density: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, information: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Return which peaks count, the highest first, without those that several climbs led to.

    Climbs to equivalent orientations led to one peak; it is within one standard deviation of the other.
    """
    order = np.argsort(-density, kind="stable")
    order = order[density[order] > density[order[0]] - DEEPEST]
    new = np.empty(len(order), np.bool_)
    fourier_cpu.distinct(rotations[order], shifts[order], information[order], group.astype(float), new)
    return order[new]


def laplace_modes(density: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, information: np.ndarray) -> Peaks:
    """Return peaks with their masses: those of Gaussians with their curvatures."""
    covariance = np.linalg.inv(information + np.diag(LEAST))
    logs = density + 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    mass = np.exp(logs - logs.max())
    order = np.argsort(-mass, kind="stable")
    return Peaks(
        (mass / mass.sum())[order],
        rotations[order],
        shifts[order],
        covariance[order],
        float(logs.max() + np.log(mass.sum())),
    )


def expand_modes(peaks: Peaks, least: float, smallest: float) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Return weighted poses that stand for the peaks with their widths: weight, rotation, shift.

    Along every axis about which a peak is wider than `least` radians it is replaced by a pose to
    either side, so that the mean and the covariance of the orientation are kept.

    Parameters
    ----------
    peaks : Peaks
    least : float
        Widths below it do not show at the resolution at hand.
    smallest : float
        Peaks of less mass are left out.

    References
    ----------
    Arasaratnam & Haykin, Cubature Kalman filters, IEEE TAC 54 (2009), Eq. 32.
    """
    keep = peaks.mass >= smallest
    out = []
    total = peaks.mass[keep].sum()
    for mass, rotation, shift, covariance in zip(
        peaks.mass[keep] / total, peaks.rotations[keep], peaks.shifts[keep], peaks.covariance[keep], strict=True
    ):
        variance, axes = np.linalg.eigh(covariance[:3, :3])
        wide = np.flatnonzero(variance > least**2)
        if len(wide) == 0:
            out.append((float(mass), rotation, shift))
            continue
        for a in wide:
            for sign in (-1.0, 1.0):
                omega = sign * min(np.sqrt(len(wide) * variance[a]), WIDEST) * axes[:, a]
                # the shift that is likeliest with this turn
                drag = covariance[3:, :3] @ axes[:, a] / variance[a] * (omega @ axes[:, a])
                pose = fourier_cpu.rotate(rotation, omega), shift + drag
                out.append((float(mass) / (2 * len(wide)), *pose))
    return out
