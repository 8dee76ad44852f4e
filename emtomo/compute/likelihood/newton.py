"""Newton steps of many poses at a time, in step with each other; as ``fourier_cpu.newton_ascent`` does them for one."""

from collections.abc import Callable

import numpy as np

Likelihoods = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def newton_ascent_batch(
    likelihoods: Likelihoods,
    owner: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    centres: tuple[np.ndarray, np.ndarray],
    precision: np.ndarray,
    limits: tuple[float, float],
    most: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return log posterior densities, rotations, shifts and information at the tops of the nearest peaks.

    Parameters
    ----------
    likelihoods : callable
        Owners, rotations and shifts to log likelihoods (p), gradients (p, 6) and information (p, 6, 6).
    owner : (p,) int array
        Whose pose it is.
    rotations, shifts : (p, 3, 3) and (p, 3) arrays
    centres : (b, 3, 3) and (b, 3) arrays
        Of every owner's prior.
    precision : (2,) array
        1 / variance of a turn (radians) and of a shift (voxels).
    limits : (float, float)
        Longest turn (radians) and shift (voxels) of one step.
    most : int
        Number of steps.
    """
    count = len(owner)
    best, information = np.full(count, -np.inf), np.tile(np.eye(6), (count, 1, 1))
    at_rotation, at_shift = rotations.astype(float), shifts.astype(float)
    best_rotation, best_shift, steps = at_rotation.copy(), at_shift.copy(), np.zeros((count, 6))
    active = np.arange(count)
    for _ in range(most + 1):
        here = at_rotation[active], at_shift[active]
        density, gradient, curvature = likelihoods(owner[active], *here)
        centre = centres[0][owner[active]], centres[1][owner[active]]
        density = density + add_priors(*here, *centre, precision, gradient, curvature)
        gain = density - best[active]
        up = gain > 0
        risen = active[up]
        best[risen], best_rotation[risen], best_shift[risen] = density[up], here[0][up], here[1][up]
        information[risen] = curvature[up]
        steps[risen], promise = _newton(gradient[up], curvature[up], limits)
        steps[active[~up]] *= 0.4
        ended = np.zeros(len(active), bool)
        ended[up] = (promise < 1e-3) | (gain[up] < 1e-3)
        active = active[~ended]
        if not len(active):
            break
        at_rotation[active] = rotate_batch(best_rotation[active], steps[active, :3])
        at_shift[active] = best_shift[active] + steps[active, 3:]
    return best, best_rotation, best_shift, information


def _newton(
    gradient: np.ndarray, information: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return steps no longer than the limits, and by how much the whole steps promise to rise."""
    damped = information.copy()
    damped[:, np.arange(6), np.arange(6)] *= 1 + 1e-6
    damped[:, np.arange(6), np.arange(6)] += 1e-12
    step = np.linalg.solve(damped, gradient[..., None])[..., 0]
    promise = 0.5 * (step * gradient).sum(axis=1)
    lengths = np.linalg.norm(step.reshape(-1, 2, 3), axis=2)
    shorter = (np.array(limits) / np.maximum(lengths, 1e-12)).min(axis=1)
    return step * np.minimum(1.0, shorter)[:, None], promise


def rotate_batch(rotations: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Return rotation @ exp([omega]x) of all (Rodrigues' formula)."""
    angle = np.linalg.norm(omega, axis=1)
    axis = omega / np.maximum(angle, 1e-12)[:, None]
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return rotations @ (np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross))


def add_priors(
    rotations: np.ndarray,
    shifts: np.ndarray,
    centre_rotations: np.ndarray,
    centre_shifts: np.ndarray,
    precision: np.ndarray,
    gradient: np.ndarray,
    information: np.ndarray,
) -> np.ndarray:
    """Return the log priors of poses and add their derivatives; see ``fourier_cpu.log_prior``."""
    off = shifts - centre_shifts
    total = -0.5 * precision[1] * (off**2).sum(axis=1)
    gradient[:, 3:] -= precision[1] * off
    information[:, np.arange(3, 6), np.arange(3, 6)] += precision[1]
    if precision[0] > 0:
        d = centre_rotations.transpose(0, 2, 1) @ rotations
        omega = 0.5 * np.stack([d[:, 2, 1] - d[:, 1, 2], d[:, 0, 2] - d[:, 2, 0], d[:, 1, 0] - d[:, 0, 1]], axis=1)
        sine = np.linalg.norm(omega, axis=1)
        angle = np.arctan2(sine, 0.5 * (np.trace(d, axis1=1, axis2=2) - 1))
        omega *= np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 1.0)[:, None]
        total -= 0.5 * precision[0] * (omega**2).sum(axis=1)
        gradient[:, :3] -= precision[0] * omega
        information[:, np.arange(3), np.arange(3)] += precision[0]
    return total
