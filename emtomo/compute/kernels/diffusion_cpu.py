"""CPU drivers of the diffusion schemes.

Indices are unsigned: numba then drops the test for negative ones, and the inner
loops become vector code (2.2 × faster at 256³ than with signed indices).
"""

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.diffusion import (
    beltrami_voxel,
    divergence_voxel,
    products_voxel,
    tensor_voxel,
)

U = np.uintp
# all fast arithmetic but sums in another order: a kernel that was just compiled chose another than that of the cache
FAST = {"nnan", "ninf", "nsz", "arcp", "contract", "afn"}
FLAGS = {"fastmath": FAST, "cache": True, "error_model": "numpy"}


@njit(parallel=True, **FLAGS)
def beltrami_cpu(v, step4, out):
    """Do one explicit step of Beltrami flow from `v` to `out`; `step4` is four times the step."""
    nz, ny, nx = v.shape
    last = U(nx - 1)
    for k in prange(nz):
        z, zm, zp = U(k), U(max(k - 1, 0)), U(min(k + 1, nz - 1))
        for j in range(ny):
            y, ym, yp = U(j), U(max(j - 1, 0)), U(min(j + 1, ny - 1))
            out[z, y, U(0)] = beltrami_voxel(v, z, zm, zp, y, ym, yp, U(0), U(0), U(min(1, nx - 1)), step4)
            for i in range(nx - 2):
                x = U(i) + U(1)
                out[z, y, x] = beltrami_voxel(v, z, zm, zp, y, ym, yp, x, U(i), x + U(1), step4)
            out[z, y, last] = beltrami_voxel(v, z, zm, zp, y, ym, yp, last, U(max(nx - 2, 0)), last, step4)


@njit(**FLAGS, forceinline=True)
def _summed_row(v, z, zm, zp, y, ym, yp, row, summed):
    """Fill `summed` (6, nx) with the gradient products of one row, summed over three columns."""
    nx = v.shape[2]
    a, b, c, d, e, f = products_voxel(v, z, zm, zp, y, ym, yp, U(0), U(0), U(min(1, nx - 1)))
    row[0, 1], row[1, 1], row[2, 1], row[3, 1], row[4, 1], row[5, 1] = a, b, c, d, e, f
    for i in range(nx - 2):
        x = U(i) + U(1)
        a, b, c, d, e, f = products_voxel(v, z, zm, zp, y, ym, yp, x, U(i), x + U(1))
        col = x + U(1)
        row[0, col], row[1, col], row[2, col] = a, b, c
        row[3, col], row[4, col], row[5, col] = d, e, f
    last = U(nx - 1)
    a, b, c, d, e, f = products_voxel(v, z, zm, zp, y, ym, yp, last, U(max(nx - 2, 0)), last)
    row[0, nx], row[1, nx], row[2, nx], row[3, nx], row[4, nx], row[5, nx] = a, b, c, d, e, f
    for k in range(6):
        row[k, 0], row[k, nx + 1] = row[k, 1], row[k, nx]
        for i in range(nx):
            x = U(i)
            summed[k, x] = row[k, x] + row[k, x + U(1)] + row[k, x + U(2)]


@njit(**FLAGS, forceinline=True)
def _tensor_row(below, here, above, r, nx, inverse_k2, linear, tensor):
    """Fill row `r` of the `(6, rows, nx + 2)` tensor plane from three planes of summed products."""
    for i in range(nx):
        x, col = U(i), U(i) + U(1)
        a, b, c, d, e, f = tensor_voxel(
            below[0, r, x] + here[0, r, x] + above[0, r, x],
            below[1, r, x] + here[1, r, x] + above[1, r, x],
            below[2, r, x] + here[2, r, x] + above[2, r, x],
            below[3, r, x] + here[3, r, x] + above[3, r, x],
            below[4, r, x] + here[4, r, x] + above[4, r, x],
            below[5, r, x] + here[5, r, x] + above[5, r, x],
            inverse_k2,
            linear,
        )
        tensor[0, r, col], tensor[1, r, col], tensor[2, r, col] = a, b, c
        tensor[3, r, col], tensor[4, r, col], tensor[5, r, col] = d, e, f
    for k in range(6):
        tensor[k, r, 0], tensor[k, r, nx + 1] = tensor[k, r, 1], tensor[k, r, nx]


@njit(**FLAGS, forceinline=True)
def _output_row(v, z, zm, zp, y, ym, yp, lo, mid, up, r, step, out):
    nx = v.shape[2]
    rm, rp, last = r - (y - ym), r + (yp - y), U(nx - 1)  # at a border the row itself stands for the next
    out[z, y, U(0)] = v[z, y, U(0)] + step * divergence_voxel(
        v, z, zm, zp, y, ym, yp, U(0), U(0), U(min(1, nx - 1)), lo, mid, up, r, rm, rp, U(1), U(0), U(2)
    )
    for i in range(nx - 2):
        x, c = U(i) + U(1), U(i) + U(2)
        out[z, y, x] = v[z, y, x] + step * divergence_voxel(
            v, z, zm, zp, y, ym, yp, x, U(i), x + U(1), lo, mid, up, r, rm, rp, c, x, c + U(1)
        )
    out[z, y, last] = v[z, y, last] + step * divergence_voxel(
        v, z, zm, zp, y, ym, yp, last, U(max(nx - 2, 0)), last,
        lo, mid, up, r, rm, rp, U(nx), U(nx - 1), U(nx + 1),
    )  # fmt: skip


@njit(**FLAGS, forceinline=True)
def _summed_plane(v, k, y0, rows, row, lines, plane):
    """Fill `plane` (6, rows, nx) with products of slice `k` summed over 3×3 in plane; row 0 is y0 - 1."""
    nz, ny, nx = v.shape
    k = min(max(k, 0), nz - 1)
    z, zm, zp = U(k), U(max(k - 1, 0)), U(min(k + 1, nz - 1))
    for line in range(rows + 2):  # three lines at a time stay in the first-level cache
        j = min(max(y0 - 2 + line, 0), ny - 1)
        _summed_row(v, z, zm, zp, U(j), U(max(j - 1, 0)), U(min(j + 1, ny - 1)), row, lines[line % 3])
        if line < 2:
            continue
        r = U(line - 2)
        for m in range(6):
            for i in range(nx):
                x = U(i)
                plane[m, r, x] = lines[0, m, x] + lines[1, m, x] + lines[2, m, x]


@njit(parallel=True, **FLAGS)
def eed_cpu(v, step, inverse_k2, linear, depth, height, out):
    """Do one explicit step of edge-enhancing diffusion from `v` to `out`.

    The volume is cut into tiles of `depth` slices by `height` rows; within one,
    products, their sums and the tensor live in buffers that fit the cache, so
    that memory sees `v` read and `out` written once.
    """
    nz, ny, nx = v.shape
    across = (ny + height - 1) // height
    tiles = across * ((nz + depth - 1) // depth)
    rows = height + 2
    for tile in prange(tiles):
        y0, z0 = (tile % across) * height, (tile // across) * depth
        y1, z1 = min(y0 + height, ny), min(z0 + depth, nz)
        row = np.empty((6, nx + 2), np.float32)
        lines = np.empty((3, 6, nx), np.float32)
        sums = np.empty((3, 6, rows, nx), np.float32)
        tensors = np.empty((3, 6, rows, nx + 2), np.float32)
        _summed_plane(v, z0 - 2, y0, rows, row, lines, sums[0])
        _summed_plane(v, z0 - 1, y0, rows, row, lines, sums[1])
        for t in range(z1 - z0 + 2):
            k = z0 - 1 + t  # the slice whose tensor is made now
            _summed_plane(v, k + 1, y0, rows, row, lines, sums[(t + 2) % 3])
            for r in range(rows):
                _tensor_row(
                    sums[t % 3],
                    sums[(t + 1) % 3],
                    sums[(t + 2) % 3],
                    U(r),
                    nx,
                    inverse_k2,
                    linear,
                    tensors[t % 3],
                )
            if t < 2:
                continue
            z, zm, zp = U(k - 1), U(max(k - 2, 0)), U(min(k, nz - 1))
            below, here, above = (t - 2) % 3, (t - 1) % 3, t % 3
            if k - 1 == 0:
                below = here
            if k - 1 == nz - 1:
                above = here
            for j in range(y0, y1):
                _output_row(
                    v, z, zm, zp, U(j), U(max(j - 1, 0)), U(min(j + 1, ny - 1)),
                    tensors[below], tensors[here], tensors[above], U(j - y0 + 1), step, out,
                )  # fmt: skip


@njit(parallel=True, **FLAGS)
def gradient_sums_cpu(v, stride, partial):
    """Fill `partial` with the sums of |∇I| over every `stride`-th slice."""
    nz, ny, nx = v.shape
    for n in prange(partial.shape[0]):
        k = n * stride
        z, zm, zp = U(k), U(max(k - 1, 0)), U(min(k + 1, nz - 1))
        total = np.float64(0)
        for j in range(ny):
            y, ym, yp = U(j), U(max(j - 1, 0)), U(min(j + 1, ny - 1))
            s = np.float32(0)
            for i in range(nx - 2):
                a, b, c, _, _, _ = products_voxel(v, z, zm, zp, y, ym, yp, U(i) + U(1), U(i), U(i) + U(2))
                s += np.sqrt(a + b + c)
            for i in (0, nx - 1) if nx > 1 else (0, 0):
                xm, xp = U(max(i - 1, 0)), U(min(i + 1, nx - 1))
                a, b, c, _, _, _ = products_voxel(v, z, zm, zp, y, ym, yp, U(i), xm, xp)
                s += np.sqrt(a + b + c)
            total += s
        partial[n] = total / 2
