"""What part of a slice a panel shows: zoom, place, and the way between screen and voxels.

The centre of a voxel has its index as coordinate; the centre of a panel's pixel has its index plus a half. The first
row of a slice is at the bottom, as in IMOD, EMAN2 and our pictures.
"""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.slices import draw_slice

LEAST, MOST = 0.02, 64.0


@dataclass
class Camera:
    """One panel's view.

    Attributes
    ----------
    width, height : int
        Of the panel, pixels.
    zoom : float
        Pixels of the panel to one voxel.
    horizontal, vertical : float
        Voxel at the panel's middle.
    """

    width: int = 1
    height: int = 1
    zoom: float = 1.0
    horizontal: float = 0.0
    vertical: float = 0.0

    def to_voxel(self, x: float, y: float) -> tuple[float, float]:
        """Return (horizontal, vertical) voxel under the centre of the panel's pixel (x, y)."""
        return (
            self.horizontal + (x + 0.5 - self.width / 2) / self.zoom,
            self.vertical - (y + 0.5 - self.height / 2) / self.zoom,
        )

    def to_screen(self, horizontal: float, vertical: float) -> tuple[float, float]:
        """Return the panel's pixel (x, y) whose centre shows a voxel; inverse of :meth:`to_voxel`."""
        return (
            (horizontal - self.horizontal) * self.zoom + self.width / 2 - 0.5,
            -(vertical - self.vertical) * self.zoom + self.height / 2 - 0.5,
        )

    def to_screens(self, points: np.ndarray) -> np.ndarray:
        """Return the panel's pixels of `(..., 2)` voxels (horizontal, vertical)."""
        out = np.empty_like(points, dtype=float)
        out[..., 0] = (points[..., 0] - self.horizontal) * self.zoom + self.width / 2 - 0.5
        out[..., 1] = -(points[..., 1] - self.vertical) * self.zoom + self.height / 2 - 0.5
        return out

    def zoom_at(self, factor: float, x: float, y: float) -> None:
        """Zoom so that what is under the panel's pixel (x, y) stays there."""
        before = self.to_voxel(x, y)
        self.zoom = min(max(self.zoom * factor, LEAST), MOST)
        after = self.to_voxel(x, y)
        self.horizontal += before[0] - after[0]
        self.vertical += before[1] - after[1]

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by pixels of the panel."""
        self.horizontal -= dx / self.zoom
        self.vertical += dy / self.zoom

    def fit(self, columns: int, rows: int) -> None:
        """Show all of a slice."""
        self.zoom = min(max(min(self.width / max(columns, 1), self.height / max(rows, 1)), LEAST), MOST)
        self.horizontal, self.vertical = (columns - 1) / 2, (rows - 1) / 2

    def draw(self, plane: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """Return what the panel shows of a slice, `(height, width)` uint8, first row at the top."""
        left, _ = self.to_voxel(0, 0)
        _, bottom = self.to_voxel(0, self.height - 1)
        picture = draw_slice(plane, bottom, left, 1 / self.zoom, limits, (self.height, self.width))
        return picture[::-1]
