"""Blobs as templates: discs, ellipses and rings of a range of diameters."""

import numpy as np

from emtomo.errors import EmtomoError

SOFTNESS = 12.0  # of edges: they fall over about 4 / SOFTNESS radii
SURROUNDING = 1.45  # outer radius of the surrounding ring, in radii of the blob
HOLE = 0.6  # inner radius of a ring, in its outer one
ELONGATED = 1.15  # ratio of diameters above which ellipses are tried
LEAST_RANGE = 0.12  # of the mean diameter, to either side: particles of one diameter vary as much in projection
TURNS = 12  # orientations of an ellipse


def draw_blobs(
    pixel_size: float, min_diameter: float, max_diameter: float, shapes: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return blobs, each minus the ring around it of the same mass, and their diameters.

    Discs have both diameters and their mean, ellipses the axes `max_diameter` and `min_diameter` in `TURNS`
    orientations, rings the outer diameters of the discs and a hole of `HOLE` of it. Diameters nearer to each other than
    `LEAST_RANGE` allows are moved apart.

    Parameters
    ----------
    pixel_size, min_diameter, max_diameter : float
        Å.
    shapes : {"disc", "disc and ellipse", "ring", "all"}

    Returns
    -------
    blobs : (n, m, m) float32 array
        Centred on pixel ``m // 2``, with mean 0.
    diameters : (n,) array
        Å; of an ellipse the mean of both.

    Raises
    ------
    EmtomoError
        If the diameters are the wrong way round or smaller than two pixels.
    """
    low, high = min_diameter, max_diameter
    if low > high:
        raise EmtomoError(f"The minimum diameter ({low:g} Å) must not be above the maximum ({high:g} Å).")
    if low < 2 * pixel_size:
        raise EmtomoError(
            f"Particles of {low:g} Å are smaller than two pixels of the search ({pixel_size:.3g} Å each): lower the "
            "maximum resolution or the shrink factor."
        )
    mean = (low + high) / 2
    low, high = min(low, mean * (1 - LEAST_RANGE)), max(high, mean * (1 + LEAST_RANGE))
    size = 2 * int(np.ceil(0.9 * high / pixel_size))
    at = (np.indices((size, size)) - size // 2) * pixel_size
    round_ones = [low, mean, high]
    blobs, diameters = [], []
    if shapes != "ring":
        blobs += [_blob(_radius(at, d, d)) for d in round_ones]
        diameters += round_ones
    if shapes in ("disc and ellipse", "all") and high > ELONGATED * low:
        blobs += [_blob(_radius(at, high, low, np.pi * turn / TURNS)) for turn in range(TURNS)]
        diameters += [mean] * TURNS
    if shapes in ("ring", "all"):
        blobs += [_ring(_radius(at, d, d)) for d in round_ones]
        diameters += round_ones
    return np.array(blobs, np.float32), np.array(diameters)


def _radius(at: np.ndarray, along: float, across: float, angle: float = 0.0) -> np.ndarray:
    """Return the distance from the centre, 1 on an ellipse of the diameters `along` and `across` (Å)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    y, x = at
    return np.hypot((cosine * x + sine * y) * 2 / along, (cosine * y - sine * x) * 2 / across)


def _within(radius: np.ndarray, limit: float) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip((radius - limit) * SOFTNESS, -60, 60)))


def _blob(radius: np.ndarray) -> np.ndarray:
    inner = _within(radius, 1)
    around = _within(radius, SURROUNDING) - inner
    return inner / inner.sum() - around / around.sum()


def _ring(radius: np.ndarray) -> np.ndarray:
    outer = _within(radius, 1)
    hole = _within(radius, HOLE)
    around = _within(radius, SURROUNDING) - outer
    wall = outer - hole
    empty = hole + around
    return wall / wall.sum() - empty / empty.sum()
