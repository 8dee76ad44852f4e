"""Motive lists: AV3 and TOM (.em), STOPGAP (STAR), PEET (CSV beside an IMOD model); all turn by phi, psi, theta."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import star
from emtomo.io.dynamo import write_numbered
from emtomo.io.em import EM_HEADER, count_columns, read_em
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.particles import ParticleList, no_names
from emtomo.io.poses import from_motl, to_motl
from emtomo.io.text import is_number, read_text, to_int64, write_bytes
from emtomo.wording import count_text

ROWS = 20
_STOPGAP = ["motl_idx", "tomo_num", "object", "subtomo_num", "halfset", "orig_x", "orig_y", "orig_z", "score",
            "x_shift", "y_shift", "z_shift", "phi", "psi", "the", "class"]  # fmt: skip
_KEPT_ROWS = {"subtomo_a": 1, "subtomo_b": 2, "row7": 6, "row14": 13, "row15": 14, "row16": 15}


def read_motl(path: str | Path) -> ParticleList:
    """Read an AV3 or TOM motive list: an EM image of 20 numbers a particle.

    Numbers (from 1): 1 score, 4 particle, 5 tomogram, 6 object, 8 to 10 position, 11 to 13 shift, 17 phi, 18 psi,
    19 theta, 20 class (AV3 documentation). Centre = position + shift, in voxels from the first one.

    Raises
    ------
    FormatError
        If it is no EM file of 20 rows, or a number is none.
    """
    with np.errstate(invalid="ignore"):  # damage may look like signalling NaN
        data = np.asarray(read_em(path), float)
    if data.ndim != 3 or data.shape[0] != 1 or data.shape[2] != ROWS:
        shape = "×".join(str(n) for n in data.shape[::-1])
        raise FormatError(path, f"a motive list has {ROWS} numbers a particle, this EM file has {shape} voxels.")
    rows = data[0]
    needed = [3, 4, 7, 8, 9, 10, 11, 12, 16, 17, 18]
    bad = ~np.isfinite(rows[:, needed]).all(axis=1)
    if bad.any():
        raise FormatError(path, f"particle {int(np.argmax(bad)) + 1} has a position, shift or angle that is no number.")
    return _from_rows(rows, to_int64(rows[:, 4]).astype(str).astype(object), rows[:, 7:10], "motl")


def _from_rows(rows: np.ndarray, names: np.ndarray, positions: np.ndarray, name: str) -> ParticleList:
    return ParticleList(
        names, positions, rows[:, 10:13].copy(), from_motl(rows[:, 16:19]),
        columns={"score": np.nan_to_num(rows[:, 0]), "id": to_int64(rows[:, 3]), "group": to_int64(rows[:, 5]),
                 "class_number": to_int64(rows[:, 19])},
        other=pd.DataFrame({key: rows[:, k] for key, k in _KEPT_ROWS.items()}), family="motl", format=name,
    )  # fmt: skip


def write_motl(path: str | Path, particles: ParticleList, numbers: dict[str, int]) -> None:
    """Write an AV3 motive list; float32, as the format has it.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
        In voxels from the first one.
    numbers : dict
        Number of every tomogram by name.
    """
    n = len(particles)
    rows = np.zeros((n, ROWS))
    columns = particles.columns
    rows[:, 0] = columns.get("score", 0.0)
    rows[:, 3] = columns.get("id", np.arange(1, n + 1))
    rows[:, 4] = [numbers[str(name)] for name in particles.tomograms]
    rows[:, 5] = columns.get("group", 0)
    rows[:, 7:10], rows[:, 10:13] = particles.positions, particles.shifts
    if particles.rotations is not None:
        rows[:, 16:19] = to_motl(particles.rotations)
    rows[:, 19] = columns.get("class_number", 0)
    if particles.family == "motl":
        for key, k in _KEPT_ROWS.items():
            rows[:, k] = particles.other[key]
    header = np.zeros(EM_HEADER, np.uint8)
    header[0], header[3] = 6, 5  # a PC, float32
    header[4:16] = np.array([ROWS, n, 1], "<i4").view(np.uint8)
    write_bytes(path, header.tobytes() + rows.astype("<f4").tobytes())


def read_stopgap(path: str | Path) -> ParticleList:
    """Read a STOPGAP motive list (block ``data_stopgap_motivelist``).

    Centre = orig + shift, in voxels from the first one; the rotation is that of AV3; halfset A and B are halves 1, 2.

    Raises
    ------
    FormatError
        If it is no motive list of STOPGAP, holds no particle, or lacks a column.
    """
    blocks = star.read_blocks(path)
    table, notes = star.particle_table(blocks, ("orig_x", "orig_y", "orig_z"))
    if table is None:
        raise FormatError(path, "no block has orig_x, orig_y, orig_z: this is no STOPGAP motive list.")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")

    def numbers(*columns: str) -> np.ndarray:
        """Return some columns, which must be there and hold numbers."""
        missing = [c for c in columns if c not in table]
        if missing:
            raise FormatError(path, f"column {missing[0]} is missing.")
        return star.floats(path, table, list(columns))

    particles = ParticleList(
        to_int64(numbers("tomo_num")[:, 0]).astype(str).astype(object),
        numbers("orig_x", "orig_y", "orig_z"),
        numbers("x_shift", "y_shift", "z_shift")
        if {"x_shift", "y_shift", "z_shift"} & set(table)
        else np.zeros((len(table), 3)),
        from_motl(numbers("phi", "psi", "the")) if {"phi", "psi", "the"} & set(table) else None,
        family="stopgap",
        format="stopgap",
        notes=notes,
    )
    pairs = {"group": "object", "class_number": "class", "id": "motl_idx", "score": "score"}
    for name, column in pairs.items():
        if column in table:
            values = numbers(column)[:, 0]
            particles.columns[name] = values if name == "score" else to_int64(values)
    if "halfset" in table:
        number = {"A": 1, "B": 2}
        particles.columns["half"] = np.array([number.get(str(h).upper(), 0) for h in table["halfset"]])
    for comment in star.star_comments(path):
        particles.tags.take_text(comment)
    if particles.tags.pixel_size is not None:
        particles.pixel_size[:] = particles.tags.pixel_size
        particles.tags.pixel_size = None
    if "pixelsize" in table:
        particles.pixel_size = numbers("pixelsize")[:, 0]
        if not (particles.pixel_size > 0).all():
            raise FormatError(path, f"pixelsize must be above 0 Å, got {particles.pixel_size.min():g}.")
    particles.other = table[[c for c in table if c not in _STOPGAP or c == "subtomo_num"]]
    return particles


def write_stopgap(path: str | Path, particles: ParticleList, numbers: dict[str, int]) -> None:
    """Write a STOPGAP motive list; parameters as in :func:`write_motl`."""
    n = len(particles)
    columns = particles.columns
    angles = np.zeros((n, 3)) if particles.rotations is None else to_motl(particles.rotations)
    ids = columns.get("id", np.arange(1, n + 1))
    half = columns.get("half", np.zeros(n, int))
    table = pd.DataFrame(
        {
            "motl_idx": ids,
            "tomo_num": [numbers[str(name)] for name in particles.tomograms],
            "object": columns.get("group", np.ones(n, int)),
            "subtomo_num": ids,
            "halfset": np.where(half == 1, "A", np.where(half == 2, "B", np.where(np.arange(n) % 2, "B", "A")))
            if (half > 0).any()
            else np.where(np.arange(n) % 2, "B", "A"),
            **dict(zip(("orig_x", "orig_y", "orig_z"), particles.positions.T, strict=True)),
            "score": columns.get("score", np.zeros(n)),
            **dict(zip(("x_shift", "y_shift", "z_shift"), particles.shifts.T, strict=True)),
            **dict(zip(("phi", "psi", "the"), angles.T, strict=True)),
            "class": columns.get("class_number", np.ones(n, int)),
        }
    )
    for name in particles.other if particles.family == "stopgap" else ():
        table[name] = particles.pixel_size if name == "pixelsize" else particles.other[name].to_numpy()
    sizes = np.unique(particles.pixel_size)
    tags = replace(particles.tags, pixel_size=float(sizes[0]) if len(sizes) == 1 and sizes[0] > 0 else None)
    star.write_blocks(path, {"stopgap_motivelist": table}, tags.as_text())


def read_peet(path: str | Path) -> ParticleList:
    """Read a PEET motive list (``name_MOTL_….csv``); positions stand in the IMOD model beside it (``name.mod``).

    One line of names, then the 20 numbers of AV3, whose positions are not used.

    Raises
    ------
    EmtomoError
        If there is no particle, no model beside it, or another number of points in that.
    """
    from emtomo.io.imod import read_model

    path = Path(path)
    lines = [(k, line) for k, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    rows: list[list[float]] = []
    for n, line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            if rows or n != lines[0][0]:
                raise FormatError(path, "a cell is not a number.", n) from None
            continue
        if len(values) != ROWS or not np.isfinite(values).all():
            raise FormatError(path, f"{ROWS} finite numbers are needed, got {len(values)}.", n)
        rows.append(values)
    if not rows:
        raise FormatError(path, "there is no particle in it.")
    models = sorted(path.parent.glob("*.mod"), key=lambda m: -len(m.stem))
    model = next((m for m in models if path.stem.startswith(m.stem)), models[0] if len(models) == 1 else None)
    if model is None:
        raise FormatError(path, f"PEET's positions stand in an IMOD model; there is no {path.stem.split('_')[0]}.mod.")
    points = read_model(model)
    if len(points) != len(rows):
        raise EmtomoError(
            f"{path} has {count_text(len(rows), 'particle')}, the model {model} {count_text(len(points), 'point')}."
        )
    particles = _from_rows(np.array(rows), no_names(len(rows)), points.positions, "peet")
    particles.pixel_size = points.pixel_size
    particles.notes += [f"Positions are those of {model.name}.", *points.notes]
    return particles


_HOLDS = words_of("positions rotation tomograms shift group score class_number id other")
_ANGLES = "phi, psi, theta: Rz(psi) Rx(theta) Rz(phi)"


def _is_motl(start: FileStart) -> bool:
    return start.suffix == ".em" and count_columns(start.data) == ROWS


def _is_stopgap(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_orig_x\b")


def _is_peet(start: FileStart) -> bool:
    cells = start.first_row.split(",")
    return cells[0] == "CCC" or (len(cells) == ROWS and all(is_number(cell) for cell in cells))


def _read_motl(path: Path, _: ReadOptions) -> ParticleList:
    return read_motl(path)


def _read_stopgap(path: Path, _: ReadOptions) -> ParticleList:
    return read_stopgap(path)


def _read_peet(path: Path, _: ReadOptions) -> ParticleList:
    return read_peet(path)


def _write_motl(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    return write_numbered(path, particles, options, write_motl)


def _write_stopgap(path: Path, particles: ParticleList, options: WriteOptions) -> list[Path]:
    return write_numbered(path, particles, options, write_stopgap)


MOTL = Format("motl", "AV3/TOM motive list", _is_motl, _read_motl, _write_motl, _HOLDS, ".em", (".em",), family="motl",
              names_tomograms="by number", described=("voxels", _ANGLES, "x + shift; 32-bit numbers"))  # fmt: skip
STOPGAP = Format("stopgap", "STOPGAP motive list", _is_stopgap, _read_stopgap, _write_stopgap,
                 _HOLDS | {"half", "tags"}, ".star", family="stopgap", names_tomograms="by number",
                 described=("voxels", _ANGLES, "orig + shift"))  # fmt: skip
PEET = Format("peet", "PEET motive list", _is_peet, _read_peet, family="motl", names_tomograms="not",
              described=("those of the IMOD model beside it", _ANGLES, "point + offset"))  # fmt: skip
