"""IMOD's and AreTomo's alignments: .tlt, .xtilt, .xf, .defocus, .aln."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io.format import FileStart, ReadOptions
from emtomo.io.imod_commands import read_com, take_commands, write_com
from emtomo.io.names import is_file
from emtomo.io.text import is_number, matrix, read_text, write_text
from emtomo.io.tilts import Tilts, format_of_one_series

_LOCAL = re.compile(r"^#\s*Local\s+Alignment", re.MULTILINE)
_ALN = re.compile(r"#\s*(RawSize|DarkFrame|AlphaOffset|BetaOffset)\s*=\s*(.*)")


def read_tlt(path: str | Path) -> np.ndarray:
    """Return the angles of a .tlt, .rawtlt or .xtilt file, one per line, in degrees."""
    return matrix(path, read_text(path), (1, 1), "a list of angles")[:, 0]


def read_xf(path: str | Path, pixel_size: float = 1.0) -> pd.DataFrame:
    """Return rotation (°), shift_x and shift_y (Å) of the images from their transforms.

    A line A11 A12 A21 A22 DX DY takes an image to the aligned one: x' = A (x - c) + d + c (IMOD, xf format). The axis
    is then minus the angle of A, and the tomogram's centre lies at ``-A⁻¹ d``.

    Raises
    ------
    FormatError
        If a transform is not six numbers, or cannot be inverted.
    """
    rows = matrix(path, read_text(path), (6, 6), "a file of transforms")
    a = rows[:, :4].reshape(-1, 2, 2)
    flat = np.abs(np.linalg.det(a)) < 1e-6
    if flat.any():
        raise FormatError(path, f"transform {int(np.argmax(flat)) + 1} cannot be inverted.")
    shift = -np.linalg.solve(a, rows[:, 4:, None])[:, :, 0] * pixel_size
    rotation = -np.degrees(np.arctan2(a[:, 1, 0] - a[:, 0, 1], a[:, 0, 0] + a[:, 1, 1]))
    return pd.DataFrame({"rotation": rotation, "shift_x": shift[:, 0], "shift_y": shift[:, 1]})


def write_tlt(path: str | Path, angles: np.ndarray) -> None:
    """Write angles, one per line."""
    write_text(path, "".join(f"{a:8.3f}\n" for a in angles))


def write_xf(path: str | Path, tilts: Tilts, pixel_size: float) -> None:
    """Write the transforms that align the images; see :func:`read_xf`."""
    turn = np.radians(-tilts.column("rotation"))
    shift = np.stack([tilts.column("shift_x"), tilts.column("shift_y")], axis=1) / pixel_size
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = -(c * shift[:, 0] - s * shift[:, 1]), -(s * shift[:, 0] + c * shift[:, 1])
    rows = zip(c, -s, s, c, dx, dy, strict=True)
    write_text(path, "".join("".join(f"{v:14.8f}" for v in row) + "\n" for row in rows))


def read_imod(path: str | Path, pixel_size: float | None = None) -> Tilts:
    """Read a series' alignment from one of its files, .xf or .tlt, and those beside it of the same name.

    Lengths are in voxels where no pixel size is given, as IMOD has them. tilt.com beside it gives sizes, excluded
    views, the offset of the angles and the tilt about x.

    Raises
    ------
    FormatError
        If there is no angle or transform in it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    step = pixel_size or 1.0
    base = path.with_suffix("")
    table = pd.DataFrame()
    angles = (
        path
        if suffix in (".tlt", ".rawtlt")
        else next((f for f in (base.with_suffix(".tlt"), base.with_suffix(".rawtlt")) if f.exists()), None)
    )
    if angles is not None:
        table["angle"] = read_tlt(angles)
    transforms = base.with_suffix(".xf")
    tilts = Tilts(table, pixel_size or np.nan, name=base.name, format="imod")
    if transforms.exists() and suffix not in (".rawtlt",):
        rows = read_xf(transforms, step)
        if len(table) and len(rows) != len(table) and angles is not None:
            asked = {".xf": (transforms, angles)}.get(suffix, (angles, transforms))
            tilts.notes.append(
                f"{asked[1].name} beside it has another number of lines than {asked[0].name}: not taken."
            )
            if suffix == ".xf":
                table = tilts.table = rows
        else:
            table[rows.columns.tolist()] = rows
    across = base.with_suffix(".xtilt")
    if across.exists() and len(table) and suffix != ".rawtlt":
        values = read_tlt(across)
        if len(values) != len(table):
            tilts.notes.append(f"{across.name} beside it has another number of lines: not taken.")
        else:
            table["x_tilt"] = values
    if not len(table):
        raise FormatError(path, "there is no angle or transform in it.")
    if (base.parent / "tilt.com").exists():
        take_commands(base.parent / "tilt.com", tilts)
    return tilts


def read_defocus(path: str | Path) -> pd.DataFrame:
    """Return defocus_u, defocus_v (Å), defocus_angle, phase_shift (°) by view, from 0, of an IMOD .defocus file.

    Version 2: start, end, two angles, defocus in nm, and a 2 on the first line. Version 3: a line of flags (1
    astigmatism, 2 its angle in radians, 4 phase shift, 8 it in radians, 32 cut-on), then the columns in that order
    (ctfphaseflip).

    Raises
    ------
    FormatError
        If there is no row in it, or a row lacks columns or finite numbers.
    """
    lines = [(n, line.split()) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    if not lines:
        raise FormatError(path, "there is no row in it.")
    rows = []
    for n, words in lines:
        if not all(is_number(w) and np.isfinite(float(w)) for w in words):
            raise FormatError(path, "a finite number is needed in every cell.", n)
        rows.append([float(w) for w in words])
    version = rows[0][5] if len(rows[0]) > 5 and len(rows[0]) == 6 else 2
    flags, body = (int(np.clip(rows[0][0], 0, 255)), lines[1:]) if version == 3 else (0, lines)
    values = rows[1:] if version == 3 else rows
    astigmatic, shifted = bool(flags & 1), bool(flags & 4)
    needed = 5 + 2 * astigmatic + shifted + bool(flags & 32)
    found: dict[int, dict[str, float]] = {}
    for (n, _), row in zip(body, values, strict=True):
        if len(row) < needed:
            raise FormatError(path, f"{needed} columns are needed, got {len(row)}.", n)
        first, last = int(np.clip(row[0], 0, 1e6)), int(np.clip(row[1], 0, 1e6))
        if not 1 <= first <= last < 10_000:
            raise FormatError(path, f"views must go from 1 upwards, got {row[0]:g} to {row[1]:g}.", n)
        entry = {"defocus_u": 10 * row[4], "defocus_v": 10 * row[5 if astigmatic else 4], "defocus_angle": 0.0}
        if astigmatic:
            entry["defocus_angle"] = np.degrees(row[6]) if flags & 2 else row[6]
        phase = row[5 + 2 * astigmatic] if shifted else 0.0
        entry["phase_shift"] = np.degrees(phase) if flags & 8 else phase
        for view in range(first, last + 1):
            found[view - 1] = entry
    return pd.DataFrame.from_dict(found, orient="index").sort_index()


def write_defocus(path: str | Path, tilts: Tilts) -> None:
    """Write an IMOD .defocus file of version 3, with astigmatism and, where there is one, the phase shift."""
    shifted = tilts.column("phase_shift").any()
    lines = [f"{1 + 4 * int(shifted)} 0 0. 0. 0. 3"]
    for k in range(len(tilts)):
        angle = tilts.column("angle")[k]
        u, v = tilts.column("defocus_u")[k] / 10, tilts.column("defocus_v")[k] / 10
        row = f"{k + 1} {k + 1} {angle:.2f} {angle:.2f} {u:.2f} {v:.2f} {tilts.column('defocus_angle')[k]:.3f}"
        lines.append(row + (f" {tilts.column('phase_shift')[k]:.3f}" if shifted else ""))
    write_text(path, "\n".join(lines) + "\n")


def read_aln(path: str | Path, pixel_size: float | None = None) -> Tilts:
    """Read an AreTomo alignment (.aln): the tilt axis ROT, shifts TX, TY in voxels, TILT; dark frames are excluded.

    An image is the aligned one turned by ROT and moved by TX, TY (AreTomo's IMOD output has the inverse). Images come
    in the order of SEC, of the stack; dark frames are given with their angle. AreTomo sorts a stack by angle: where
    dark frames are not counted as sections are, and a number is there twice, the angles tell their place.

    Raises
    ------
    FormatError
        If a value is no usable number.
    """
    text = read_text(path)
    dark: dict[int, float] = {}
    tilts = Tilts(pd.DataFrame(), pixel_size or np.nan, name=Path(path).stem, format="aln")
    offset = 0.0
    for n, line in enumerate(text.split("\n"), 1):
        match = _ALN.match(line)
        words = match.group(2).split() if match else []
        if not match or not words or not all(is_number(w) for w in words):
            continue
        key, values = match.group(1), [float(w) for w in words]
        if not np.isfinite(values).all() or max(abs(v) for v in values) > 1e6:
            raise FormatError(path, f"{key} holds no usable number.", n)
        if key == "DarkFrame" and len(values) >= 3:
            dark[int(values[0])] = values[2]
        elif key == "RawSize" and len(values) >= 2:
            tilts.image_size = (int(values[0]), int(values[1]))
        elif key == "AlphaOffset":
            offset = values[0]
    body, *local = _LOCAL.split(text, 1)
    rows = matrix(path, body, (10, 10), "an AreTomo alignment")
    step = pixel_size or 1.0
    table = pd.DataFrame(
        {
            "angle": rows[:, 9],
            "rotation": rows[:, 1],
            "shift_x": rows[:, 3] * step,
            "shift_y": rows[:, 4] * step,
            "excluded": 0,
            "section": rows[:, 0].astype(int),
        }
    )
    gone = pd.DataFrame(
        [
            {"angle": a, "rotation": rows[0, 1], "shift_x": 0.0, "shift_y": 0.0, "excluded": 1, "section": k}
            for k, a in dark.items()
        ]
    )
    whole = pd.concat([table, gone]) if len(gone) else table
    place = "angle" if set(table["section"]) & set(dark) else "section"
    tilts.table = whole.sort_values(place, kind="stable").drop(columns="section").reset_index(drop=True)
    if local:
        tilts.notes.append("Local alignments of patches are not taken.")
    if offset:
        tilts.notes.append(f"The sample is tilted by {offset:g}° (AlphaOffset), which is part of the angles.")
    return tilts


def _is_tlt(start: FileStart) -> bool:
    return not start.is_star and start.suffix in (".tlt", ".rawtlt")


def _is_xtilt(start: FileStart) -> bool:
    return not start.is_star and start.suffix == ".xtilt"


def _is_xf(start: FileStart) -> bool:
    return not start.is_star and start.suffix == ".xf"


def _is_defocus(start: FileStart) -> bool:
    return not start.is_star and start.suffix == ".defocus"


def _is_com(start: FileStart) -> bool:
    return not start.is_star and start.matches(r"^\$(tilt|newstack)\b|^(TILTFILE|InputProjections|TransformFile)\b")


def _is_aln(start: FileStart) -> bool:
    return not start.is_star and start.matches(r"^#\s*AreTomo")


def _read_alignment(path: Path, options: ReadOptions) -> Tilts:
    return read_imod(path, options.pixel_size)


def _read_xtilt(path: Path, _: ReadOptions) -> Tilts:
    return Tilts(pd.DataFrame({"x_tilt": read_tlt(path)}), name=path.stem, format="imod")


def _read_defocus(path: Path, _: ReadOptions) -> Tilts:
    return Tilts(read_defocus(path).reset_index(drop=True), name=path.stem, format="defocus")


def _read_com(path: Path, options: ReadOptions) -> Tilts:
    name = read_com(path).get("tiltfile", "")
    if not name or not is_file(path.parent / Path(name).name):
        raise EmtomoError(f"{path} names the angles {name[:80] or '(none)'}, which are not beside it.")
    return read_imod(path.parent / Path(name).name, options.pixel_size)


def _read_aln(path: Path, options: ReadOptions) -> Tilts:
    return read_aln(path, options.pixel_size)


def _write_tlt(path: Path, tilts: Tilts) -> None:
    write_tlt(path, tilts.column("angle"))


def _write_xtilt(path: Path, tilts: Tilts) -> None:
    write_tlt(path, tilts.column("x_tilt"))


def _write_xf(path: Path, tilts: Tilts) -> None:
    in_voxels = not np.isfinite(tilts.pixel_size) and tilts.format in ("imod", "aln")
    if not np.isfinite(tilts.pixel_size) and not in_voxels:
        raise EmtomoError("Transforms are in voxels: the pixel size of the images is needed; give it.")
    write_xf(path, tilts, 1.0 if in_voxels else tilts.pixel_size)


def _write_com(path: Path, tilts: Tilts) -> list[Path]:
    return write_com(path.parent, tilts)


_BESIDE = "files of one name beside each other are taken together"
ANGLES = format_of_one_series("tlt", "IMOD tilt angles", _is_tlt, _read_alignment, _write_tlt, "angle", ".tlt",
                              endings=(".tlt", ".rawtlt"), described=_BESIDE)  # fmt: skip
X_TILTS = format_of_one_series("xtilt", "IMOD tilts about x", _is_xtilt, _read_xtilt, _write_xtilt, "x_tilt", ".xtilt",
                               needs="x_tilt", described=_BESIDE)  # fmt: skip
TRANSFORMS = format_of_one_series("xf", "IMOD transforms", _is_xf, _read_alignment, _write_xf,
                                  "rotation shift_x shift_y", ".xf", needs="rotation", described=_BESIDE)  # fmt: skip
DEFOCUS = format_of_one_series("defocus", "IMOD defocus file", _is_defocus, _read_defocus, write_defocus,
                               "angle defocus_u defocus_v defocus_angle phase_shift", ".defocus", needs="defocus_u",
                               described="versions 2 and 3; 3 is written")  # fmt: skip
COMMANDS = format_of_one_series("com", "IMOD command file", _is_com, _read_com, _write_com, "angle excluded", ".com",
                                own_folder=True,
                                described="tilt.com, newst.com: sizes, excluded views, OFFSET, XAXISTILT, SHIFT; "
                                "several series get a folder each")  # fmt: skip
ARETOMO = format_of_one_series("aln", "AreTomo alignment", _is_aln, _read_aln,
                               described="axis, shifts, angles, dark frames")  # fmt: skip
