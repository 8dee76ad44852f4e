"""The images of a tilt series, read one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.tilt.selection import CtfFit
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.images import describe, read_any


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
