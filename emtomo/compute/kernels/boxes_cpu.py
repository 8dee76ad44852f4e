"""CPU drivers for boxes: cutting, normalising, turning."""

import math

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.boxes import rotate_voxel

U = np.uintp


@njit(cache=True)
def _copy_row(volume, z, y, start, sign, out, i, dz, dy):
    """Copy one row of a box that lies within the volume; unsigned indices make it vector code."""
    for k in range(out.shape[3]):
        x = U(k)
        out[i, dz, dy, x] = sign * volume[z, y, start + x]


@njit(parallel=True, cache=True)
def crop_cpu(volume, starts, order, sign, out):
    """Copy boxes that begin at `starts` (zyx) into `out`, times `sign`; voxels beyond the edge repeat it.

    Boxes are visited in `order`: neighbours one after the other find their voxels in the cache.
    """
    nz, ny, nx = volume.shape
    n, bz, by, bx = out.shape
    for k in prange(n):
        i = order[k]
        z0, y0, x0 = starts[i, 0], starts[i, 1], starts[i, 2]
        within = x0 >= 0 and x0 + bx <= nx
        for dz in range(bz):
            z = min(max(z0 + dz, 0), nz - 1)
            for dy in range(by):
                y = min(max(y0 + dy, 0), ny - 1)
                if within:
                    _copy_row(volume, U(z), U(y), U(x0), sign, out, U(i), U(dz), U(dy))
                else:
                    for dx in range(bx):
                        out[i, dz, dy, dx] = sign * volume[z, y, min(max(x0 + dx, 0), nx - 1)]


@njit(parallel=True, cache=True)
def normalise_cpu(boxes, radius, edge_only):
    """Give every box mean 0 and deviation 1 in its background, in place.

    The background lies outside `radius` voxels, or is the box's faces.
    """
    n, bz, by, bx = boxes.shape
    cz, cy, cx = bz // 2, by // 2, bx // 2
    for i in prange(n):
        total, squares, count = 0.0, 0.0, 0
        for z in range(bz):
            for y in range(by):
                r2 = (z - cz) ** 2 + (y - cy) ** 2
                face = z == 0 or y == 0 or z == bz - 1 or y == by - 1
                for x in range(bx):
                    if edge_only:
                        inside = not (face or x == 0 or x == bx - 1)
                    else:
                        inside = r2 + (x - cx) ** 2 <= radius * radius
                    if not inside:
                        v = boxes[i, z, y, x]
                        total += v
                        squares += v * v
                        count += 1
        mean = total / max(count, 1)
        spread = math.sqrt(max(squares / max(count, 1) - mean * mean, 0.0))
        scale = 1.0 / spread if spread > 1e-12 else 1.0
        for z in range(bz):
            for y in range(by):
                for x in range(bx):
                    boxes[i, z, y, x] = (boxes[i, z, y, x] - mean) * scale


@njit(parallel=True, cache=True)
def rotate_cpu(boxes, matrices, shifts, order, out):
    """Turn every box: out[o] = box[m (o - half) + half + shift]; beyond the box stands its face mean."""
    n, b = boxes.shape[0], boxes.shape[1]
    half = b // 2
    outside = np.empty(n, np.float32)
    for i in prange(n):
        outside[i] = 0.5 * (boxes[i, 0].mean() + boxes[i, b - 1].mean())
    for task in prange(n * b):
        i, z = task // b, task % b
        for y in range(b):
            for x in range(b):
                out[i, z, y, x] = rotate_voxel(boxes[i], matrices[i], shifts[i], half, z, y, x, order, outside[i])
