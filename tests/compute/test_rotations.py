import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.positions import from_voxels, to_voxels
from emtomo.compute.rotations import (
    angle_between,
    check_rotations,
    from_directions,
    mean_rotations,
    orthonormal,
    random_rotations,
    rotate_in_plane,
    zyx,
)
from emtomo.errors import EmtomoError


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_z_axis_is_the_normal_and_the_matrix_is_a_rotation(seed):
    normals = np.random.default_rng(seed).normal(size=(5, 3))
    rotations = check_rotations(from_directions(normals))
    assert_allclose(rotations[:, :, 2], normals / np.linalg.norm(normals, axis=1, keepdims=True), atol=1e-12)


def test_x_axis_lies_towards_the_given_direction():
    rotation = from_directions(np.array([[0, 0, 2.0]]), np.array([[3.0, 0, 5.0]]))[0]
    assert_allclose(rotation, np.eye(3), atol=1e-12)


def test_a_direction_along_the_normal_still_gives_a_rotation():
    check_rotations(from_directions(np.array([[0, 0, 1.0], [1, 0, 0]]), np.array([[0, 0, 1.0], [2, 0, 0]])))


def test_in_plane_turn_keeps_the_normal_and_turns_by_the_angle():
    rotations = random_rotations(4, 1)
    turned = rotate_in_plane(rotations, np.full(4, 30.0))
    assert_allclose(turned[:, :, 2], rotations[:, :, 2], atol=1e-12)
    assert_allclose(angle_between(rotations, turned), 30.0, atol=1e-6)


def test_angle_between_equals_scipy():
    a, b = random_rotations(50, 2), random_rotations(50, 3)
    expected = np.rad2deg((Rotation.from_matrix(a).inv() * Rotation.from_matrix(b)).magnitude())
    assert_allclose(angle_between(a, b), expected, atol=1e-6)


def test_mean_of_rotations_about_a_centre_is_the_centre_whatever_the_sign_of_quaternions():
    centre = Rotation.from_euler("zyx", [170, 20, -100], degrees=True)
    steps = Rotation.from_rotvec(np.deg2rad([[10, 0, 0], [-10, 0, 0], [0, 5, 0], [0, -5, 0]]))
    rotations = (centre * steps).as_matrix()
    label, mean = mean_rotations(rotations, np.array([7, 7, 7, 7]))
    assert label.tolist() == [7]
    assert_allclose(mean[0], centre.as_matrix(), atol=1e-6)


def test_zyx_acts_on_reversed_vectors():
    rotation, v = random_rotations(1, 5)[0], np.array([1.0, 2.0, 3.0])
    assert_allclose(zyx(rotation) @ v[::-1], (rotation @ v)[::-1])


def test_a_reflection_is_refused():
    with pytest.raises(EmtomoError, match="number 2 of 2 is not a rotation"):
        check_rotations(np.stack([np.eye(3), np.diag([1, 1, -1.0])]))


@pytest.mark.parametrize("shape", [(5, 6, 7), (6, 6, 6), (1, 1, 1)])
def test_positions_go_to_voxels_and_back(shape):
    positions = np.array([[10.0, -20.0, 5.0], [0, 0, 0]])
    voxels = to_voxels(positions, shape, 2.5)
    assert_allclose(voxels[1], [n // 2 for n in shape])
    assert_allclose(voxels[0] - voxels[1], [2.0, -8.0, 4.0])
    assert_allclose(from_voxels(voxels, shape, 2.5), positions)


def test_rounded_rotations_become_orthonormal_and_stay_where_they_are():
    exact = random_rotations(50, 4)
    rounded = np.round(exact, 6)
    back = orthonormal(rounded)
    assert np.abs(np.swapaxes(back, 1, 2) @ back - np.eye(3)).max() < 1e-11
    nearest = np.linalg.svd(rounded)
    np.testing.assert_allclose(back, nearest[0] @ nearest[2], atol=1e-11)
