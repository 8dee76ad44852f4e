"""A slice at any angle: where it lies, how the mouse turns it, and which points lie near it."""

from dataclasses import dataclass, field

import numpy as np

from emtomo.compute.slices import BACKGROUND, oblique_slice
from emtomo.gui.core.volume import VolumeSource

PER_PIXEL = 0.4  # ° of a turn for a pixel of a drag
LEAST, MOST = 0.1, 32.0


@dataclass
class ObliqueView:
    """A plane through a volume.

    Attributes
    ----------
    centre : (3,) array
        z, y, x of the middle of the picture, voxels.
    turn, tilt : float
        The normal of the plane: `tilt` degrees from z, towards `turn` degrees from x to y. 0, 0 is an XY slice.
    zoom : float
        Pixels a voxel.
    width, height : int
        Pixels.
    """

    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    turn: float = 0.0
    tilt: float = 30.0
    zoom: float = 1.0
    width: int = 1
    height: int = 1

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors, z, y, x: to the right, up, and along the normal."""
        a, b = np.deg2rad(self.turn), np.deg2rad(self.tilt)
        normal = np.array([np.cos(b), np.sin(b) * np.sin(a), np.sin(b) * np.cos(a)])
        # the rotation that takes z to the normal the shortest way, applied to x and y
        right = np.array([-np.sin(b) * np.cos(a), (np.cos(b) - 1) * np.sin(a) * np.cos(a),
                          np.cos(a) ** 2 * np.cos(b) + np.sin(a) ** 2])  # fmt: skip
        up = np.array([-np.sin(b) * np.sin(a), np.sin(a) ** 2 * np.cos(b) + np.cos(a) ** 2,
                       (np.cos(b) - 1) * np.sin(a) * np.cos(a)])  # fmt: skip
        return np.array([right, up, normal])

    def to_voxel(self, x: float, y: float) -> tuple[float, float, float]:
        """Return z, y, x of a pixel, whose first row is at the top."""
        right, up, _ = self.axes
        place = self.centre + ((x - (self.width - 1) / 2) * right - (y - (self.height - 1) / 2) * up) / self.zoom
        return float(place[0]), float(place[1]), float(place[2])

    def to_screen(self, points: np.ndarray) -> np.ndarray:
        """Return pixel x, y of `(n, 3)` voxels z, y, x and their distance from the plane, voxels."""
        right, up, normal = self.axes
        away = np.asarray(points, float).reshape(-1, 3) - self.centre
        return np.column_stack([
            away @ right * self.zoom + (self.width - 1) / 2, (self.height - 1) / 2 - away @ up * self.zoom,
            away @ normal,
        ])  # fmt: skip

    def rotate(self, dx: float, dy: float) -> None:
        """Turn by pixels of a drag: sideways about z, up and down away from z."""
        self.turn = (self.turn + dx * PER_PIXEL) % 360
        self.tilt = min(max(self.tilt + dy * PER_PIXEL, -90.0), 90.0)

    def step(self, by: float) -> None:
        """Move along the normal, voxels."""
        self.centre = self.centre + by * self.axes[2]

    def zoom_by(self, factor: float) -> None:
        """Come nearer."""
        self.zoom = min(max(self.zoom * factor, LEAST), MOST)

    def draw(self, source: VolumeSource, limits: tuple[float, float]) -> np.ndarray | None:
        """Return the picture, `(height, width)` uint8, first row at the top; None while the volume is read."""
        right, up, _ = self.axes
        found = source.voxels_at_hand(limits)
        if found is None:
            return None
        volume, low, high = found
        values = oblique_slice(volume, self.centre, right / self.zoom, up / self.zoom, (self.height, self.width))
        grey = (np.nan_to_num(values) - low) * np.float32(255 / max(high - low, 1e-30))
        picture = np.clip(grey, 0, 255).astype(np.uint8)
        picture[np.isnan(values)] = BACKGROUND
        return picture[::-1]

    @property
    def description(self) -> str:
        """Where the plane lies, in words."""
        return f"tilted {self.tilt:.0f}° towards {self.turn:.0f}°"
