"""Particles in RELION's STAR files, 3.0 to 5, and in Warp's, which have the columns of 3.0."""

from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.particles import ParticleList, no_names
from emtomo.io.poses import from_relion
from emtomo.io.relion_sizes import SIZE_COLUMNS, pixel_sizes_of
from emtomo.io.text import as_numbers, to_int64

CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
VOXELS = [f"rlnCoordinate{axis}" for axis in "XYZ"]
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
FRAME = [f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")]
ORIGIN = [f"rlnOrigin{axis}" for axis in "XYZ"]
ORIGIN_ANGST = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
COLUMNS = {
    "group": ("rlnTomoManifoldIndex", "rlnObjectNumber"),
    "score": ("rlnAutopickFigureOfMerit", "rlnLCCmax", "rlnLogLikeliContribution"),
    "class_number": ("rlnClassNumber",),
    "half": ("rlnRandomSubset",),
    "id": ("rlnTomoParticleId",),
}
SET_NAME = "emtomoSetName"  # RELION keeps columns that it does not know
KNOWN = (
    *CENTRED, *VOXELS, *ANGLES, *FRAME, *ORIGIN, *ORIGIN_ANGST, *(one for names in COLUMNS.values() for one in names),
    *SIZE_COLUMNS, "rlnTomoName", "rlnMicrographName", "rlnImageName", "rlnOpticsGroup",
)  # fmt: skip
_WORDS = {"image": "rlnImageName", "ctf_image": "rlnCtfImage", "set_name": SET_NAME}


def read_relion(path: str | Path) -> ParticleList:
    """Read particles of RELION 3.0, 3.1, 4 or 5, of Warp, or 2D particles.

    Positions are rlnCoordinateX/Y/Z in voxels (of the tilt series in RELION 4) or rlnCenteredCoordinate*Angst in Å
    from the tomogram's centre (RELION 5). The rotation is that of :func:`emtomo.io.poses.from_relion`, after
    rlnTomoSubtomogramRot/Tilt/Psi where present. The particle lies at minus rlnOrigin from the box's centre, in the
    frame of the box (RELION 4: particle_set.cpp, getPosition).

    Raises
    ------
    FormatError
        With the line, if it is no such file or a number is none.
    """
    particles = particles_of(path, star.read_blocks(path))
    recognise_fractions(particles)
    return particles


def recognise_fractions(particles: ParticleList) -> None:
    """Take positions that all lie between 0 and 1 as fractions of the tomogram (Warp: coordinates are normalized)."""
    if particles.format != "relion3.0" or particles.unit != "voxel" or particles.flat:
        return
    if len(particles) > 1 and (particles.positions >= 0).all() and (particles.positions <= 1).all():
        particles.unit = "fraction"
        particles.notes.append("All positions lie between 0 and 1: taken as fractions of the tomogram's size.")


def particles_of(path: str | Path, blocks: dict[str, pd.DataFrame]) -> ParticleList:
    """Return the particles in the blocks of a STAR file; see :func:`read_relion`.

    Raises
    ------
    FormatError
        If no block has positions, or there is no particle.
    """
    table, notes = star.particle_table(blocks, VOXELS[:2], CENTRED)
    if table is None:
        table = next((b for b in blocks.values() if "rlnImageName" in b and set(ANGLES) <= set(b)), None)
    if table is None:
        capitals = star.other_capitals((str(name) for one in blocks.values() for name in one), KNOWN)
        why = f"; names of columns have other capitals: {capitals}" if capitals else ""
        raise FormatError(path, f"no block has rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst{why}.")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")
    optics = next((blocks[name] for name in blocks if name == "optics" and len(blocks[name])), None)
    centred = set(CENTRED) <= set(table)
    source = next((c for c in ("rlnTomoName", "rlnMicrographName") if c in table), None)
    warp = "general" in blocks and source == "rlnTomoName" and str(table[source].iloc[0]).endswith(".tomostar")
    sizes = pixel_sizes_of(path, table, optics, exported_by_warp=warp)
    particles = ParticleList(
        star.words(table, source) if source else no_names(len(table)),
        _positions(path, table, centred),
        np.zeros((len(table), 3)),
        unit="angstrom" if centred else "voxel",
        origin="half" if centred else "corner",
        pixel_size=sizes.positions,
        box_pixel_size=sizes.boxes,
        counts_in_boxes=sizes.same and not centred,
        optics=optics,
        family="relion",
        format=_version(blocks, table),
    )
    particles.notes += notes
    for one in (table, optics):
        if one is not None and (capitals := star.other_capitals(map(str, one), KNOWN)):
            particles.notes.append(f"Columns with other capitals than RELION's are not read: {capitals}.")
    _poses(path, table, particles)
    _columns(path, table, particles, source, optics)
    for comment in star.star_comments(path):
        particles.tags.take_text(comment)
    flag = next(
        (
            t["rlnCtfDataAreCtfPremultiplied"]
            for t in (optics, table)
            if t is not None and "rlnCtfDataAreCtfPremultiplied" in t
        ),
        None,
    )
    if flag is not None and len(flag):
        particles.tags.premultiplied = bool(as_numbers(flag)[0] == 1)
    return particles


def _version(blocks: dict[str, pd.DataFrame], table: pd.DataFrame) -> str:
    if set(CENTRED) <= set(table):
        return "relion5"
    if "optics" not in blocks:
        return "relion3.0"
    return "relion4" if "rlnTomoName" in table else "relion3.1"


def _positions(path: str | Path, table: pd.DataFrame, centred: bool) -> np.ndarray:
    if centred:
        return star.floats(path, table, CENTRED)
    positions = np.full((len(table), 3), np.nan)
    present = [c for c in VOXELS if c in table]
    positions[:, : len(present)] = star.floats(path, table, present)
    return positions


def _poses(path: str | Path, table: pd.DataFrame, particles: ParticleList) -> None:
    """Set rotations, frames and shifts."""
    if "rlnAnglePsi" in table and particles.flat:
        psi = star.floats(path, table, ["rlnAnglePsi"])[:, 0]
        particles.rotations = from_relion(np.stack([0 * psi, 0 * psi, psi], axis=1))
    if not particles.flat or set(ANGLES) <= set(table):
        particles.rotations = _rotations(path, table, ANGLES, particles)
    particles.frames = _rotations(path, table, FRAME, particles)
    if particles.frames is not None:
        angles = np.eye(3) if particles.rotations is None else particles.rotations
        particles.rotations = particles.frames @ angles
    particles.shifts, particles.shift_unit = _shifts(path, table, particles)


def _rotations(path: str | Path, table: pd.DataFrame, columns: list[str], particles: ParticleList) -> np.ndarray | None:
    """Return the rotations of three columns, of which some may be missing: they count as 0, as in RELION."""
    present = [c for c in columns if c in table]
    if not present:
        return None
    if len(present) < len(columns):
        missing = [c for c in columns if c not in present]
        verb = "is" if len(missing) == 1 else "are"
        particles.notes.append(f"{', '.join(missing)} {verb} missing: taken as 0.")
    angles = np.zeros((len(table), 3))
    angles[:, [columns.index(c) for c in present]] = star.floats(path, table, present)
    return from_relion(angles)


def _shifts(path: str | Path, table: pd.DataFrame, particles: ParticleList) -> tuple[np.ndarray, str]:
    """Return shifts from the boxes' centres and their unit: along each axis in Å where the table has that column.

    RELION from 3.1 on does not look at rlnOriginX/Y/Z where the columns in Å are there.
    """
    found = {c: -star.floats(path, table, [c])[:, 0] for c in (*ORIGIN, *ORIGIN_ANGST) if c in table}
    if all(c not in found for c in ORIGIN_ANGST):
        shifts, unit = _along_axes(found, ORIGIN, len(table)), "voxel"
    else:
        boxes = particles.box_pixel_size
        shifts, unit = _along_axes(found, ORIGIN_ANGST, len(table)), "angstrom"
        step = np.where(np.isfinite(boxes), boxes, particles.pixel_size)
        differ = False
        for k, (voxels, angstrom) in enumerate(zip(ORIGIN, ORIGIN_ANGST, strict=True)):
            if voxels not in found or not found[voxels].any():
                continue
            if angstrom not in found:
                if np.isnan(step).any():
                    raise FormatError(path, f"{voxels} stands beside origins in Å and needs the boxes' pixel size.")
                shifts[:, k] = found[voxels] * step
            else:
                differ |= bool((np.abs(found[voxels] * step - found[angstrom]) > 0.05 * step).any())
        if differ:
            particles.notes.append("rlnOriginX/Y/Z and rlnOriginX/Y/ZAngst differ: those in Å are taken, as in RELION.")
    if particles.frames is not None:
        shifts = np.einsum("nij,nj->ni", particles.frames, shifts)
    return shifts, unit if shifts.any() else ""


def _along_axes(found: dict[str, np.ndarray], columns: list[str], n: int) -> np.ndarray:
    return np.stack([found.get(column, np.zeros(n)) for column in columns], axis=1)


def _columns(
    path: str | Path, table: pd.DataFrame, particles: ParticleList, source: str | None, optics: pd.DataFrame | None
) -> None:
    """Set the further columns, and those that are kept as they are."""
    understood = {source, *VOXELS, *CENTRED, *ANGLES, *FRAME, *ORIGIN, *ORIGIN_ANGST, *_WORDS.values()}
    for name, candidates in COLUMNS.items():
        column = next((c for c in candidates if c in table), None)
        if column is None:
            continue
        bad = int((~np.isfinite(as_numbers(table[column]))).sum())
        if bad:
            particles.notes.append(f"{bad} of {len(table)} cells of {column} are no numbers: it is not used.")
            continue
        understood.add(column)
        values = as_numbers(table[column])
        particles.columns[name] = values if name == "score" else to_int64(values)
    for name, column in _WORDS.items():
        if column in table:
            particles.columns[name] = star.words(table, column)
    if optics is None:
        understood |= set(SIZE_COLUMNS)
    particles.other = table[[c for c in table if c not in understood]]
