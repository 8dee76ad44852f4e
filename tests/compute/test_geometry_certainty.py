"""Models through noisy points: how far off they are, how certain they say they are, and what is refused."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.compute.geometry.curve import trace
from emtomo.compute.geometry.ellipsoid import Ellipsoid, fit_ellipsoid
from emtomo.compute.geometry.models import ModelOptions, build
from emtomo.compute.rotations import angle_of_vectors
from emtomo.errors import ModelError
from tests.compute.model_points import on_sphere, points


def clicks_on_slices(rng, radii, n=30, reach=0.6, noise=1.0):
    """Clicks on 7 slices over ± `reach` of the height of an ellipsoid, `noise` voxels off along each axis."""
    z = rng.choice(np.linspace(-reach, reach, 7), n)
    turn = rng.uniform(0, 2 * np.pi, n)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1) * radii + rng.normal(0, noise, (n, 3))


def test_an_ellipsoid_through_noisy_clicks_on_a_sphere_stays_a_sphere():
    """Free ellipsoids: normals 5.7° off in the median, 13.5° at p95; with the prior of a sphere 1.8° and 3.2°."""
    medians, far, off, normals, surface = [], [], [], [], []
    for seed in range(8):
        p = clicks_on_slices(np.random.default_rng(seed), np.full(3, 30.0))
        found = fit_ellipsoid(p, seed=seed, noise=1.0)
        here = found.points(8.0)
        angle = angle_of_vectors(found.normals(here), here)
        medians.append(np.median(angle))
        far.append(np.percentile(angle, 95))
        off.append(np.percentile(np.abs(np.linalg.norm(here, axis=1) - 30), 90))
        normals.append(found.certainty.normals)
        surface.append(found.certainty.surface)
    assert np.median(medians) < 1.8
    assert np.median(far) < 3.2
    assert np.median(off) < 1.0  # voxels
    # what it says of itself is right within a factor of two
    assert 0.5 < np.median(normals) / np.median(medians) < 2.5
    assert 0.3 < np.median(surface) < 1.0


def test_the_prior_does_not_make_an_ellipsoid_a_sphere():
    radii = np.array([45.0, 30, 20])
    truth = Ellipsoid(np.zeros(3), radii, np.eye(3))
    off = []
    for seed in range(4):
        found = fit_ellipsoid(clicks_on_slices(np.random.default_rng(seed), radii, n=60, noise=0.5), seed=seed)
        off.append(np.sqrt(np.mean(truth.distance(found.points(6.0)) ** 2)))
    assert np.median(off) < 0.6


def test_an_ellipsoid_on_half_a_vesicle_is_near_and_says_how_uncertain_it_is():
    rng = np.random.default_rng(1)
    for reach, warns in ((0.0, False), (0.85, True)):
        z, turn = rng.uniform(reach, 1, 30), rng.uniform(0, 2 * np.pi, 30)
        ring = np.sqrt(1 - z**2)
        p = 40 * np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1) + rng.normal(0, 0.6, (30, 3))
        found = fit_ellipsoid(p, noise=1.0)
        off = np.abs(np.linalg.norm(found.points(8.0), axis=1) - 40).max()
        assert off < 3 * found.certainty.worst
        assert bool(found.warning) == warns
        built = build("ellipsoidal_vesicle", p, points(30), ModelOptions())
        assert built.warning == found.warning
        assert built.certainty.worst > 0
        assert "±" in built.note


@pytest.mark.parametrize("model", ["vesicle", "ellipsoidal_vesicle"])
@pytest.mark.parametrize("scatter", [0.0, 0.2, 1.0, 2.0, 3.0])
def test_points_on_a_line_are_no_closed_surface(model, scatter):
    rng = np.random.default_rng(3)
    p = np.outer(rng.uniform(-50, 50, 20), [0.87, 0.44, 0.22]) + rng.normal(0, scatter, (20, 3))
    with pytest.raises(ModelError, match="on a line: a filament"):
        build(model, p, points(20), ModelOptions(cropping=1.0))


def test_no_model_is_larger_than_the_tomogram_or_holds_millions_of_positions(rng):
    p = on_sphere(30, rng) * 60
    with pytest.raises(ModelError, match="tomogram allows"):
        build("vesicle", p, points(30), ModelOptions(), largest=50.0)
    for model in ("vesicle", "ellipsoidal_vesicle", "hull"):
        with pytest.raises(ModelError, match="positions"):
            build(model, p, points(30), ModelOptions(cropping=0.02))
    line = np.outer(np.linspace(0, 1e4, 5), [1.0, 0, 0])
    with pytest.raises(ModelError, match="more than"):
        build("filament", line, points(5), ModelOptions(cropping=1e-3))


SHEETS = {
    "flat": lambda x, z: 0.3 * x + 0.2 * z,
    "bent": lambda x, z: x**2 / 60 + 0.2 * z,
    "saddle": lambda x, z: x**2 / 80 - (z - 12) ** 2 / 20,
}


@pytest.mark.parametrize(("kind", "most"), [("flat", 0.45), ("bent", 0.55), ("saddle", 0.45)])
def test_a_sheet_through_noisy_contours_is_as_flat_as_they_allow_and_says_how_certain_it_is(kind, most):
    """Splines across contours, each point with its full noise, were 0.51, 0.57 and 0.43 voxels off."""
    height, off, said, noise = SHEETS[kind], [], [], []
    for seed in range(5):
        x, z = np.tile(np.linspace(-30, 30, 12), 4), np.repeat(np.linspace(0, 24, 4), 12)
        p = np.stack([x, height(x, z), z], axis=1)
        p[:, :2] += np.random.default_rng(seed).normal(0, 1.0, (48, 2))
        built = build("surface", p, points(48), ModelOptions(cropping=3.0, noise=1.0))
        qx, qy, qz = built.positions.T
        e = 1e-4
        slope_x, slope_z = (height(qx + a, qz + b) - height(qx, qz) for a, b in ((e, 0), (0, e)))
        off.append(np.sqrt(np.mean((qy - height(qx, qz)) ** 2 / (1 + (slope_x / e) ** 2 + (slope_z / e) ** 2))))
        said.append(built.certainty.surface)
        noise.append(built.certainty.noise)
        assert "±" in built.note
        assert not built.warning
    assert np.median(off) < most
    assert 0.4 < np.median(said) / np.median(off) < 2.5
    assert np.median(noise) == pytest.approx(1.0, abs=0.2)


def test_a_sheet_of_two_contours_says_that_nothing_is_known_between_them(rng):
    x, z = np.tile(np.linspace(-30, 30, 12), 2), np.repeat([0.0, 24.0], 12)
    p = np.stack([x, 0.3 * x, z], axis=1) + rng.normal(0, [1.0, 1.0, 0.0], (24, 3))
    built = build("surface", p, points(24), ModelOptions(cropping=3.0))
    assert "more slices" in built.warning
    assert built.certainty.worst > 4  # a saddle of that depth goes through the same contours


@pytest.mark.parametrize("model", ["filament", "filament_torsion", "filament_helix", "filament_rings"])
def test_a_filament_through_noisy_points_is_as_straight_as_they_allow_and_says_how_certain_it_is(model):
    """Splines with the expected noise as their residual were 1.83 voxels and 3.5° off at a noise of 2."""
    off, turned, said = [], [], []
    for seed in range(8):
        p = np.stack([np.linspace(0, 200, 12), np.zeros(12), np.zeros(12)], axis=1)
        p += np.random.default_rng(seed).normal(0, 2.0, (12, 3))
        path = trace(p, 4.0, noise=1.0)
        off.append(np.sqrt(np.mean(np.sum(path.points[:, 1:] ** 2, axis=1))))
        turned.append(np.median(angle_of_vectors(path.tangents, np.array([[1.0, 0, 0]]))))
        built = build(model, p, points(12), ModelOptions(cropping=4.0, radius=5.0))
        assert "±" in built.note
        said.append(built.certainty.surface)
    assert np.median(off) < 1.25
    assert np.median(turned) < 1.5
    assert 0.5 < np.median(said) / np.median(off) < 2.0


@pytest.mark.parametrize(("radius", "most"), [(1e7, 0.75), (300, 0.75), (100, 0.82)])
def test_one_bend_is_no_roughness(radius, most):
    """With one penalty for all bending the curves were 0.70, 0.87 and 0.95 voxels off."""
    t = np.linspace(-100, 100, 2000) / radius
    true = np.stack([radius * np.sin(t), radius * (1 - np.cos(t)), 0 * t], axis=1)
    off = []
    for seed in range(8):
        p = true[np.linspace(0, 1999, 8).astype(int)] + np.random.default_rng(seed).normal(0, 1.0, (8, 3))
        away = cKDTree(trace(p, 1.0, noise=1.0).points).query(true[20:-20])[0]
        off.append(np.mean(away**2))
    assert np.sqrt(np.mean(off)) < most


def test_the_points_decide_whether_the_ends_of_a_filament_are_straight():
    """An S was 0.42 voxels off with one penalty, and 0.54 with one for a bend and third differences alone."""
    t = np.linspace(0, 1, 2000)
    true = np.stack([200 * t, 15 * np.sin(2 * np.pi * t), 0 * t], axis=1)
    off = []
    for seed in range(8):
        p = true[np.linspace(0, 1999, 8).astype(int)] + np.random.default_rng(seed).normal(0, 0.3, (8, 3))
        away = cKDTree(trace(p, 1.0, noise=1.0).points).query(true[20:-20])[0]
        off.append(np.mean(away**2))
    assert np.sqrt(np.mean(off)) < 0.47


def test_a_bent_filament_stays_bent(rng):
    """The same splines were 1.3 voxels off, most of it cut corners."""
    t = np.linspace(0, 1, 2000)[:, None]
    true = np.hstack([200 * t, 15 * np.sin(12 * t), 10 * np.cos(9 * t)])
    p = true[np.linspace(0, 1999, 30).astype(int)] + rng.normal(0, 0.3, (30, 3))
    away = cKDTree(trace(p, 1.0, noise=1.0).points).query(true[20:-20])[0]
    assert np.sqrt(np.mean(away**2)) < 0.6
