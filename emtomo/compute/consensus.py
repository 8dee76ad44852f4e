"""Agreement between sets of picked positions."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.positions import check_finite
from emtomo.compute.rotations import angle_between, mean_rotations
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options


@dataclass(frozen=True, kw_only=True)
class ConsensusOptions:
    """When picks of several pickers are one particle."""

    radius: Annotated[
        float,
        Param(
            "Radius",
            "Picks closer than this to their common centre are one particle; in voxels of the first set.",
            unit="voxel",
            gt=0,
        ),
    ] = 10.0
    votes: Annotated[
        int,
        Param("Consensus", "Pickers that must have found the particle: -1 all of them, 1 any, or a number.", ge=-1),
    ] = -1
    mode: Annotated[
        str, Param("Consensus mode", "At least or exactly that many votes.", choices=(">=", "="), expert=True)
    ] = ">="
    max_angle: Annotated[
        float | None,
        Param(
            "Maximum angle",
            "Picks whose orientations differ more are not one particle. Empty: orientations do not matter.",
            unit="°",
            gt=0,
            le=180,
            expert=True,
        ),
    ] = None


@dataclass(frozen=True)
class Consensus:
    """Particles that pickers agree on.

    Attributes
    ----------
    positions : (n, 3) array
        Mean of the pickers' positions, every picker once.
    rotations : (n, 3, 3) array
        Mean orientation; NaN where no picker gave one.
    votes : (n,) int array
    best : (n,) int array
        Index of the pick with the highest score.
    """

    positions: np.ndarray
    rotations: np.ndarray
    votes: np.ndarray
    best: np.ndarray


def consensus(
    positions: np.ndarray,
    picker: np.ndarray,
    options: ConsensusOptions,
    *,
    pickers: int,
    rotations: np.ndarray | None = None,
    score: np.ndarray | None = None,
) -> Consensus:
    """Return the particles that enough pickers found, whatever the order of picks and pickers.

    Pairs of picks are merged from the closest to the farthest, as long as the
    centres of what is merged lie within the radius. A picker has one vote however
    many of its picks are merged. With one picker this removes duplicates.

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z in the unit of the radius.
    picker : (n,) int array
        0 .. pickers - 1.
    options : ConsensusOptions
    pickers : int
        Number of pickers, those that found nothing included.
    rotations : (n, 3, 3) array, optional
        NaN where unknown.
    score : (n,) array, optional

    Raises
    ------
    EmtomoError
        If an option is out of bounds, shapes disagree, a position is no finite number, or more votes are asked for than
        there are pickers.
    """
    check_options(options)
    positions = np.asarray(positions, float).reshape(-1, 3)
    picker = np.asarray(picker, np.int64)
    n = len(positions)
    if picker.shape != (n,):
        raise EmtomoError(f"picker must be ({n},), got {picker.shape}.")
    check_finite(positions)
    wanted = pickers if options.votes == -1 else options.votes
    if not 1 <= wanted <= pickers:
        raise EmtomoError(f"Consensus asks for {options.votes} votes, but there are {pickers} sets of picks.")
    rotations = np.full((n, 3, 3), np.nan) if rotations is None else np.asarray(rotations, float)
    score = np.zeros(n) if score is None else np.asarray(score, float)
    label = _join(positions, rotations, options)
    return _summarise(positions, rotations, score, picker, label, wanted, exactly=options.mode == "=")


def _join(positions: np.ndarray, rotations: np.ndarray, options: ConsensusOptions) -> np.ndarray:
    """Return the number of the particle that each pick belongs to."""
    from scipy.spatial import cKDTree

    from emtomo.compute.kernels.clusters_cpu import join_pairs

    if len(positions) == 0:
        return np.empty(0, np.int64)
    pairs = cKDTree(positions).query_pairs(options.radius, output_type="ndarray").astype(np.int64)
    if options.max_angle is not None:
        known = ~np.isnan(rotations[:, 0, 0])
        both = known[pairs[:, 0]] & known[pairs[:, 1]]
        angle = angle_between(rotations[pairs[:, 0]], rotations[pairs[:, 1]])
        pairs = pairs[~both | (angle <= options.max_angle)]
    distance = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return join_pairs(positions, pairs[np.argsort(distance, kind="stable")], options.radius)


def _summarise(
    positions: np.ndarray,
    rotations: np.ndarray,
    score: np.ndarray,
    picker: np.ndarray,
    label: np.ndarray,
    wanted: int,
    *,
    exactly: bool,
) -> Consensus:
    if len(label) == 0:
        empty = np.empty(0, np.int64)
        return Consensus(positions, rotations, empty, empty)
    _, particle = np.unique(label, return_inverse=True)
    n, pickers = int(particle.max()) + 1, int(picker.max()) + 1
    both, place, count = np.unique(particle * pickers + picker, return_inverse=True, return_counts=True)
    votes = np.bincount(both // pickers, minlength=n)
    weight = 1.0 / (count[place] * votes[particle])  # every picker once
    mean = np.stack([np.bincount(particle, weight * positions[:, k], n) for k in range(3)], axis=1)
    order = np.lexsort((positions[:, 2], positions[:, 1], positions[:, 0], -score, particle))
    best = order[np.r_[True, np.diff(particle[order]) > 0]]
    turned = rotations[best].copy()
    several = np.bincount(particle, minlength=n)[particle] > 1  # one pick is its own mean
    known = np.flatnonzero(several & ~np.isnan(rotations[:, 0, 0]))
    if len(known):
        present, means = mean_rotations(rotations[known], particle[known], weight[known])
        turned[present] = means
    enough = votes == wanted if exactly else votes >= wanted
    return Consensus(mean[enough], turned[enough], votes[enough], best[enough])
