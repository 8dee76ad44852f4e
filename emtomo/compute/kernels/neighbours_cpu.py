"""Sums on the padded grid beside those about them, compiled."""

import numpy as np
from numba import njit

_QUARTERS = np.array([0.25, 0.5, 0.25])


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _rows(data, weights, z, y, sign, values, masses):
    """Add up the nine rows about (z, y), or about its mate, along x."""
    n, m = data.shape[0], data.shape[0] // 2
    values[:] = 0
    masses[:] = 0
    for dz in range(-1, 2):
        k = m + sign * (z + dz - m)
        if k < 0 or k >= n:
            continue
        for dy in range(-1, 2):
            j = m + sign * (y + dy - m)
            if j < 0 or j >= n:
                continue
            factor = _QUARTERS[dz + 1] * _QUARTERS[dy + 1]
            for x in range(values.shape[0]):
                values[x] += factor * data[k, j, x]
                masses[x] += factor * weights[k, j, x]


@njit(nogil=True, cache=True, fastmath=True)
def average_neighbours(data, weights, slices, out_data, out_weights):
    """Fill slices of `out` with the grids smoothed by 1/4, 1/2, 1/4 along every axis."""
    n, wide = data.shape[0], data.shape[2]
    values, masses = np.zeros(wide, np.complex128), np.zeros(wide)
    mate, mate_mass = np.zeros(2, np.complex128), np.zeros(2)
    for z in slices:
        for y in range(n):
            _rows(data, weights, z, y, -1, mate, mate_mass)
            _rows(data, weights, z, y, 1, values, masses)
            for x in range(wide):
                before = values[x - 1] if x else mate[1].conjugate()
                before_mass = masses[x - 1] if x else mate_mass[1]
                after = values[x + 1] if x + 1 < wide else 0j
                after_mass = masses[x + 1] if x + 1 < wide else 0.0
                out_data[z, y, x] = 0.25 * (2 * values[x] + before + after)
                out_weights[z, y, x] = 0.25 * (2 * masses[x] + before_mass + after_mass)


@njit(nogil=True, cache=True)
def sum_shells(weights, shells, slices, out):
    """Add the number of voxels and their weights to `out` (shells, 2); `shells` is known by the squared radius."""
    n, m = weights.shape[0], weights.shape[0] // 2
    for z in slices:
        for y in range(n):
            plane = (z - m) ** 2 + (y - m) ** 2
            for x in range(weights.shape[2]):
                s = shells[plane + x * x]
                if s < out.shape[0]:
                    out[s, 0] += 1
                    out[s, 1] += weights[z, y, x]


@njit(nogil=True, cache=True)
def residual_moments(data, weights, near_data, near_weights, shells, floor, slices, out):
    """Add up, in every shell, what a least-squares line of squared residuals in weights needs.

    The residual is e = d - w b, b what the neighbours say. `out` (shells, 6): number, w, w^2, |e|^2, |e|^2 / w and
    w^2 |b|^2.
    """
    n, m = data.shape[0], data.shape[0] // 2
    for z in slices:
        for y in range(n):
            plane = (z - m) ** 2 + (y - m) ** 2
            for x in range(data.shape[2]):
                s, w = shells[plane + x * x], weights[z, y, x]
                if s >= out.shape[0] or w <= floor[s]:
                    continue
                b = near_data[z, y, x] / max(near_weights[z, y, x], floor[s])
                e = data[z, y, x] - w * b
                square = e.real * e.real + e.imag * e.imag
                row = out[s]
                row[0] += 1
                row[1] += w
                row[2] += w * w
                row[3] += square
                row[4] += square / w
                row[5] += w * w * (b.real * b.real + b.imag * b.imag)


@njit(nogil=True, cache=True)
def divide(data, weights, near_data, near_weights, shells, floor, share, prior, slices, own, smooth):
    """Fill slices of `own` and `smooth`, which add up to the estimate where smoothing has no window.

    The estimate is (d + x D) / (w + x W), D and W the neighbours' and x the shell's `share`; `smooth` is x / (1 + x) of
    D / W, `own` the rest.
    """
    n, m = data.shape[0], data.shape[0] // 2
    for z in slices:
        for y in range(n):
            plane = (z - m) ** 2 + (y - m) ** 2
            for x in range(data.shape[2]):
                s = shells[plane + x * x]
                if s >= share.shape[0]:
                    own[z, y, x] = 0
                    smooth[z, y, x] = 0
                    continue
                theirs = share[s] / (1 + share[s])
                mass = max(near_weights[z, y, x], floor[s])
                both = max((1 - theirs) * weights[z, y, x] + theirs * mass, floor[s])
                near = theirs * near_data[z, y, x]
                part = near / (mass + prior[s])
                smooth[z, y, x] = part
                own[z, y, x] = ((1 - theirs) * data[z, y, x] + near) / (both + prior[s]) - part
