"""Subtomograms as refinement reads them: boxes from their stacks, weights from files or tilt ranges."""

from collections.abc import Hashable
from functools import lru_cache

import numpy as np
import pandas as pd

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.refinement.particles import Particles
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


def particles_of(boxes: SetOfSubtomograms, frame: pd.DataFrame) -> Particles:
    """Return the particles of some rows of a set, white whatever the set is.

    Raises
    ------
    EmtomoError
        If a stack has another box size, or a particle lacks its weights.
    """
    size, sign = int(boxes.box_size.get()), np.float32(1 if boxes.white.get() else -1)
    kind = str(boxes.weights.get() or "none")
    files, index = frame["file"].to_numpy(object), frame["index"].to_numpy(int)
    stacks = {file: open_boxes(file, size) for file in frame["file"].unique()}
    for file, n in frame.groupby("file")["index"].max().items():
        if n >= len(stacks[file]):
            raise EmtomoError(f"{file}: box {int(n) + 1} is asked for, there are {len(stacks[file])}.")
    keys: list[Hashable]
    if kind == "wedge":
        keys = list(zip(frame["tilt_min"].astype(float), frame["tilt_max"].astype(float), strict=True))
    elif kind == "none":
        keys = [None] * len(frame)
    else:
        keys = list(frame["ctf_file"].fillna(""))
        if "" in keys:
            raise EmtomoError(f"Particle {keys.index('') + 1} has no file of weights, though the set has {kind}.")

    def box(i: int) -> np.ndarray:
        return sign * np.asarray(stacks[files[i]][index[i]], np.float32)

    @lru_cache(maxsize=64)
    def weight(key: Hashable) -> np.ndarray:
        if kind == "wedge":
            low, high = np.array(key, float)[:, None]
            return wedge_weights(size, np.eye(3)[None], low, high)
        return read_weights(str(key), size)

    return Particles(size, float(boxes.pixel_size.get()), box, keys, weight, kind, bool(boxes.premultiplied.get()))
