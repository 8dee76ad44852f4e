"""Angles of every program against their definition, against each other, and against other programs' numbers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.io import poses
from tests.conftest import shared


def rotation(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def turns(n=200, seed=3):
    return Rotation.random(n, random_state=seed).as_matrix()


@pytest.mark.parametrize(
    ("read", "steps"),
    [
        (poses.from_relion, lambda a: rotation("z", -a[2]) @ rotation("y", -a[1]) @ rotation("z", -a[0])),
        (poses.from_dynamo, lambda a: rotation("z", -a[0]) @ rotation("x", -a[1]) @ rotation("z", -a[2])),
        (poses.from_motl, lambda a: rotation("z", a[1]) @ rotation("x", a[2]) @ rotation("z", a[0])),
    ],
)
def test_each_program_turns_as_its_documentation_says(read, steps):
    angles = np.random.default_rng(0).uniform(-400, 400, (50, 3))
    assert_allclose(read(angles), [steps(a) for a in angles], atol=1e-9)


@pytest.mark.parametrize("name", ["relion", "dynamo", "motl"])
def test_angles_go_there_and_back_also_at_the_poles(name):
    read, write = getattr(poses, f"from_{name}"), getattr(poses, f"to_{name}")
    flips = np.stack([np.eye(3), np.diag([-1.0, -1, 1]), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1])])
    tiny = Rotation.from_euler("zxz", [[30, 1e-9, 20], [30, 180 - 1e-9, 20]], degrees=True).as_matrix()
    for matrices in (turns(), flips, tiny):
        angles = write(matrices)
        assert_allclose(read(angles), matrices, atol=1e-7)
        assert (angles > -180).all() and (angles <= 180).all()
    assert_allclose(write(np.eye(3)[None]), 0, atol=1e-12)


def test_dynamo_and_relion_are_related_without_any_matrix():
    """rot = narot - 90, psi = tdrot + 90 (formats.md, closed form)."""
    angles = np.random.default_rng(1).uniform(-170, 170, (100, 3))
    angles[:, 1] = np.abs(angles[:, 1])
    tdrot, tilt, narot = angles.T
    assert_allclose(
        poses.from_relion(np.stack([narot - 90, tilt, tdrot + 90], axis=1)), poses.from_dynamo(angles), atol=1e-12
    )


def test_z_axes_depend_on_tilt_and_the_angle_that_is_not_in_plane():
    a = np.random.default_rng(2).uniform(-180, 180, (50, 3))
    t, p, d = np.radians(a[:, 1]), np.radians(a[:, 2]), np.radians(a[:, 0])
    relion = np.stack([-np.cos(p) * np.sin(t), np.sin(p) * np.sin(t), np.cos(t)], axis=1)
    dynamo = np.stack([np.sin(d) * np.sin(t), np.cos(d) * np.sin(t), np.cos(t)], axis=1)
    assert_allclose(poses.from_relion(a)[:, :, 2], relion, atol=1e-12)
    assert_allclose(poses.from_dynamo(a)[:, :, 2], dynamo, atol=1e-12)


def test_an_alignment_takes_the_particle_to_the_reference():
    """M (P r + s) = r: EMAN's and Scipion's matrix is the inverse of emtomo's pose (formats.md, section 0)."""
    rotations = turns(20)
    shifts = np.random.default_rng(4).normal(0, 5, (20, 3))
    points = np.random.default_rng(5).normal(0, 30, (20, 3))
    matrices = poses.to_alignment(rotations, shifts)
    seen = np.einsum("nij,nj->ni", rotations, points) + shifts
    back = np.einsum("nij,nj->ni", matrices[:, :3, :3], seen) + matrices[:, :3, 3]
    assert_allclose(back, points, atol=1e-12)
    again = poses.from_alignment(matrices)
    assert_allclose(again[0], rotations, atol=1e-12)
    assert_allclose(again[1], shifts, atol=1e-12)


def test_polnets_quaternions_and_relion_angles_agree():
    table = pd.read_csv(shared("phantom_tomogram", "truth_particles.csv"))
    matrices = poses.from_relion(table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy())
    assert_allclose(matrices[:, :, 2], table[["zx", "zy", "zz"]].to_numpy(), atol=1e-5)
    quaternions = table[["q2", "q3", "q4", "q1"]].to_numpy()  # x, y, z, w
    assert_allclose(matrices, Rotation.from_quat(quaternions).as_matrix(), atol=1e-5)


def test_unknown_rotations_get_angles_of_zero():
    assert_allclose(poses.to_relion(np.full((2, 3, 3), np.nan)), 0)


def test_what_is_no_rotation_is_known():
    good = turns(3)
    mirrored = good.copy()
    mirrored[1] *= -1
    assert poses.is_rotation(good).all()
    assert poses.is_rotation(mirrored).tolist() == [True, False, True]
    assert not poses.is_rotation(np.full((1, 3, 3), np.nan)).any()
