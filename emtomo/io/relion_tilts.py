"""RELION's tilt series: STAR files of one series (RELION 5), and tomograms.star with matrices (RELION 4)."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.names import stem
from emtomo.io.referenced import find_referenced_file, note_files_outside, reading_named_file
from emtomo.io.tilts import COLUMNS, Tilts, format_of_one_series, require_pixel_size

_COLUMNS = {
    "x_tilt": "rlnTomoXTilt", "angle": "rlnTomoYTilt", "rotation": "rlnTomoZRot", "shift_x": "rlnTomoXShiftAngst",
    "shift_y": "rlnTomoYShiftAngst", "dose": "rlnMicrographPreExposure", "defocus_u": "rlnDefocusU",
    "defocus_v": "rlnDefocusV", "defocus_angle": "rlnDefocusAngle", "phase_shift": "rlnPhaseShift",
    "scale": "rlnCtfScalefactor", "bfactor": "rlnCtfBfactor",
}  # fmt: skip
_NOMINAL = {"angle": "rlnTomoNominalStageTiltAngle", "rotation": "rlnTomoNominalTiltAxisAngle"}
_IMAGES = {"image": "rlnMicrographName", "odd_image": "rlnMicrographNameOdd", "even_image": "rlnMicrographNameEven"}
_PROJECTION = [f"rlnTomoProj{a}" for a in "XYZ"]
_OPTICS = {"voltage": "rlnVoltage", "cs": "rlnSphericalAberration", "amplitude_contrast": "rlnAmplitudeContrast"}


def read_tilt_star(path: str | Path) -> Tilts:
    """Read one series of RELION 5.

    An image shows Rz(rlnTomoZRot) Ry(rlnTomoYTilt) Rx(rlnTomoXTilt) of the tomogram, from its centre (half its size),
    moved by rlnTomoXShiftAngst, YShiftAngst (tomogram.cpp). A series that is not aligned has nominal angles only.

    Raises
    ------
    FormatError
        If no block has tilts.
    """
    blocks = star.read_blocks(path)
    wanted = {"rlnTomoYTilt", "rlnTomoNominalStageTiltAngle", "rlnTomoProjX"}
    name, table = next(((k, b) for k, b in blocks.items() if wanted & set(b)), ("", pd.DataFrame()))
    if len(table) == 0:
        raise FormatError(path, "no block has tilts (rlnTomoYTilt or rlnTomoNominalStageTiltAngle).")
    return _tilts(path, name, table)


def _tilts(path: str | Path, name: str, table: pd.DataFrame) -> Tilts:
    out = pd.DataFrame(index=range(len(table)))
    for key, column in _COLUMNS.items():
        if column in table:
            out[key] = star.floats(path, table, [column])[:, 0]
    tilts = Tilts(out, name=stem(name), format="tilts-relion")
    for key, column in _NOMINAL.items():
        if key not in out and column in table:
            out[key] = star.floats(path, table, [column])[:, 0]
            tilts.notes.append(f"{column} stands for the refined value, which the file does not have.")
    source = next((c for c in ("rlnMicrographMovieName", "rlnMicrographName") if c in table), None)
    if source:
        out["name"] = star.words(table, source)
    for key, column in _IMAGES.items():
        if column in table:
            out[key] = star.words(table, column)
    if set(_PROJECTION) <= set(table):
        tilts.rotations, offsets = _matrices(path, table)
        if "shift_x" not in out and offsets.any():
            tilts.offsets = offsets
    return tilts


def _matrices(path: str | Path, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations and the last column (voxels) of rows ``[a,b,c,d]``."""
    rows = np.zeros((len(table), 3, 4))
    for k, column in enumerate(_PROJECTION):
        for i, cell in enumerate(table[column]):
            text = str(cell)
            words = text.strip("[]").split(",")
            try:
                values = [float(w) for w in words]
            except ValueError:
                values = []
            if len(values) != 4 or not np.isfinite(values).all():
                line = star.line_of(path, table, i)
                raise FormatError(path, f"{column} must be four numbers in brackets, got {text[:40]!r}.", line)
            rows[i, k] = values
    return rows[:, :, :3], rows[:, :2, 3]


def read_tomograms(path: str | Path) -> dict[str, Tilts]:
    """Return the series of a tomograms.star by name: of blocks in it (RELION 4, Warp), or of the files it names (5).

    RELION 4's matrices act on voxels from the tomogram's first one; what they do to its centre gives the shifts.

    Raises
    ------
    FormatError
        If no block has rlnTomoName, or the tilts of a tomogram are nowhere.
    """
    path = Path(path)
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if "rlnTomoName" in b), None)
    if table is None or len(table) == 0:
        raise FormatError(path, "no block has rlnTomoName.")
    found = {}
    for k, name in enumerate(star.words(table, "rlnTomoName")):
        row = table.iloc[k]
        if name in blocks:
            tilts = _tilts(path, str(name), blocks[name])
            if "name" not in tilts.table and "rlnTomoTiltSeriesName" in table:  # RELION 4: a stack of all images
                stack = re.sub(r":mrcs?$", "", str(row["rlnTomoTiltSeriesName"]))
                tilts.table["name"] = [f"{t + 1}@{stack}" for t in range(len(tilts))]
        elif "rlnTomoTiltSeriesStarFile" in table:
            file = find_referenced_file(path, str(row["rlnTomoTiltSeriesStarFile"]))
            with reading_named_file(path, file):
                tilts = read_tilt_star(file)
            tilts.notes += note_files_outside(path, [file])
        else:
            raise FormatError(path, f"there is no block and no file with the tilts of {name}.")
        _whole(path, table, k, tilts)
        tilts.name = stem(str(name))
        found[str(name)] = tilts
    return found


def _whole(path: Path, table: pd.DataFrame, k: int, tilts: Tilts) -> None:
    row = table.iloc[[k]]
    row.attrs = table.attrs

    def value(column: str) -> float | None:
        """Return the number in a column, None where there is no such column."""
        return float(star.floats(path, row, [column])[0, 0]) if column in table else None

    size = [value(f"rlnTomoSize{a}") for a in "XYZ"]
    if all(s is not None and 0 < s < 1e6 for s in size):
        tilts.volume_size = (int(size[0] or 0), int(size[1] or 0), int(size[2] or 0))
    pixel_size = value("rlnTomoTiltSeriesPixelSize")
    if pixel_size is not None and pixel_size <= 0:
        sentence = f"rlnTomoTiltSeriesPixelSize must be above 0 Å, got {pixel_size:g}."
        raise FormatError(path, sentence, star.line_of(path, table, k))
    tilts.pixel_size = np.nan if pixel_size is None else pixel_size
    hand = value("rlnTomoHand")
    tilts.hand = None if hand is None else (1 if hand > 0 else -1)
    tilts.optics = {key: v for key, column in _OPTICS.items() if (v := value(column)) is not None}


def write_tilt_star(path: str | Path, tilts: Tilts) -> None:
    """Write one series as RELION 5 has it."""
    star.write_blocks(path, {tilts.name or "tilt_series": _table(tilts)})


def _table(tilts: Tilts) -> pd.DataFrame:
    n = len(tilts)
    names = tilts.table.get("name", pd.Series([f"{k + 1:06d}@{tilts.name}.mrc" for k in range(n)]))
    table = pd.DataFrame({"rlnMicrographName": names.to_numpy()})
    table["rlnTomoNominalStageTiltAngle"] = tilts.column("angle")
    for key, column in _COLUMNS.items():
        if key in tilts.table or key in ("x_tilt", "angle", "rotation", "shift_x", "shift_y"):
            table[column] = tilts.column(key)
    if "scale" not in tilts.table:
        table["rlnCtfScalefactor"] = np.cos(np.radians(tilts.column("angle")))
    return table[tilts.column("excluded") == 0]


def write_tomograms(path: str | Path, series: list[Tilts]) -> list[Path]:
    """Write RELION 5's tomograms.star, and a STAR file of tilts for every series beside it.

    Raises
    ------
    FormatError
        If a series has no pixel size or no size of its tomogram, or its file stands there already.
    """
    path = Path(path)
    rows, files = [], [path]
    for tilts in series:
        if not np.isfinite(tilts.pixel_size) or tilts.volume_size is None:
            raise FormatError(path, f"{tilts.name}: RELION needs the pixel size and the size of the tomogram.")
        file = path.with_name(f"{tilts.name}.star")
        if file.exists():
            raise FormatError(file, "exists already, perhaps with more than is known here; write into another folder.")
        files.append(file)
        rows.append(
            {
                "rlnTomoName": tilts.name,
                "rlnVoltage": tilts.optics.get("voltage", 300.0),
                "rlnSphericalAberration": tilts.optics.get("cs", 2.7),
                "rlnAmplitudeContrast": tilts.optics.get("amplitude_contrast", 0.1),
                "rlnTomoHand": tilts.hand or -1,
                "rlnOpticsGroupName": "optics1",
                "rlnTomoTiltSeriesPixelSize": tilts.pixel_size,
                "rlnTomoTiltSeriesStarFile": file.name,
                **dict(zip(("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ"), tilts.volume_size, strict=True)),
            }
        )
    for tilts, file in zip(series, files[1:], strict=True):
        write_tilt_star(file, tilts)
    star.write_blocks(path, {"global": pd.DataFrame(rows)})
    return files


def _is_series(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_rlnTomo(YTilt|NominalStageTiltAngle|ProjX)\b")


def _is_tomograms(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_rlnTomoSizeX\b")


def _read_series(path: Path, _: ReadOptions) -> Tilts:
    return read_tilt_star(path)


def _read_tomograms(path: Path, options: ReadOptions) -> list[Tilts]:
    found = list(read_tomograms(path).values())
    for tilts in found:
        tilts.pixel_size = options.pixel_size or tilts.pixel_size
    return found


def _write_series(path: Path, tilts: Tilts) -> None:
    require_pixel_size(tilts)
    write_tilt_star(path, dataclasses.replace(tilts, name=tilts.name or path.stem))


def _write_tomograms(path: Path, series: list[Tilts], _: WriteOptions) -> list[Path]:
    return write_tomograms(path, series)


_HOLDS = " ".join(set(COLUMNS) - {"acquisition_order", "stage_x", "stage_y", "stage_z"}) + " omits_excluded"
SERIES = format_of_one_series("tilts-relion", "RELION tilt series", _is_series, _read_series, _write_series, _HOLDS,
                              ".star", described="RELION 5; geometry, dose, CTF")  # fmt: skip
TOMOGRAMS = Format("tomograms", "RELION tomograms", _is_tomograms, _read_tomograms, _write_tomograms, words_of(_HOLDS),
                   ".star", ("tomograms.star",),
                   described=("RELION 4 and 5 are read, 5 is written, with a file for each series",))  # fmt: skip
