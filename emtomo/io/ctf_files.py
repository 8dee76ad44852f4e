"""CTF estimates of tilt series: CTFFIND 4 and 5, Gctf, STOPGAP's wedge lists."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.format import FileStart, ReadOptions
from emtomo.io.text import matrix, read_text
from emtomo.io.tilts import Tilts, format_of_one_series
from emtomo.wording import count_text

_HEAD = {
    "pixel_size": re.compile(r"(pixel\s+size):\s*(\S+)", re.IGNORECASE),
    "voltage": re.compile(r"(acceleration\s+voltage):\s*(\S+)", re.IGNORECASE),
    "cs": re.compile(r"(spherical\s+aberration):\s*(\S+)", re.IGNORECASE),
    "amplitude_contrast": re.compile(r"(amplitude\s+contrast):\s*(\S+)", re.IGNORECASE),
}


def read_ctffind(path: str | Path) -> Tilts:
    """Read CTFFIND's results: number, two defocus values (Å), azimuth (°), phase shift (radians), score, fit.

    CTFFIND 5 adds columns (tilt, thickness), which are not taken.
    """
    text = read_text(path)
    rows = matrix(path, text, (7, 12), "a file of CTFFIND")
    table = pd.DataFrame(
        {
            "defocus_u": rows[:, 1],
            "defocus_v": rows[:, 2],
            "defocus_angle": rows[:, 3],
            "phase_shift": np.degrees(rows[:, 4]),
        }
    )
    tilts = Tilts(table, name=Path(path).stem, format="ctffind")
    head = "\n".join(line for line in text[:4000].split("\n") if line.startswith("#"))
    for key, pattern in _HEAD.items():
        found = pattern.search(head)
        if found is None:
            continue
        value = tilts.header_number(
            " ".join(found[1].lower().split()), found[2], zero=key in ("cs", "amplitude_contrast")
        )
        if key == "pixel_size":
            tilts.pixel_size = value
        elif np.isfinite(value):
            tilts.optics[key] = value
    return tilts


def read_gctf(path: str | Path) -> Tilts:
    """Read Gctf's STAR file of the images of a series; the pixel size is 10,000 detector / magnification.

    Raises
    ------
    FormatError
        If no block has the defocus.
    """
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if {"rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"} <= set(b)), None)
    if table is None or len(table) == 0:
        raise FormatError(path, "no block has rlnDefocusU, rlnDefocusV, rlnDefocusAngle.")
    values = star.floats(path, table, ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"])
    out = pd.DataFrame(values, columns=["defocus_u", "defocus_v", "defocus_angle"])
    if "rlnPhaseShift" in table:
        out["phase_shift"] = star.floats(path, table, ["rlnPhaseShift"])[:, 0]
    if "rlnMicrographName" in table:
        out["name"] = star.words(table, "rlnMicrographName")
    tilts = Tilts(out, name=Path(path).stem, format="gctf")
    if {"rlnDetectorPixelSize", "rlnMagnification"} <= set(table):
        detector, magnification = star.floats(path, table, ["rlnDetectorPixelSize", "rlnMagnification"])[0]
        if magnification > 0:
            tilts.pixel_size = 1e4 * detector / magnification
        else:
            tilts.notes.append(f"rlnMagnification must be above 0, got {magnification:g}: the pixel size is not known.")
    pairs = {"voltage": "rlnVoltage", "cs": "rlnSphericalAberration", "amplitude_contrast": "rlnAmplitudeContrast"}
    for key, column in pairs.items():
        if column in table:
            tilts.optics[key] = float(star.floats(path, table, [column])[0, 0])
    return tilts


def read_wedges(path: str | Path) -> Tilts:
    """Read the first tomogram of a STOPGAP wedge list: tilt_angle, defocus (µm), exposure.

    Raises
    ------
    FormatError
        If no block has tilt angles, or the pixel size is not above 0.
    """
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if {"tomo_num", "tilt_angle"} <= set(b)), None)
    if table is None or len(table) == 0:
        raise FormatError(path, "no block has tomo_num and tilt_angle.")
    number = star.floats(path, table, ["tomo_num"])[:, 0]
    mine = table[number == number[0]]
    mine.attrs = table.attrs
    out = pd.DataFrame({"angle": star.floats(path, mine, ["tilt_angle"])[:, 0]})
    if "defocus" in mine:
        out["defocus_u"] = out["defocus_v"] = 1e4 * star.floats(path, mine, ["defocus"])[:, 0]
    if "exposure" in mine:
        out["dose"] = star.floats(path, mine, ["exposure"])[:, 0]
    tilts = Tilts(out, name=f"{number[0]:g}", format="stopgap-wedges")
    if "pixelsize" in mine:
        tilts.pixel_size = float(star.floats(path, mine, ["pixelsize"])[0, 0])
        if tilts.pixel_size <= 0:
            raise FormatError(path, f"pixelsize must be above 0 Å, got {tilts.pixel_size:g}.")
    if (number != number[0]).any():
        tilts.notes.append(f"The list has {count_text(len(set(number.tolist())), 'tomogram')}; the first is taken.")
    return tilts


def _is_ctffind(start: FileStart) -> bool:
    return not start.is_star and start.matches(r"^#\s*Output\s+from\s+CTFFind")


def _is_gctf(start: FileStart) -> bool:
    particles = start.matches(r"_rln(CoordinateX|CenteredCoordinateXAngst|AngleRot|TomoParticleName)\b")
    return start.is_star and "_rlnDefocusU" in start.text and not particles


def _is_wedges(start: FileStart) -> bool:
    return start.is_star and start.matches(r"data_stopgap_wedgelist")


def _read_ctffind(path: Path, _: ReadOptions) -> Tilts:
    return read_ctffind(path)


def _read_gctf(path: Path, _: ReadOptions) -> Tilts:
    return read_gctf(path)


def _read_wedges(path: Path, _: ReadOptions) -> Tilts:
    return read_wedges(path)


_DESCRIBED = "defocus, astigmatism, phase shift"
CTFFIND = format_of_one_series("ctffind", "CTFFIND results", _is_ctffind, _read_ctffind, described=_DESCRIBED)
GCTF = format_of_one_series("gctf", "Gctf results", _is_gctf, _read_gctf, described=_DESCRIBED)
WEDGES = format_of_one_series(
    "stopgap-wedges", "STOPGAP wedge list", _is_wedges, _read_wedges, described="angles, defocus, dose"
)
