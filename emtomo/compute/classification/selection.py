"""Which classes are kept, where their particles' centres are, and which particles share a noise spectrum."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.classification.averages import centres_of_mass, move_images, offsets_in_images
from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.options import Param, check_options

FEWEST_IN_GROUP = 10  # particles, below which a noise spectrum is poor
UPPER_QUARTER = 0.25  # of the particles, by the gain of their classes
ROUNDS = 15  # of finding a centre of mass


@dataclass(frozen=True, kw_only=True)
class SelectClassesOptions:
    """Which classes are kept; all criteria must hold."""

    numbers: Annotated[str, Param("Classes", "Class numbers separated by spaces; empty: all.")] = ""
    best: Annotated[int, Param("Best classes", "This many, of the highest score; 0: all.", ge=0)] = 0
    automatic: Annotated[
        bool,
        Param(
            "Automatically select 2D class averages?",
            "By the four fields below: score, resolution, and how many to keep at least.",
        ),
    ] = False
    min_score: Annotated[
        float,
        Param(
            "Minimum threshold for auto-selection",
            "A class's score is its mean log-likelihood gain per particle, times the share of their power above the "
            "noise that the average explains, over the upper quartile of all particles' classes.",
            ge=0,
            le=1,
        ),
    ] = 0.5
    rank_resolution: Annotated[
        float,
        Param(
            "Minimum resolution for auto-selection",
            "Coarser classes are left out. 0: any.",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    least_particles: Annotated[
        int,
        Param("Select at least this many particles", "The next classes by rank, if the rules leave fewer.", ge=0),
    ] = 0
    least_classes: Annotated[
        int,
        Param("OR: select at least this many classes", "The next classes by rank, if the rules leave fewer.", ge=0),
    ] = 0
    min_gain: Annotated[
        float | None, Param("Minimum gain", "Mean log-likelihood gain per particle; empty: any.", expert=True)
    ] = None
    min_particles: Annotated[int, Param("Minimum number of particles", "In a class.", ge=0)] = 1
    min_resolution: Annotated[
        float, Param("Minimum resolution", "Coarser classes are left out. 0: any.", unit="Å", ge=0)
    ] = 0.0
    recenter: Annotated[
        bool,
        Param(
            "Re-center the class averages?",
            "By the centre of mass of white density; the origins of the members move with their average.",
        ),
    ] = True
    regroup: Annotated[
        bool,
        Param("Regroup the particles?", "Join micrographs with few particles into groups for noise and contrast."),
    ] = False
    groups: Annotated[int, Param("Approximate number of groups", "Of about equally many particles.", ge=1)] = 1


def discount_gain(gain: np.ndarray, explained: np.ndarray) -> np.ndarray:
    """Return mean gains times the share of power that averages explain, by which classes are ranked.

    Dense junk has a high gain, as anything with much power has; but no two pieces are alike, and its average explains
    half of that power at most. Where the share is not known (nan), it counts as 1.
    """
    return np.asarray(gain * np.where(np.isfinite(explained), explained, 1.0))


def rank_classes(gain: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return class indices, the one with the highest gain first; those without members last."""
    return np.lexsort((-members, -np.where(np.isfinite(gain) & (members > 0), gain, -np.inf)))


def class_scores(gain: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return scores 0 to 1: gains over that of the class in which the best quarter of the particles ends.

    The best class alone is no measure: small compact views and large ones gain unequally.
    """
    known = np.where(np.isfinite(gain) & (members > 0), gain, 0.0)
    order = np.argsort(-known, kind="stable")
    before = np.cumsum(members[order])
    if not before[-1]:
        return np.zeros(len(gain))
    good = known[order[np.searchsorted(before, UPPER_QUARTER * before[-1])]]
    return np.clip(known / good, 0, 1) if good > 0 else np.zeros(len(gain))


def choose_classes(
    options: SelectClassesOptions,
    gain: np.ndarray,
    members: np.ndarray,
    resolution: np.ndarray,
    chosen: np.ndarray | None = None,
    explained: np.ndarray | None = None,
) -> np.ndarray:
    """Return which classes are kept.

    Parameters
    ----------
    options : SelectClassesOptions
    gain, members, resolution : (K,) arrays
        Mean gain per particle, particles, Å; nan where unknown, which no limit keeps out.
    chosen : (K,) bool array, optional
        Those picked by hand or by number; all by default.
    explained : (K,) array, optional
        Share of its members' power above the noise that each average explains; all by default.
    """
    check_options(options)
    keep = np.ones(len(gain), bool) if chosen is None else chosen.copy()
    if options.min_gain is not None:
        keep &= ~(gain < options.min_gain)
    keep &= members >= options.min_particles
    if options.min_resolution:
        keep &= ~(resolution > options.min_resolution)
    rank = gain if explained is None else discount_gain(gain, explained)
    order = rank_classes(rank, members)
    if options.automatic:
        wanted = class_scores(rank, members) >= options.min_score
        if options.rank_resolution:
            wanted &= ~(resolution > options.rank_resolution)
        for k in order:
            enough = (wanted & keep).sum() >= options.least_classes
            enough &= members[wanted & keep].sum() >= options.least_particles
            if enough:
                break
            wanted[k] = True
        keep &= wanted
    if options.best:
        ranked = [k for k in order if keep[k]][: options.best]
        keep = np.isin(np.arange(len(gain)), ranked)
    return keep


def recenter_averages(averages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return averages (K, n, n) with their white density in the middle, and where it was (K, 2; x, y pixels)."""
    plane = HalfPlane(averages.shape[-1])
    half = averages.shape[-1] / 2
    total = np.zeros((len(averages), 2))
    mean = averages.mean((1, 2), keepdims=True)
    moved = averages
    for _ in range(ROUNDS):
        total = np.clip(total + centres_of_mass(moved, half), -half, half)
        moved = np.asarray(move_images(plane, averages, -total) + mean, np.float32)
    return moved, total


def move_members(centre: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Return by how much members' centres move (m, 2; x, y) when their averages' centres lie at `centre` (m, 2).

    Parameters
    ----------
    centre : (m, 2) array
        In the average.
    psi : (m,) array
        Degrees by which the average is turned into the particle, from x towards y.
    """
    return offsets_in_images(centre, -psi)


def regroup(micrograph: np.ndarray, key: np.ndarray, groups: int) -> np.ndarray:
    """Return a group (from 1) for every particle: whole micrographs with alike keys, about equally many particles each.

    Parameters
    ----------
    micrograph : (p,) int array
    key : (p,) array
        By which micrographs are put in order: defocus, for one; nan comes last.
    groups : int
        At most so many; a micrograph is never parted.
    """
    names, inverse, counts = np.unique(micrograph, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, key) / counts
    order = np.argsort(mean, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    share = np.minimum((middle * groups / len(micrograph)).astype(int), groups - 1)
    numbers = np.empty(len(names), int)
    numbers[order] = np.unique(share, return_inverse=True)[1] + 1
    return numbers[inverse]
