"""Statistics of volumes, and masks that are applied."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.masks import ApplyMaskOptions, apply_mask
from emtomo.compute.statistics import describe_values, is_dark, sample_values
from emtomo.errors import EmtomoError


def test_statistics_are_those_of_all_finite_values():
    volume = np.random.default_rng(1).normal(1e4, 3, (7, 9, 11))
    volume[2, 3, 4] = np.nan
    volume[0] = np.inf
    good = volume[np.isfinite(volume)]
    found = describe_values(volume.astype(np.float64))
    assert (found.count, found.missing) == (len(good), 100)
    assert_allclose([found.mean, found.deviation, found.minimum, found.maximum],
                    [good.mean(), good.std(), good.min(), good.max()], rtol=1e-12)  # fmt: skip
    assert_allclose([found.low, found.median, found.high], np.percentile(good, [1, 50, 99]))
    assert describe_values(np.array([2, 4], np.int8)).mean == 3
    with pytest.raises(EmtomoError, match="no finite value"):
        describe_values(np.full((2, 2, 2), np.nan))


def test_a_large_volume_is_sampled_evenly():
    ramp = np.broadcast_to(np.arange(100.0)[None, None], (10, 20, 100))
    sample = sample_values(ramp, most=1000)
    assert 900 <= len(sample) <= 1100
    assert abs(sample.mean() - ramp.mean()) < 1


def test_a_mask_is_applied():
    volume = np.full((4, 5, 6), 3.0, np.float32)
    volume[:, :, 3:] = 7.0
    mask = np.zeros_like(volume)
    mask[:, :, :3] = 1
    mask[:, :, 3] = 0.5
    assert_allclose(apply_mask(volume, mask, ApplyMaskOptions())[0, 0], [3, 3, 3, 3.5, 0, 0])
    assert_allclose(apply_mask(volume, mask, ApplyMaskOptions(background="mean"))[0, 0], [3, 3, 3, 7, 7, 7])
    assert_allclose(apply_mask(volume, mask, ApplyMaskOptions(keep="outside"))[0, 0], [0, 0, 0, 3.5, 7, 7])
    whole = apply_mask(volume, np.ones_like(volume), ApplyMaskOptions(background="mean"))
    assert_allclose(whole, volume)
    with pytest.raises(EmtomoError, match="leaves nothing"):
        apply_mask(volume, np.zeros_like(volume), ApplyMaskOptions())
    with pytest.raises(EmtomoError, match="volume's size 6×5×4, got 5×5×4"):
        apply_mask(volume, mask[..., :5], ApplyMaskOptions())
    with pytest.raises(EmtomoError, match="volume holds values that are no numbers"):
        apply_mask(np.full_like(volume, np.nan), mask, ApplyMaskOptions())


def test_dark_maps_are_distinguished_from_white_ones():
    rng = np.random.default_rng(0)
    z, y, x = np.indices((24, 24, 25)) - 12
    ball = ((x - 3) ** 2 + y**2 + (2 * z) ** 2 < 40) * 1.0
    for noise in (0.0, 0.2):
        white = ball + rng.normal(0, noise, ball.shape) + 7
        assert is_dark(white) is False
        assert is_dark(-3 * white) is True
    membrane = np.exp(-((np.sqrt(x**2 + y**2 + z**2) - 8) ** 2) / 4)
    assert (is_dark(membrane), is_dark(-membrane)) == (False, True)
    assert is_dark(rng.normal(size=(24, 24, 24))) is None
    assert is_dark(np.ones((8, 8, 8))) is None
    assert is_dark(np.ones((1, 1, 1))) is None
