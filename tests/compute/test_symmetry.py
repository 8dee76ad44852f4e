"""Point groups and the search for their axes."""

import shutil
import subprocess

import numpy as np
import pytest

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.orientations import ball_lattice, local_rotations, orientation_grid
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.compute.symmetrisation import (
    align_symmetry,
    centre_of_mass,
    describe_operators,
    detect_symmetry,
    find_axes,
    operator_scores,
    symmetrise,
    symmetry_score,
)
from emtomo.compute.symmetry import in_asymmetric_unit, parse_symmetry, symmetric_angle, symmetry_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import blobs

ORDERS = {"C1": 1, "C6": 6, "D1": 2, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_groups_are_closed_and_of_their_order(name, order):
    group = symmetry_rotations(name.lower())
    assert len(group) == order
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 1, 3, 3)
    assert np.abs(products - group[None]).max(axis=(2, 3)).min(axis=1).max() < 1e-6
    assert np.allclose(np.linalg.det(group), 1)
    assert np.array_equal(group[0], np.eye(3))


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="RELION is not installed")
@pytest.mark.parametrize("name", ["C3", "D7", "T", "O", "I1", "I2"])
def test_axes_are_relions(name):
    done = subprocess.run(["relion_refine", "--sym", name, "--print_symmetry_ops"], capture_output=True, text=True)
    numbers, rows = [], done.stdout.splitlines()
    for line in rows:
        parts = line.split()
        if len(parts) == 3:
            try:
                numbers.append([float(p) for p in parts])
            except ValueError:
                continue
    theirs = np.array(numbers).reshape(-1, 3, 3)
    ours = symmetry_rotations(name)
    assert len(theirs) >= len(ours) - 1
    for matrix in theirs:
        assert np.abs(ours - matrix).max(axis=(1, 2)).min() < 1e-3


def test_other_names_are_refused():
    for name in ("", "C0", "X2", "D", "C1000", "oct"):
        with pytest.raises(EmtomoError, match="Symmetry must be"):
            parse_symmetry(name)


@pytest.mark.parametrize("name", ["C1", "C5", "D2", "O"])
def test_grids_cover_all_orientations_and_each_unit_once(name):
    grid = orientation_grid(15.0, name)
    assert len(grid) == pytest.approx(8 * np.pi**2 / np.deg2rad(15) ** 3 / len(symmetry_rotations(name)), rel=0.08)
    there = random_rotations(200, 1)
    nearest = np.array([symmetric_angle(np.repeat(r[None], len(grid), 0), grid, name).min() for r in there])
    assert nearest.max() < 15.0
    assert np.median(nearest) < 9.0
    random = random_rotations(4000, 2)
    assert in_asymmetric_unit(random, name).mean() == pytest.approx(1 / len(symmetry_rotations(name)), rel=0.15)


def test_lattices_fill_the_ball():
    points = ball_lattice(10.0, 2.0)
    assert np.array_equal(points[0], [0, 0, 0])
    assert len(points) == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.1)
    assert len(ball_lattice(1.0, 2.0)) == 1
    angles = angle_between(local_rotations(9.0, 3.0), np.eye(3)[None])
    assert angles.max() <= 9.0 + 1e-6


@pytest.mark.slow  # a search over all axes and centres of a volume
@pytest.mark.parametrize("name", ["C2", "C6", "D2", "D7", "O"])
def test_axes_are_found_where_they_are(name):
    volume = blobs(32, name, count=4)
    turn, shift = random_rotations(1, 11)[0], np.array([1.2, -0.7, 0.5])
    moved = rotate_boxes(volume[None], turn[None], shift[None])[0]
    axes = find_axes(moved, name)
    assert axes.score > 0.9
    # standard axes stand at turn.T in the moved volume
    if name[0] == "C":
        assert abs(axes.rotation[:, 2] @ turn.T[:, 2]) > np.cos(np.deg2rad(1.0))
    aligned, again = align_symmetry(moved, name)
    assert symmetry_score(aligned, name) > 0.9
    assert again.score == axes.score
    assert np.corrcoef(symmetrise(aligned, name).ravel(), aligned.ravel())[0, 1] > 0.97


@pytest.mark.slow  # a search over all axes and centres of a volume
def test_the_symmetry_itself_is_found():
    volume = blobs(32, "D3", count=4)
    moved = rotate_boxes(volume[None], random_rotations(1, 5), np.zeros((1, 3)))[0]
    found = detect_symmetry(moved, ("C2", "C3", "C6", "D2", "D3", "D6", "O"))
    assert next(iter(found)) == "D3"
    assert found["C6"].score < 0.8 * found["D3"].score


def test_symmetrising_is_a_projection_and_c1_changes_nothing(rng):
    volume = rng.normal(size=(20, 20, 20)).astype(np.float32)
    assert np.array_equal(symmetrise(volume, "C1"), volume)
    four = symmetrise(volume, "C2")
    inner = np.s_[1:, 1:, 1:]  # a turn by 180 degrees maps these voxels onto voxels
    assert np.allclose(symmetrise(four, "C2")[inner], four[inner], atol=1e-4)
    assert np.allclose(four[inner], 0.5 * (volume + np.roll(volume[:, ::-1, ::-1], 1, (1, 2)))[inner], atol=1e-4)


def test_bad_volumes_are_reported():
    with pytest.raises(EmtomoError, match="empty"):
        find_axes(np.ones((16, 16, 16)), "C2")
    with pytest.raises(EmtomoError, match="cubic"):
        find_axes(np.ones((16, 16, 18)), "C2")
    with pytest.raises(EmtomoError, match="cubic"):
        symmetrise(np.ones((16, 16, 18)), "C2")
    with pytest.raises(EmtomoError, match="C1 has no axes"):
        find_axes(blobs(16), "C1")


def test_the_centre_of_mass_is_from_the_centre_voxel():
    for n in (16, 17):
        volume = np.zeros((n, n, n), np.float32)
        volume[n // 2 + 1, n // 2 - 2, n // 2 + 3] = 1
        assert np.allclose(centre_of_mass(volume), [3, -2, 1])


def test_every_operator_has_its_correlation():
    """A C2 volume: of the operators of D2 one alone fits."""
    volume = blobs(24, "C2", count=6)
    scores = operator_scores(volume, "D2")
    by_axis = {int(np.argmax(np.diag(rotation))): score for score, rotation in scores}
    assert len(scores) == 3 and by_axis[2] > 0.97 > 0.9 > max(by_axis[0], by_axis[1])
    words = describe_operators(volume, "D2")
    assert "180° about" in words and words.count(";") == 2
    assert "others higher" in describe_operators(volume, "O") and describe_operators(volume, "C1") == ""
