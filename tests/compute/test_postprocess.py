"""FSC with masks, sharpening and local resolution on maps of known signal."""

import numpy as np
import pytest

from emtomo.compute.fourier.box_faces import CUT_AT_FACES, REACHES_FACES
from emtomo.compute.fourier.filters import ball, fit_to_box, lowpass, radial_filter
from emtomo.compute.fourier.independence import find_dependence, find_too_few_samples
from emtomo.compute.fourier.shell_correlation import (
    fourier_shell_correlation,
    resolution_at,
    resolution_text,
    shells_of,
    solvent_corrected_fsc,
    why_no_resolution,
)
from emtomo.compute.postprocess import (
    PostprocessOptions,
    local_resolution,
    mean_amplitude,
    postprocess,
)
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


def test_density_cut_at_the_faces_of_the_box_is_no_fine_agreement(rng):
    wide = lowpass(rng.normal(size=(48, 48, 48)).astype(np.float32), 1.0, 6.0)
    cut = wide[12:36, 12:36, 12:36] / wide.std()  # nothing of it is finer than 4.8 voxels, but it goes on outside
    a, b = (cut + 0.5 * rng.normal(size=cut.shape).astype(np.float32) for _ in range(2))
    done = postprocess(a, b, np.ones_like(cut), 1.0, PostprocessOptions())
    assert resolution_at(done.curves.unmasked, 24, 1.0) < 2.4  # the trap
    assert done.curves.cut and {REACHES_FACES, CUT_AT_FACES} <= set(done.remarks)
    assert 3.5 < done.resolution < 6
    inside = blobs(24)  # ends within the box
    a, b = (inside + inside.std() * rng.normal(size=cut.shape).astype(np.float32) for _ in range(2))
    assert not solvent_corrected_fsc(a, b, ball(24, 7, 4)).cut


@pytest.mark.parametrize("n", [24, 49])
@pytest.mark.parametrize("hollow", [True, False])
def test_a_capsid_or_particle_that_fills_its_box_but_ends_within_it_is_not_taken_for_cut(n, hollow):
    rng = np.random.default_rng(n)
    grid = np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij")
    radius = np.sqrt(sum(k**2 for k in grid))
    outer = (0.9 if hollow else 0.95) * n / 2
    body = np.clip((outer - radius) / 2 + 0.5, 0, 1)
    if hollow:
        body = body * (1 - np.clip((outer - max(3, 0.12 * n) - radius) / 2 + 0.5, 0, 1))
    body = (body * (1 + 0.5 * rng.normal(size=radius.shape))).astype(np.float32)  # white: something in every shell
    level = body[body > 0].std()
    a, b = (body + level * rng.normal(size=body.shape).astype(np.float32) for _ in range(2))
    mask = np.clip((outer + 1 - radius) / 3 + 0.5, 0, 1).astype(np.float32)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - n / 2 + 3) / 3, 0, 1))  # as RELION's half maps
    for window in (1, fade) if n > 24 else (1,):  # a fade of 3 voxels cuts particles of so small boxes
        curves = solvent_corrected_fsc(a * np.float32(window), b * np.float32(window), mask)
        assert not curves.cut
    corrected = solvent_corrected_fsc(a, b, mask).corrected
    assert (corrected[1 : n // 2] > 0.143).all()  # compared one by one, the shells of a hollow one end at 16 of 24


def test_where_phases_are_randomised_can_be_chosen(rng):
    a, b = (rng.normal(size=(24, 24, 24)) + 3 * blobs(24) for _ in range(2))
    curves = solvent_corrected_fsc(a, b, ball(24, 7, 4), start_at=5)
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
    other = volume + np.random.default_rng(0).normal(0, 1e-2, volume.shape).astype(np.float32)
    mtf = np.linspace(1, 0.5, 13)
    done = postprocess(volume, other, np.ones_like(volume), 10.0, PostprocessOptions(bfactor=0.0))
    divided = postprocess(volume, other, np.ones_like(volume), 10.0, PostprocessOptions(bfactor=0.0), mtf)
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
    assert np.isnan(resolution_at(curve, 14, 10.0))
    assert "less than 0.143 in their coarsest shell" in why_no_resolution(curve, 14)
    assert 140 / 6 < resolution_at(curve, 14, 10.0, first=3) < 140 / 5


def test_shells_are_rounded_distances():
    shell = shells_of(8)
    assert shell[0, 0, 0] == 0
    assert shell[4, 0, 0] == 4
    assert shell[1, 1, 1] == 2


def test_the_same_half_twice_empty_halves_and_empty_masks_have_no_resolution():
    rng = np.random.default_rng(2)
    volume = (blobs(24) + rng.normal(0, 1, (24, 24, 24))).astype(np.float32)
    none = np.zeros_like(volume)
    for a, b, word in (
        (volume, volume, "same map"),
        (volume, 3 * volume, "same map"),
        (volume, lowpass(volume, 2.0, 6.0), "same map"),
        (volume, none, "empty"),
        (none, none, "empty"),
        (volume, none + 7, "empty"),
        (volume, np.where(volume > 2, np.nan, volume), "finite"),
    ):
        curve = fourier_shell_correlation(a, b)
        assert np.isnan(resolution_at(curve, 24, 2.0)), word
        assert word in why_no_resolution(curve, 24)
        with pytest.raises(EmtomoError, match=word):
            postprocess(a, b, ball(24, 9, 3), 2.0, PostprocessOptions())
    with pytest.raises(EmtomoError, match="mask is empty"):
        postprocess(volume, volume + none, none, 2.0, PostprocessOptions())
    # halves that share voxels, or are one map shifted, have a curve, and a remark says what it is worth
    other = (blobs(24) + rng.normal(0, 1, volume.shape)).astype(np.float32)
    shared = np.where(np.arange(24)[:, None, None] < 6, volume, other)
    mask, moved = ball(24, 9, 3), np.roll(volume, (-1, 2), (1, 2))
    for b, word in (
        (shared, "25 % of the voxels are exactly"),
        (moved, "by 2, -1, 0 voxels"),
    ):
        assert word in postprocess(volume, b, mask, 2.0, PostprocessOptions()).remarks[0]
    plain = postprocess(volume, other, mask, 2.0, PostprocessOptions()).remarks
    assert not any("independent" in remark or "by chance" in remark for remark in plain)
    rounded = find_dependence(np.rint(4 * volume), np.rint(4 * other), fourier_shell_correlation(volume, other))
    assert rounded == ""  # few values: equal by chance
    assert "holds 7 voxels" in find_too_few_samples(ball(24, 1.2, 0.0), 4.0)
    # a mask that covers a place where both maps are zero
    inside = ball(24, 6, 0.0)
    other = rng.normal(0, 1, volume.shape).astype(np.float32)
    with pytest.raises(EmtomoError, match="empty"):
        postprocess(volume * (1 - inside), other * (1 - inside), inside, 2.0, PostprocessOptions())


def test_boxes_of_a_few_voxels_and_curves_above_the_threshold_are_said():
    rng = np.random.default_rng(2)
    for n in (2, 3, 4, 5):
        a, b = rng.normal(size=(2, n, n, n))
        assert np.isnan(resolution_at(fourier_shell_correlation(a, b), n, 4.0))
        assert f"{n} voxels" in why_no_resolution(fourier_shell_correlation(a, b), n)
    a = rng.normal(size=(24, 24, 24))
    curve = fourier_shell_correlation(a, a + 0.2 * rng.normal(size=a.shape))
    assert resolution_at(curve, 24, 20.0) == 40.0
    assert resolution_text(40.0, 20.0) == "reaches Nyquist (40.0 Å)"
    assert resolution_text(48.2, 20.0) == "48.2 Å"
    assert resolution_text(np.nan, 20.0) == resolution_text(0.0, 20.0) == "none"


def test_shells_without_signal_agree_about_nothing():
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(32, 32, 32)).astype(np.float32)
    halves = [signal + 0.3 * rng.normal(size=signal.shape).astype(np.float32) for _ in range(2)]
    band = np.zeros(29, np.float32)
    band[3:9] = 1  # shells 3 to 8 alone are left
    curve = fourier_shell_correlation(*(radial_filter(h, band) for h in halves))
    assert np.all(curve[[0, 1, 2]] == 0)
    assert np.all(curve[9:] == 0)
    assert np.all(curve[3:9] > 0.8)
    assert 32 / 9 <= resolution_at(curve, 32, 1.0) <= 32 / 8
