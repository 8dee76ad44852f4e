"""Body: the section of a reference that an image measures at one frequency, with its slopes along the image's axes."""

from numba.extending import register_jitable

from emtomo.compute.kernels.fourier import value_and_gradient


@register_jitable
def to_image_axes(r, pad, m):
    """Return the matrix from an image's frequency to a point of the padded reference, by columns, and its rotation.

    Parameters
    ----------
    r : (3, 3) float32 array
        From the reference to the image, before the magnification.
    pad : float32
    m : (2, 2) float32 array
        Magnification.
    """
    ax = pad * (m[0, 0] * r[0, 0] + m[0, 1] * r[1, 0])
    ay = pad * (m[0, 0] * r[0, 1] + m[0, 1] * r[1, 1])
    az = pad * (m[0, 0] * r[0, 2] + m[0, 1] * r[1, 2])
    bx = pad * (m[1, 0] * r[0, 0] + m[1, 1] * r[1, 0])
    by = pad * (m[1, 0] * r[0, 1] + m[1, 1] * r[1, 1])
    bz = pad * (m[1, 0] * r[0, 2] + m[1, 1] * r[1, 2])
    return ax, ay, az, bx, by, bz


@register_jitable
def section_slopes(ref, half, px, py, pz, r00, r01, r02, r10, r11, r12, r20, r21, r22):
    """Return a reference's value (re, im) at a point and its derivatives along the image's x, y, z, whose axes are r.

    The derivatives are by the point's own coordinates, in padded shells.
    """
    vr, vi, xr, xi, yr, yi, zr, zi = value_and_gradient(ref, half, px, py, pz)
    return (
        vr,
        vi,
        r00 * xr + r01 * yr + r02 * zr,
        r00 * xi + r01 * yi + r02 * zi,
        r10 * xr + r11 * yr + r12 * zr,
        r10 * xi + r11 * yi + r12 * zi,
        r20 * xr + r21 * yr + r22 * zr,
        r20 * xi + r21 * yi + r22 * zi,
    )
