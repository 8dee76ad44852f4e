"""Fields of items and sets: declared once, with unit and meaning, read by tables, documents and writers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyworkflow.object import Boolean, Float, Integer, Object, String

if TYPE_CHECKING:  # pandas takes long to load: the command line starts without it
    import pandas as pd

_ENGINE_CLASS: dict[type, type[Object]] = {bool: Boolean, int: Integer, float: Float, str: String}
_EMPTY: dict[type, Any] = {bool: None, int: None, float: np.nan, str: None}


@dataclass(frozen=True)
class Field:
    """One attribute of an item or a set.

    Attributes
    ----------
    name : str
    kind : {float, int, bool, str}
    meaning : str
        One line for documents and column headers.
    unit : str
    default : optional
        Value of an item that does not say; missing when ``None``.
    """

    name: str
    kind: type
    meaning: str
    unit: str = ""
    default: Any = None

    def attribute(self) -> Object:
        """Return a new engine attribute that holds the default."""
        value = self.default
        return _ENGINE_CLASS[self.kind](value) if value is not None else _ENGINE_CLASS[self.kind]()

    def empty_column(self, n: int) -> np.ndarray:
        """Return `n` times the default (missing when there is none)."""
        value = _EMPTY[self.kind] if self.default is None else self.default
        if self.kind is float:
            return np.full(n, value, dtype=float)
        return np.full(n, value, dtype=object)


@dataclass(frozen=True)
class Extent:
    """How wide a tomogram or micrograph is.

    Attributes
    ----------
    x, y : float
        Å.
    step : float
        Å by which they are rounded: a voxel.
    """

    x: float
    y: float
    step: float


class Fielded:
    """Mix-in: an engine object whose attributes are its ``FIELDS``."""

    FIELDS: tuple[Field, ...] = ()
    SIZE_OPTIONAL = False  # the pixel size may be missing although there are images

    def header_files(self) -> list[str]:
        """Return the files whose headers should say the pixel size of this."""
        return []

    def extents(self) -> dict[str, Extent]:
        """Return how wide each tomogram or micrograph is that this says the size of."""
        return {}

    def parts(self) -> list[Any]:
        """Return the objects with a pixel size that this consists of."""
        return [self]

    def _add_fields(self, fields: tuple[Field, ...], values: dict[str, Any]) -> None:
        """Create one attribute per field and set those named in `values`."""
        names = {field.name for field in fields}
        unknown = sorted(set(values) - names)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(unknown)}; it has {sorted(names)}")
        for field in fields:
            attribute = field.attribute()
            if values.get(field.name) is not None:
                attribute.set(_plain(values[field.name]))
            setattr(self, field.name, attribute)

    def values(self) -> dict[str, Any]:
        """Return the field values as plain Python objects."""
        return {field.name: getattr(self, field.name).get() for field in self.FIELDS}


def _plain(value: Any) -> Any:
    """Return a numpy scalar as the Python scalar that the engine can store."""
    return value.item() if isinstance(value, np.generic) else value


def to_sql(field: Field, frame: "pd.DataFrame") -> list[Any]:
    """Return the column of `field` as a list that sqlite takes; missing values as None."""
    if field.name not in frame.columns:
        return [field.default] * len(frame)
    column = frame[field.name]
    if field.kind is float:
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if np.isnan(values).any():
            return [None if v != v else v for v in values.tolist()]
        return values.tolist()
    missing = column.isna()
    if field.kind is str:
        return (
            [None if gone else str(v) for v, gone in zip(column, missing, strict=True)]
            if missing.any()
            else [str(v) for v in column]
        )
    return [None if gone else int(v) for v, gone in zip(column, missing, strict=True)]


def from_sql(kind: type, values: tuple[Any, ...]) -> np.ndarray:
    """Return one column of a chunk: float with NaN where missing, int and bool plain when nothing is missing."""
    if kind is float:
        return np.array(values, dtype=float)
    if kind is str or None in values:
        return np.array(values, dtype=object)
    return np.array(values, dtype=bool if kind is bool else np.int64)
