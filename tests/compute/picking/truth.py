"""Picks against true centres."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


def compare(found: list[np.ndarray], truth: list[np.ndarray], radius: float) -> tuple[float, float]:
    """Return F1 and the median distance of picks within `radius` of a centre, each paired once, over micrographs."""
    pairs, distances = 0, []
    for picks, centres in zip(found, truth, strict=True):
        if len(picks) and len(centres):
            apart = cdist(picks, centres)
            rows, columns = linear_sum_assignment(np.where(apart <= radius, apart, 1e6))
            near = apart[rows, columns][apart[rows, columns] <= radius]
            pairs += len(near)
            distances.extend(near)
    total = sum(len(p) for p in found) + sum(len(t) for t in truth)
    return 2 * pairs / max(total, 1), float(np.median(distances)) if distances else np.inf
