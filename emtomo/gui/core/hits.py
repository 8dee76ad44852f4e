"""Which point the mouse is on: only one that lies on the slice that is shown, within a few pixels of its centre."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emtomo.gui.core.volume import ACROSS

ON_SLICE = 0.5  # voxels: nearer to this slice than to any other
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Hit:
    """A point near the mouse.

    Attributes
    ----------
    group, index : int
    away : float
        Voxels along the axis from the slice that is shown; at most half of what is averaged for one that can be moved.
    """

    group: int
    index: int
    away: float


def half_slab(thickness: int) -> float:
    """Return how far from the middle slice points lie in the slab that is shown, voxels."""
    return max(ON_SLICE, thickness / 2)


def nearest_hit(
    groups: Iterable[tuple[int, np.ndarray]], axis: int, place: Place, reach: float, depth: float
) -> Hit | None:
    """Return the nearest point of those within `reach` and `depth` of a place, if any.

    Parameters
    ----------
    groups : iterable of (int, (n, 3) array)
        Group number, and z, y, x of its points.
    axis : int
        That the slice lies across.
    place : (z, y, x)
        Of the mouse; exactly on the slice.
    reach : float
        Voxels from the mouse within the slice.
    depth : float
        Voxels from the slice.
    """
    rows, columns = ACROSS[axis]
    best: tuple[float, Hit] | None = None
    for group, points in groups:
        if not len(points):
            continue
        away = points[:, axis] - place[axis]
        flat = np.hypot(points[:, rows] - place[rows], points[:, columns] - place[columns])
        near = np.where((np.abs(away) <= depth) & (flat <= reach), np.hypot(flat, away), np.inf)
        k = int(near.argmin())
        if np.isfinite(near[k]) and (best is None or near[k] < best[0]):
            best = (float(near[k]), Hit(group, k, float(away[k])))
    return best[1] if best is not None else None


def hits_within(
    groups: Iterable[tuple[int, np.ndarray]], axis: int, place: Place, reach: float, depth: float
) -> list[tuple[int, int]]:
    """Return (group, index) of all points within `reach` voxels of a place in its slice, `depth` voxels from that."""
    rows, columns = ACROSS[axis]
    found: list[tuple[int, int]] = []
    for group, points in groups:
        flat = np.hypot(points[:, rows] - place[rows], points[:, columns] - place[columns])
        near = (np.abs(points[:, axis] - place[axis]) <= depth) & (flat <= reach)
        found += [(group, int(k)) for k in np.flatnonzero(near)]
    return found


def beside_message(axis: int, place: Place, away: float) -> str:
    """Return why a click on a point of a neighbouring slice did nothing."""
    name = "zyx"[axis]
    return f"This point lies on slice {name} {place[axis] + away:.0f}; {name} {place[axis]:.0f} is shown."
