"""Conditions on tables as people write them; nothing is evaluated."""

import re
from typing import Any

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError

_TERM = re.compile(r"\s*([A-Za-z_]\w*)\s*(>=|<=|!=|==|=|>|<|~)\s*(.+?)\s*$")


def filter_rows(frame: pd.DataFrame, text: str) -> np.ndarray:
    """Return the places of the rows for which all terms hold.

    Parameters
    ----------
    frame : DataFrame
    text : str
        ``column op value`` joined by ``and``; op is one of = != > < >= <= ~ (contains). Empty: all rows.

    Raises
    ------
    EmtomoError
        If a term cannot be read, or a column is unknown.
    """
    kept = np.ones(len(frame), bool)
    for term in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else []:
        match = _TERM.match(term)
        if match is None:
            raise EmtomoError(f"A condition is written column, sign, value (e.g. score > 3), got {term!r}.")
        name, sign, value = match.groups()
        if name not in frame:
            raise EmtomoError(f"There is no column {name!r}; the columns are {', '.join(map(str, frame))}.")
        kept &= _holds(frame[name], sign, value.strip("'\"")).to_numpy(bool)
    return np.flatnonzero(kept)


def _holds(column: pd.Series, sign: str, value: str) -> pd.Series:
    if sign == "~":
        return _texts(column).str.contains(value, case=False, regex=False)
    try:
        number = float(value)
    except ValueError:
        number = None
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if not numeric or number is None:
        if sign in ("=", "==", "!="):
            same = _texts(column).str.lower() == value.lower()
            return ~same if sign == "!=" else same
        raise EmtomoError(f"{column.name} {sign} {value}: larger and smaller need a column of numbers and a number.")
    compare = {
        "=": column.eq,
        "==": column.eq,
        "!=": column.ne,
        ">": column.gt,
        "<": column.lt,
        ">=": column.ge,
        "<=": column.le,
    }
    return compare[sign](number)


def _texts(column: pd.Series) -> Any:
    return column.astype(str)
