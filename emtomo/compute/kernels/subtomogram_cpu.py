"""CPU kernels of subtomograms: sums of all tilts, and from them the transforms of box and CTF volume."""

import math

import numpy as np
from numba import njit

from emtomo.compute.kernels.fourier import place

F = np.float32
U = np.uintp
FIELDS = 4  # of a voxel of the sums: real part, imaginary part, |CTF|, transfer
# the sums' first axis is y: a row of an image, tilted about y, stays within one plane, which fits into the cache


@njit(nogil=True, cache=True, fastmath=True)
def insert_tilt(k, values, absolute, transfer, rotation, sums):
    """Add an image, its |CTF| and its transfer to the voxels about the points R.T k.

    Parameters
    ----------
    k : (n, 3) float32 array
        Frequencies of the image.
    values : (n,) complex64 array
    absolute, transfer : (n,) float32 arrays
    rotation : (3, 3) float32 array
    sums : (2 m + 1, 2 m + 1, m + 2, FIELDS) float32 array
        Axes y, z, x.
    """
    m, r, zero, one = sums.shape[0] // 2, rotation, F(0), F(1)
    # one index for four neighbours: indices along each axis took longer than the products
    flat = sums.reshape(sums.size)
    along_z, along_y = U(sums.shape[2] * FIELDS), U(sums.shape[1] * sums.shape[2] * FIELDS)
    for i in range(k.shape[0]):
        kx, ky, kz = k[i, 0], k[i, 1], k[i, 2]
        x = r[0, 0] * kx + r[1, 0] * ky + r[2, 0] * kz
        y = r[0, 1] * kx + r[1, 1] * ky + r[2, 1] * kz
        z = r[0, 2] * kx + r[1, 2] * ky + r[2, 2] * kz
        sign = one
        if x < zero:
            x, y, z, sign = -x, -y, -z, -one
        i0, j0, k0 = np.int32(x), np.int32(y + F(m)), np.int32(z + F(m))
        a, b, c = x - F(i0), y - F(j0 - m), z - F(k0 - m)
        re, im, w, t = values[i].real, sign * values[i].imag, absolute[i], transfer[i]
        first = U(j0) * along_y + U(k0) * along_z + U(i0) * U(FIELDS)
        for q in range(4):
            f = (b if q & 1 else one - b) * (c if q & 2 else one - c)
            p = first + (along_y if q & 1 else U(0)) + (along_z if q & 2 else U(0))
            left, right = f * (one - a), f * a
            flat[p] += left * re
            flat[p + U(1)] += left * im
            flat[p + U(2)] += left * w
            flat[p + U(3)] += left * t
            flat[p + U(4)] += right * re
            flat[p + U(5)] += right * im
            flat[p + U(6)] += right * w
            flat[p + U(7)] += right * t


@njit(nogil=True, cache=True, fastmath=True)
def insert_count(k, once, rotation, count):
    """Add how often frequencies count to (2 m + 1, 2 m + 1, m + 2) counts, as :func:`insert_tilt` adds an image."""
    m, r, one = count.shape[0] // 2, rotation, F(1)
    for i in range(k.shape[0]):
        kx, ky, kz, n = k[i, 0], k[i, 1], k[i, 2], once[i]
        _, x, y, z, a, b, c = place(
            m,
            r[0, 0] * kx + r[1, 0] * ky + r[2, 0] * kz,
            r[0, 1] * kx + r[1, 1] * ky + r[2, 1] * kz,
            r[0, 2] * kx + r[1, 2] * ky + r[2, 2] * kz,
        )
        for dy in range(2):
            for dz in range(2):
                f = n * (b if dy else one - b) * (c if dz else one - c)
                count[y + dy, z + dz, x] += f * (one - a)
                count[y + dy, z + dz, x + 1] += f * a


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
def divide_plane(sums, count, y, limit, smallest, values, transfer):
    """Fill a plane (z, x) of the transforms of a box and of its CTF volume, frequency zero first, as ``fft`` has it.

    Parameters
    ----------
    sums : (2 m + 1, 2 m + 1, m + 2, FIELDS) float32 array
        As :func:`insert_tilt` makes them, without the mates in the plane x = 0.
    count : (2 m + 1, 2 m + 1, m + 2) float32 array
        How many tilts reach every frequency, at most 1, with the mates; empty: sums are left as they are.
    y : int
        Frequency of the plane, -m to m.
    limit : float
        Squared frequency from which on everything is zero.
    smallest : float
        Least sum of |CTF| that is divided by.
    values, transfer : (n, columns) complex64 and float32 arrays
    """
    m, last, zero = sums.shape[0] // 2, sums.shape[0] - 1, F(0)
    rows, columns = values.shape
    divides = count.size > 0
    values[:], transfer[:] = 0, zero
    for z in range(max(-m, -((rows - 1) // 2)), min(m, (rows - 1) // 2) + 1):
        plane, line = sums[y + m, z + m], z % rows
        for x in range(columns):
            if x * x + y * y + z * z >= limit:
                break
            re, im, absolute, square = plane[x, 0], plane[x, 1], plane[x, 2], plane[x, 3]
            if x == 0:
                mate = sums[last - y - m, last - z - m, 0]
                re, im, absolute, square = re + mate[0], im - mate[1], absolute + mate[2], square + mate[3]
            if divides:
                # a frequency that a part of one tilt reaches has that part of the divisor
                factor = count[y + m, z + m, x] / max(absolute, F(smallest))
                re, im, square = re * factor, im * factor, square * factor
            values[line, x] = complex(re, im)
            transfer[line, x] = square
