"""Volumes of an output, load in a thread: a compressed one is read whole, and a disk may be slow."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.tilt_source import TiltSource
from emtomo.gui.core.volume import VolumeSource
from emtomo.objects.tilt_images import TiltImages
from emtomo.wording import count_text

T = TypeVar("T")
MEMORY = 2**32  # bytes of images that are read at once


def load_tomogram(shown: Shown, name: str) -> tuple[VolumeSource, VolumeSource | None]:
    """Return a tomogram, and the one that it was made from, if any.

    Raises
    ------
    EmtomoError
        If a file is no volume.
    """
    source, before = VolumeSource(shown.path(shown.value.frame(tomogram_id=name).iloc[0]["file"])), None
    if shown.before is not None:
        rows = shown.before.frame(tomogram_id=name)
        before = VolumeSource(shown.path(rows.iloc[0]["file"])) if len(rows) else None
    return source, before


def load_tilts(shown: Shown, name: str) -> TiltSource:
    """Return the images of a tilt series; those that are a file each are read into memory.

    Raises
    ------
    EmtomoError
        If a file is no stack, or the images are too many for memory.
    """
    table, geometry = shown.value.images(name), shown.value.geometry(name)
    angle, index = table["angle"].to_numpy(float), table["index"].to_numpy(int)
    images = TiltImages(table, folder=shown.path(""))
    if table["file"].nunique() == 1:
        return TiltSource(images.path(0), index, angle, geometry)
    if len(images) * np.prod(images.size()) * 4 > MEMORY:
        raise EmtomoError(
            f"{name}: {count_text(len(images), 'image')} in files of their own are too large to be shown together."
        )
    return TiltSource(images.path(0), np.arange(len(images)), angle, geometry, np.stack(list(images)))


def load_volume(shown: Shown, name: str = "") -> VolumeSource:
    """Return the volume that an output is.

    Raises
    ------
    EmtomoError
        If its file is no volume.
    """
    return VolumeSource(shown.path(str(shown.value.file.get())))


def load_box(shown: Shown, file: str, index: int) -> VolumeSource:
    """Return one box of a stack.

    Raises
    ------
    EmtomoError
        If the file is no stack.
    """
    size = int(shown.value.box_size.get())
    return VolumeSource(shown.path(file), index * size, size)


def tomogram_rows(shown: Shown) -> list[tuple[str, str]]:
    """Return name and size of every tomogram."""
    columns = ["tomogram_id", "size_x", "size_y", "size_z"]
    return [(r.tomogram_id, f"{r.size_x} × {r.size_y} × {r.size_z}") for r in shown.value.frame(columns).itertuples()]


def tilt_tables(shown: Shown) -> dict[str, list[str]]:
    """Return angle, dose, defocus and exclusion of every tilt of every series in words, by the series' name."""
    return {str(s.tomogram_id.get()): [_caption(row) for row in s.table().itertuples()] for s in shown.value.items()}


def _caption(row: Any) -> str:
    parts = [f"{row.angle:.1f}°", f"{row.dose:.1f} e/Å² before"]
    if np.isfinite(row.defocus_u) and np.isfinite(row.defocus_v):
        parts.append(f"defocus {(row.defocus_u + row.defocus_v) / 2e4:.2f} µm")
    return ", ".join([*parts, *(["excluded"] if row.excluded else [])])


def prepare_slices(shown: Shown, load: Callable[[Shown, str], T]) -> None:
    """Open what is shown at once: a volume, or the only tomogram of a set."""
    names = [str(n) for n in shown.value.tomogram_ids()] if hasattr(shown.value, "tomogram_ids") else [""]
    if len(names) == 1:
        shown.prepared[f"slices {names[0]}"] = load(shown, names[0])


def slices_of(shown: Shown, name: str, load: Callable[[Shown, str], T]) -> T:
    """Return what was prepared, or open it."""
    found: T | None = shown.prepared.pop(f"slices {name}", None)
    return load(shown, name) if found is None else found
