"""Arrays kept in a run's folder between steps of a long computation; nothing in them is an object."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.io.names import check_identifiers
from emtomo.objects.whole_files import write_arrays


@dataclass(frozen=True)
class ArrayStore:
    """Files of arrays, of iterations and names; it may travel to other processes.

    Attributes
    ----------
    folder : str
    stamp : str
        What the arrays depend on: those of another stamp count as missing.
    """

    folder: str
    stamp: str

    def _path(self, iteration: int, name: str) -> Path:
        check_identifiers([name], "Name", "the tilt series")
        return Path(self.folder) / f"it_{iteration:03d}_{name}.npz"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.stamp.encode()).hexdigest()

    def load(self, iteration: int, name: str) -> dict[str, np.ndarray] | None:
        """Return what was saved, None if nothing was, or it depends on something else."""
        path = self._path(iteration, name)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as data:
            if str(data["stamp"]) != self._digest:
                return None
            return {key: data[key] for key in data.files if key != "stamp"}

    def save(self, iteration: int, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays, whole or not at all."""
        write_arrays(self._path(iteration, name), {"stamp": np.array(self._digest), **arrays})
