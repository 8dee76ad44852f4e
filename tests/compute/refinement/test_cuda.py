"""The CUDA drivers against those of the CPU; in numba's simulator where there is no GPU, so on tiny inputs."""

from dataclasses import replace

import numpy as np
import pytest

from emtomo.compute.device import cuda_available
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.ascents import begin_ascents
from emtomo.compute.likelihood.cuda_arrays import Cuda, CudaViews
from emtomo.compute.likelihood.newton import newton_ascents
from emtomo.compute.likelihood.plan import HalfSet, IterationPlan
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.posterior import phase_factors
from emtomo.compute.refinement.iteration import create_estimator
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.schedule import Progress, global_search, local_search
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import blobs, image_particles, particles, turned_by

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not cuda_available(), reason="no CUDA device and no simulator")]
N, RADIUS, P = 12, 3.0, np.float32(PAD)


@pytest.fixture
def reference():
    return transform_padded(blobs(N, count=4), RADIUS)


@pytest.fixture
def measured(rng):
    """Two particles' packed data and weights."""
    coefficients = FourierCoefficients(N, RADIUS)
    data = coefficients.transform(blobs(N, count=4)) + rng.normal(size=(2, len(coefficients))) * 2
    return coefficients.k, data.astype(np.complex64), rng.random(data.shape).astype(np.float32) + 0.5


@pytest.fixture
def cuda(measured):
    return Cuda(measured[0], N, "cuda")


@pytest.fixture
def boxes(cuda):
    """Two particles of one 3D view each."""
    return CudaViews(cuda, np.tile(np.eye(3), (2, 1, 1)), np.arange(3), np.zeros(2, int))


def test_sections_are_equal(cuda, reference, measured):
    rotations = random_rotations(3, 1).astype(np.float32)
    first = np.empty((3, 2 * len(measured[0])), np.float32)
    fourier_cpu.sections(reference, P, measured[0], rotations, first)
    second = cuda.host(cuda.sections(cuda.xp.asarray(reference), cuda.k, rotations))
    assert np.allclose(first, second, rtol=1e-4, atol=1e-3 * np.abs(first).max())


@pytest.mark.parametrize("precision", [(0.0, 0.0), (1.0, 0.1)])
def test_ascents_end_on_the_same_pose(cuda, boxes, reference, measured, precision):
    k, data, weight = measured
    starts = turned_by(np.tile(np.eye(3), (3, 1, 1)), 8.0, 1)
    moves, owner = np.array([[0.4, -0.3, 0.2], [0, 0, 0], [-0.5, 0.1, 0.2]]), np.array([0, 1, 1])
    centres, limits = (np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))), (0.3, 1.0)
    chosen = cuda.xp.arange(len(k), dtype=np.int32)
    there = [cuda.xp.asarray(a) for a in (data, weight)]
    ends = newton_ascents(
        lambda *poses: cuda.likelihoods(cuda.xp.asarray(reference), chosen, boxes, *there, *poses),
        owner, starts, moves, centres, np.array(precision), limits, 6,
    )  # fmt: skip
    for p, b in enumerate(owner):
        prior = np.eye(3), np.zeros(3), np.array(precision), np.array(limits)
        one = begin_ascents(starts[p][None], moves[p][None])
        fourier_cpu.newton_ascents(reference, P, k, k, np.eye(3)[None], data[b : b + 1], weight[b : b + 1], N, *prior,
                                   6, one)  # fmt: skip
        assert ends.density[p] == pytest.approx(one.density[0], rel=1e-4)
        assert angle_between(ends.best_rotation[p][None], one.best_rotation)[0] < 0.01
        assert np.abs(ends.best_shift[p] - one.best_shift[0]).max() < 1e-3
        assert np.allclose(
            ends.information[p], one.information[0], rtol=2e-3, atol=1e-3 * np.abs(one.information).max()
        )


def test_insertion_is_equal(cuda, boxes, measured):
    k, data, weight = measured
    rotations, shifts = random_rotations(3, 4), np.array([[0.5, -0.2, 1.0], [0, 0, 0], [1, 0.3, 0]])
    owner, factors = np.array([0, 1, 1]), np.array([0.7, 0.2, 0.8])
    first, second = empty_sums(RADIUS), cuda.xp.asarray(empty_sums(RADIUS))
    cuda.insert(boxes, *(cuda.xp.asarray(a) for a in (data, weight)), owner, rotations, shifts, factors, second)
    for b, r, s, f in zip(owner, rotations, shifts, factors, strict=True):
        moved = (data[b] * phase_factors(k, s[None], N)[0]).astype(np.complex64)
        fourier_cpu.insert(k, P, moved, weight[b], r.astype(np.float32), np.float32(f), first)
    assert np.allclose(first, cuda.host(second), rtol=1e-3, atol=1e-3 * np.abs(first).max())


@pytest.mark.slow  # every thread of every kernel is a Python thread in the simulator
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", ["none", "wedge", "ctf_squared", "images", "one image"])
def test_a_batch_gives_what_particles_give_one_by_one(absolute, kind):
    volume, count = blobs(N, count=4), 3
    source, truth, _ = particles(volume, count, 0.3)
    if "image" in kind:
        source, truth = image_particles(volume, count, 0.3, np.arange(-40, 41, 40.0) if kind == "images" else [0.0])
        cut = source.views
        if kind == "images":  # every tilt with noise and a strength of its own
            source = replace(source, views=lambda i: replace(cut(i), noise_group=np.arange(3)), noise_groups=3)
    else:
        weights = np.random.default_rng(2).random((2, N, N, N // 2 + 1)).astype(np.float32) + 0.5
        source = replace(source, kind=kind, keys=[0, 1, 0], weight=lambda key: weights[key])
    start = Poses(turned_by(truth.rotations, 5, 1), truth.shifts, np.ones(count, int))
    options = RefineOptions(initial_lowpass=45.0, angular_step=20.0, offset_range=0.5, mask_diameter=80.0)
    coefficients, radius = source.coefficients(4.0), RADIUS
    begin = global_search if absolute else local_search
    search = begin(options, Progress(0, radius, 60.0, 0.5), source, coefficients, 4.0)
    # of single images the noise hides enough that ascents end well before their last step
    level = 1000.0 if kind == "one image" else 1.0
    noise = level * (np.random.default_rng(3).random(source.noise_length) + 1)
    half = HalfSet(volume, noise, np.array([1.2, 0.6, 1.0]) if source.scaled_views else None)
    frame = {1: (random_rotations(1, 5)[0], np.array([0.2, 0, -0.1]))}
    plan = IterationPlan(
        coefficients, radius, (search,), np.zeros(count, int), start, 5.0, 1.0, 4.0, frame, symmetry_rotations("C1")
    )
    done = []
    here = create_estimator(source, half, plan).estimate(np.arange(count), start, done.append)
    estimator = create_estimator(source, half, replace(plan, device="cuda"))
    estimator.batch_size = 2
    there = estimator.estimate(np.arange(count), start, done.append)
    assert sum(done) == 2 * count and sorted(there.estimates) == sorted(here.estimates)
    for i, one in here.estimates.items():
        other = there.estimates[i]
        # a single image leaves poses uncertain, and ascents end where the rest is small beside that
        assert angle_between(one.rotation[None], other.rotation[None])[0] < max(0.2, 0.1 * one.angle_spread)
        assert np.abs(one.shift - other.shift).max() < max(0.02, 0.1 * one.shift_spread)
        for name in ("score", "angle_spread", "shift_spread", "certainty"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=0.02, abs=0.02)
    assert here.products.shape == (2, 3 if kind == "images" else 0)
    for name in ("sums", "residual", "measured", "products"):
        a, b = getattr(here, name), getattr(there, name)
        assert np.allclose(a, b, rtol=0.02, atol=0.01 * np.abs(a).max(initial=0)), name
    no_particles = estimator.estimate(np.zeros(0, int), start, done.append)
    assert not no_particles.sums.any() and not no_particles.estimates


def test_a_refinement_gives_the_same_poses_within_tolerance():
    volume = blobs(N, count=4)
    source, truth, _ = particles(volume, 2, 0.3)
    start = Poses(turned_by(truth.rotations, 5, 1), truth.shifts, np.array([1, 2]))
    options = RefineOptions(
        initial_lowpass=45.0, angular_step=0.5, local_from=0.5, offset_range=0.5, mask_diameter=80.0
    )
    found = []
    for device in ("cpu", "cuda"):
        refinement = Refinement(source, start, volume, options, device=device)
        state, *_ = refinement.step(refinement.begin())
        found.append(state.poses)
    assert angle_between(found[0].rotations, found[1].rotations).max() < 0.5
    assert np.abs(found[0].shifts - found[1].shifts).max() < 0.05


def test_an_unknown_device_is_reported():
    volume = blobs(N, count=4)
    source, truth, _ = particles(volume, 2, 0.3)
    with pytest.raises(EmtomoError, match="device must be cpu, cuda or cuda:N"):
        Refinement(source, truth, volume, RefineOptions(), device="gpu")
