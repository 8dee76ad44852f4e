"""Alignments and CTFs of tilt series from one program's file to another's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.io import volumes
from emtomo.io.convert import ConversionReport
from emtomo.io.format import ReadOptions, WriteOptions
from emtomo.io.names import check_file_names, stem
from emtomo.io.particles import VolumeGeometry
from emtomo.io.recognise import recognise
from emtomo.io.tilt_formats import FORMATS, TILTS, WRITTEN
from emtomo.io.tilts import COLUMNS, MODELS, Tilts, angles_of
from emtomo.wording import count_text

_ALIGNED = ("xf", "aln", "warp-xml", "tilts-relion")  # of files of one name these say more than mdoc or tlt


def read_tilts(path: Path, kind: str = "auto", pixel_size: float | None = None) -> Tilts:
    """Read the tilt series of a file of any format; the first where it holds several.

    Raises
    ------
    EmtomoError
        If it is no such file.
    """
    return _read(path, kind, pixel_size)[0]


def _read(path: Path, kind: str, pixel_size: float | None) -> list[Tilts]:
    kind = recognise(path) if kind == "auto" else kind
    known = FORMATS.get(kind)
    if known is None or known.read is None:
        raise EmtomoError(f"{path}: a file of the kind {kind!r} is no table of tilts.")
    series = known.read(path, ReadOptions(pixel_size=pixel_size))
    for tilts in series:
        tilts.pixel_size = pixel_size or tilts.pixel_size
    return series


def read_series(path: Path, kind: str = "auto", pixel_size: float | None = None) -> list[Tilts]:
    """Read all tilt series of a file, or of all files with tilts in a folder (of files of one name, the alignment).

    Raises
    ------
    EmtomoError
        If there is none.
    """
    if not path.is_dir():
        return _read(path, kind, pixel_size)
    kinds = {f: recognise(f) for f in sorted(path.iterdir()) if f.is_file() and not f.name.endswith(".part")}
    files = {f.stem: (f, k) for f, k in kinds.items() if k in ("mdoc", "tlt")}
    files |= {f.stem: (f, k) for f, k in kinds.items() if k in _ALIGNED}
    if not files:
        raise EmtomoError(f"{path}: there is no file with tilts in this folder.")
    return [tilts for f, k in files.values() for tilts in _read(f, k, pixel_size)]


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

    Several series go to one file where the format holds several, else to one file each in the folder `target`.

    Parameters
    ----------
    source, target : Path
    kind, to : str
        Names in `emtomo.io.tilt_formats.FORMATS`; auto: by content, and by the name of `target`.
    pixel_size : float, optional
        Å of the images, where `source` does not say.
    tomograms : Path, optional
        Where the sizes of the tomograms are known from, which RELION's tomograms.star needs.

    Raises
    ------
    EmtomoError
        If the target cannot be made from what the source knows.
    """
    to = _target_format(target, to)
    series = read_series(source, kind, pixel_size)
    if tomograms is not None:
        _take_sizes(series, volumes.read_volumes(tomograms))
    lines = []
    for tilts in series:
        label = FORMATS[tilts.format].label if tilts.format in FORMATS else "IMOD alignment"
        lines.append(f"Recognised {label} {tilts.name}: {count_text(len(tilts), 'image')}{_range_of(tilts)}.")
        lines += tilts.notes
    report = write_series(series, target, to, tomograms)
    report.lines = list(dict.fromkeys([*lines, *report.lines]))
    return report


def write_series(
    series: list[Tilts], target: Path, to: str = "auto", tomograms: Path | None = None
) -> ConversionReport:
    """Write tilt series in a format; arguments as :func:`convert_tilts` has them.

    Raises
    ------
    EmtomoError
        If the target cannot be made from what is known.
    """
    to = _target_format(target, to)
    check_file_names([tilts.name for tilts in series], "the name of a tilt series", target)
    report = ConversionReport()
    for tilts in series:
        if tilts.offsets is not None and (tilts.image_size is None or tilts.volume_size is None):
            report.lines.append(f"{tilts.name}: its matrices' shifts need the images' size, and are not taken.")
        else:
            tilts.take_offsets()
        if tilts.rotations is not None and not {"angle", "rotation"} <= set(tilts.table):
            tilts.table[["rotation", "angle", "x_tilt"]] = angles_of(tilts.rotations)
    writer = FORMATS[to].write
    assert writer is not None
    report.files = writer(target, series, WriteOptions(tomograms=tomograms))
    _report_losses(series, to, report)
    return report


def _target_format(target: Path, to: str) -> str:
    to = format_of(target) if to == "auto" else to
    if to not in WRITTEN:
        raise EmtomoError(f"{target}: the format of tilts must be one of {', '.join(WRITTEN)}; the ending says none.")
    return to


def format_of(target: Path) -> str:
    """Return the format of tilts that a file's name asks for; empty where it asks for none."""
    asked = [(len(end), known.name) for known in TILTS for end in known.endings if target.name.lower().endswith(end)]
    return max(asked)[1] if asked else ""


def _take_sizes(series: list[Tilts], sizes: Mapping[str, VolumeGeometry]) -> None:
    """Set the size of every series' tomogram, in voxels of its images."""
    for tilts in series:
        found = sizes.get(stem(tilts.name))
        if found is not None and found.pixel_size and np.isfinite(tilts.pixel_size):
            x, y, z = (round(n * found.pixel_size / tilts.pixel_size) for n in found.size)
            tilts.volume_size = (x, y, z)


def _report_losses(series: list[Tilts], to: str, report: ConversionReport) -> None:
    """Say what was written, and what of it the format cannot hold."""
    known = FORMATS[to]
    if len(series) > 1:
        report.lines.append(f"Written: {count_text(len(series), 'tilt series')} as {known.label}.")
    for tilts in series:
        if len(series) == 1:
            report.lines.append(f"Written: {count_text(len(tilts), 'image')} as {known.label}.")
        has = {c for c in COLUMNS if c in tilts.table and (c == "name" or np.any(tilts.column(c)))}
        if "rotation" in known.holds and "rotation" not in tilts.table:
            report.lines.append(f"The angle of the tilt axis of {tilts.name} is not known; 0° was written.")
        has |= {name for name in MODELS if getattr(tilts, name) is not None}
        lost = sorted(has - known.holds)
        if lost:
            report.lines.append(f"Not held by this format: {', '.join(lost).replace('_warp', ' warp')}.")
        if "omits_excluded" in known.holds and tilts.column("excluded").any():
            report.lines.append(
                f"{count_text(int(tilts.column('excluded').sum()), 'excluded image was', 'excluded images were')} "
                "left out."
            )
    report.lines = list(dict.fromkeys(report.lines))


def _range_of(tilts: Tilts) -> str:
    text = ""
    if "angle" in tilts.table:
        text += f", {tilts.column('angle').min():.1f} to {tilts.column('angle').max():.1f}°"
    return text + (f", {tilts.pixel_size:g} Å/px" if np.isfinite(tilts.pixel_size) else "")
