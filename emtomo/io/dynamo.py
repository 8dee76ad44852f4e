"""Dynamo: tables (.tbl), table maps (.doc), volume lists (.vll)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.io.per_tomogram import one_pixel_size
from emtomo.io.poses import from_dynamo, to_dynamo
from emtomo.io.text import is_number, matrix, read_text, to_int64, write_text

COLUMNS = (
    "tag", "aligned", "averaged", "dx", "dy", "dz", "tdrot", "tilt", "narot", "cc", "cc2", "cpu", "ftype", "ymintilt",
    "ymaxtilt", "xmintilt", "xmaxtilt", "fs1", "fs2", "tomo", "reg", "class", "annotation", "x", "y", "z", "dshift",
    "daxis", "dnarot", "dcc", "otag", "npar", "undefined", "ref", "sref", "apix", "def", "undefined38", "undefined39",
    "undefined40", "eig1", "eig2",
)  # fmt: skip
UNNAMED = "unknown"  # in a table map, for particles that name no tomogram
_UNDERSTOOD = {"tag", "dx", "dy", "dz", "tdrot", "tilt", "narot", "cc", "tomo", "reg", "class", "x", "y", "z", "apix"}


def read_tbl(path: str | Path) -> ParticleList:
    """Read a Dynamo table of 26 to 42 columns.

    The refined centre is (x, y, z) + (dx, dy, dz) in voxels of the tomogram; the rotation is that of
    :func:`emtomo.io.poses.from_dynamo`. Dynamo counts from 1, but every converter takes its numbers as they are; so
    does this one. The tomogram is named by its number in column 20 (see :func:`read_doc`). Complex cells occur
    (column 28) and are kept as they are.

    Raises
    ------
    FormatError
        With the line, if rows differ or a cell is no number.
    """
    text = read_text(path)
    odd: dict[int, list[str]] = {}
    if "i" in text.lower().replace("inf", ""):
        text, odd = _without_complex(path, text)
    values = matrix(path, text, (26, len(COLUMNS)), "a Dynamo table")
    named = dict(zip(COLUMNS, values.T, strict=False))
    particles = ParticleList(
        to_int64(named["tomo"]).astype(str).astype(object),
        values[:, 23:26],
        values[:, 3:6],
        from_dynamo(values[:, 6:9]),
        columns={
            "id": to_int64(named["tag"]),
            "score": named["cc"],
            "group": to_int64(named["reg"]),
            "class_number": to_int64(named["class"]),
        },
        family="dynamo",
        format="dynamo",
    )
    if "apix" in named and (named["apix"] < 0).any():
        raise FormatError(path, f"apix (column 36) must not be below 0 Å, got {named['apix'].min():g}.")
    if "apix" in named and (named["apix"] > 0).all():
        particles.pixel_size = named["apix"]
    elif "apix" in named and (named["apix"] > 0).any():
        count = int((named["apix"] == 0).sum())
        particles.notes.append(f"apix (column 36) is 0 for {count} of {len(particles)} particles: it is not used.")
    kept = {name: column for name, column in named.items() if name not in _UNDERSTOOD}
    particles.other = pd.DataFrame(kept)
    for column, cells in odd.items():
        if COLUMNS[column] in particles.other:
            particles.other[COLUMNS[column]] = cells
        else:
            raise FormatError(path, f"{COLUMNS[column]} must be real, but has complex numbers.")
        particles.notes.append(f"Column {column + 1} ({COLUMNS[column]}) has complex numbers; kept as they are.")
    return particles


def _without_complex(path: str | Path, text: str) -> tuple[str, dict[int, list[str]]]:
    """Return the text with complex cells replaced by their real part, and the cells of the columns with such."""
    rows = [line.split() for line in text.split("\n")]
    odd = {}
    for n, row in enumerate(rows, 1):
        for k, cell in enumerate(row):
            if cell[-1] in "ij" and cell.lower() not in ("i", "j"):
                try:
                    row[k] = repr(complex(cell[:-1] + "j").real)
                except ValueError:
                    raise FormatError(path, f"a finite number is needed, got {cell[:40]!r}.", n) from None
                odd[k] = True
    width = min((len(row) for row in rows if row), default=0)
    lines = [line.split() for line in text.split("\n") if line.strip() and line.lstrip()[0] not in "#%"]
    return "\n".join(" ".join(row) for row in rows), {
        k: [line[k] for line in lines] for k in odd if k < min(width, len(COLUMNS))
    }


def write_tbl(path: str | Path, particles: ParticleList, numbers: dict[str, int]) -> None:
    """Write a Dynamo table of 35 columns, 42 where the file that was read had them.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
        In voxels from the first one.
    numbers : dict
        Number of every tomogram by name, for column 20.
    """
    n = len(particles)
    pixels = particles.pixel_size
    kept = {str(name) for name in particles.other} if particles.family == "dynamo" else set()
    last = max([COLUMNS.index(name) for name in kept] + [35 if np.isfinite(pixels).all() else 34])
    table = {name: np.zeros(n, object) for name in COLUMNS[: last + 1]}
    table |= {"aligned": np.ones(n, object), "averaged": np.ones(n, object), "ftype": np.ones(n, object)}
    table |= {name: particles.other[name].to_numpy(object) for name in kept}
    angles = np.zeros((n, 3)) if particles.rotations is None else to_dynamo(particles.rotations)
    table |= dict(zip(("tdrot", "tilt", "narot"), angles.T, strict=True))
    table |= dict(zip(("dx", "dy", "dz"), particles.shifts.T, strict=True))
    table |= dict(zip("xyz", particles.positions.T, strict=True))
    columns = particles.columns
    table["tag"] = columns.get("id", np.arange(1, n + 1))
    table["cc"] = columns.get("score", np.zeros(n))
    table["reg"] = columns.get("group", np.zeros(n, int))
    table["class"] = columns.get("class_number", np.zeros(n, int))
    table["tomo"] = np.array([numbers[str(name)] for name in particles.tomograms])
    if "apix" in table:
        table["apix"] = np.nan_to_num(pixels)
    frame = pd.DataFrame({name: table[name] for name in COLUMNS[: last + 1]})
    write_text(path, frame.to_csv(None, sep=" ", header=False, index=False, float_format="%.10g"))


def read_doc(path: str | Path) -> dict[str, str]:
    """Return the tomogram's name of every number in a table map (``indices_column20.doc``).

    Raises
    ------
    FormatError
        With the line, if it has not a number and a name, or a number comes twice.
    """
    names: dict[str, str] = {}
    for n, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.lstrip()[0] in "#%":
            continue
        words = line.split(None, 1)
        if len(words) != 2 or not words[0].isdecimal() or len(words[0]) > 9:
            raise FormatError(path, "a table map has a whole number and a name on each line.", n)
        number = str(int(words[0]))
        if number in names:
            raise FormatError(path, f"number {number} comes twice.", n)
        names[number] = words[1].strip()
    if not names:
        raise FormatError(path, "there is no row in it.")
    return names


def write_doc(path: str | Path, names: dict[int, str]) -> None:
    """Write a table map: number and name of every tomogram."""
    write_text(path, "".join(f"{number} {name}\n" for number, name in sorted(names.items())))


def number_tomograms(particles: ParticleList, known: dict[str, str] | None = None) -> dict[str, int]:
    """Return a number for every tomogram's name: its own where all names are numbers, else by first appearance.

    Parameters
    ----------
    particles : ParticleList
    known : dict, optional
        Number → name of a table map that other files rely on; its names keep their numbers, new ones follow.
    """
    names = [str(name) for name in dict.fromkeys(particles.tomograms)]
    if all(name.isdecimal() and len(name) < 10 for name in names):
        return {name: int(name) for name in names}
    numbers = {name: int(number) for number, name in (known or {}).items()}
    first = max(numbers.values(), default=0) + 1
    added = [name for name in names if (name or UNNAMED) not in numbers]
    numbers |= {name: k for k, name in enumerate(added, first)}
    return {name: numbers[name] if name in numbers else numbers[UNNAMED] for name in names}


@dataclass
class ListedVolume:
    """One volume of a .vll file: its path and the values assigned to it (index, apix, ytilt, …)."""

    path: str
    values: dict[str, str] = field(default_factory=dict)


def read_vll(path: str | Path) -> list[ListedVolume]:
    """Return the volumes of a Dynamo volume list (wiki: Volume list file).

    Lines that start with ``*`` assign a value to the volume above, ``#`` is a comment; tables and models to crop
    from (``>``, ``!``) are kept as values table and model.

    Raises
    ------
    FormatError
        With the line, if a value stands before any volume or there is none.
    """
    volumes: list[ListedVolume] = []
    for n, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if not text or text[0] == "#":
            continue
        if text[0] in "*>!":
            if not volumes:
                raise FormatError(path, "a value stands before the volume that it belongs to.", n)
            name, found, value = text[1:].partition("=")
            if text[0] == "*" and not found:
                raise FormatError(path, "a value is written as * name = value.", n)
            key = {"*": name.strip(), ">": "table", "!": "model"}[text[0]]
            volumes[-1].values[key] = value.strip() if text[0] == "*" else text[1:].strip()
        else:
            volumes.append(ListedVolume(text))
    if not volumes:
        raise FormatError(path, "there is no volume in it.")
    return volumes


def write_vll(path: str | Path, volumes: list[ListedVolume]) -> None:
    """Write a volume list."""
    marks = {"table": ">", "model": "!"}
    lines = []
    for volume in volumes:
        lines.append(volume.path)
        for key, value in volume.values.items():
            lines.append(f"{marks[key]} {value}" if key in marks else f"* {key} = {value}")
    write_text(path, "\n".join(lines) + "\n")


def write_numbered(
    path: Path,
    particles: ParticleList,
    options: WriteOptions,
    write: Callable[[Path, ParticleList, dict[str, int]], None],
) -> list[Path]:
    """Write a format that numbers tomograms, in voxels from the first one; their names go to a table map beside it.

    A table map that is there already, of another file of that name, is kept and extended.

    Raises
    ------
    FormatError
        If a file of the table map's name is there that is none.
    """
    here = convert_frame(
        particles, "voxel", "corner", pixel_size=one_pixel_size(particles, options), volumes=options.sizes
    )
    numbers = number_tomograms(here)
    if all(str(number) == name for name, number in numbers.items()):
        write(path, here, numbers)
        return [path]
    table_map = path.with_suffix(".doc")
    known = read_doc(table_map) if table_map.exists() else {}
    numbers = number_tomograms(here, known)
    write(path, here, numbers)
    listed = {int(number): name for number, name in known.items()}
    write_doc(table_map, listed | {number: name or UNNAMED for name, number in numbers.items()})
    return [path, table_map]


def _sniff(start: FileStart) -> bool:
    words = start.first_row.split()
    return bool(words) and (start.suffix == ".tbl" or len(words) >= 26 and is_number(words[0]))


def _read(path: Path, _: ReadOptions) -> ParticleList:
    return read_tbl(path)


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    return write_numbered(path, particles, options, write_tbl)


TABLE = Format(
    "dynamo",
    "Dynamo table",
    _sniff,
    _read,
    _write,
    words_of("positions rotation tomograms shift group score class_number id other pixel_size"),
    ".tbl",
    (".tbl",),
    family="dynamo",
    names_tomograms="by number",
    described=("voxels", "tdrot, tilt, narot: Rz(-tdrot) Rx(-tilt) Rz(-narot)", "x + dx"),
)
