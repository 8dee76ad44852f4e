"""Evenly spaced points on surfaces."""

import numpy as np

from emtomo.compute.positions import check_finite
from emtomo.errors import ModelError

MAX_CELLS = 30_000_000
# candidates lie this many times closer than the spacing; the front then packs points at
# distances from one to (1 + 1/FINENESS) times the smallest allowed one
FINENESS = 4.0
CLOSEST = 0.94
MOST_POSITIONS = 1_000_000  # of one model


def check_number(area: float, spacing: float) -> None:
    """Refuse a spacing at which a surface would hold more positions than anybody means.

    Raises
    ------
    ModelError
    """
    number = area / (0.87 * spacing**2) if spacing > 0 else np.inf
    if not number <= MOST_POSITIONS:
        raise ModelError(
            f"The surface would hold {number:.2g} positions {spacing:.3g} apart, more than {MOST_POSITIONS:,}; "
            "enlarge the cropping parameter, or check the points."
        )


def evenly_spaced(candidates: np.ndarray, spacing: float) -> np.ndarray:
    """Return indices of candidates whose distances to their nearest neighbours are about `spacing`.

    Candidates are visited in the given order. If the order sweeps over the
    surface, each chosen point touches those chosen before, and the packing is
    close to hexagonal with all distances from 0.94 to about 1.1 spacings.

    Parameters
    ----------
    candidates : (n, 3) array
        Dense points on the surface, about ``spacing / FINENESS`` apart, ordered by a sweep.
    spacing : float
        Wanted distance between neighbours, in the unit of the candidates.

    Returns
    -------
    (m,) int array

    Raises
    ------
    EmtomoError
        If a candidate is no finite number, or the spacing not above 0.
    """
    from emtomo.compute.kernels.spacing_cpu import keep_distance

    points = np.ascontiguousarray(candidates, float)
    if len(points) == 0:
        return np.empty(0, int)
    check_finite(points, "Candidate")
    if not spacing > 0:
        raise ModelError(f"The distance between neighbours must be above 0, got {spacing:g}.")
    closest = CLOSEST * spacing
    low = points.min(axis=0)
    extent = points.max(axis=0) - low
    width = closest
    while np.prod(np.floor(extent / width) + 1) > MAX_CELLS:
        width *= 1.5
    cells = ((points - low) / width).astype(np.int32)
    shape = tuple(int(n) + 1 for n in cells.max(axis=0))
    head = np.full(shape, -1, np.int32)
    follow = np.full(len(points), -1, np.int32)
    kept = np.zeros(len(points), bool)
    keep_distance(points, cells, head, follow, closest**2, kept)
    return np.flatnonzero(kept)
