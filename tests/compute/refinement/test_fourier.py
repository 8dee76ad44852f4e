"""Laws of sections, insertion and the likelihood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.neighbour_share import neighbour_share
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.reconstruction import Sums, empty_sums, invert_padded, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.kernels.newton_cpu import rotate
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.rotations import random_rotations
from emtomo.synthetic.subtomograms import simulate_subtomograms
from tests.compute.likelihood.slopes import check_slopes
from tests.compute.refinement.data import PIXEL, blobs, image_particles, particles, wedge

P = np.float32(PAD)


def section(volume, coefficients, rotation):
    out = np.empty((1, 2 * len(coefficients)), np.float32)
    reference = transform_padded(volume, coefficients.radius)
    fourier_cpu.sections(reference, P, coefficients.k, rotation[None].astype(np.float32), out)
    return out.view(np.complex64)[0]


@pytest.mark.parametrize("n", [16, 17])
def test_coefficients_hold_every_frequency_once(n):
    coefficients = FourierCoefficients(n, n / 2)
    found = {tuple(k) for k in coefficients.k.astype(int).tolist()}
    assert len(found) == len(coefficients)
    assert not any((-x, -y, -z) in found for x, y, z in found)
    k = np.arange(-(n // 2), n // 2 + 1)
    z, y, x = np.meshgrid(k, k, k, indexing="ij")
    inside = (x * x + y * y + z * z < n * n / 4) & (x * x + y * y + z * z > 0)
    assert 2 * len(coefficients) == inside.sum()


@pytest.mark.parametrize("n", [16, 17])
def test_the_packed_transform_has_its_origin_at_the_centre_voxel(n, rng):
    coefficients = FourierCoefficients(n, n / 2)
    point = np.zeros((n, n, n), np.float32)
    point[n // 2, n // 2, n // 2] = 1
    assert np.abs(coefficients.transform(point) - 1).max() < 1e-5


@pytest.mark.parametrize("n", [24, 25])
def test_a_section_is_the_transform_of_the_turned_volume(n):
    """Against the sum over voxels, in float64, of a volume of few voxels."""
    rng = np.random.default_rng(0)
    volume = np.zeros((n, n, n), np.float32)
    place = rng.integers(n // 2 - 4, n // 2 + 5, (10, 3))
    volume[tuple(place.T)] = rng.random(10)
    coefficients = FourierCoefficients(n, n / 3)
    rotation = random_rotations(1, 4)[0]
    z, y, x = np.nonzero(volume)
    points = np.stack([x, y, z], axis=1) - n // 2
    q = coefficients.k.astype(float) @ rotation
    exact = np.exp(-2j * np.pi * (q @ points.T) / n) @ volume[z, y, x]
    got = section(volume, coefficients, rotation)
    assert np.linalg.norm(got - exact) < 0.02 * np.linalg.norm(exact)


def test_insertion_is_the_adjoint_of_a_section(rng):
    n = 16
    coefficients = FourierCoefficients(n, 6.0)
    m = empty_sums(6.0).shape[0] // 2
    shape = (2 * m + 1, 2 * m + 1, m + 2)
    reference = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    data = (rng.normal(size=len(coefficients)) + 1j * rng.normal(size=len(coefficients))).astype(np.complex64)
    rotation = random_rotations(1, 2).astype(np.float32)
    out = np.empty((1, 2 * len(coefficients)), np.float32)
    fourier_cpu.sections(reference, P, coefficients.k, rotation, out)
    sums = empty_sums(6.0)
    fourier_cpu.insert(
        coefficients.k, P, data, np.ones(len(coefficients), np.float32), rotation[0], np.float32(1), sums
    )
    left = (out.view(np.complex64)[0].conj() * data).sum().real
    right = (reference.real * sums[..., 0] + reference.imag * sums[..., 1]).sum()
    assert left == pytest.approx(right, rel=1e-4)
    assert sums[..., 2].sum() == pytest.approx(len(coefficients), rel=1e-5)


def test_the_likelihood_is_that_of_a_loop_in_float64(rng):
    n, size = 20, 7.0
    volume = blobs(n)
    coefficients = FourierCoefficients(n, size)
    reference = transform_padded(volume, size)
    rotation, shift = random_rotations(1, 7)[0], np.array([0.7, -1.2, 0.4])
    data = (rng.normal(size=len(coefficients)) + 1j * rng.normal(size=len(coefficients))).astype(np.complex64) * 50
    weight = rng.random(len(coefficients)).astype(np.float32)
    model = section(volume, coefficients, rotation).astype(complex)
    exact = 0.0
    for k, d, w, s in zip(coefficients.k.astype(float), data, weight, model, strict=True):
        shifted = s * np.exp(-2j * np.pi * (k @ shift) / n)
        exact += 2 * (np.conj(d) * shifted).real - w * abs(shifted) ** 2
    table, here = np.empty((3, n + 1), np.complex64), np.empty(len(coefficients), np.complex64)
    fourier_cpu.phases(shift, n, n // 2, table)
    fourier_cpu.apply_phase_shift(coefficients.k, data, table, here)
    got = fourier_cpu.likelihood(
        reference, P, coefficients.k, here, weight, rotation.astype(np.float32), n, np.empty(6), np.empty((6, 6))
    )
    assert got == pytest.approx(exact, rel=1e-4)


def test_the_gradient_is_the_slope_of_the_likelihood(rng):
    """A transform that is linear in k is interpolated exactly, so that numbers and formula must agree."""
    n, radius = 20, 6.0
    coefficients = FourierCoefficients(n, radius)
    shape = transform_padded(blobs(n), radius).shape
    m = shape[0] // 2
    z, y, x = np.meshgrid(np.arange(-m, m + 1), np.arange(-m, m + 1), np.arange(m + 2), indexing="ij")
    # conj(F(-k)) = F(k) wants an even real and an odd imaginary part
    reference = (3.0 + 1j * (0.3 * x - 0.2 * y + 0.5 * z)).astype(np.complex64)
    data = (rng.normal(size=len(coefficients)) + 1j * rng.normal(size=len(coefficients))).astype(np.complex64)
    weight = rng.random(len(coefficients)).astype(np.float32) * 0.1
    start, shift = random_rotations(1, 3)[0], np.array([0.3, 0.8, -0.5])

    def value(p, gradient, hessian):
        table, here = np.empty((3, n + 1), np.complex64), np.empty(len(coefficients), np.complex64)
        fourier_cpu.phases(shift + p[3:], n, n // 2, table)
        fourier_cpu.apply_phase_shift(coefficients.k, data, table, here)
        rotation = rotate(start, p[:3]).astype(np.float32)
        return fourier_cpu.likelihood(reference, P, coefficients.k, here, weight, rotation, n, gradient, hessian)

    check_slopes(value, 0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_turning_poses_and_reference_together_changes_nothing(seed):
    """R g against the reference turned by g: V'(x) = V(g x)."""
    n, radius = 20, 6.0
    rng = np.random.default_rng(seed)
    g, rotation = random_rotations(2, seed)
    coefficients = FourierCoefficients(n, radius)
    q = coefficients.k.astype(float) @ rotation
    place, height = rng.uniform(-4, 4, (6, 3)), rng.random(6)
    exact = np.exp(-2j * np.pi * (q @ place.T) / n) @ height
    turned_place = place @ g  # g^T place
    same = np.exp(-2j * np.pi * (coefficients.k.astype(float) @ (rotation @ g) @ turned_place.T) / n) @ height
    assert np.allclose(exact, same)


@pytest.mark.parametrize("n", [24, 25])
def test_reconstructing_noiseless_particles_gives_the_volume_back(n):
    volume = blobs(n)
    source, poses, _ = particles(volume, 60, 0.0)
    got = reconstruct(source, poses)
    curve = fourier_shell_correlation(got.average, volume)
    assert curve[1 : int(0.8 * n / 2)].min() > 0.995


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O"])
def test_a_symmetric_reconstruction_needs_fewer_particles(symmetry):
    volume = blobs(24, symmetry, count=5)
    source, poses, _ = particles(volume, 12, 1.0)
    plain = fourier_shell_correlation(reconstruct(source, poses).average, volume)
    better = fourier_shell_correlation(reconstruct(source, poses, symmetry).average, volume)
    assert better[1:9].mean() > plain[1:9].mean()
    assert better[1:8].min() > 0.96


def test_premultiplied_and_squared_weights_are_the_same_measurement():
    """X = C V as (X, C), as (C X, C^2), and as (C X, C) premultiplied give one volume."""
    n = 20
    volume = blobs(n)
    source, poses, boxes = particles(volume, 20, 0.0)
    rng = np.random.default_rng(0)
    shell = np.sqrt((np.stack(np.meshgrid(*[np.fft.fftfreq(n)] * 2, np.fft.rfftfreq(n), indexing="ij")) ** 2).sum(0))
    ctf = (np.cos(20 * shell) * (0.5 + rng.random())).astype(np.float32) * wedge(n)

    def filtered(box, times):
        return np.fft.irfftn(np.fft.rfftn(box) * ctf**times, box.shape).astype(np.float32)

    def average(times, kind, premultiplied):
        made = [filtered(simulate(i), times) for i in range(20)]
        weight = ctf if kind == "ctf" else ctf**2
        p = BoxParticles(n, PIXEL, lambda i: made[i], [0] * 20, lambda k: weight, kind, premultiplied)
        return reconstruct(p, poses).average

    def simulate(i):
        return simulate_subtomograms(volume, poses.rotations[i : i + 1], poses.shifts[i : i + 1], 0.0, 0, (-90, 90))[0]

    first = average(1, "ctf", False)
    for other in (average(2, "ctf", True), average(2, "ctf_squared", True)):
        assert np.corrcoef(first.ravel(), other.ravel())[0, 1] > 0.9999
    assert fourier_shell_correlation(first, volume)[1:8].min() > 0.98


def test_sums_are_smoothed_on_both_sides_of_the_plane_of_mates(rng):
    m = 6
    padded = transform_padded(rng.normal(size=(12, 12, 12)).astype(np.float32), 2.5)[:, :, : m + 2]
    assert padded.shape[0] == 2 * m + 1
    weights = np.abs(padded) ** 2
    near = Sums(12, 2.5, padded.astype(complex), weights.astype(float)).smooth()
    for got, half in ((near.data, padded), (near.weights, weights)):
        whole = np.concatenate([np.conj(half[::-1, ::-1, m + 1 : 0 : -1]), half], axis=2).astype(complex)
        smooth = whole
        for axis in range(3):
            smooth = sum(factor * np.roll(smooth, step, axis) for factor, step in ((0.25, -1), (0.5, 0), (0.25, 1)))
        wanted = smooth[1:-1, 1:-1, m + 1 : -1]
        assert np.allclose(got[1:-1, 1:-1, : m + 1], wanted, rtol=1e-5, atol=1e-5 * np.abs(half).max())


@pytest.mark.parametrize(("noise", "change"), [(3.0, 1.0), (0.1, 1.0), (20.0, 1.0), (1.0, 0.0)])
def test_neighbours_count_as_noise_to_change(rng, noise, change):
    """What neighbours weigh follows from the noise N and the variance v about their mean that data were made with."""
    w, b = rng.gamma(1.5, 1.0, (3, 40000)), np.full((3, 40000), 1.0)
    normal = rng.normal(size=(4, 3, 40000))
    e = w * np.sqrt(change / 2) * (normal[0] + 1j * normal[1])
    e += np.sqrt(noise * w / 2) * (normal[2] + 1j * normal[3])
    square = np.abs(e) ** 2
    moments = np.stack([np.ones_like(w), w, w * w, square, square / w, w * w * b * b], axis=2).sum(axis=1)
    share = neighbour_share(moments, w.mean(axis=1))
    ratio = 0.25 * noise / (max(change, 0.1) * 1.5)
    assert np.allclose(share, max(20 * ratio / (20 + ratio), 1 / 9), rtol=0.1)


def test_frequencies_that_hardly_any_view_shows_do_no_harm():
    """Of few images, those nearly zero where they are alone do not fill shells with noise (0.585 by themselves)."""
    volume = blobs(24)
    source, truth = image_particles(volume, 8, 0.3, np.arange(-60.0, 61.0, 15.0))
    curve = fourier_shell_correlation(reconstruct(source, truth).average, volume)
    assert curve[8] > 0.7


@pytest.mark.parametrize("n", [12, 13])
def test_frequencies_of_equal_weight_are_not_changed_by_their_neighbours(n):
    """Smoothing's window is taken out of exactly its part (what was cut at the last shell apart)."""
    volume = blobs(n)
    data = transform_padded(volume, n / 2).astype(complex)
    weights = np.full(data.shape, 3.0)
    sums, radius = Sums(n, n / 2, 3 * data, weights), n / 2
    assert np.abs(solve(sums) - invert_padded(data, n, radius)).max() < 0.005 * volume.max()
    prior = np.full(n // 2 + 1, 8 * 3.0)  # as much as was measured, in units of the grid that is not padded
    assert np.abs(solve(sums, prior) - invert_padded(data, n, radius) / 2).max() < 0.005 * volume.max()


def test_empty_weights_give_an_empty_volume():
    sums = Sums.of(16, 8.0, [empty_sums(8.0)]).complete("C2")
    assert np.abs(solve(sums)).max() < 1e-6
