"""Bodies: a value of a transform between its voxels, with and without its gradient.

A transform is stored for x >= 0 as (2 m + 1, 2 m + 1, m + 2) complex values with the origin at
[m, m, 0]; what lies at negative x is the conjugate of the opposite point.
"""

import math

import numpy as np
from numba.extending import register_jitable

ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@register_jitable
def place(m, kx, ky, kz):
    """Return sign, index and fraction of a point: the sign is -1 where the conjugate is stored."""
    sign = ONE
    if kx < ZERO:
        kx, ky, kz, sign = -kx, -ky, -kz, -ONE
    x = math.floor(kx)
    y = math.floor(ky)
    z = math.floor(kz)
    return sign, int(x), int(y) + m, int(z) + m, kx - np.float32(x), ky - np.float32(y), kz - np.float32(z)


@register_jitable
def value(ref, m, kx, ky, kz):
    """Return real and imaginary part of the transform at a point, trilinear."""
    sign, x, y, z, a, b, c = place(m, kx, ky, kz)
    i, j, k = np.uintp(x), np.uintp(y), np.uintp(z)
    i1, j1, k1 = np.uintp(x + 1), np.uintp(y + 1), np.uintp(z + 1)
    v000, v001, v010, v011 = ref[k, j, i], ref[k, j, i1], ref[k, j1, i], ref[k, j1, i1]
    v100, v101, v110, v111 = ref[k1, j, i], ref[k1, j, i1], ref[k1, j1, i], ref[k1, j1, i1]
    r00 = v000.real + a * (v001.real - v000.real)
    r01 = v010.real + a * (v011.real - v010.real)
    r10 = v100.real + a * (v101.real - v100.real)
    r11 = v110.real + a * (v111.real - v110.real)
    m00 = v000.imag + a * (v001.imag - v000.imag)
    m01 = v010.imag + a * (v011.imag - v010.imag)
    m10 = v100.imag + a * (v101.imag - v100.imag)
    m11 = v110.imag + a * (v111.imag - v110.imag)
    r0, r1 = r00 + b * (r01 - r00), r10 + b * (r11 - r10)
    m0, m1 = m00 + b * (m01 - m00), m10 + b * (m11 - m10)
    return r0 + c * (r1 - r0), sign * (m0 + c * (m1 - m0))


@register_jitable
def value_and_gradient(ref, m, kx, ky, kz):
    """Return the value (re, im) and its derivatives by kx, ky, kz (re, im each)."""
    sign, x, y, z, a, b, c = place(m, kx, ky, kz)
    i, j, k = np.uintp(x), np.uintp(y), np.uintp(z)
    i1, j1, k1 = np.uintp(x + 1), np.uintp(y + 1), np.uintp(z + 1)
    v000, v001, v010, v011 = ref[k, j, i], ref[k, j, i1], ref[k, j1, i], ref[k, j1, i1]
    v100, v101, v110, v111 = ref[k1, j, i], ref[k1, j, i1], ref[k1, j1, i], ref[k1, j1, i1]
    dr00, dr01, dr10, dr11 = (
        v001.real - v000.real,
        v011.real - v010.real,
        v101.real - v100.real,
        v111.real - v110.real,
    )
    dm00, dm01, dm10, dm11 = (
        v001.imag - v000.imag,
        v011.imag - v010.imag,
        v101.imag - v100.imag,
        v111.imag - v110.imag,
    )
    r00, r01, r10, r11 = v000.real + a * dr00, v010.real + a * dr01, v100.real + a * dr10, v110.real + a * dr11
    m00, m01, m10, m11 = v000.imag + a * dm00, v010.imag + a * dm01, v100.imag + a * dm10, v110.imag + a * dm11
    r0, r1 = r00 + b * (r01 - r00), r10 + b * (r11 - r10)
    m0, m1 = m00 + b * (m01 - m00), m10 + b * (m11 - m10)
    e0, e1 = dr00 + b * (dr01 - dr00), dr10 + b * (dr11 - dr10)
    f0, f1 = dm00 + b * (dm01 - dm00), dm10 + b * (dm11 - dm10)
    gy0, gy1, hy0, hy1 = r01 - r00, r11 - r10, m01 - m00, m11 - m10
    # at a conjugated point the value is conj(F(-k)): the real part's slope changes its sign, the imaginary part's not
    return (
        r0 + c * (r1 - r0),
        sign * (m0 + c * (m1 - m0)),
        sign * (e0 + c * (e1 - e0)),
        f0 + c * (f1 - f0),
        sign * (gy0 + c * (gy1 - gy0)),
        hy0 + c * (hy1 - hy0),
        sign * (r1 - r0),
        m1 - m0,
    )


@register_jitable
def to_particle(v, x, y, z):
    """Return a frequency of a view, whose rotation from the particle's frame is `v`, in the particle's frame."""
    return (
        v[0, 0] * x + v[1, 0] * y + v[2, 0] * z,
        v[0, 1] * x + v[1, 1] * y + v[2, 1] * z,
        v[0, 2] * x + v[1, 2] * y + v[2, 2] * z,
    )


@register_jitable
def residual(ref, pad, x, y, z, explained, re, im, weight, rotation):
    """Return the power that is left of a datum without weight times the reference in an orientation.

    Parameters
    ----------
    x, y, z : float32
        Frequency in the particle's frame.
    explained : bool
        Whether the reference reaches it.
    re, im, weight : float32
        The datum, moved by minus the particle's shift, and its weight.
    rotation : (3, 3) float32 array
    """
    if explained:
        r = rotation
        vr, vi = value(
            ref,
            ref.shape[0] // 2,
            pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z),
            pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z),
            pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z),
        )
        re -= weight * vr
        im -= weight * vi
    return re * re + im * im
