"""The CUDA drivers against those of the CPU; in numba's simulator where there is no GPU, so on tiny inputs."""

from dataclasses import replace

import numpy as np
import pytest

from emtomo.compute.device import cuda_available
from emtomo.compute.fourier.coefficients import FourierCoefficients, count_bands
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.cuda_arrays import Cuda
from emtomo.compute.likelihood.newton import newton_ascent_batch, rotate_batch
from emtomo.compute.likelihood.pose_estimator import HalfSet, IterationPlan
from emtomo.compute.likelihood.posterior import waves
from emtomo.compute.likelihood.views import Poses
from emtomo.compute.refinement.iteration import create_estimator
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.schedule import Progress, global_search, local_search
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import blobs, particles, turned_by

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
def cuda(reference, measured):
    return Cuda(reference, measured[0], N, "cuda")


def test_sections_are_equal(cuda, reference, measured):
    rotations = random_rotations(3, 1).astype(np.float32)
    first = np.empty((3, 2 * len(measured[0])), np.float32)
    fourier_cpu.sections(reference, P, measured[0], rotations, first)
    second = cuda.host(cuda.sections(cuda.k, rotations))
    assert np.allclose(first, second, rtol=1e-4, atol=1e-3 * np.abs(first).max())


@pytest.mark.parametrize("precision", [(0.0, 0.0), (1.0, 0.1)])
def test_climbs_end_on_the_same_pose(cuda, reference, measured, precision):
    k, data, weight = measured
    initial_poses = turned_by(np.tile(np.eye(3), (3, 1, 1)), 8.0, 1)
    moves, owner = np.array([[0.4, -0.3, 0.2], [0, 0, 0], [-0.5, 0.1, 0.2]]), np.array([0, 1, 1])
    centres, limits = (np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))), (0.3, 1.0)
    chosen = cuda.xp.arange(len(k), dtype=np.int32)
    there = [cuda.xp.asarray(a) for a in (data, weight)]
    found = newton_ascent_batch(
        lambda *poses: cuda.likelihoods(chosen, *there, *poses),
        owner,
        initial_poses,
        moves,
        centres,
        np.array(precision),
        limits,
        6,
    )
    for p, b in enumerate(owner):
        prior = np.eye(3), np.zeros(3), np.array(precision), np.array(limits)
        one = fourier_cpu.newton_ascent(reference, P, k, data[b], weight[b], N, initial_poses[p], moves[p], *prior, 6)
        assert found[0][p] == pytest.approx(one[0], rel=1e-3)
        assert angle_between(found[1][p][None], one[1][None])[0] < 0.1
        assert np.abs(found[2][p] - one[2]).max() < 0.01
        assert np.allclose(found[3][p], one[3], rtol=0.02, atol=1e-2 * np.abs(one[3]).max())


def test_many_turns_are_rodrigues(rng):
    rotations, omega = random_rotations(5, 2), rng.normal(size=(5, 3))
    omega[0] = 0
    expected = [fourier_cpu.rotate(r, o) for r, o in zip(rotations, omega, strict=True)]
    assert np.allclose(rotate_batch(rotations, omega), expected, atol=1e-12)


def test_insertion_is_equal(cuda, measured):
    k, data, weight = measured
    rotations, shifts = random_rotations(3, 4), np.array([[0.5, -0.2, 1.0], [0, 0, 0], [1, 0.3, 0]])
    owner, factors = np.array([0, 1, 1]), np.array([0.7, 0.2, 0.8])
    first, second = empty_sums(RADIUS), cuda.xp.asarray(empty_sums(RADIUS))
    cuda.insert(*(cuda.xp.asarray(a) for a in (data, weight)), owner, rotations, shifts, factors, second)
    for b, r, s, f in zip(owner, rotations, shifts, factors, strict=True):
        apply_phase_shift = (data[b] * waves(k, s[None], N)[0]).astype(np.complex64)
        fourier_cpu.insert(k, P, apply_phase_shift, weight[b], r.astype(np.float32), np.float32(f), first)
    assert np.allclose(first, cuda.host(second), rtol=1e-3, atol=1e-3 * np.abs(first).max())


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", ["none", "wedge", "ctf_squared"])
def test_a_batch_gives_what_particles_give_one_by_one(absolute, kind):
    volume, count = blobs(N, count=4), 3
    source, truth, _ = particles(volume, count, 0.3)
    weights = np.random.default_rng(2).random((2, N, N, N // 2 + 1)).astype(np.float32) + 0.5
    source = replace(source, kind=kind, weight_key=[0, 1, 0], weight=lambda key: weights[key])
    start = Poses(turned_by(truth.rotations, 5, 1), truth.shifts, np.ones(count, int))
    options = RefineOptions(initial_lowpass=45.0, angular_step=20.0, offset_range=0.5, mask_diameter=80.0)
    coefficients, radius = FourierCoefficients(N, 4.0), RADIUS
    search = (global_search if absolute else local_search)(options, Progress(0, radius, 60.0, 0.5), coefficients, 4.0)
    half = HalfSet(volume, np.random.default_rng(3).random(count_bands(N)) + 1)
    frame = {1: (random_rotations(1, 5)[0], np.array([0.2, 0, -0.1]))}
    plan = IterationPlan(
        coefficients, radius, (search,), np.zeros(count, int), start, 5.0, 1.0, 4.0, frame, symmetry_rotations("C1")
    )
    told = []
    here = create_estimator(source, half, plan).partial(np.arange(count), start, told.append)
    estimator = create_estimator(source, half, replace(plan, device="cuda"))
    estimator.most = 2
    there = estimator.partial(np.arange(count), start, told.append)
    assert sum(told) == 2 * count and sorted(there.found) == sorted(here.found)
    for i, (rotation, shift, *rest) in here.found.items():
        assert angle_between(rotation[None], there.found[i][0][None])[0] < 0.2
        assert np.abs(shift - there.found[i][1]).max() < 0.02
        assert rest == pytest.approx(there.found[i][2:], rel=0.02, abs=0.02)
    for name in ("sums", "residual", "measured"):
        a, b = getattr(here, name), getattr(there, name)
        assert np.allclose(a, b, rtol=0.02, atol=0.01 * np.abs(a).max()), name
    no_particles = estimator.partial(np.zeros(0, int), start, told.append)
    assert not no_particles.sums.any() and not no_particles.found


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


def test_an_unknown_device_is_told():
    volume = blobs(N, count=4)
    source, truth, _ = particles(volume, 2, 0.3)
    with pytest.raises(EmtomoError, match="device must be cpu, cuda or cuda:N"):
        Refinement(source, truth, volume, RefineOptions(), device="gpu")
