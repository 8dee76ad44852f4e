"""Particle and point tables as plain text: CSV, white-space columns, STAR and Dynamo tables."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError

_SEPARATORS = (",", ";", "\t")
_DYNAMO_COLUMNS = {"tomogram": 19, "group": 20, "score": 9}


@dataclass
class Picks:
    """Positions read from a file, in the units of that file.

    Attributes
    ----------
    names : (n,) array of str
        Tomogram of each position; empty where the file does not say.
    positions : (n, 3) array
        x, y, z.
    rotations : (n, 3, 3) array or None
        tomogram = R @ reference.
    columns : dict
        Further columns by name: group, score, role, label.
    format : str
    centred : bool
        Positions are from the tomogram's centre, in Å; else 0-based voxels from the first one.
    """

    names: np.ndarray
    positions: np.ndarray
    rotations: np.ndarray | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    format: str = "text"
    centred: bool = False


def read_text(path: str | Path) -> str:
    """Return the text of a file, of any line ending, with or without a byte-order mark."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise FormatError(path, "not a text file.") from None


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a text table: first line with column names, comma, semicolon, tab or spaces between.

    Raises
    ------
    FormatError
        With the line, if rows differ in length or there is no row.
    """
    lines = [(n, line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    lines = [(n, line) for n, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        raise FormatError(path, "there is no row in it.")
    separator = next((s for s in _SEPARATORS if s in lines[0][1]), None)
    rows = [(n, [cell.strip() for cell in line.split(separator)]) for n, line in lines]
    width = len(rows[0][1])
    for n, row in rows:
        if len(row) != width:
            raise FormatError(path, f"{width} columns are needed as in the first line, got {len(row)}.", n)
    has_names = any(not _is_number(cell) for cell in rows[0][1])
    names = rows[0][1] if has_names else [str(k) for k in range(width)]
    if len(set(names)) != len(names):
        raise FormatError(path, "two columns have the same name.", rows[0][0])
    body = rows[1:] if has_names else rows
    frame = pd.DataFrame([row for _, row in body], columns=names)
    frame.index = pd.Index([n for n, _ in body], name="line")
    return frame


def numbers(path: str | Path, frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return `columns` of a table of :func:`read_table` as floats.

    Raises
    ------
    FormatError
        With the line, if a cell is not a finite number.
    """
    values = np.empty((len(frame), len(columns)))
    for k, name in enumerate(columns):
        column = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
        bad = ~np.isfinite(column)
        if bad.any():
            row = int(np.argmax(bad))
            raise FormatError(
                path, f"{name} must be a finite number, got {frame[name].iloc[row]!r}.", int(frame.index[row])
            )
        values[:, k] = column
    return values


def read_picks(path: str | Path, kind: str = "auto") -> Picks:
    """Read positions from a text, STAR or Dynamo table.

    Parameters
    ----------
    path : str or Path
    kind : {"auto", "text", "star", "dynamo"}
        ``auto`` goes by content.

    Raises
    ------
    FormatError
        One sentence with the line, when the file is not what it should be.
    """
    if kind == "auto":
        kind = _recognise(path)
    if kind == "star":
        from emtomo.io.star import read_star_picks

        return read_star_picks(path)
    if kind == "dynamo":
        return _read_dynamo(path)
    return _read_text_picks(path)


def _recognise(path: str | Path) -> str:
    text = read_text(path)
    if any(line.strip().startswith(("data_", "loop_")) for line in text.split("\n")[:200]):
        return "star"
    first = next((line for line in text.split("\n") if line.strip()), "")
    if Path(path).suffix.lower() == ".tbl" or len(first.split()) >= 26:
        return "dynamo"
    return "text"


def _read_text_picks(path: str | Path) -> Picks:
    frame = read_table(path)
    named = {name.lower(): name for name in frame.columns}
    if not {"x", "y", "z"} <= set(named):
        if not all(name.isdigit() for name in frame.columns) or len(frame.columns) not in (3, 4, 6, 7):
            raise FormatError(path, "columns x, y, z are needed, or 3, 4, 6 or 7 plain columns of numbers.")
        values = numbers(path, frame, list(frame.columns))
        width = values.shape[1]
        picks = Picks(np.full(len(frame), "", object), values[:, :3])
        if width in (4, 7):
            picks.columns["group"] = values[:, 3].astype(int)
        if width in (6, 7):
            from emtomo.compute.rotations import from_directions

            picks.rotations = from_directions(values[:, -3:])
        return picks
    positions = numbers(path, frame, [named[axis] for axis in "xyz"])
    id_column = next((named[n] for n in ("tomogram_id", "tomogram", "ts") if n in named), None)
    names = frame[id_column].to_numpy(object) if id_column else np.full(len(frame), "", object)
    picks = Picks(names, positions)
    for name in ("group", "score"):
        if name in named:
            picks.columns[name] = numbers(path, frame, [named[name]])[:, 0]
    for name in ("role", "label", "model"):
        if name in named:
            picks.columns[name] = frame[named[name]].to_numpy(object)
    normal = [named[n] for n in ("nx", "ny", "nz") if n in named]
    if len(normal) == 3:
        from emtomo.compute.rotations import from_directions

        picks.rotations = from_directions(numbers(path, frame, normal))
    return picks


def _read_dynamo(path: str | Path) -> Picks:
    """Read a Dynamo table: 1-based column numbers of its documentation less one.

    Rotation = Rz(-tdrot) Rx(-tilt) Rz(-narot); the centre is (24, 25, 26) + (4, 5, 6).
    Complex cells occur (column 28) and are read by their real part.
    """
    from scipy.spatial.transform import Rotation

    text = read_text(path)
    rows, width = [], 0
    for n, line in enumerate(text.split("\n"), 1):
        cells = line.split()
        if not cells:
            continue
        width = width or len(cells)
        if len(cells) != width or width < 26:
            raise FormatError(path, f"a Dynamo table has at least 26 columns, all rows alike; got {len(cells)}.", n)
        try:
            rows.append([complex(cell.replace("i", "j")).real for cell in cells])
        except ValueError:
            raise FormatError(path, "a cell is not a number.", n) from None
    if not rows:
        raise FormatError(path, "there is no row in it.")
    table = np.array(rows)
    angles = table[:, [8, 7, 6]]  # narot, tilt, tdrot
    rotations = Rotation.from_euler("zxz", -angles, degrees=True).as_matrix()
    picks = Picks(
        np.array([str(int(t)) for t in table[:, _DYNAMO_COLUMNS["tomogram"]]], object),
        table[:, 23:26] + table[:, 3:6],
        rotations,
        {
            "group": table[:, _DYNAMO_COLUMNS["group"]].astype(int),
            "score": table[:, _DYNAMO_COLUMNS["score"]],
        },
        "dynamo",
    )
    return picks


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
