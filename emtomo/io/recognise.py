"""What a file is, by its content; its name only decides between lists of plain numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from emtomo.errors import FormatError
from emtomo.io import images, particle_formats, scipion, tilt_formats, warp
from emtomo.io.format import ARCHIVE, FileStart, Format, is_archive, read_start
from emtomo.io.relion import KNOWN
from emtomo.io.star import other_capitals


def _is_table_map(start: FileStart) -> bool:
    words = start.first_row.split()
    return not start.is_star and (
        start.suffix == ".doc" or len(words) == 2 and words[0].isdecimal() and not _is_plain_number(words[1])
    )


def _is_plain_number(word: str) -> bool:
    from emtomo.io.text import is_number

    return is_number(word)


def _is_volume_list(start: FileStart) -> bool:
    return start.suffix == ".vll"


def _is_other_json(start: FileStart) -> bool:
    return start.is_json


def _is_set_of_tomograms(start: FileStart) -> bool:
    return scipion.holds_set(start, "tomograms-scipion")


OTHERS: dict[str, Callable[[FileStart], bool]] = {
    "tomograms-scipion": _is_set_of_tomograms,
    "doc": _is_table_map,
    "vll": _is_volume_list,
    "m-population": warp.is_beside_series,
}


def recognise(path: str | Path) -> str:
    """Return the name of a file's format, of particles, tilt series or images, or of another list that is known.

    Raises
    ------
    FormatError
        If it is missing, or of no format that is known.
    """
    start = read_start(path)
    kinds: tuple[Format[Any], ...] = (*images.IMAGES, *tilt_formats.TILTS)
    found = next((known.name for known in kinds if known.sniff(start)), None)
    if found is not None:
        return found
    other = next((name for name, sniff in OTHERS.items() if sniff(start)), None)
    if other is not None:
        return other
    particles = next((known.name for known in particle_formats.PARTICLES if known.sniff(start)), None)
    if particles is None:
        if start.is_folder:
            raise FormatError(path, "a folder, but neither an OME-Zarr image nor a Dynamo catalogue.")
        if start.is_star and start.matches(r"(?i)^[ \t]*_(rln|wrp)"):
            columns = [word[1:] for word in start.text.split() if word.startswith("_")]
            capitals = other_capitals(columns, KNOWN) or "for instance _rlnCoordinateX is needed"
            raise FormatError(path, f"its columns have other capitals than RELION's or Warp's: {capitals}.")
        if start.is_star:
            raise FormatError(path, "a STAR file, but with the columns of no program that is known.")
        if is_archive(start.data):
            raise FormatError(path, ARCHIVE)
        raise FormatError(path, "a binary file of no kind that is known.")
    if particles == particle_formats.points.TEXT.name and _is_other_json(start):
        return "json"
    return particles
