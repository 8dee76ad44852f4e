"""Sections of images, and averages of rotated ones: against rotation in real space, and back."""

import numpy as np
import pytest
from scipy import ndimage

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.classification.references import (
    Rotations,
    crop_average,
    gridding_correction,
    pad_transform,
    solve_average,
)


def blob(n: int, x: float, y: float, width: float) -> np.ndarray:
    rows, columns = np.indices((n, n)) - n // 2
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2)).astype(np.float32)


def shape(n: int) -> np.ndarray:
    return blob(n, 4.0, 1.0, 2.0) + 0.7 * blob(n, -3.0, -2.0, 1.6) + 0.4 * blob(n, 0.5, 5.0, 1.5)


@pytest.mark.parametrize("n", [24, 25])
def test_packed_transforms_come_back(n, rng):
    plane = HalfPlane(n)
    images = shape(n)[None] + blob(n, 1, 2, 3)
    back = plane.image(plane.transform(images))
    assert np.allclose(back, images - images.mean((1, 2), keepdims=True), atol=1e-3)
    assert np.all(np.diff(np.hypot(plane.kx, plane.ky)) >= -1e-6)
    noise = rng.normal(0, 2, (50, n, n)).astype(np.float32)
    assert np.mean(np.abs(plane.transform(noise)) ** 2) == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("n", [24, 25])
def test_phases_move_images_back(n):
    plane = HalfPlane(n)
    moved = plane.transform(blob(n, 2.3, -1.4, 2.0)[None]) * plane.phases(np.array([[2.3, -1.4]]))
    assert np.allclose(moved, plane.transform(blob(n, 0, 0, 2.0)[None]), atol=1e-3)


@pytest.mark.parametrize("n", [24, 25])
def test_a_section_is_the_rotated_image(n):
    """An image at psi is the reference at R x, R = [[c, -s], [s, c]]: RELION's sign of psi."""
    plane = HalfPlane(n)
    rotations = Rotations(plane, 10.0)
    sections = rotations.sections(shape(n)[None], len(plane))
    for f in (0, 5, rotations.fine - 1):
        c, s = rotations.cosine[f], rotations.sine[f]
        turn = np.array([[c, s], [-s, c]])  # of rows and columns
        mid = np.array([n // 2] * 2)
        expected = plane.transform(
            ndimage.affine_transform(shape(n), turn, mid - turn @ mid, order=5, mode="constant")[None]
        )[0]
        got = sections.real[0, f] + 1j * sections.imag[0, f]
        near = plane.count(n / 3)
        assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)
        assert np.allclose(got[:near], expected[:near], atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("n", [24, 25])
def test_padded_transforms_come_back(n):
    """Each way corrects for an interpolation of its own."""
    twice = gridding_correction(n) ** 2
    assert np.allclose(crop_average(pad_transform(shape(n)), n) * twice, shape(n), atol=1e-4)


@pytest.mark.parametrize("n", [24, 25])
def test_the_average_of_all_sections_is_the_image(n):
    plane = HalfPlane(n)
    rotations = Rotations(plane, 4.0)
    sections = rotations.sections(shape(n)[None], len(plane))
    data, weights = rotations.insert(sections.real, sections.imag, np.ones_like(sections.real))
    average, ratio = solve_average(data[0], weights[0], np.full(n // 2 + 1, 1e9), n, n / 2 - 1)
    got, expected = (a - a.mean() for a in (average, shape(n)))
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.995
    assert np.linalg.norm(got) == pytest.approx(np.linalg.norm(expected), rel=0.05)
    # as many measurements of each frequency as there are angles in a full turn, half of them given
    inner = slice(3, n // 2 - 2)
    assert np.allclose(ratio[inner] / 1e9, rotations.fine, rtol=0.1)
