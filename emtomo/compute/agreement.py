"""How picks agree with places that are known to be true."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class AgreementOptions:
    """When a pick is one of the true places."""

    distance: Annotated[float, Param("Distance", "Between a pick and its true place, at most.", unit="Å", gt=0)] = 80.0


@dataclass(frozen=True)
class Agreement:
    """Picks against truth.

    Attributes
    ----------
    pairs : (n, 2) int array
        Numbers of picks and of their true places; each is in one pair at most.
    picks, truth : int
        How many there are.
    distances : (n,) array
        Of the pairs.
    """

    pairs: np.ndarray
    picks: int
    truth: int
    distances: np.ndarray

    @property
    def precision(self) -> float:
        """Share of the picks that are true; 1 without any."""
        return len(self.pairs) / self.picks if self.picks else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 without any."""
        return len(self.pairs) / self.truth if self.truth else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * len(self.pairs) / (self.picks + self.truth) if self.picks + self.truth else 1.0


def agreement(picks: np.ndarray, truth: np.ndarray, distance: float) -> Agreement:
    """Pair picks with true places, the nearest first, each once.

    Parameters
    ----------
    picks, truth : (n, 3) and (m, 3) arrays
    distance : float
        At most, in their unit.
    """
    from scipy.spatial import cKDTree

    from emtomo.compute.kernels.clusters_cpu import pair_once

    picks, truth = np.asarray(picks, float).reshape(-1, 3), np.asarray(truth, float).reshape(-1, 3)
    if not len(picks) or not len(truth):
        return Agreement(np.zeros((0, 2), int), len(picks), len(truth), np.zeros(0))
    near = cKDTree(picks).sparse_distance_matrix(cKDTree(truth), distance, output_type="ndarray")
    near = near[np.argsort(near["v"], kind="stable")]
    pairs = np.stack([near["i"], near["j"]], axis=1).astype(np.int64)
    chosen = pair_once(pairs, len(picks), len(truth))
    return Agreement(pairs[chosen], len(picks), len(truth), near["v"][chosen])
