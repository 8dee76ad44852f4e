"""Positions in micrographs: STAR files of RELION, boxes of EMAN, and the tables that emtomo writes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.micrographs import find_files
from emtomo.io.names import stem
from emtomo.io.relion_sizes import micrograph_sizes
from emtomo.io.text import as_numbers, matrix, numbers, read_table, read_text

ENDINGS = (".star", ".box", ".csv")
_ADDED = re.compile(r"(_autopick|_manualpick|_picked|_pick|_topaz|_cryolo|_coords?)+$", re.IGNORECASE)
_HEADER = ("micrograph_id", "x", "y")


def read_picks(path: str | Path) -> pd.DataFrame:
    """Read picks of one or many micrographs.

    RELION's positions and those of .box files count in pixels from the centre of the first one; those of a .csv file
    with the columns micrograph_id, x, y (and score) are in Å. A list of coordinate files of RELION 4 or 5
    (``autopick.star``) is followed.

    Returns
    -------
    DataFrame
        name, x, y, score, angstrom: whether x and y are in Å, pixel_size: Å per pixel of x and y, NaN where the file
        does not say. A file without names has its own stem, less what pickers add to it.

    Raises
    ------
    FormatError
        With the line where there is one: it is no such file, or a number is none.
    """
    path = Path(path)
    if path.suffix == ".csv":
        return _csv(path)
    if path.suffix == ".box":
        return _boxes(path)
    blocks = star.read_blocks(path)
    lists = next((b for b in blocks.values() if "rlnMicrographCoordinates" in b), None)
    if lists is not None:
        files = find_files(path, star.words(lists, "rlnMicrographCoordinates"), lists)
        names = star.words(lists, "rlnMicrographName") if "rlnMicrographName" in lists else [None] * len(files)
        parts = [
            read_picks(f) if n is None else read_picks(f).assign(name=n) for f, n in zip(files, names, strict=True)
        ]
        return pd.concat(parts, ignore_index=True) if parts else _frame(path, np.zeros((0, 2)))
    table = next((b for b in blocks.values() if {"rlnCoordinateX", "rlnCoordinateY"} <= set(b)), None)
    if table is None:
        raise FormatError(path, "no block has rlnCoordinateX and rlnCoordinateY.")
    frame = _frame(path, star.floats(path, table, ["rlnCoordinateX", "rlnCoordinateY"]))
    frame["pixel_size"] = micrograph_sizes(path, table, blocks.get("optics"))
    if "rlnAutopickFigureOfMerit" in table:
        frame["score"] = star.floats(path, table, ["rlnAutopickFigureOfMerit"])[:, 0]
    if "rlnMicrographName" in table:
        frame["name"] = star.words(table, "rlnMicrographName")
    return frame


def _frame(path: Path, positions: np.ndarray) -> pd.DataFrame:
    n = len(positions)
    name = _ADDED.sub("", stem(path.name))
    columns = {"x": positions[:, 0], "y": positions[:, 1], "score": np.zeros(n), "angstrom": np.zeros(n, bool)}
    return pd.DataFrame({"name": np.full(n, name, object), **columns, "pixel_size": np.full(n, np.nan)})


def _boxes(path: Path) -> pd.DataFrame:
    """Read x, y of the corner, width and height of boxes, in pixels."""
    text = read_text(path)
    if not text.strip():
        return _frame(path, np.zeros((0, 2)))
    rows = matrix(path, text, (4, 5), "a file of boxes")
    return _frame(path, rows[:, :2] + np.floor(rows[:, 2:4] / 2))


def _csv(path: Path) -> pd.DataFrame:
    table = read_table(path, numeric=("x", "y", "score"))
    missing = [name for name in _HEADER if name not in table]
    if missing:
        raise FormatError(path, f"needs the columns {', '.join(_HEADER)}; there is no {', '.join(missing)}.")
    frame = _frame(path, numbers(path, table, ["x", "y"]))
    frame["name"], frame["angstrom"] = table["micrograph_id"].astype(str).to_numpy(object), True
    if "score" in table:
        frame["score"] = np.nan_to_num(as_numbers(table["score"]), posinf=0.0, neginf=0.0)
    return frame
