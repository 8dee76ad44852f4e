"""All that a search found, kept beside its output, so that the choice can be made again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from emtomo.compute.matching.match import select_candidates
from emtomo.compute.matching.options import PeakOptions
from emtomo.compute.matching.peaks import Candidates
from emtomo.compute.matching.template import cut_for
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.rotation import positions_of, rotations_of


def keep_candidates(folder: str | Path, tomogram_id: str, frame: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write all candidates of a tomogram.

    Parameters
    ----------
    folder : path
    tomogram_id : str
    frame : DataFrame
        Rows of :class:`SetOfCoordinates3D`, the best first.
    about : dict
        ``cells``, the size of the search; ``radius`` of the particle in Å; ``sentences`` for the user.
    """
    SetOfCoordinates3D.save(str(Path(folder) / f"{tomogram_id}.sqlite"), frame)
    path = Path(folder) / f"{tomogram_id}.candidates.json"
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(about), encoding="utf8")
    part.replace(path)


def has_candidates(folder: str | Path) -> bool:
    """Return whether a search kept its candidates in a folder."""
    return any(Path(folder).glob("*.candidates.json"))


def choose(
    folder: str | Path, tomogram_ids: Iterable[str], options: PeakOptions, out: SetOfCoordinates3D, group: int
) -> list[str]:
    """Add the candidates that are particles to a set and return sentences about them.

    Raises
    ------
    FileNotFoundError
        If a tomogram's candidates are not there.
    """
    sentences: list[str] = []
    empty = []
    cuts = []
    for name in tomogram_ids:
        about = json.loads((Path(folder) / f"{name}.candidates.json").read_text(encoding="utf8"))
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
            f"Cut at {min(cuts):.2f} to {max(cuts):.2f} standard deviations: {options.false_alarms:g} false alarms of "
            "pure noise a tomogram."
        )
    if empty:
        sentences.append(f"Nothing was found in {', '.join(empty)}: check reference, contrast, mask; or lower the cut.")
    return sentences
