"""Open sheets: a smooth surface through contours picked on several slices."""

import numpy as np

from emtomo.compute.geometry.curve import dense_curve, without_outliers
from emtomo.compute.geometry.mesh import Mesh, grid_mesh
from emtomo.errors import ModelError

ACROSS = 64


def contours_of(points: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Split points into contours: those of one slice (z within `tolerance`), in the order picked."""
    order = np.argsort(points[:, 2], kind="stable")
    z = points[order, 2]
    cuts = np.flatnonzero(np.diff(z) > tolerance) + 1
    return [points[np.sort(part)] for part in np.split(order, cuts)]


def loft(points: np.ndarray, *, slice_tolerance: float, noise: float) -> np.ndarray:
    """Return a `(rows, columns, 3)` grid on the smooth sheet through the contours.

    Each contour is a smooth curve divided into equal parts of its length; across
    contours, corresponding parts are joined by smoothing splines. A contour that
    runs the other way than its neighbour is turned round.

    Raises
    ------
    ModelError
        If there are not at least 2 contours of at least 2 points.
    """
    from scipy.interpolate import make_splprep

    points = np.asarray(points, float).reshape(-1, 3)
    contours = [c for c in contours_of(points, slice_tolerance) if len(c) > 1]
    if len(contours) < 2:
        raise ModelError("A sheet needs contours of at least 2 points on at least 2 slices.")
    lines: list[np.ndarray] = []
    for contour in contours:
        line = _divided(_chain(contour), noise)
        if (
            lines
            and np.linalg.norm(line - lines[-1], axis=1).sum() > np.linalg.norm(line[::-1] - lines[-1], axis=1).sum()
        ):
            line = line[::-1]
        lines.append(line)
    grid = np.stack(lines)
    level = grid[:, :, 2].mean(axis=1)
    fine = np.linspace(level[0], level[-1], max(len(level), ACROSS))
    columns = []
    for k in range(grid.shape[1]):
        degree = min(3, len(level) - 1)
        smoothing = len(level) * noise**2
        spline, _ = make_splprep(grid[:, k].T, u=level, k=degree, s=smoothing)
        columns.append(spline(fine).T)
    return np.stack(columns, axis=1)


def sheet_mesh(grid: np.ndarray, inside: np.ndarray | None) -> Mesh:
    """Return the grid as a mesh whose normals point away from `inside`, or mostly up without it."""
    mesh = grid_mesh(grid)
    middle = mesh.corners.mean(axis=1)
    normals = mesh.face_normals
    away = np.sum(normals * (middle - inside), axis=1) if inside is not None else _upward(normals)
    return mesh if away.sum() >= 0 else mesh.flipped()


def _upward(normals: np.ndarray) -> np.ndarray:
    """Return the component along the axis in which the normals agree most, z on a draw."""
    mean = normals.mean(axis=0)
    axis = 2 - int(np.argmax(np.abs(mean[::-1]) > 0.9 * np.abs(mean).max()))
    return normals[:, axis]


def _chain(contour: np.ndarray) -> np.ndarray:
    """Return the contour's points from one end to the other.

    The picked order is kept if it is a path without large jumps back; otherwise
    points are ordered along their direction of largest extent.
    """
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    ends = np.linalg.norm(contour[-1] - contour[0])
    if steps.sum() <= 2.5 * max(ends, steps.max()):
        return contour
    direction = np.linalg.svd(contour - contour.mean(axis=0))[2][0]
    return contour[np.argsort(contour @ direction)]


def _divided(contour: np.ndarray, noise: float) -> np.ndarray:
    """Return ACROSS points at equal distances along the smooth curve through the contour."""
    if noise > 0:
        contour = without_outliers(contour)
    dense = dense_curve(contour, noise)
    arc = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))]
    at = np.linspace(0, arc[-1], ACROSS)
    return np.stack([np.interp(at, arc, dense[:, k]) for k in range(3)], axis=1)
