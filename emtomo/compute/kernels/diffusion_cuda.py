"""CUDA drivers of the diffusion schemes: the same bodies, one thread a voxel."""

import math

import numpy as np
from numba import cuda

from emtomo.compute.kernels.diffusion import (
    beltrami_voxel,
    divergence_voxel,
    products_voxel,
    tensor_voxel,
)

BLOCK = (32, 4, 2)


def grid_of(shape):
    """Return the CUDA grid (x, y, z) that covers a (z, y, x) volume."""
    return tuple((n + b - 1) // b for n, b in zip(shape[::-1], BLOCK, strict=True))


@cuda.jit
def beltrami_cuda(v, step4, out):
    """Do one explicit step of Beltrami flow from `v` to `out`."""
    x, y, z = cuda.grid(3)
    nz, ny, nx = v.shape
    if z < nz and y < ny and x < nx:
        zm, zp, ym, yp = max(z - 1, 0), min(z + 1, nz - 1), max(y - 1, 0), min(y + 1, ny - 1)
        out[z, y, x] = beltrami_voxel(v, z, zm, zp, y, ym, yp, x, max(x - 1, 0), min(x + 1, nx - 1), step4)


@cuda.jit
def tensor_cuda(v, inverse_k2, linear, tensor):
    """Fill `tensor` (z, 6, y, x) with the diffusion tensor of every voxel."""
    x, y, z = cuda.grid(3)
    nz, ny, nx = v.shape
    if z >= nz or y >= ny or x >= nx:
        return
    zero = np.float32(0)
    a, b, c, d, e, f = zero, zero, zero, zero, zero, zero
    for dz in range(-1, 2):
        k = min(max(z + dz, 0), nz - 1)
        for dy in range(-1, 2):
            j = min(max(y + dy, 0), ny - 1)
            for dx in range(-1, 2):
                i = min(max(x + dx, 0), nx - 1)
                p, q, r, s, t, u = products_voxel(
                    v, k, max(k - 1, 0), min(k + 1, nz - 1), j, max(j - 1, 0), min(j + 1, ny - 1),
                    i, max(i - 1, 0), min(i + 1, nx - 1),
                )  # fmt: skip
                a, b, c, d, e, f = a + p, b + q, c + r, d + s, e + t, f + u
    p, q, r, s, t, u = tensor_voxel(a, b, c, d, e, f, inverse_k2, linear)
    tensor[z, 0, y, x], tensor[z, 1, y, x], tensor[z, 2, y, x] = p, q, r
    tensor[z, 3, y, x], tensor[z, 4, y, x], tensor[z, 5, y, x] = s, t, u


@cuda.jit
def flow_cuda(v, step, tensor, out):
    """Do one explicit step from `v` to `out` with the diffusion tensor of every voxel."""
    x, y, z = cuda.grid(3)
    nz, ny, nx = v.shape
    if z < nz and y < ny and x < nx:
        zm, zp, ym, yp = max(z - 1, 0), min(z + 1, nz - 1), max(y - 1, 0), min(y + 1, ny - 1)
        xm, xp = max(x - 1, 0), min(x + 1, nx - 1)
        out[z, y, x] = v[z, y, x] + step * divergence_voxel(
            v, z, zm, zp, y, ym, yp, x, xm, xp,
            tensor[zm], tensor[z], tensor[zp], y, ym, yp, x, xm, xp,
        )  # fmt: skip


@cuda.jit
def gradient_sums_cuda(v, stride, partial):
    """Fill `partial` (slices, x) with the sums along y of |∇I| over every `stride`-th slice, one thread a column."""
    x, n = cuda.grid(2)
    nz, ny, nx = v.shape
    if n >= partial.shape[0] or x >= nx:
        return
    z = n * stride
    zm, zp, xm, xp = max(z - 1, 0), min(z + 1, nz - 1), max(x - 1, 0), min(x + 1, nx - 1)
    total = np.float32(0)
    for y in range(ny):
        a, b, c, _, _, _ = products_voxel(v, z, zm, zp, y, max(y - 1, 0), min(y + 1, ny - 1), x, xm, xp)
        total += math.sqrt(a + b + c)
    partial[n, x] = np.float32(0.5) * total
