"""Tables that say how each tomogram was acquired."""

from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.names import match_names
from emtomo.io.text import numbers, read_table

COLUMNS = ["tilt_min", "tilt_max", "tilt_step", "tilt_axis_angle"]


def read_acquisition(path: str | Path, tomogram_ids: list[str]) -> pd.DataFrame:
    """Return the tilt range of each tomogram from a text table.

    One row per file: name, tilt_min, tilt_max, tilt_step, tilt_axis_angle; the
    first line may name the columns. Names match by their stems.

    Raises
    ------
    FormatError
        If a column is missing, a cell is no number, or a tomogram has no row.
    """
    table = read_table(path)
    named = list(table.columns)
    if set(COLUMNS) <= set(named):
        name_column = next((c for c in named if c not in COLUMNS), None)
    elif len(named) >= 5 and all(c.isdigit() for c in named):
        table.columns = pd.Index(["name", *COLUMNS, *named[5:]])
        name_column = "name"
    else:
        raise FormatError(path, f"needs the columns name, {', '.join(COLUMNS)}; has {', '.join(named)}.")
    if name_column is None:
        raise FormatError(path, "needs a column with the names of the tomograms.")
    values = numbers(path, table, COLUMNS)
    rows = table[name_column].tolist()
    found, missing, _ = match_names(tomogram_ids, rows)
    if missing:
        raise FormatError(path, f"there is no row for {', '.join(missing)}.")
    place = [rows.index(found[name]) for name in tomogram_ids]
    wrong = np.flatnonzero(values[place, 0] >= values[place, 1])
    if len(wrong):
        line = int(table.index[place[int(wrong[0])]])
        raise FormatError(path, "tilt_min must be below tilt_max.", line)
    return pd.DataFrame(values[place], columns=COLUMNS, index=tomogram_ids)
