"""Choose points that keep a distance: each candidate in turn, if none chosen is near."""

from numba import njit


@njit(cache=True)
def _near(p, i, cells, head, follow, shape, r2):
    """Return whether a chosen point lies within the distance of candidate `i`."""
    cz, cy, cx = cells[i, 0], cells[i, 1], cells[i, 2]
    for z in range(max(cz - 1, 0), min(cz + 2, shape[0])):
        for y in range(max(cy - 1, 0), min(cy + 2, shape[1])):
            for x in range(max(cx - 1, 0), min(cx + 2, shape[2])):
                j = head[z, y, x]
                while j >= 0:
                    a, b, c = p[i, 0] - p[j, 0], p[i, 1] - p[j, 1], p[i, 2] - p[j, 2]
                    if a * a + b * b + c * c < r2:
                        return True
                    j = follow[j]
    return False


@njit(cache=True)
def keep_distance(p, cells, head, follow, r2, kept):
    """Mark in `kept` the candidates that are chosen, in order; cells are at least the distance wide."""
    shape = head.shape
    for i in range(p.shape[0]):
        if not _near(p, i, cells, head, follow, shape, r2):
            kept[i] = True
            follow[i] = head[cells[i, 0], cells[i, 1], cells[i, 2]]
            head[cells[i, 0], cells[i, 1], cells[i, 2]] = i
