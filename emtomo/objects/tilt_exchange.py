"""Between sets of tilt series and the series of other programs' files."""

from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.tilt.geometry import tilt_rotations
from emtomo.io.tilts import COLUMNS, Tilts, angles_of
from emtomo.objects.series_warps import read_microscope, read_warps, warps_json
from emtomo.objects.stored import reading_stored
from emtomo.objects.tilt_series import SetOfTiltSeries

_RENAMED = {"rotation": "tilt_axis_angle"}
_TOLERANCE = 1e-5  # of a matrix's elements, within which angles say the same


def series_row(tilts: Tilts, tomogram_id: str, cs: float | None = None, **more: object) -> dict[str, object]:
    """Return the row of :class:`SetOfTiltSeries` for a series; `more` are its other columns (file, size_x, …).

    `cs` (mm) is that of a series which has another than its set.
    """
    pixel = tilts.pixel_size
    row: dict[str, object] = {"tomogram_id": tomogram_id, "hand": tilts.hand}
    if tilts.image_size:
        row |= {"size_x": tilts.image_size[0], "size_y": tilts.image_size[1]}
    if tilts.volume_size and np.isfinite(pixel):
        row |= {f"volume_{axis}": n * pixel for axis, n in zip("xyz", tilts.volume_size, strict=True)}
    kept = None if _by_angles(tilts) else tilts.rotations
    warps = warps_json(tilts.image_warp, tilts.volume_warp, kept, magnification=tilts.magnification, cs=cs)
    return {**row, "warps": warps, **more}


def image_rows(tilts: Tilts, tomogram_id: str, **more: Any) -> pd.DataFrame:
    """Return the images of a series as :meth:`SetOfTiltSeries.extend` takes them; `more` are further columns."""
    table = tilts.table[[c for c in COLUMNS if c in tilts.table]].rename(columns=_RENAMED).reset_index(drop=True)
    if tilts.rotations is not None and _by_angles(tilts):
        table[["tilt_axis_angle", "angle", "x_tilt"]] = angles_of(tilts.rotations)
    return table.assign(tomogram_id=tomogram_id, **more)


def _by_angles(tilts: Tilts) -> bool:
    """Return whether angles say what the matrices of a series say: proper rotations."""
    if tilts.rotations is None:
        return True
    proper = np.abs(tilts.rotations @ tilts.rotations.transpose(0, 2, 1) - np.eye(3)).max(initial=0) < _TOLERANCE
    if not proper or (np.linalg.det(tilts.rotations) < 0).any():
        return False
    axis, angle, x_tilt = angles_of(tilts.rotations).T
    return bool(np.abs(tilt_rotations(angle, axis, x_tilt) - tilts.rotations).max(initial=0) < _TOLERANCE)


def tilts_of(found: SetOfTiltSeries, tomogram_id: str) -> Tilts:
    """Return one series of a set as writers of other programs' files take it.

    Raises
    ------
    EmtomoError
        If there is no such series, or what is stored of it cannot be.
    """
    with reading_stored(f"{found.getFileName()}: the geometry of {tomogram_id}"):
        return _tilts_of(found, tomogram_id)


def _tilts_of(found: SetOfTiltSeries, tomogram_id: str) -> Tilts:
    row = found.frame(tomogram_id=tomogram_id).iloc[0]
    pixel = float(found.pixel_size.get() or np.nan)
    images = found.images(tomogram_id)
    table = images.rename(columns={new: old for old, new in _RENAMED.items()})
    kept = [c for c in COLUMNS if c in table and not table[c].isna().all()]
    table = table[kept].assign(excluded=table["excluded"].astype(int))
    if "name" not in kept and not images["file"].isna().all():
        table["name"] = [f"{k + 1:06d}@{f}" for k, f in zip(images["index"], images["file"], strict=True)]
    size = (row["size_x"], row["size_y"])
    image_warp, volume_warp, rotations = read_warps(
        row["warps"], (size[0] * pixel, size[1] * pixel) if all(size) else None
    )
    magnification, cs = read_microscope(row["warps"])
    optics = {name: float(getattr(found, name).get()) for name in ("voltage", "cs", "amplitude_contrast")}
    volume = [row[f"volume_{axis}"] for axis in "xyz"]
    whole = np.isfinite(volume).all() and np.isfinite(pixel)
    x, y, z = (round(v / pixel) for v in volume) if whole else (0, 0, 0)
    return Tilts(
        table,
        pixel_size=pixel,
        image_size=(int(size[0]), int(size[1])) if all(size) else None,
        volume_size=(x, y, z) if whole else None,
        optics=optics if cs is None else optics | {"cs": cs},
        hand=None if row["hand"] is None else int(row["hand"]),
        image_warp=image_warp,
        volume_warp=volume_warp,
        magnification=magnification,
        rotations=rotations,
        name=tomogram_id,
        format="emtomo",
    )
