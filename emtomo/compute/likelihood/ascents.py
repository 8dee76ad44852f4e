"""The state of Newton ascents, which every backend moves on by the rule of a step in the kernels."""

from typing import NamedTuple

import numpy as np


class Ascents(NamedTuple):
    """Where the ascents of some poses are; every array's first axis is the pose.

    Attributes
    ----------
    rotation, shift : (p, 3, 3) and (p, 3) float64 arrays
        Where the density is wanted next.
    best_rotation, best_shift : float64 arrays of these shapes
    density : (p,) float64 array
        Log posterior density at the best pose.
    information : (p, 6, 6) float64 array
        There, with the prior's.
    step : (p, 6) float64 array
        From the best pose to the next one.
    """

    rotation: np.ndarray
    shift: np.ndarray
    best_rotation: np.ndarray
    best_shift: np.ndarray
    density: np.ndarray
    information: np.ndarray
    step: np.ndarray


def begin_ascents(rotations: np.ndarray, shifts: np.ndarray) -> Ascents:
    """Return ascents that begin at `rotations` (p, 3, 3) and `shifts` (p, 3)."""
    count = len(rotations)
    here, best = ([np.array(a, np.float64) for a in (rotations, shifts)] for _ in range(2))
    information = np.tile(np.eye(6), (count, 1, 1))
    return Ascents(here[0], here[1], best[0], best[1], np.full(count, -np.inf), information, np.zeros((count, 6)))
