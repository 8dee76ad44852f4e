"""Positions in RELION and Warp STAR files (3.0, 3.1, 4 and 5)."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.tables import Picks, read_text

_CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
_VOXELS = [f"rlnCoordinate{axis}" for axis in "XYZ"]


def read_blocks(path: str | Path) -> dict[str, pd.DataFrame]:
    """Return the data blocks of a STAR file by name; a block without loop has one row."""
    import starfile

    read_text(path)  # one clear sentence for a missing or binary file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks: dict[str, Any] = starfile.read(path, always_dict=True)
    except Exception as error:  # noqa: BLE001  the parser fails in many ways on what is not a STAR file
        raise FormatError(path, f"not a STAR file that can be read: {error}.") from None
    return {k: v if isinstance(v, pd.DataFrame) else pd.DataFrame([v]) for k, v in blocks.items()}


def read_star_picks(path: str | Path) -> Picks:
    """Read particles: rlnCoordinateX/Y/Z in voxels, or rlnCenteredCoordinate*Angst.

    The rotation is the inverse of the intrinsic ZYZ rotation by rot, tilt, psi, with
    rlnTomoSubtomogramRot/Tilt/Psi applied after it where present; the refined
    centre is the coordinate less the origin (RELION's sign), the origin turned
    with the subtomogram's frame.
    """
    blocks = read_blocks(path)
    table = next((b for b in blocks.values() if set(_VOXELS) <= set(b) or set(_CENTRED) <= set(b)), None)
    if table is None:
        raise FormatError(path, "no block has rlnCoordinateX/Y/Z or rlnCenteredCoordinateX/Y/ZAngst.")
    if len(table) == 0:
        raise FormatError(path, "there is no particle in it.")
    centred = set(_CENTRED) <= set(table)
    positions = _floats(path, table, _CENTRED if centred else _VOXELS)
    rotations, frames = _rotations(path, table)
    shift = _origin(path, table, blocks, centred)
    positions = positions - np.einsum("nij,nj->ni", frames, shift)
    name = next((c for c in ("rlnTomoName", "rlnMicrographName") if c in table), None)
    names = table[name].astype(str).to_numpy(object) if name else np.full(len(table), "", object)
    picks = Picks(names, positions, rotations, {}, "star", centred)
    if "rlnAutopickFigureOfMerit" in table:
        picks.columns["score"] = _floats(path, table, ["rlnAutopickFigureOfMerit"])[:, 0]
    for group in ("rlnTomoManifoldIndex", "rlnObjectNumber"):
        if group in table:
            picks.columns["group"] = _floats(path, table, [group])[:, 0].astype(int)
            break
    return picks


def _rotations(path: str | Path, table: pd.DataFrame) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the particles' rotations, and those of their subtomogram frames."""
    from scipy.spatial.transform import Rotation

    def of(columns: list[str]) -> np.ndarray | None:
        if not set(columns) <= set(table):
            return None
        angles = _floats(path, table, columns)
        return Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()

    angle = of(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
    frame = of([f"rlnTomoSubtomogram{a}" for a in ("Rot", "Tilt", "Psi")])
    identity = np.broadcast_to(np.eye(3), (len(table), 3, 3))
    if frame is None:
        return angle, identity
    return (frame if angle is None else frame @ angle), frame


def _origin(path: str | Path, table: pd.DataFrame, blocks: dict[str, pd.DataFrame], centred: bool) -> np.ndarray:
    """Return rlnOrigin in the unit of the positions."""
    angstrom = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
    if set(angstrom) <= set(table):
        shift = _floats(path, table, angstrom)
        if centred or not shift.any():
            return shift
        size = _coordinate_pixel_size(table, blocks)
        if size is None:
            raise FormatError(path, "origins are in Å, but no pixel size says what a voxel of the coordinates is.")
        return shift / size
    voxels = [f"rlnOrigin{axis}" for axis in "XYZ"]
    return _floats(path, table, voxels) if set(voxels) <= set(table) else np.zeros((len(table), 3))


def _coordinate_pixel_size(table: pd.DataFrame, blocks: dict[str, pd.DataFrame]) -> float | None:
    optics = blocks.get("optics")
    for source in (optics, table):
        for column in ("rlnTomoTiltSeriesPixelSize", "rlnImagePixelSize", "rlnPixelSize"):
            if source is not None and column in source:
                return float(source[column].iloc[0])
    return None


def _floats(path: str | Path, table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    values = np.empty((len(table), len(columns)))
    for k, name in enumerate(columns):
        values[:, k] = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        bad = ~np.isfinite(values[:, k])
        if bad.any():
            raise FormatError(path, f"row {int(np.argmax(bad)) + 1}: {name} must be a finite number.")
    return values
