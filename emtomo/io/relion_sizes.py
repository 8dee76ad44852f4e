"""In which pixel size the columns of a STAR file of particles count: the only place that says it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.text import as_numbers

MICROGRAPH = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnImagePixelSize")
SERIES = "rlnTomoTiltSeriesPixelSize"
BINNING = "rlnTomoSubtomogramBinning"
BOXES = ("rlnImagePixelSize", "rlnPixelSize")
SIZE_COLUMNS = ("rlnMagnification", "rlnDetectorPixelSize", "rlnPixelSize")


@dataclass(frozen=True)
class PixelSizes:
    """Pixel sizes of particles.

    Attributes
    ----------
    positions : (n,) array
        Å per voxel of rlnCoordinateX/Y/Z; NaN where the file does not say.
    boxes : (n,) array
        Å per voxel of the images of rlnImageName; NaN where the file does not say.
    same : bool
        Positions count in voxels of the boxes, as in RELION 3.0 and Warp: a size given for one is that of the other.
    """

    positions: np.ndarray
    boxes: np.ndarray
    same: bool


def pixel_sizes_of(
    path: str | Path, table: pd.DataFrame, optics: pd.DataFrame | None, *, exported_by_warp: bool = False
) -> PixelSizes:
    """Return in which pixel sizes positions and boxes count.

    ============================  =======================================================  =========================
    file                          rlnCoordinateX/Y/Z                                       rlnOriginX/Y/Z, boxes
    ============================  =======================================================  =========================
    RELION 4                      voxels of the tilt series (rlnTomoTiltSeriesPixelSize,   rlnImagePixelSize
                                  or rlnImagePixelSize / rlnTomoSubtomogramBinning)
    RELION 3.1                    voxels of the micrograph (rlnMicrographPixelSize,        rlnImagePixelSize
                                  rlnMicrographOriginalPixelSize), else of the boxes
    RELION 3.0, Warp, pytom       voxels of the boxes: rlnPixelSize, or 10⁴                the same
                                  rlnDetectorPixelSize / rlnMagnification; the detector's
                                  size alone is in Å
    WarpTools (block general)     voxels of the boxes (rlnImagePixelSize)                  the same
    ============================  =======================================================  =========================

    rlnCenteredCoordinateX/Y/ZAngst and rlnOriginX/Y/ZAngst are in Å and need no pixel size.

    Parameters
    ----------
    path : str or Path
    table : DataFrame
        The particles.
    optics : DataFrame or None
        RELION's optics groups.
    exported_by_warp : bool
        WarpTools counts in voxels of what it exports, although the tilt series' pixel size stands beside.

    Raises
    ------
    FormatError
        If a size is not above 0, or a particle names an optics group that there is not.
    """
    n = len(table)
    order = (SERIES, *MICROGRAPH)
    positions, positions_column = _sizes_of(path, table, optics, order[::-1] if exported_by_warp else order)
    boxes, boxes_column = _sizes_of(path, table, optics, BOXES)
    if boxes is None:
        boxes = _of_detector(path, table, optics)
    if positions_column == BOXES[0] and not exported_by_warp:
        binning, _ = _sizes_of(path, table, optics, (BINNING,))
        if binning is not None and boxes is not None:
            return PixelSizes(boxes / binning, boxes, False)
    if positions is None or positions_column == boxes_column:
        known = boxes if boxes is not None else np.full(n, np.nan)
        return PixelSizes(known, known.copy(), True)
    return PixelSizes(positions, boxes if boxes is not None else np.full(n, np.nan), False)


def micrograph_sizes(path: str | Path, table: pd.DataFrame, optics: pd.DataFrame | None) -> np.ndarray:
    """Return in which pixel sizes positions on micrographs count, (n,) in Å; NaN where the file does not say.

    Raises
    ------
    FormatError
        As :func:`pixel_sizes_of` does.
    """
    sizes, _ = _sizes_of(path, table, optics, MICROGRAPH[:1])
    return np.full(len(table), np.nan) if sizes is None else sizes


def _sizes_of(
    path: str | Path, table: pd.DataFrame, optics: pd.DataFrame | None, columns: tuple[str, ...]
) -> tuple[np.ndarray | None, str | None]:
    """Return every particle's value of the first column that there is, in optics or else in particles, and its name."""
    for column in columns:
        if optics is not None and column in optics and (values := _checked(path, optics, column)) is not None:
            return _by_group(path, table, optics, values), column
        if column in table and (values := _checked(path, table, column)) is not None:
            return values, column
    return None, None


def _checked(path: str | Path, table: pd.DataFrame, column: str) -> np.ndarray | None:
    """Return a column of pixel sizes; ``None`` where no cell has one.

    Raises
    ------
    FormatError
        With the line, if one is not above 0.
    """
    values = as_numbers(table[column])
    if len(values) == 0 or (np.isnan(values).all() and table[column].dtype.kind == "f"):
        return None
    bad = ~(values > 0) | ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        cell = str(table[column].iloc[row])[:40]
        line = star.line_of(path, table, row) if Path(path).exists() else None
        raise FormatError(
            path, f"{column} must be a finite number above 0{'' if column == BINNING else ' Å'}, got {cell}.", line
        )
    return values


def _by_group(path: str | Path, table: pd.DataFrame, optics: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    if "rlnOpticsGroup" not in table or "rlnOpticsGroup" not in optics:
        if np.ptp(values) > 0:
            where = "particles" if "rlnOpticsGroup" in optics else "optics"
            raise FormatError(
                path, f"the table of {where} has no rlnOpticsGroup, and the optics groups differ in their pixel sizes."
            )
        return np.full(len(table), values[0])
    number = star.floats(path, optics, ["rlnOpticsGroup"])[:, 0]
    again = pd.Series(number).duplicated()
    if again.any():
        row = int(np.argmax(again))
        raise FormatError(path, f"optics group {number[row]:g} is in the table of optics twice.")
    of = dict(zip(number.tolist(), values.tolist(), strict=True))
    groups = as_numbers(table["rlnOpticsGroup"]).tolist()
    missing = next((k for k, group in enumerate(groups) if group not in of), None)
    if missing is not None:
        raise FormatError(
            path,
            f"optics group {groups[missing]:g} is not in the table of optics, which has "
            f"{', '.join(f'{g:g}' for g in of)}.",
            star.line_of(path, table, missing),
        )
    return np.array([of[group] for group in groups])


def _of_detector(path: str | Path, table: pd.DataFrame, optics: pd.DataFrame | None) -> np.ndarray | None:
    """Return 10⁴ detector size (µm) / magnification; without magnification the size is in Å (pytom-match-pick)."""
    detector, _ = _sizes_of(path, table, optics, ("rlnDetectorPixelSize",))
    if detector is None:
        return None
    magnification, _ = _sizes_of(path, table, optics, ("rlnMagnification",))
    return detector if magnification is None else 1e4 * detector / magnification
