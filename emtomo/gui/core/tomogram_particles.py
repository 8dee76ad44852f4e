"""Particles of an output as arrays in the voxels of their tomogram; read in a thread, whatever their number."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.positions import to_voxels
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource
from emtomo.objects import positions_of, rotations_of

POINT = 5.0  # voxels: picked points are drawn of this size


@dataclass(frozen=True)
class TomogramParticles:
    """Particles of one tomogram.

    Attributes
    ----------
    source : VolumeSource
        The tomogram.
    pixel_size : float
    points, normals : (n, 3) arrays
        z, y, x in 0-based voxels; z axes of the particles, NaN where unknown.
    groups, scores : (n,) arrays
    box : float
        Voxels of the tomogram.
    """

    source: VolumeSource
    pixel_size: float
    points: np.ndarray
    normals: np.ndarray
    groups: np.ndarray
    scores: np.ndarray
    box: float


def counts(shown: Shown) -> list[tuple[str, str]]:
    """Return the tomograms of an output with their numbers of particles, as text.

    Raises
    ------
    EmtomoError
        If there are none.
    """
    frame = shown.value.frame(["tomogram_id"])
    if not len(frame):
        raise EmtomoError(f"{shown.title} is an empty set: there is nothing to show.")
    return [(str(name), f"{count}") for name, count in frame["tomogram_id"].value_counts(sort=False).items()]


def in_tomogram(shown: Shown, name: str) -> TomogramParticles:
    """Return the particles of a tomogram.

    Raises
    ------
    EmtomoError
        If the tomogram is not in the project, or its file is no volume.
    """
    found = shown.tomograms
    if found is None or name not in found.tomogram_ids():
        raise EmtomoError(f"{shown.title}: the tomogram {name} is not in this project, so its slices cannot be shown.")
    row = found.frame(tomogram_id=name).iloc[0]
    frame, size = shown.value.frame(tomogram_id=name), float(found.pixel_size.get())
    shape = (int(row["size_z"]), int(row["size_y"]), int(row["size_x"]))
    points = to_voxels(positions_of(frame), shape, size)
    normals = rotations_of(frame)[:, ::-1, 2] if "r11" in frame else np.full(points.shape, np.nan)
    box = float(shown.value.box_size.get() or 16) * float(shown.value.pixel_size.get() or size) / size
    scores = frame["score"].to_numpy(float) if "score" in frame else np.zeros(len(frame))
    return TomogramParticles(
        VolumeSource(shown.path(row["file"])),
        size,
        points,
        normals,
        frame["group"].to_numpy(int),
        scores,
        POINT if "role" in frame else box,
    )
