"""CPU drivers of back-projection and of its adjoint, and sampling of images by cubic splines.

Volumes are stored (z, x, y) and aligned images (tilt, slab, u, y): with the tilt axis along y, a line of voxels takes
the same two columns of an image with the same weights, so that no voxel needs an index of its own.
"""

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.backprojection import between, bilinear, column_place, slab_of

F = np.float32


@njit(parallel=True, cache=True, fastmath=True)
def backproject_columns(images, lines, heights, out, block):
    """Add to `out` (z, x, y) the images (t, slab, u, y) at the columns that `lines` gives.

    `lines` (t, 3) float32 holds the column of voxel (0, 0) and the steps along x and z; `heights` (t, 3) likewise the
    height in slabs; `block` is the number of voxels along y that are worked on together.
    """
    nt, slabs, columns, ny = images.shape
    nz, nx, _ = out.shape
    parts = (ny + block - 1) // block
    for task in prange(parts * nz):
        z = task % nz
        first = (task // nz) * block
        last = min(ny, first + block)
        for x in range(nx):
            line = out[z, x, first:last]
            for t in range(nt):
                u = lines[t, 0] + lines[t, 1] * F(x) + lines[t, 2] * F(z)
                inside, i, a = column_place(u, columns)
                if not inside:
                    continue
                k = 0
                if slabs > 1:
                    k = slab_of(heights[t, 0] + heights[t, 1] * F(x) + heights[t, 2] * F(z), slabs)
                left, right, b = images[t, k, i, first:last], images[t, k, i + 1, first:last], F(1) - a
                for y in range(last - first):
                    line[y] += b * left[y] + a * right[y]


@njit(parallel=True, cache=True, fastmath=True)
def project_columns(volume, lines, out):
    """Add to `out` (t, 1, u, y) the volume (z, x, y): the adjoint of :func:`backproject_columns` with one slab."""
    nt, _, columns, ny = out.shape
    nz, nx, _ = volume.shape
    for t in prange(nt):
        for z in range(nz):
            for x in range(nx):
                u = lines[t, 0] + lines[t, 1] * F(x) + lines[t, 2] * F(z)
                inside, i, a = column_place(u, columns)
                if not inside:
                    continue
                left, right, b, line = out[t, 0, i], out[t, 0, i + 1], F(1) - a, volume[z, x]
                for y in range(ny):
                    left[y] += b * line[y]
                    right[y] += a * line[y]


@njit(parallel=True, cache=True, fastmath=True)
def backproject_nodes(images, nodes, step, out):
    """Add to `out` (z, x, y) the images (t, slab, v, u) at places given on a grid of nodes.

    `nodes` (t, z, y, x, 3) float32 holds u, v and the height in slabs every `step` voxels, from voxel 0 on.
    """
    nt, slabs = images.shape[0], images.shape[1]
    nz, nx, ny = out.shape
    for task in prange(nz * nx):
        z, x = task // nx, task % nx
        for t in range(nt):
            for first in range(0, ny, step):
                last = min(first + step, ny)
                u, v = between(nodes, t, z, first, x, 0, step), between(nodes, t, z, first, x, 1, step)
                # the nodes' values are linear along a run
                end = first + step - 1
                du = (between(nodes, t, z, end, x, 0, step) - u) / F(max(step - 1, 1))
                dv = (between(nodes, t, z, end, x, 1, step) - v) / F(max(step - 1, 1))
                k = 0
                if slabs > 1:
                    k = slab_of(between(nodes, t, z, (first + last) // 2, x, 2, step), slabs)
                image = images[t, k]
                for y in range(first, last):
                    out[z, x, y] += bilinear(image, u + F(y - first) * du, v + F(y - first) * dv)


@njit(parallel=True, cache=True, fastmath=True)
def project_nodes(volume, nodes, step, out):
    """Add to `out` (t, 1, v, u) the volume (z, x, y): the adjoint of :func:`backproject_nodes` with one slab."""
    nt, _, rows, columns = out.shape
    nz, nx, ny = volume.shape
    for t in prange(nt):
        for z in range(nz):
            for x in range(nx):
                for y in range(ny):
                    u, v = between(nodes, t, z, y, x, 0, step), between(nodes, t, z, y, x, 1, step)
                    if not (u >= F(0) and v >= F(0) and u < F(columns - 1) and v < F(rows - 1)):
                        continue
                    i, j = int(u), int(v)
                    a, b, value = u - F(i), v - F(j), volume[z, x, y]
                    out[t, 0, j, i] += (F(1) - a) * (F(1) - b) * value
                    out[t, 0, j, i + 1] += a * (F(1) - b) * value
                    out[t, 0, j + 1, i] += (F(1) - a) * b * value
                    out[t, 0, j + 1, i + 1] += a * b * value


@njit(cache=True, fastmath=True)
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


@njit(parallel=True, cache=True, fastmath=True)
def sample_spline(coefficients, nodes, step, out):
    """Fill `out` (u, y) with a cubic B-spline's values, zero outside.

    `coefficients` (v, u) are the spline's; `nodes` (gu, gy, 2) float32 the places (u, v in their pixels) every `step`
    samples of `out`.
    """
    rows, columns = coefficients.shape
    nu, ny = out.shape
    for s in prange(nu):
        i = s // step
        a = F(s - i * step) / F(step)
        for y in range(ny):
            j = y // step
            b = F(y - j * step) / F(step)
            low_u = nodes[i, j, 0] + b * (nodes[i, j + 1, 0] - nodes[i, j, 0])
            low_v = nodes[i, j, 1] + b * (nodes[i, j + 1, 1] - nodes[i, j, 1])
            high_u = nodes[i + 1, j, 0] + b * (nodes[i + 1, j + 1, 0] - nodes[i + 1, j, 0])
            high_v = nodes[i + 1, j, 1] + b * (nodes[i + 1, j + 1, 1] - nodes[i + 1, j, 1])
            u, v = low_u + a * (high_u - low_u), low_v + a * (high_v - low_v)
            if not (u >= F(1) and v >= F(1) and u < F(columns - 2) and v < F(rows - 2)):
                out[s, y] = F(0)
                continue
            p, q = int(u), int(v)
            w0, w1, w2, w3 = _spline_weights(u - F(p))
            h0, h1, h2, h3 = _spline_weights(v - F(q))
            r0, r1, r2, r3 = coefficients[q - 1], coefficients[q], coefficients[q + 1], coefficients[q + 2]
            out[s, y] = (
                h0 * (w0 * r0[p - 1] + w1 * r0[p] + w2 * r0[p + 1] + w3 * r0[p + 2])
                + h1 * (w0 * r1[p - 1] + w1 * r1[p] + w2 * r1[p + 1] + w3 * r1[p + 2])
                + h2 * (w0 * r2[p - 1] + w1 * r2[p] + w2 * r2[p + 1] + w3 * r2[p + 2])
                + h3 * (w0 * r3[p - 1] + w1 * r3[p] + w2 * r3[p + 1] + w3 * r3[p + 2])
            )


@njit(cache=True, fastmath=True)
def _look_up(table, at):
    """Return a table's value between its entries, the last one beyond its end."""
    i = int(at)
    if i >= len(table) - 1:
        return table[len(table) - 1]
    return table[i] + (at - F(i)) * (table[i + 1] - table[i])


@njit(parallel=True, cache=True, fastmath=True)
def weigh_spectrum(values, kx, ky, directions, radial, directional, steps, out):
    """Fill `out` with a spectrum times weights by radius and by the distances along two directions.

    `directions` (2, 2) float32 are unit vectors x, y; `radial` (n) and `directional` (2, n) float32 tables, whose
    entries lie `steps` (1/Å: radial, directional) apart.
    """
    for row in prange(values.shape[0]):
        for column in range(values.shape[1]):
            x, y = kx[column], ky[row]
            w = _look_up(radial, np.sqrt(x * x + y * y) / steps[0])
            for d in range(2):
                w *= _look_up(directional[d], abs(x * directions[d, 0] + y * directions[d, 1]) / steps[1])
            out[row, column] = values[row, column] * w
