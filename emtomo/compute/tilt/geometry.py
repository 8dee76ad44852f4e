"""Where a point of the tomogram lies in the images of its tilt series."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Movement:
    """Movement of the sample in the images, on a grid over image and tilts (Warp's GridMovementX and Y).

    Attributes
    ----------
    x, y : (t, h, w) arrays
        Å; t is the number of tilts, or 1.
    image_size : (2,) tuple
        x, y of the images in Å.
    """

    x: np.ndarray
    y: np.ndarray
    image_size: tuple[float, float]


def tilt_rotations(angle: np.ndarray, axis: np.ndarray, x_tilt: np.ndarray | float = 0.0) -> np.ndarray:
    """Return (n, 3, 3) rotations that take the tomogram to each tilt: Rz(axis) Ry(angle) Rx(x_tilt).

    Parameters
    ----------
    angle, axis, x_tilt : (n,) arrays
        Degrees: the tilt, the axis from the images' y (counter-clockwise), a tilt about x.

    References
    ----------
    RELION 5, tomogram.cpp (ZRot, YTilt, XTilt); Warp's tilt is minus `angle`.
    """
    from scipy.spatial.transform import Rotation

    n = len(angle)
    steps = np.stack([np.broadcast_to(axis, n), np.asarray(angle, float), np.broadcast_to(x_tilt, n)], axis=1)
    return Rotation.from_euler("ZYX", steps, degrees=True).as_matrix().reshape(-1, 3, 3)


def project_points(
    points: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, movement: Movement | None = None
) -> np.ndarray:
    """Return where points lie in the images.

    Parameters
    ----------
    points : (p, 3) array
        x, y, z in Å from the tomogram's centre.
    rotations : (n, 3, 3) array
        Of :func:`tilt_rotations`.
    shifts : (n, 2) array
        Å: where the tomogram's centre lies from the image's centre.
    movement : Movement, optional
        Taken off, at the place where the point lies without it.

    Returns
    -------
    (n, p, 3) array
        x, y in Å from the image's centre, and the height above the middle plane.
    """
    seen = np.einsum("nij,pj->npi", rotations, np.asarray(points, float))
    seen[:, :, :2] += np.asarray(shifts, float)[:, None, :]
    if movement is not None:
        fractions = seen[:, :, :2] / np.array(movement.image_size) + 0.5
        moved = np.stack([_splined(grid, fractions) for grid in (movement.x, movement.y)], axis=2)
        seen[:, :, :2] -= moved
    return seen


def _splined(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the values of a (t, h, w) grid at (n, p, 2) places from 0 to 1 along x and y: natural cubic splines."""
    from scipy.interpolate import CubicSpline

    tilts, height, width = grid.shape
    clipped = np.clip(places, 0.0, 1.0)
    out = np.empty(places.shape[:2])
    for t in range(len(places)):
        plane = grid[t if tilts > 1 else 0]
        u, v = clipped[t, :, 0], clipped[t, :, 1]
        # values at v in every column of nodes, then along the row of each point
        rows = np.tile(plane, (len(v), 1)) if height == 1 else _natural(CubicSpline, plane, v)
        if width == 1:
            out[t] = rows[:, 0]
            continue
        nodes = np.linspace(0, 1, width)
        spline = CubicSpline(nodes, rows, axis=1, bc_type="natural" if width > 2 else "not-a-knot")
        cell = np.clip((u * (width - 1)).astype(int), 0, width - 2)
        step = u - nodes[cell]
        c = spline.c[:, cell, np.arange(len(u))]
        out[t] = ((c[0] * step + c[1]) * step + c[2]) * step + c[3] if len(c) == 4 else c[0] * step + c[1]
    return out


def _natural(spline: type, plane: np.ndarray, v: np.ndarray) -> np.ndarray:
    nodes = np.linspace(0, 1, len(plane))
    kind = "natural" if len(plane) > 2 else "not-a-knot"
    return spline(nodes, plane, axis=0, bc_type=kind)(v)
