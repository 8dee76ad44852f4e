"""Positions as plain text: CSV and white-space columns, with or without names."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.particles import ParticleList, convert_frame, no_names
from emtomo.io.text import comments, matrix, numbers, read_table, read_text, to_int64, write_text

_ROTATION = [f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)]
_NUMBERS = ("group", "score", "class_number", "half", "id")
_WORDS = ("role", "label", "model", "set_name", "image", "ctf_image")
ANGLES = ("normals", "relion", "dynamo", "motl")
_TOMOGRAM = ("tomogram_id", "tomogram", "ts", "tomo", "tsid")
_SHIFTS, _NORMAL, _ANGLES = ("shift_x", "shift_y", "shift_z"), ("nx", "ny", "nz"), ("rot", "tilt", "psi")
_MEANT = re.compile(
    r"shift_?[xyz]|d[xyz]|units?|.*angst.*|apix|(voxel|pixel)_?(size|spacing)|(angle_?)?(rot|tilt|psi|phi|theta)|n[xyz]"
    r"|r[1-3][1-3]|euler.*|.*vector.*|origin.*"
)  # names that say where a particle lies or how it turns
_NUMERIC = {"x", "y", "z", "pixel_size", *_NUMBERS, *_SHIFTS, *_NORMAL, *_ANGLES, *_ROTATION}


def read_points(path: str | Path, angles: str = "normals") -> ParticleList:
    """Read positions from a text table.

    Named columns: x, y, z; tomogram_id, group, score, class_number, half, role, label, model, set_name,
    shift_x to shift_z, and the orientation as r11 to r33, as nx, ny, nz (the z axis) or as rot, tilt, psi (RELION's).
    Without names: 3, 4, 6
    or 7 columns, x, y, z, then a group, or a score where
    not all are whole (4 and 7), then the z axis or three angles (6 and 7).

    Parameters
    ----------
    path : str or Path
    angles : {"normals", "relion", "dynamo", "motl"}
        What the last three of 6 or 7 nameless columns are.

    Raises
    ------
    FormatError
        With the line, when a row or a cell is wrong.
    """
    if angles not in ANGLES:
        raise EmtomoError(f"Angles in text are one of {', '.join(ANGLES)}, got {angles!r}.")
    text = read_text(path)
    if text.lstrip().startswith("<"):
        raise FormatError(
            path, "XML, as Chimera's markers are, is not read as positions; save them as CSV with x, y, z."
        )
    first = next((s for s in (line.strip() for line in text.split("\n")) if s and s[0] not in "#%"), "")
    words = first.replace(",", " ").replace(";", " ").split()
    if len(words) in (3, 4, 6, 7) and not any(c.isalpha() and c not in "eE" for w in words for c in w):
        particles = _read_nameless_columns(matrix(path, text.replace(";", " "), (3, 7), "a list of points"), angles)
    else:
        particles = _read_named_columns(path, read_table(path, _NUMERIC))
    for comment in comments(text):
        particles.tags.take_text(comment)
    return particles


def _read_nameless_columns(values: np.ndarray, angles: str) -> ParticleList:
    from emtomo.compute.rotations import from_directions
    from emtomo.io import poses

    width = values.shape[1]
    particles = ParticleList(no_names(len(values)), values[:, :3], np.zeros((len(values), 3)))
    if width in (4, 7) and (values[:, 3] % 1 == 0).all():
        particles.columns["group"] = to_int64(values[:, 3])
    elif width in (4, 7):
        particles.columns["score"] = values[:, 3]
        particles.notes.append("The fourth column has numbers that are not whole: they are scores, not groups.")
    if width in (6, 7):
        turn = from_directions if angles == "normals" else getattr(poses, f"from_{angles}")
        particles.rotations = turn(values[:, -3:])
    return particles


def _read_named_columns(path: str | Path, frame: pd.DataFrame) -> ParticleList:
    named = {str(name).lower(): name for name in frame.columns}
    if len(named) < len(frame.columns):
        twice = next(name for name in frame.columns if named[str(name).lower()] != name)
        raise FormatError(path, f"columns {twice} and {named[str(twice).lower()]} have one name but for capitals.")
    if not {"x", "y", "z"} <= set(named):
        raise FormatError(path, "columns x, y, z are needed, or 3, 4, 6 or 7 plain columns of numbers.")
    n = len(frame)

    def values(*columns: str) -> np.ndarray:
        """Return columns as numbers."""
        return numbers(path, frame, [named[c] for c in columns])

    source = next((named[name] for name in _TOMOGRAM if name in named), None)
    particles = ParticleList(
        frame[source].to_numpy(object) if source else no_names(n),
        values("x", "y", "z"),
        np.zeros((n, 3)),
        family="text",
    )
    used = {source, *(named[a] for a in "xyz")}
    for name in _NUMBERS:
        if name in named:
            column = values(name)[:, 0]
            particles.columns[name] = column if name == "score" else to_int64(column)
            used.add(named[name])
    for name in _WORDS:
        if name in named:
            particles.columns[name] = frame[named[name]].to_numpy(object)
            used.add(named[name])
    if set(_SHIFTS) <= set(named):
        particles.shifts = values(*_SHIFTS)
        used |= {named[name] for name in _SHIFTS}
    if "pixel_size" in named:
        particles.pixel_size = values("pixel_size")[:, 0]
        if not (particles.pixel_size > 0).all():
            row = int(np.argmin(particles.pixel_size > 0))
            shown = frame[named["pixel_size"]].iloc[row]
            raise FormatError(path, f"pixel_size must be above 0 Å, got {shown}.", int(frame.index[row]))
        used.add(named["pixel_size"])
    oriented = _orientation(path, set(named), values)
    if oriented is not None:
        particles.rotations, columns = oriented
        used |= {named[c] for c in columns}
    particles.other = frame[[c for c in frame if c not in used]].reset_index(drop=True)
    unread = [str(c) for c in particles.other if _MEANT.fullmatch(str(c).lower())]
    if unread:
        particles.notes.append(
            f"Columns that are not read as a shift, an orientation or a unit: {', '.join(unread)}; read are shift_x, "
            "shift_y, shift_z, pixel_size and nx, ny, nz or rot, tilt, psi or r11 to r33, each as a whole."
        )
    return particles


def _orientation(
    path: str | Path, named: set[str], values: Callable[..., np.ndarray]
) -> tuple[np.ndarray, list[str]] | None:
    from emtomo.compute.rotations import from_directions
    from emtomo.io.poses import from_relion, is_rotation

    if set(_ROTATION) <= named:
        rotations = values(*_ROTATION).reshape(-1, 3, 3)
        if not is_rotation(rotations).all():
            row = int(np.argmin(is_rotation(rotations))) + 1
            raise FormatError(path, f"particle {row}: r11 to r33 are no rotation.")
        return rotations, _ROTATION
    for columns, turn in ((list(_NORMAL), from_directions), (list(_ANGLES), from_relion)):
        if set(columns) <= named:
            return turn(values(*columns)), columns
    return None


def write_points(path: str | Path, particles: ParticleList) -> None:
    """Write positions as CSV with every column that is known; the rotation as r11 to r33."""
    data: dict[str, object] = {}
    if (particles.tomograms != "").any():
        data["tomogram_id"] = particles.tomograms
    data |= dict(zip("xyz", particles.positions.T, strict=True))
    if particles.shifts.any():
        data |= {f"shift_{a}": particles.shifts[:, k] for k, a in enumerate("xyz")}
    if np.isfinite(particles.pixel_size).all() and particles.unit == "voxel":
        data["pixel_size"] = particles.pixel_size
    if particles.rotations is not None:
        data |= dict(zip(_ROTATION, particles.rotations.reshape(-1, 9).T, strict=True))
    data |= particles.columns
    if particles.family == "text":
        data |= {str(c): particles.other[c].to_numpy() for c in particles.other}
    tags = particles.tags.as_text()
    table = pd.DataFrame(data).to_csv(None, index=False, float_format="%.10g", lineterminator="\n")
    write_text(path, f"# {tags}\n{table}" if tags else table)


def _sniff(start: FileStart) -> bool:
    return not start.is_folder and not start.is_star and (bool(start.text) or not start.data)


def _read(path: Path, options: ReadOptions) -> ParticleList:
    return read_points(path, options.angles)


def _write(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    as_they_are = options.pixel_size is None and particles.unit == "voxel" and particles.origin == "corner"
    as_they_are = as_they_are and not particles.shift_unit
    if not as_they_are and not particles.flat:
        particles = convert_frame(particles, "voxel", "corner", pixel_size=options.pixel_size, volumes=options.sizes)
    write_points(path, particles)
    return [path]


TEXT = Format(
    "text",
    "text",
    _sniff,
    _read,
    _write,
    words_of(
        "positions images rotation tomograms pixel_size shift tags other group score class_number half image ctf_image "
        "id role label model set_name"
    ),
    ".csv",
    (".csv", ".txt"),
    family="text",
    described=(
        "voxels from the first; 3, 4, 6 or 7 columns, or named ones",
        "r11 to r33, nx ny nz, or any program's",
        "position + shift",
    ),
)
