"""Subtomograms in RELION and Warp STAR files: boxes, weights, poses, halves."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.names import as_place, is_file
from emtomo.io.particles import ParticleList
from emtomo.io.referenced import note_files_outside
from emtomo.io.relion import CENTRED, VOXELS, particles_of, recognise_fractions
from emtomo.io.relion_write import write_relion
from emtomo.io.tags import Tags

UP = 4  # folders above the STAR file in which the files that it names are looked for


@dataclass
class Subtomograms:
    """Subtomograms as a STAR file names them.

    Attributes
    ----------
    particles : ParticleList
    files, ctf_files : (n,) arrays of str
        Absolute paths; `ctf_files` is empty where the file names none.
    index : (n,) int array
        Place in the stack, from 0.
    optics : dict
        voltage, cs, amplitude_contrast where present.
    """

    particles: ParticleList
    files: np.ndarray
    index: np.ndarray
    ctf_files: np.ndarray
    optics: dict[str, float] = field(default_factory=dict)

    @property
    def pixel_size(self) -> float | None:
        """Å per voxel of the boxes; ``None`` where the file does not say."""
        sizes = self.particles.box_pixel_size
        return float(sizes[0]) if np.isfinite(sizes).all() else None


_OPTICS = {"rlnVoltage": "voltage", "rlnSphericalAberration": "cs", "rlnAmplitudeContrast": "amplitude_contrast"}
_NUMBERS = {*_OPTICS, "rlnCtfDataAreCtfPremultiplied"}


def read_subtomograms(path: str | Path) -> Subtomograms:
    """Read subtomograms (3D boxes) of RELION 3.0, 3.1, 4 or Warp.

    The rotation is RELION's matrix of rot, tilt, psi (the inverse of the intrinsic ZYZ rotation); the
    particle lies at minus rlnOrigin from the box's centre. See :mod:`emtomo.io.relion_sizes` for pixel sizes.

    Raises
    ------
    FormatError
        If it is no such file, a number is none, or a file that it names is missing.
    """
    path = Path(path)
    blocks = star.read_blocks(path)
    for name, block in blocks.items():
        for column in _NUMBERS & set(block):
            if not np.isfinite(pd.to_numeric(block[column], errors="coerce").to_numpy(float)).all():
                raise FormatError(path, f"block {name}: {column} must be a finite number.")
    table = next((b for b in blocks.values() if "rlnImageName" in b), None)
    if table is None:
        raise FormatError(path, "no block has rlnImageName: these are no extracted subtomograms.")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")
    optics = blocks.get("optics")
    if optics is not None and "rlnImageDimensionality" in optics and (optics["rlnImageDimensionality"] != 3).any():
        raise FormatError(path, "the particles are 2D images or stacks of them; subtomograms are 3D boxes.")
    stacks, index = _images(path, table["rlnImageName"])
    ctf = np.full(len(table), "", object)
    if "rlnCtfImage" in table:
        ctf = _find_files(path, table["rlnCtfImage"])
    located = set(VOXELS) <= set(table) or set(CENTRED) <= set(table)
    if not located:
        blocks = {k: b.assign(**dict.fromkeys(VOXELS, 0.0)) if b is table else b for k, b in blocks.items()}
    particles = particles_of(path, blocks)
    if located:
        recognise_fractions(particles)
    if particles.frames is not None and not np.allclose(particles.frames, np.eye(3), atol=1e-6):
        raise FormatError(
            path, "the boxes are rotated (rlnTomoSubtomogramRot); extract them along the tomogram's axes."
        )
    particles.notes += note_files_outside(path, [*stacks, *(file for file in ctf if file)])
    sizes = sorted(set(particles.box_pixel_size[np.isfinite(particles.box_pixel_size)].tolist()))
    if len(sizes) > 1:
        listed = ", ".join(f"{v:g}" for v in sizes)
        raise FormatError(path, f"particles have several pixel sizes ({listed} Å); one set has one.")
    sources = [optics, table]
    values = {key: _first(sources, column) for column, key in _OPTICS.items()}
    return Subtomograms(
        particles, stacks, index, ctf, {key: float(value) for key, value in values.items() if value is not None}
    )


def write_particles(
    path: str | Path,
    frame: pd.DataFrame,
    rotations: np.ndarray,
    pixel_size: float,
    box_size: int,
    *,
    optics: dict[str, float] | None = None,
    premultiplied: bool = False,
    tags: Tags | None = None,
) -> None:
    """Write subtomograms as a RELION 3.1 STAR file.

    Parameters
    ----------
    path : str or Path
    frame : DataFrame
        Columns tomogram_id, coordinate_x/y/z (voxels), shift_x/y/z (Å), file, index, and where known
        ctf_file, half, class_number.
    rotations : (n, 3, 3) array
    pixel_size : float
    box_size : int
    optics : dict, optional
        voltage, cs, amplitude_contrast.
    premultiplied : bool
    tags : Tags, optional
        What else is known of the boxes: contrast, what their CTF volumes are.

    Raises
    ------
    FormatError
        If a name has a quote in it, which a STAR file cannot hold.
    """
    n = len(frame)
    particles = ParticleList(
        frame["tomogram_id"].to_numpy(object),
        frame[[f"coordinate_{a}" for a in "xyz"]].to_numpy(float),
        frame[[f"shift_{a}" for a in "xyz"]].to_numpy(float) / pixel_size,
        rotations,
        pixel_size=np.full(n, pixel_size, float),
        optics=box_optics(pixel_size, box_size, optics),
        other=pd.DataFrame({"rlnOpticsGroup": np.ones(n, int)}),
        family="relion",
    )
    particles.tags = replace(tags or Tags(), premultiplied=premultiplied)
    particles.columns = box_columns(frame)
    write_relion(path, particles, "relion3.1")


def box_columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return image, ctf_image, half and class_number of subtomograms with columns file, index and where known others.

    A box that is a file of its own is named plainly: RELION would take ``1@file`` for a slice of it.
    """
    many = frame["file"].duplicated(keep=False).any() or (frame["index"] > 0).any()
    images = [f"{i + 1:06d}@{f}" if many else str(f) for f, i in zip(frame["file"], frame["index"], strict=True)]
    columns = {"image": np.array(images, object)}
    if "ctf_file" in frame and (frame["ctf_file"].fillna("") != "").all():
        columns["ctf_image"] = frame["ctf_file"].to_numpy(object)
    if "half" in frame and frame["half"].isin([1, 2]).all():
        columns["half"] = frame["half"].to_numpy(int)
    if "class_number" in frame:
        columns["class_number"] = frame["class_number"].to_numpy(int)
    return columns


def box_optics(pixel_size: float, box_size: int, optics: dict[str, float] | None = None) -> pd.DataFrame:
    """Return one optics group of RELION for boxes; `optics`: voltage, cs, amplitude_contrast."""
    values = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1, **(optics or {})}
    return pd.DataFrame({
        "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnSphericalAberration": [values["cs"]],
        "rlnVoltage": [values["voltage"]], "rlnAmplitudeContrast": [values["amplitude_contrast"]],
        "rlnImagePixelSize": [pixel_size], "rlnImageSize": [box_size], "rlnImageDimensionality": [3],
    })  # fmt: skip


def _first(sources: list[pd.DataFrame | None], column: str) -> Any:
    return next((s[column].iloc[0] for s in sources if s is not None and column in s), None)


def _images(path: Path, names: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    parts = [str(name).split("@", 1) for name in names]
    index = np.zeros(len(parts), int)
    for k, part in enumerate(parts):
        if len(part) == 2:
            place = as_place(part[0])
            if place is None:
                raise FormatError(path, f"row {k + 1}: rlnImageName must start with a number before @.")
            index[k] = place - 1
    return _find_files(path, pd.Series([part[-1] for part in parts])), index


def _find_files(path: Path, names: pd.Series) -> np.ndarray:
    """Return absolute paths of files named relative to the STAR file, to a folder above it, or to here."""
    bases = [path.resolve().parent, *list(path.resolve().parents)[1 : UP + 1], Path.cwd()]
    found: dict[str, str] = {}
    base_of: Path | None = None
    for k, name in enumerate(str(n) for n in names):
        if name in found:
            continue
        tries = ([base_of] if base_of else []) + bases
        base = next((b for b in tries if is_file(b / name)), None)
        if base is None:
            raise FormatError(path, f"row {k + 1}: the file {name} is missing.")
        base_of = base
        found[name] = str(base / name)
    return np.array([found[str(name)] for name in names], object)
