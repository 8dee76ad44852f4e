"""Newton ascent of the posterior density of poses: rotation, prior and the rule of a step, once for all backends.

A backend that works on one particle at a time calls :func:`take_step` from its compiled loop; one that works on many
calls :func:`take_steps` between two launches.
"""

import math

import numpy as np
from numba import njit

SUFFICIENT_GAIN = 1e-3  # of the log density, expected or made: less of it ends an ascent
SHORTENED = 0.4  # of a step that did not raise the density


@njit(nogil=True, cache=True)
def rotate(rotation, omega):
    """Return rotation @ exp([omega]x) as float64 (Rodrigues' formula)."""
    angle = math.sqrt(omega[0] ** 2 + omega[1] ** 2 + omega[2] ** 2)
    out = rotation.astype(np.float64)
    if angle < 1e-12:
        return out
    x, y, z = omega[0] / angle, omega[1] / angle, omega[2] / angle
    c, s = math.cos(angle), math.sin(angle)
    e = np.empty((3, 3))
    e[0, 0], e[0, 1], e[0, 2] = c + x * x * (1 - c), x * y * (1 - c) - z * s, x * z * (1 - c) + y * s
    e[1, 0], e[1, 1], e[1, 2] = y * x * (1 - c) + z * s, c + y * y * (1 - c), y * z * (1 - c) - x * s
    e[2, 0], e[2, 1], e[2, 2] = z * x * (1 - c) - y * s, z * y * (1 - c) + x * s, c + z * z * (1 - c)
    return out @ e


@njit(nogil=True, cache=True)
def rotate_many(rotations, omegas, out):
    """Fill `out` (n, 3, 3) with what :func:`rotate` returns for rotations (n, 3, 3) and omegas (n, 3)."""
    for i in range(len(out)):
        out[i] = rotate(rotations[i], omegas[i])


@njit(nogil=True, cache=True)
def add_log_prior(rotation, shift, centre_rotation, centre_shift, precision, gradient, information):
    """Return the log prior of a pose and add its derivatives.

    `precision` holds 1 / variance of a rotation (radians) and of a shift (voxels).
    """
    total = 0.0
    for a in range(3):
        off = shift[a] - centre_shift[a]
        total -= 0.5 * precision[1] * off * off
        gradient[3 + a] -= precision[1] * off
        information[3 + a, 3 + a] += precision[1]
    if precision[0] > 0:
        d = centre_rotation.T @ rotation
        # the rotation vector from the prior's centre, exact to third order of the angle
        omega = np.array([d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]]) * 0.5
        sine = math.sqrt((omega**2).sum())
        angle = math.atan2(sine, 0.5 * (d[0, 0] + d[1, 1] + d[2, 2] - 1.0))
        if sine > 1e-9:
            omega *= angle / sine
        for a in range(3):
            total -= 0.5 * precision[0] * omega[a] * omega[a]
            gradient[a] -= precision[0] * omega[a]
            information[a, a] += precision[0]
    return total


@njit(nogil=True, cache=True)
def take_step(ascents, p, log_likelihood, gradient, information, centre_rotation, centre_shift, precision, limits):
    """Judge the pose that ascent `p` has come to and move it on; return whether the ascent has ended.

    A pose that is better is kept, and a Newton step with the Fisher information leads on from it, no longer than
    `limits` (radians, voxels); after one that is not, the last step is shortened. `gradient` (6) and
    `information` (6, 6) are those of the log likelihood; the prior is added to them in place.
    """
    rotation, shift = ascents.rotation[p], ascents.shift[p]
    density = log_likelihood + add_log_prior(
        rotation, shift, centre_rotation, centre_shift, precision, gradient, information
    )
    step = ascents.step[p]
    ended = False
    if density > ascents.density[p]:
        gain = density - ascents.density[p]
        ascents.density[p] = density
        ascents.best_rotation[p], ascents.best_shift[p] = rotation, shift
        ascents.information[p] = information
        damped = information.copy()
        for a in range(6):
            damped[a, a] += 1e-6 * damped[a, a] + 1e-12
        step[:] = np.linalg.solve(damped, gradient)
        expected_gain = 0.5 * (step * gradient).sum()
        angle = math.sqrt((step[:3] ** 2).sum())
        distance = math.sqrt((step[3:] ** 2).sum())
        step *= min(1.0, min(limits[0] / max(angle, 1e-12), limits[1] / max(distance, 1e-12)))
        ended = expected_gain < SUFFICIENT_GAIN or gain < SUFFICIENT_GAIN
    else:
        step *= SHORTENED
    ascents.rotation[p] = rotate(ascents.best_rotation[p], step[:3])
    ascents.shift[p] = ascents.best_shift[p] + step[3:]
    return ended


@njit(nogil=True, cache=True)
def take_steps(
    ascents, poses, owner, log_likelihood, gradient, information, centre_rotations, centre_shifts, precision, limits,
    ended,
):  # fmt: skip
    """Do :func:`take_step` for many ascents and fill `ended`.

    `poses` (q) are their numbers, and whose poses they are ``owner[pose]``; `log_likelihood` (q), `gradient` (q, 6)
    and `information` (q, 6, 6) belong to them, the priors' centres to the owners.
    """
    for j in range(len(poses)):
        p = poses[j]
        b = owner[p]
        ended[j] = take_step(
            ascents, p, log_likelihood[j], gradient[j], information[j], centre_rotations[b], centre_shifts[b],
            precision, limits,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def find_distinct(rotations, shifts, information, group, new):
    """Fill `new` (n): whether no earlier new mode, or an equivalent of it, lies within one standard deviation."""
    step = np.empty(6)
    for i in range(len(rotations)):
        new[i] = True
        for j in range(i):
            if not new[j]:
                continue
            between = rotations[j].T.copy() @ rotations[i]
            largest = -2.0
            for g in range(len(group)):
                t = between @ group[g]
                trace = t[0, 0] + t[1, 1] + t[2, 2]
                if trace > largest:
                    largest = trace
                    step[0], step[1], step[2] = t[2, 1] - t[1, 2], t[0, 2] - t[2, 0], t[1, 0] - t[0, 1]
            step[:3] *= 0.5
            step[3:] = shifts[i] - shifts[j]
            # not on the far side of the sphere, where the sine is small too
            if largest > 1.0 and (step @ information[j] @ step) < 1.0:
                new[i] = False
                break
