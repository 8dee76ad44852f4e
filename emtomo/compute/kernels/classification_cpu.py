"""Kernels of 2D classification on the CPU: sections of padded references, searches about coarse poses, and class sums.

Images and sections are given as real and imaginary parts apart. Angles are counted in steps, of which `2 * angles` make
a full turn; only the sections of half a turn are kept, since half a turn more is the complex conjugate.
"""

import numpy as np
from numba import njit

NOTHING = -1e30  # less than any log likelihood
NEAR = 9  # shifts about a coarse one
LEAST_PROBABILITY = 1e-4  # against that of the best pose: less counts for nothing


@njit(cache=True, nogil=True)
def take_sections(padded, scale, cosine, sine, kx, ky, real, imag):
    """``out[a, i] = padded(R_a k_i)`` by bilinear interpolation; origin of the (2m+1, m+1) transform at [m, 0]."""
    m = padded.shape[0] // 2
    for a in range(len(cosine)):
        for i in range(len(kx)):
            x = scale * (cosine[a] * kx[i] - sine[a] * ky[i])
            y = scale * (sine[a] * kx[i] + cosine[a] * ky[i])
            sign = 1.0
            if x < 0:
                x, y, sign = -x, -y, -1.0
            ix, iy = int(np.floor(x)), int(np.floor(y))
            tx, ty = x - ix, y - iy
            iy += m
            v = (padded[iy, ix] * (1 - tx) + padded[iy, ix + 1] * tx) * (1 - ty) + (
                padded[iy + 1, ix] * (1 - tx) + padded[iy + 1, ix + 1] * tx
            ) * ty
            real[a, i] = v.real
            imag[a, i] = sign * v.imag


@njit(cache=True, nogil=True)
def insert_sections(real, imag, weight, scale, cosine, sine, kx, ky, data, weights):
    """Add sections and their weights to a padded transform: the transpose of :func:`take_sections`."""
    m = data.shape[0] // 2
    for a in range(len(cosine)):
        for i in range(len(kx)):
            x = scale * (cosine[a] * kx[i] - sine[a] * ky[i])
            y = scale * (sine[a] * kx[i] + cosine[a] * ky[i])
            v = complex(real[a, i], imag[a, i])
            if x < 0:
                x, y, v = -x, -y, v.conjugate()
            ix, iy = int(np.floor(x)), int(np.floor(y))
            tx, ty = x - ix, y - iy
            iy += m
            for jy, wy in ((iy, 1 - ty), (iy + 1, ty)):
                for jx, wx in ((ix, 1 - tx), (ix + 1, tx)):
                    data[jy, jx] += v * (wx * wy)
                    weights[jy, jx] += weight[a, i] * (wx * wy)


@njit(cache=True, nogil=True, fastmath=True)
def shift_images(real, imag, cosine, sine, out_real, out_imag):
    """``out[b, s] = y[b] exp(i phase[s])`` for the first frequencies."""
    for b in range(out_real.shape[0]):
        for s in range(out_real.shape[1]):
            for i in range(out_real.shape[2]):
                c, d = cosine[s, i], sine[s, i]
                out_real[b, s, i] = real[b, i] * c - imag[b, i] * d
                out_imag[b, s, i] = real[b, i] * d + imag[b, i] * c


@njit(cache=True, nogil=True, fastmath=True, forceinline=True)
def _keep_best(even, odd, factor, prior, shift, first, first_at, second, second_at):
    """Keep the best sums and differences, and their shift; without branches, so that vector instructions do it."""
    for c in range(len(even)):
        x, y = factor * even[c] + prior, factor * odd[c]
        plus, minus = x + y, x - y
        ahead = plus > first[c]
        first[c] = plus if ahead else first[c]
        first_at[c] = shift if ahead else first_at[c]
        ahead = minus > second[c]
        second[c] = minus if ahead else second[c]
        second_at[c] = shift if ahead else second_at[c]


@njit(cache=True, nogil=True, fastmath=True)
def choose_cells(even, odd, norm, shift_prior, log_share, fill, deep, value, cell, shift):
    """Find the most probable pairs of class and angle of every particle, each at its best shift.

    Parameters
    ----------
    even, odd : (b, s, K A) float32 arrays
        Products of real parts, and of imaginary parts, of shifted images and sections; their difference is the product
        with the sections half a turn on.
    norm : (b, K A) float32 array
    shift_prior : (s,) float32 array
    log_share : (K,) float32 array
    fill : float
        Factor of log likelihoods.
    deep : float
        How far below the best one a pair may lie.
    value, cell, shift : (b, c) arrays
        What is found, the best first; cells that are not wanted have the value NOTHING. Of 2 A cells of a class the
        second A are half a turn on.
    """
    count, cells = even.shape[0], even.shape[2]
    classes = len(log_share)
    angles = cells // classes
    most = value.shape[1]
    best = np.empty(2 * cells, np.float32)
    where = np.empty(2 * cells, np.int32)
    two = np.float32(2 * fill)
    for b in range(count):
        best[:] = NOTHING
        for s in range(even.shape[1]):
            _keep_best(
                even[b, s], odd[b, s], two, shift_prior[s], np.int32(s),
                best[:cells], where[:cells], best[cells:], where[cells:],
            )  # fmt: skip
        value[b] = NOTHING
        for half in range(2):
            for k in range(classes):
                for a in range(angles):
                    c = k * angles + a
                    v = best[half * cells + c] - fill * norm[b, c] + log_share[k]
                    if v <= value[b, most - 1]:
                        continue
                    j = most - 1
                    while j > 0 and value[b, j - 1] < v:
                        value[b, j], cell[b, j], shift[b, j] = value[b, j - 1], cell[b, j - 1], shift[b, j - 1]
                        j -= 1
                    value[b, j], cell[b, j], shift[b, j] = v, (2 * k + half) * angles + a, where[half * cells + c]
        for j in range(most):
            if value[b, j] < value[b, 0] - deep:
                value[b, j] = NOTHING


@njit(cache=True, nogil=True, fastmath=True, forceinline=True)
def _nine_products(real, imag, cosine, sine, section_real, section_imag, square, sign, near_cosine, near_sine, out):
    """Fill `out` with the products of an image, at nine shifts about a coarse one, and a section; return its norm."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = np.float32(0)
    norm = np.float32(0)
    c, s = near_cosine, near_sine
    for i in range(len(real)):
        zr = real[i] * cosine[i] - imag[i] * sine[i]
        zi = real[i] * sine[i] + imag[i] * cosine[i]
        sr, si = section_real[i], sign * section_imag[i]
        p, q = zr * sr + zi * si, zr * si - zi * sr
        norm += square[i] * (sr * sr + si * si)
        a0 += p * c[0, i] + q * s[0, i]
        a1 += p * c[1, i] + q * s[1, i]
        a2 += p * c[2, i] + q * s[2, i]
        a3 += p * c[3, i] + q * s[3, i]
        a4 += p * c[4, i] + q * s[4, i]
        a5 += p * c[5, i] + q * s[5, i]
        a6 += p * c[6, i] + q * s[6, i]
        a7 += p * c[7, i] + q * s[7, i]
        a8 += p * c[8, i] + q * s[8, i]
    out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7], out[8] = a0, a1, a2, a3, a4, a5, a6, a7, a8
    return norm


@njit(cache=True, nogil=True)
def _normalise(value, cell, shift, coarse, scores, high, share, posterior, best, found):
    """Turn one particle's scores into probabilities, find its class and pose; return its gain."""
    total, share[:] = 0.0, 0.0
    for j in range(len(value)):
        if value[j] <= NOTHING:
            continue
        for d in range(3):
            for t in range(NEAR):
                p = np.exp(scores[j, d, t] - high)
                if p < LEAST_PROBABILITY:
                    continue
                posterior[j, d, t] = p
                total += p
                share[cell[j] // (2 * coarse)] += p
    k = np.argmax(share)
    found[0] = share[k] / total
    top = np.float32(NOTHING)
    for j in range(len(value)):
        for d in range(3):
            for t in range(NEAR):
                posterior[j, d, t] /= total
                if value[j] <= NOTHING or cell[j] // (2 * coarse) != k or scores[j, d, t] <= top:
                    continue
                top = scores[j, d, t]
                best[0], best[2], best[3] = k, shift[j], t
                best[1] = (3 * (cell[j] % (2 * coarse)) + d - 1) % (6 * coarse)
    return high + np.log(total)


@njit(cache=True, nogil=True)
def search_near(
    real, imag, square, cosine, sine, near_cosine, near_sine, section_real, section_imag,
    near_prior, log_share, fill, value, cell, shift, row, conjugate, posterior, best, found, gain,
):  # fmt: skip
    """Score three angles and nine shifts about every chosen cell, and turn the scores into probabilities.

    Parameters
    ----------
    real, imag, square : (b, N) float32 arrays
        Weighted images, and weights: squared CTF over noise.
    cosine, sine : (s, N) float32 arrays
        Phases of the coarse shifts; `near_cosine`, `near_sine` (9, N) of those about them.
    section_real, section_imag : (K, F, N) float32 arrays
    near_prior : (s, 9) float32 array
    value, cell, shift : (b, c) arrays
        See :func:`choose_cells`.
    row : (b, c, 3) int32 array
        Out: class times F plus angle.
    conjugate : (b, c, 3) bool array
        Out: half a turn on.
    posterior : (b, c, 3, 9) float32 array
        Out.
    best : (b, 4) int32 array
        Out: class, fine angle, coarse shift, shift about it.
    found : (b,) float32 array
        Out: probability of the class.
    gain : (b,) float64 array
        Out: log likelihood over that of no particle at all.
    """
    classes, angles = section_real.shape[0], section_real.shape[1]
    coarse = angles // 3
    scores = np.empty((value.shape[1], 3, NEAR), np.float32)
    products = np.empty(NEAR, np.float32)
    share = np.empty(classes, np.float64)
    for b in range(value.shape[0]):
        high = np.float32(NOTHING)
        for j in range(value.shape[1]):
            posterior[b, j] = 0
            if value[b, j] <= NOTHING:
                continue
            k, a, s = cell[b, j] // (2 * coarse), cell[b, j] % (2 * coarse), shift[b, j]
            for d in range(3):
                f = (3 * a + d - 1) % (2 * angles)
                conjugate[b, j, d] = f >= angles
                row[b, j, d] = k * angles + f % angles
                sign = np.float32(-1 if f >= angles else 1)
                norm = _nine_products(
                    real[b], imag[b], cosine[s], sine[s], section_real[k, f % angles], section_imag[k, f % angles],
                    square[b], sign, near_cosine, near_sine, products,
                )  # fmt: skip
                for t in range(NEAR):
                    scores[j, d, t] = fill * (2 * products[t] - norm) + near_prior[s, t] + log_share[k]
                    high = max(high, scores[j, d, t])
        gain[b] = _normalise(
            value[b], cell[b], shift[b], coarse, scores, high, share, posterior[b], best[b], found[b : b + 1]
        )


@njit(cache=True, nogil=True)
def choose_poses(value, cell, shift, coarse, scores, classes, posterior, best, found, gain):
    """Do with scores (b, c, 3, 9) that were found elsewhere what :func:`search_near` does with its own."""
    share = np.empty(classes, np.float64)
    for b in range(value.shape[0]):
        high = np.float32(NOTHING)
        for j in range(value.shape[1]):
            if value[b, j] > NOTHING:
                high = max(high, scores[b, j].max())
        gain[b] = _normalise(
            value[b], cell[b], shift[b], coarse, scores[b], high, share, posterior[b], best[b], found[b : b + 1]
        )


@njit(cache=True, nogil=True, fastmath=True)
def add_rows(
    first, last, starts, particle, shift, conjugate, posterior, group, real, imag, square,
    cosine, sine, near_cosine, near_sine, section_real, section_imag, shell, data_real, data_imag, weight, cross, power,
):  # fmt: skip
    """Add images to the sums of some rows (class and angle), in the order of the entries.

    Entries `starts[r]` to `starts[r + 1]` belong to row r; each is a particle at a coarse shift, with the probabilities
    of nine shifts about it. `cross` and `power` (groups, shells) get the products of images and sections, and the
    sections' own, over the noise.
    """
    n = real.shape[1]
    c, s = np.empty(n, np.float32), np.empty(n, np.float32)
    for r in range(first, last):
        for e in range(starts[r], starts[r + 1]):
            b, t = particle[e], shift[e]
            c[:], s[:] = 0, 0
            total = np.float32(0)
            for j in range(NEAR):
                p = posterior[e, j]
                if p == 0:
                    continue
                total += p
                for i in range(n):
                    c[i] += p * near_cosine[j, i]
                    s[i] += p * near_sine[j, i]
            sign = np.float32(-1 if conjugate[e] else 1)
            for i in range(n):
                x = cosine[t, i] * c[i] - sine[t, i] * s[i]
                y = cosine[t, i] * s[i] + sine[t, i] * c[i]
                c[i] = real[b, i] * x - imag[b, i] * y
                s[i] = sign * (real[b, i] * y + imag[b, i] * x)
                data_real[r, i] += c[i]
                data_imag[r, i] += s[i]
                weight[r, i] += total * square[b, i]
                c[i] = c[i] * section_real[r, i] + s[i] * section_imag[r, i]
                s[i] = total * square[b, i] * (section_real[r, i] ** 2 + section_imag[r, i] ** 2)
            g = group[b]
            for i in range(n):
                cross[g, shell[i]] += c[i]
                power[g, shell[i]] += s[i]
