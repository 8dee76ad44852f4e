"""A surface as guide: only places near it, and orientations near its normal, are searched."""

import numpy as np

from emtomo.compute.matching.scan import Guide

DIRECTIONS = 2000  # about 5 degrees apart
KIND = np.int16


def directions(n: int = DIRECTIONS) -> np.ndarray:
    """Return `n` unit vectors (x, y, z), evenly spread.

    References
    ----------
    Swinbank & Purser, Fibonacci grids, Q. J. R. Meteorol. Soc. 132 (2006), Eq. 1.
    """
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    angle = np.pi * (3 - np.sqrt(5)) * i
    r = np.sqrt(1 - z**2)
    return np.column_stack([r * np.cos(angle), r * np.sin(angle), z])


def surface_guide(
    points: np.ndarray,
    normals: np.ndarray,
    shape: tuple[int, ...],
    rotations: np.ndarray,
    distance: float,
    cone: float,
) -> Guide:
    """Allow places near a surface, and orientations whose z axis is near the normal of its nearest point.

    Parameters
    ----------
    points : (n, 3) array
        z, y, x in voxels of the scanned volume, on the surface, nearer to each other than `distance`.
    normals : (n, 3) array
        x, y, z.
    shape : (z, y, x)
    rotations : (m, 3, 3) array
        That are scanned.
    distance : float
        Voxels.
    cone : float
        Degrees between the reference's z axis and the normal, at most; 180 allows all.
    """
    from scipy.spatial import cKDTree

    points, normals = np.asarray(points, float).reshape(-1, 3), np.asarray(normals, float).reshape(-1, 3)
    kind = np.zeros(shape, KIND)
    axes = directions()
    near = np.rad2deg(np.arccos(np.clip(np.asarray(rotations)[:, :, 2] @ axes.T, -1, 1))) <= cone
    allowed = np.concatenate([np.zeros((len(rotations), 1), bool), near], axis=1)
    if len(points) == 0:
        return Guide(kind, allowed)
    of = np.atleast_1d(cKDTree(axes).query(normals)[1])
    tree = cKDTree(points)
    low = np.clip(np.floor(points.min(axis=0) - distance).astype(int), 0, shape)
    high = np.clip(np.ceil(points.max(axis=0) + distance).astype(int) + 1, 0, shape)
    for z in range(low[0], high[0]):
        y, x = np.mgrid[low[1] : high[1], low[2] : high[2]]
        places = np.column_stack([np.full(y.size, z), y.ravel(), x.ravel()])
        away, index = (np.atleast_1d(found) for found in tree.query(places, distance_upper_bound=distance))
        there = np.isfinite(away)
        kind[z, y.ravel()[there], x.ravel()[there]] = of[index[there]] + 1
    return Guide(kind, allowed)
