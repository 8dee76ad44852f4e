"""Alignments and CTFs of tilt series from one program's file to another's."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError
from emtomo.io import ctf_files, imod_tilts, mdoc, relion_tilts, scipion_tilts, volumes, warp
from emtomo.io.convert import ConversionReport
from emtomo.io.names import is_file, stem
from emtomo.io.particles import VolumeGeometry
from emtomo.io.recognise import recognise
from emtomo.io.tilts import COLUMNS, Tilts, angles_of

LABELS = {
    "tlt": "IMOD tilt angles", "xf": "IMOD transforms", "com": "IMOD command file", "defocus": "IMOD defocus file",
    "mdoc": "SerialEM mdoc", "aln": "AreTomo alignment", "ctffind": "CTFFIND results", "gctf": "Gctf results",
    "warp-xml": "Warp tilt series", "tomostar": "Warp tomostar", "tilts-relion": "RELION tilt series",
    "tomograms": "RELION tomograms", "xtilt": "IMOD tilt angles", "stopgap-wedges": "STOPGAP wedge list",
    "scipion-tilts": "Scipion tilt series", "scipion-ctf": "Scipion CTFs", "imod": "IMOD alignment",
}  # fmt: skip
_BY_SUFFIX = {".xml": "warp-xml", ".tomostar": "tomostar", ".star": "tilts-relion", ".tlt": "tlt", ".rawtlt": "tlt",
              ".xf": "xf", ".defocus": "defocus", ".xtilt": "xtilt", ".com": "com",
              ".sqlite": "scipion-tilts"}  # fmt: skip
_HELD = {
    "tlt": {"angle"},
    "xtilt": {"x_tilt"},
    "xf": {"rotation", "shift_x", "shift_y"},
    "com": {"angle"},
    "defocus": {"angle", "defocus_u", "defocus_v", "defocus_angle", "phase_shift"},
    "tomostar": {"name", "angle", "rotation", "shift_x", "shift_y", "dose", "excluded"},
    "warp-xml": set(COLUMNS) - {"acquisition_order"},
    "tilts-relion": set(COLUMNS) - {"acquisition_order", "stage_x", "stage_y", "stage_z"},
}


def read_tilts(path: Path, kind: str = "auto", pixel_size: float | None = None) -> Tilts:
    """Read a tilt series from a file of any kind that is known.

    Raises
    ------
    EmtomoError
        If it is no such file.
    """
    kind = recognise(path) if kind == "auto" else kind
    plain: dict[str, Callable[[Path], Tilts]] = {
        "mdoc": mdoc.read_mdoc,
        "ctffind": ctf_files.read_ctffind,
        "gctf": ctf_files.read_gctf,
        "warp-xml": warp.read_xml,
        "tomostar": warp.read_tomostar,
        "tilts-relion": relion_tilts.read_tilt_star,
        "stopgap-wedges": ctf_files.read_wedges,
    }
    if kind in plain:
        tilts = plain[kind](path)
    elif kind in ("tlt", "xf"):
        tilts = imod_tilts.read_imod(path, pixel_size)
    elif kind == "aln":
        tilts = imod_tilts.read_aln(path, pixel_size)
    elif kind == "xtilt":
        tilts = Tilts(pd.DataFrame({"x_tilt": imod_tilts.read_tlt(path)}), name=path.stem, format="imod")
    elif kind == "defocus":
        tilts = Tilts(imod_tilts.read_defocus(path).reset_index(drop=True), name=path.stem, format="defocus")
    elif kind == "com":
        name = imod_tilts.read_com(path).get("tiltfile", "")
        if not name or not is_file(path.parent / Path(name).name):
            raise EmtomoError(f"{path} names the angles {name[:80] or '(none)'}, which are not beside it.")
        tilts = imod_tilts.read_imod(path.parent / Path(name).name, pixel_size)
    else:
        raise EmtomoError(f"{path}: a file of the kind {kind!r} is no table of tilts.")
    if pixel_size:
        tilts.pixel_size = pixel_size
    return tilts


def read_series(path: Path, kind: str = "auto", pixel_size: float | None = None) -> list[Tilts]:
    """Read all tilt series of a file, or of all files with tilts in a folder (of files of one name, the alignment).

    Raises
    ------
    EmtomoError
        If there is none.
    """
    if path.is_dir():
        kinds = {f: recognise(f) for f in sorted(path.iterdir()) if f.is_file() and not f.name.endswith(".part")}
        files = {f.stem: (f, k) for f, k in kinds.items() if k in ("mdoc", "tlt")}
        files |= {f.stem: (f, k) for f, k in kinds.items() if k in ("xf", "aln", "warp-xml", "tilts-relion")}
        if not files:
            raise EmtomoError(f"{path}: there is no file with tilts in this folder.")
        return [read_tilts(f, k, pixel_size) for f, k in files.values()]
    kind = recognise(path) if kind == "auto" else kind
    if kind in ("tomograms", "scipion-tilts"):
        reader = relion_tilts.read_tomograms if kind == "tomograms" else scipion_tilts.read_tilt_series
        found = list(reader(path).values())
        for tilts in found:
            tilts.pixel_size = pixel_size or tilts.pixel_size
        return found
    return [read_tilts(path, kind, pixel_size)]


def convert_tilts(
    source: Path,
    target: Path,
    *,
    kind: str = "auto",
    to: str = "auto",
    pixel_size: float | None = None,
    tomograms: Path | None = None,
) -> ConversionReport:
    """Convert alignments and CTFs of tilt series.

    Several series go to one file (tomograms, scipion-tilts, scipion-ctf), else to one file each in the folder `target`.

    Parameters
    ----------
    source, target : Path
    kind, to : str
    pixel_size : float, optional
        Å of the images, where `source` does not say.
    tomograms : Path, optional
        Where the sizes of the tomograms are known from, which RELION's tomograms.star needs.

    Raises
    ------
    EmtomoError
        If the target cannot be made from what the source knows.
    """
    if to == "auto":
        to = "tomograms" if target.name.endswith("tomograms.star") else _BY_SUFFIX.get(target.suffix.lower(), "")
    if to not in _HELD and to not in _SETS:
        raise EmtomoError(
            f"{target}: the format of tilts must be one of {', '.join([*_HELD, *_SETS])}; the ending says none."
        )
    series = read_series(source, kind, pixel_size)
    if tomograms is not None:
        _take_sizes(series, volumes.read_volumes(tomograms))
    done = ConversionReport()
    for tilts in series:
        done.lines.append(
            f"Recognised {LABELS.get(tilts.format, kind)} {tilts.name}: {len(tilts)} images{_told(tilts)}."
        )
        done.lines += tilts.notes
        if tilts.rotations is not None and not {"angle", "rotation"} <= set(tilts.table):
            tilts.table[["rotation", "angle", "x_tilt"]] = angles_of(tilts.rotations)
    if to in _SETS:
        done.files = _SETS[to](target, series)
        done.lines.append(f"Written: {len(series)} tilt series.")
        return done
    if len(series) > 1:
        target.mkdir(parents=True, exist_ok=True)
    ending = next(suffix for suffix, name in _BY_SUFFIX.items() if name == to)
    for tilts in series:
        _one(tilts, target / f"{tilts.name}{ending}" if len(series) > 1 else target, to, source, done)
    return done


def _take_sizes(series: list[Tilts], sizes: Mapping[str, VolumeGeometry]) -> None:
    """Set the size of every series' tomogram, in voxels of its images."""
    for tilts in series:
        found = sizes.get(stem(tilts.name))
        if found is not None and found.pixel_size and np.isfinite(tilts.pixel_size):
            x, y, z = (round(n * found.pixel_size / tilts.pixel_size) for n in found.size)
            tilts.volume_size = (x, y, z)


def _one(tilts: Tilts, target: Path, to: str, source: Path, done: ConversionReport) -> None:
    needed = {"tlt": "angle", "xf": "rotation", "defocus": "defocus_u", "xtilt": "x_tilt"}.get(to, "angle")
    if needed not in tilts.table:
        raise EmtomoError(f"{source} says nothing of {COLUMNS[needed]}, which {LABELS[to]} need.")
    done.files += _write(target, tilts, to)
    has = {c for c in COLUMNS if c in tilts.table and _says(tilts, c)}
    gone = sorted(has - _HELD[to])
    done.lines.append(f"Written: {len(tilts)} images as {LABELS[to]}.")
    if gone:
        done.lines.append(f"Not held by this format: {', '.join(gone)}.")
    if to in ("tomostar", "tilts-relion") and tilts.column("excluded").any():
        done.lines.append(f"{int(tilts.column('excluded').sum())} excluded images were left out.")


def _tomograms_star(target: Path, series: list[Tilts]) -> list[Path]:
    return relion_tilts.write_tomograms(target, series)


def _scipion_tilts(target: Path, series: list[Tilts]) -> list[Path]:
    scipion_tilts.write_tilt_series(target, series)
    return [target]


def _scipion_ctf(target: Path, series: list[Tilts]) -> list[Path]:
    scipion_tilts.write_ctf(target, series)
    return [target]


_SETS: dict[str, Callable[[Path, list[Tilts]], list[Path]]] = {
    "tomograms": _tomograms_star,
    "scipion-tilts": _scipion_tilts,
    "scipion-ctf": _scipion_ctf,
}


def _says(tilts: Tilts, column: str) -> bool:
    return column == "name" or bool(np.any(tilts.column(column)))


def _told(tilts: Tilts) -> str:
    told = ""
    if "angle" in tilts.table:
        told += f", {tilts.column('angle').min():.1f} to {tilts.column('angle').max():.1f}°"
    return told + (f", {tilts.pixel_size:g} Å/px" if np.isfinite(tilts.pixel_size) else "")


def _write(target: Path, tilts: Tilts, to: str) -> list[Path]:
    if to in ("tlt", "xtilt"):
        imod_tilts.write_tlt(target, tilts.column("angle" if to == "tlt" else "x_tilt"))
    elif to == "xf":
        in_voxels = not np.isfinite(tilts.pixel_size) and tilts.format in ("imod", "aln")
        if not np.isfinite(tilts.pixel_size) and not in_voxels:
            raise EmtomoError("Transforms are in voxels: the pixel size of the images is needed; give it.")
        imod_tilts.write_xf(target, tilts, 1.0 if in_voxels else tilts.pixel_size)
    elif to == "defocus":
        imod_tilts.write_defocus(target, tilts)
    elif to == "com":
        return imod_tilts.write_com(target.parent, tilts)
    elif not np.isfinite(tilts.pixel_size) and tilts.format in ("imod", "aln") and _says(tilts, "shift_x"):
        raise EmtomoError("The shifts are in voxels: the pixel size of the images is needed; give it.")
    elif to == "tomostar":
        warp.write_tomostar(target, tilts)
    elif to == "warp-xml":
        warp.write_xml(target, tilts)
    else:
        named = dataclasses.replace(tilts, name=tilts.name or target.stem)
        relion_tilts.write_tilt_star(target, named)
    return [target]
