"""Bodies: where a voxel lies in a sampled image, and the image's value there."""

import numpy as np
from numba.extending import register_jitable

ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@register_jitable
def column_place(u, count):
    """Return whether a column index lies within `count` columns, the column before it and the fraction."""
    inside = (u >= ZERO) and (u < np.float32(count - 1))
    i = int(u) if inside else 0
    return inside, i, u - np.float32(i)


@register_jitable
def slab_of(height, count):
    """Return which of `count` defocus slabs a height (in slabs) belongs to; the first and the last go on for ever."""
    return min(max(int(height), 0), count - 1)


@register_jitable
def bilinear(image, u, v):
    """Return the value of an image (v, u) at a point, zero outside."""
    rows, columns = image.shape
    if not (u >= ZERO and v >= ZERO and u < np.float32(columns - 1) and v < np.float32(rows - 1)):
        return ZERO
    i, j = int(u), int(v)
    a, b = u - np.float32(i), v - np.float32(j)
    low = image[j, i] + a * (image[j, i + 1] - image[j, i])
    high = image[j + 1, i] + a * (image[j + 1, i + 1] - image[j + 1, i])
    return low + b * (high - low)


@register_jitable
def between(nodes, t, z, y, x, axis, step):
    """Return a coordinate at a voxel from its values on a grid of nodes (tilt, z, y, x, axis) `step` voxels apart."""
    i, j, k = x // step, y // step, z // step
    inverse = ONE / np.float32(step)
    a = np.float32(x - i * step) * inverse
    b = np.float32(y - j * step) * inverse
    c = np.float32(z - k * step) * inverse
    n00 = nodes[t, k, j, i, axis] + a * (nodes[t, k, j, i + 1, axis] - nodes[t, k, j, i, axis])
    n01 = nodes[t, k, j + 1, i, axis] + a * (nodes[t, k, j + 1, i + 1, axis] - nodes[t, k, j + 1, i, axis])
    n10 = nodes[t, k + 1, j, i, axis] + a * (nodes[t, k + 1, j, i + 1, axis] - nodes[t, k + 1, j, i, axis])
    n11 = nodes[t, k + 1, j + 1, i, axis] + a * (nodes[t, k + 1, j + 1, i + 1, axis] - nodes[t, k + 1, j + 1, i, axis])
    low, high = n00 + b * (n01 - n00), n10 + b * (n11 - n10)
    return low + c * (high - low)
