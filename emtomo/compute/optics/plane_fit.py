"""Fit how the specimen's plane is inclined in the tomogram, from the defocus across all images of a tilt series."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.optics.ring_fit import RingFit
from emtomo.compute.optics.tile_rings import TileRings, incline, section_slope
from emtomo.compute.tilt.geometry import TiltGeometry

COARSE = 4.0  # degrees between planes that are tried first
FINEST = 0.05  # degrees between those that are tried last
HEIGHT_STEP = 10.0  # Å between heights whose phases are tabulated
STEEPEST = 20.0  # Å of height for each Å along an image; see section_slope
LEAST_PLANE = 5.0  # standard deviations, below which a plane is no better than the tomogram's own
CURVED = 3.0  # degrees over which the curvature of the log-likelihood is taken: noise makes it steep about its maximum


@dataclass(frozen=True)
class SpecimenPlane:
    """How the specimen lies in the tomogram.

    Attributes
    ----------
    angles : (2,) array
        Degrees about x and y, see :func:`incline`; 0 where the plane is not certain.
    errors : (2,) array
        Their standard deviations in degrees, from the curvature of the log-likelihood; NaN where it has no maximum.
    certainty : float
        Standard deviations by which it fits better than the tomogram's xy plane.
    """

    angles: np.ndarray
    errors: np.ndarray
    certainty: float

    @property
    def is_certain(self) -> bool:
        """Whether it fits clearly better than the tomogram's xy plane."""
        return self.certainty >= LEAST_PLANE


def fit_plane(tiles: TileRings, fit: RingFit, geometry: TiltGeometry, largest: float) -> SpecimenPlane:
    """Return the plane of the specimen with which the rings of all tiles fit best.

    Tiles keep the defocus that their tilt has at the tomogram's centre; the plane decides what their height adds. Half
    the square of a tilt's score is the logarithm of its likelihood, as in the search for the defocus.

    Parameters
    ----------
    tiles : TileRings
    fit : RingFit
        Of all tilts, for the tomogram's xy plane.
    geometry : TiltGeometry
    largest : float
        Degrees by which the plane may be inclined about either axis.

    References
    ----------
    Tegunov & Cramer, Nat. Methods 16 (2019), where both angles are fitted together with the defocus of all tilts.
    """
    filters, middles = fit.score_filters()
    rings = zip(tiles.rings, filters, strict=True)
    profiles = [np.einsum("mak,ak->mk", r, f).conj().astype(np.complex64) / len(r) for r, f in rings]
    most = int(STEEPEST * max(float(np.hypot(*p.T).max()) for p in tiles.places) / HEIGHT_STEP) + 1
    steps = fit.hand * HEIGHT_STEP * np.arange(-most, most + 1)
    phases = np.exp(1j * steps[:, None] * tiles.phase_of_height).astype(np.complex64)

    def likelihood(plane: np.ndarray) -> float:
        """Return its logarithm, up to a constant."""
        inclined, total = incline(geometry, plane), 0.0
        for i, t in enumerate(tiles.tilts.tolist()):
            level = np.rint(tiles.places[i] @ section_slope(inclined, t) / HEIGHT_STEP).astype(int)
            score = float(np.vdot(profiles[i], phases[level + most]).real) - middles[i]
            total += 0.5 * max(score, 0.0) ** 2
        return total

    flat = likelihood(np.zeros(2))
    best, highest = _search(likelihood, largest)
    certainty = float(np.sqrt(max(0.0, 2 * (highest - flat))))
    certain = certainty >= LEAST_PLANE
    return SpecimenPlane(best if certain else np.zeros(2), _errors(likelihood, best), certainty)


def _search(likelihood: Callable[[np.ndarray], float], largest: float) -> tuple[np.ndarray, float]:
    """Return the most likely plane, from a grid of all that becomes finer about the best one."""
    best, width, count = np.zeros(2), largest, 2 * int(np.ceil(largest / COARSE)) + 1
    highest = -np.inf
    while True:
        line = np.linspace(-width, width, count)
        tried = best + np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
        tried = tried[(np.abs(tried) <= largest + 1e-9).all(axis=1)]
        found = [likelihood(plane) for plane in tried]
        k = int(np.argmax(found))
        if found[k] > highest:
            best, highest = tried[k], found[k]
        width, count = float(line[1] - line[0]), 5
        if width <= FINEST:
            return best, highest


def _errors(likelihood: Callable[[np.ndarray], float], best: np.ndarray) -> np.ndarray:
    """Return (2,) standard deviations of both angles, from differences of the log-likelihood about its maximum."""
    x, y = CURVED * np.eye(2)
    middle = 2 * likelihood(best)
    xx, yy = (likelihood(best + d) + likelihood(best - d) - middle for d in (x, y))
    xy = (likelihood(best + x + y) + likelihood(best - x - y) - likelihood(best + x - y) - likelihood(best - x + y)) / 4
    information = -np.array([[xx, xy], [xy, yy]]) / CURVED**2
    if np.linalg.eigvalsh(information)[0] <= 0:
        return np.full(2, np.nan)
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))
