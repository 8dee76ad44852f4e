"""What several files say of one tilt series: one table, the best source of every column first."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io.convert_tilts import read_series
from emtomo.io.names import stem
from emtomo.io.recognise import recognise
from emtomo.io.tilt_formats import FORMATS
from emtomo.io.tilts import Tilts
from emtomo.wording import count_text

# where several files know a column, the first of these does
_RANK = ("tomograms", "tilts-relion", "scipion-tilts", "warp-xml", "aln", "xf", "tlt", "tomostar", "mdoc", "defocus",
         "gctf", "ctffind", "scipion-ctf", "xtilt")  # fmt: skip
_SEVERAL = ("tomograms", "scipion-tilts", "scipion-ctf")  # files of many series
_IN_PIXELS = ("aln", "xf", "tlt")  # their shifts are in pixels of the images
_ENDINGS = (".xf", ".tlt", ".rawtlt", ".xtilt", ".aln", ".defocus", "_ctffind4", "_gctf")
SAME_ANGLE = 1.0  # degrees, after a common offset


@dataclass
class SeriesMetadata:
    """The files that belong to one series, and what they say together."""

    name: str
    files: list[Path] = field(default_factory=list)
    tilts: Tilts | None = None


def series_name(path: Path) -> str:
    """Return the series that a file belongs to by its name: ``TS_1.mrc.mdoc``, ``TS_1.xf`` and ``TS_1.st`` are one."""
    name = path.name
    while (short := _shorter(name)) != name:
        name = short
    return name


def _shorter(name: str) -> str:
    for ending in _ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return stem(name)


def gather(files: list[Path]) -> tuple[list[SeriesMetadata], list[tuple[Path, Tilts]]]:
    """Return the series that files of metadata belong to by their names, and those of files with many series."""
    groups: dict[str, SeriesMetadata] = {}
    many: list[tuple[Path, Tilts]] = []
    for path in files:
        kind = recognise(path)
        if kind in _SEVERAL:
            many += [(path, tilts) for tilts in read_series(path, kind)]
        elif kind in _RANK:
            groups.setdefault(series_name(path), SeriesMetadata(series_name(path))).files.append(path)
    return list(groups.values()), many


def pixel_size_of(files: list[Path]) -> float | None:
    """Return the pixel size that one of the files of a series says, None if none does."""
    for path in sorted(files, key=rank):
        if recognise(path) not in _IN_PIXELS:
            size = read_series(path)[0].pixel_size
            if np.isfinite(size) and size > 0:
                return float(size)
    return None


def read_together(group: SeriesMetadata, pixel_size: float | None) -> Tilts:
    """Read the files of one series into one table; columns of the better source count.

    Raises
    ------
    FormatError
        With the file, if two of them have another number of tilts, or a part of one was not read.
    """
    paths = sorted(group.files, key=rank)
    kinds = [recognise(path) for path in paths]
    imod = [path for path, kind in zip(paths, kinds, strict=True) if kind in ("xf", "tlt", "xtilt")]
    paths = [path for path in paths if path not in imod[1:]]  # the reader takes those of one name together
    whole: Tilts | None = None
    for path in paths:
        read = read_series(path, recognise(path), pixel_size)[0]
        gone = next((note for note in read.notes if "another number of lines" in note), None)
        if gone is not None:
            raise FormatError(path, gone.replace(": not taken.", "."))
        if pixel_size is None and recognise(path) in _IN_PIXELS and read.column("shift_x").any():
            raise FormatError(path, "its shifts are in pixels: give the pixel size of the images in the form.")
        if whole is None:
            whole, first = read, path
        else:
            _fill(whole, first, read, path)
    if whole is None:
        raise EmtomoError(f"{group.name}: there is no file with tilts.")
    whole.name = group.name
    return whole


def rank(path: Path) -> tuple[int, int]:
    """Return the place of a file of metadata among those of a series: the first knows its columns best."""
    kind = recognise(path)
    return (_RANK.index(kind) if kind in _RANK else len(_RANK), int(path.suffix == ".rawtlt"))


def _fill(whole: Tilts, first: Path, other: Tilts, path: Path) -> None:
    """Take from `other` what `whole` does not know, row by row."""
    if len(other) != len(whole):
        raise FormatError(path, f"it has {count_text(len(other), 'tilt')}, but {first.name} has {len(whole)}.")
    order = _match_rows(whole.table, other.table)
    if order is None:
        raise FormatError(path, f"its tilt angles are not those of {first.name}.")
    for column in other.table:
        if column not in whole.table:
            whole.table[column] = other.table[column].to_numpy()[order]
    for name in ("pixel_size", "image_size", "volume_size", "hand", "image_warp", "volume_warp", "magnification"):
        mine = getattr(whole, name)
        if mine is None or (name == "pixel_size" and not np.isfinite(mine)):
            setattr(whole, name, getattr(other, name))
    whole.optics = {**other.optics, **whole.optics}
    whole.notes += [note for note in other.notes if note not in whole.notes]


def _match_rows(mine: pd.DataFrame, theirs: pd.DataFrame) -> np.ndarray | None:
    """Return which row of `theirs` is each of `mine`: by angle, in whatever order and whichever way it turns."""
    same = np.arange(len(mine))
    if "angle" not in mine or "angle" not in theirs:
        return same
    a, b = mine["angle"].to_numpy(float), theirs["angle"].to_numpy(float)
    for sign in (1.0, -1.0):
        for order in (same, np.argsort(sign * b, kind="stable")[np.argsort(np.argsort(a, kind="stable"))]):
            away = sign * b[order] - a
            if np.abs(away - np.median(away)).max(initial=0) < SAME_ANGLE:
                return order
    return None


def metadata_kinds() -> tuple[str, ...]:
    """Return the formats that metadata may have."""
    return tuple(kind for kind in _RANK if kind in FORMATS)
