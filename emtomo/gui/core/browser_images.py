"""Where the particles of the browser are seen: their pictures for the gallery, and the volume that they lie in.

Boxes and images come from their stacks; particles without a file are cut from their tomogram or micrograph.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.positions import to_voxels
from emtomo.compute.slices import lowpass_image
from emtomo.errors import EmtomoError
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource, open_voxels
from emtomo.objects import positions_of, rotations_of
from emtomo.wording import singular

AXES = {"xy": 0, "xz": 1, "yz": 2}
BOX = 160.0  # Å: what is cut about particles of no known box
MOST_BOX = 256  # pixels
POINT = 5.0  # voxels: particles of no known size are drawn of this one
READING = 0.7  # of the time that a browser needs; the rest are the angles


@dataclass(frozen=True)
class Look:
    """How pictures of the gallery are made.

    Attributes
    ----------
    axis : str
        xy, xz or yz.
    slab : int
        Slices that are averaged about the middle; 0 averages all.
    lowpass : float
        Å; 0 leaves the picture as it is.
    """

    axis: str = "xy"
    slab: int = 3
    lowpass: float = 0.0


@dataclass(frozen=True)
class Scene2D:
    """The volume or micrograph that particles lie in, and they in it.

    Attributes
    ----------
    name : str
    source : VolumeSource
        One slice for a micrograph.
    pixel_size : float
        Å.
    rows : (n,) int array
        Of the set.
    points : (n, 3) array
        z, y, x in 0-based voxels.
    normals : (n, 3) array
        z, y, x of the particles' z axes; NaN where unknown.
    size : float
        Diameter or edge of the particles, voxels.
    white : bool
    """

    name: str
    source: VolumeSource
    pixel_size: float
    rows: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    size: float
    white: bool = True


class ParticlePictures:
    """Reads pictures of particles of a set.

    Parameters
    ----------
    shown : Shown
    frame : DataFrame
        Of the set, with all its columns.
    """

    def __init__(self, shown: Shown, frame: pd.DataFrame) -> None:
        self.shown, self.frame = shown, frame
        self.flat = "tomogram_id" not in frame
        self.group = "micrograph_id" if self.flat else "tomogram_id"
        self.box = int(shown.value.box_size.get() or 0) if hasattr(shown.value, "box_size") else 0
        self.pixel_size = float(shown.value.pixel_size.get() or 0) if hasattr(shown.value, "pixel_size") else 0.0
        self.places: Any = shown.micrographs if self.flat else shown.tomograms
        self.kind = self._find_kind()
        self._open: dict[str, np.ndarray] = {}
        self._files: dict[str, dict[Any, Any]] = {}

    def _find_kind(self) -> str:
        """Return what files hold: boxes, images, tilts or volumes; "cut" where places are known alone, else "none"."""
        known = set(self.frame.columns)
        if "visible" in known:
            return "tilts"
        if {"file", "index"} <= known:
            return "images" if self.flat else "boxes"
        if "file" in known:
            return "volumes"
        return "cut" if self.in_volumes else "none"

    @property
    def in_volumes(self) -> bool:
        """Whether the particles have places in tomograms or micrographs that are known."""
        return self.places is not None and {self.group, "x", "y"} <= set(self.frame.columns)

    @property
    def groups(self) -> list[str]:
        """Names of the tomograms or micrographs, in the order of the set."""
        return [str(name) for name in dict.fromkeys(self.frame[self.group])] if self.group in self.frame else []

    def from_stack(self, row: int) -> bool:
        """Return whether a particle has a picture of its own."""
        return self.kind not in ("cut", "none") and bool(self.frame["file"].iat[row])

    def picture(self, row: int, look: Look) -> np.ndarray:
        """Return the picture of a particle, (y, x) with its first row at the bottom.

        Raises
        ------
        EmtomoError
            If neither its stack nor the tomogram or micrograph that it lies in is there.
        """
        if self.from_stack(row):
            image, size = self._from_stack(row, look), self.pixel_size
        else:
            image, size = self._cut(row, look)
        return lowpass_image(image, size, look.lowpass) if look.lowpass > 2 * size > 0 else image

    def _from_stack(self, row: int, look: Look) -> np.ndarray:
        stack = self._stack(str(self.frame["file"].iat[row]))
        if self.kind == "volumes":
            axis = AXES[look.axis]
            return _slab(stack, axis, stack.shape[axis] // 2, look.slab)
        index = int(str(self.frame["index"].iat[row]))
        if self.kind == "images":
            return np.asarray(stack[index], np.float32)
        if self.kind == "tilts":  # the least tilted image is in the middle of the series
            count = str(self.frame["visible"].iat[row]).count("1")
            return np.asarray(stack[min(index + count // 2, len(stack) - 1)], np.float32)
        box = stack[index * self.box : (index + 1) * self.box]
        return _slab(box, AXES[look.axis], self.box // 2, look.slab)

    def _stack(self, file: str) -> np.ndarray:
        if file not in self._open:
            if len(self._open) > 64:
                self._open.clear()
            voxels = open_voxels(self.shown.path(file))
            self._open[file] = voxels if voxels.ndim == 3 else voxels[None]
        return self._open[file]

    def _cut(self, row: int, look: Look) -> tuple[np.ndarray, float]:
        """Cut about a particle from its tomogram or micrograph; what lies outside repeats the edge."""
        if not self.in_volumes:
            raise EmtomoError(f"{self.shown.title}: item {row + 1} has no file of its own, so it has no picture.")
        path, size, shape = self._file_of(str(self.frame[self.group].iat[row]))
        volume = self._stack(str(path))
        edge = self.box * (self.pixel_size or size) / size if self.box else BOX / size
        n = int(min(max(round(edge), 2), MOST_BOX))
        at = self._voxels(np.array([row]), shape, size)[0]
        wanted = []
        for axis, (v, count) in enumerate(zip(at, shape, strict=True)):
            span = n if not self.flat or axis else 1
            first = int(round(v)) - span // 2
            wanted.append(np.clip(np.arange(first, first + span), 0, count - 1))
        low = [int(w.min()) for w in wanted]
        part = volume[tuple(slice(a, int(w.max()) + 1) for a, w in zip(low, wanted, strict=True))]
        box = np.asarray(part)[np.ix_(*(w - a for a, w in zip(low, wanted, strict=True)))]
        axis = AXES[look.axis] if not self.flat else 0
        return _slab(box, axis, box.shape[axis] // 2, look.slab), size

    def _file_of(self, name: str) -> tuple[Path, float, tuple[int, int, int]]:
        """Return file, pixel size and shape of a tomogram or micrograph."""
        if not self._files and self.places is not None:
            self._files = {str(row[self.group]): row for row in self.places.frame().to_dict("records")}
        row = self._files.get(name)
        if row is None:
            what = "micrograph" if self.flat else "tomogram"
            raise EmtomoError(f"{self.shown.title}: the {what} {name} is not in this project, so it cannot be shown.")
        depth = 1 if self.flat else int(row["size_z"])
        size = float(self.places.pixel_size.get() or self.pixel_size or 1.0)
        return self.shown.path(str(row["file"])), size, (depth, int(row["size_y"]), int(row["size_x"]))

    def _voxels(self, rows: np.ndarray, shape: tuple[int, int, int], size: float) -> np.ndarray:
        part = self.frame.iloc[rows]
        if not self.flat:
            return to_voxels(positions_of(part), shape, size)
        flat = part[["y", "x"]].to_numpy(float) / size
        return np.column_stack([np.zeros(len(flat)), flat])

    def scene(self, name: str) -> Scene2D:
        """Return a tomogram or micrograph with the particles in it; reads the file's header.

        Raises
        ------
        EmtomoError
            If it is not in the project, or its file is no volume.
        """
        path, size, shape = self._file_of(name)
        rows = np.flatnonzero((self.frame[self.group].astype(str) == name).to_numpy())
        part = self.frame.iloc[rows]
        points = self._voxels(rows, shape, size)
        normals = np.full(points.shape, np.nan)
        if "r11" in part and not self.flat:
            normals = rotations_of(part)[:, ::-1, 2]
        white = bool(self.places.white.get()) if hasattr(self.places, "white") else True
        box = self.box * (self.pixel_size or size) / size if self.box and "role" not in part else POINT
        return Scene2D(name, VolumeSource(path), size, rows, points, normals, box, white)

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean of boxes or images as they lie, (z, y, x), one slice for images.

        Raises
        ------
        EmtomoError
            If there are none, or they have no boxes or images.
        """
        if not len(rows):
            raise EmtomoError("Select particles first: there is nothing to average.")
        if self.kind not in ("boxes", "images") or not all(self.frame["file"].iloc[rows]):
            raise EmtomoError(f"{self.shown.title}: these have no boxes of their own that could be averaged.")
        depth = self.box if self.kind == "boxes" else 1
        total: np.ndarray | None = None
        part = self.frame.iloc[rows]
        for file, index in part.groupby("file", sort=False)["index"]:
            stack = self._stack(str(file))
            for k in index.astype(int):
                box = np.asarray(stack[k * depth : (k + 1) * depth], np.float64)
                total = box if total is None else total + box
        assert total is not None
        return (total / len(rows)).astype(np.float32)

    def mean_source(self, rows: np.ndarray) -> VolumeSource:
        """Return :meth:`mean` for a window of slices."""
        mean = self.mean(rows)
        return VolumeSource(self.shown.path(str(self.frame["file"].iat[int(rows[0])])), data=mean)

    def box_source(self, row: int) -> VolumeSource:
        """Return a particle's own box, image or volume; where it has none, the tomogram or micrograph it lies in.

        Raises
        ------
        EmtomoError
            If its file is no stack.
        """
        if not self.from_stack(row):
            path, _, _ = self._file_of(str(self.frame[self.group].iat[row]))
            return VolumeSource(path)
        path = self.shown.path(str(self.frame["file"].iat[row]))
        if self.kind == "volumes":
            return VolumeSource(path)
        index = int(str(self.frame["index"].iat[row]))
        if self.kind == "tilts":
            return VolumeSource(path, index, max(1, str(self.frame["visible"].iat[row]).count("1")))
        depth = self.box if self.kind == "boxes" else 1
        return VolumeSource(path, index * depth, depth)


def _slab(box: np.ndarray, axis: int, middle: int, thickness: int) -> np.ndarray:
    """Return the mean of some slices about the middle one; 0 takes all."""
    count = box.shape[axis]
    low = max(0, middle - thickness // 2) if thickness else 0
    high = min(count, low + thickness) if thickness else count
    part = np.take(box, range(low, max(high, low + 1)), axis=axis)
    return np.asarray(part, np.float32).mean(axis=axis)


def prepare_browser(shown: Shown) -> None:
    """Read a set, in a thread, for the browser.

    Raises
    ------
    EmtomoError
        If the set is empty.
    """
    frame = shown.value.frame(progress=lambda share: shown.progress(READING * share))
    if not len(frame):
        raise EmtomoError(f"{shown.title} is an empty set: there is nothing to show.")
    fields = shown.value.ITEM_TYPE.FIELDS
    shown.prepared["browser"] = ParticleBrowser(
        frame,
        fields,
        singular(getattr(shown.value, "NOUN", "items")),
        lambda share: shown.progress(READING + (1 - READING) * share),
    )
    shown.prepared["images"] = ParticlePictures(shown, frame)
