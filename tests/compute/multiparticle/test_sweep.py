"""The sweep over images: derivatives against finite differences, scores against numpy, CUDA against the CPU."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.device import cuda_available
from emtomo.compute.kernels.image_fit_cpu import sines_and_cosines
from emtomo.compute.multiparticle.images import References
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ImageModel, correlate, sweep
from tests.compute.multiparticle.data import simulate, tilt_geometry, true_state, with_geometry


def plain_model(images, deviation=1.0, seed=None):
    """Return a model whose noise is the same everywhere; with a seed, one in which nothing is the same."""
    tilts, shells = images.used.shape[1], int(images.coefficients.shell.max()) + 1
    one = ImageModel(
        np.full((tilts, shells), 1 / deviation), np.ones((2, shells)), np.ones((tilts, shells)), np.ones(len(images))
    )
    if seed is None:
        return one
    rng = np.random.default_rng(seed)
    return ImageModel(*(value * rng.uniform(0.5, 1.5, value.shape) for value in list(vars(one).values())[:4]))


@pytest.fixture(scope="module")
def small():
    """Three particles in four tilts, in a state that is a little wrong, at the volume's centre."""
    geometry = replace(tilt_geometry(4, 20.0), magnification=np.array([[1.01, 0.004], [-0.003, 0.985]]))
    truth = true_state(3, geometry=geometry)
    truth = SeriesState(geometry, truth.rotations, 0 * truth.positions)
    simulation = simulate(truth, noise=0.5)
    turn = Rotation.from_rotvec(np.deg2rad([1.0, -2.0, 1.5])).as_matrix()
    start = replace(truth, rotations=truth.rotations @ turn, positions=truth.positions + [3.0, -2.0, 0.0])
    return simulation.images, start


def test_sines_and_cosines_of_large_angles(rng):
    angle = np.concatenate([rng.uniform(-300, 300, 4000), rng.uniform(-4, 4, 4000), [0.0]]).astype(np.float32)
    sine, cosine = np.empty_like(angle), np.empty_like(angle)
    sines_and_cosines(angle, sine, cosine)
    assert_allclose(sine, np.sin(angle.astype(float)), atol=1e-6)
    assert_allclose(cosine, np.cos(angle.astype(float)), atol=1e-6)


def test_derivatives_are_finite_differences(small):
    images, state = small
    model = plain_model(images, 20.0, seed=4)
    found = sweep(images, state, model, optics=True, magnification=True)
    assert found.gradient.shape == (3, 4, 14)
    ctf = state.geometry.ctf
    still = replace(state, positions=0 * state.positions)  # a magnification must not move them

    def turned(h, axis):
        return with_geometry(state, stage=np.tile(Rotation.from_rotvec(h * np.eye(3)[axis]).as_matrix(), (4, 1, 1)))

    def optics(h, **changes):
        return with_geometry(state, ctf=replace(ctf, **changes))

    def magnified(h, place):
        return with_geometry(still, magnification=state.geometry.magnification + h * np.eye(4)[place].reshape(2, 2))

    cases = [(f"rotation {a}", a, 2e-3, lambda h, a=a: turned(h, a)) for a in range(3)]
    cases += [
        (
            f"shift {a}",
            3 + a,
            0.05,
            lambda h, a=a: with_geometry(state, shifts=state.geometry.shifts + h * np.eye(2)[a]),
        )
        for a in range(2)
    ]
    u, v, zero = ctf.defocus_u, ctf.defocus_v, np.zeros(4)
    cases += [
        ("defocus", 5, 30.0, lambda h: optics(h, defocus_u=u + h, defocus_v=v + h)),
        ("astigmatism", 6, 30.0, lambda h: optics(h, defocus_u=u + h, defocus_v=v - h, angle=zero)),
        ("oblique astigmatism", 7, 30.0, lambda h: optics(h, defocus_u=u + h, defocus_v=v - h, angle=zero + 45.0)),
        ("phase", 8, 0.01, lambda h: optics(h, phase_shift=np.rad2deg(h))),
        ("Cs", 9, 5.0, lambda h: optics(h, cs=2.7 + h)),
    ]
    for name, column, step, change in cases:
        up, down = (sweep(images, change(h), model, slopes=False).score for h in (step, -step))
        expected = (up - down) / (2 * step)
        assert relative_error(found.gradient[..., column], expected) < 0.02, name
    found = sweep(images, still, model, optics=True, magnification=True)
    for place in range(4):
        up, down = (sweep(images, magnified(h, place), model, slopes=False).score for h in (2e-3, -2e-3))
        expected = (up - down) / 4e-3
        assert relative_error(found.gradient[..., 10 + place], expected) < 0.05


def relative_error(found, expected):
    """Return the deviation as a fraction; a reference interpolated linearly has kinks, over which differences jump."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_information_is_the_mean_square_of_gradients_from_noise():
    """Fisher: the covariance of the gradient where the model is true."""
    truth = true_state(1, geometry=tilt_geometry(3, 25.0))
    images = simulate(truth, noise=1e-12, radius=8.0).images
    many = replace(
        images, data=np.repeat(images.data, 1500, axis=0), corners=np.repeat(images.corners, 1500, axis=0),
        used=np.ones((1500, 3), bool), half=np.ones(1500, int),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    deviation = 3 * float(np.abs(images.data).mean())
    noise = rng.normal(0, deviation / np.sqrt(2), (2, *many.data.shape))
    many = replace(many, data=(many.data + noise[0] + 1j * noise[1]).astype(np.complex64))
    state = SeriesState(truth.geometry, *(np.repeat(a, 1500, axis=0) for a in (truth.rotations, truth.positions)))
    found = sweep(many, state, weighted(many, truth.geometry, deviation))
    covariance = np.einsum("pta,ptb->tab", found.gradient, found.gradient) / 1500
    diagonal = np.sqrt(np.einsum("taa->ta", found.information[0]))
    scale = diagonal[:, :, None] * diagonal[:, None, :]
    assert_allclose(covariance / scale, found.information[0] / scale, atol=0.15)


def weighted(images, geometry, deviation):
    """Return the model with which the data were simulated."""
    shells = np.arange(int(images.coefficients.shell.max()) + 1)
    one = plain_model(images, deviation)
    size = images.coefficients.size * images.pixel_size
    return ImageModel(one.inverse_noise, one.amplitude, geometry.weights(shells / size), one.factor)


def test_scores_and_correlations_are_numpys(small):
    images, state = small
    model = plain_model(images, 10.0)
    sums = correlate(images, state)
    score = sweep(images, state, model, slopes=False).score
    assert_allclose(score, ((2 * sums[..., 0] - sums[..., 1]) / 100).sum(axis=2), rtol=1e-4, atol=1e-3)
    power = np.abs(images.data) ** 2
    expected = np.stack(
        [power[..., images.coefficients.shell == s].sum(axis=-1) for s in range(sums.shape[2])], axis=-1
    )
    assert_allclose(sums[..., 2], expected, rtol=1e-4)


def test_images_that_are_not_used_stay_zero(small):
    images, state = small
    used = np.ones((3, 4), bool)
    used[1, 2] = False
    found = sweep(images, state, plain_model(images), used=used)
    assert (found.score[1, 2] == 0) and not found.information[1, 2].any()
    assert (found.score[used] != 0).all()


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_available(), reason="no CUDA device and no simulator")
@pytest.mark.parametrize("more", [False, True])
def test_cuda_gives_the_same(more):
    truth = true_state(2, geometry=tilt_geometry(2, 20.0))
    images = simulate(truth, noise=0.5, n=12, radius=3.0, pixel=16.0).images
    images = replace(images, references=References(12, 16.0, 3.0, images.references.transforms))
    model = plain_model(images, 10.0, seed=2)
    options = {"optics": more, "magnification": more}
    for cpu, cuda in zip(
        sweep(images, truth, model, **options), sweep(images, truth, model, **options, device="cuda"), strict=True
    ):
        assert_allclose(cuda, cpu, atol=2e-5 * np.abs(cpu).max(), rtol=2e-4)
    alone = sweep(images, truth, model, slopes=False, device="cuda").score
    assert_allclose(alone, sweep(images, truth, model, slopes=False).score, rtol=1e-4)
