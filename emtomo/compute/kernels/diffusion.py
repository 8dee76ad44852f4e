"""Bodies of the explicit diffusion schemes: one output voxel from its 3×3×3 neighbourhood.

Neighbour indices are passed in, so that the driver decides about borders (the
nearest voxel inside stands for one outside) and the inner loop stays free of
branches.
"""

import numpy as np
from numba.extending import register_jitable

ONE = np.float32(1.0)
FOUR = np.float32(4.0)
HALF = np.float32(0.5)
QUARTER = np.float32(0.25)
SIXTEENTH = np.float32(1.0 / 16.0)
TINY = np.float32(1e-20)
WEICKERT = np.float32(3.31488)


@register_jitable(forceinline=True)
def beltrami_voxel(v, z, zm, zp, y, ym, yp, x, xm, xp, step4):
    """Return one voxel after a step of Beltrami flow, I_t = (g ∇²I - ∇Iᵀ H ∇I) / g², g = 1 + |∇I|².

    `step4` is four times the time step: derivatives are left as undivided
    differences, which saves half of the multiplications.
    """
    c = v[z, y, x]
    ex, wx = v[z, y, xp], v[z, y, xm]
    ny, sy = v[z, yp, x], v[z, ym, x]
    uz, dz = v[zp, y, x], v[zm, y, x]
    a, b, d = ex - wx, ny - sy, uz - dz
    c2 = c + c
    ixx, iyy, izz = ex + wx - c2, ny + sy - c2, uz + dz - c2
    ixy = (v[z, yp, xp] - v[z, yp, xm]) - (v[z, ym, xp] - v[z, ym, xm])
    ixz = (v[zp, y, xp] - v[zp, y, xm]) - (v[zm, y, xp] - v[zm, y, xm])
    iyz = (v[zp, yp, x] - v[zp, ym, x]) - (v[zm, yp, x] - v[zm, ym, x])
    aa, bb, dd = a * a, b * b, d * d
    g = FOUR + aa + bb + dd
    top = (g - aa) * ixx + (g - bb) * iyy + (g - dd) * izz
    top -= HALF * (a * (b * ixy + d * ixz) + b * d * iyz)
    return c + step4 * top / (g * g)


@register_jitable(forceinline=True)
def products_voxel(v, z, zm, zp, y, ym, yp, x, xm, xp):
    """Return the products of the undivided differences: xx, yy, zz, xy, xz, yz."""
    a = v[z, y, xp] - v[z, y, xm]
    b = v[z, yp, x] - v[z, ym, x]
    d = v[zp, y, x] - v[zm, y, x]
    return a * a, b * b, d * d, a * b, a * d, b * d


@register_jitable(forceinline=True)
def diffusivity(s2, inverse_k2):
    """Return Weickert's g(s) = 1 - exp(-3.31488 / (s/K)^8), without a call that stops vectorisation."""
    r = s2 * inverse_k2 + TINY
    r2 = r * r
    t = WEICKERT / (r2 * r2 + TINY)
    u = min(t, np.float32(16.0)) * SIXTEENTH  # exp(-t) = exp(-u)^16, u in [0, 1]
    e = ONE - u * (
        ONE
        - u
        * (
            HALF
            - u * (np.float32(1 / 6) - u * (np.float32(1 / 24) - u * (np.float32(1 / 120) - u * np.float32(1 / 720))))
        )
    )
    e2 = e * e
    e4 = e2 * e2
    e8 = e4 * e4
    return ONE - e8 * e8


@register_jitable(forceinline=True)
def square_symmetric(a, b, c, d, e, f):
    """Return the square of the symmetric matrix [[a, d, e], [d, b, f], [e, f, c]]."""
    d2, e2, f2 = d * d, e * e, f * f
    p, q, r = a * a + d2 + e2, b * b + d2 + f2, c * c + e2 + f2
    return p, q, r, d * (a + b) + e * f, e * (a + c) + d * f, f * (b + c) + d * e


@register_jitable(forceinline=True)
def leading_projector(a, b, c, d, e, f):
    """Return the projector on the leading eigenvector: the matrix to the power of 8, scaled to trace 1.

    Repeated squaring needs no eigenvalue; where two eigenvalues are equal it
    gives the mean of both projectors instead of an arbitrary one.
    """
    a, b, c, d, e, f = square_symmetric(a, b, c, d, e, f)
    a, b, c, d, e, f = square_symmetric(a, b, c, d, e, f)
    n = ONE / (a + b + c + TINY)
    a, b, c, d, e, f = square_symmetric(a * n, b * n, c * n, d * n, e * n, f * n)
    n = ONE / (a + b + c + TINY)
    return a * n, b * n, c * n, d * n, e * n, f * n


@register_jitable(forceinline=True)
def tensor_voxel(a, b, c, d, e, f, inverse_k2, linear):
    """Return the diffusion tensor (xx, yy, zz, xy, xz, yz) of a structure tensor.

    planar (`linear` false): I - (1 - g) v1 v1ᵀ; linear: g I + (1 - g) v3 v3ᵀ, with g
    of the largest eigenvalue's share of the gradient, taken as the trace.
    """
    g = diffusivity(a + b + c, inverse_k2)
    if linear:  # v3 leads the adjugate
        p, q, r, s, t, u = leading_projector(
            b * c - f * f, a * c - e * e, a * b - d * d, e * f - c * d, d * f - b * e, d * e - a * f
        )
        h = ONE - g
        return g + h * p, g + h * q, g + h * r, h * s, h * t, h * u
    p, q, r, s, t, u = leading_projector(a, b, c, d, e, f)
    h = g - ONE
    return ONE + h * p, ONE + h * q, ONE + h * r, h * s, h * t, h * u


@register_jitable(forceinline=True)
def divergence_voxel(v, z, zm, zp, y, ym, yp, x, xm, xp, lo, mid, up, r, rm, rp, c, cm, cp):
    """Return div(D ∇I) at one voxel.

    `lo`, `mid` and `up` are the `(6, rows, columns)` tensor planes below, at and
    above; `r` and `c` are row and column in them. Diagonal terms use fluxes at
    half voxels, mixed terms central differences (Weickert 1998, section 3.4.2).
    """
    here = v[z, y, x]
    dxx = (mid[0, r, c] + mid[0, r, cp]) * (v[z, y, xp] - here)
    dxx -= (mid[0, r, c] + mid[0, r, cm]) * (here - v[z, y, xm])
    dyy = (mid[1, r, c] + mid[1, rp, c]) * (v[z, yp, x] - here)
    dyy -= (mid[1, r, c] + mid[1, rm, c]) * (here - v[z, ym, x])
    dzz = (mid[2, r, c] + up[2, r, c]) * (v[zp, y, x] - here)
    dzz -= (mid[2, r, c] + lo[2, r, c]) * (here - v[zm, y, x])
    xy = mid[3, r, cp] * (v[z, yp, xp] - v[z, ym, xp]) - mid[3, r, cm] * (v[z, yp, xm] - v[z, ym, xm])
    xy += mid[3, rp, c] * (v[z, yp, xp] - v[z, yp, xm]) - mid[3, rm, c] * (v[z, ym, xp] - v[z, ym, xm])
    xz = mid[4, r, cp] * (v[zp, y, xp] - v[zm, y, xp]) - mid[4, r, cm] * (v[zp, y, xm] - v[zm, y, xm])
    xz += up[4, r, c] * (v[zp, y, xp] - v[zp, y, xm]) - lo[4, r, c] * (v[zm, y, xp] - v[zm, y, xm])
    yz = mid[5, rp, c] * (v[zp, yp, x] - v[zm, yp, x]) - mid[5, rm, c] * (v[zp, ym, x] - v[zm, ym, x])
    yz += up[5, r, c] * (v[zp, yp, x] - v[zp, ym, x]) - lo[5, r, c] * (v[zm, yp, x] - v[zm, ym, x])
    return HALF * (dxx + dyy + dzz) + QUARTER * (xy + xz + yz)
