"""Join pairs of picks into particles, or pair them once each."""

import numpy as np
from numba import njit


@njit(cache=True)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def join_pairs(positions, pairs, radius):
    """Join `pairs` in order while the centres of the two sides lie within `radius`; return labels."""
    n = positions.shape[0]
    parent = np.arange(n)
    centre, size = positions.copy(), np.ones(n)
    for k in range(pairs.shape[0]):
        a, b = _root(parent, pairs[k, 0]), _root(parent, pairs[k, 1])
        if a == b:
            continue
        d2 = 0.0
        for c in range(3):
            d2 += (centre[a, c] - centre[b, c]) ** 2
        if d2 > radius * radius:
            continue
        if b < a:
            a, b = b, a
        for c in range(3):
            centre[a, c] = (size[a] * centre[a, c] + size[b] * centre[b, c]) / (size[a] + size[b])
        size[a] += size[b]
        parent[b] = a
    for i in range(n):
        parent[i] = _root(parent, i)
    return parent


@njit(cache=True)
def pair_once(pairs, first, second):
    """Return which `pairs`, in order, are between two that no earlier chosen pair has taken.

    The sides are numbered from 0 to below `first` and `second`.
    """
    taken_first, taken_second = np.zeros(first, np.bool_), np.zeros(second, np.bool_)
    chosen = np.zeros(pairs.shape[0], np.bool_)
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        if not taken_first[i] and not taken_second[j]:
            taken_first[i] = taken_second[j] = chosen[k] = True
    return chosen
