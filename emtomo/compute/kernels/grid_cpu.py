"""What a grid of poses gives on the CPU: the best shift of every orientation, and the separate maxima."""

from numba import njit


@njit(nogil=True, cache=True, fastmath=True)
def best_shifts(products, penalty, norms, height, best):
    """Fill `height` and `best` (o) with the largest log likelihood over shifts, and which shift has it.

    Parameters
    ----------
    products : (o, s) array
        Of sections with shifted data.
    penalty : (s,) array
        Taken off every shift.
    norms : (o,) array
        Weighted squares of the sections.
    """
    for o in range(len(products)):
        row = products[o]
        top, at = 2 * row[0] - penalty[0], 0
        for s in range(1, len(row)):
            here = 2 * row[s] - penalty[s]
            if here > top:
                top, at = here, s
        height[o], best[o] = top - norms[o], at


@njit(nogil=True, cache=True)
def separate(order, rotations, near, kept):
    """Fill `kept` with the first of `order` no two of which are near each other; return how many.

    Parameters
    ----------
    order : (m,) int array
        Numbers of orientations, the best first.
    rotations : (o, 9) float64 array
    near : float
        Trace of the rotation between two, from which they are near.
    kept : (most,) int array
    """
    count = 0
    for i in order:
        apart = True
        for k in range(count):
            trace = 0.0
            for j in range(9):
                trace += rotations[i, j] * rotations[kept[k], j]
            if trace >= near:
                apart = False
                break
        if apart:
            kept[count] = i
            count += 1
            if count == len(kept):
                break
    return count
