"""crYOLO: boxes in STAR files (.cbox) and in EMAN's plain ones (.box)."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.format import FileStart, Format, ReadOptions
from emtomo.io.particles import ParticleList, no_names
from emtomo.io.text import as_numbers, matrix, read_text, to_int64


def read_cbox(path: str | Path) -> ParticleList:
    """Read a crYOLO .cbox file, version 1.0.

    CoordinateX and Y are the corner of a box, half its width and height from the centre; CoordinateZ is the centre's
    slice, ``<NA>`` for images.

    Raises
    ------
    FormatError
        If the columns of boxes are missing, or there is no particle.
    """
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if {"CoordinateX", "CoordinateY", "Width", "Height"} <= set(b)), None)
    if table is None:
        raise FormatError(path, "no block has CoordinateX, CoordinateY, Width and Height.")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")
    values = star.floats(path, table, ["CoordinateX", "CoordinateY", "Width", "Height"])
    positions = np.full((len(table), 3), np.nan)
    positions[:, :2] = values[:, :2] + values[:, 2:] / 2
    if "CoordinateZ" in table and not table["CoordinateZ"].isna().all():
        positions[:, 2] = star.floats(path, table, ["CoordinateZ"])[:, 0]
    particles = ParticleList(no_names(len(table)), positions, np.zeros((len(table), 3)), family="cbox", format="cbox")
    if "Confidence" in table and np.isfinite(score := as_numbers(table["Confidence"])).all():
        particles.columns["score"] = score
    if "filamentid" in table and np.isfinite(group := as_numbers(table["filamentid"])).all():
        particles.columns["group"] = to_int64(group)
    used = {"CoordinateX", "CoordinateY", "CoordinateZ", "Confidence", "filamentid"}
    particles.other = table[[c for c in table if c not in used]]
    return particles


def read_box(path: str | Path) -> ParticleList:
    """Read an EMAN .box file of an image: corner x, y, width, height."""
    values = matrix(path, read_text(path), (4, 5), "a box file")
    positions = np.full((len(values), 3), np.nan)
    positions[:, :2] = values[:, :2] + values[:, 2:4] / 2
    return ParticleList(no_names(len(values)), positions, np.zeros((len(values), 3)), format="box")


def _is_cbox(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_CoordinateX\b")


def _is_box(start: FileStart) -> bool:
    return start.suffix == ".box"


def _read_cbox(path: Path, _: ReadOptions) -> ParticleList:
    return read_cbox(path)


def _read_box(path: Path, _: ReadOptions) -> ParticleList:
    return read_box(path)


_POSITIONS = "corner of the box, from which its centre is taken"
CBOX = Format("cbox", "crYOLO boxes", _is_cbox, _read_cbox, family="cbox", names_tomograms="not",
              described=(f"{_POSITIONS}; z is the centre's slice", "–", "box"))  # fmt: skip
BOX = Format("box", "EMAN boxes of an image", _is_box, _read_box, names_tomograms="not",
             described=(f"{_POSITIONS}; no z", "–", "box"))  # fmt: skip
