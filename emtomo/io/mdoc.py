"""SerialEM's .mdoc files: how every image was taken."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import FormatError
from emtomo.io.format import FileStart, ReadOptions
from emtomo.io.text import is_number, read_text
from emtomo.io.tilts import Tilts, accumulate_dose, format_of_one_series

_SECTION = re.compile(r"^\[\s*(ZValue|FrameSet|MontSection)\s*=\s*(.*?)\s*\]$")
_TITLE = re.compile(r"^\[?T\s*=\s*(.*?)\]?$")
_TIMES = ("%d-%b-%y %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
_AXIS = re.compile(r"Tilt ?axis ?angle\s*=\s*([-+]?\d+(?:\.\d+)?)", re.IGNORECASE)


def read_sections(path: str | Path) -> tuple[dict[str, str], list[dict[str, str]], list[str]]:
    """Return the values of the whole file, those of every section, and the titles.

    Raises
    ------
    FormatError
        With the line, if a line is neither a section, a title nor ``name = value``, or there is no section.
    """
    whole: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    titles: list[str] = []
    for n, raw in enumerate(read_text(path).split("\n"), 1):
        line = raw.strip()
        if not line:
            continue
        if match := _SECTION.match(line):
            sections.append({"Section": match.group(1), "Number": match.group(2), "Line": str(n)})
        elif match := _TITLE.match(line):
            titles.append(match.group(1).strip())
        else:
            name, found, value = line.partition("=")
            if not found:
                raise FormatError(path, f"a line is written as name = value, got {line[:40]!r}.", n)
            (sections[-1] if sections else whole)[name.strip()] = value.strip()
    if not sections:
        raise FormatError(path, "there is no section [ZValue = …] or [FrameSet = …] in it.")
    return whole, sections, titles


def read_mdoc(path: str | Path) -> Tilts:
    """Read the images of a tilt series: angle, file, dose, order by time, tilt axis.

    The dose before an image is PriorRecordDose, else the sum of ExposureDose of those taken earlier.

    Raises
    ------
    FormatError
        If there is no image in it, or a number twice.
    """
    whole, sections, titles = read_sections(path)
    images = _in_stack_order(path, [s for s in sections if s["Section"] != "MontSection"])
    if not images:
        raise FormatError(path, "there is no image in it, only montages.")
    angle = [_number(path, s, "TiltAngle", needed=True) for s in images]
    dose = [_number(path, s, "ExposureDose") for s in images]
    order = _order([" ".join(s.get("DateTime", "").split()) for s in images])
    table = pd.DataFrame(
        {
            "name": [re.split(r"[/\\]", s.get("SubFramePath", ""))[-1] for s in images],
            "angle": angle,
            "acquisition_order": order,
            "dose": _dose(path, images, np.array(dose), order),
        }
    )
    tilts = Tilts(table, name=re.sub(r"(\.(mrc|st|tif|tiff|eer))*\.mdoc$", "", Path(path).name), format="mdoc")
    spacing = whole.get("PixelSpacing") or images[0].get("PixelSpacing", "")
    if spacing:
        tilts.pixel_size = tilts.header_number("PixelSpacing", spacing)
    voltage = whole.get("Voltage") or images[0].get("Voltage", "")
    if voltage and (value := tilts.header_number("Voltage", voltage)) > 0:
        tilts.optics["voltage"] = value
    size = whole.get("ImageSize", "").split()
    if len(size) == 2 and all(w.isdecimal() and len(w) < 7 for w in size):
        tilts.image_size = (int(size[0]), int(size[1]))
    axis = _axes(path, whole, images, titles)
    if axis is not None:
        tilts.table["rotation"] = axis
    else:
        tilts.notes.append("The file does not say the angle of the tilt axis.")
    return tilts


def _in_stack_order(path: str | Path, images: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return sections in the order of their ZValue, the image's number in the stack; frame sets as they are."""
    if not images or not all(s["Section"] == "ZValue" and s["Number"].isdecimal() for s in images):
        return images
    found: dict[int, dict[str, str]] = {}
    for section in images:
        other = found.setdefault(int(section["Number"][:18]), section)
        if other is not section and other.get("SubFramePath") == section.get("SubFramePath"):
            said = f"ZValue {section['Number'][:40]} stands in line {other['Line']} already."
            raise FormatError(path, said, int(section["Line"]))
    return [found[z] for z in sorted(found)] if len(found) == len(images) else images


def _axes(
    path: str | Path, whole: dict[str, str], images: list[dict[str, str]], titles: list[str]
) -> np.ndarray | float | None:
    """Return the angle of the tilt axis: of every image, of the header (both Tomo5), or of a title; None if nowhere."""
    if all("TiltAxisAngle" in section for section in images):
        return np.array([_number(path, section, "TiltAxisAngle") for section in images])
    axis = whole.get("TiltAxisAngle") or next((m.group(1) for m in map(_AXIS.search, titles) if m), "")
    if axis and not (is_number(axis) and np.isfinite(float(axis))):
        raise FormatError(path, f"TiltAxisAngle must be a finite number, got {axis[:40]!r}.")
    return float(axis) if axis else None


def _dose(path: str | Path, images: list[dict[str, str]], exposure: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the dose before every image: PriorRecordDose where all have it, else the sum of earlier exposures."""
    if all("PriorRecordDose" in section for section in images):
        return np.array([_number(path, section, "PriorRecordDose") for section in images])
    return accumulate_dose(exposure, order)


def _order(times: list[str]) -> np.ndarray:
    """Return the place of every image in time, from 1; that in the file where the times cannot be read."""
    for form in _TIMES:
        read = pd.to_datetime(pd.Series(times), format=form, errors="coerce")
        if not read.isna().any():
            return np.argsort(np.argsort(read.to_numpy(), kind="stable"), kind="stable") + 1
    return np.arange(1, len(times) + 1)


def _number(path: str | Path, section: dict[str, str], name: str, needed: bool = False) -> float:
    value = section.get(name)
    if value is None and not needed:
        return 0.0
    if value is None or not is_number(value) or not np.isfinite(float(value)):
        shown = "is missing" if value is None else f"must be a finite number, got {value[:40]!r}"
        raise FormatError(path, f"{name} {shown} in the section that starts here.", int(section["Line"]))
    return float(value)


def _sniff(start: FileStart) -> bool:
    return not start.is_star and start.matches(r"^\[(ZValue|FrameSet|MontSection)\s*=")


def _read(path: Path, _: ReadOptions) -> Tilts:
    return read_mdoc(path)


MDOC = format_of_one_series("mdoc", "SerialEM mdoc", _sniff, _read, described="angles, files, dose, order, axis")
