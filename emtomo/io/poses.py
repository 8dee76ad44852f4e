"""Every program's angles and shifts to emtomo's rotation (tomogram = R @ reference) and back: two functions each.

Angles are in degrees and of any size; those returned lie in (-180, 180], the middle one in [0, 180].
"""

import warnings
from typing import Literal

import numpy as np

from emtomo.compute.rotations import orthonormal
from emtomo.errors import EmtomoError

_Order = Literal["ZYZ", "zxz"]


def _euler(order: _Order, angles: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    values = np.asarray(angles)
    if values.dtype.kind not in "biuf" or values.shape[-1:] != (3,):
        raise EmtomoError(f"Angles must be numbers of shape (n, 3), got {values.dtype} {values.shape}.")
    wrapped = np.mod(values.astype(float).reshape(-1, 3), 360.0)
    return Rotation.from_euler(order, wrapped, degrees=True).as_matrix().reshape(-1, 3, 3)


def _angles(order: _Order, rotations: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    matrices = orthonormal(rotations)
    known = np.isfinite(matrices).all(axis=(1, 2))
    angles = np.zeros((len(matrices), 3))
    if (np.linalg.det(matrices[known]) < 0).any():
        raise EmtomoError("Rotations must be orthonormal matrices with determinant 1; some are not.")
    if known.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # at the poles one angle is free and set to zero
            angles[known] = Rotation.from_matrix(matrices[known]).as_euler(order, degrees=True)
    return angles


def _wrap(angles: np.ndarray) -> np.ndarray:
    return 180.0 - np.mod(180.0 - angles, 360.0)


def from_relion(angles: np.ndarray) -> np.ndarray:
    """Return (n, 3, 3) rotations of (n, 3) rot, tilt, psi: Rz(-psi) Ry(-tilt) Rz(-rot).

    RELION's own matrix (Euler_angles2matrix): the inverse of the intrinsic ZYZ rotation. Warp, M and Xmipp share it.
    Angles that are NaN (no orientation) stay so.

    Parameters
    ----------
    angles : (n, 3) array
        Degrees.

    Returns
    -------
    (n, 3, 3) array
        tomogram = R @ reference, on x, y, z.

    Raises
    ------
    EmtomoError
        If they have another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> emtomo.io.from_relion(np.array([[90.0, 0.0, 0.0]]))[0].round(6).tolist()
    [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return np.swapaxes(_euler("ZYZ", angles), 1, 2)


def to_relion(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) rot, tilt, psi in degrees of (n, 3, 3) rotations; see :func:`from_relion`.

    Parameters
    ----------
    rotations : (n, 3, 3) array
        tomogram = R @ reference, on x, y, z.

    Returns
    -------
    (n, 3) array
        rot and psi from -180 to 180, tilt from 0 to 180 degrees.

    Raises
    ------
    EmtomoError
        If they have another shape, or are reflections.
    """
    rotations = np.asarray(rotations)
    if rotations.dtype.kind not in "biuf" or rotations.ndim != 3 or rotations.shape[1:] != (3, 3):
        raise EmtomoError(f"Rotations must be numbers of shape (n, 3, 3), got {rotations.dtype} {rotations.shape}.")
    return _wrap(_angles("ZYZ", np.swapaxes(rotations, 1, 2)))


def from_dynamo(angles: np.ndarray) -> np.ndarray:
    """Return rotations of (n, 3) tdrot, tilt, narot: Rz(-tdrot) Rx(-tilt) Rz(-narot).

    Dynamo's wiki, Convention of angles; the same as eulerangles 1.0.2. The z axis is
    (sin tdrot sin tilt, cos tdrot sin tilt, cos tilt), narot the in-plane angle.
    """
    return _euler("zxz", -np.asarray(angles, float).reshape(-1, 3)[:, ::-1])


def to_dynamo(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) tdrot, tilt, narot; see :func:`from_dynamo`."""
    narot, tilt, tdrot = _angles("zxz", rotations).T
    # Rx(-tilt) = Rz(180) Rx(tilt) Rz(-180): the middle angle is positive in both
    turned = np.stack([180.0 - tdrot, tilt, -180.0 - narot], axis=1)
    pole = tilt == 0
    turned[pole, 2], turned[pole, 0] = turned[pole, 2] + turned[pole, 0], 0.0
    return _wrap(turned)


def from_motl(angles: np.ndarray) -> np.ndarray:
    """Return rotations of (n, 3) phi, psi, theta: Rz(psi) Rx(theta) Rz(phi) (AV3, TOM, STOPGAP, PEET)."""
    phi, psi, theta = np.asarray(angles, float).reshape(-1, 3).T
    return _euler("zxz", np.stack([phi, theta, psi], axis=1))


def to_motl(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) phi, psi, theta; see :func:`from_motl`."""
    return _wrap(_angles("zxz", rotations)[:, [0, 2, 1]])


def from_alignment(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations and shifts of (n, 3 or 4, 4) matrices that take a box to the reference.

    EMAN's xform.align3d and Scipion's alignment: reference = M [q, 1] with q from the centre of the box, so
    R is the transpose of M's rotation and the particle's centre lies at ``-R @ translation``.
    """
    matrices = np.asarray(matrices, float)
    rotations = np.swapaxes(matrices[:, :3, :3], 1, 2)
    return rotations, -np.einsum("nij,nj->ni", rotations, matrices[:, :3, 3])


def to_alignment(rotations: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return (n, 4, 4) matrices that take a box to the reference; see :func:`from_alignment`."""
    matrices = np.tile(np.eye(4), (len(rotations), 1, 1))
    matrices[:, :3, :3] = np.swapaxes(rotations, 1, 2)
    matrices[:, :3, 3] = -np.einsum("nij,nj->ni", matrices[:, :3, :3], shifts)
    return matrices


def is_rotation(matrices: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Return for (n, 3, 3) matrices whether each is a rotation to within `tolerance`."""
    with np.errstate(all="ignore"):
        defect = np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max(axis=(1, 2), initial=0)
        return (defect < tolerance) & (np.linalg.det(np.where(np.isfinite(matrices), matrices, 0.0)) > 0)
