"""Amorphous ice in images of a tilted section: noise that the CTF shapes, by which Thon rings are seen."""

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.compute.optics.ctf import image_frequencies
from emtomo.compute.optics.tile_rings import section_slope
from emtomo.compute.tilt.geometry import TiltGeometry

STEP = 200.0  # Å of height that share a defocus


def image_ice(
    geometry: TiltGeometry, tilt: int, shape: tuple[int, int], thickness: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the image of ice that fills a section in the tomogram's xy plane.

    Scatterers are white, and others in every image: under the beam water moves by about 1 Å for every e/Å² [1]_. So the
    dose that came before leaves the rings as they are. Each part of the section has the defocus of its height.

    Parameters
    ----------
    geometry : TiltGeometry
        With CTF and pixel size.
    tilt : int
        Number of the image, from 0.
    shape : (int, int)
        Rows and columns.
    thickness : float
        Å of the section, about the tomogram's middle.
    rng : Generator

    Returns
    -------
    (rows, columns) float32 array
        Of mean 0 and standard deviation 1.

    References
    ----------
    .. [1] McMullan, Vinothkumar & Henderson, Ultramicroscopy 158 (2015).
    """
    pixel, frequencies = geometry.pixel_size, image_frequencies(shape, geometry.pixel_size)
    slope = section_slope(geometry, tilt)
    y, x = (((np.arange(n) - n // 2) * pixel - s) for n, s in zip(shape, geometry.shifts[tilt, ::-1], strict=True))
    middle = slope[0] * x[None, :] + slope[1] * y[:, None]
    reach = max(thickness, 1.0) / 2 * float(np.hypot(1.0, np.hypot(*slope)))  # along the beam
    one = geometry.take(np.array([tilt]))
    spectrum = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
    for low in np.arange(np.floor((middle.min() - reach) / STEP) * STEP, middle.max() + reach, STEP):
        part = np.minimum(middle + reach, low + STEP) - np.maximum(middle - reach, low)
        scatterers = np.sqrt(np.maximum(part, 0)).astype(np.float32) * rng.standard_normal(shape, np.float32)
        ctf = one.local_ctf(np.array([[low + STEP / 2]]))[0, 0]
        spectrum += rfft2(scatterers) * ctf.values(*frequencies)
    spectrum[0, 0] = 0
    image = irfft2(spectrum, shape)
    return np.asarray(image / max(float(image.std()), 1e-12), np.float32)
