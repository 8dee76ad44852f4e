"""What is known of a volume or stack on disk without reading its voxels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emtomo.io.format import Format


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
        Where the first voxel lies: x, y, z in Å.
    plain : bool
        An MRC file that can be used as it is.
    voxel_size : tuple
        x, y, z in Å, 0 when unknown.
    volumes : int
        How many volumes the file holds.
    white : bool or None
        Whether particles are white, where the program that wrote the file says so.
    notes : tuple of str
        What was guessed or left out, for the user.
    """

    format: str
    shape: tuple[int, int, int]
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    plain: bool = False
    voxel_size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volumes: int = 1
    white: bool | None = None
    notes: tuple[str, ...] = ()


def _no_description(_: Path) -> ImageInfo:
    raise NotImplementedError


@dataclass(frozen=True)
class ImageFormat(Format[np.ndarray]):
    """One format of images; `describe` says what a file is without reading its voxels."""

    describe: Callable[[Path], ImageInfo] = _no_description
