"""Sums on the padded grid averaged with their neighbours, compiled."""

import numpy as np
from numba import njit

_QUARTERS = np.array([0.25, 0.5, 0.25])


@njit(nogil=True, cache=True, fastmath=True)
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
def average_neighbours(data, weights, share, slices, out_data, out_weights):
    """Fill slices of `out` with the grids, a `share` of them smoothed by 1/4, 1/2, 1/4 along every axis."""
    own = 1 - share
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
                near, near_mass = 2 * values[x] + before + after, 2 * masses[x] + before_mass + after_mass
                out_data[z, y, x] = own * data[z, y, x] + 0.25 * share * near
                out_weights[z, y, x] = own * weights[z, y, x] + 0.25 * share * near_mass
