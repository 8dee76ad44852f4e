"""Images of particles from micrographs: where they are cut, how they are rescaled and normalised."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.particle_extraction import (
    ExtractParticlesOptions,
    boxes_inside,
    boxes_touching,
    crop_images,
    extract_particles,
    nearest_pixels,
    normalise_images,
    outside_circle,
    rescale_images,
    size_errors,
)
from emtomo.errors import EmtomoError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_rest_of_a_position_is_at_most_half_a_pixel():
    positions = np.random.default_rng(1).uniform(0, 900, (50, 2))
    nearest, rest = nearest_pixels(positions, 1.77)
    assert np.abs(rest).max() <= 1.77 / 2 + 1e-9
    assert_allclose(nearest * 1.77 + rest, positions)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_an_impossible_position_is_named(bad):
    with pytest.raises(EmtomoError, match=r"Particle 2 lies at x, y .*no micrograph can be"):
        nearest_pixels(np.array([[0, 0], [bad, 1]]), 1.0)


def test_the_centre_pixel_is_the_particles():
    micrograph = noise(60, 71)
    centres = np.array([[30, 20], [40, 50], [8, 8], [62, 51]])
    images = crop_images(micrograph, centres, 16)
    assert_allclose(images[:, 8, 8], micrograph[centres[:, 1], centres[:, 0]])
    assert_allclose(images[0], micrograph[12:28, 22:38])
    assert boxes_inside(centres, 16, micrograph.shape).tolist() == [True, True, True, True]


def test_beyond_the_edge_stands_the_edge():
    micrograph = noise(40, 50)
    centres = np.array([[0, 0], [49, 39], [60, 20], [-30, 5]])
    assert boxes_inside(centres, 8, (40, 50)).tolist() == [False] * 4
    assert boxes_touching(centres, 8, (40, 50)).tolist() == [True, True, False, False]
    image = crop_images(micrograph, centres, 8)[0]
    assert_allclose(image[:4], np.tile(image[4], (4, 1)))
    assert_allclose(image[4:, 4:], micrograph[:4, :4])


@pytest.mark.parametrize(("n", "m"), [(64, 32), (64, 48), (60, 22), (32, 64)])
def test_rescaling_keeps_waves_that_fit(n, m):
    """A wave below both Nyquist frequencies is the same function of Å about the centre pixel."""
    x = np.arange(n) - n // 2
    fine = np.cos(2 * np.pi * (3 * x[None, :] + 2 * x[:, None]) / n + 0.4)
    u = np.arange(m) - m // 2
    coarse = np.cos(2 * np.pi * (3 * u[None, :] + 2 * u[:, None]) / m + 0.4)
    assert_allclose(rescale_images(fine[None].astype(np.float32), m)[0], coarse, atol=2e-5)


def test_rescaling_is_fourier_cropping():
    images = noise(2, 32, 32)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=(1, 2))), axes=(1, 2))
    cropped = spectrum[:, 8:24, 8:24].copy()
    found = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(rescale_images(images, 16), axes=(1, 2))), axes=(1, 2))
    assert_allclose(found[:, 1:, 1:] * 4, cropped[:, 1:, 1:], atol=1e-3)


def test_a_plane_and_the_grey_level_are_taken_away():
    y, x = np.indices((64, 64))
    images = noise(3, 64, 64) * 7 + 5000 + 2.0 * x - 0.7 * y
    background = outside_circle(64, 24)
    images = images.astype(np.float32)
    assert not normalise_images(images, background).any()
    for image in images:
        assert abs(image[background].mean()) < 1e-4 and abs(image[background].std() - 1) < 1e-4
        slope = np.linalg.lstsq(np.stack([x[background], y[background], np.ones(background.sum())], 1),
                                image[background], rcond=None)[0]  # fmt: skip
        assert np.abs(slope[:2]).max() < 1e-5


def test_constant_images_stay_finite():
    images, constant = extract_particles(
        np.full((40, 40), 7, np.float32), np.array([[20, 20]]), ExtractParticlesOptions(box_size=16)
    )
    assert constant.all() and np.isfinite(images).all() and np.abs(images).max() < 1e-5


def test_dust_becomes_background():
    micrograph = noise(64, 64)
    micrograph[32, 32], micrograph[30, 40] = 60, -60
    options = ExtractParticlesOptions(box_size=32, white_dust=5, black_dust=5)
    images, _ = extract_particles(micrograph, np.array([[32, 32]]), options, seed=3)
    again, _ = extract_particles(micrograph, np.array([[32, 32]]), options, seed=3)
    assert np.abs(images).max() < 6
    assert_allclose(images, again)
    kept, _ = extract_particles(micrograph, np.array([[32, 32]]), ExtractParticlesOptions(box_size=32))
    assert kept.min() < -20 and kept.max() > 20


def test_contrast_is_inverted():
    micrograph, at = noise(40, 40), np.array([[20, 20]])
    dark, _ = extract_particles(micrograph, at, ExtractParticlesOptions(box_size=16, invert=False))
    white, _ = extract_particles(micrograph, at, ExtractParticlesOptions(box_size=16))
    assert_allclose(dark, -white, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"box_size": 65}, "Particle box size must be even, got 65; take 64 or 66."),
        ({"box_size": 64, "rescale": 33}, "Re-scaled size must be even, got 33; take 32 or 34."),
        ({"box_size": 64, "background_diameter": 80}, "Diameter background circle must not exceed the box"),
        ({"box_size": 4}, "Particle box size must be at least 8 pixels, got 4."),
    ],
)
def test_wrong_sizes_are_sentences(given, sentence):
    options = ExtractParticlesOptions(**given)
    assert sentence in size_errors(options)[0]
    with pytest.raises(EmtomoError, match="must"):
        extract_particles(noise(80, 80), np.array([[40, 40]]), options)


def test_no_particles_are_no_images():
    images, constant = extract_particles(noise(40, 40), np.zeros((0, 2), int), ExtractParticlesOptions(box_size=16))
    assert images.shape == (0, 16, 16) and len(constant) == 0
