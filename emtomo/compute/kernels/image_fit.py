"""Body: the section of a reference that an image measures at one frequency, with its slopes along the image's axes."""

from numba.extending import register_jitable

from emtomo.compute.kernels.fourier import value, value_and_gradient


@register_jitable
def section_value(ref, pad, r, x, y):
    """Return the reference (re, im) at R.T (x, y, 0).

    Parameters
    ----------
    ref, pad
        Padded transform and its padding.
    r : (3, 3) float32 array
        From the reference to the image.
    x, y : float32
        Frequency in shells.
    """
    return value(
        ref,
        ref.shape[0] // 2,
        pad * (r[0, 0] * x + r[1, 0] * y),
        pad * (r[0, 1] * x + r[1, 1] * y),
        pad * (r[0, 2] * x + r[1, 2] * y),
    )


@register_jitable
def section_slopes(ref, pad, r, x, y):
    """Return what :func:`section_value` does, and its derivatives by the frequency along the image's x, y, z."""
    vr, vi, xr, xi, yr, yi, zr, zi = value_and_gradient(
        ref,
        ref.shape[0] // 2,
        pad * (r[0, 0] * x + r[1, 0] * y),
        pad * (r[0, 1] * x + r[1, 1] * y),
        pad * (r[0, 2] * x + r[1, 2] * y),
    )
    return (
        vr,
        vi,
        pad * (r[0, 0] * xr + r[0, 1] * yr + r[0, 2] * zr),
        pad * (r[0, 0] * xi + r[0, 1] * yi + r[0, 2] * zi),
        pad * (r[1, 0] * xr + r[1, 1] * yr + r[1, 2] * zr),
        pad * (r[1, 0] * xi + r[1, 1] * yi + r[1, 2] * zi),
        pad * (r[2, 0] * xr + r[2, 1] * yr + r[2, 2] * zr),
        pad * (r[2, 0] * xi + r[2, 1] * yi + r[2, 2] * zi),
    )
