"""Fits that a tenth of gross errors does not spoil."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

Model = TypeVar("Model")
TRIALS = 200
_MAD_TO_SIGMA = 1.4826


def find_inliers(
    points: np.ndarray,
    fit: Callable[[np.ndarray], Model],
    distance: Callable[[Model, np.ndarray], np.ndarray],
    sample: int,
    *,
    seed: int = 0,
    trials: int = TRIALS,
) -> np.ndarray:
    """Return which points belong to the model that most of them agree on.

    Least trimmed squares with random starts: models through `sample` random points
    are improved on the best three quarters of all points; the one with the smallest
    trimmed error decides, and points beyond 4 robust standard deviations are out.

    References
    ----------
    Rousseeuw & Van Driessen, Computing LTS regression for large data sets (2006).
    """
    n = len(points)
    keep = max(sample, int(np.ceil(0.75 * n)))
    if n <= sample:
        return np.ones(n, bool)
    rng = np.random.default_rng(seed)
    best, best_error = None, np.inf
    starts = [np.arange(n)] + [rng.choice(n, sample, replace=False) for _ in range(trials)]
    for chosen in starts:
        for _ in range(3):
            try:
                away = np.abs(distance(fit(points[chosen]), points))
            except (ValueError, np.linalg.LinAlgError):
                break
            chosen = np.argpartition(away, keep - 1)[:keep]
            error = float(np.sum(away[chosen] ** 2))
            if error < best_error:
                best, best_error = away, error
    if best is None:
        return np.ones(n, bool)
    sigma = _MAD_TO_SIGMA * np.median(best)
    return best <= max(4.0 * sigma, 1e-9 + 1e-6 * np.ptp(points))
