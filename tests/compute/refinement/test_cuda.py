"""The CUDA drivers against those of the CPU; in numba's simulator where there is no GPU, so on tiny inputs."""

import numpy as np
import pytest

from emtomo.compute.device import cuda_available
from emtomo.compute.refinement.backend import Cpu, Cuda, backend_of
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.packing import Packing
from emtomo.compute.refinement.particles import Poses
from emtomo.compute.refinement.reference import padded_transform
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import blobs, particles, turned_by

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not cuda_available(), reason="no CUDA device and no simulator")]
N, RADIUS = 12, 3.0


@pytest.fixture
def both():
    reference = padded_transform(blobs(N, count=4), RADIUS)
    return Cpu(reference), Cuda(reference, "cuda")


@pytest.fixture
def measured(rng):
    packing = Packing(N, RADIUS)
    data = packing.transform(blobs(N, count=4)) + rng.normal(size=len(packing)) * 2
    return packing.k, data.astype(np.complex64), rng.random(len(packing)).astype(np.float32) + 0.5


def test_sections_are_equal(both, measured):
    rotations = random_rotations(3, 1)
    first, second = (b.sections(measured[0], rotations) for b in both)
    assert np.allclose(first, second, rtol=1e-4, atol=1e-3 * np.abs(first).max())


def test_climbs_end_on_the_same_pose(both, measured):
    start = turned_by(np.eye(3)[None], 8.0, 1)[0]
    prior = start, np.zeros(3), np.array([1.0, 0.1]), np.array([0.3, 1.0])
    first, second = (b.climb(*measured, N, start, np.array([0.4, -0.3, 0.2]), *prior, 6) for b in both)
    assert first[0] == pytest.approx(second[0], rel=1e-3)
    assert angle_between(first[1][None], second[1][None])[0] < 0.1
    assert np.abs(first[2] - second[2]).max() < 0.01
    assert np.allclose(first[3], second[3], rtol=0.02, atol=1e-2 * np.abs(first[3]).max())


def test_insertion_is_equal(both, measured):
    rotation, shift = random_rotations(1, 4)[0], np.array([0.5, -0.2, 1.0])
    sums = []
    for backend in both:
        empty = backend.sums(RADIUS)
        backend.insert(empty, *measured, N, rotation, shift, 0.7)
        sums.append(backend.collected(empty))
    assert np.allclose(*sums, rtol=1e-3, atol=1e-3 * np.abs(sums[0]).max())


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
    assert isinstance(backend_of(np.zeros((3, 3, 3), np.complex64), "cpu"), Cpu)
