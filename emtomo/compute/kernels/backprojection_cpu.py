"""CPU drivers of back-projection and of its adjoint.

Volumes are (z, y, x) and aligned images (tilt, slab, u, y): with the tilt axis along y, a line of voxels takes the same
two columns of an image with the same weights, so that no voxel needs an index of its own.
"""

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.backprojection import ONE, ZERO, between, bilinear, column_place, slab_of

F = np.float32
TILE = (8, 16)  # voxels along z and x whose columns of all tilts stay in the cache together


@njit(cache=True, fastmath=True)
def _column(lines, heights, t, x, z, slabs, columns):
    """Return the row in images (tilt · slab · u, y) of a line of voxels, and the weights of it and of the next one."""
    if t >= lines.shape[0]:
        return 0, ZERO, ZERO
    u = lines[t, 0] + lines[t, 1] * F(x) + lines[t, 2] * F(z)
    inside, i, a = column_place(u, columns)
    if not inside:
        return 0, ZERO, ZERO
    k = 0
    if slabs > 1:
        k = slab_of(heights[t, 0] + heights[t, 1] * F(x) + heights[t, 2] * F(z), slabs)
    return (t * slabs + k) * columns + i, ONE - a, a


@njit(cache=True, fastmath=True)
def _add_tilts(rows, lines, heights, t, slabs, columns, corner, first, tile):
    """Add four tilts from `t` on to a tile (z, x, y) of voxels, whose voxel (0, 0) is `corner` and y begins at `first`.

    Four at a time, so that a voxel is loaded and stored once for eight products.
    """
    nz, nx, ny = tile.shape
    last = first + ny
    for z in range(nz):
        for x in range(nx):
            i, a, b = _column(lines, heights, t, corner[1] + x, corner[0] + z, slabs, columns)
            j, c, d = _column(lines, heights, t + 1, corner[1] + x, corner[0] + z, slabs, columns)
            k, e, f = _column(lines, heights, t + 2, corner[1] + x, corner[0] + z, slabs, columns)
            m, g, h = _column(lines, heights, t + 3, corner[1] + x, corner[0] + z, slabs, columns)
            i0, i1, j0, j1 = rows[i, first:last], rows[i + 1, first:last], rows[j, first:last], rows[j + 1, first:last]
            k0, k1, m0, m1 = rows[k, first:last], rows[k + 1, first:last], rows[m, first:last], rows[m + 1, first:last]
            line = tile[z, x]
            for y in range(ny):
                line[y] += (a * i0[y] + b * i1[y] + c * j0[y] + d * j1[y]) + (
                    e * k0[y] + f * k1[y] + g * m0[y] + h * m1[y]
                )


@njit(parallel=True, cache=True, fastmath=True)
def backproject_columns(images, lines, heights, out, block):
    """Add to `out` (z, y, x) the images (t, slab, u, y) at the columns that `lines` gives.

    `lines` (t, 3) float32 holds the column of voxel (0, 0) and the steps along x and z; `heights` (t, 3) likewise the
    height in slabs; `block` is the number of voxels along y that are worked on together.
    """
    nt, slabs, columns, ny = images.shape
    rows = images.reshape(nt * slabs * columns, ny)
    nz, _, nx = out.shape
    deep, wide = TILE
    parts, layers = (ny + block - 1) // block, (nz + deep - 1) // deep
    for task in prange(parts * layers):
        z0, y0 = task % layers * deep, task // layers * block
        n, m = min(deep, nz - z0), min(block, ny - y0)
        for x0 in range(0, nx, wide):
            w = min(wide, nx - x0)
            tile = np.zeros((n, w, m), np.float32)
            for t in range(0, nt, 4):
                _add_tilts(rows, lines, heights, t, slabs, columns, (z0, x0), y0, tile)
            for z in range(n):
                for y in range(m):
                    for x in range(w):
                        out[z0 + z, y0 + y, x0 + x] += tile[z, x, y]


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
def join_halves(first, second, total):
    """Fill `total` with the sum of two volumes and double both."""
    for z in prange(len(total)):
        for y in range(total.shape[1]):
            for x in range(total.shape[2]):
                a, b = first[z, y, x], second[z, y, x]
                total[z, y, x] = a + b
                first[z, y, x] = F(2) * a
                second[z, y, x] = F(2) * b
