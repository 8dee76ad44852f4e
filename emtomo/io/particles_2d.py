"""Images of particles in RELION's STAR files, 3.0 to 5: stacks, poses, classes, CTF."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import mrc, star
from emtomo.io.micrographs import ctf_values, find_files, one_value, optics_of, take_optics_group
from emtomo.io.names import as_place, stem
from emtomo.io.poses import from_relion
from emtomo.io.relion import ANGLES, COLUMNS, ORIGIN, ORIGIN_ANGST
from emtomo.io.relion_sizes import MICROGRAPH, pixel_sizes_of
from emtomo.io.tags import Tags
from emtomo.io.text import as_numbers, to_int64

POSITIONS = ["rlnCoordinateX", "rlnCoordinateY"]
_IGNORED = {"beam tilt": ("rlnBeamTiltX", "rlnBeamTiltY"), "anisotropic magnification": ("rlnMagMat01", "rlnMagMat10"),
            "aberrations": ("rlnOddZernike", "rlnEvenZernike")}  # fmt: skip


@dataclass
class ParticleTable:
    """Particles as a STAR file names them.

    Attributes
    ----------
    frame : DataFrame
        micrograph_id, file (absolute), index (from 0), coordinate_x/y (pixels of the micrographs from the first one;
        NaN where there are none), shift_x/y (Å), psi (°) and, where known, score, class_number, half, group and the
        CTF.
    rotations : (n, 3, 3) array
        image = R @ reference; NaN where the file has no orientation but at most an angle in the plane.
    pixel_size : float or None
        Å of the images.
    micrograph_pixel_size : float or None
        Å of the pixels in which coordinates count.
    box_size : int
    optics : dict
        voltage, cs, amplitude_contrast where present.
    tags : Tags
    notes : list of str
        What was not taken.
    """

    frame: pd.DataFrame
    rotations: np.ndarray
    pixel_size: float | None
    micrograph_pixel_size: float | None
    box_size: int
    optics: dict[str, float] = field(default_factory=dict)
    tags: Tags = field(default_factory=Tags)
    notes: list[str] = field(default_factory=list)


def read_particles_2d(path: str | Path, optics_group: int = 0) -> ParticleTable:
    """Read particles of RELION 3.0, 3.1, 4 or 5 with their stacks.

    The particle lies at minus rlnOrigin from the image's centre, and the rotation is that of
    :func:`emtomo.io.poses.from_relion`. Where rot and tilt are zero for all, the angles are those of a 2D
    classification: ``psi`` is minus rlnAnglePsi.

    Parameters
    ----------
    path : str or Path
    optics_group : int
        Only its particles; 0: all.

    Raises
    ------
    FormatError
        With the line where there is one: it is no such file, a number is none, a stack is missing, too short or of
        another size, or particles have several pixel sizes or microscopes.
    """
    path = Path(path)
    table, optics = _tables(path, optics_group)
    sizes = pixel_sizes_of(path, table, optics)
    pixel_size = one_value(path, sizes.boxes, "pixel size", " Å")
    said = any(source is not None and set(MICROGRAPH[:2]) & set(source) for source in (optics, table))
    version30 = optics is None
    micrographs = one_value(path, sizes.positions, "pixel size", " Å") if said or version30 else None
    files, index = _stacks(path, table)
    size = _box_size(path, table, files, index)
    frame = pd.DataFrame({"micrograph_id": _micrographs(path, table, files), "file": files, "index": index})
    located = set(POSITIONS) <= set(table)
    positions = star.floats(path, table, POSITIONS) if located else np.full((len(table), 2), np.nan)
    frame["coordinate_x"], frame["coordinate_y"] = positions.T
    frame["shift_x"], frame["shift_y"] = _shifts(path, table, pixel_size).T
    rotations, psi = _angles(path, table)
    frame["psi"] = psi
    notes = _columns(path, table, frame)
    tags = Tags()
    for comment in star.star_comments(path):
        tags.take_text(comment)
    _flags(path, table, optics, tags)
    for what, columns in _IGNORED.items():
        if any(source is not None and set(columns) & set(source) for source in (optics, table)):
            notes.append(f"The {what} in the STAR file is not used.")
    return ParticleTable(frame, rotations, pixel_size, micrographs, size, optics_of(path, table, optics), tags, notes)


def _tables(path: Path, optics_group: int) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if "rlnImageName" in b), None)
    if table is None:
        raise FormatError(path, "no block has rlnImageName: it lists no extracted particles.")
    optics = blocks.get("optics")
    if optics is not None and len(optics) == 0:
        optics = None
    if optics_group:
        table = take_optics_group(path, table, optics_group, "particle")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")
    if optics is not None and "rlnImageDimensionality" in optics and (optics["rlnImageDimensionality"] != 2).any():
        raise FormatError(path, "the particles are 3D boxes; take import-subtomograms.")
    if "rlnTomoName" in table or "rlnTomoParticleName" in table:
        raise FormatError(path, "the particles are of tomograms; take import-subtomograms.")
    return table, optics


def _stacks(path: Path, table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Return files, and places in them from 0."""
    names, index = [], np.zeros(len(table), int)
    for k, name in enumerate(star.words(table, "rlnImageName")):
        number, at, file = name.rpartition("@")
        if at:
            place = as_place(number)
            if place is None:
                line = star.line_of(path, table, k)
                raise FormatError(path, f"rlnImageName must be number@stack, numbers from 1, got {name[:60]!r}.", line)
            index[k] = place - 1
        names.append(file if at else name)
    return find_files(path, names, table), index


def _box_size(path: Path, table: pd.DataFrame, files: list[str], index: np.ndarray) -> int:
    """Return the edge of the images; every stack must hold square images of it, and enough of them."""
    stacks = pd.DataFrame({"file": files, "index": index})
    size = 0
    for file, part in stacks.groupby("file", sort=False)["index"]:
        count, rows, columns = mrc.read_header(str(file)).shape
        size = size or columns
        if rows != columns or columns != size:
            raise FormatError(str(file), f"holds images of {columns}×{rows} pixels; all must be {size}×{size}.")
        if part.max() >= count:
            row = int(np.argmax((stacks["file"] == file).to_numpy() & (index >= count)))
            raise FormatError(
                path, f"image {index[row] + 1} of {file} is asked for, there are {count}.",
                star.line_of(path, table, row),
            )  # fmt: skip
    return size


def _micrographs(path: Path, table: pd.DataFrame, files: list[str]) -> np.ndarray:
    names = list(star.words(table, "rlnMicrographName")) if "rlnMicrographName" in table else files
    seen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        other = seen.setdefault(stem(name), name)
        if other != name:
            raise FormatError(path, f"two micrographs have the id {stem(name)!r}: {other} and {name}.")
    return np.array([stem(name) for name in names], object)


def _shifts(path: Path, table: pd.DataFrame, pixel_size: float | None) -> np.ndarray:
    shifts = np.zeros((len(table), 2))
    for k, (angstrom, pixels) in enumerate(zip(ORIGIN_ANGST[:2], ORIGIN[:2], strict=True)):
        column, step = (angstrom, 1.0) if angstrom in table else (pixels, pixel_size or 0.0)
        if column not in table:
            continue
        origins = star.floats(path, table, [column])[:, 0]
        if not step and origins.any():
            raise FormatError(path, "origins are in pixels, but the pixel size of the images is not in it.")
        shifts[:, k] = 0.0 - origins * step
    return shifts


def _angles(path: Path, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations and the angles in the plane."""
    unknown = np.full((len(table), 3, 3), np.nan)
    solid = set(ANGLES) <= set(table)
    if solid:
        angles = star.floats(path, table, ANGLES)
        if angles[:, :2].any():
            return from_relion(angles), np.zeros(len(table))
    psi = star.floats(path, table, ANGLES[2:])[:, 0] if ANGLES[2] in table else np.zeros(len(table))
    return unknown, 0.0 - psi


def _columns(path: Path, table: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """Add score, class, half, group and CTF to `frame`; return what was not taken."""
    notes = []
    wanted = {name: COLUMNS[name] for name in ("score", "class_number", "half")} | {"group": ("rlnGroupNumber",)}
    for name, candidates in wanted.items():
        column = next((c for c in candidates if c in table), None)
        if column is None:
            continue
        values = as_numbers(table[column])
        bad = int((~np.isfinite(values)).sum())
        if bad:
            notes.append(f"{bad} of {len(table)} cells of {column} are no numbers: it is not used.")
            continue
        frame[name] = values if name == "score" else to_int64(values)
    for name, values in ctf_values(path, table).items():
        if name not in ("ctf_score", "max_resolution"):
            frame[name] = values
    return notes


def _flags(path: Path, table: pd.DataFrame, optics: pd.DataFrame | None, tags: Tags) -> None:
    """Take whether images were multiplied with their CTF; refuse flipped phases, which no set can say."""
    for source in (optics, table):
        if source is None:
            continue
        if "rlnCtfDataArePhaseFlipped" in source and (as_numbers(source["rlnCtfDataArePhaseFlipped"]) == 1).any():
            raise FormatError(
                path, "the phases of the images are flipped; extract the particles without phase flipping."
            )
        if "rlnCtfDataAreCtfPremultiplied" in source and tags.premultiplied is None:
            tags.premultiplied = bool((as_numbers(source["rlnCtfDataAreCtfPremultiplied"]) == 1).any())
