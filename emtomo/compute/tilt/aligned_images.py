"""Tilt images as alignment puts them: tilt axis upright, the tomogram's centre in the middle."""

from dataclasses import replace

import numpy as np

from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles, tilt_rotations


def find_aligned_shape(shape: tuple[int, int], geometry: TiltGeometry) -> tuple[int, int]:
    """Return rows and columns of aligned images: those of the images, exchanged where the tilt axis lies along x."""
    axis = np.deg2rad(tilt_angles(geometry.rotations)[:, 0])
    across = abs(float(np.sin(np.median(axis)))) > np.sqrt(0.5) if len(axis) else False
    return (shape[1], shape[0]) if across else shape


def align_image(image: np.ndarray, geometry: TiltGeometry, tilt: int, shape: tuple[int, int]) -> np.ndarray:
    """Return an image moved and rotated so that its tilt axis is upright and the tomogram's centre in the middle.

    Parameters
    ----------
    image : (y, x) array
    geometry : TiltGeometry
        Its shifts and in-plane rotations are taken, with the magnification; local warps are not.
    tilt : int
        Which of its tilts, from 0.
    shape : (2,) tuple
        Rows and columns of the result, whose middle is pixel ``n // 2``.

    Returns
    -------
    (rows, columns) float32 array
        Linearly interpolated; the image's mean where it does not reach.
    """
    from scipy.ndimage import affine_transform

    one = replace(geometry.take(np.array([tilt])), image_warp=None, volume_warp=None)
    axis = tilt_angles(one.rotations)[0, 0]
    in_plane = tilt_rotations(np.zeros(1), np.array([axis]))[0]
    corners = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * geometry.pixel_size
    seen = one.project(corners @ in_plane.T @ one.rotations[0])[0, :, :2] / geometry.pixel_size
    matrix = np.stack([seen[1] - seen[0], seen[2] - seen[0]], axis=1)[::-1, ::-1]  # of y, x
    middle = np.array([n // 2 for n in image.shape]) + seen[0, ::-1]
    offset = middle - matrix @ np.array([n // 2 for n in shape])
    values = np.asarray(image, np.float32)
    return np.asarray(affine_transform(values, matrix, offset, shape, order=1, cval=float(values.mean())), np.float32)
