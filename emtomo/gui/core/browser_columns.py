"""Columns of particles as people read them: Euler angles for rotations, units in headings, colours by a column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emtomo.engine.fields import Field
from emtomo.io.poses import to_relion
from emtomo.objects.rotation import ROTATION_COLUMNS, rotations_of

ANGLES = ("rot", "tilt", "psi")
IN_PLANE = "psi_in_plane"  # what images of particles call psi beside a rotation
FEW = 12  # values of a column of whole numbers that are colours of their own
CATEGORIES = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#ffffff", "#b2df8a")
UNKNOWN = (128, 128, 128)
AT_ONCE = 5_000  # rotations: the window waits for no more of them, as their conversion lets no other thread go on
OUTLIERS = 1.0  # per cent at either end that have the colours of the ends


def display_table(frame: pd.DataFrame, progress: Callable[[float], object] = lambda _: None) -> pd.DataFrame:
    """Return a set's columns with rot, tilt and psi (RELION's convention, °) in place of r11 … r33.

    Angles are NaN where a particle has no orientation. Images of particles have an angle psi of their own: beside a
    rotation it is called psi_in_plane. `progress` is called with the share that is done, 0 to 1.
    """
    if not set(ROTATION_COLUMNS) <= set(frame.columns):
        return frame.reset_index(drop=True)
    rotations = rotations_of(frame)
    angles = np.full((len(frame), 3), np.nan)
    for start in range(0, len(frame), AT_ONCE):
        part = rotations[start : start + AT_ONCE]
        known = np.isfinite(part).all(axis=(1, 2))
        angles[start : start + AT_ONCE][known] = to_relion(part[known])
        progress(min(1.0, (start + AT_ONCE) / len(frame)))
    columns: dict[str, np.ndarray] = {}
    for name in frame.columns:
        if name == ROTATION_COLUMNS[0]:
            columns |= {angle: angles[:, k] for k, angle in enumerate(ANGLES)}
        elif name not in ROTATION_COLUMNS:
            columns[IN_PLANE if name in ANGLES else str(name)] = frame[name].to_numpy()
    return pd.DataFrame(columns)


def units_of(fields: Sequence[Field], table: pd.DataFrame) -> dict[str, str]:
    """Return the unit of every column of a table that has one."""
    units = {field.name: field.unit for field in fields if field.unit} | dict.fromkeys((*ANGLES, IN_PLANE), "°")
    return {name: units[name] for name in map(str, table.columns) if name in units}


def heading(name: str, units: dict[str, str]) -> str:
    """Return a column's heading: name and unit."""
    return f"{name} ({units[name]})" if name in units else name


def numbers_of(column: pd.Series) -> np.ndarray | None:
    """Return a column as numbers, NaN where it has none; None for one of texts."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float)
    if pd.api.types.is_string_dtype(column):
        return None
    codes, texts = pd.factorize(column)  # values that repeat are read once: no other thread goes on meanwhile
    read = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(float)
    values = np.append(read, np.nan)[codes]  # what is missing has the code -1
    return values if np.isfinite(values).any() else None


@dataclass(frozen=True)
class Colouring:
    """Colours of all particles by a column.

    Attributes
    ----------
    rgb : (n, 3) uint8 array
    legend : list of (text, "#rrggbb")
        The values, or low, middle and high of a scale.
    """

    rgb: np.ndarray
    legend: list[tuple[str, str]]


def colour_column(column: pd.Series | None, count: int) -> Colouring:
    """Return colours by a column, or the same for all `count` particles.

    Texts and few whole numbers are colours of their own, other numbers a scale from the 1st to the 99th percentile.
    """
    palette = np.array([hex_rgb(c) for c in CATEGORIES], np.uint8)
    if column is None or not count:
        return Colouring(np.tile(palette[0], (count, 1)), [])
    values = numbers_of(column)
    finite = values[np.isfinite(values)] if values is not None else np.zeros(0)
    whole = values is not None and len(finite) > 0 and bool((finite == np.round(finite)).all())
    if values is None or (whole and len(np.unique(finite)) <= FEW):
        codes, names = pd.factorize(column, sort=True)
        rgb = palette[codes % len(palette)]
        rgb[codes < 0] = UNKNOWN
        legend = [(str(name), CATEGORIES[k % len(CATEGORIES)]) for k, name in enumerate(names[:FEW])]
        return Colouring(rgb, [*legend, *([(f"… {len(names)} values", "#808080")] if len(names) > FEW else [])])
    if not len(finite):
        return Colouring(np.tile(np.array(UNKNOWN, np.uint8), (count, 1)), [("no numbers", "#808080")])
    import matplotlib

    low, high = (float(v) for v in np.percentile(finite, (OUTLIERS, 100 - OUTLIERS)))
    share = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-300), 0, 1)
    scale = (matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    rgb = scale[(share * 255).astype(int)]
    rgb[~np.isfinite(values)] = UNKNOWN
    ends = [(low, 0), ((low + high) / 2, 127), (high, 255)]
    return Colouring(rgb, [(f"{value:.4g}", rgb_hex(scale[k])) for value, k in ends])


def hex_rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def rgb_hex(rgb: np.ndarray) -> str:
    """Return ``#rrggbb`` of red, green and blue."""
    return f"#{int(rgb[0]):02x}{int(rgb[1]):02x}{int(rgb[2]):02x}"
