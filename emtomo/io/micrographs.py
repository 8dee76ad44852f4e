"""Micrographs and their CTF in files of RELION 3.0 to 5, CTFFIND 4 and 5, and Gctf."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import images, star
from emtomo.io.image_format import ImageInfo
from emtomo.io.names import is_file, stem
from emtomo.io.relion_sizes import MICROGRAPH, pixel_sizes_of
from emtomo.io.text import as_numbers, matrix, read_text
from emtomo.wording import count_text

UP = 4  # folders above the STAR file in which the files that it names are looked for
OPTICS = {"rlnVoltage": "voltage", "rlnSphericalAberration": "cs", "rlnAmplitudeContrast": "amplitude_contrast"}
CTF_COLUMNS = {
    "defocus_u": ("rlnDefocusU",),
    "defocus_v": ("rlnDefocusV", "rlnDefocusU"),
    "defocus_angle": ("rlnDefocusAngle",),
    "phase_shift": ("rlnPhaseShift",),
    "ctf_score": ("rlnCtfFigureOfMerit",),
    "max_resolution": ("rlnCtfMaxResolution", "rlnFinalResolution"),
}
MOVIES = (".eer",)
SHOWN = 10  # optics groups in a sentence
_ADDED = re.compile(r"(_ctffind[345]?|_ctf|_gctf|_PS|_diagnostic(_output)?|_DW)+$", re.IGNORECASE)
_ROTATED = re.compile(r"_avrot$", re.IGNORECASE)


@dataclass
class MicrographTable:
    """Micrographs as a STAR file names them.

    Attributes
    ----------
    frame : DataFrame
        micrograph_id, path and, where known, the keys of :data:`CTF_COLUMNS`.
    pixel_size : float or None
        Å.
    optics : dict
        voltage, cs, amplitude_contrast where present.
    """

    frame: pd.DataFrame
    pixel_size: float | None = None
    optics: dict[str, float] = field(default_factory=dict)


def read_micrographs(path: str | Path, optics_group: int = 0) -> MicrographTable:
    """Read a list of micrographs of RELION 3.0, 3.1, 4 or 5: ``micrographs.star`` or ``micrographs_ctf.star``.

    Files are looked for relative to the STAR file, to the folders above it, and here.

    Parameters
    ----------
    path : str or Path
    optics_group : int
        Only its micrographs; 0: all.

    Raises
    ------
    FormatError
        With the line where there is one: it is no such list, it lists movies, a number is none, a file is missing,
        there is none of that optics group, or micrographs have several pixel sizes or microscopes.
    """
    path = Path(path)
    blocks = star.read_blocks(path)
    if any("rlnMicrographMovieName" in b and "rlnMicrographName" not in b for b in blocks.values()):
        raise FormatError(path, "lists movies; align their frames first (motion correction), then import micrographs.")
    table = next((b for b in blocks.values() if "rlnMicrographName" in b), None)
    if table is None:
        raise FormatError(path, "no block has rlnMicrographName: it lists no micrographs.")
    if "rlnImageName" in table or "rlnCoordinateX" in table:
        raise FormatError(path, "lists particles, not micrographs; take import-particles.")
    if len(table) == 0:
        raise FormatError(path, "there is no micrograph in it.")
    if optics_group:
        table = take_optics_group(path, table, optics_group, "micrograph")
    names = star.words(table, "rlnMicrographName")
    ids = micrograph_ids(path, names)
    frame = pd.DataFrame({"micrograph_id": ids, "path": find_files(path, names, table)})
    for key, values in ctf_values(path, table).items():
        frame[key] = values
    optics = blocks.get("optics")
    sizes = pixel_sizes_of(path, table, optics).positions
    if optics is not None and not set(MICROGRAPH[:2]) & set(optics) and not set(MICROGRAPH[:2]) & set(table):
        sizes = np.full(len(table), np.nan)
    return MicrographTable(frame, one_value(path, sizes, "pixel size", " Å"), optics_of(path, table, optics))


def take_optics_group(path: str | Path, table: pd.DataFrame, number: int, what: str) -> pd.DataFrame:
    """Return the rows of one optics group.

    Raises
    ------
    FormatError
        If there is none; it lists the groups that there are.
    """
    groups = as_numbers(table["rlnOpticsGroup"]) if "rlnOpticsGroup" in table else np.zeros(0)
    kept = np.flatnonzero(groups == number)
    if len(kept) == 0:
        there = ", ".join(f"{group:g}" for group in np.unique(groups[np.isfinite(groups)])[:SHOWN]) or "none"
        raise FormatError(path, f"there is no {what} of optics group {number} in it; groups in use: {there}.")
    return table.iloc[kept]  # their index tells the lines of the file


def micrograph_ids(path: str | Path, names: Iterable[str]) -> np.ndarray:
    """Return the stems of names of micrographs.

    Raises
    ------
    FormatError
        If two names have one stem.
    """
    seen: dict[str, str] = {}
    for name in names:
        if stem(name) in seen:
            raise FormatError(path, f"two micrographs have the id {stem(name)!r}: {seen[stem(name)]} and {name}.")
        seen[stem(name)] = name
    return np.array(list(seen), object)


def ctf_values(path: str | Path, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the CTF columns that a table has, by the keys of :data:`CTF_COLUMNS`."""
    found = {}
    for key, columns in CTF_COLUMNS.items():
        column = next((c for c in columns if c in table), None)
        if column is not None:
            found[key] = star.floats(path, table, [column])[:, 0]
    return found


def optics_of(path: str | Path, table: pd.DataFrame, optics: pd.DataFrame | None) -> dict[str, float]:
    """Return voltage, cs and amplitude contrast, of the optics groups in use or else of the rows.

    Raises
    ------
    FormatError
        If there are several values of one.
    """
    used = optics
    if optics is not None and {"rlnOpticsGroup"} <= set(optics) & set(table):
        used = optics[optics["rlnOpticsGroup"].isin(table["rlnOpticsGroup"])]
        used.attrs = optics.attrs
    found = {}
    for column, key in OPTICS.items():
        source = next((t for t in (used, table) if t is not None and column in t and len(t)), None)
        if source is not None:
            value = one_value(path, star.floats(path, source, [column])[:, 0], column, "")
            if value is not None:
                found[key] = value
    return found


def one_value(path: str | Path, values: np.ndarray, what: str, unit: str) -> float | None:
    """Return the only value; ``None`` where none is known.

    Raises
    ------
    FormatError
        If there are several.
    """
    known = sorted(set(values[np.isfinite(values)].tolist()))
    if len(known) > 1:
        listed = ", ".join(f"{v:g}" for v in known)
        raise FormatError(path, f"there are several values of {what} ({listed}{unit}); import each optics group alone.")
    return known[0] if known else None


def find_files(path: Path, names: Iterable[str], table: pd.DataFrame) -> list[str]:
    """Return absolute paths of files named relative to the STAR file, to a folder above it, or to here.

    Raises
    ------
    FormatError
        With the line, if one is missing.
    """
    bases = [path.resolve().parent, *list(path.resolve().parents)[1 : UP + 1], Path.cwd()]
    found: dict[str, str] = {}
    out = []
    for row, name in enumerate(names):
        if name not in found:
            base = next((b for b in bases if is_file(b / name)), None)
            if base is None:
                raise FormatError(path, f"the file {name} is missing.", star.line_of(path, table, row))
            bases = [base, *(b for b in bases if b != base)]  # the next one lies there too
            found[name] = str(base / name)
        out.append(found[name])
    return out


def describe_micrograph(path: str | Path) -> ImageInfo:
    """Return what a micrograph's file is.

    Raises
    ------
    FormatError
        If it is missing, no image, or a movie.
    """
    if Path(path).suffix.lower() in MOVIES:
        raise FormatError(path, "a movie; align its frames first (motion correction).")
    info = images.describe(path)
    if info.shape[0] > 1:
        raise FormatError(
            path,
            f"{count_text(info.shape[0], 'image')} in one file: a "
            "movie, whose frames must be aligned first, or a stack; a "
            "micrograph has one.",
        )
    return info


# --- CTF of other programs ---


def read_ctf(path: str | Path) -> pd.DataFrame:
    """Return the CTF of micrographs from files of CTFFIND 4 or 5, Gctf or RELION: a file, or all of a folder.

    Returns
    -------
    DataFrame
        micrograph_id and keys of :data:`CTF_COLUMNS`.

    Raises
    ------
    FormatError
        If there is none, a file cannot be read, or two are of one micrograph.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".txt", ".star") and not _ROTATED.search(p.stem))
    if not files:
        raise FormatError(path, "there is no file of CTFFIND (.txt) or Gctf (.star) in it.")
    frame = pd.concat([_of_star(f) if f.suffix == ".star" else _of_ctffind(f) for f in files], ignore_index=True)
    twice = frame["micrograph_id"].duplicated()
    if twice.any():
        raise FormatError(path, f"the CTF of {frame['micrograph_id'][twice].iloc[0]!r} is listed twice.")
    return frame


def _of_ctffind(path: Path) -> pd.DataFrame:
    """Read CTFFIND's line: number, two defoci (Å), azimuth (°), phase shift (radians), score, resolution (Å)."""
    rows = matrix(path, read_text(path), (7, 12), "a file of CTFFIND")
    if len(rows) != 1:
        raise FormatError(
            path, f"holds the CTF of {count_text(len(rows), 'image')}; the file of a micrograph holds one."
        )
    _, u, v, angle, phase, score, resolution = rows[0, :7]
    return pd.DataFrame({
        "micrograph_id": [_ADDED.sub("", stem(path.name))], "defocus_u": [u], "defocus_v": [v],
        "defocus_angle": [angle], "phase_shift": [np.degrees(phase)], "ctf_score": [score],
        "max_resolution": [resolution],
    })  # fmt: skip


def _of_star(path: Path) -> pd.DataFrame:
    table = next((b for b in star.read_blocks(path).values() if {"rlnDefocusU", "rlnMicrographName"} <= set(b)), None)
    if table is None:
        raise FormatError(path, "no block has rlnMicrographName and rlnDefocusU.")
    names = [_ADDED.sub("", stem(name)) for name in star.words(table, "rlnMicrographName")]
    return pd.DataFrame({"micrograph_id": names, **ctf_values(path, table)})
