"""FSC with masks, sharpening and local resolution on maps of known signal."""

import numpy as np
import pytest

from emtomo.compute.fourier.filters import ball, fit_to_box, lowpass, radial_filter
from emtomo.compute.fourier.shell_correlation import (
    fourier_shell_correlation,
    resolution_at,
    shells_of,
    solvent_corrected_fsc,
)
from emtomo.compute.postprocess import PostprocessOptions, local_resolution, mean_amplitude, postprocess
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import blobs

N = 48


def fall_off(volume, bfactor, pixel_size):
    x = np.arange(int(0.87 * volume.shape[0]) + 1) / (volume.shape[0] * pixel_size)
    return radial_filter(volume, np.exp(-bfactor * x**2 / 4))


def white_particle(seed=0):
    """A ball of white noise: its amplitudes are flat, as Guinier's line supposes."""
    inside = ball(N, 12, 2)
    return np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32) * inside


def test_a_mask_alone_makes_noise_agree_and_the_correction_takes_it_back(rng):
    a, b = (rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2))
    shape = ball(N, 8, 3)
    blob = 4 * lowpass(shape, 1.0, 12.0)
    curves = solvent_corrected_fsc(a + blob, b + blob, shape)
    far = slice(14, 22)
    assert np.abs(curves.unmasked[far]).max() < 0.12
    assert np.abs(curves.corrected[far]).max() < 0.25
    one_mask = fourier_shell_correlation(shape + 0.01 * a, shape + 0.01 * b)
    assert one_mask[1] > 0.99
    assert curves.randomised_from < 12


def test_where_phases_are_randomised_can_be_chosen(rng):
    a, b = (rng.normal(size=(24, 24, 24)) + 3 * blobs(24) for _ in range(2))
    curves = solvent_corrected_fsc(a, b, np.ones((24, 24, 24)), start_at=5)
    assert curves.randomised_from == 5
    assert np.array_equal(curves.corrected[:7], curves.masked[:7])
    with pytest.raises(EmtomoError, match="mask must have"):
        solvent_corrected_fsc(a, b, np.ones((20, 20, 20)))


def test_the_bfactor_that_blurred_a_map_is_found():
    pixel_size, true = 2.0, 150.0
    blurred = fall_off(white_particle(), true, pixel_size)
    noise = [np.random.default_rng(s).normal(0, 0.002, (N, N, N)).astype(np.float32) for s in (1, 2)]
    done = postprocess(
        blurred + noise[0], blurred + noise[1], ball(N, 15, 4), pixel_size, PostprocessOptions(fit_from=20.0)
    )
    assert done.bfactor == pytest.approx(-true, rel=0.15)
    sharp = mean_amplitude(done.masked)[4:16]
    assert sharp.max() / sharp.min() < 1.6
    assert done.guinier.correlation < -0.9


def test_a_given_bfactor_and_the_missing_fit_are_said():
    volume = blobs(24)
    rng = np.random.default_rng(0)
    halves = [volume + rng.normal(0, 1.0, volume.shape).astype(np.float32) for _ in range(2)]
    mask = ball(24, 9, 3)
    plain = postprocess(*halves, mask, 10.0, PostprocessOptions())
    assert plain.bfactor == 0
    assert "Guinier" in " ".join(plain.remarks)
    given = postprocess(*halves, mask, 10.0, PostprocessOptions(bfactor=-500.0))
    assert given.bfactor == -500
    ratio = mean_amplitude(given.volume)[1:6] / mean_amplitude(plain.volume)[1:6]
    x = (np.arange(1, 6) / 240) ** 2
    assert np.allclose(ratio, np.exp(500 * x / 4), rtol=0.05)
    assert plain.resolution == resolution_at(plain.curves.corrected, 24, 10.0)


def test_an_mtf_is_divided_out():
    volume = blobs(24)
    mtf = np.linspace(1, 0.5, 13)
    done = postprocess(volume, volume, np.ones_like(volume), 10.0, PostprocessOptions(bfactor=0.0))
    divided = postprocess(volume, volume, np.ones_like(volume), 10.0, PostprocessOptions(bfactor=0.0), mtf)
    ratio = mean_amplitude(divided.volume)[1:10] / mean_amplitude(done.volume)[1:10]
    assert np.allclose(ratio, 1 / mtf[1:10], rtol=0.02)


def test_local_resolution_tells_the_blurred_half_from_the_sharp_one():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(64, 64, 64)).astype(np.float32)
    blurred = lowpass(base, 1.0, 10.0)
    left = np.zeros_like(base)
    left[:, :, :32] = 1
    signal = np.where(left > 0, base, blurred)
    halves = [signal + 0.45 * rng.normal(size=base.shape).astype(np.float32) for _ in range(2)]
    local = local_resolution(*halves, np.ones_like(base), 1.0, 14.0)
    sharp, soft = np.median(local[16:48, 16:48, 10:22]), np.median(local[16:48, 16:48, 42:54])
    assert sharp < 3.0
    assert 7.5 < soft < 13.0
    with pytest.raises(EmtomoError, match="local window"):
        local_resolution(*halves, np.ones_like(base), 1.0, 3.0)


@pytest.mark.parametrize("n", [16, 17])
def test_filters_and_fitting_keep_the_centre(n):
    volume = np.zeros((n, n, n), np.float32)
    volume[n // 2, n // 2, n // 2] = 1
    assert np.unravel_index(np.argmax(lowpass(volume, 1.0, 5.0)), volume.shape) == (n // 2,) * 3
    same = fit_to_box(volume, 2.0, n, 2.0)
    assert np.array_equal(same, volume)
    wider = fit_to_box(volume, 2.0, n + 8, 2.0)
    assert wider[(n + 8) // 2, (n + 8) // 2, (n + 8) // 2] == pytest.approx(1, abs=1e-4)
    assert np.abs(wider[0]).max() < 1e-6
    coarser = fit_to_box(blobs(32), 2.0, 16, 4.0)
    assert np.unravel_index(np.argmax(np.abs(coarser)), coarser.shape)
    assert np.corrcoef(coarser.ravel(), lowpass(blobs(32), 2.0, 9.0)[::2, ::2, ::2].ravel())[0, 1] > 0.95


def test_empty_coarse_shells_can_be_passed_over():
    curve = np.array([1.0, 0.05, 0.3, 0.9, 0.9, 0.5, 0.0, 0.0])
    assert resolution_at(curve, 14, 10.0) == pytest.approx(140 / (0 + (1 - 0.143) / 0.95))
    assert 140 / 6 < resolution_at(curve, 14, 10.0, first=3) < 140 / 5


def test_shells_are_rounded_distances():
    shell = shells_of(8)
    assert shell[0, 0, 0] == 0
    assert shell[4, 0, 0] == 4
    assert shell[1, 1, 1] == 2
