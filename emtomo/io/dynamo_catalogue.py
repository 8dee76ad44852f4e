"""Dynamo's catalogues: tables and models in the folder of each volume, as far as MATLAB's objects can be read."""

from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import EmtomoError, FormatError
from emtomo.io.dynamo import read_tbl
from emtomo.io.format import FileStart, Format, ReadOptions
from emtomo.io.matfile import read_matlab
from emtomo.io.particles import ParticleList, concatenate, no_names
from emtomo.io.text import LARGEST_NUMBER, to_int64

_ADVICE = (
    "In MATLAB: m = dread('FILE'); s = struct(m); save('model.mat', 's', '-v7'), or export a table with "
    "dwrite(m.grepTable(), 'model.tbl')."
)


def read_model(path: str | Path) -> ParticleList:
    """Read the points of a Dynamo model, where a structure was saved instead of an object of a class (.mat, .omd).

    Any structure with points (n × 3, voxels) is taken; group_labels become groups.

    Raises
    ------
    FormatError
        If it holds an object that only MATLAB can read: the sentence says what to export.
    """
    holder = _with_points(read_matlab(path), 6)
    if holder is None:
        raise FormatError(path, f"there is no structure with points in it, only objects of MATLAB. {_ADVICE}")
    points = np.asarray(holder["points"], float).reshape(-1, 3)
    if not (np.abs(points) < LARGEST_NUMBER).all():
        raise FormatError(path, "its points must be finite numbers, x, y, z each.")
    labels = holder.get("group_labels")
    group = np.ones(len(points), np.int64)
    if isinstance(labels, np.ndarray) and labels.size == len(points):
        group = to_int64(labels.ravel())
    n = len(points)
    return ParticleList(no_names(n), points, np.zeros((n, 3)), columns={"group": group}, format="dynamo-model")


def _with_points(value: Any, depth: int) -> dict[str, Any] | None:
    """Return the first structure with numeric points (n × 3) within `depth` levels, or ``None``."""
    inner: list[Any] = []
    if isinstance(value, dict):
        points = value.get("points")
        if isinstance(points, np.ndarray) and points.ndim == 2 and points.shape[1] == 3 and len(points):
            return value
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    return next((f for v in inner if depth and (f := _with_points(v, depth - 1)) is not None), None)


def read_catalogue(path: str | Path) -> ParticleList:
    """Read all particles of a catalogue folder: tables, else models, under ``tomograms/volume_N``.

    The tomogram is the volume's number N (see the table map of the catalogue for its name).

    Raises
    ------
    EmtomoError
        If there is none, or only models that cannot be read.
    """
    path = Path(path)
    folders = sorted(path.glob("tomograms/volume_*"), key=lambda f: (len(f.name), f.name))
    parts, failures = [], []
    for folder in folders:
        tables = sorted(folder.rglob("*.tbl"))
        models = sorted([*folder.rglob("*.omd"), *folder.rglob("*.mat")])
        for file in tables or models:
            try:
                part = read_tbl(file) if tables else read_model(file)
            except FormatError as error:
                failures.append(str(error))
                continue
            part.tomograms = np.full(len(part), folder.name.removeprefix("volume_"), object)
            part.family = "dynamo"
            part.rotations = np.full((len(part), 3, 3), np.nan) if part.rotations is None else part.rotations
            parts.append(part)
    if not parts:
        raise EmtomoError(
            failures[0] if failures else f"{path}: there is no table (.tbl) or model (.omd) under tomograms/volume_N."
        )
    particles = concatenate(parts)
    if particles.rotations is not None and np.isnan(particles.rotations).all():
        particles.rotations = None
    particles.format = "dynamo-catalogue"
    particles.notes += [f"Not read: {sentence}" for sentence in failures]
    return particles


def _is_catalogue(start: FileStart) -> bool:
    return start.is_folder and any(start.path.glob("tomograms/volume_*"))


def _read_catalogue(path: Path, _: ReadOptions) -> ParticleList:
    return read_catalogue(path)


def _is_model(start: FileStart) -> bool:
    return start.data.startswith(b"MATLAB 5.0")


def _read_model(path: Path, _: ReadOptions) -> ParticleList:
    return read_model(path)


_DESCRIBED = ("voxels", "of tables only", "")
CATALOGUE = Format("dynamo-catalogue", "Dynamo catalogue", _is_catalogue, _read_catalogue, family="dynamo",
                   names_tomograms="by number", described=_DESCRIBED)  # fmt: skip
MODEL = Format("dynamo-model", "Dynamo model", _is_model, _read_model, names_tomograms="not", described=_DESCRIBED)
