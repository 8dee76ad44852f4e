"""Files of a run that are there whole or not at all: written under a temporary name, then renamed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.checkpoint import stamp_of


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as .npz; the folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part_" + path.name)
    np.savez(part, **arrays)
    part.replace(path)


def write_table(path: Path, table: pd.DataFrame, digits: int = 5) -> None:
    """Write a table as CSV, numbers with so many digits."""
    part = path.with_name("part_" + path.name)
    table.to_csv(part, index=False, float_format=f"%.{digits}g")
    part.replace(path)


def find_arrays(paths: list[Path], stamp: str | None) -> tuple[Path, dict[str, np.ndarray]] | None:
    """Return the first of some packed states, with its path.

    Parameters
    ----------
    paths : list of Path
    stamp : str, optional
        What it must depend on; None takes any.

    Returns
    -------
    (Path, dict) or None
        None where there is none of that stamp.
    """
    for path in paths:
        if not path.exists():
            continue
        with np.load(path, allow_pickle=False) as data:
            if stamp is None or stamp_of(data) == stamp:
                return path, {name: data[name] for name in data.files}
    return None
