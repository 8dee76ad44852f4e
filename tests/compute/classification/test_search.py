"""The search against plain sums over all classes, angles and shifts."""

import numpy as np
import pytest

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.classification.references import Rotations
from emtomo.compute.classification.search import (
    Chunk,
    ClassSearch,
    ImageClassSums,
    Tables,
    add_chunk,
    read_poses,
    search_poses,
    shift_grids,
)
from emtomo.compute.classification.search_cuda import DeviceTables, add_chunk_cuda, search_poses_cuda
from emtomo.compute.device import cuda_available
from tests.compute.classification.data import shapes

SIGMA, NOISE, FILL = 1.5, 0.7, 0.6
TRUTH = [(0, 7, (2.0, 0.0)), (2, 29, (-2 / 3, 2 / 3)), (1, 0, (0.0, -4 / 3))]


CUDA = pytest.param("cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not cuda_available(), reason="no CUDA")])


@pytest.fixture(scope="module", params=["cpu", CUDA])
def found(request):
    """Three noisy images on the grid of poses, searched; and all that went in. CUDA: in numba's simulator, or a GPU."""
    n, rng = 24, np.random.default_rng(3)
    plane = HalfPlane(n)
    rotations = Rotations(plane, 10.0)
    sections = rotations.sections(shapes(n, 3), len(plane))
    shifts, near = shift_grids(4.0, 1.0)
    search = ClassSearch(rotations, sections, shifts, near, len(plane), SIGMA, np.log([0.5, 0.3, 0.2]), FILL)
    ctf = rng.uniform(-1, 1, (len(TRUTH), len(plane)))
    images = np.empty(ctf.shape, complex)
    for b, (k, f, shift) in enumerate(TRUTH):
        images[b] = ctf[b] * section(rotations, sections, k, f) * plane.phases(-np.array([shift]))[0]
    images += np.sqrt(NOISE / 2) * (rng.standard_normal(ctf.shape) + 1j * rng.standard_normal(ctf.shape))
    weighted = images * ctf / NOISE
    chunk = Chunk(*(a.astype(np.float32) for a in (weighted.real, weighted.imag, ctf**2 / NOISE)), np.arange(3))
    tables = Tables(plane, search)
    sums = ImageClassSums(search, 3, len(plane.shell_counts))
    if request.param == "cpu":
        search_poses(chunk, tables)
        add_chunk(chunk, tables, plane.shell, sums)
    else:
        device = DeviceTables(tables, request.param)
        device.piece = 2
        search_poses_cuda(chunk, device)
        add_chunk_cuda(chunk, device, plane.shell, sums)
    return plane, search, images, ctf, read_poses(chunk, tables), sums


def section(rotations, sections, k, f):
    half = f % rotations.fine
    value = sections.real[k, half] + 1j * sections.imag[k, half]
    return np.conj(value) if f >= rotations.fine else value


def every_pose(plane, search, image, ctf):
    """Return log probabilities (K, 2 F, S) of an image over that of noise, at all shifts (S, 2)."""
    grid = (search.shifts[:, None] + search.near).reshape(-1, 2)
    phases = plane.phases(grid)
    out = np.empty((3, 2 * search.rotations.fine, len(grid)))
    for k in range(3):
        for f in range(out.shape[1]):
            left = image * phases - ctf * section(search.rotations, search.sections, k, f)
            gain = (np.sum(np.abs(image) ** 2) - np.sum(np.abs(left) ** 2, axis=1)) / NOISE
            out[k, f] = FILL * gain - (grid**2).sum(1) / (2 * SIGMA**2) + search.log_share[k]
    return out, grid


def test_poses_and_probabilities_are_those_of_all_sums(found):
    plane, search, images, ctf, poses, sums = found
    mass = np.zeros(3)
    for b, (k, f, shift) in enumerate(TRUTH):
        assert poses.class_index[b] == k
        logs, grid = every_pose(plane, search, images[b], ctf[b])
        high = logs.max()
        _, best, at = np.unravel_index(np.argmax(logs), logs.shape)
        assert poses.psi[b] == pytest.approx(best * search.rotations.step)
        assert poses.shift[b] == pytest.approx(grid[at], abs=1e-6)
        assert abs(best - f) <= 1 and np.hypot(*(grid[at] - shift)) < 1.0
        assert poses.gain[b] == pytest.approx(high + np.log(np.exp(logs - high).sum()), abs=0.1)
        share = np.exp(logs - high).sum((1, 2))
        mass += share / share.sum()
        assert poses.certainty[b] == pytest.approx(share[k] / share.sum(), abs=0.01)
    assert sums.mass == pytest.approx(mass, abs=0.02)


def test_sums_are_those_of_the_aligned_images(found):
    plane, search, images, ctf, poses, sums = found
    expected = np.zeros((3, search.rotations.fine, len(plane)), complex)
    cross = 0.0
    for b in range(len(TRUTH)):
        logs, grid = every_pose(plane, search, images[b], ctf[b])
        weights = np.exp(logs - logs.max())
        weights[weights < 1e-4] = 0
        weights /= weights.sum()
        for k, f in np.argwhere(weights.any(axis=2)):
            moved = weights[k, f] @ (plane.phases(grid) * (images[b] * ctf[b] / NOISE))
            turned = f >= search.rotations.fine
            expected[k, f % search.rotations.fine] += np.conj(moved) if turned else moved
            cross += np.sum(np.conj(moved) * section(search.rotations, search.sections, k, f)).real
    got = (sums.real + 1j * sums.imag).reshape(expected.shape)
    assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)
    assert sums.cross.sum() == pytest.approx(cross, rel=0.01)
