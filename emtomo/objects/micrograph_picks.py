"""Picks of micrographs from searches whose peaks are kept, and the choice among them made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.picking.choice import Choice, choose_templates
from emtomo.compute.picking.options import TemplateChoice
from emtomo.compute.picking.peaks import Peaks
from emtomo.engine.identity import name_time_size
from emtomo.engine.state import read_json, write_json
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.names import check_identifiers
from emtomo.io.peak_files import digest_of, read_peaks
from emtomo.objects.coordinates_2d import SetOfCoordinates2D, coordinates_2d_frame
from emtomo.wording import count_text

ABOUT, PROBLEM = "search.json", "_problem.json"
SHOWN = 5  # names in a sentence


@dataclass(frozen=True)
class SearchNotes:
    """What a run notes of its search, so that its peaks can be chosen again.

    Attributes
    ----------
    picker : str
        ``log`` or ``template``.
    pixel_size : float
        Å, of the micrographs.
    distance : float
        Å, usual distance between particles.
    angles : list of float
        Degrees, of the templates in turn; empty for blobs.
    threshold, upper : float
        Scores between which the run's own picks lie; `upper` may be infinite.
    micrographs : list of str
    """

    picker: str
    pixel_size: float
    distance: float
    angles: list[float]
    threshold: float
    upper: float
    micrographs: list[str]


@contextmanager
def noting_problem(folder: str | Path, micrograph_id: str) -> Iterator[None]:
    """Note why a micrograph cannot be searched, so that the others go on; what was noted before is forgotten."""
    path = Path(folder) / f"{micrograph_id}{PROBLEM}"
    path.unlink(missing_ok=True)
    try:
        yield
    except EmtomoError as error:
        write_json(path, {"problem": str(error)})


def leave_out_problems(folder: str | Path, micrograph_ids: list[str]) -> tuple[list[str], list[str]]:
    """Return the micrographs that could be searched, and sentences about those that could not.

    Raises
    ------
    EmtomoError
        If none could be searched.
    """
    noted = {name: read_json(Path(folder) / f"{name}{PROBLEM}", {}) for name in micrograph_ids}
    problems = {name: str(what["problem"]) for name, what in noted.items() if "problem" in what}
    if not problems:
        return micrograph_ids, []
    first, problem = next(iter(problems.items()))
    if len(problems) == len(micrograph_ids):
        raise EmtomoError(f"Micrograph {first}: {problem}")
    left_out = (
        f"{count_text(len(problems), 'micrograph')} could not be searched "
        f"({_shorten_list(list(problems))}). {first}: {problem}"
    )
    return [name for name in micrograph_ids if name not in problems], [left_out]


def read_micrograph(path: str) -> np.ndarray:
    """Return the image of a micrograph as float32.

    Raises
    ------
    EmtomoError
        If its file holds several images.
    """
    planes = mrc.open_volume(path)
    if len(planes) != 1:
        raise EmtomoError(f"{path} must hold one image, got {len(planes)}; movies are not picked on.")
    return np.array(planes[0], np.float32)


def write_notes(folder: str | Path, notes: SearchNotes) -> None:
    """Note a search in a run's folder of files."""
    values = {**notes.__dict__, "upper": notes.upper if np.isfinite(notes.upper) else None}
    write_json(Path(folder) / ABOUT, values)


def read_notes(folder: str | Path) -> SearchNotes | None:
    """Return what was noted; None where nothing was, or nothing that can be used."""
    noted = read_json(Path(folder) / ABOUT, {})
    try:
        check_identifiers(noted["micrographs"], "micrograph_id", Path(folder) / ABOUT)
        upper = np.inf if noted["upper"] is None else float(noted["upper"])
        return SearchNotes(
            str(noted["picker"]), float(noted["pixel_size"]), float(noted["distance"]),
            [float(a) for a in noted["angles"]], float(noted["threshold"]), upper,
            [str(name) for name in noted["micrographs"]],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def search_key(row: pd.Series, pixel_size: float, white: bool, what: Any) -> str:
    """Return a digest of all that the search of a micrograph depends on.

    Parameters
    ----------
    row : Series
        Of the micrograph, with ``file`` and the columns of its CTF as far as they count.
    pixel_size : float
    white : bool
    what : plain values
        Options and references.
    """
    values = {name: (None if pd.isna(value) else value) for name, value in row.items() if name != "micrograph_id"}
    return digest_of([values, name_time_size(str(row["file"])), pixel_size, white, what])


def picks_frame(
    micrograph_id: str, peaks: Peaks, diameters: np.ndarray, pixel_size: float, picker: str, angles: list[float]
) -> pd.DataFrame:
    """Return rows of :class:`SetOfCoordinates2D` for peaks of a micrograph."""
    positions = peaks.positions[:, ::-1] * pixel_size
    extra: dict[str, object] = {"diameter": diameters}
    if angles:
        turns = np.asarray(angles)
        extra |= {"template": peaks.templates // len(turns) + 1, "psi": turns[peaks.templates % len(turns)]}
    return coordinates_2d_frame(micrograph_id, positions, score=peaks.scores.astype(float), picker=picker, **extra)


def add_picks(
    out: SetOfCoordinates2D, micrograph_ids: list[str], choice: Choice, sizes: list[np.ndarray], notes: SearchNotes
) -> list[str]:
    """Add what was chosen to a set and return sentences about it.

    Parameters
    ----------
    out : SetOfCoordinates2D
    micrograph_ids : list of str
    choice : Choice
    sizes : list of (n,) arrays
        Å, diameters of all peaks of each micrograph.
    notes : SearchNotes
    """
    empty = []
    for name, peaks, index, known in zip(micrograph_ids, choice.peaks, choice.index, sizes, strict=True):
        if not len(peaks):
            empty.append(name)
        out.extend(picks_frame(name, peaks, known[index], notes.pixel_size, notes.picker, notes.angles))
    total = sum(len(peaks) for peaks in choice.peaks)
    sentences = [
        f"{count_text(total, 'particle')} in {count_text(len(micrograph_ids), 'micrograph')}, "
        f"with scores of at least {choice.threshold:.2f}."
    ]
    if empty:
        sentences.append(f"Nothing was found in {count_text(len(empty), 'micrograph')} ({_shorten_list(empty)}).")
    return sentences


def _shorten_list(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")


def keep_best(choice: Choice, most: int) -> Choice:
    """Return the best of each micrograph, `most` at most; 0 keeps all."""
    if not most:
        return choice
    best = [peaks.take(np.arange(min(most, len(peaks)))) for peaks in choice.peaks]
    return replace(choice, peaks=best, index=[index[:most] for index in choice.index])


def read_all_peaks(folder: str | Path, micrograph_ids: list[str]) -> tuple[list[Peaks], list[np.ndarray]]:
    """Return the peaks of micrographs and their diameters.

    Raises
    ------
    EmtomoError
        If those of a micrograph are not there.
    """
    found = [read_peaks(folder, name) for name in micrograph_ids]
    missing = [name for name, one in zip(micrograph_ids, found, strict=True) if one is None]
    if missing:
        raise EmtomoError(
            f"The peaks of {missing[0]} are not there any more: resume the run that picked, to search what is missing."
        )
    here = [one for one in found if one is not None]
    return [peaks for peaks, _ in here], [sizes for _, sizes in here]


def choose_again(folder: str | Path, options: TemplateChoice, out: SetOfCoordinates2D, most: int = 0) -> list[str]:
    """Add other picks among the peaks of a search to a set and return sentences about them.

    Parameters
    ----------
    folder : path
        Of the files of the run that searched.
    options : TemplateChoice
    out : SetOfCoordinates2D
    most : int
        Of each micrograph; 0 takes all.

    Raises
    ------
    EmtomoError
        If no search is noted in the folder, or peaks are missing.
    """
    notes = read_notes(folder)
    if notes is None:
        raise EmtomoError("These coordinates have no peaks beside them; those of pick-log and match-template-2d have.")
    found, sizes = read_all_peaks(folder, notes.micrographs)
    choice = keep_best(choose_templates(found, notes.pixel_size, notes.distance, options, notes.upper), most)
    return add_picks(out, notes.micrographs, choice, sizes, notes)
