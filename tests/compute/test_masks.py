"""Masks against distances by brute force and solids of known volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from emtomo.compute.masks import MaskOptions, create_mask, distance, otsu, soften
from emtomo.errors import EmtomoError


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 13)] * 3), st.floats(0.01, 0.6))
def test_distances_are_exact(seed, shape, share):
    inside = np.random.default_rng(seed).random(shape) < share
    got = distance(inside)
    if not inside.any():
        assert np.isinf(got).all()
    else:
        assert np.abs(got - distance_transform_edt(~inside)).max() < 1e-4


def test_growing_shrinking_and_soft_edges_go_by_distance():
    inside = np.zeros((41, 41, 41), bool)
    inside[20, 20, 20] = True
    z, y, x = np.ogrid[:41, :41, :41]
    r = np.sqrt((z - 20.0) ** 2 + (y - 20.0) ** 2 + (x - 20.0) ** 2)
    grown = soften(inside, 6.0, 0.0)
    assert np.array_equal(grown > 0, r <= 6.0)
    soft = soften(inside, 6.0, 8.0)
    edge = (r > 6) & (r < 14)
    assert np.abs(soft[edge] - (0.5 + 0.5 * np.cos(np.pi * (r[edge] - 6) / 8))).max() < 1e-5
    assert soft[r <= 6].min() == 1
    assert soft[r >= 14].max() == 0
    shrunk = soften(grown > 0, -3.0, 0.0) > 0
    assert np.array_equal(shrunk, distance_transform_edt(grown > 0) > 3)
    assert not soften(inside, -2.0, 0.0).any()


def test_spheres_and_cylinders_have_their_size():
    volume = np.zeros((64, 64, 64), np.float32)
    sphere = create_mask(volume, 5.0, MaskOptions(shape="sphere", diameter=200.0, soft_edge=0.0))
    assert sphere.sum() == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.02)
    tube = create_mask(volume, 5.0, MaskOptions(shape="cylinder", diameter=160.0, height=200.0, soft_edge=0.0))
    assert tube.sum() == pytest.approx(np.pi * 16**2 * 41, rel=0.02)
    assert tube[32, 32, 32 + 16] == 1
    assert tube[32, 32, 32 + 17] == 0
    assert np.array_equal(tube[:, :, 32], tube[:, :, 32][::-1][np.r_[63, :63]])
    box = create_mask(volume, 5.0, MaskOptions(shape="cylinder", diameter=160.0, soft_edge=0.0))
    assert box[0, 32, 32] == box[63, 32, 32] == 1
    inverted = create_mask(volume, 5.0, MaskOptions(shape="sphere", diameter=200.0, soft_edge=3.0, invert=True))
    assert inverted[32, 32, 32] == 0
    assert inverted[0, 0, 0] == 1


def test_a_threshold_is_found_between_particle_and_background(rng):
    volume = rng.normal(0, 0.2, (40, 40, 40)).astype(np.float32)
    volume[15:25, 15:25, 15:25] += 3
    mask = create_mask(volume, 4.0, MaskOptions(extend=0.0, soft_edge=0.0))
    assert mask.sum() == 1000
    assert 0.8 < otsu(volume) < 2.4
    filtered = create_mask(volume, 4.0, MaskOptions(lowpass=30.0, extend=2.0, soft_edge=4.0))
    assert filtered[20, 20, 20] == 1
    assert filtered[0, 0, 0] == 0


def test_a_threshold_that_parts_nothing_is_reported():
    volume = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    with pytest.raises(EmtomoError, match="no voxel inside; the volume's values go from"):
        create_mask(volume, 1.0, MaskOptions(threshold=5.0))
    with pytest.raises(EmtomoError, match="every voxel inside"):
        create_mask(volume, 1.0, MaskOptions(threshold=-5.0))
    with pytest.raises(EmtomoError, match="cubic"):
        create_mask(volume[:6], 1.0, MaskOptions(lowpass=5.0))


@pytest.mark.parametrize(
    "options",
    [
        MaskOptions(shape="sphere", diameter=1000.0, soft_edge=0.0, invert=True),
        MaskOptions(shape="cylinder", diameter=1000.0, soft_edge=0.0, invert=True),
        MaskOptions(threshold=0.5, extend=-5.0, soft_edge=0.0),
    ],
)
def test_an_empty_mask_is_never_made(options):
    volume = np.zeros((16, 16, 16), np.float32)
    volume[7:10, 7:10, 7:10] = 1
    with pytest.raises(EmtomoError, match="would be empty"):
        create_mask(volume, 4.0, options)


def test_a_threshold_in_a_cylinder_keeps_the_central_unit():
    z, y, x = np.ogrid[:41, :43, :45]
    z, y, x = z - 20, y - 21, x - 22
    balls = [x**2 + y**2 + z**2 <= 16, (x - 15) ** 2 + y**2 + z**2 <= 16, x**2 + y**2 + (z - 14) ** 2 <= 16]
    volume = np.where(np.any(np.broadcast_arrays(*balls), axis=0), 1.0, -0.5).astype(np.float32)
    volume += np.random.default_rng(1).normal(0, 0.1, volume.shape).astype(np.float32)
    made = {
        name: create_mask(volume, 2.0, MaskOptions(shape=name, diameter=36, height=24, extend=0, soft_edge=0)) > 0
        for name in ("threshold", "threshold in sphere", "threshold in cylinder")
    }
    middle, beside, above = (np.broadcast_to(ball, volume.shape) for ball in balls)
    assert np.array_equal(made["threshold"], middle | beside | above)
    assert np.array_equal(made["threshold in sphere"], middle | (above & (x**2 + y**2 + z**2 <= 81)))
    assert np.array_equal(made["threshold in cylinder"], middle)
    grown = create_mask(
        volume, 2.0, MaskOptions(shape="threshold in cylinder", diameter=36, height=24, extend=2, soft_edge=0)
    )
    assert np.array_equal(grown > 0, distance_transform_edt(~middle) <= 2)


def test_a_threshold_outside_the_values_of_the_cylinder_is_reported():
    volume = np.zeros((20, 20, 20), np.float32)
    volume[0, 0, 0] = 5
    with pytest.raises(EmtomoError, match="has no voxel inside; the volume's values go from 0 to 0"):
        create_mask(volume, 2.0, MaskOptions(shape="threshold in cylinder", diameter=10, threshold=1.0))
