"""Particles as STAR files of RELION 3.0, 3.1, 4 and 5, and of Warp."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, one_line
from emtomo.io import star
from emtomo.io.names import stem, tomostar
from emtomo.io.particles import ParticleList, VolumeGeometry, convert_frame
from emtomo.io.poses import to_relion
from emtomo.io.relion import ANGLES, CENTRED, FRAME, ORIGIN, ORIGIN_ANGST, SET_NAME, VOXELS
from emtomo.io.relion_sizes import MICROGRAPH, SERIES
from emtomo.io.text import as_numbers

_NAMES = {
    "group": "rlnTomoManifoldIndex",
    "score": "rlnAutopickFigureOfMerit",
    "class_number": "rlnClassNumber",
    "half": "rlnRandomSubset",
    "image": "rlnImageName",
    "ctf_image": "rlnCtfImage",
    "set_name": SET_NAME,
}
_QUOTES = str.maketrans({"'": "’", '"': "”"})  # which a STAR file cannot hold


def write_relion(
    path: str | Path,
    particles: ParticleList,
    version: str = "relion3.1",
    *,
    pixel_size: float | None = None,
    volumes: Mapping[str, VolumeGeometry] | None = None,
) -> None:
    """Write particles as a STAR file.

    Parameters
    ----------
    path : str or Path
    particles : ParticleList
    version : {"relion3.0", "relion3.1", "relion4", "relion5", "warp"}
        relion3.0 and warp: one block, origins in voxels; 3.1: optics, origins in Å; 4: rlnTomoName and positions in
        voxels of the tilt series; 5: positions in Å from the centre. warp names tomograms ``name.tomostar``.
    pixel_size : float, optional
        Å per voxel of the positions that are written.
    volumes : mapping, optional
        Sizes of the tomograms, by stem, where the origin of the positions changes.

    Raises
    ------
    EmtomoError
        If something that the version needs is not known.
    """
    centred = version == "relion5"
    if particles.flat and version in ("relion4", "relion5"):
        raise EmtomoError(f"{version} holds particles of tomograms; these have no z.")
    frame = ("angstrom", "half") if centred else ("voxel", "corner")
    counted = _size_column(particles.optics, version) if version in ("relion3.1", "relion4") else None
    series = _optics_pixels(particles, counted) if counted and pixel_size is None else pixel_size
    here = convert_frame(particles, *frame, pixel_size=series, volumes=volumes)
    if version != "warp" and version != "relion3.0" and not centred and np.isnan(here.pixel_size).any():
        raise EmtomoError(f"{version} needs the pixel size of the positions, which the file does not say; give it.")
    tomo = version in ("relion4", "relion5")
    table: dict[str, Any] = {"rlnTomoName" if tomo else "rlnMicrographName": _tomogram_names(here, version)}
    if tomo:
        table |= _numbered(here)
    for column, values in zip(CENTRED if centred else VOXELS, here.positions.T, strict=True):
        if np.isfinite(values).any():
            table[column] = values
    table |= _pose(here, version, tomo)
    for name, column in _NAMES.items():
        if name in here.columns and column not in table:
            values = here.columns[name]
            table[column] = [one_line(v).translate(_QUOTES) for v in values] if name == "set_name" else values
    for kept in here.other if here.family == "relion" else ():
        table.setdefault(str(kept), here.other[kept].to_numpy())
    if version in ("relion3.0", "warp"):
        blocks = _single(table, here)
    else:
        optics, groups = _optics(here, version)
        table["rlnOpticsGroup"] = groups
        blocks = {"optics": optics, "particles": pd.DataFrame(table)}
    if centred:
        stacks = optics.get("rlnImageDimensionality")
        flat = stacks is not None and bool((stacks == 2).all())
        blocks = {"general": {"rlnTomoSubTomosAre2DStacks": int(flat)}, **blocks}
    star.write_blocks(path, blocks, here.tags.as_text())


def _size_column(optics: pd.DataFrame | None, version: str) -> str:
    """Return the column of the optics groups in whose voxels a version counts positions; see relion.py."""
    if version in ("relion4", "relion5"):
        return SERIES
    return next((c for c in MICROGRAPH if optics is not None and c in optics), MICROGRAPH[-1])


def _optics_pixels(particles: ParticleList, column: str) -> np.ndarray | None:
    """Return the pixel size in which a version counts positions, for every particle, if its optics group says it."""
    optics, groups = particles.optics, particles.other.get("rlnOpticsGroup")
    if optics is None or groups is None or not {"rlnOpticsGroup", column} <= set(optics):
        return None
    of = dict(zip(optics["rlnOpticsGroup"], as_numbers(optics[column]), strict=True))
    sizes = np.array([of.get(group, np.nan) for group in groups])
    return sizes if np.isfinite(sizes).all() and (sizes > 0).all() else None


def _tomogram_names(particles: ParticleList, version: str) -> np.ndarray:
    names = particles.tomograms
    if version == "warp":
        of = {name: tomostar(str(name)) if name else "" for name in dict.fromkeys(names)}
        names = np.array([of[name] for name in names], object)
    return np.where(names == "", "unknown", names)


def _numbered(particles: ParticleList) -> dict[str, np.ndarray]:
    """Return rlnTomoParticleId, and rlnTomoParticleName as ``name/number`` unless the file had one."""
    ids = particles.columns.get("id", np.arange(1, len(particles) + 1))
    if len(np.unique(ids)) < len(ids):
        ids = np.arange(1, len(particles) + 1)
    columns = {"rlnTomoParticleId": ids}
    if "rlnTomoParticleName" not in particles.other:
        place = pd.Series(particles.tomograms.astype(str)).groupby(particles.tomograms.astype(str)).cumcount() + 1
        pairs = zip(particles.tomograms, place, strict=True)
        columns["rlnTomoParticleName"] = np.array([f"{stem(str(t)) or 'unknown'}/{k}" for t, k in pairs], object)
    return columns


def _pose(particles: ParticleList, version: str, tomo: bool) -> dict[str, np.ndarray]:
    """Return angles and origins: RELION's sign, in the frame of the boxes where they have one of their own."""
    columns: dict[str, np.ndarray] = {}
    rotations, shifts = particles.rotations, particles.shifts
    if tomo and particles.frames is not None:
        back = np.swapaxes(particles.frames, 1, 2)
        columns |= dict(zip(FRAME, to_relion(particles.frames).T, strict=True))
        rotations = None if rotations is None else back @ rotations
        shifts = np.einsum("nij,nj->ni", back, shifts)
    if rotations is not None:
        columns |= dict(zip(ANGLES, to_relion(rotations).T, strict=True))
    if version in ("relion3.0", "warp"):
        if shifts.any():
            columns |= dict(zip(ORIGIN, 0.0 - shifts.T, strict=True))
        return columns
    step = 1.0 if particles.unit == "angstrom" else particles.pixel_size[:, None]
    return columns | dict(zip(ORIGIN_ANGST[: 2 if particles.flat else 3], 0.0 - (shifts * step).T, strict=False))


def _single(table: dict[str, Any], particles: ParticleList) -> dict[str, Any]:
    if np.isfinite(particles.pixel_size).all():
        table["rlnMagnification"] = np.full(len(particles), 10000.0)
        table["rlnDetectorPixelSize"] = particles.pixel_size
    if particles.optics is not None and "rlnOpticsGroup" in particles.optics and "rlnOpticsGroup" in table:
        groups = particles.optics.set_index("rlnOpticsGroup")
        for column in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
            if column in groups:
                table[column] = groups[column].reindex(np.asarray(table["rlnOpticsGroup"])).to_numpy()
        del table["rlnOpticsGroup"]
    return {"": pd.DataFrame(table)}


def _optics(particles: ParticleList, version: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the optics groups and the group of every particle: one for each pixel size if the file had none."""
    step = particles.pixel_size
    column = _size_column(particles.optics, version)
    if particles.optics is not None and "rlnOpticsGroup" in particles.other and "rlnOpticsGroup" in particles.optics:
        groups = particles.other["rlnOpticsGroup"].to_numpy()
        optics = particles.optics.copy()
        of = dict(zip(groups.tolist(), step.tolist(), strict=True))
        if version == "relion3.1" or column not in optics:
            kept = optics[column] if column in optics else pd.Series(np.nan, optics.index)
            optics[column] = [of.get(g, k) for g, k in zip(optics["rlnOpticsGroup"], kept, strict=True)]
        if version == "relion3.1":
            optics = optics.drop(columns=SERIES, errors="ignore")
    else:
        sizes, place = np.unique(step, return_inverse=True)
        groups = place + 1
        numbers = np.arange(1, len(sizes) + 1)
        optics = pd.DataFrame(
            {
                "rlnOpticsGroup": numbers,
                "rlnOpticsGroupName": [f"opticsGroup{k}" for k in numbers],
                "rlnSphericalAberration": 2.7,
                "rlnVoltage": 300.0,
                "rlnAmplitudeContrast": 0.1,
                column: sizes,
            }
        )
        if column == SERIES and np.isnan(sizes).any():
            raise EmtomoError("RELION 4 and 5 need the pixel size of the tilt series; give the pixel size.")
        optics["rlnImagePixelSize"] = sizes
        optics["rlnImageDimensionality"] = 2 if particles.flat else 3
    if particles.tags.premultiplied is not None:
        optics["rlnCtfDataAreCtfPremultiplied"] = int(particles.tags.premultiplied)
    return optics, groups
