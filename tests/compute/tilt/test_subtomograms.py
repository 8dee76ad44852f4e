"""Subtomograms are sums over tilts, divided and cut as the equations have it: worked out without any short cut."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series
from emtomo.compute.tilt.pixel_order import order_pixels
from emtomo.compute.tilt.subtomograms import reconstruct_subtomogram

ANGLES = (-62.0, -20, 0, 41)


def _series(n, axis, premultiply):
    images = np.random.default_rng(n).standard_normal((len(ANGLES), 90, 84)).astype(np.float32)
    columns = {"angle": np.array(ANGLES), "tilt_axis_angle": np.full(len(ANGLES), axis)}
    columns |= {"defocus_u": np.full(len(ANGLES), 9000.0), "defocus_v": np.full(len(ANGLES), 8500.0)}
    geometry = tilt_geometry(columns, pixel_size=6.0, volume_size=(500, 500, 200))
    options = ParticleImageOptions(box_size=n, premultiply=premultiply, normalise=False)
    return prepare_series(images.__getitem__, geometry, options)


def _add_everything(views, wide):
    """Every pixel within the disc to its eight neighbours, in the whole transform and in double precision."""
    sums = np.zeros((4, wide, wide, wide), complex)  # z, y, x of: image, |CTF|, its square, 1
    y, x = np.meshgrid(np.rint(np.fft.fftfreq(wide) * wide), np.rint(np.fft.fftfreq(wide) * wide), indexing="ij")
    inside = x**2 + y**2 < (wide / 2) ** 2
    for view in views:
        transfer, values = view.ctf.astype(float) * view.dose, view.values.astype(complex)
        image, transfer = (np.fft.fft2(np.fft.irfft2(a, (wide, wide))) for a in (values * transfer, transfer))
        pixels = [image, np.abs(transfer), np.abs(transfer) ** 2, np.ones_like(image)]
        place = np.stack([x[inside], y[inside], 0 * x[inside]], axis=1) @ np.asarray(view.rotation, np.float32)
        first = np.floor(place + 1e-6).astype(int)
        for corner in itertools.product((0, 1), repeat=3):
            weight = np.where(corner, place - first, 1 - (place - first)).prod(axis=1)
            at = tuple(((first + corner) % wide)[:, ::-1].T)
            for field, pixel in zip(sums, pixels, strict=True):
                np.add.at(field, at, weight * pixel[inside])
    return sums


@pytest.mark.parametrize(
    ("n", "axis", "premultiply"), [(12, 0.0, False), (12, 84.0, True), (9, 90.0, False), (15, -30.0, True)]
)
def test_box_and_ctf_volume_are_those_of_the_equations(n, axis, premultiply):
    series, wide, point = _series(n, axis, premultiply), 2 * n, np.array([30.0, -20, 40])
    assert series.window_size(wide) == wide
    image, absolute, square, count = _add_everything(series.views(point, wide), wide)
    if not premultiply:
        factor = np.minimum(count.real, 1) / np.maximum(absolute.real, 1e-6)
        image, square = image * factor, square * factor
    k = np.rint(np.fft.fftfreq(wide) * wide)
    outside = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2 >= n**2
    centre = np.arange(n) - n // 2
    weak = 1 / np.sinc(centre / wide) ** 2
    box, spread = (
        np.fft.ifftn(np.where(outside, 0, a)).real[np.ix_(centre, centre, centre)] * weak[:, None, None]
        * weak[:, None] * weak for a in (image, square)
    )  # fmt: skip
    transfer = np.fft.rfftn(np.fft.ifftshift(spread)).real
    made = reconstruct_subtomogram(series, point)
    assert made.tilts == len(ANGLES)
    assert_allclose(made.box, box, atol=1e-4 * box.std())
    assert_allclose(made.weights, np.maximum(transfer, 0) if premultiply else transfer, atol=1e-5 * transfer.max())
    again = reconstruct_subtomogram(series, point)  # in memory that is used again
    assert np.array_equal(again.box, made.box) and np.array_equal(again.weights, made.weights)


@pytest.mark.parametrize("axis", [0.0, 90.0, 37.0])
def test_every_pixel_or_its_mate_is_inserted_once_in_its_plane(axis):
    n, sections = 9, _series(12, axis, False).geometry.sections
    order = order_pixels(sections, n)
    y, x = np.indices((2 * n - 1,) * 2) + 1 - n
    disc = {(int(a), int(b)) for a, b in np.stack([x, y], -1)[x * x + y * y < n * n]}
    for k, starts, rotation in zip(order.k, order.starts, order.rotations, strict=True):
        taken = [tuple(pixel) for pixel in k.tolist()]
        assert len(set(taken)) == len(taken) and (0, 0) in taken
        assert {(sign * a, sign * b) for a, b in taken for sign in (-1, 1)} == disc
        turned = k.astype(np.float32) @ rotation[:2]
        assert turned[:, 0].min() >= -1e-5
        plane = np.repeat(np.arange(-n - 1, n + 2), np.diff(starts))
        assert len(plane) == len(k) and (np.abs(turned[:, 1] - plane - 0.5) <= 0.5 + 1e-5).all()
