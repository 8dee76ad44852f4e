"""Alignments and CTFs of tilt series from one program's file to another's."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError
from emtomo.io import ctf_files, imod_tilts, mdoc, relion_tilts, warp
from emtomo.io.convert import Done
from emtomo.io.names import is_file
from emtomo.io.recognise import recognise
from emtomo.io.tilts import COLUMNS, Tilts, angles_of

LABELS = {
    "tlt": "IMOD tilt angles", "xf": "IMOD transforms", "com": "IMOD command file", "defocus": "IMOD defocus file",
    "mdoc": "SerialEM mdoc", "aln": "AreTomo alignment", "ctffind": "CTFFIND results", "gctf": "Gctf results",
    "warp-xml": "Warp tilt series", "tomostar": "Warp tomostar", "tilts-relion": "RELION tilt series",
    "tomograms": "RELION tomograms", "xtilt": "IMOD tilt angles", "stopgap-wedges": "STOPGAP wedge list",
}  # fmt: skip
_BY_SUFFIX = {".xml": "warp-xml", ".tomostar": "tomostar", ".star": "tilts-relion", ".tlt": "tlt", ".rawtlt": "tlt",
              ".xf": "xf", ".defocus": "defocus", ".xtilt": "xtilt", ".com": "com"}  # fmt: skip
_HELD = {
    "tlt": {"angle"}, "xtilt": {"x_tilt"}, "xf": {"rotation", "shift_x", "shift_y"}, "com": {"angle"},
    "defocus": {"angle", "defocus_u", "defocus_v", "defocus_angle", "phase_shift"},
    "tomostar": {"name", "angle", "rotation", "shift_x", "shift_y", "dose", "excluded"},
    "warp-xml": set(COLUMNS) - {"acquisition_order"}, "tilts-relion": set(COLUMNS) - {"acquisition_order"},
}  # fmt: skip


def read_tilts(path: Path, kind: str = "auto", pixel_size: float | None = None) -> Tilts:
    """Read a tilt series from a file of any kind that is known.

    Raises
    ------
    EmtomoError
        If it is no such file.
    """
    kind = recognise(path) if kind == "auto" else kind
    plain: dict[str, Callable[[Path], Tilts]] = {
        "mdoc": mdoc.read_mdoc, "ctffind": ctf_files.read_ctffind, "gctf": ctf_files.read_gctf,
        "warp-xml": warp.read_xml, "tomostar": warp.read_tomostar, "tilts-relion": relion_tilts.read_tilt_star,
        "stopgap-wedges": ctf_files.read_wedges,
    }  # fmt: skip
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


def convert_tilts(
    source: Path, target: Path, *, kind: str = "auto", to: str = "auto", pixel_size: float | None = None
) -> Done:
    """Convert the alignment and CTF of a tilt series.

    Raises
    ------
    EmtomoError
        If the target cannot be made from what the source knows.
    """
    to = _BY_SUFFIX.get(target.suffix.lower(), "") if to == "auto" else to
    if to not in _HELD:
        raise EmtomoError(f"{target}: the format of tilts must be one of {', '.join(_HELD)}; the ending says none.")
    tilts = read_tilts(source, kind, pixel_size)
    done = Done([f"Recognised {LABELS.get(kind, kind)}: {len(tilts)} images{_told(tilts)}.", *tilts.notes])
    if tilts.rotations is not None and not {"angle", "rotation"} <= set(tilts.table):
        tilts.table[["rotation", "angle", "x_tilt"]] = angles_of(tilts.rotations)
    needed = {"tlt": "angle", "xf": "rotation", "defocus": "defocus_u", "xtilt": "x_tilt"}.get(to, "angle")
    if needed not in tilts.table:
        raise EmtomoError(f"{source} says nothing of {COLUMNS[needed]}, which {LABELS[to]} need.")
    done.files = _write(target, tilts, to)
    has = {c for c in COLUMNS if c in tilts.table and tilts.table[c].astype(str).ne("0").any() and _says(tilts, c)}
    gone = sorted(has - _HELD[to])
    done.lines.append(f"Written: {len(tilts)} images as {LABELS[to]}.")
    if gone:
        done.lines.append(f"Not held by this format: {', '.join(gone)}.")
    if to in ("tomostar", "tilts-relion") and tilts.column("excluded").any():
        done.lines.append(f"{int(tilts.column('excluded').sum())} excluded images were left out.")
    return done


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
