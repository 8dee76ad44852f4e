"""CPU drivers of what is done to a tilt image before back-projection: borders, weights, CTF, sampling.

Each works on one image in one thread and lets others work beside it.
"""

import math

import numpy as np
from numba import njit

F = np.float32


@njit(nogil=True, cache=True, fastmath=True)
def sum_rows(image, around, sums):
    """Fill `sums` (rows, 2) with the sum of every row of an image less `around`, and that of the squares."""
    for row in range(image.shape[0]):
        line, first, second = image[row], 0.0, 0.0
        for start in range(0, len(line), 256):  # single precision keeps its digits in short runs
            total, squares = F(0), F(0)
            for column in range(start, min(start + 256, len(line))):
                value = F(line[column]) - around
                total += value
                squares += value * value
            first += float(total)
            second += float(squares)
        sums[row, 0], sums[row, 1] = first, second


@njit(nogil=True, cache=True, fastmath=True)
def fade_borders(image, mean, factor, down, across, out):
    """Fill `out` with `factor` times an image less its mean, times weights of every row and column."""
    for row in range(image.shape[0]):
        line, scale, to = image[row], factor * down[row], out[row]
        for column in range(len(line)):
            to[column] = (F(line[column]) - mean) * (scale * across[column])


@njit(cache=True, fastmath=True, forceinline=True)
def _look_up(table, at):
    """Return a table's value between its entries, the last one beyond its end."""
    i = int(at)
    if i >= len(table) - 1:
        return table[len(table) - 1]
    return table[i] + (at - F(i)) * (table[i + 1] - table[i])


@njit(nogil=True, cache=True, fastmath=True)
def weigh_spectrum(values, kx, ky, directions, radial, directional, steps, out):
    """Fill `out` with a spectrum times weights by radius and by the distances along two directions.

    `directions` (2, 2) float32 are unit vectors x, y; `radial` (n) and `directional` (2, n) float32 tables, whose
    entries lie `steps` (1/Å: radial, directional) apart.
    """
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            x, y = kx[column], ky[row]
            w = _look_up(radial, np.sqrt(x * x + y * y) / steps[0])
            if w == F(0):
                out[row, column] = 0
                continue
            for d in range(2):
                w *= _look_up(directional[d], abs(x * directions[d, 0] + y * directions[d, 1]) / steps[1])
            out[row, column] = values[row, column] * w


@njit(cache=True, fastmath=True, forceinline=True)
def _wave(phase):
    """Return sine and cosine in single precision of a phase in double."""
    turn = F(phase - 2 * math.pi * math.floor(phase / (2 * math.pi)))
    return np.sin(turn), np.cos(turn)


@njit(nogil=True, cache=True, fastmath=True)
def resample_spectrum(values, places, kx, ky, down, across, phase, step, kind, noise, spacing, out):
    """Fill `out` (slab, rows, columns) with a spectrum for images of other sizes, times the CTF of every slab.

    Its row i is row places[i] of `values`, or 0 where that is negative. `down` and `across` are weights of every row
    and column of `out`. The CTF of the first slab is the sine of phase[0] (x² + y²) + phase[1] (x² - y²) + phase[2] x y
    - phase[3] (x² + y²)² + phase[4]; that of the next one has `step` (x² + y²) more of phase. `kind` says what is
    multiplied with: 1, the CTF, its sign, or CTF / (CTF² + noise) with `noise` by radius every `spacing` 1/Å (0 to 3).
    """
    slabs, rows, columns = out.shape
    most = min(columns, values.shape[1])
    for row in range(rows):
        for k in range(slabs):
            out[k, row] = 0
        place = places[row]
        if place < 0:
            continue
        source, y = values[place], ky[place]
        for column in range(most):
            value = source[column] * (down[row] * across[column])
            if value == 0:
                continue
            if kind == 0:
                out[0, row, column] = value
                continue
            x = kx[column]
            k2 = x * x + y * y
            s, c = _wave(phase[0] * k2 + phase[1] * (x * x - y * y) + phase[2] * x * y - phase[3] * k2 * k2 + phase[4])
            ds, dc = _wave(step * k2) if slabs > 1 else (F(0), F(1))
            below = _look_up(noise, F(np.sqrt(k2)) / spacing) if kind == 3 else F(0)
            for k in range(slabs):
                if kind == 1:
                    out[k, row, column] = value * s
                elif kind == 2:
                    out[k, row, column] = value if s >= 0 else -value
                else:
                    out[k, row, column] = value * (s / (s * s + below))
                s, c = s * dc + c * ds, c * dc - s * ds


@njit(cache=True, fastmath=True, forceinline=True)
def _place_line(nodes, s, step, columns, rows, at, fractions, keep):
    """Fill places of a line of samples in flattened coefficients, fractions along u and v, and 0 where outside."""
    i, ny = s // step, len(at)
    a = F(s - i * step) / F(step)
    for j in range((ny + step - 1) // step):
        low_u = nodes[i, j, 0] + a * (nodes[i + 1, j, 0] - nodes[i, j, 0])
        low_v = nodes[i, j, 1] + a * (nodes[i + 1, j, 1] - nodes[i, j, 1])
        du = (nodes[i, j + 1, 0] + a * (nodes[i + 1, j + 1, 0] - nodes[i, j + 1, 0]) - low_u) / F(step)
        dv = (nodes[i, j + 1, 1] + a * (nodes[i + 1, j + 1, 1] - nodes[i, j + 1, 1]) - low_v) / F(step)
        for y in range(j * step, min(j * step + step, ny)):
            u, v = low_u + F(y - j * step) * du, low_v + F(y - j * step) * dv
            inside = u >= F(1) and v >= F(1) and u < F(columns - 2) and v < F(rows - 2)
            u, v = min(max(u, F(1)), F(columns - 3)), min(max(v, F(1)), F(rows - 3))
            p, q = np.int32(u), np.int32(v)
            fractions[0, y], fractions[1, y] = u - F(p), v - F(q)
            keep[y] = F(1) if inside else F(0)
            at[y] = (q - np.int32(1)) * np.int32(columns) + p - np.int32(1)


@njit(cache=True, fastmath=True, forceinline=True)
def _spline_weights(f):
    """Return the weights of the cubic B-spline at a fraction."""
    g = F(1) - f
    sixth = F(1 / 6)
    return (
        sixth * g * g * g,
        sixth * (F(4) - F(3) * f * f * (F(2) - f)),
        sixth * (F(4) - F(3) * g * g * (F(2) - g)),
        sixth * f * f * f,
    )


@njit(nogil=True, cache=True, fastmath=True)
def sample_spline(coefficients, nodes, step, first, last, out):
    """Fill lines `first` to `last` of `out` (u, y) with a cubic B-spline's values, zero outside.

    `coefficients` (v, u) are the spline's; `nodes` (gu, gy, 2) float32 the places (u, v in their pixels) every `step`
    samples of `out`.
    """
    rows, columns = coefficients.shape
    c, ny = coefficients.ravel(), out.shape[1]
    for s in range(first, last):
        at, fractions, keep = np.empty(ny, np.int32), np.empty((2, ny), np.float32), np.empty(ny, np.float32)
        _place_line(nodes, s, step, columns, rows, at, fractions, keep)
        line = out[s]
        for y in range(ny):
            w0, w1, w2, w3 = _spline_weights(fractions[0, y])
            h0, h1, h2, h3 = _spline_weights(fractions[1, y])
            # unsigned, or negative places would be looked for
            i = np.uint64(at[y])
            j = i + np.uint64(columns)
            k = j + np.uint64(columns)
            m = k + np.uint64(columns)
            line[y] = keep[y] * (
                w0 * (h0 * c[i] + h1 * c[j] + h2 * c[k] + h3 * c[m])
                + w1 * (h0 * c[i + 1] + h1 * c[j + 1] + h2 * c[k + 1] + h3 * c[m + 1])
                + w2 * (h0 * c[i + 2] + h1 * c[j + 2] + h2 * c[k + 2] + h3 * c[m + 2])
                + w3 * (h0 * c[i + 3] + h1 * c[j + 3] + h2 * c[k + 3] + h3 * c[m + 3])
            )


@njit(nogil=True, cache=True)
def take_samples(image, across, along, transposed, first, last, out):
    """Fill lines `first` to `last` of `out` (u, y) with samples of an image, zero where a place is negative.

    `across` (u) and `along` (y) are places in the rows and columns of the image, or in its columns and rows.
    """
    block, ny = 16, out.shape[1]
    for start in range(first, last, block):
        stop = min(start + block, last)
        for y in range(ny):
            j = along[y]
            for u in range(start, stop):
                i = across[u]
                if i < 0 or j < 0:
                    out[u, y] = F(0)
                elif transposed:
                    out[u, y] = image[j, i]
                else:
                    out[u, y] = image[i, j]
