"""Rotations as columns of a table: nine numbers, row by row, acting on (x, y, z)."""

import numpy as np
import pandas as pd

from emtomo.engine.fields import Field

ROTATION_COLUMNS = [f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)]
ROTATION_FIELDS = tuple(
    Field(
        name,
        float,
        f"row {name[1]}, column {name[2]} of the rotation, tomogram = R @ reference, on (x, y, z)",
    )
    for name in ROTATION_COLUMNS
)


def rotation_columns(rotations: np.ndarray | None, n: int) -> dict[str, np.ndarray]:
    """Return the nine columns of `(n, 3, 3)` `rotations`; NaN where there is no orientation."""
    flat = np.full((n, 9), np.nan) if rotations is None else np.asarray(rotations, float).reshape(n, 9)
    return {name: flat[:, k] for k, name in enumerate(ROTATION_COLUMNS)}


def rotations_of(frame: pd.DataFrame) -> np.ndarray:
    """Return `(n, 3, 3)` rotations of the rows of `frame`; NaN where a row has none."""
    return frame[ROTATION_COLUMNS].to_numpy(dtype=float).reshape(-1, 3, 3)


def positions_of(frame: pd.DataFrame) -> np.ndarray:
    """Return `(n, 3)` x, y, z in Å from the tomogram's centre."""
    return frame[["x", "y", "z"]].to_numpy(dtype=float)
