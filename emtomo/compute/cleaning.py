"""Remove duplicates and particles that do not fit their neighbours."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.geometry.spacing import CLOSEST, evenly_spaced
from emtomo.compute.positions import check_finite
from emtomo.compute.rotations import angle_of_vectors
from emtomo.options import Param, check_options


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which particles stay; lengths in Å."""

    min_distance: Annotated[
        float,
        Param(
            "Minimum distance",
            "Of two particles closer than this the one with the better score stays; 0 switches it off.",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    neighbours: Annotated[
        int,
        Param("Neighbours", "A particle with fewer neighbours is dropped; 0 switches it off.", ge=0),
    ] = 0
    neighbour_distance: Annotated[
        float, Param("Neighbour distance", "Particles up to this far are neighbours.", unit="Å", gt=0)
    ] = 100.0
    neighbour_angle: Annotated[
        float | None,
        Param(
            "Neighbour angle",
            "Only those count whose z axes differ by at most this. Empty: all count.",
            unit="°",
            gt=0,
            le=180,
        ),
    ] = None
    max_normal_angle: Annotated[
        float | None,
        Param(
            "Maximum normal angle",
            "A particle whose z axis differs more from the mean of its neighbours' is dropped. Empty: none is.",
            unit="°",
            gt=0,
            le=180,
        ),
    ] = None


def clean(positions: np.ndarray, rotations: np.ndarray | None, score: np.ndarray, options: CleanOptions) -> np.ndarray:
    """Return which particles of one tomogram stay.

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z in Å.
    rotations : (n, 3, 3) array or None
        Needed by the angle criteria; particles without orientation (NaN) fail them.
    score : (n,) array
        Larger is better; equal scores are decided by position, not by order.
    options : CleanOptions

    Returns
    -------
    (n,) bool array

    Raises
    ------
    EmtomoError
        If an option is out of bounds, or a position is no finite number.
    """
    check_options(options)
    positions = np.asarray(positions, float).reshape(-1, 3)
    check_finite(positions)
    keep = np.ones(len(positions), bool)
    if options.min_distance > 0 and len(positions):
        order = np.lexsort((positions[:, 2], positions[:, 1], positions[:, 0], -np.asarray(score, float)))
        keep[:] = False
        keep[order[evenly_spaced(positions[order], options.min_distance / CLOSEST)]] = True
    needs_neighbours = options.neighbours > 0 or options.max_normal_angle is not None
    if needs_neighbours and keep.any():
        chosen = np.flatnonzero(keep)
        normals = None if rotations is None else np.asarray(rotations, float)[chosen, :, 2]
        keep[chosen] = _fits_neighbours(positions[chosen], normals, options)
    return keep


def _fits_neighbours(positions: np.ndarray, normals: np.ndarray | None, options: CleanOptions) -> np.ndarray:
    from scipy.spatial import cKDTree

    n = len(positions)
    pairs = cKDTree(positions).query_pairs(options.neighbour_distance, output_type="ndarray")
    a, b = np.concatenate([pairs, pairs[:, ::-1]]).T if len(pairs) else (np.empty(0, int), np.empty(0, int))
    normals = np.full((n, 3), np.nan) if normals is None else normals
    known = ~np.isnan(normals[:, 0])
    if options.neighbour_angle is not None:
        alike = known[a] & known[b]
        alike[alike] = angle_of_vectors(normals[a[alike]], normals[b[alike]]) <= options.neighbour_angle
        a, b = a[alike], b[alike]
    fits = np.bincount(a, minlength=n) >= options.neighbours
    if options.max_normal_angle is not None:
        oriented = known[b]
        mean = np.stack([np.bincount(a[oriented], normals[b[oriented], k], n) for k in range(3)], axis=1)
        judged = known & (np.linalg.norm(mean, axis=1) > 0)
        agrees = np.zeros(n, bool)
        agrees[judged] = angle_of_vectors(normals[judged], mean[judged]) <= options.max_normal_angle
        fits &= agrees
    return fits
