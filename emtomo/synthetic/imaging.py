"""Take a tilt series of a sample, and reconstruct its tomogram."""

from collections.abc import Callable

import numpy as np

from emtomo.compute.optics.ctf import Ctf, image_frequencies
from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.tilt.projection import back_project, filter_ramp, project
from emtomo.errors import EmtomoError
from emtomo.synthetic.phantom import PhantomOptions


def tilt_angles(options: PhantomOptions) -> np.ndarray:
    """Return the tilt angles in degrees, ascending."""
    n = int(np.floor(options.tilt_max / options.tilt_step + 1e-9))
    return np.arange(-n, n + 1) * options.tilt_step


def acquisition_order(angles: np.ndarray) -> np.ndarray:
    """Return the place of each tilt in the dose-symmetric scheme (Hagen et al. 2017), from 0."""
    by_size = np.lexsort((-np.sign(angles), np.abs(angles)))
    order = np.empty(len(angles), int)
    order[by_size] = np.arange(len(angles))
    return order


def take_tilt_series(
    density: np.ndarray, options: PhantomOptions, *, progress: Callable[[float, float], None] | None = None
) -> np.ndarray:
    """Return noisy images of a density, dark where it is dense.

    Projection, CTF, loss of detail by the dose received so far, white noise.

    Returns
    -------
    (tilts, y, x) float32 array

    Raises
    ------
    EmtomoError
        If structural noise is asked for: it has a defocus of its own at every height, see :func:`image_particles`.
    """
    if options.structural_noise:
        raise EmtomoError("Structural noise is imaged by image_particles, not by take_tilt_series.")
    angles = tilt_angles(options)
    order = acquisition_order(angles)
    images = project(density, angles)
    shape = (images.shape[1], images.shape[2])
    transfer = Ctf.of_defocus(options.defocus).image(shape, options.pixel_size, contrast="dark")
    frequency = np.hypot(*image_frequencies(shape, options.pixel_size))
    rng = np.random.default_rng(options.seed + 1)
    for k, image in enumerate(images):
        weights = dose_weights(frequency, options.dose * (order[k] + 0.5))
        images[k] = np.fft.irfft2(np.fft.rfft2(image) * transfer * weights, shape)
        if progress:
            progress(k + 1, len(images))
    noise = np.sqrt(images.var() / options.snr)
    images += rng.normal(0, noise, images.shape).astype(np.float32)
    return images


def reconstruct(images: np.ndarray, options: PhantomOptions) -> np.ndarray:
    """Return the weighted back-projection of a tilt series, phases of the CTF flipped."""
    shape = (images.shape[1], images.shape[2])
    sign = np.sign(Ctf.of_defocus(options.defocus).image(shape, options.pixel_size))
    flipped = np.stack([np.fft.irfft2(np.fft.rfft2(image) * sign, shape) for image in images])
    return back_project(filter_ramp(flipped), tilt_angles(options), options.size_z)
