"""Warp's tilt series: ``.tomostar`` lists and ``.xml`` with geometry, CTF and movement."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import FormatError
from emtomo.io import star
from emtomo.io.format import FileStart, ReadOptions
from emtomo.io.text import is_number, write_text
from emtomo.io.tilts import COLUMNS, MODELS, Tilts, format_of_one_series, require_pixel_size
from emtomo.io.warp_magnification import (
    ATTRIBUTE,
    magnification_text,
    movement_with_magnification,
    take_magnification,
)
from emtomo.io.warp_xml import read_root
from emtomo.wording import count_text

LARGEST_GRID = 1_000_000
MICROMETRE = 1e4  # Å
_WEIGHTS = {"scale": "GridDoseWeights", "bfactor": "GridDoseBfacs"} | {
    f"stage_{axis.lower()}": f"GridAngle{axis}" for axis in "XYZ"
}


def read_tomostar(path: str | Path) -> Tilts:
    """Read a .tomostar: one movie a row, wrpAngleTilt, wrpAxisAngle, wrpAxisOffsetX/Y (Å), wrpDose.

    Warp's tilt turns the other way: emtomo's angle is minus wrpAngleTilt (see :func:`read_xml`).

    Raises
    ------
    FormatError
        If no block has movies and their angles.
    """
    blocks = star.read_blocks(path)
    table = next((b for b in blocks.values() if "wrpMovieName" in b), None)
    if table is None or len(table) == 0:
        raise FormatError(path, "no block has images with wrpMovieName.")
    if "wrpAngleTilt" not in table:
        raise FormatError(path, "wrpAngleTilt is missing.")
    out = pd.DataFrame({"name": star.words(table, "wrpMovieName")})
    pairs = {
        "angle": "wrpAngleTilt",
        "rotation": "wrpAxisAngle",
        "shift_x": "wrpAxisOffsetX",
        "shift_y": "wrpAxisOffsetY",
        "dose": "wrpDose",
    }
    for name, column in pairs.items():
        if column in table:
            out[name] = star.floats(path, table, [column])[:, 0]
    out["angle"] = -out["angle"]
    return Tilts(out, name=Path(path).name.removesuffix(".tomostar"), format="tomostar")


def write_tomostar(path: str | Path, tilts: Tilts) -> None:
    """Write a .tomostar; movies without name are called ``name_001.mrc``, …."""
    names = tilts.table.get("name", pd.Series([f"{tilts.name}_{k:03d}.mrc" for k in range(1, len(tilts) + 1)]))
    keep = tilts.column("excluded") == 0
    table = pd.DataFrame({
        "wrpMovieName": names, "wrpAngleTilt": -tilts.column("angle"), "wrpAxisAngle": tilts.column("rotation"),
        "wrpAxisOffsetX": tilts.column("shift_x"), "wrpAxisOffsetY": tilts.column("shift_y"),
        "wrpDose": tilts.column("dose"), "wrpAverageIntensity": 1.0, "wrpMaskedFraction": 0.0,
    })[keep]  # fmt: skip
    star.write_blocks(path, {"": table})


def read_xml(path: str | Path) -> Tilts:
    """Read a Warp tilt series' .xml.

    The image at a tilt shows ``Rz(axis) Ry(-(angle + LevelAngleY)) Rx(LevelAngleX)`` of the tomogram, moved by the
    axis' offset, less the movement GridMovementX/Y (natural cubic splines over image and tilt). Checked on 1,107
    projections of Warp itself to 0.0005 Å. Defocus grows with the height, with AreAnglesInverted it falls (hand -1).
    GridAngleX, Y, Z turn the sections and not the positions; GridDoseBfacs count where they are below -3 Å² for each
    e/Å², without them the B factor is 4 Å² for each. MagnificationCorrection is a matrix of the sections alone.

    Raises
    ------
    FormatError
        If it is no XML, or no tilt series.
    """
    root = _root(path)
    angle = _list(path, root, "Angles", needed=True)
    n = len(angle)
    level_x, level_y = (_attribute(path, root, f"LevelAngle{a}") for a in "XY")
    table = pd.DataFrame(
        {"angle": -(angle + level_y), "x_tilt": level_x, "rotation": _sized(path, root, "AxisAngle", n)}
    )
    for name, tag in (("shift_x", "AxisOffsetX"), ("shift_y", "AxisOffsetY"), ("dose", "Dose")):
        table[name] = _sized(path, root, tag, n)
    words = _words(root, "UseTilt")
    movies = [line.strip() for line in (root.findtext("MoviePath") or "").split("\n") if line.strip()]
    for tag, found in (("UseTilt", words), ("MoviePath", movies)):
        if len(found) not in (0, n):
            raise FormatError(path, f"{tag} must have {n} lines as Angles has, got {len(found)}.")
    if words:
        table["excluded"] = [int(word.lower() != "true") for word in words]
    if movies:
        table["name"] = movies
    defocus, delta, turn, phase = (
        _by_tilt(path, root, f"GridCTF{kind}", n) for kind in ("", "DefocusDelta", "DefocusAngle", "Phase")
    )
    if defocus is not None:
        half = 0.0 if delta is None else delta / 2
        table["defocus_u"], table["defocus_v"] = MICROMETRE * (defocus + half), MICROMETRE * (defocus - half)
        table["defocus_angle"] = 0.0 if turn is None else turn
        table["phase_shift"] = 0.0 if phase is None else 180.0 * phase
    tilts = Tilts(table, name=Path(path).stem, format="warp-xml", hand=_hand(root))
    ctf = {p.get("Name"): p.get("Value", "") for p in root.findall("CTF/Param")}
    for key, name in (("voltage", "Voltage"), ("cs", "Cs"), ("amplitude_contrast", "Amplitude")):
        word = ctf.get(name) or ""
        if word and np.isfinite(value := tilts.header_number(name, word, zero=key != "voltage")):
            tilts.optics[key] = value
    if ctf.get("PixelSize"):
        tilts.pixel_size = tilts.header_number("PixelSize", ctf["PixelSize"] or "")
    if np.isfinite(tilts.pixel_size):
        image, volume = (
            _size(path, root, "ImageDimensionsAngstrom", 2),
            _size(path, root, "VolumeDimensionsAngstrom", 3),
        )
        if image is not None:
            tilts.image_size = (round(image[0] / tilts.pixel_size), round(image[1] / tilts.pixel_size))
        if volume is not None:
            x, y, z = (round(v / tilts.pixel_size) for v in volume)
            tilts.volume_size = (x, y, z)
    for axis in "XYZ":
        turns = _by_tilt(path, root, f"GridAngle{axis}", n)
        if turns is not None and turns.any():
            table[f"stage_{axis.lower()}"] = turns
    _weights(path, root, table)
    tilts.image_warp, tilts.volume_warp = _image_warp(path, root, tilts), _volume_warp(path, root, tilts)
    return take_magnification(path, root, tilts)


def _hand(root: ET.Element) -> int:
    return -1 if root.get("AreAnglesInverted", "").lower() == "true" else 1


def _root(path: str | Path) -> ET.Element:
    return read_root(path, "TiltSeries", "a tilt series")


def _words(root: ET.Element, tag: str) -> list[str]:
    return (root.findtext(tag) or "").split()


def _list(path: str | Path, root: ET.Element, tag: str, needed: bool = False) -> np.ndarray:
    words = _words(root, tag)
    if needed and not words:
        raise FormatError(path, f"{tag} is missing or empty.")
    bad = next((w for w in words if not is_number(w) or not np.isfinite(float(w))), None)
    if bad is not None:
        raise FormatError(path, f"{tag} must be finite numbers, got {bad[:40]!r}.")
    return np.array([float(w) for w in words])


def _sized(path: str | Path, root: ET.Element, tag: str, n: int) -> np.ndarray:
    values = _list(path, root, tag)
    if len(values) not in (0, n):
        raise FormatError(path, f"{tag} must have {n} numbers as Angles has, got {len(values)}.")
    return values if len(values) else np.zeros(n)


def _attribute(path: str | Path, root: ET.Element, name: str) -> float:
    text = root.get(name, "0")
    if not is_number(text) or not np.isfinite(float(text)):
        raise FormatError(path, f"{name} must be a finite number, got {text[:40]!r}.")
    return float(text)


def _grid(path: str | Path, root: ET.Element, tag: str) -> np.ndarray | None:
    """Return a grid as (depth, height, width)."""
    return _nodes(path, root, tag, ["Depth", "Height", "Width"], "ZYX")


def _grid4(path: str | Path, root: ET.Element, tag: str) -> np.ndarray | None:
    """Return a grid as (duration, depth, height, width)."""
    return _nodes(path, root, tag, ["Duration", "Depth", "Height", "Width"], "WZYX")


def _nodes(path: str | Path, root: ET.Element, tag: str, extents: list[str], axes: str) -> np.ndarray | None:
    found = root.find(tag)
    if found is None or len(found) == 0:
        return None
    words = [found.get(k, "") for k in extents]
    if not all(re.fullmatch(r"\d{1,7}", w) for w in words):
        raise FormatError(path, f"{tag} must have a {', '.join(reversed(extents[1:]))} and {extents[0]}.")
    shape = tuple(int(w) for w in words)
    size = math.prod(shape)
    if size != len(found) or size > LARGEST_GRID:
        raise FormatError(path, f"{tag} claims {count_text(size, 'node')} and has {len(found)}.")
    grid = np.full(shape, np.nan)
    for node in found:
        place = [node.get(k, "") for k in axes]
        value = node.get("Value", "")
        inside = all(p.isdecimal() and int(p) < s for p, s in zip(place, shape, strict=True) if len(p) < 9)
        if not inside or any(len(p) > 8 or not p.isdecimal() for p in place) or not is_number(value):
            raise FormatError(path, f"{tag} has a node that is not in its grid, or no number.")
        grid[tuple(int(p) for p in place)] = float(value)
    if not np.isfinite(grid).all():
        raise FormatError(path, f"{tag} has a node that is missing or no number.")
    return grid


def _by_tilt(path: str | Path, root: ET.Element, tag: str, n: int) -> np.ndarray | None:
    """Return a grid's value at the middle of every tilt: the mean of its plane, linear between its depths."""
    grid = _grid(path, root, tag)
    if grid is None:
        return None
    means = grid.mean(axis=(1, 2))
    return np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(means)), means)


def _weights(path: str | Path, root: ET.Element, table: pd.DataFrame) -> None:
    """Fill amplitude and B factor of every tilt: the cosine of the tilt and the dose until M has fitted both."""
    n = len(table)
    fitted = {tag: _by_tilt(path, root, tag, n) for tag in ("GridDoseWeights", "GridDoseBfacs")}
    weights, b_factors = fitted.values()
    table["scale"] = np.cos(np.deg2rad(_list(path, root, "Angles")))
    if weights is not None and len(root.findall("GridDoseWeights/Node")) > 1:
        table["scale"] = weights
    if b_factors is not None and len(root.findall("GridDoseBfacs/Node")) > 1:
        table["bfactor"] = np.maximum(-b_factors, 3.0 * table["dose"])


def _image_warp(path: str | Path, root: ET.Element, tilts: Tilts) -> ImageWarp | None:
    """Return the movement of the sample; it needs the size of the images, which not every file says."""
    x, y = _grid(path, root, "GridMovementX"), _grid(path, root, "GridMovementY")
    if x is None or y is None or not (x.any() or y.any()):
        return None
    if x.shape != y.shape:
        raise FormatError(path, f"GridMovementX and Y must have one size, got {x.shape} and {y.shape}.")
    size = _size(path, root, "ImageDimensionsAngstrom", 2)
    if size is None and x[0].size > 1:
        tilts.notes.append("Movement of the sample needs the size of the images, which the file does not say.")
    return ImageWarp(x, y, (1.0, 1.0) if x[0].size == 1 else (np.nan, np.nan) if size is None else (size[0], size[1]))


def _volume_warp(path: str | Path, root: ET.Element, tilts: Tilts) -> VolumeWarp | None:
    grids = [_grid4(path, root, f"GridVolumeWarp{axis}") for axis in "XYZ"]
    known = [g for g in grids if g is not None and g.any()]
    if not known:
        return None
    nodes = [np.zeros_like(known[0]) if g is None or not g.any() else g for g in grids]
    if len({g.shape for g in nodes}) > 1:
        raise FormatError(path, "GridVolumeWarpX, Y and Z must have one size.")
    size = _size(path, root, "VolumeDimensionsAngstrom", 3)
    if size is None and nodes[0][0].size > 1:
        tilts.notes.append("The volume warp needs the size of the volume, which the file does not say.")
    dose, unknown = tilts.column("dose"), 1.0 if nodes[0][0].size == 1 else np.nan
    volume = (unknown, unknown, unknown) if size is None else (size[0], size[1], size[2])
    return VolumeWarp(np.stack(nodes, axis=-1), volume, (float(dose.min()), float(dose.max())))


def _size(path: str | Path, root: ET.Element, name: str, n: int) -> list[float] | None:
    """Return n sizes, of images maybe with a third one; None where the file does not say them, or says 0."""
    text = root.get(name, "")
    words = text.replace(",", " ").split()
    if not words:
        return None
    if len(words) not in (n, 3) or not all(is_number(word) and 0 <= float(word) < np.inf for word in words):
        raise FormatError(path, f"{name} must be {n} numbers with commas between, got {text[:40]!r}.")
    values = [float(word) for word in words[:n]]
    return values if min(values) > 0 else None


def write_xml(path: str | Path, tilts: Tilts) -> None:
    """Write a tilt series' .xml with what is known: geometry, dose and CTF; see :func:`read_xml`.

    Warp magnifies sections alone; what the magnification moves of the positions is added to the movement.
    """
    tilts = replace(tilts, image_warp=movement_with_magnification(tilts))
    attributes = {
        "DataDirectory": "", "AreAnglesInverted": str(tilts.hand == -1), "PlaneNormal": "0, 0, 0",
        "LevelAngleX": f"{tilts.column('x_tilt').mean():.10g}", "LevelAngleY": "0", "Bfactor": "0",
        "Weight": "1", ATTRIBUTE: magnification_text(tilts), "UnselectFilter": "False", "UnselectManual": "",
    }  # fmt: skip
    if (
        tilts.image_warp is not None
        and tilts.image_warp.x[0].size > 1
        and np.isfinite(tilts.image_warp.image_size).all()
    ):
        attributes["ImageDimensionsAngstrom"] = ", ".join(f"{v:.10g}" for v in tilts.image_warp.image_size)
    elif tilts.image_size and np.isfinite(tilts.pixel_size):
        size = [f"{v * tilts.pixel_size:.6g}" for v in tilts.image_size]
        attributes["ImageDimensionsAngstrom"] = ", ".join(size)
    if tilts.volume_warp is not None:
        attributes["VolumeDimensionsAngstrom"] = ", ".join(f"{v:.10g}" for v in tilts.volume_warp.volume_size)
    elif tilts.volume_size and np.isfinite(tilts.pixel_size):
        size = [f"{v * tilts.pixel_size:.6g}" for v in tilts.volume_size]
        attributes["VolumeDimensionsAngstrom"] = ", ".join(size)
    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    lines.append("<TiltSeries " + " ".join(f"{k}={quoteattr(v)}" for k, v in attributes.items()) + ">")
    columns = {
        "Angles": -tilts.column("angle"),
        "Dose": tilts.column("dose"),
        "AxisAngle": tilts.column("rotation"),
        "AxisOffsetX": tilts.column("shift_x"),
        "AxisOffsetY": tilts.column("shift_y"),
    }
    for tag, values in columns.items():
        lines.append(f"\t<{tag}>" + "\n".join(f"{v + 0.0:.10g}" for v in values) + f"</{tag}>")
    lines.append("\t<UseTilt>" + "\n".join(str(e == 0) for e in tilts.column("excluded")) + "</UseTilt>")
    if "name" in tilts.table:
        names = [str(n).replace("&", "&amp;").replace("<", "&lt;") for n in tilts.table["name"]]
        lines.append("\t<MoviePath>" + "\n".join(names) + "</MoviePath>")
    grids: dict[str, np.ndarray] = {}
    if "defocus_u" in tilts.table:
        u, v = tilts.column("defocus_u") / MICROMETRE, tilts.column("defocus_v") / MICROMETRE
        grids |= {
            "GridCTF": (u + v) / 2,
            "GridCTFDefocusDelta": u - v,
            "GridCTFDefocusAngle": tilts.column("defocus_angle"),
            "GridCTFPhase": tilts.column("phase_shift") / 180,
        }
        lines += _parameters(tilts)
    for column, tag in _WEIGHTS.items():
        if column in tilts.table:
            grids[tag] = tilts.column(column) * (-1 if column == "bfactor" else 1)
    if tilts.image_warp is not None:
        grids |= {"GridMovementX": tilts.image_warp.x, "GridMovementY": tilts.image_warp.y}
    if tilts.volume_warp is not None:
        grids |= {f"GridVolumeWarp{axis}": tilts.volume_warp.nodes[..., k] for k, axis in enumerate("XYZ")}
    for tag, values in grids.items():
        lines += _grid_lines(tag, values[:, None, None] if values.ndim == 1 else values)
    write_text(path, "\n".join([*lines, "</TiltSeries>", ""]))


def _grid_lines(tag: str, grid: np.ndarray) -> list[str]:
    extents = dict(zip(("Width", "Height", "Depth", "Duration"), reversed(grid.shape), strict=False))
    lines = [f"\t<{tag} " + " ".join(f'{k}="{v}"' for k, v in extents.items()) + ">"]
    for place in np.ndindex(grid.shape):
        where = " ".join(f'{k}="{v}"' for k, v in zip("XYZW", reversed(place), strict=False))
        lines.append(f'\t\t<Node {where} Value="{grid[place] + 0.0:.10g}" />')
    return [*lines, f"\t</{tag}>"]


def _parameters(tilts: Tilts) -> list[str]:
    attributes = {
        "Voltage": tilts.optics.get("voltage", 300.0),
        "Cs": tilts.optics.get("cs", 2.7),
        "Amplitude": tilts.optics.get("amplitude_contrast", 0.1),
    }
    if np.isfinite(tilts.pixel_size):
        attributes["PixelSize"] = tilts.pixel_size
    return ["\t<CTF>", *(f'\t\t<Param Name="{k}" Value="{v:.10g}" />' for k, v in attributes.items()), "\t</CTF>"]


def _is_tomostar(start: FileStart) -> bool:
    return start.is_star and start.matches(r"_wrpMovieName\b")


def _is_xml(start: FileStart) -> bool:
    return "<TiltSeries" in start.text or (start.text.lstrip()[:5] == "<?xml" and not is_beside_series(start))


def is_beside_series(start: FileStart) -> bool:
    """Return whether a file is one of those that Warp and M write beside tilt series: sources, species, movies."""
    return start.text.lstrip()[:1] == "<" and start.matches(r"<(DataSource|Movie|Population|Species)\b")


def _read_tomostar(path: Path, _: ReadOptions) -> Tilts:
    return read_tomostar(path)


def _read_xml(path: Path, _: ReadOptions) -> Tilts:
    return read_xml(path)


def _write_tomostar(path: Path, tilts: Tilts) -> None:
    require_pixel_size(tilts)
    write_tomostar(path, tilts)


def _write_xml(path: Path, tilts: Tilts) -> None:
    require_pixel_size(tilts)
    write_xml(path, tilts)


TOMOSTAR = format_of_one_series("tomostar", "Warp tomostar", _is_tomostar, _read_tomostar, _write_tomostar,
                                "name angle rotation shift_x shift_y dose excluded omits_excluded", ".tomostar",
                                described="angles, axis, offsets, dose")  # fmt: skip
XML = format_of_one_series("warp-xml", "Warp tilt series", _is_xml, _read_xml, _write_xml,
                           " ".join(set(COLUMNS) - {"acquisition_order"} | MODELS), ".xml",
                           described="geometry, dose, CTF, warps of images and volume, magnification")  # fmt: skip
