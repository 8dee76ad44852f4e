"""Aligned images: where the points of the tomogram lie in them."""

import numpy as np
import pytest

from emtomo.compute.tilt.aligned_images import align_image, find_aligned_shape
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_rotations

PIXEL, SHAPE = 7.0, (81, 112)
POINT = np.array([120.0, -90.0, 60.0])


@pytest.mark.parametrize("axis", [0.0, 3.0, 85.0, -94.0, 178.0])
def test_a_point_lies_where_a_tilt_about_the_upright_axis_puts_it(axis):
    angles = np.array([-40.0, 0.0, 30.0])
    shifts = np.array([[30.0, -50.0], [0.0, 20.0], [-77.0, 10.0]])
    geometry = TiltGeometry(
        tilt_rotations(angles, np.full(3, axis)), shifts, None, np.zeros(3), np.arange(3), np.zeros(3, bool),
        np.ones(3), pixel_size=PIXEL,
    )  # fmt: skip
    shape = find_aligned_shape(SHAPE, geometry)
    assert shape == (SHAPE if abs(np.sin(np.deg2rad(axis))) < 0.7 else SHAPE[::-1])
    y, x = np.indices(SHAPE)
    for t, angle in enumerate(np.deg2rad(angles)):
        at = geometry.project(POINT[None])[t, 0, :2] / PIXEL + [SHAPE[1] // 2, SHAPE[0] // 2]
        spot = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)
        found = np.clip(align_image(spot, geometry, t, shape) - 0.1, 0, None)
        rows, columns = np.indices(shape)
        seen = [(along * found).sum() / found.sum() - n // 2 for along, n in ((columns, shape[1]), (rows, shape[0]))]
        wanted = np.array([POINT[0] * np.cos(angle) + POINT[2] * np.sin(angle), POINT[1]]) / PIXEL
        assert np.allclose(seen, wanted, atol=0.06)
