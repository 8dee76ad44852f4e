"""IMOD's command files tilt.com and newst.com."""

import re
from pathlib import Path

import numpy as np

from emtomo.compute.tilt.geometry import tilt_rotations
from emtomo.errors import FormatError
from emtomo.io.text import is_number, read_text, write_text
from emtomo.io.tilts import Tilts

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def read_com(path: str | Path) -> dict[str, str]:
    """Return parameters of a command file (tilt.com, newst.com) by lower-case name; FormatError if none is there."""
    found: dict[str, str] = {}
    for line in read_text(path).split("\n"):
        words = line.split(None, 1)
        if words and words[0][0] not in "$#":
            found[words[0].lower()] = words[1].strip() if len(words) > 1 else ""
    if not found:
        raise FormatError(path, "there is no parameter in it.")
    return found


def take_commands(path: Path, tilts: Tilts) -> None:
    """Take sizes, excluded views, the offset of the tilt angles and the tilt about x from tilt.com.

    XAXISTILT is subtracted from the x tilts of every image (IMOD, flib/tilt/tilt.f90).
    """
    found = read_com(path)

    def values(name: str) -> list[float]:
        """Return the numbers of an entry, none if one of its words is no number."""
        words = found.get(name, "").replace(",", " ").split()
        return [float(w) for w in words] if words and all(is_number(w) for w in words) else []

    named = Path(found.get("tiltfile", "")).stem
    if named and named != tilts.name:
        tilts.notes.append(f"{path.name} beside it belongs to {named}: not taken.")
        return
    full, thick = values("fullimage"), values("thickness")
    if len(full) == 2 and all(0 < v < 1e6 for v in full):
        tilts.image_size = (int(full[0]), int(full[1]))
        if thick and 0 < thick[0] < 1e6:
            tilts.volume_size = (int(full[0]), int(full[1]), int(thick[0]))
    _exclude(path, found, tilts)
    offset = values("offset")
    if offset and offset[0] and "angle" in tilts.table:
        tilts.table["angle"] = tilts.table["angle"] + offset[0]
        tilts.notes.append(f"tilt.com adds {offset[0]:g}° to the angles.")
    across = values("xaxistilt")
    if across and across[0] and "angle" in tilts.table:
        tilts.table["x_tilt"] = tilts.column("x_tilt") - across[0]  # tilt takes it from the angles of XTILTFILE
        tilts.notes.append(
            f"tilt.com turns the tomogram about x (XAXISTILT): {-across[0]:g}° were added to the x tilts."
        )
    if len(offset) > 1 and offset[1]:
        tilts.notes.append(f"tilt.com moves the tilt axis by {offset[1]:g} pixels (OFFSET), which is not taken.")
    for name, what in (("localfile", "local alignments"), ("zfactorfile", "Z factors")):
        if found.get(name):
            tilts.notes.append(f"tilt.com has {what} ({name.upper()}), which are not taken.")
    moved = values("shift")
    if any(moved):
        _shift(tilts, moved[0], moved[1] if len(moved) > 1 else 0.0)


def _shift(tilts: Tilts, x: float, z: float) -> None:
    """Move the tomogram as SHIFT of tilt.com does, by pixels along x and z; of unknown transforms a note is kept.

    Density moves by (x, z) in the slices, whose z points down in a tomogram rotated about x (trimvol -rx): the
    tomogram's centre lies at (-x, 0, z) from where it was (IMOD, flib/tilt/tilt.f90, projectModel).
    """
    if not {"angle", "rotation", "shift_x", "shift_y"} <= set(tilts.table):
        tilts.notes.append(f"tilt.com has SHIFT {x:g} {z:g}, which is not taken without transforms (.xf).")
        return
    step = tilts.pixel_size if np.isfinite(tilts.pixel_size) else 1.0
    rotations = tilt_rotations(tilts.column("angle"), tilts.column("rotation"), tilts.column("x_tilt"))
    centre = rotations[:, :2] @ (np.array([-x, 0.0, z]) * step)
    tilts.table["shift_x"] += centre[:, 0]
    tilts.table["shift_y"] += centre[:, 1]
    tilts.notes.append(f"tilt.com moves the tomogram by {x:g} and {z:g} pixels along x and z (SHIFT): taken.")


def _exclude(path: Path, found: dict[str, str], tilts: Tilts) -> None:
    """Mark the views that EXCLUDELIST and EXCLUDELIST2 of tilt.com name, such as ``1,4-6``; they count from 1."""
    text = ",".join(found[key] for key in ("excludelist", "excludelist2") if found.get(key))
    if not text:
        return
    gone = np.zeros(len(tilts))
    for word in text.replace(" ", ",").split(","):
        match = _RANGE.fullmatch(word)
        if word and not match:
            raise FormatError(path, f"EXCLUDELIST must be views such as 1,4-6, got {text[:40]!r}.")
        if match:
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last <= len(tilts):
                raise FormatError(path, f"EXCLUDELIST must lie between 1 and {len(tilts)}, got {word[:40]}.")
            gone[first - 1 : last] = 1
    tilts.table["excluded"] = gone


def write_com(folder: Path, tilts: Tilts) -> list[Path]:
    """Write tilt.com and newst.com of a series into a folder, with what is known of it.

    Raises
    ------
    FormatError
        If one of the files is there already.
    """
    name = tilts.name or "series"
    size = tilts.image_size or (0, 0)
    thick = tilts.volume_size[2] if tilts.volume_size else 0
    tilt = ["$tilt -StandardInput", f"InputProjections {name}_ali.mrc", f"OutputFile {name}_full_rec.mrc",
            "IMAGEBINNED 1", f"TILTFILE {name}.tlt", f"XTILTFILE {name}.xtilt", f"THICKNESS {thick}",
            "RADIAL 0.35 0.035", "FalloffIsTrueSigma 1", "XAXISTILT 0.0", "PERPENDICULAR", "MODE 2",
            *_excludelist(tilts), f"FULLIMAGE {size[0]} {size[1]}",
            "SUBSETSTART 0 0", "OFFSET 0.0", "SHIFT 0.0 0.0"]  # fmt: skip
    newst = [
        "$newstack -StandardInput",
        f"InputFile {name}.mrc",
        f"OutputFile {name}_ali.mrc",
        f"TransformFile {name}.xf",
        f"SizeToOutputInXandY {size[0]},{size[1]}",
        "ImagesAreBinned 1.0",
        "BinByFactor 1",
    ]
    for file in ("tilt.com", "newst.com"):
        if (folder / file).exists():
            raise FormatError(folder / file, "exists already; write into another folder.")
    for file, lines in (("tilt.com", tilt), ("newst.com", newst)):
        write_text(folder / file, "\n".join(lines) + "\n")
    return [folder / "tilt.com", folder / "newst.com"]


def _excludelist(tilts: Tilts) -> list[str]:
    views = np.flatnonzero(tilts.column("excluded")) + 1
    return [f"EXCLUDELIST2 {','.join(str(v) for v in views)}"] if len(views) else []
