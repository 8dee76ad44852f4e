"""Bodies for boxes: one interpolated value, Keys' cubic weights."""

import math

from numba.extending import register_jitable


@register_jitable
def trilinear(v, z, y, x, outside):
    """Return the value at a point between voxels; `outside` where the point lies beyond the border."""
    nz, ny, nx = v.shape
    if not (z >= 0 and y >= 0 and x >= 0 and z <= nz - 1 and y <= ny - 1 and x <= nx - 1):  # so is what is no number
        return outside
    k, j, i = int(z), int(y), int(x)
    k1, j1, i1 = min(k + 1, nz - 1), min(j + 1, ny - 1), min(i + 1, nx - 1)
    c, b, a = z - k, y - j, x - i
    low = (1 - b) * ((1 - a) * v[k, j, i] + a * v[k, j, i1]) + b * ((1 - a) * v[k, j1, i] + a * v[k, j1, i1])
    up = (1 - b) * ((1 - a) * v[k1, j, i] + a * v[k1, j, i1]) + b * ((1 - a) * v[k1, j1, i] + a * v[k1, j1, i1])
    return (1 - c) * low + c * up


@register_jitable
def keys(t):
    """Return the four weights of Keys' cubic convolution (a = -1/2) for a fraction t in [0, 1)."""
    t2 = t * t
    t3 = t2 * t
    return (
        -0.5 * t3 + t2 - 0.5 * t,
        1.5 * t3 - 2.5 * t2 + 1.0,
        -1.5 * t3 + 2.0 * t2 + 0.5 * t,
        0.5 * t3 - 0.5 * t2,
    )


@register_jitable
def cubic(v, z, y, x, outside):
    """Return the value at a point between voxels by cubic convolution; edges repeat their voxels."""
    nz, ny, nx = v.shape
    if not (z >= 0 and y >= 0 and x >= 0 and z <= nz - 1 and y <= ny - 1 and x <= nx - 1):
        return outside
    k, j, i = int(math.floor(z)), int(math.floor(y)), int(math.floor(x))
    wz, wy, wx = keys(z - k), keys(y - j), keys(x - i)
    total = 0.0
    for c in range(4):
        kk = min(max(k + c - 1, 0), nz - 1)
        plane = 0.0
        for b in range(4):
            jj = min(max(j + b - 1, 0), ny - 1)
            line = 0.0
            for a in range(4):
                line += wx[a] * v[kk, jj, min(max(i + a - 1, 0), nx - 1)]
            plane += wy[b] * line
        total += wz[c] * plane
    return total


@register_jitable
def rotate_voxel(v, m, shift, half, z, y, x, order, outside):
    """Return v at m @ (index - half) + half + shift: one voxel of the turned box."""
    c, b, a = z - half, y - half, x - half
    pz = m[0, 0] * c + m[0, 1] * b + m[0, 2] * a + half + shift[0]
    py = m[1, 0] * c + m[1, 1] * b + m[1, 2] * a + half + shift[1]
    px = m[2, 0] * c + m[2, 1] * b + m[2, 2] * a + half + shift[2]
    if order == 3:
        return cubic(v, pz, py, px, outside)
    return trilinear(v, pz, py, px, outside)
