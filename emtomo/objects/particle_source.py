"""Subtomograms as refinement reads them: boxes from their stacks, weights from files or tilt ranges."""

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.weights import read_weights
from emtomo.objects.subtomogram import SetOfSubtomograms


def open_boxes(path: str, size: int) -> np.ndarray:
    """Return a file of boxes as `(n, size, size, size)`, mapped and not read.

    Raises
    ------
    EmtomoError
        If the file is not a stack of such boxes.
    """
    data = mrc.open_volume(path)
    if data.shape[1:] != (size, size) or data.shape[0] % size:
        raise EmtomoError(f"{path}: not a stack of {size}×{size}×{size} boxes.")
    return data.reshape(-1, size, size, size)


class StackedBoxes:
    """Boxes read from their stacks, white whatever the set is; it may travel to other processes."""

    def __init__(self, files: list[str], index: np.ndarray, size: int, sign: int) -> None:
        self.names = sorted(set(files))
        number = {name: k for k, name in enumerate(self.names)}
        self.stack = np.array([number[name] for name in files], int)
        self.index, self.size, self.sign = index, size, np.float32(sign)
        self._open()

    def _open(self) -> None:
        self.stacks = [open_boxes(name, self.size) for name in self.names]
        self.counts = [len(stack) for stack in self.stacks]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped files; their names are made absolute, since folders differ."""
        kept = ("stack", "index", "size", "sign")
        return {name: getattr(self, name) for name in kept} | {"names": [str(Path(n).absolute()) for n in self.names]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __call__(self, i: int) -> np.ndarray:
        """Return box `i`."""
        return self.sign * np.asarray(self.stacks[self.stack[i]][self.index[i]], np.float32)


class KeyedWeights:
    """Weights by what they are known by: a tilt range or a file; it may travel to other processes."""

    def __init__(self, kind: str, size: int, folder: str) -> None:
        self.kind, self.size, self.folder = kind, size, folder
        self._read = lru_cache(maxsize=64)(self._made)

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.kind, self.size, self.folder)

    def _made(self, key: Hashable) -> np.ndarray:
        if self.kind == "wedge":
            low, high = np.array(key, float)[:, None]
            return wedge_weights(self.size, np.eye(3)[None], low, high)
        return read_weights(str(Path(self.folder, str(key))), self.size)

    def __call__(self, key: Hashable) -> np.ndarray:
        """Return the weights of a key."""
        return self._read(key)


def particles_of(boxes: SetOfSubtomograms, frame: pd.DataFrame) -> BoxParticles:
    """Return the particles of some rows of a set, white whatever the set is.

    Raises
    ------
    EmtomoError
        If a stack has another box size, or a particle lacks its weights.
    """
    size, sign = int(boxes.box_size.get()), 1 if boxes.white.get() else -1
    kind = str(boxes.weights.get() or "none")
    box = StackedBoxes(list(frame["file"]), frame["index"].to_numpy(int), size, sign)
    for file, n in frame.groupby("file")["index"].max().items():
        there = box.counts[box.names.index(str(file))]
        if n >= there:
            raise EmtomoError(f"{file}: box {int(n) + 1} is asked for, there are {there}.")
    keys: list[Hashable]
    if kind == "wedge":
        keys = list(zip(frame["tilt_min"].astype(float), frame["tilt_max"].astype(float), strict=True))
    elif kind == "none":
        keys = [None] * len(frame)
    else:
        keys = list(frame["ctf_file"].fillna(""))
        if "" in keys:
            raise EmtomoError(f"Particle {keys.index('') + 1} has no file of weights, though the set has {kind}.")
    weight = KeyedWeights(kind, size, str(Path.cwd()))
    return BoxParticles(size, float(boxes.pixel_size.get()), box, keys, weight, kind, bool(boxes.premultiplied.get()))
