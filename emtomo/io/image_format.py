"""What is known of a volume or stack on disk without reading its voxels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.errors import FormatError, one_line
from emtomo.io.format import Format
from emtomo.io.names import as_place
from emtomo.wording import count_text

LISTED, SHOWN = 5, 60  # names of volumes in a sentence, and letters of each


@dataclass(frozen=True)
class ImageInfo:
    """A volume on disk.

    Attributes
    ----------
    format : str
    shape : tuple
        ``(z, y, x)``; of a stack of volumes all of them along z.
    pixel_size : float
        Å along x; 0 when unknown.
    origin : tuple
        Where the first voxel lies: x, y, z in Å; see :meth:`first_voxel`.
    plain : bool
        An MRC file that can be used as it is.
    voxel_size : tuple
        x, y, z in Å, 0 when unknown.
    volumes : int
        How many volumes the file holds, where none was chosen.
    names : tuple of str
        Of these volumes, where they have any.
    white : bool or None
        Whether particles are white, where the program that wrote the file says so.
    notes : tuple of str
        What was guessed or left out, for the user.
    start : tuple
        Where the first voxel lies, in voxels; counts where `origin` is zero (MRC2014).
    """

    format: str
    shape: tuple[int, int, int]
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    plain: bool = False
    voxel_size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volumes: int = 1
    names: tuple[str, ...] = ()
    white: bool | None = None
    notes: tuple[str, ...] = ()
    start: tuple[int, int, int] = (0, 0, 0)

    def first_voxel(self, pixel_size: float) -> tuple[float, float, float]:
        """Return where the first voxel lies, x, y, z in Å, of voxels of `pixel_size` Å."""
        if any(self.origin):
            return self.origin
        x, y, z = (place * pixel_size for place in self.start)
        return x, y, z

    def zero(self, pixel_size: float) -> tuple[float, float, float]:
        """Return where the zero of positions lies, x, y, z in Å from the centre voxel, of voxels of `pixel_size` Å."""
        places = zip(self.first_voxel(pixel_size), self.shape[::-1], strict=True)
        x, y, z = (-place - (n // 2) * pixel_size for place, n in places)
        return x, y, z


def choose_volume(path: Path, volume: str, count: int, names: tuple[str, ...] = ()) -> int:
    """Return the index of one of the volumes of a file.

    Parameters
    ----------
    path : Path
        For the sentence.
    volume : str
        Its number in the file, counted from 1, or its name.
    count : int
        How many there are.
    names : tuple of str
        Of datasets; ``entry/data`` and ``/entry/data`` are the same.

    Raises
    ------
    FormatError
        If there is no such volume.
    """
    text = volume.strip()
    place = as_place(text)
    if place is not None and place <= count:
        return place - 1
    wanted = text.strip("/")
    if wanted in names:
        return names.index(wanted)
    raise FormatError(path, f"there is no volume {one_line(text)[:SHOWN]!r} in it; {list_volumes(count, names)}.")


def list_volumes(count: int, names: tuple[str, ...] = ()) -> str:
    """Return in words which volumes a file holds."""
    if not names:
        return f"it holds {count_text(count, 'volume')}, numbered from 1" if count > 1 else "it holds one volume"
    shown = ", ".join(one_line(name)[:SHOWN] for name in names[:LISTED])
    return f"it holds {count}: {shown}{' …' if len(names) > LISTED else ''}"


def several_volumes(path: Path, count: int, names: tuple[str, ...] = ()) -> FormatError:
    """Return the error that a file holds several volumes, of which none was chosen, with what chooses one."""
    example = one_line(names[0])[:SHOWN] if names else "1"
    return FormatError(
        path,
        f"one volume is needed, but {list_volumes(count, names)}; choose one as {path.name}:{example}, or in imports "
        "and convert with the option dataset.",
    )


def _no_description(_: Path, volume: str = "") -> ImageInfo:
    raise NotImplementedError


@dataclass(frozen=True)
class ImageFormat(Format[np.ndarray]):
    """One format of images; `describe` says what a file, or one volume of it, is without reading its voxels."""

    describe: Callable[[Path, str], ImageInfo] = _no_description
