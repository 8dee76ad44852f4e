"""Tilt series' alignments and CTFs: one table, whichever program wrote it."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from emtomo.compute.tilt.geometry import Movement, project_points, tilt_rotations

COLUMNS = {
    "name": "file of the image or movie",
    "angle": "tilt, °: the image shows x cos + z sin",
    "x_tilt": "tilt about x before, °",
    "rotation": "tilt axis from the images' y, °",
    "shift_x": "where the tomogram's centre lies from the image's, Å",
    "shift_y": "where the tomogram's centre lies from the image's, Å",
    "dose": "e/Å² before the image",
    "acquisition_order": "from 1",
    "defocus_u": "Å",
    "defocus_v": "Å",
    "defocus_angle": "°",
    "phase_shift": "°",
    "excluded": "0 or 1",
}


@dataclass
class Tilts:
    """One tilt series.

    Attributes
    ----------
    table : DataFrame
        One row per image, in the order of the stack; those of `COLUMNS` that are known.
    pixel_size : float
        Å of the images; NaN where not known.
    image_size : (2,) tuple or None
        x, y of the images in voxels.
    volume_size : (3,) tuple or None
        x, y, z of the tomogram in voxels of the images.
    optics : dict
        voltage (kV), cs (mm), amplitude_contrast.
    hand : int or None
        RELION's rlnTomoHand: 1 where defocus grows with height, else -1.
    movement : Movement or None
        Warp's movement of the sample.
    rotations : (n, 3, 3) array or None
        Where the file gives matrices instead of angles.
    name : str
        The tomogram's.
    format : str
    notes : list of str
    """

    table: pd.DataFrame
    pixel_size: float = np.nan
    image_size: tuple[int, int] | None = None
    volume_size: tuple[int, int, int] | None = None
    optics: dict[str, float] = field(default_factory=dict)
    hand: int | None = None
    movement: Movement | None = None
    rotations: np.ndarray | None = None
    name: str = ""
    format: str = ""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str, default: float = 0.0) -> np.ndarray:
        """Return a column as floats, `default` where the file does not have it."""
        if name not in self.table:
            return np.full(len(self.table), default)
        return self.table[name].to_numpy(float)

    def matrices(self) -> np.ndarray:
        """Return (n, 3, 3) rotations from the tomogram to every tilt."""
        if self.rotations is not None:
            return self.rotations
        return tilt_rotations(self.column("angle"), self.column("rotation"), self.column("x_tilt"))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (n, p, 3): x, y in Å from the image's centre of (p, 3) points in Å, and their height."""
        shifts = np.stack([self.column("shift_x"), self.column("shift_y")], axis=1)
        return project_points(points, self.matrices(), shifts, self.movement)


def angles_of(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) axis, angle, x_tilt in degrees of rotations as :func:`tilt_rotations` makes them."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotations).as_euler("ZYX", degrees=True).reshape(-1, 3)


def accumulated(exposure: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the dose before every image: the sum of the `exposure` of the images taken earlier."""
    place = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    in_time = np.asarray(exposure, float)[np.argsort(order, kind="stable")]
    return np.concatenate([[0.0], np.cumsum(in_time)[:-1]])[place]
