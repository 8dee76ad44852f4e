"""Views: boxes, single images and tilt series have one likelihood, whose gradient is its slope."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.kernels.newton_cpu import rotate
from emtomo.compute.likelihood.ascents import begin_ascents
from emtomo.compute.likelihood.grid_search import (
    SearchReference,
    grid_frequencies,
    pick_sums,
    points_in_particle,
    searches_views,
    sum_views,
)
from emtomo.compute.likelihood.shrinking import ShrunkParticles
from emtomo.compute.likelihood.views import BoxParticles, ImageParticles, ImageViews
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.errors import EmtomoError
from tests.compute.likelihood.slopes import check_slopes
from tests.compute.refinement.data import blobs, image_particles, particles, project, turned_by

P = np.float32(PAD)
TILTS = Rotation.from_euler("y", np.arange(-60, 61, 30.0)[:, None], degrees=True).as_matrix()
# views of one particle: dimension of their transforms, rotations
KINDS = {"box": (3, np.eye(3)[None]), "image": (2, np.eye(3)[None]), "series": (2, TILTS)}


def linear_reference(radius: float) -> np.ndarray:
    """Return a transform that is linear in k, which is interpolated exactly: slopes and formula must agree."""
    m = transform_padded(blobs(20), radius).shape[0] // 2
    z, y, x = np.meshgrid(np.arange(-m, m + 1), np.arange(-m, m + 1), np.arange(m + 2), indexing="ij")
    # conj(F(-k)) = F(k) wants an even real and an odd imaginary part
    return (3.0 + 1j * (0.3 * x - 0.2 * y + 0.5 * z)).astype(np.complex64)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_slope_of_the_likelihood(kind, rng):
    n, radius = 20, 6.0
    dimension, views = KINDS[kind]
    k = FourierCoefficients(n, radius, dimension).k
    shape = len(views), len(k)
    reference, points = linear_reference(radius), points_in_particle(k, views)
    data = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    weight = rng.random(shape).astype(np.float32) * 0.1
    start, shift = random_rotations(1, 3)[0], np.array([0.3, 0.8, -0.5])

    def value(p, gradient, information):
        moved = np.empty_like(data)
        fourier_cpu.shift_views(k, data, views @ (shift + p[3:]), n, moved)
        pose = rotate(start, p[:3]).astype(np.float32)
        return fourier_cpu.likelihood(
            reference, P, points, moved.ravel(), weight.ravel(), pose, n, gradient, information
        )  # fmt: skip

    check_slopes(value, 0.005)


def test_a_series_is_the_sum_of_its_views_whose_shifts_turn_with_them(rng):
    """Every view by itself: orientation V R, shift V s; its rotation's gradient is the particle's, its shift's V^T."""
    n, radius = 20, 6.0
    k = FourierCoefficients(n, radius, 2).k
    reference = transform_padded(blobs(n), radius)
    shape = len(TILTS), len(k)
    data = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64) * 30
    weight = rng.random(shape).astype(np.float32)
    rotation, shift = random_rotations(1, 5)[0], np.array([0.7, -1.1, 0.4])
    moved = np.empty_like(data)
    fourier_cpu.shift_views(k, data, TILTS @ shift, n, moved)
    whole, whole_information = np.empty(6), np.empty((6, 6))
    total = fourier_cpu.likelihood(
        reference, P, points_in_particle(k, TILTS), moved.ravel(), weight.ravel(), rotation.astype(np.float32), n,
        whole, whole_information,
    )  # fmt: skip
    likelihood, gradient, information = 0.0, np.zeros(6), np.zeros((6, 6))
    for view, values, weights in zip(TILTS, moved, weight, strict=True):
        g, h = np.empty(6), np.empty((6, 6))
        pose = (view @ rotation).astype(np.float32)
        likelihood += fourier_cpu.likelihood(reference, P, k, values, weights, pose, n, g, h)
        assert g[5] == 0 and not h[5].any()  # a shift along the beam does not show
        to_particle = np.block([[np.eye(3), np.zeros((3, 3))], [np.zeros((3, 3)), view]])
        gradient += to_particle.T @ g
        information += to_particle.T @ h @ to_particle
    assert total == pytest.approx(likelihood, rel=1e-4)
    assert np.allclose(whole, gradient, rtol=1e-3, atol=1e-3 * np.abs(gradient).max())
    assert np.allclose(whole_information, information, rtol=1e-3, atol=1e-3 * np.abs(information).max())


@pytest.mark.parametrize("kind", KINDS)
def test_newton_ascents_return_to_the_pose_that_made_the_views(kind):
    n, radius = 24, 9.0
    dimension, views = KINDS[kind]
    k = FourierCoefficients(n, radius, dimension).k
    volume = blobs(n)
    reference, points = transform_padded(volume, radius), points_in_particle(k, views)
    true, shift = random_rotations(1, 7)[0], np.array([0.6, -0.9, 0.5])
    section = np.empty((1, 2 * len(points)), np.float32)
    fourier_cpu.sections(reference, P, points, true[None].astype(np.float32), section)
    flat = section.view(np.complex64).reshape(len(views), len(k))
    data = np.empty_like(flat)
    fourier_cpu.shift_views(k, flat, -(views @ shift), n, data)
    weight = np.ones(data.shape, np.float32)
    ascents = begin_ascents(turned_by(true[None], 5.0, 1), np.zeros((1, 3)))
    none = np.eye(3), np.zeros(3), np.array([0.0, 1e-6])
    fourier_cpu.newton_ascents(reference, P, k, points, views, data, weight, n, *none, np.array([0.2, 1.0]), 12,
                               ascents)  # fmt: skip
    assert angle_between(ascents.best_rotation, true[None])[0] < 0.2
    seen = 3 if kind != "image" else 2  # nothing tells how far along the beam a single image's particle is
    assert np.abs(ascents.best_shift[0] - shift)[:seen].max() < 0.01


@pytest.mark.parametrize("n", [20, 21])
def test_coefficients_of_an_image_hold_every_frequency_once_with_the_origin_at_the_centre(n):
    coefficients = FourierCoefficients(n, n / 2, 2)
    found = {tuple(k) for k in coefficients.k.astype(int).tolist()}
    assert len(found) == len(coefficients) and all(z == 0 for _, _, z in found)
    assert not any((-x, -y, 0) in found for x, y, _ in found)
    x, y = np.meshgrid(*[np.arange(-(n // 2), n // 2 + 1)] * 2)
    assert 2 * len(coefficients) == ((x * x + y * y < n * n / 4) & (x * x + y * y > 0)).sum()
    point = np.zeros((2, n, n), np.float32)
    point[1, n // 2, n // 2] = 1
    assert np.abs(coefficients.transform(point)[1] - 1).max() < 1e-5
    assert np.array_equal(coefficients.band, coefficients.shell)
    assert len(pickle.dumps(coefficients)) < 500
    with pytest.raises(EmtomoError, match="got dimension 1"):
        FourierCoefficients(n, 3.0, 1)


def test_an_image_is_the_section_of_its_view():
    """The projection of a few points, as sums over them in float64."""
    n, rotation, shift = 24, random_rotations(1, 9)[0], np.array([0.4, -0.7])
    volume = blobs(n, count=4)
    image = project(volume, rotation, shift, np.ones((n, n // 2 + 1)))
    coefficients = FourierCoefficients(n, n / 3, 2)
    z, y, x = np.nonzero(volume > 1e-3 * volume.max())
    points = np.stack([x, y, z], axis=1) - n // 2
    q = coefficients.k.astype(float) @ rotation
    exact = np.exp(-2j * np.pi * (q @ points.T) / n) @ volume[z, y, x]
    exact *= np.exp(-2j * np.pi * (coefficients.k[:, :2] @ shift) / n)
    assert np.linalg.norm(coefficients.transform(image.astype(np.float32)) - exact) < 0.03 * np.linalg.norm(exact)


def test_sums_of_views_score_orientations_as_the_views_do(rng):
    """Over random orientations the likelihood of the 3D sums follows that of the views."""
    n, radius = 24, 5.0
    k = FourierCoefficients(n, radius, 2).k
    views = Rotation.from_euler("y", np.arange(-60, 61, 6.0)[:, None], degrees=True).as_matrix()
    volume = blobs(n)
    reference = transform_padded(volume, radius)
    points, true = points_in_particle(k, views), random_rotations(1, 3)
    section = np.empty((1, 2 * len(points)), np.float32)
    fourier_cpu.sections(reference, P, points, true.astype(np.float32), section)
    weight = rng.uniform(0.5, 1.5, (len(views), len(k))).astype(np.float32)
    data = section.view(np.complex64).reshape(weight.shape) * weight
    rotations = np.concatenate([true, turned_by(np.repeat(true, 30, 0), 20.0, 2), random_rotations(100, 8)])

    def score(points, data, weight, transform):
        sections, norms = np.empty((len(rotations), 2 * len(points)), np.float32), np.empty(len(rotations), np.float32)
        fourier_cpu.sections(transform, P, points, rotations.astype(np.float32), sections)
        fourier_cpu.norms(sections, weight, norms)
        return 2 * sections @ data.view(np.float32) - norms

    exact = score(points, data.ravel(), weight.ravel(), reference)
    whole = FourierCoefficients(n, radius).k
    adapted = SearchReference.for_sums(volume, radius)
    sums, weights = pick_sums(sum_views(k, data, weight, views, radius), whole)
    factor = adapted.weight_factor[np.rint(np.linalg.norm(whole, axis=1)).astype(int)]
    summed = score(whole, sums, weights * factor, adapted.transform)
    assert summed.argmax() == 0
    assert np.corrcoef(exact, summed)[0, 1] > 0.99
    slope = np.polyfit(exact, summed, 1)[0]
    assert slope == pytest.approx(1, abs=0.2)  # a grid of poses needs no more


def test_a_grid_compares_views_where_they_are_common_and_fewer_than_their_sums():
    boxes, _, _ = particles(blobs(16), 2, 1.0)
    series, _ = image_particles(blobs(16), 2, 1.0, np.arange(-60, 61, 10.0))
    single, _ = image_particles(blobs(16), 2, 1.0, np.zeros(1))
    assert searches_views(boxes, 3.0) and searches_views(single, 3.0) and not searches_views(series, 3.0)
    assert len(grid_frequencies(single, single.coefficients(6.0), 4.0)) == len(FourierCoefficients(16, 4.0, 2))
    assert len(grid_frequencies(series, series.coefficients(6.0), 4.0)) == len(FourierCoefficients(16, 4.0))


def test_shrunk_particles_keep_pixels_weights_and_offsets(rng):
    box = rng.random((1, 12, 12, 12)).astype(np.float32)
    weights = rng.random((12, 12, 7)).astype(np.float32)
    boxes = ShrunkParticles(BoxParticles(12, 2.0, box.__getitem__, ["a"], lambda key: weights, "ctf"), 2)
    assert (boxes.size, boxes.pixel_size, len(boxes), boxes.weight_key(0)) == (6, 4.0, 1, "a")
    assert boxes.read(0).values.shape == (1, 6, 6, 6) and boxes.weights_of_key("a").shape == (6, 6, 4)
    assert (
        boxes.weights_of_key("a")[0, 0, 0] == weights[0, 0, 0]
        and boxes.weights_of_key("a")[-1, 1, 2] == weights[-1, 1, 2]
    )
    series, _ = image_particles(blobs(16), 2, 1.0, np.arange(-60, 61, 30.0))
    small = pickle.loads(pickle.dumps(ShrunkParticles(series, 2))).read(1)
    whole = series.read(1)
    assert small.values.shape == (5, 8, 8) and small.weights.shape == (5, 8, 5)
    assert np.allclose(small.offsets, whole.offsets / 2) and np.array_equal(small.rotations, whole.rotations)
    with pytest.raises(EmtomoError, match="cannot be divided by the shrink factor 5"):
        ShrunkParticles(series, 5)


def test_images_that_do_not_fit_together_are_refused():
    series, _ = image_particles(blobs(16), 2, 1.0, np.arange(-60, 61, 30.0))
    good = series.views(0)
    for name, value, sentence in (
        ("images", good.images[:4], r"Particle 1: the images must have shape \(5, 16, 16\), got \(4, 16, 16\)"),
        ("weights", good.weights[:, :, :3], r"the weights must have shape \(5, 16, 9\)"),
        ("offsets", np.zeros((5, 3)), r"the offsets must have shape \(5, 2\)"),
        ("noise_group", np.arange(5), "noise groups must lie between 0 and 0, got 0 to 4"),
    ):
        bad = replace(series, views=lambda i, part={name: value}: replace(good, **part))
        with pytest.raises(EmtomoError, match=sentence):
            bad.read(0)
    with pytest.raises(EmtomoError, match="Particle 2 has no image"):
        ImageParticles(16, 1.0, [1, 0], lambda i: good)
    with pytest.raises(EmtomoError, match="Weights must be one of"):
        ImageParticles(16, 1.0, [1], lambda i: good, "squared")
    assert isinstance(good, ImageViews)
