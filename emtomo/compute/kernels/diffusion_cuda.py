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
RUN, RUN_BLOCK = 16, (32, 4, 1)


def grid_of(shape):
    """Return the CUDA grid (x, y, z) that covers a (z, y, x) volume with a thread for each voxel."""
    return tuple((n + b - 1) // b for n, b in zip(shape[::-1], BLOCK, strict=True))


def runs_of(shape):
    """Return the CUDA grid that covers it with a thread for each RUN voxels along z, in blocks of RUN_BLOCK."""
    nz, ny, nx = shape
    return (nx + 31) // 32, (ny + 3) // 4, (nz + RUN - 1) // RUN


@cuda.jit
def beltrami_cuda(v, step4, out):
    """Do one explicit step of Beltrami flow from `v` to `out`."""
    x, y, z = cuda.grid(3)
    nz, ny, nx = v.shape
    if z < nz and y < ny and x < nx:
        zm, zp, ym, yp = max(z - 1, 0), min(z + 1, nz - 1), max(y - 1, 0), min(y + 1, ny - 1)
        out[z, y, x] = beltrami_voxel(v, z, zm, zp, y, ym, yp, x, max(x - 1, 0), min(x + 1, nx - 1), step4)


@cuda.jit(device=True)
def plane_sums(v, z, y, x):
    """Return the six products of differences summed over the 3×3 voxels about (y, x) of slice z."""
    nz, ny, nx = v.shape
    k = min(max(z, 0), nz - 1)
    km, kp = max(k - 1, 0), min(k + 1, nz - 1)
    zero = np.float32(0)
    a, b, c, d, e, f = zero, zero, zero, zero, zero, zero
    for dy in range(-1, 2):
        j = min(max(y + dy, 0), ny - 1)
        for dx in range(-1, 2):
            i = min(max(x + dx, 0), nx - 1)
            p, q, r, s, t, u = products_voxel(
                v, k, km, kp, j, max(j - 1, 0), min(j + 1, ny - 1), i, max(i - 1, 0), min(i + 1, nx - 1)
            )
            a, b, c, d, e, f = a + p, b + q, c + r, d + s, e + t, f + u
    return a, b, c, d, e, f


@cuda.jit
def tensor_cuda(v, inverse_k2, linear, tensor):
    """Fill `tensor` (z, 6, y, x) with the diffusion tensor of every voxel.

    A thread goes along z for RUN voxels: every slice's sums serve for three of them.
    """
    x, y, n = cuda.grid(3)
    nz, ny, nx = v.shape
    first = n * RUN
    if first >= nz or y >= ny or x >= nx:
        return
    a0, b0, c0, d0, e0, f0 = plane_sums(v, first - 1, y, x)
    a1, b1, c1, d1, e1, f1 = plane_sums(v, first, y, x)
    for z in range(first, min(first + RUN, nz)):
        a2, b2, c2, d2, e2, f2 = plane_sums(v, z + 1, y, x)
        p, q, r, s, t, u = tensor_voxel(
            a0 + a1 + a2, b0 + b1 + b2, c0 + c1 + c2, d0 + d1 + d2, e0 + e1 + e2, f0 + f1 + f2, inverse_k2, linear
        )
        tensor[z, 0, y, x], tensor[z, 1, y, x], tensor[z, 2, y, x] = p, q, r
        tensor[z, 3, y, x], tensor[z, 4, y, x], tensor[z, 5, y, x] = s, t, u
        a0, b0, c0, d0, e0, f0 = a1, b1, c1, d1, e1, f1
        a1, b1, c1, d1, e1, f1 = a2, b2, c2, d2, e2, f2


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
