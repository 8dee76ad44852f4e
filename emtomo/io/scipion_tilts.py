"""Scipion's sets of tilt series, CTFs and tomograms (scipion-em-tomo 3.12)."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.names import as_place
from emtomo.io.particles import VolumeGeometry
from emtomo.io.scipion import ScipionSet, holds_set, matrices, read_set, write_set
from emtomo.io.text import as_numbers, to_int64
from emtomo.io.tilts import Tilts

_ACQUISITION = [
    ("_acquisition", "TomoAcquisition"), ("_acquisition._magnification", "Float"), ("_acquisition._voltage", "Float"),
    ("_acquisition._sphericalAberration", "Float"), ("_acquisition._amplitudeContrast", "Float"),
    ("_acquisition._doseInitial", "Float"), ("_acquisition._dosePerFrame", "Float"),
    ("_acquisition.opticsGroupInfo", "String"), ("_acquisition._angleMin", "Float"),
    ("_acquisition._angleMax", "Float"), ("_acquisition._step", "Float"), ("_acquisition._accumDose", "Float"),
    ("_acquisition._tiltAxisAngle", "Float"),
]  # fmt: skip
_OPTICS = {"voltage": "_voltage", "cs": "_sphericalAberration", "amplitude_contrast": "_amplitudeContrast"}


def read_tilt_series(path: str | Path) -> dict[str, Tilts]:
    """Read a SetOfTiltSeries, or a SetOfCTFTomoSeries, by the series' id.

    A tilt image's transform aligns it as IMOD's does, about its centre (Scipion's matrix is the .xf line with a row
    more); the shift is in voxels of the images. _doseInitial is what came before the image.

    Raises
    ------
    FormatError
        If it is neither, or a number is none.
    """
    found = read_set(path)
    if "_tsId" not in found.items or not found.parts:
        raise FormatError(path, f"a {found.name or 'set'} of Scipion, but none of tilt series or their CTFs.")
    out: dict[str, Tilts] = {}
    for number, name in zip(found.items["id"], map(str, found.items["_tsId"]), strict=True):
        part = next((found.parts[k] for k in (name, f"id{number}") if k in found.parts), None)
        if part is None or len(part) == 0:
            raise FormatError(path, f"there is no image of the series {name}.")
        out[name] = _defocus(path, part) if "_defocusU" in part else _images(path, found, part)
        out[name].name = name
    return out


def _column(path: str | Path, part: pd.DataFrame, name: str) -> np.ndarray:
    values = as_numbers(part[name])
    if not np.isfinite(values).all():
        raise FormatError(path, f"{name} of item {int(np.argmin(np.isfinite(values))) + 1} must be a finite number.")
    return values


def _defocus(path: str | Path, part: pd.DataFrame) -> Tilts:
    table = pd.DataFrame({"defocus_u": _column(path, part, "_defocusU")})
    for name, attribute in (("defocus_v", "_defocusV"), ("defocus_angle", "_defocusAngle")):
        if attribute in part:
            table[name] = _column(path, part, attribute)
    if "_phaseShift" in part:
        table["phase_shift"] = np.nan_to_num(as_numbers(part["_phaseShift"]))
    return Tilts(table, format="scipion-ctf")


def _images(path: str | Path, found: ScipionSet, part: pd.DataFrame) -> Tilts:
    if "_tiltAngle" not in part:
        raise FormatError(path, "its images have no _tiltAngle.")
    table = pd.DataFrame({"angle": _column(path, part, "_tiltAngle")})
    tilts = Tilts(table, format="scipion-tilts")
    rate = as_numbers(pd.Series([found.properties.get("_samplingRate")], dtype=object))[0]
    tilts.pixel_size = rate if rate > 0 else np.nan
    if "_filename" in part and "_index" in part:
        index = to_int64(as_numbers(part["_index"]))
        table["name"] = [f"{k:06d}@{f}" if k > 0 else str(f) for k, f in zip(index, part["_filename"], strict=True)]
    if "_acqOrder" in part:
        table["acquisition_order"] = to_int64(as_numbers(part["_acqOrder"]))
    for name, attribute in (("dose", "_acquisition._doseInitial"),):
        if attribute in part and np.isfinite(dose := as_numbers(part[attribute])).all():
            table[name] = dose
    if "_transform._matrix" in part and part["_transform._matrix"].notna().all():
        turned = matrices(path, part["_transform._matrix"])
        a, d = turned[:, :2, :2], turned[:, :2, 3]
        if (np.abs(np.linalg.det(a)) < 1e-6).any():
            raise FormatError(path, "the transform of an image cannot be inverted.")
        shift = -np.linalg.solve(a, d[:, :, None])[:, :, 0] * (tilts.pixel_size if rate > 0 else 1.0)
        table["rotation"] = -np.degrees(np.arctan2(a[:, 1, 0] - a[:, 0, 1], a[:, 0, 0] + a[:, 1, 1]))
        table["shift_x"], table["shift_y"] = shift.T
    table["excluded"] = 1 - to_int64(as_numbers(part["enabled"])) if "enabled" in part else 0
    for key, attribute in _OPTICS.items():
        column = f"_acquisition.{attribute}"
        if column in part and np.isfinite(value := as_numbers(part[column])[0]):
            tilts.optics[key] = float(value)
    return tilts


def _table_name(name: str) -> str:
    """Return what Scipion calls the tables of a series: letters, digits and underscores."""
    return re.sub(r"\W", "_", name)


def _acquisition(tilts: Tilts, dose: float = 0.0) -> tuple[Any, ...]:
    angle = tilts.column("angle")
    optics = tilts.optics
    step = float(np.median(np.diff(np.sort(angle)))) if len(angle) > 1 else 0.0
    return (None, None, optics.get("voltage", 300.0), optics.get("cs", 2.7), optics.get("amplitude_contrast", 0.1),
            dose, None, None, float(angle.min()), float(angle.max()), step, None,
            float(np.mean(tilts.column("rotation"))))  # fmt: skip


def write_tilt_series(path: str | Path, series: list[Tilts]) -> None:
    """Write a SetOfTiltSeries; the transforms that align the images with it.

    Raises
    ------
    FormatError
        If a pixel size is not known, or series have several.
    """
    rates = {tilts.pixel_size for tilts in series}
    if len(rates) != 1 or not np.isfinite(next(iter(rates))):
        raise FormatError(path, "a Scipion set of tilt series has one pixel size, which must be known.")
    rate = rates.pop()
    head = [("_size", "Integer"), ("_streamState", "Integer"), ("_samplingRate", "Float"), ("_hasCtf", "Boolean"),
            ("_alignment", "String"), ("_isPhaseFlipped", "Boolean"), ("_isAmplitudeCorrected", "Boolean"),
            *_ACQUISITION, ("_firstDim", "ImageDim"), ("_tsId", "String"), ("_anglesCount", "Integer"),
            ("_hasAlignment", "Boolean"), ("_hasOddEven", "Boolean"), ("_interpolated", "Boolean"),
            ("_ctfCorrected", "Boolean")]  # fmt: skip
    image = [("_index", "Integer"), ("_filename", "String"), ("_samplingRate", "Float"), *_ACQUISITION,
             ("_transform", "Transform"), ("_transform._matrix", "Matrix"), ("_tiltAngle", "Float"),
             ("_tsId", "String"), ("_acqOrder", "Integer")]  # fmt: skip
    rows, parts = [], {}
    for tilts in series:
        n, size = len(tilts), tilts.image_size
        dims = f"{size[0]},{size[1]},{n}" if size else ""
        rows.append((n, 2, rate, 0, "None", 0, 0, *_acquisition(tilts), dims, tilts.name, n, 1, 0, 0, 0))
        parts[_table_name(tilts.name)] = ("TiltImage", image, _image_rows(tilts, rate))
    properties = {"_samplingRate": rate, "_hasCtf": False, "_alignment": "None", "_isPhaseFlipped": False,
                  "_isAmplitudeCorrected": False, "_anglesCount": max((len(t) for t in series), default=0),
                  "_hasAlignment": True, "_hasOddEven": False, "_ctfCorrected": False, "_interpolated": False,
                  "_isHeterogeneous": len({len(t) for t in series}) > 1}  # fmt: skip
    write_set(path, "SetOfTiltSeries", "TiltSeries", properties, head, rows, parts)


def _image_rows(tilts: Tilts, rate: float) -> list[tuple[Any, ...]]:
    turn = np.radians(-tilts.column("rotation"))
    shift = np.stack([tilts.column("shift_x"), tilts.column("shift_y")], axis=1) / rate
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = -(c * shift[:, 0] - s * shift[:, 1]), -(s * shift[:, 0] + c * shift[:, 1])
    order = to_int64(tilts.column("acquisition_order"))
    order = order if order.any() else np.arange(1, len(tilts) + 1)
    names = tilts.table.get("name", pd.Series([f"{tilts.name}.mrc"] * len(tilts)))
    rows = []
    for k in range(len(tilts)):
        matrix = json.dumps([[c[k], -s[k], dx[k]], [s[k], c[k], dy[k]], [0.0, 0.0, 1.0]])
        place, _, file = str(names.iloc[k]).rpartition("@")
        index = as_place(place) or k + 1
        acquisition = _acquisition(tilts, float(tilts.column("dose")[k]))
        rows.append(
            (index, file, rate, *acquisition, None, matrix, float(tilts.column("angle")[k]), tilts.name, int(order[k]))
        )
    return rows


def write_ctf(path: str | Path, series: list[Tilts]) -> None:
    """Write a SetOfCTFTomoSeries.

    Raises
    ------
    FormatError
        If the defocus of a series is not known.
    """
    head = [
        ("_size", "Integer"),
        ("_streamState", "Integer"),
        ("_tsId", "String"),
        ("_isDefocusUDeviationInRange", "Boolean"),
        ("_isDefocusVDeviationInRange", "Boolean"),
    ]
    columns = [("_defocusU", "Float"), ("_defocusV", "Float"), ("_defocusAngle", "Float"), ("_phaseShift", "Float"),
               ("_defocusRatio", "Float"), ("_index", "Integer"), ("_acqOrder", "Integer")]  # fmt: skip
    rows, parts = [], {}
    for number, tilts in enumerate(series, 1):
        if "defocus_u" not in tilts.table:
            raise FormatError(path, f"{tilts.name}: the defocus is not known.")
        rows.append((len(tilts), 2, tilts.name, 1, 1))
        u, v = tilts.column("defocus_u"), tilts.column("defocus_v")
        values = np.stack(
            [u, v, tilts.column("defocus_angle"), tilts.column("phase_shift"), u / np.where(v == 0, 1, v)], axis=1
        ).tolist()
        parts[f"id{number}"] = ("CTFTomo", columns, [(*row, k, k) for k, row in enumerate(values, 1)])
    write_set(path, "SetOfCTFTomoSeries", "CTFTomoSeries", {}, head, rows, parts)


def write_tomograms(path: str | Path, volumes: Mapping[str, tuple[str, VolumeGeometry]]) -> None:
    """Write a SetOfTomograms: file and size of every tomogram by id; the origin is half the size, as Scipion's is.

    Raises
    ------
    FormatError
        If the tomograms have several pixel sizes.
    """
    rates = {volume.pixel_size for _, volume in volumes.values()}
    if len(rates) != 1:
        raise FormatError(path, "a Scipion set of tomograms has one pixel size.")
    rate = rates.pop()
    columns = [("_index", "Integer"), ("_filename", "String"), ("_samplingRate", "Float"), ("_origin", "Transform"),
               ("_origin._matrix", "Matrix"), ("_tsId", "String"), ("_ctfCorrected", "Boolean")]  # fmt: skip
    rows = []
    for name, (file, volume) in volumes.items():
        origin = np.eye(4)
        origin[:3, 3] = -np.array(volume.size) / 2 * rate
        rows.append((0, file, rate, None, json.dumps(origin.tolist()), name, 0))
    first = next(iter(volumes.values()))[1].size
    properties = {"_samplingRate": rate, "_hasCtf": False, "_alignment": "None", "_isPhaseFlipped": False,
                  "_isAmplitudeCorrected": False, "_firstDim": ",".join(str(n) for n in first), "_hasOddEven": False,
                  "_ctfCorrected": False, "_isHeterogeneous": False}  # fmt: skip
    write_set(path, "SetOfTomograms", "Tomogram", properties, columns, rows)


def _sniff(start: FileStart) -> bool:
    return holds_set(start, "scipion-tilts")


def _is_ctf(start: FileStart) -> bool:
    return holds_set(start, "scipion-ctf")


def _read(path: Path, options: ReadOptions) -> list[Tilts]:
    found = list(read_tilt_series(path).values())
    for tilts in found:
        tilts.pixel_size = options.pixel_size or tilts.pixel_size
    return found


def _write_series(path: Path, series: list[Tilts], _: WriteOptions) -> list[Path]:
    write_tilt_series(path, series)
    return [path]


def _write_ctf(path: Path, series: list[Tilts], _: WriteOptions) -> list[Path]:
    write_ctf(path, series)
    return [path]


SERIES = Format("scipion-tilts", "Scipion tilt series", _sniff, _read, _write_series,
                words_of("name angle rotation shift_x shift_y dose acquisition_order"), ".sqlite", (".sqlite",),
                described=("alignment, dose, order",))  # fmt: skip
CTF = Format("scipion-ctf", "Scipion CTFs", _is_ctf, _read, _write_ctf,
             words_of("defocus_u defocus_v defocus_angle phase_shift"), ".sqlite",
             described=("defocus, astigmatism, phase shift",))  # fmt: skip
