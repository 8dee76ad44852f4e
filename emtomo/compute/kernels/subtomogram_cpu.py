"""CPU kernels of subtomograms: sums of all tilts, and from them the transforms of box and CTF volume."""

import math

import numpy as np
from numba import njit

from emtomo.compute.kernels.fourier import place

F = np.float32
U = np.uintp
FIELDS = 5  # of a voxel of the sums: real part, imaginary part, |CTF|, transfer, count
# the sums' first axis is y: a row of an image, tilted about y, stays within one plane, which fits into the cache


@njit(nogil=True, cache=True, fastmath=True)
def _add(sums, y, z, x, f, re, im, absolute, transfer, count):
    """Add to the five sums of a voxel, which lie side by side."""
    sums[y, z, x, U(0)] += f * re
    sums[y, z, x, U(1)] += f * im
    sums[y, z, x, U(2)] += f * absolute
    sums[y, z, x, U(3)] += f * transfer
    sums[y, z, x, U(4)] += f * count


@njit(nogil=True, cache=True, fastmath=True)
def insert_tilt(k, values, absolute, transfer, count, rotation, sums):
    """Add an image, its |CTF|, its transfer and how often it counts to the voxels about the points R.T k.

    Parameters
    ----------
    k : (n, 3) float32 array
        Frequencies of the image.
    values : (n,) complex64 array
    absolute, transfer, count : (n,) float32 arrays
    rotation : (3, 3) float32 array
    sums : (2 m + 1, 2 m + 1, m + 2, FIELDS) float32 array
        Axes y, z, x.
    """
    m, r, one = sums.shape[0] // 2, rotation, F(1)
    for i in range(k.shape[0]):
        kx, ky, kz = k[i, 0], k[i, 1], k[i, 2]
        sign, px, py, pz, a, b, c = place(
            m,
            r[0, 0] * kx + r[1, 0] * ky + r[2, 0] * kz,
            r[0, 1] * kx + r[1, 1] * ky + r[2, 1] * kz,
            r[0, 2] * kx + r[1, 2] * ky + r[2, 2] * kz,
        )
        re, im, w, t, n = values[i].real, sign * values[i].imag, absolute[i], transfer[i], count[i]
        x0, y0, z0, x1, y1, z1 = U(px), U(py), U(pz), U(px + 1), U(py + 1), U(pz + 1)
        a0, b0, c0 = one - a, one - b, one - c
        _add(sums, y0, z0, x0, c0 * b0 * a0, re, im, w, t, n)
        _add(sums, y0, z0, x1, c0 * b0 * a, re, im, w, t, n)
        _add(sums, y1, z0, x0, c0 * b * a0, re, im, w, t, n)
        _add(sums, y1, z0, x1, c0 * b * a, re, im, w, t, n)
        _add(sums, y0, z1, x0, c * b0 * a0, re, im, w, t, n)
        _add(sums, y0, z1, x1, c * b0 * a, re, im, w, t, n)
        _add(sums, y1, z1, x0, c * b * a0, re, im, w, t, n)
        _add(sums, y1, z1, x1, c * b * a, re, im, w, t, n)


@njit(nogil=True, cache=True)
def clear_sums(sums, radius):
    """Set what :func:`insert_tilt` reaches from frequencies within a radius to zero: half of the array."""
    m, most = sums.shape[0] // 2, (radius + 2) ** 2  # neighbours of a point lie less than two voxels away
    for y in range(-m, m + 1):
        for z in range(-m, m + 1):
            rest = most - y * y - z * z
            if rest > 0:
                sums[y + m, z + m, : int(math.sqrt(rest)) + 1] = 0


@njit(nogil=True, cache=True)
def divide_plane(sums, y, limit, smallest, premultiplied, values, transfer):
    """Fill a plane (z, x) of the transforms of a box and of its CTF volume, frequency zero first, as ``fft`` has it.

    Parameters
    ----------
    sums : (2 m + 1, 2 m + 1, m + 2, FIELDS) float32 array
        As :func:`insert_tilt` makes them, without the mates in the plane x = 0.
    y : int
        Frequency of the plane, -m to m.
    limit : float
        Squared frequency from which on everything is zero.
    smallest : float
        Least sum of |CTF| that is divided by.
    premultiplied : bool
        Sums are left as they are.
    values, transfer : (n, columns) complex64 and float32 arrays
    """
    m, last, zero, one = sums.shape[0] // 2, sums.shape[0] - 1, F(0), F(1)
    rows, columns = values.shape
    values[:], transfer[:] = 0, zero
    for z in range(max(-m, -((rows - 1) // 2)), min(m, (rows - 1) // 2) + 1):
        plane, line = sums[y + m, z + m], z % rows
        for x in range(columns):
            if x * x + y * y + z * z >= limit:
                break
            re, im, absolute = plane[x, 0], plane[x, 1], plane[x, 2]
            square, count = plane[x, 3], plane[x, 4]
            if x == 0:
                mate = sums[last - y - m, last - z - m, 0]
                re, im, absolute = re + mate[0], im - mate[1], absolute + mate[2]
                square, count = square + mate[3], count + mate[4]
            if not premultiplied:
                # a frequency that a part of one tilt reaches has that part of the divisor
                factor = min(count, one) / max(absolute, F(smallest)) if count > zero else zero
                re, im, square = re * factor, im * factor, square * factor
            values[line, x] = complex(re, im)
            transfer[line, x] = square
