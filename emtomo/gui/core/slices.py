"""What a slice window shows, without a window: place, slab, filter, contrast, and which points lie near a slice."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from emtomo.compute.slices import contrast_limits
from emtomo.compute.slices import warm_up as compiled
from emtomo.gui.core.volume import ACROSS, VolumeSource

AXES = "zyx"
PLANES = {0: "XY", 1: "XZ", 2: "ZY"}
MOST_MARKS = 4000
SAMPLE = 20_000


class SliceState:
    """Place and look of linked slices; positions are z, y, x in 0-based voxels.

    Parameters
    ----------
    source : VolumeSource
    """

    def __init__(self, source: VolumeSource) -> None:
        self.source = source
        self.place = [n // 2 for n in source.shape]
        self.thickness = 1
        self.sigma = 0.0
        self.limits = source.limits
        self.listeners: list[Callable[[], object]] = []

    def notify(self) -> None:
        """Call the listeners: something has changed."""
        for listener in list(self.listeners):
            listener()

    def go(self, axis: int, index: int) -> None:
        """Go to a slice; beyond the ends, to the last one."""
        index = min(max(int(index), 0), self.source.shape[axis] - 1)
        if index != self.place[axis]:
            self.place[axis] = index
            self.notify()

    def step(self, axis: int, by: int) -> None:
        """Go on by some slices."""
        self.go(axis, self.place[axis] + by)

    def centre(self, z: float, y: float, x: float) -> None:
        """Let all slices go through a place."""
        wanted = [min(max(int(round(v)), 0), n - 1) for v, n in zip((z, y, x), self.source.shape, strict=True)]
        if wanted != self.place:
            self.place = wanted
            self.notify()

    def plane(self, axis: int) -> np.ndarray:
        """Return the slice that is shown along an axis."""
        return self.source.plane(*self.slice_to_read(axis))

    def slice_to_read(self, axis: int) -> tuple[int, int, int, float]:
        """Return what :meth:`VolumeSource.plane` is asked for along an axis."""
        return axis, self.place[axis], self.thickness, self.sigma

    def set_look(self, thickness: int | None = None, sigma: float | None = None) -> None:
        """Average over more slices, or filter them."""
        self.thickness = max(1, int(thickness)) if thickness is not None else self.thickness
        self.sigma = max(0.0, float(sigma)) if sigma is not None else self.sigma
        self.notify()

    def set_limits(self, low: float, high: float) -> None:
        """Set the grey values that are black and white."""
        if high > low:
            self.limits = (low, high)
            self.notify()

    def auto_contrast(self, axis: int = 0) -> None:
        """Let the slice as it is filtered now span black to white."""
        self.limits = contrast_limits(self.plane(axis))
        self.notify()

    def to_voxel(
        self, axis: int, horizontal: float, vertical: float, index: int | None = None
    ) -> tuple[float, float, float]:
        """Return z, y, x of a place on a slice, the current one by default; it lies exactly on that slice."""
        out = [0.0, 0.0, 0.0]
        out[axis] = float(self.place[axis] if index is None else index)
        rows, columns = ACROSS[axis]
        out[rows], out[columns] = vertical, horizontal
        return out[0], out[1], out[2]

    def size(self, axis: int) -> tuple[int, int]:
        """Return columns and rows of the slices along an axis."""
        rows, columns = ACROSS[axis]
        return self.source.shape[columns], self.source.shape[rows]


def place_text(place: tuple[float, float, float] | None) -> str:
    """Return z, y, x as people read it; empty for none."""
    return "" if place is None else "x {2:.1f}  y {1:.1f}  z {0:.1f}".format(*place)


@dataclass(frozen=True)
class Marks:
    """Circles to be drawn on one slice.

    Attributes
    ----------
    places : (n, 2) array
        Horizontal and vertical voxel.
    radii : (n,) array
        Voxels.
    index : (n,) int array
        Which points these are.
    """

    places: np.ndarray
    radii: np.ndarray
    index: np.ndarray


def marks_near(points: np.ndarray, axis: int, at: float, reach: float, radius: float | None = None) -> Marks:
    """Return the points within `reach` voxels of a slice, as circles where a sphere about them is cut.

    Parameters
    ----------
    points : (n, 3) array
        z, y, x.
    axis, at : int, float
        The slice.
    reach : float
        Radius of the spheres, voxels.
    radius : float, optional
        Draw all circles of this size instead.
    """
    if not len(points):
        return Marks(np.zeros((0, 2)), np.zeros(0), np.zeros(0, int))
    away = np.abs(points[:, axis] - at)
    index = np.flatnonzero(away <= reach)
    if len(index) > MOST_MARKS:
        index = index[np.argsort(away[index], kind="stable")[:MOST_MARKS]]
    rows, columns = ACROSS[axis]
    radii = np.sqrt(np.maximum(reach**2 - away[index] ** 2, 1.0)) if radius is None else np.full(len(index), radius)
    return Marks(points[index][:, [columns, rows]], radii, index)


def warm_up() -> None:
    """Load what the first slices, marks and fitted models need, in a thread."""
    for name in ("scipy.ndimage", "scipy.spatial", "scipy.optimize", "scipy.interpolate", "emtomo.gui.core.live"):
        import_module(name)
    compiled()


def neighbour_distance(points: np.ndarray) -> float:
    """Return the median distance of neighbours in the unit of the points, at least 2; infinite for fewer than two."""
    from scipy.spatial import cKDTree

    if len(points) < 2:
        return float("inf")
    some = points[:SAMPLE]
    return max(2.0, float(np.median(cKDTree(points).query(some, 2)[0][:, 1])))
