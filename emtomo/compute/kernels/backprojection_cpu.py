"""CPU drivers of back-projection and of its adjoint.

Volumes are (z, y, x) and aligned images (tilt, slab, u, y): with the tilt axis along y, a line of voxels takes the same
two columns of an image with the same weights, so that no voxel needs an index of its own.
"""

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.backprojection import ONE, ZERO, between, bilinear, column_place, slab_of

F = np.float32
U = np.uint64
TILE = (8, 16)  # voxels along z and x whose columns of all tilts stay in the cache together


@njit(cache=True, fastmath=True, forceinline=True)
def _find_columns(lines, heights, t, slabs, columns, corner, size, starts, weights):
    """Fill the rows in images (tilt · slab · u, y) of lines (z, x) of a tile of voxels, and the weights of two rows.

    Without a branch, so that several are worked out at once: what lies outside has the weight 0.
    """
    if t >= lines.shape[0]:
        starts[:], weights[:] = 0, ZERO
        return
    last, along, rise = F(columns - 1), lines[t, 1], heights[t, 1]
    for z in range(size[0]):
        u0 = lines[t, 0] + along * F(corner[1]) + lines[t, 2] * F(corner[0] + z)
        h0 = heights[t, 0] + rise * F(corner[1]) + heights[t, 2] * F(corner[0] + z)
        for x in range(size[1]):
            u = u0 + along * F(x)
            inside = ONE if (u >= ZERO and u < last) else ZERO
            u = min(max(u, ZERO), last - ONE)
            i, at = np.int64(u), z * size[1] + x
            k = slab_of(h0 + rise * F(x), slabs)
            a = u - F(i)
            starts[at] = (t * slabs + k) * columns + i
            weights[0, at], weights[1, at] = inside * (ONE - a), inside * a


@njit(cache=True, fastmath=True, forceinline=True)
def _add_tilts(images, starts, weights, first, length, tile, count, ny):
    """Add four tilts to `count` lines of `ny` voxels, one after the other in `tile`, from column `first` of images on.

    Four at a time, so that a voxel is loaded and stored once for eight products; unsigned, or negative places would be
    looked for.
    """
    t0, t1, t2, t3, left, right = U(0), U(1), U(2), U(3), U(0), U(1)
    for line in range(count):
        i, j = starts[t0, line] * length + first, starts[t1, line] * length + first
        k, m = starts[t2, line] * length + first, starts[t3, line] * length + first
        a, b, c, d = (
            weights[t0, left, line],
            weights[t0, right, line],
            weights[t1, left, line],
            weights[t1, right, line],
        )
        e, f, g, h = (
            weights[t2, left, line],
            weights[t2, right, line],
            weights[t3, left, line],
            weights[t3, right, line],
        )
        i1, j1, k1, m1, to = i + length, j + length, k + length, m + length, line * ny
        for y in range(ny):
            tile[to + y] += (a * images[i + y] + b * images[i1 + y] + c * images[j + y] + d * images[j1 + y]) + (
                e * images[k + y] + f * images[k1 + y] + g * images[m + y] + h * images[m1 + y]
            )


@njit(parallel=True, cache=True, fastmath=True)
def backproject_columns(images, lines, heights, out, block):
    """Add to `out` (z, y, x) the images (t, slab, u, y) at the columns that `lines` gives.

    `lines` (t, 3) float32 holds the column of voxel (0, 0) and the steps along x and z; `heights` (t, 3) likewise the
    height in slabs; `block` is the number of voxels along y that are worked on together.
    """
    nt, slabs, columns, ny = images.shape
    flat = images.reshape(images.size)
    nz, _, nx = out.shape
    deep, wide = TILE
    parts, layers = (ny + block - 1) // block, (nz + deep - 1) // deep
    for task in prange(parts * layers):
        z0, y0 = task % layers * deep, task // layers * block
        n, m = min(deep, nz - z0), min(block, ny - y0)
        tile = np.empty(deep * wide * block, np.float32)
        starts, weights = np.zeros((4, deep * wide), np.uint64), np.zeros((4, 2, deep * wide), np.float32)
        for x0 in range(0, nx, wide):
            w = min(wide, nx - x0)
            tile[: n * w * m] = 0
            for t in range(0, nt, 4):
                for j in range(4):
                    _find_columns(lines, heights, t + j, slabs, columns, (z0, x0), (n, w), starts[j], weights[j])
                _add_tilts(flat, starts, weights, U(y0), U(ny), tile, U(n * w), U(m))
            for z in range(n):
                for y in range(m):
                    for x in range(w):
                        out[z0 + z, y0 + y, x0 + x] += tile[(z * w + x) * m + y]


@njit(parallel=True, cache=True, fastmath=True)
def project_columns(volume, lines, out, block):
    """Add to `out` (t, 1, u, y) the volume (z, y, x): the adjoint of :func:`backproject_columns` with one slab."""
    nt, _, columns, ny = out.shape
    nz, _, nx = volume.shape
    for part in prange((ny + block - 1) // block):
        first = part * block
        last = min(ny, first + block)
        for z in range(nz):
            plane = np.ascontiguousarray(volume[z, first:last].T)
            for t in range(nt):
                for x in range(nx):
                    u = lines[t, 0] + lines[t, 1] * F(x) + lines[t, 2] * F(z)
                    inside, i, a = column_place(u, columns)
                    if not inside:
                        continue
                    left, right, b, line = out[t, 0, i, first:last], out[t, 0, i + 1, first:last], ONE - a, plane[x]
                    for y in range(last - first):
                        left[y] += b * line[y]
                        right[y] += a * line[y]


@njit(parallel=True, cache=True, fastmath=True)
def backproject_nodes(images, nodes, step, out):
    """Add to `out` (z, y, x) the images (t, slab, v, u) at places given on a grid of nodes.

    `nodes` (t, z, y, x, 3) float32 holds u, v and the height in slabs every `step` voxels, from voxel 0 on.
    """
    nt, slabs = images.shape[0], images.shape[1]
    nz, ny, nx = out.shape
    for task in prange(nz * ny):
        z, y = task // ny, task % ny
        for t in range(nt):
            for first in range(0, nx, step):
                last = min(first + step, nx)
                u, v = between(nodes, t, z, y, first, 0, step), between(nodes, t, z, y, first, 1, step)
                # the nodes' values are linear along a run
                end = first + step - 1
                du = (between(nodes, t, z, y, end, 0, step) - u) / F(max(step - 1, 1))
                dv = (between(nodes, t, z, y, end, 1, step) - v) / F(max(step - 1, 1))
                k = 0
                if slabs > 1:
                    k = slab_of(between(nodes, t, z, y, (first + last) // 2, 2, step), slabs)
                image = images[t, k]
                for x in range(first, last):
                    out[z, y, x] += bilinear(image, u + F(x - first) * du, v + F(x - first) * dv)


@njit(parallel=True, cache=True, fastmath=True)
def project_nodes(volume, nodes, step, out):
    """Add to `out` (t, 1, v, u) the volume (z, y, x): the adjoint of :func:`backproject_nodes` with one slab."""
    nt, _, rows, columns = out.shape
    nz, ny, nx = volume.shape
    for t in prange(nt):
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    u, v = between(nodes, t, z, y, x, 0, step), between(nodes, t, z, y, x, 1, step)
                    if not (u >= F(0) and v >= F(0) and u < F(columns - 1) and v < F(rows - 1)):
                        continue
                    i, j = int(u), int(v)
                    a, b, value = u - F(i), v - F(j), volume[z, y, x]
                    out[t, 0, j, i] += (F(1) - a) * (F(1) - b) * value
                    out[t, 0, j, i + 1] += a * (F(1) - b) * value
                    out[t, 0, j + 1, i] += (F(1) - a) * b * value
                    out[t, 0, j + 1, i + 1] += a * b * value


@njit(parallel=True, cache=True, fastmath=True)
def fill_mean(first, second, mean):
    """Fill a volume with the mean of two others."""
    for z in prange(len(mean)):
        for y in range(mean.shape[1]):
            for x in range(mean.shape[2]):
                mean[z, y, x] = F(0.5) * (first[z, y, x] + second[z, y, x])
