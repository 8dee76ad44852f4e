"""check_alignment: the right geometry fits, wrong ones are named, and images without particles are said."""

import numpy as np
import pytest

from emtomo.compute.tilt import alignment_check as check
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series

ANGLES, PIXEL = np.linspace(-60, 60, 21), 10.0
OPTIONS = ParticleImageOptions(box_size=32, diameter=160)


def geometry(angles=ANGLES, axis=12.0):
    n = len(angles)
    columns = {"angle": angles, "tilt_axis_angle": np.full(n, axis), "dose": np.zeros(n)}
    return tilt_geometry(columns | {"defocus_u": np.full(n, 2e4), "defocus_v": np.full(n, 2e4)}, pixel_size=PIXEL)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (60, 3)) * [700, 620, 350]
    y, x = np.indices((180, 200)).astype(float)
    images = rng.normal(0, 4, (21, 180, 200)).astype(np.float32)
    for t, seen in enumerate(geometry().project(points)[:, :, :2] / PIXEL):
        for u, v in seen:
            images[t] -= 1.5 * np.exp(-((x - 100 - u) ** 2 + (y - 90 - v) ** 2) / (2 * 5.0**2))
    return images, points


def checked(images, g, points):
    return check.check_alignment(prepare_series(images.__getitem__, g, OPTIONS), points)


def test_the_right_geometry_fits(scene):
    images, points = scene
    found = checked(images, geometry(), points)
    assert found.fits and not found.better and found.hand_certainty > 5
    assert max(found.scores, key=found.scores.get) == check.GIVEN
    assert found.means.shape == (21, 32, 32) and np.nanmedian(np.abs(found.offsets)) <= PIXEL
    assert "fits the positions" in found.sentences("TS_1")[0]


@pytest.mark.parametrize(
    "g, order, name",
    [
        (geometry(-ANGLES), (0, 1, 2), check.OPPOSITE),
        (geometry(axis=-12.0), (0, 1, 2), check.AXIS),
        (geometry(axis=192.0), (0, 1, 2), check.HALF_TURN),
        (geometry(axis=102.0), (0, 1, 2), check.BACK_TURN),
        (geometry(axis=-78.0), (0, 1, 2), check.QUARTER_TURN),
        (geometry(), (1, 0, 2), check.EXCHANGED),
    ],
)
def test_what_is_wrong_is_named(scene, g, order, name):
    images, points = scene
    found = checked(images, g, points[:, list(order)])
    assert found.better == name
    assert name in found.sentences("TS_1")[0]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda images: images[:, :, ::-1], "the images mirrored along x"),
        (lambda images: images[:, ::-1], "the images mirrored along y"),
        (lambda images: images.transpose(0, 2, 1), "x and y of the images exchanged"),
    ],
)
def test_images_that_were_mirrored_or_transposed_are_named(scene, change, name):
    images, points = scene
    assert checked(np.ascontiguousarray(change(images)), geometry(), points).better == name


def test_positions_of_another_series_do_not_fit(scene):
    images, points = scene
    other = np.random.default_rng(5).uniform(-1, 1, points.shape) * [700, 620, 350]
    found = checked(images, geometry(), other)
    assert not found.fits and not found.better
    assert "may not belong together" in found.sentences("TS_1")[0]
