"""The CTF of simulated tilt series: known defocus, astigmatism, phase shift and hand come back; noise is no CTF."""

from dataclasses import replace

import numpy as np
import pytest

from emtomo.compute.optics.estimation import CtfEstimate, estimate_ctf
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.tile_rings import choose_rings
from emtomo.errors import EmtomoError
from tests.compute.optics.tilted_ice import AMPLITUDE_CONTRAST, PIXEL, simulate_tilts

ANGLES = np.arange(-56.0, 57.0, 14.0)


def _defocus(mean: float, seed: int = 1) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0, 500, len(ANGLES))


def _estimate(images, geometry, **options) -> CtfEstimate:
    return estimate_ctf(
        images.__getitem__, geometry, CtfEstimationOptions(**options), amplitude_contrast=AMPLITUDE_CONTRAST
    )


@pytest.fixture(scope="module")
def series():
    defocus = _defocus(22000)
    return (*simulate_tilts(ANGLES, defocus, (400, 400), empty=(1,)), defocus)


@pytest.fixture(scope="module")
def whole(series):
    return _estimate(*series[:2])


@pytest.mark.parametrize(
    ("mean", "hand", "shape", "astigmatism", "plane"),
    [
        (10000, 1, (400, 400), 300.0, (0.0, 0.0)),
        (30000, -1, (561, 547), 1500.0, (8.0, -12.0)),
        (50000, 1, (512, 512), 600.0, (0.0, 0.0)),
    ],
)
def test_defocus_astigmatism_hand_and_plane_come_back(mean, hand, shape, astigmatism, plane):
    defocus = _defocus(mean)
    images, geometry = simulate_tilts(ANGLES, defocus, shape, hand=hand, astigmatism=astigmatism, plane=plane)
    result = _estimate(images, geometry)
    error = np.abs(result.ctf.defocus - defocus)
    assert result.fitted.all() and np.median(error[np.abs(ANGLES) < 30]) <= 150 and np.median(error) <= 150
    assert error.max() <= 400
    assert result.hand == hand and result.hand_is_certain and result.hand_certainty * hand > 0
    assert np.ptp(result.ctf.defocus_u - result.ctf.defocus_v) < 1e-6
    assert result.ctf.defocus_u[0] - result.ctf.defocus_v[0] == pytest.approx(astigmatism, abs=150)
    assert result.ctf.angle[0] == pytest.approx(32, abs=8)
    assert result.correlation.min() > 0.5 and (result.resolution[np.abs(ANGLES) < 30] < 12).all()
    difference = np.abs(result.plane.angles - plane)
    assert result.plane.is_certain == any(plane) and (difference < 4).all()
    assert (result.plane.angles == 0).all() if not any(plane) else (difference < 3 * result.plane.errors).all()


def test_an_inclined_plane_turns_about_x_and_then_y():
    from emtomo.compute.optics.tile_rings import incline, section_slope
    from emtomo.compute.tilt.geometry import tilt_geometry

    geometry = tilt_geometry({"angle": [0.0, 40.0], "tilt_axis_angle": [0.0, 0.0]}, pixel_size=PIXEL)
    about_y, about_x = incline(geometry, np.array([0.0, 10.0])), incline(geometry, np.array([10.0, 0.0]))
    expected = [[-np.tan(np.deg2rad(10)), 0], [-np.tan(np.deg2rad(50)), 0]]
    assert np.allclose([section_slope(about_y, t) for t in (0, 1)], expected)
    assert np.allclose(section_slope(about_x, 0), [0, np.tan(np.deg2rad(10))])
    assert np.allclose(section_slope(about_x, 1)[1], np.tan(np.deg2rad(10)) / np.cos(np.deg2rad(40)))


def test_tilts_without_rings_are_flagged_and_get_values_of_their_neighbours(series, whole):
    images, geometry, defocus = series
    result = whole
    assert list(np.flatnonzero(~result.fitted)) == [1]
    assert np.abs(result.ctf.defocus - defocus)[result.fitted].max() < 250
    assert result.ctf.defocus[1] == pytest.approx((result.ctf.defocus[0] + result.ctf.defocus[2]) / 2, abs=1)
    assert result.significance[1] < result.significance[result.fitted].min()


def test_excluded_tilts_are_not_read_and_do_not_move_others(series, whole):
    images, geometry, _ = series
    excluded = np.isin(np.arange(len(ANGLES)), (0, 1, 6))

    def read(t: int) -> np.ndarray:
        assert not excluded[t]
        return images[t]

    part = estimate_ctf(
        read,
        replace(geometry, excluded=excluded),
        CtfEstimationOptions(),
        amplitude_contrast=AMPLITUDE_CONTRAST,
    )
    assert np.abs(part.ctf.defocus - whole.ctf.defocus)[~excluded].max() < 50
    assert not part.fitted[excluded].any() and np.isfinite(part.ctf.defocus).all()
    assert np.isnan(part.correlation[excluded]).all() and part.ctf.defocus[0] == part.ctf.defocus[2]


def test_phase_shift_and_the_astigmatism_of_every_tilt():
    defocus = _defocus(15000)
    images, geometry = simulate_tilts(ANGLES, defocus, (400, 400), phase_shift=70.0, astigmatism=1000.0)
    result = _estimate(images, geometry, estimate_phase_shift=True, astigmatism="per_tilt", max_defocus=30000)
    assert result.ctf.phase_shift[0] == pytest.approx(70, abs=8)
    assert np.median(np.abs(result.ctf.defocus - defocus)) < 200
    found = result.ctf.defocus_u - result.ctf.defocus_v
    assert np.ptp(found) > 0 and np.median(found) == pytest.approx(1000, abs=200)
    known = _estimate(images, geometry, phase_shift=70.0, astigmatism="none")
    assert np.median(np.abs(known.ctf.defocus - defocus)) < 100 and (known.ctf.defocus_u == known.ctf.defocus_v).all()


def test_the_hand_is_kept_where_it_is_uncertain_or_given(series):
    images, geometry, _ = series
    flat = np.flatnonzero(np.abs(ANGLES) < 5)
    for hand in (1, -1):
        one = replace(geometry.take(flat), hand=hand)
        result = _estimate(images[flat], one)
        assert result.hand == hand and not result.hand_is_certain
    some = np.arange(2, 7)
    kept = _estimate(
        images[some], replace(geometry.take(some), hand=-1), hand="keep", max_defocus=30000, specimen_plane="flat"
    )
    assert (kept.plane.angles == 0).all()
    assert kept.hand == -1 and kept.hand_certainty > 0


def test_noise_is_no_ctf():
    noise = np.random.default_rng(3).normal(0, 1, (len(ANGLES), 300, 300)).astype(np.float32)
    _, geometry = simulate_tilts(ANGLES, _defocus(2e4), (32, 32))
    with pytest.raises(EmtomoError, match="no image shows rings of the CTF between 30 and 6 Å"):
        _estimate(noise, geometry)


def test_bad_images_and_settings_are_sentences(series):
    images, geometry, _ = series
    bad = images.copy()
    bad[3, 5, 7] = np.nan
    with pytest.raises(EmtomoError, match="tilt 4: the image has pixels that are no finite numbers"):
        _estimate(bad, geometry)
    bad[3] = 7
    with pytest.raises(EmtomoError, match="tilt 4: all pixels of the image are equal; exclude this tilt"):
        _estimate(bad, geometry)
    uneven = [*images[:2], images[2][:, :-1], *images[3:]]
    with pytest.raises(EmtomoError, match="tilt 3: the image has 399 × 400 pixels, others have 400 × 400"):
        _estimate(uneven, geometry)
    with pytest.raises(EmtomoError, match="all tilts are excluded"):
        _estimate(images, replace(geometry, excluded=np.ones(len(ANGLES), bool)))
    coarse = r"must be seen to 12 Å or finer; images of 10 Å a pixel show them to 21\.1 Å.*at most 5\.7 Å"
    with pytest.raises(EmtomoError, match=coarse):
        _estimate(images, replace(geometry, pixel_size=10.0))
    with pytest.raises(EmtomoError, match="Highest resolution must be at most 12 Å.*got 14 Å"):
        _estimate(images, geometry, low_resolution=70.0, high_resolution=14.0)
    with pytest.raises(EmtomoError, match=r"Lowest resolution must be larger than the highest \(6 Å\), got 5 Å"):
        _estimate(images, geometry, low_resolution=5.0)
    for shape, options, advice in (
        ((400, 400), {"low_resolution": 7.0}, "at least 16 are needed. Take larger tiles, .* or a finer Highest res"),
        ((60, 400), {"low_resolution": 12.0}, "tiles of 60 .* Take larger images, .* or a finer Highest res"),
        ((400, 400), {"high_resolution": 2.0, "low_resolution": 5.4}, "Take larger tiles, .* or images of finer pix"),
    ):
        with pytest.raises(EmtomoError, match=advice):
            choose_rings(shape, PIXEL, CtfEstimationOptions(**options))
    assert 1 / choose_rings((400, 400), PIXEL, CtfEstimationOptions(high_resolution=12)).frequency[-1] > 12
    with pytest.raises(EmtomoError, match="pixel size of the tilt images is not known"):
        _estimate(images, replace(geometry, pixel_size=np.nan))
    with pytest.raises(EmtomoError, match="Maximum defocus must be larger than the minimum"):
        _estimate(images, geometry, min_defocus=9000, max_defocus=9000)
