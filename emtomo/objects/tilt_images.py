"""The images of a tilt series, read one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyworkflow.object import Pointer

from emtomo.compute.tilt.selection import CtfFit
from emtomo.engine.lineage import upstream
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.images import describe, read_any
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.objects.tomogram import SetOfTomograms

DISAGREE = 0.02  # of the pixel size, by which headers may differ


@dataclass
class TiltImages:
    """Images of a table of tilts; called with a tilt's number from 0 it returns its (y, x) image as float32.

    Attributes
    ----------
    table : DataFrame
        Columns of ``IMAGE_FIELDS``.
    column : str
        ``file``, ``odd_file`` or ``even_file``.
    folder : Path
        What their names are relative to: the project.
    """

    table: pd.DataFrame
    column: str = "file"
    folder: Path = Path()
    _stacks: dict[str, np.ndarray] = field(default_factory=dict)
    _size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open stacks behind: images may be read by another process."""
        return vars(self) | {"_stacks": {}}

    def has_all(self) -> bool:
        """Return whether every image has a file in this column."""
        return bool(len(self.table) and self.table[self.column].map(bool).all())

    def size(self) -> tuple[int, int]:
        """Return rows and columns of the first image, from its file's header."""
        shape = describe(self.path(0)).shape
        return shape[1], shape[2]

    def path(self, t: int) -> Path:
        """Return the file of one image."""
        name = self.table[self.column].iloc[t]
        if not name:
            raise EmtomoError(f"tilt {t + 1} has no {self.column.replace('_', ' ')}.")
        return self.folder / str(name)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self(t) for t in range(len(self)))

    def __call__(self, t: int) -> np.ndarray:
        """Return one image.

        Raises
        ------
        EmtomoError
            If its file has no such image, or it is not as large as the first.
        """
        path = self.path(t)
        stack = self._stacks.get(str(path))
        if stack is None:
            stack = mrc.open_volume(path) if describe(path).format == "mrc" else read_any(path)
            if len(self._stacks) > 4 or len(stack) == 1:
                self._stacks.clear()
            self._stacks[str(path)] = stack
        index = int(self.table["index"].iloc[t] or 0)
        if not 0 <= index < len(stack):
            raise EmtomoError(f"{path}: tilt {t + 1} should be image {index + 1}, and there are {len(stack)}.")
        image = stack[index]
        if self._size is None:
            self._size = self.size()
        if image.shape != self._size:
            (rows, columns), (first_rows, first_columns) = image.shape, self._size
            raise EmtomoError(
                f"{path}: tilt {t + 1} has {columns} × {rows} pixels, and tilt 1 has {first_columns} × {first_rows}; "
                "all images of a series must have one size."
            )
        return np.asarray(image, np.float32)


def fit_of_tilts(table: pd.DataFrame) -> CtfFit | None:
    """Return how well the CTF of every tilt was fitted; None where no fit is known of all."""
    score, u, v = (table[c].to_numpy(float) for c in ("ctf_score", "defocus_u", "defocus_v"))
    known = [values if np.isfinite(values).all() else None for values in (score, (u + v) / 2)]
    return CtfFit(*known) if any(values is not None for values in known) else None


def size_remarks(particles: Pointer, series: SetOfTiltSeries) -> list[str]:
    """Return sentences where pixel sizes of tilt series, their images, and the particles' tomograms disagree."""
    found = set(particles.get().tomogram_ids())
    names = [name for name in series.tomogram_ids() if name in found]
    return pixel_size_remarks(series, names, upstream(particles, SetOfTomograms))


def pixel_size_remarks(series: SetOfTiltSeries, names: list[str], tomograms: SetOfTomograms | None = None) -> list[str]:
    """Return a sentence on every series whose pixel size disagrees by more than 2 % with what belongs to it.

    Parameters
    ----------
    series : SetOfTiltSeries
    names : list of str
        Which of them to compare with the headers of their images, and with the tomograms' size in Å.
    tomograms : SetOfTomograms, optional
        Those in which particles were found.
    """
    size, out = float(series.pixel_size.get() or 0), []
    shapes = {} if tomograms is None else {str(row["tomogram_id"]): row for _, row in tomograms.frame().iterrows()}
    for name in names:
        images = TiltImages(series.images(name))
        header = describe(images.path(0)).pixel_size
        # 1 is what programs write that do not know it
        if size > 0 and header > 0 and header != 1 and abs(header / size - 1) > DISAGREE:
            out.append(
                f"{name}: the images' header says {header:.4g} Å a pixel, the set {size:.4g} Å, which is taken: check "
                "which is right."
            )
        if name in shapes and tomograms is not None:
            out += _tomogram_remarks(name, series, shapes[name], float(tomograms.pixel_size.get() or 0))
    return out


def _tomogram_remarks(name: str, series: SetOfTiltSeries, tomogram: pd.Series, voxel: float) -> list[str]:
    """Return a sentence where a tomogram is larger or smaller than its series says, along x and y by one factor."""
    said = np.array(series.geometry(name).volume_size or (np.nan,) * 3)[:2]
    wide = tomogram[["size_x", "size_y"]].to_numpy(float) * voxel
    ratio = wide / said
    if not (np.isfinite(ratio).all() and ratio.min() > 0):
        return []
    # sizes are whole numbers of voxels; where both axes differ by one factor nothing was cropped
    rounding = 1.0 / tomogram[["size_x", "size_y"]].to_numpy(float).min()
    if abs(ratio[0] / ratio[1] - 1) > rounding or abs(ratio.mean() - 1) <= max(DISAGREE, rounding):
        return []
    off = 100 * abs(ratio.mean() - 1)
    return [
        f"{name}: the tomogram of the particles is {wide[0]:.0f} × {wide[1]:.0f} Å, and by its tilt series "
        f"{said[0]:.0f} × {said[1]:.0f} Å: one pixel size is off by {off:.0f} %, and so are the positions."
    ]
