"""The deconvolution filter for looking: its curve, and what it does to contrast in a tomogram."""

import numpy as np
import pytest

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.tilt import filtering
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import ReconstructTomogramOptions


@pytest.mark.parametrize("pixel", [5.0, 10.0])
def test_noise_is_that_of_the_published_script(pixel):
    """tom_deconv_tomo, written out: 2048 samples to the Nyquist frequency, its high-pass as a fraction of that."""
    fraction, strength, falloff, highpass = np.arange(2048) / 2047, 1.0, 1.1, 2 * pixel / 300
    rise = 1 - np.cos(np.minimum(1, fraction / highpass) * np.pi)
    snr = np.exp(-fraction * falloff * 100 / pixel) * 10 ** (3 * strength) * rise
    ours = filtering.deconvolution_noise(fraction * 0.5 / pixel, strength, falloff, 300.0)
    assert np.allclose(1 / ours[1:], snr[1:], rtol=1e-6)


def test_an_image_is_multiplied_with_the_wiener_filter_of_every_slab():
    rng, pixel, n = np.random.default_rng(0), 4.0, 90
    ctf = Ctf(21000.0, 19000.0, angle=30.0, phase_shift=20.0)
    spectrum = filtering.transform_image(rng.standard_normal((n, n)).astype(np.float32), pixel, 0)
    k = np.linspace(0, 0.2, 400)
    noise = filtering.deconvolution_noise(k, 0.7, 0.9, 200.0)
    correction = filtering.SlabCorrection(filtering.WIENER, ctf, -700.0, noise, k[1])
    made = filtering.filter_image(spectrum, correction, 3, spectrum.shape)
    kx, ky = spectrum.kx[None], spectrum.ky[:, None]
    below = np.interp(np.hypot(kx, ky), k, noise)
    for slab in range(3):
        values = ctf.with_defocus_added(-700.0 * slab).values(kx, ky, dtype=float)
        wanted = np.fft.irfft2(spectrum.values * values / (values**2 + below), spectrum.shape)
        assert np.abs(made[slab] - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_deconvolution_brings_back_low_frequencies():
    """A dense sphere, whose inside the CTF takes away, is filled again; particles stay as dark as in the images."""
    pixel, n, angles = 8.0, 96, np.linspace(-60, 60, 31)
    g = tilt_geometry({"angle": angles, "dose": np.zeros(31), "defocus_u": np.full(31, 3e4)}, pixel_size=pixel)
    y, x = np.indices((n, n)) - n // 2
    height = 2 * np.sqrt(np.maximum(0, 14.0**2 - x**2 - y**2))
    kx, ky = np.fft.rfftfreq(n, pixel)[None], np.fft.fftfreq(n, pixel)[:, None]
    image = np.fft.irfft2(np.fft.rfft2(height) * Ctf.of_defocus(3e4).values(kx, ky, contrast="dark"), (n, n))
    inside = {}
    for ctf in ("none", "deconvolve"):
        options = ReconstructTomogramOptions(dose_weights=False, ctf=ctf)
        made = reconstruct_tomogram(lambda t: image, g, (48, n, n), pixel, options)
        middle, around = made[20:28, 44:52, 44:52].mean(), made[20:28, 44:52, :20].mean()
        inside[ctf] = (middle - around) / made.std()
    assert inside["deconvolve"] < 2 * inside["none"] < 0
