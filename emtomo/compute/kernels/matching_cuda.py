"""CUDA drivers of template matching: the same bodies, one thread a frequency or a voxel."""

import numpy as np
from numba import cuda

from emtomo.compute.kernels.matching import better, sample_at

THREADS = 256
ZERO = np.float32(0.0)


@cuda.jit
def product_cuda(flat, m, wide, scale, rotations, number, spectrum, spans, out):
    """Fill `out` as ``matching_cpu.product`` does, for rotation `number`."""
    task = cuda.grid(1)
    nz, ny, nx = spectrum.shape[0], spectrum.shape[1], spectrum.shape[2] // 2
    if task >= nz * ny * nx:
        return
    i = task % nx
    j = (task // nx) % ny
    k = task // (nx * ny)
    if i < spans[k, j, 0] or i >= spans[k, j, 1]:
        out[k, j, 2 * i] = ZERO
        out[k, j, 2 * i + 1] = ZERO
        return
    r = rotations[number]
    x = np.float32(i) * scale[0]
    y = np.float32(j if 2 * j < ny else j - ny) * scale[1]
    z = np.float32(k if 2 * k < nz else k - nz) * scale[2]
    re, im = sample_at(
        flat,
        m,
        wide,
        r[0, 0] * x + r[1, 0] * y + r[2, 0] * z,
        r[0, 1] * x + r[1, 1] * y + r[2, 1] * z,
        r[0, 2] * x + r[1, 2] * y + r[2, 2] * z,
    )
    fr, fi = spectrum[k, j, 2 * i], spectrum[k, j, 2 * i + 1]
    out[k, j, 2 * i] = re * fr + im * fi
    out[k, j, 2 * i + 1] = re * fi - im * fr


@cuda.jit
def keep_best_cuda(score, offset, factor, number, kind, allowed, best, which):
    """Keep in `best` and `which` of a tile the largest scores so far and their numbers.

    `offset` (z, y, x) is where the tile lies in `score`; a row of `allowed` has one entry where nothing guides.
    """
    task = cuda.grid(1)
    nz, ny, nx = best.shape
    if task >= nz * ny * nx:
        return
    i = task % nx
    j = (task // nx) % ny
    k = task // (nx * ny)
    if allowed.shape[1] > 1 and not allowed[number, kind[k, j, i]]:
        return
    value = score[k + offset[0], j + offset[1], i + offset[2]] * factor
    best[k, j, i], which[k, j, i] = better(value, number, best[k, j, i], which[k, j, i])
