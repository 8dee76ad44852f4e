"""The posterior of a particle's pose, as a few modes, each with its width.

The marginal likelihood is summed over a grid of orientations and shifts at a coarse
resolution (matrix products); Newton steps at rising resolution lead from the grid's maxima to the modes;
a mode's mass is that of the Gaussian with its curvature (Laplace's method).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.linear_algebra import multiply

NEGLIGIBLE_BELOW = 12.0  # log density below the best at which a mode no longer counts
# added to the information: an angle is never less certain than half a revolution, a shift than some tens of voxels
LEAST_INFORMATION = np.array([0.1, 0.1, 0.1, 1e-3, 1e-3, 1e-3])
WIDEST_EXPANSION = np.deg2rad(40.0)

Pose = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Prior:
    """What is known of a pose beforehand; precisions are 1 / variance, 0 when nothing is known."""

    rotation: np.ndarray
    shift: np.ndarray
    per_angle: float
    per_shift: float

    @property
    def precision(self) -> np.ndarray:
        """Of a rotation (1 / rad^2) and of a shift (1 / voxel^2)."""
        return np.array([self.per_angle, self.per_shift])


@dataclass(frozen=True)
class PosteriorModes:
    """Modes of the posterior of one particle's pose, the best first; `mass` adds up to 1.

    `beyond` says that all modes were beyond the offset range; the one that is here is the pose before.
    """

    mass: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray
    covariance: np.ndarray
    density: float
    beyond: bool = False


@dataclass(frozen=True)
class PoseGrid:
    """Orientations and shifts that are tried, with the frequencies used for it.

    Attributes
    ----------
    rotations : (o, 3, 3) array
        Relative to the particle's pose, or absolute.
    shifts : (s, 3) array
        Voxels, from the particle's shift.
    radius : float
        Shells that are compared.
    k : (n, 3) float32 array
        Frequencies in the particle's frame.
    phases : (s, n) complex64 array
        exp(2 pi i k shift / size).
    angle_step : float
        Degrees.
    """

    rotations: np.ndarray
    shifts: np.ndarray
    radius: float
    k: np.ndarray
    phases: np.ndarray
    angle_step: float


def phase_factors(k: np.ndarray, shifts: np.ndarray, size: int) -> np.ndarray:
    """Return exp(2 pi i k shift / size), `(shifts, frequencies)` complex64."""
    cycles = (np.asarray(shifts) @ k.T.astype(float)) / size
    return np.exp(2j * np.pi * cycles).astype(np.complex64)


def best_shifts(sections: Any, norms: Any, phases: Any, data: Any, penalty: Any) -> tuple[Any, Any]:
    """Return for every orientation the largest log likelihood of all shifts, and which shift has it.

    Arrays are numpy's or CuPy's.

    Parameters
    ----------
    sections : (b, o, 2 n) or (1, o, 2 n) array
        Real and imaginary parts of the reference: of each particle, or one set for all.
    norms : (b, o) array
        Weighted squares of the sections.
    phases : (s, n) complex array
        Of the grid's shifts.
    data : (b, n) complex array
        Moved by minus the particles' shifts, divided by the noise's variance.
    penalty : (b, s) array
        What the prior takes off every shift.

    Returns
    -------
    (b, o) float array, (b, o) int array
    """
    shifted = (phases[None] * data[:, None]).view(np.float32)
    if isinstance(sections, np.ndarray) and len(data) == 1:
        from emtomo.compute.kernels import grid_cpu

        height, best = np.empty(sections.shape[1], np.float32), np.empty(sections.shape[1], np.int64)
        grid_cpu.best_shifts(multiply(sections[0], shifted[0].T), penalty[0], norms[0], height, best)
        return height[None], best[None]
    if len(sections) == 1:  # one product for all particles
        scores = _multiply(sections[0], shifted.reshape(-1, shifted.shape[2]).T).reshape(
            sections.shape[1], len(data), -1
        )
        scores = scores.transpose(1, 0, 2)
    else:
        scores = _multiply(sections, shifted.swapaxes(1, 2))
    scores *= 2
    scores -= penalty[:, None]
    best = scores.argmax(axis=2)
    return scores.max(axis=2) - norms, best


def _multiply(left: Any, right: Any) -> Any:
    return multiply(left, right) if isinstance(left, np.ndarray) else left @ right


def separate_maxima(height: np.ndarray, rotations: np.ndarray, prior: Prior, step: float, most: int) -> np.ndarray:
    """Return the numbers of the likeliest orientations, the best first, no two within 1.3 `step` degrees.

    Parameters
    ----------
    height : (o,) array
        Log likelihoods, with the prior of the shifts.
    rotations : (o, 3, 3) array
    prior : Prior
    step : float
    most : int
    """
    from emtomo.compute.kernels.grid_cpu import separate

    if prior.per_angle > 0:
        cosine = (np.einsum("ij,nij->n", prior.rotation, rotations) - 1) / 2
        height = height - 0.5 * prior.per_angle * np.arccos(np.clip(cosine, -1, 1)) ** 2
    likely = np.flatnonzero(height > height.max() - 2 * NEGLIGIBLE_BELOW)
    order = likely[np.argsort(-height[likely], kind="stable")]
    kept = np.empty(most, np.int64)
    flat = np.ascontiguousarray(rotations, float).reshape(len(rotations), 9)
    return kept[: separate(order, flat, 1 + 2 * np.cos(np.deg2rad(1.3 * step)), kept)]


def distinct_modes(
    density: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, information: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Return which modes count, the highest first, each once.

    Ascents to equivalent orientations led to one mode; it is within one standard deviation of the other.
    """
    from emtomo.compute.kernels.newton_cpu import find_distinct

    order = np.argsort(-density, kind="stable")
    order = order[density[order] > density[order[0]] - NEGLIGIBLE_BELOW]
    new = np.empty(len(order), np.bool_)
    find_distinct(rotations[order], shifts[order], information[order], group.astype(float), new)
    return order[new]


def laplace_modes(
    density: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, information: np.ndarray
) -> PosteriorModes:
    """Return modes with their masses: those of Gaussians with their curvatures."""
    covariance = np.linalg.inv(information + np.diag(LEAST_INFORMATION))
    logs = density + 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    mass = np.exp(logs - logs.max())
    order = np.argsort(-mass, kind="stable")
    return PosteriorModes(
        (mass / mass.sum())[order],
        rotations[order],
        shifts[order],
        covariance[order],
        float(logs.max() + np.log(mass.sum())),
    )


def expand_modes(modes: PosteriorModes, least: float, smallest: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted poses that stand for the modes with their widths: weights, rotations, shifts.

    Along every axis about which a mode is wider than `least` radians it is replaced by a pose to
    either side, so that the mean and the covariance of the orientation are kept.

    Parameters
    ----------
    modes : PosteriorModes
    least : float
        Widths below it do not show at the resolution at hand.
    smallest : float
        Modes of less mass are left out.

    Returns
    -------
    (p,), (p, 3, 3) and (p, 3) arrays

    References
    ----------
    Arasaratnam & Haykin, Cubature Kalman filters, IEEE TAC 54 (2009), Eq. 32.
    """
    from emtomo.compute.kernels.newton_cpu import rotate_many

    keep = modes.mass >= smallest
    mass, covariance = modes.mass[keep] / modes.mass[keep].sum(), modes.covariance[keep]
    variance, axes = np.linalg.eigh(covariance[:, :3, :3])
    wide = variance > least**2
    count = wide.sum(axis=1)
    mode, axis = np.nonzero(wide)
    spread, along = variance[mode, axis], axes[mode, :, axis]
    angle = np.minimum(np.sqrt(count[mode] * spread), WIDEST_EXPANSION)
    # the shift that is likeliest with this rotation
    drag = np.einsum("pij,pj->pi", covariance[mode, 3:, :3], along) * (angle / spread)[:, None]
    mode, angle, along, drag = (
        np.tile(mode, 2),
        np.append(angle, -angle),
        np.tile(along, (2, 1)),
        np.vstack([drag, -drag]),
    )
    narrow = count == 0
    rotations, shifts = modes.rotations[keep], modes.shifts[keep]
    turned = np.empty((len(mode), 3, 3))
    rotate_many(rotations[mode], angle[:, None] * along, turned)
    return (
        np.append(mass[narrow], mass[mode] / (2 * count[mode])),
        np.concatenate([rotations[narrow], turned]),
        np.concatenate([shifts[narrow], shifts[mode] + drag]),
    )
