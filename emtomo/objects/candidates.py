"""All that a search found, kept beside its output, so that the choice can be made again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from emtomo.compute.convnet.apply import select_maxima
from emtomo.compute.matching.match import select_candidates
from emtomo.compute.matching.options import PeakOptions
from emtomo.compute.matching.peaks import Candidates
from emtomo.compute.matching.template import cut_for
from emtomo.errors import EmtomoError, one_line
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.rotation import positions_of, rotations_of
from emtomo.objects.stored import read_stored, reading_stored


def keep_candidates(folder: str | Path, tomogram_id: str, frame: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write all candidates of a tomogram.

    Parameters
    ----------
    folder : path
    tomogram_id : str
    frame : DataFrame
        Rows of :class:`SetOfCoordinates3D`, the best first.
    about : dict
        Of matching: ``cells``, the size of the search; ``radius`` of the particle in Å; ``sentences`` for the user.
        Of a network: ``threshold`` that was taken; ``lowest`` answer that is kept; ``radius``, the distance in Å.
    """
    SetOfCoordinates3D.save(str(Path(folder) / f"{tomogram_id}.sqlite"), frame)
    path = Path(folder) / f"{tomogram_id}.candidates.json"
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(about), encoding="utf8")
    part.replace(path)


def has_candidates(folder: str | Path) -> bool:
    """Return whether a search kept its candidates in a folder."""
    return any(Path(folder).glob("*.candidates.json"))


def has_network_candidates(folder: str | Path) -> bool:
    """Return whether the candidates in a folder are maxima of a network's answer, which a threshold cuts."""
    files = Path(folder).glob("*.candidates.json")
    return any("threshold" in read_stored(path) for path in files)


def _read_about(folder: str | Path, tomogram_id: str, numbers: tuple[str, ...]) -> dict[str, Any]:
    """Return what :func:`keep_candidates` wrote about a tomogram; `numbers` must be in it."""
    path = Path(folder) / f"{tomogram_id}.candidates.json"
    about = read_stored(path)
    with reading_stored(path):
        said = [one_line(line) for line in about.get("sentences", [])]
        return {**about, **{name: float(about[name]) for name in numbers}, "sentences": said}


def choose_above(
    folder: str | Path, tomogram_ids: Iterable[str], threshold: float, options: Any, out: SetOfCoordinates3D, group: int
) -> list[str]:
    """Add the maxima of a network's answer above a threshold to a set and return sentences about them.

    Parameters
    ----------
    folder : path
    tomogram_ids : iterable of str
    threshold : float
        Answer from 0 to about 1.
    options : ApplyOptions or PeakOptions
        ``min_distance`` in Å and ``number_of_particles``.
    out : SetOfCoordinates3D
    group : int

    Raises
    ------
    EmtomoError
        If the threshold is below the faintest maxima that were kept, or a tomogram's candidates are not there.
    """
    empty = []
    for name in tomogram_ids:
        about = _read_about(folder, name, ("lowest", "radius"))
        if threshold < about["lowest"]:
            raise EmtomoError(
                f"Maxima of the network's answer below {about['lowest']:g} were not kept; the threshold must be at "
                f"least that, got {threshold:g}."
            )
        frame = SetOfCoordinates3D.open(str(Path(folder) / f"{name}.sqlite")).frame()
        distance = options.min_distance or about["radius"]
        scores = frame["score"].to_numpy(float)
        index = select_maxima(positions_of(frame), scores, threshold, distance, options.number_of_particles)
        if len(index) == 0:
            empty.append(f"{name} (best answer {scores.max():.2f})" if len(scores) else name)
        out.extend(frame.iloc[index].assign(group=group).reset_index(drop=True))
    return [f"Nothing was found in {', '.join(empty)}: lower the threshold or add references."] if empty else []


def choose(
    folder: str | Path, tomogram_ids: Iterable[str], options: PeakOptions, out: SetOfCoordinates3D, group: int
) -> list[str]:
    """Add the candidates that are particles to a set and return sentences about them.

    Raises
    ------
    EmtomoError
        If a tomogram's candidates are not there.
    """
    sentences: list[str] = []
    empty = []
    cuts = []
    for name in tomogram_ids:
        about = _read_about(folder, name, ("cells", "radius"))
        frame = SetOfCoordinates3D.open(str(Path(folder) / f"{name}.sqlite")).frame()
        places = Candidates(positions_of(frame), rotations_of(frame), frame["score"].to_numpy(float))
        index = select_candidates(places, about["cells"], options.min_distance or about["radius"], options)
        sentences += [line for line in about["sentences"] if line not in sentences]
        if options.false_alarms:
            cuts.append(cut_for(options.false_alarms, about["cells"]))
        if len(index) == 0:
            best = f" (best score {frame['score'].max():.1f})" if len(frame) else ""
            empty.append(f"{name}{best}")
        out.extend(frame.iloc[index].assign(group=group).reset_index(drop=True))
    if cuts:
        sentences.append(
            f"Threshold at {min(cuts):.2f} to {max(cuts):.2f} standard deviations: {options.false_alarms:g} false "
            "alarms of pure noise a tomogram."
        )
    if empty:
        sentences.append(
            f"Nothing was found in {', '.join(empty)}: check reference, contrast, mask; or allow more false alarms."
        )
    return sentences
