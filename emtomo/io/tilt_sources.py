"""Tilt series on disk: which images and which metadata belong together."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import images
from emtomo.io.names import is_file
from emtomo.io.recognise import recognise
from emtomo.io.referenced import note_files_outside
from emtomo.io.tilt_metadata import (
    SeriesMetadata,
    gather,
    metadata_kinds,
    pixel_size_of,
    rank,
    read_together,
    series_name,
)
from emtomo.io.tilts import Tilts

IMAGE_ENDINGS = (".st", ".mrc", ".mrcs", ".map", ".tif", ".tiff", ".em", ".hdf", ".h5")
_HALVES = {"odd": ("odd",), "even": ("even", "evn")}  # in capitals or not
_AT = re.compile(r"^\s*(\d+)@(.+)$")
_MARKS = {"TS": r"(?P<TS>.+?)", "TA": r"(?P<TA>[-+]?\d+(?:\.\d+)?)", "TO": r"(?P<TO>\d+)"}
Image = tuple[Path, int]


@dataclass
class SourceSeries:
    """One tilt series as it lies on disk.

    Attributes
    ----------
    name : str
    tilts : Tilts
        What is known of every image.
    images : list of (Path, int)
        File and number in it, from 0, of every row.
    odd, even : list of (Path, int)
        Of the half images; empty where there are none.
    files : list of Path
        The metadata that were read.
    """

    name: str
    tilts: Tilts
    images: list[Image]
    odd: list[Image] = field(default_factory=list)
    even: list[Image] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def stack(self) -> Path | None:
        """The one file of all images in their order, None if there are several."""
        first = self.images[0][0]
        return first if self.images == [(first, k) for k in range(len(self.images))] else None


def find_series(
    files: list[Path], folder: Path | None = None, pixel_size: float | None = None
) -> tuple[list[SourceSeries], list[Path]]:
    """Return the tilt series that files make up, and the images and metadata that belong to none.

    Parameters
    ----------
    files : list of Path
        Stacks, images and metadata, in any order.
    folder : Path, optional
        Where images lie that are not beside their metadata.
    pixel_size : float, optional
        Å of the images; else the metadata's or the headers'.

    Raises
    ------
    EmtomoError
        If a series is incomplete, with the file.
    """
    text = [f for f in files if f.suffix.lower() not in IMAGE_ENDINGS or _is_text(f)]
    groups, many = gather(text)
    listed = {tilts.name for _, tilts in many}  # a list of series may name files that lie among the others
    named = [path for group in groups if group.name in listed for path in group.files]
    groups = [group for group in groups if group.name not in listed and not _only_beside(group)]
    found = [_series_of(group, files, folder, pixel_size) for group in groups]
    for path, tilts in many:
        tilts.pixel_size = pixel_size or tilts.pixel_size
        found.append(_with_images(tilts, [path], files, folder))
    used = {path for series in found for path in series.files} | set(named)
    used |= {path for series in found for part in (series.images, series.odd, series.even) for path, _ in part}
    used = {path.resolve() for path in used}
    known = (f for f in files if f.suffix.lower() in IMAGE_ENDINGS or recognise(f) in metadata_kinds())
    return found, [f for f in known if f.resolve() not in used]


def series_of_names(files: list[Path], pattern: str) -> list[SourceSeries]:
    """Return the series that files of one image each make up by their names.

    Parameters
    ----------
    files : list of Path
    pattern : str
        With {TS} for the series, {TA} for the tilt angle and, if wanted, {TO} for the order.

    Raises
    ------
    EmtomoError
        If two images of a series have one angle.
    """
    parts = re.split(r"\{(TS|TA|TO)\}", pattern.replace("\\", "/").split("/")[-1])
    wild = [re.escape(p).replace(r"\*", ".*").replace(r"\?", ".").replace(r"\#", r"\d") for p in parts[::2]]
    marks = [_MARKS[mark] for mark in parts[1::2]]
    finder = re.compile("".join(w + m for w, m in zip(wild, [*marks, ""], strict=True)) + "$")
    rows: dict[str, list[tuple[float, int, Path]]] = {}
    for path in files:
        match = finder.match(path.name)
        if match:
            values = match.groupdict()
            rows.setdefault(values.get("TS") or "tilt_series", []).append(
                (float(values["TA"]), int(values.get("TO") or 0), path)
            )
    found = []
    for name, listed in rows.items():
        listed.sort()
        angles = np.array([angle for angle, _, _ in listed])
        if len(np.unique(angles)) < len(angles):
            raise EmtomoError(f"{name}: two images have one tilt angle; does {{TA}} mark it in {pattern!r}?")
        table = pd.DataFrame({"angle": angles, "name": [path.name for *_, path in listed]})
        if "{TO}" in pattern:
            order = np.array([number for _, number, _ in listed])
            table["acquisition_order"] = np.argsort(np.argsort(order, kind="stable")) + 1
        found.append(SourceSeries(name, Tilts(table, name=name, format="names"), [(path, 0) for *_, path in listed]))
    return found


def _is_text(path: Path) -> bool:
    return recognise(path) in metadata_kinds()


def _only_beside(group: SeriesMetadata) -> bool:
    """Return whether a group has nothing but a list of x tilts or CTFs, which belongs to no series of its own."""
    return all(recognise(path) in ("xtilt", "defocus", "ctffind", "gctf") for path in group.files)


def _series_of(group: SeriesMetadata, files: list[Path], folder: Path | None, pixel_size: float | None) -> SourceSeries:
    size = pixel_size or pixel_size_of(group.files)
    stack = _stack(group.name, group.files, files, folder)
    if size is None and stack is not None:
        size = images.describe(stack).pixel_size or None
    tilts = read_together(group, size)
    return _with_images(tilts, sorted(group.files, key=rank), files, folder)


def _with_images(tilts: Tilts, sources: list[Path], files: list[Path], folder: Path | None) -> SourceSeries:
    """Return the series with the images that its metadata name, or that have its name."""
    if "angle" not in tilts.table and tilts.rotations is None:
        raise FormatError(sources[0], "it says no tilt angles, and no file beside it does.")
    n = len(tilts)
    near = _Near([path.parent for path in sources], folder, files)
    explicit = tilts.table.get("image", tilts.table.get("name") if tilts.format == "scipion-tilts" else None)
    listed = [] if explicit is None else near.all_of(explicit, sources[0], must=True)
    stack = None if listed else _stack(tilts.name, sources, files, folder, min(n, 2))
    if stack is not None:
        count = images.describe(stack).shape[0]
        if count != n:
            raise FormatError(stack, f"it has {count} images, but {sources[0].name} has {n} tilts.")
        listed = [(stack, k) for k in range(n)]
    elif not listed and "name" in tilts.table:
        listed = near.all_of(tilts.table["name"], sources[0], must=False)
    if not listed:
        named = (
            f" and none of the images that it names, such as {tilts.table['name'].iloc[0]}"
            if "name" in tilts.table
            else ""
        )
        where = folder or sources[0].parent
        raise FormatError(sources[0], f"no stack of images named {tilts.name}{named} was found in {where}.")
    tilts.notes += note_files_outside(sources[0], [file for file, _ in listed], folder)
    found = SourceSeries(tilts.name, tilts, listed, files=list(sources))
    for half in ("odd", "even"):
        column = f"{half}_image"
        if column in tilts.table:
            setattr(found, half, near.all_of(tilts.table[column], sources[0], must=False))
        else:
            setattr(found, half, _halves(listed, half))
    if bool(found.odd) != bool(found.even):
        only, other = ("odd", "even") if found.odd else ("even", "odd")
        raise FormatError(getattr(found, only)[0][0], f"there are {only} images of {tilts.name}, but no {other} ones.")
    return found


def _stack(name: str, sources: list[Path], files: list[Path], folder: Path | None, least: int = 2) -> Path | None:
    """Return the stack of a series by its name: among the files, beside its metadata, or in the folder of images.

    Fewer than `least` images are no stack: single images of a series may have its name.
    """
    places = [*dict.fromkeys(path.parent for path in sources), *([folder] if folder else [])]
    listed = [f for f in files if f.suffix.lower() in IMAGE_ENDINGS]
    listed += [f for place in places if place.is_dir() for f in sorted(place.iterdir()) if f not in listed]
    for place in places:  # Warp's tiltstack/TS_1/TS_1.st
        listed += [place / end for end in (f"{name}/{name}.st", f"tiltstack/{name}/{name}.st")]
    known = [f for f in listed if f.suffix.lower() in IMAGE_ENDINGS and series_name(f) == name and is_file(f)]
    known = [f for f in known if f.suffix.lower() != ".mdoc" and images.describe(f).shape[0] >= least]
    return min(known, key=lambda f: (f.parent not in places, IMAGE_ENDINGS.index(f.suffix.lower())), default=None)


def _halves(listed: list[Image], half: str) -> list[Image]:
    """Return the odd or even images: ``TS_1_odd.st`` or ``TS_1_EVN.mrc`` beside, or of one name in a folder odd."""
    folders = {path.parent for path, _ in listed}
    near = {(folder, f.name.lower()): f for folder in folders for f in sorted(folder.iterdir(), reverse=True)}
    found: dict[Path, Path] = {}
    for path in dict.fromkeys(path for path, _ in listed):
        names = [f"{path.stem}{mark}{end}{path.suffix}".lower() for end in _HALVES[half] for mark in "_.-"]
        beside = [near[path.parent, name] for name in names if (path.parent, name) in near]
        inside = [near[path.parent, end] / path.name for end in _HALVES[half] if (path.parent, end) in near]
        other = next((f for f in [*beside, *inside] if is_file(f)), None)
        if other is None:
            return []
        n, needed = (images.describe(f).shape[0] for f in (other, path))
        if n != needed:
            raise FormatError(other, f"it has {n} images, but {path.name} has {needed}.")
        found[path] = other
    return [(found[path], k) for path, k in listed]


class _Near:
    """Where the images of a series may lie that its metadata name."""

    def __init__(self, places: list[Path], folder: Path | None, files: list[Path]) -> None:
        self.places = [
            *([folder] if folder else []),
            *places,
            *(p for place in places for p in list(place.parents)[:4]),
        ]
        self.by_name = {f.name: f for f in files}

    def find(self, name: str) -> Image | None:
        """Return the image with a name as metadata have it, ``3@stack.mrc`` or a file; None if it is nowhere."""
        match = _AT.match(name)
        number, file = (int(match.group(1)) - 1, match.group(2)) if match else (0, name)
        base = re.split(r"[/\\]", file)[-1]
        ends = [file, base, f"average/{Path(base).stem}.mrc", f"{Path(base).stem}.mrc"]
        for place in self.places:
            for end in ends:
                if end and is_file(place / end) and self._holds(place / end, number, bool(match)):
                    return place / end, number
        known = self.by_name.get(base)
        return (known, number) if known is not None and self._holds(known, number, bool(match)) else None

    @staticmethod
    def _holds(path: Path, number: int, numbered: bool) -> bool:
        """Return whether a file is one image, or a stack with this one; movies are neither."""
        if path.suffix.lower() not in IMAGE_ENDINGS:
            return False
        count = images.describe(path).shape[0]
        return number < count if numbered else count == 1

    def all_of(self, names: pd.Series, source: Path, must: bool) -> list[Image]:
        """Return the images of all names; none where none is found and they need not be.

        Raises
        ------
        FormatError
            If some are found and others not.
        """
        found = [self.find(str(name)) for name in names]
        known = [image for image in found if image is not None]
        if len(known) < len(found) and (must or known):
            missing = str(names.iloc[next(k for k, image in enumerate(found) if image is None)])
            raise FormatError(source, f"the image {missing[:120]} that it names is missing, or is no single image.")
        return known
