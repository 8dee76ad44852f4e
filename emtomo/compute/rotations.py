"""Rotations from directions, their distances and their mean."""

import numpy as np

from emtomo.errors import EmtomoError


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return `(n, 3)` vectors scaled to length 1; a zero vector becomes +z."""
    vectors = np.asarray(vectors, float).reshape(-1, 3)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 0, vectors / np.where(length > 0, length, 1), [0.0, 0.0, 1.0])


def from_directions(normals: np.ndarray, along: np.ndarray | None = None) -> np.ndarray:
    """Return rotations whose z axis is the normal and whose x axis lies towards `along`.

    Parameters
    ----------
    normals : (n, 3) array
        Directions of the particles' z axes in the tomogram, xyz.
    along : (n, 3) array, optional
        Directions near which the x axes lie; only their part perpendicular to
        the normal counts. By default the tomogram axis furthest from the normal.

    Returns
    -------
    (n, 3, 3) array
        tomogram = R @ reference; column 2 is the normal.
    """
    z = unit(normals)
    fallback = np.eye(3)[np.argmin(np.abs(z), axis=1)]
    wanted = fallback if along is None else np.asarray(along, float).reshape(-1, 3)
    x = wanted - np.sum(wanted * z, axis=1, keepdims=True) * z
    useless = np.linalg.norm(x, axis=1) < 1e-9
    x[useless] = (fallback - np.sum(fallback * z, axis=1, keepdims=True) * z)[useless]
    x = unit(x)
    return np.stack([x, np.cross(z, x), z], axis=2)


def rotate_in_plane(rotations: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return ``R @ Rz(angle)``: the particles turned about their own z axis by `angles` degrees."""
    c, s = np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))
    o, i = np.zeros_like(c), np.ones_like(c)
    about_z = np.stack([np.stack([c, -s, o], 1), np.stack([s, c, o], 1), np.stack([o, o, i], 1)], 1)
    return np.asarray(rotations) @ about_z


def random_in_plane(rotations: np.ndarray, seed: int) -> np.ndarray:
    """Return `rotations` with a random turn about each particle's z axis; the same for the same seed."""
    angles = np.random.default_rng(seed).uniform(0, 360, len(rotations))
    return rotate_in_plane(rotations, angles)


def random_rotations(n: int, seed: int) -> np.ndarray:
    """Return `n` rotations, uniform over all orientations."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(n, random_state=np.random.default_rng(seed)).as_matrix().reshape(-1, 3, 3)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles, in degrees from 0 to 180, of the rotations ``a.T @ b``."""
    trace = np.einsum("...ji,...ji->...", np.asarray(a, float), np.asarray(b, float))
    return np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def angle_of_vectors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles between vectors, in degrees from 0 to 180."""
    a, b = unit(a), unit(b)
    return np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), np.sum(a * b, axis=1)))


def mean_rotations(
    rotations: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels that occur and, for each, the rotation closest to its rotations.

    Closest in the sense of quaternions, whose sign does not matter.

    Parameters
    ----------
    rotations : (n, 3, 3) array
    label : (n,) int array
    weights : (n,) array, optional

    References
    ----------
    Markley et al., Averaging quaternions, J. Guid. Control Dyn. 30 (2007), Eq. 12 and 13.
    """
    from scipy.spatial.transform import Rotation

    present, place = np.unique(label, return_inverse=True)
    q = Rotation.from_matrix(orthonormal(rotations)).as_quat()
    w = np.ones(len(q)) if weights is None else np.asarray(weights, float)
    products = (w[:, None, None] * q[:, :, None] * q[:, None, :]).reshape(len(q), 16)
    sums = np.stack([np.bincount(place, products[:, k], len(present)) for k in range(16)], axis=1)
    leading = np.linalg.eigh(sums.reshape(-1, 4, 4))[1][:, :, 3]
    return present, Rotation.from_quat(leading).as_matrix()


def orthonormal(rotations: np.ndarray) -> np.ndarray:
    """Return `(n, 3, 3)` rotations that were rounded, as they come from text, as close to orthonormal as floats are.

    One step of the iteration towards the polar factor squares the error; it spares the decomposition of every matrix
    that SciPy makes where the error is above 1e-12.

    References
    ----------
    Higham, Functions of Matrices (SIAM 2008), Eq. 8.20 (Newton-Schulz).
    """
    matrices = np.asarray(rotations, float).reshape(-1, 3, 3)
    return 1.5 * matrices - 0.5 * matrices @ (np.swapaxes(matrices, 1, 2) @ matrices)


def zyx(rotations: np.ndarray) -> np.ndarray:
    """Return the rotations as they act on (z, y, x) indices."""
    return np.asarray(rotations)[..., ::-1, ::-1]


def check_rotations(rotations: np.ndarray, what: str = "rotations") -> np.ndarray:
    """Return `rotations` as `(n, 3, 3)` floats if they are rotations.

    Raises
    ------
    EmtomoError
        If the shape is wrong or a matrix is not orthogonal with determinant 1.
    """
    checked = np.asarray(rotations, float)
    if checked.ndim != 3 or checked.shape[1:] != (3, 3):
        raise EmtomoError(f"{what} must be (n, 3, 3), got {checked.shape}.")
    defect = np.abs(np.swapaxes(checked, 1, 2) @ checked - np.eye(3)).max(axis=(1, 2), initial=0)
    bad = ~(defect < 1e-3) | ~(np.linalg.det(checked) > 0)
    if bad.any():
        raise EmtomoError(f"{what}: number {int(np.argmax(bad)) + 1} of {len(bad)} is not a rotation.")
    return checked
