"""Bodies of template matching: one frequency of a correlation, one voxel of the best score."""

import numpy as np
from numba.extending import register_jitable

ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@register_jitable
def sample_at(flat, m, wide, x, y, z):
    """Return real and imaginary part of a stored transform at a point, trilinear.

    The transform of :func:`transform_padded`, (2 m + 1, 2 m + 1, wide) complex values, as a flat array of float32.
    Written for speed: no branch, 32-bit indices.
    """
    s = ONE if x >= ZERO else -ONE
    x, y, z = x * s, y * s + np.float32(m), z * s + np.float32(m)
    i, j, k = np.int32(x), np.int32(y), np.int32(z)
    a, b, c = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    row = np.int32(2) * wide
    plane = row * (np.int32(2) * m + np.int32(1))
    q0 = np.uintp(k * plane + j * row + np.int32(2) * i)
    q1, q2 = q0 + np.uintp(row), q0 + np.uintp(plane)
    q3 = q2 + np.uintp(row)
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    r0, m0 = flat[q0], flat[q0 + one]
    r00, m00 = r0 + a * (flat[q0 + two] - r0), m0 + a * (flat[q0 + three] - m0)
    r1, m1 = flat[q1], flat[q1 + one]
    r01, m01 = r1 + a * (flat[q1 + two] - r1), m1 + a * (flat[q1 + three] - m1)
    r2, m2 = flat[q2], flat[q2 + one]
    r10, m10 = r2 + a * (flat[q2 + two] - r2), m2 + a * (flat[q2 + three] - m2)
    r3, m3 = flat[q3], flat[q3 + one]
    r11, m11 = r3 + a * (flat[q3 + two] - r3), m3 + a * (flat[q3 + three] - m3)
    r00, r10, m00, m10 = r00 + b * (r01 - r00), r10 + b * (r11 - r10), m00 + b * (m01 - m00), m10 + b * (m11 - m10)
    return r00 + c * (r10 - r00), s * (m00 + c * (m10 - m00))


@register_jitable
def better(score, number, best, which):
    """Return the better of two scores and whose it is; of equal ones that with the lower number."""
    # without short cuts, so that the loop over voxels can run in vectors
    take = (score > best) | ((score == best) & (number < which))
    return score if take else best, number if take else which
