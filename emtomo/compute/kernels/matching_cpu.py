"""CPU drivers of template matching."""

import numpy as np
from numba import njit

from emtomo.compute.kernels.matching import better, sample_at

F = np.float32
U = np.uintp


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def product(flat, m, wide, scale, rotation, spectrum, spans, out):
    """Fill `out` with the spectrum times the conjugate of the turned template's transform.

    `spectrum` and `out` (z, y, 2 x) hold real and imaginary parts side by side; `scale` (x, y, z) takes indices of
    frequency to voxels of the stored transform; `spans` (z, y, 2) says where in a row the spectrum is not zero.
    """
    nz, ny, nx = spectrum.shape
    r = rotation
    ax, ay, az = r[0, 0] * scale[0], r[0, 1] * scale[0], r[0, 2] * scale[0]
    for k in range(nz):
        z = F(k if 2 * k < nz else k - nz) * scale[2]
        for j in range(ny):
            y = F(j if 2 * j < ny else j - ny) * scale[1]
            first, last = spans[k, j, 0], spans[k, j, 1]
            bx, by, bz = r[1, 0] * y + r[2, 0] * z, r[1, 1] * y + r[2, 1] * z, r[1, 2] * y + r[2, 2] * z
            here, row = out[k, j], spectrum[k, j]
            here[: 2 * first] = F(0)
            for i in range(first, last):
                x = F(i)
                re, im = sample_at(flat, m, wide, ax * x + bx, ay * x + by, az * x + bz)
                fr, fi = row[U(2 * i)], row[U(2 * i + 1)]
                here[U(2 * i)] = re * fr + im * fi
                here[U(2 * i + 1)] = re * fi - im * fr
            here[2 * last :] = F(0)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def keep_best(score, first, factor, number, place, best, which):
    """Keep in `best` and `which` the largest scores so far and their numbers.

    Rows of `score` begin at `first`; `place` says which rows and columns (from, to, from, to) they are of.
    """
    for k in range(best.shape[0]):
        for j in range(place[0], place[1]):
            b, w = best[k, j, place[2] : place[3]], which[k, j, place[2] : place[3]]
            here = score[k, j - place[0], first : first + b.size]
            for i in range(b.size):
                b[i], w[i] = better(here[i] * factor, number, b[i], w[i])


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def keep_best_guided(score, first, factor, number, place, kind, allowed, best, which):
    """Do as :func:`keep_best` where the voxel's kind allows this orientation."""
    for k in range(best.shape[0]):
        for j in range(place[0], place[1]):
            here, b, w, of = score[k, j - place[0]], best[k, j], which[k, j], kind[k, j]
            for i in range(place[2], place[3]):
                if allowed[of[i]]:
                    b[i], w[i] = better(here[U(i - place[2] + first)] * factor, number, b[i], w[i])


@njit(nogil=True, cache=True, fastmath=True)
def norm(flat, m, wide, pad, k, weight, rotation):
    """Return the sum over `k` of weight |turned template|^2."""
    r = rotation
    total = 0.0
    for i in range(k.shape[0]):
        x, y, z = k[i, 0] * pad, k[i, 1] * pad, k[i, 2] * pad
        re, im = sample_at(
            flat,
            m,
            wide,
            r[0, 0] * x + r[1, 0] * y + r[2, 0] * z,
            r[0, 1] * x + r[1, 1] * y + r[2, 1] * z,
            r[0, 2] * x + r[1, 2] * y + r[2, 2] * z,
        )
        total += weight[i] * (re * re + im * im)
    return total
