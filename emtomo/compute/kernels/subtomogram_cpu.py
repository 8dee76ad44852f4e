"""CPU kernels of subtomograms: sums of all tilts, and from them the transforms of box and CTF volume."""

import math

import numpy as np
from numba import njit

F = np.float32
U = np.uintp
FIELDS = 4  # of a voxel of the sums: real part, imaginary part, |CTF|, transfer


@njit(nogil=True, cache=True, fastmath=True)
def collect_tilt(values, absolute, transfer, k, rotation, out, mates):
    """Put a tilt's image, |CTF| and transfer side by side, in the order in which :func:`sum_plane` takes them.

    Parameters
    ----------
    values : (s, s // 2 + 1) complex64 array
        In the order of ``rfft2``.
    absolute, transfer : float32 arrays of that shape
    k : (n, 2) int16 array
        Frequencies x, y, or their mates, as R.T k has x >= 0.
    rotation : (3, 3) float32 array
    out : (n, FIELDS) float32 array
    mates : (2 m + 1, 2 m + 1, FIELDS) float32 array
        Axes y, z of the plane x = 0: what the mates of these frequencies bring to it is added.
    """
    size, m, r, one = values.shape[0], mates.shape[0] // 2, rotation, F(1)
    for i in range(k.shape[0]):
        kx, ky = np.int64(k[i, 0]), np.int64(k[i, 1])
        sign = -1 if kx < 0 or (kx == 0 and ky < 0) else 1
        column, row = U(sign * kx), sign * ky
        line = U(row + size if row < 0 else row)
        part = F(0.5) if kx == 0 and ky == 0 else one  # frequency zero is its own mate
        v = values[line, column]
        re, im = part * v.real, F(sign) * part * v.imag
        w, t = part * absolute[line, column], part * transfer[line, column]
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = re, im, w, t
        x = r[0, 0] * F(kx) + r[1, 0] * F(ky)
        if x >= one:
            continue
        y, z = -(r[0, 1] * F(kx) + r[1, 1] * F(ky)) + F(m), -(r[0, 2] * F(kx) + r[1, 2] * F(ky)) + F(m)
        j0, k0 = np.int32(y), np.int32(z)
        b, c = y - F(j0), z - F(k0)
        for dy in range(2):
            for dz in range(2):
                f = (one - x) * (b if dy else one - b) * (c if dz else one - c)
                mate = mates[j0 + dy, k0 + dz]
                mate[0] += f * re
                mate[1] -= f * im
                mate[2] += f * w
                mate[3] += f * t


@njit(nogil=True, cache=True, fastmath=True)
def sum_plane(y, k, starts, rotations, tilts, values, here, above):
    """Add what lies between two planes of the sums to both.

    Parameters
    ----------
    y : int
        Frequency of the lower plane.
    k : (t, n, 2) int16 array
        As :func:`collect_tilt` takes them, of all tilts.
    starts : (t, 2 m + 2) int32 array
        Where in `k` those begin whose y, turned, is at least -m, -m + 1 ...
    rotations : (t, 3, 3) float32 array
    tilts : (s,) int array
        Those of the t that are added.
    values : (at least s, n, FIELDS) float32 array
        Of these, by :func:`collect_tilt`.
    here, above : (2 m + 1, m + 2, FIELDS) float32 arrays
        Axes z, x of the planes y and y + 1.
    """
    m, one = here.shape[0] // 2, F(1)
    # one index for all neighbours in a plane: indices along each axis took longer than the products
    low, high = here.reshape(here.size), above.reshape(above.size)
    along_z = U(here.shape[1] * FIELDS)
    for s in range(len(tilts)):
        t = tilts[s]
        r = rotations[t]
        for i in range(starts[t, y + m], starts[t, y + m + 1]):
            kx, ky = F(k[t, i, 0]), F(k[t, i, 1])
            x = r[0, 0] * kx + r[1, 0] * ky
            z = r[0, 2] * kx + r[1, 2] * ky
            i0, k0 = np.int32(x), np.int32(z + F(m))
            a, b, c = x - F(i0), r[0, 1] * kx + r[1, 1] * ky - F(y), z - F(k0 - m)
            re, im, w, v = values[s, i, 0], values[s, i, 1], values[s, i, 2], values[s, i, 3]
            p = U(k0) * along_z + U(i0) * U(FIELDS)
            for dz in range(2):
                f = c if dz else one - c
                left, right = f * (one - b) * (one - a), f * (one - b) * a
                low[p] += left * re
                low[p + U(1)] += left * im
                low[p + U(2)] += left * w
                low[p + U(3)] += left * v
                low[p + U(4)] += right * re
                low[p + U(5)] += right * im
                low[p + U(6)] += right * w
                low[p + U(7)] += right * v
                left, right = f * b * (one - a), f * b * a
                high[p] += left * re
                high[p + U(1)] += left * im
                high[p + U(2)] += left * w
                high[p + U(3)] += left * v
                high[p + U(4)] += right * re
                high[p + U(5)] += right * im
                high[p + U(6)] += right * w
                high[p + U(7)] += right * v
                p += along_z


@njit(nogil=True, cache=True, fastmath=True)
def insert_count(k, rotation, count):
    """Add how often the frequencies of a tilt count to (2 m + 1, 2 m + 1, m + 2) counts, axes y, z, x."""
    m, r, one = count.shape[0] // 2, rotation, F(1)
    for i in range(k.shape[0]):
        kx, ky = F(k[i, 0]), F(k[i, 1])
        x = r[0, 0] * kx + r[1, 0] * ky
        y, z = r[0, 1] * kx + r[1, 1] * ky + F(m), r[0, 2] * kx + r[1, 2] * ky + F(m)
        i0, j0, k0 = np.int32(x), np.int32(y), np.int32(z)
        a, b, c = x - F(i0), y - F(j0), z - F(k0)
        part = F(0.5) if kx == 0 and ky == 0 else one
        for dy in range(2):
            for dz in range(2):
                f = part * (b if dy else one - b) * (c if dz else one - c)
                count[j0 + dy, k0 + dz, i0] += f * (one - a)
                count[j0 + dy, k0 + dz, i0 + 1] += f * a


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")  # a check for zero would not be vector code
def divide_plane(plane, mates, count, y, limit, smallest, phase, values, transfer):
    """Fill a plane (z, x) of the transforms of a box and of its CTF volume, frequency zero first, as ``fft`` has it.

    Parameters
    ----------
    plane : (2 m + 1, m + 2, FIELDS) float32 array
        As :func:`sum_plane` makes it; the mates are added to it.
    mates : (2 m + 1, FIELDS) float32 array
        Of its line x = 0, as :func:`collect_tilt` makes them.
    count : (2 m + 1, m + 2) float32 array
        How many tilts reach every frequency, at most 1, with the mates; empty: sums are left as they are.
    y : int
        Frequency of the plane.
    limit : int
        Squared frequency from which on everything is zero.
    smallest : float
        Least sum of |CTF| that is divided by.
    phase : (2 s - 1,) complex64 array
        By which frequencies 1 - s to s - 1 along an axis shift the box to voxel 0.
    values, transfer : (2 s, columns) complex64 and float32 arrays
    """
    m, (rows, columns), divides = plane.shape[0] // 2, values.shape, count.size > 0
    last = rows // 2 - 1
    values[:], transfer[:] = 0, F(0)
    along, factor, least = phase[last:], np.ones(columns, F), F(smallest)
    for z in range(-last, last + 1):
        rest = limit - y * y - z * z
        if rest <= 0:
            continue
        sums, shift = plane[z + m], phase[y + last] * phase[z + last]
        sums[0] += mates[z + m]
        flat, row, square = sums.reshape(sums.size), values[z % rows], transfer[z % rows]
        reach = min(columns, int(math.ceil(math.sqrt(rest))))
        if divides:
            # a frequency that a part of one tilt reaches has that part of the divisor
            reached = count[z + m]
            for i in range(reach):
                x = U(i)
                absolute = flat[U(FIELDS) * x + U(2)]
                factor[x] = reached[x] / (absolute if absolute > least else least)
        for i in range(reach):
            x, p = U(i), U(FIELDS) * U(i)
            turn, f = shift * along[x], factor[x]
            re, im = f * flat[p], f * flat[p + U(1)]
            row[x] = complex(re * turn.real - im * turn.imag, re * turn.imag + im * turn.real)
            square[x] = f * flat[p + U(3)]


@njit(nogil=True, cache=True, fastmath=True)
def separate_pairs(pairs, shift, along, row, out):
    """Take inverse transforms of two real columns apart that were transformed as real and imaginary part of one.

    Parameters
    ----------
    pairs : (n, c) complex64 array
        z from zero on, columns.
    shift : complex64
        Of the row.
    along : (columns,) complex64 array
        Factors of the columns, of which one more may be in the pairs.
    row : int
    out : (planes, rows, columns) complex64 array
        Row `row` of the planes z = 0, -1 ... is written.
    """
    n, last, half = pairs.shape[0], len(along), F(0.5)
    for z in range(out.shape[0]):
        below, above, line = pairs[(n - z) % n], pairs[z], out[z, row]
        for i in range(pairs.shape[1]):
            u, v = below[i], above[i]
            line[2 * i] = complex(half * (u.real + v.real), half * (u.imag - v.imag)) * (shift * along[2 * i])
            if 2 * i + 1 < last:
                value = complex(half * (u.imag + v.imag), half * (v.real - u.real))
                line[2 * i + 1] = value * (shift * along[2 * i + 1])


@njit(nogil=True, cache=True)
def fold_plane(voxels, weak, factor, averages, out):
    """Fill a plane of a CTF volume in real space, voxel zero first, with its even part.

    Parameters
    ----------
    voxels : (2 c + 1, at least 2 c + 1) float32 array
        y, x from -c to c.
    weak : (2 c + 1,) float32 array
        Factors along both.
    factor : float32
    averages : bool
        Of an even size, -c and c are one voxel: their mean, else that at -c.
    out : (size, size) float32 array
        Its size is 2 c or 2 c + 1.
    """
    n, c = out.shape[0], out.shape[0] // 2
    for y in range(-c, n - c):
        row, line, f = voxels[y + c], out[y % n], factor * weak[y + c]
        for x in range(n - c):
            line[x] = f * weak[x + c] * row[x + c]
        for x in range(-c, 0):
            line[n + x] = f * weak[x + c] * row[x + c]
    if averages and n % 2 == 0:
        for i in range(-c, c):
            j, f = c if i == -c else i, F(0.5) * factor * weak[0] * weak[i + c]
            out[c, i % n] = f * (voxels[0, i + c] + voxels[2 * c, j + c])
            out[i % n, c] = f * (voxels[i + c, 0] + voxels[j + c, 2 * c])
