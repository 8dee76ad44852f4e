"""Kernel of template picking on the CPU: the best of many scores."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def keep_best(scores, best, which):
    """``best[p] = max over t of scores[t, p]``, and `which` t it was; the first of equals."""
    for p in range(len(best)):
        best[p] = scores[0, p]
        which[p] = 0
    for t in range(1, len(scores)):
        number = np.int32(t)
        for p in range(len(best)):  # without a branch, so that it becomes vector instructions
            value = scores[t, p]
            more = value > best[p]
            best[p] = value if more else best[p]
            which[p] = number if more else which[p]
