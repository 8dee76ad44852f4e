"""Choose a part of a set."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options
from emtomo.wording import count_text


@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """Which items are chosen; all criteria must hold."""

    number: Annotated[
        int, Param("Number", "Items drawn at random from those that fulfil the rest; 0 takes all.", ge=0)
    ] = 0
    seed: Annotated[int, Param("Seed", "Of the random choice.", ge=0)] = 1
    first: Annotated[
        int, Param("First N rows", "The first of the set's items; 0 takes all. Counted before the rest.", ge=0)
    ] = 0
    names: Annotated[
        str,
        Param("Names", "Items of these micrographs or tomograms, separated by commas; empty takes all."),
    ] = ""
    groups: Annotated[str, Param("Groups", "Group numbers separated by spaces; empty takes all.")] = ""
    classes: Annotated[str, Param("Classes", "Class numbers separated by spaces; empty takes all.")] = ""
    min_score: Annotated[float | None, Param("Minimum score", "Items below it are left out.")] = None


def whole_numbers(text: str, what: str) -> list[int]:
    """Return the whole numbers in `text`, separated by spaces or commas.

    Raises
    ------
    EmtomoError
        If there is anything else.
    """
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise EmtomoError(f"{what} must be whole numbers separated by spaces, got {text!r}.") from None


def _named(name: np.ndarray | None, text: str) -> np.ndarray:
    """Return which items are of the micrographs or tomograms in `text`, separated by commas."""
    if name is None:
        raise EmtomoError("Names are given, but these items belong to no micrograph or tomogram.")
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    known = set(name.tolist())
    missing = [one for one in wanted if one not in known]
    if missing:
        raise EmtomoError(
            f"There is no {', '.join(missing)} among the names of the set, e.g. {min(known, default='')}."
        )
    return np.isin(name, wanted)


def choose(
    n: int,
    options: SubsetOptions,
    *,
    group: np.ndarray | None = None,
    class_number: np.ndarray | None = None,
    score: np.ndarray | None = None,
    name: np.ndarray | None = None,
    left_out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the indices, ascending, of the items chosen from `n`.

    A criterion on a column that the items have not is an error. `left_out` are indices of items that are never chosen;
    `name` is the micrograph or tomogram of each.
    """
    check_options(options)
    keep = np.ones(n, bool)
    if options.first:
        if options.first > n:
            raise EmtomoError(
                f"The first {count_text(options.first, 'item is', 'items are')} asked for, but there are {n}."
            )
        keep[options.first :] = False
    if options.names.strip():
        keep &= _named(name, options.names)
    if left_out is not None:
        keep[left_out] = False
    for text, column, what in ((options.groups, group, "Groups"), (options.classes, class_number, "Classes")):
        if text.strip():
            if column is None:
                raise EmtomoError(f"{what} are given, but these items have none.")
            keep &= np.isin(column, whole_numbers(text, what))
    if options.min_score is not None:
        if score is None:
            raise EmtomoError("A minimum score is given, but these items have no score.")
        keep &= np.asarray(score, float) >= options.min_score
    chosen = np.flatnonzero(keep)
    if options.number:
        if options.number > len(chosen):
            raise EmtomoError(
                f"{count_text(options.number, 'item is', 'items are')} "
                f"asked for, but only {len(chosen)} fulfil the rest."
            )
        chosen = np.sort(np.random.default_rng(options.seed).choice(chosen, options.number, replace=False))
    return chosen
