"""All formats of images, one line each; what a volume on disk is, and its voxels."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import containers, em, mrc, tiff
from emtomo.io.format import ReadOptions, read_start
from emtomo.io.image_format import ImageFormat, ImageInfo, several_volumes
from emtomo.io.mrc_header import SIZES_AGREE

IMAGES: tuple[ImageFormat, ...] = (  # in the order in which they are recognised
    containers.ZARR,
    tiff.TIFF,
    containers.HDF5,
    em.EM,
    mrc.MRC,
)
FORMATS = {known.name: known for known in IMAGES}


def _format_of(path: Path) -> ImageFormat:
    start = read_start(path)
    return next((known for known in IMAGES if known.sniff(start)), mrc.MRC)


def split_volume(path: str | Path, volume: str = "") -> tuple[Path, str]:
    """Return a file, and which of its volumes is meant: ``FILE:VOLUME`` chooses one by number or name.

    Parameters
    ----------
    path : str or Path
        A file of that very name is taken as it is.
    volume : str
        Goes before what `path` says.

    Examples
    --------
    >>> split_volume("there is no such file.h5:2", "")
    (PosixPath('there is no such file.h5:2'), '')
    """
    path, text = Path(path), str(path)
    if path.exists():
        return path, volume
    for place in (k for k, letter in enumerate(text) if letter == ":"):
        file = Path(text[:place])
        if file.is_file() or (file.is_dir() and _format_of(file) is containers.ZARR):
            return file, volume or text[place + 1 :]
    return path, volume


def is_image(path: str | Path) -> bool:
    """Return whether there is a file, or a folder that is one image (OME-Zarr)."""
    path = split_volume(path)[0]
    return path.is_file() or (path.is_dir() and _format_of(path) is containers.ZARR)


def describe(path: str | Path, volume: str = "") -> ImageInfo:
    """Return what a volume on disk is, by its content, not its name.

    Parameters
    ----------
    path : str or Path
        Also ``FILE:VOLUME``.
    volume : str
        One of several volumes of the file: its number, counted from 1, or the name of its dataset (HDF5).

    Raises
    ------
    FormatError
        If it is missing, no volume in a known format, or has no such volume.
    """
    path, volume = split_volume(path, volume)
    return _format_of(path).describe(path, volume)


def describe_volume(path: str | Path, pixel_size: float | None = None, volume: str = "") -> ImageInfo:
    """Return what a file of one volume is, as a tomogram or a map must be.

    Parameters
    ----------
    path : str or Path
    pixel_size : float, optional
        Å, where the user says it: then the header's voxel sizes do not matter.
    volume : str
        As for :func:`describe`.

    Raises
    ------
    FormatError
        If it holds several volumes, or voxels that are no cubes.
    """
    info = describe(path, volume)
    check_one_volume(path, info)
    shown = show_unequal_sizes(info)
    if pixel_size is None and shown:
        raise FormatError(
            path,
            f"the header says voxels of {shown}; they must be cubes. Give the pixel size if the header is wrong.",
        )
    return info


def show_unequal_sizes(info: ImageInfo) -> str:
    """Return the lengths of a voxel along x, y and z where they differ, else an empty text."""
    known = [size for size in info.voxel_size if size > 0]
    if not known or max(known) <= min(known) * (1 + SIZES_AGREE):
        return ""
    return " × ".join(f"{size:.4g}" for size in info.voxel_size) + " Å"


def check_one_volume(path: str | Path, info: ImageInfo) -> None:
    """Raise FormatError if a file holds several volumes, of which none was chosen."""
    if info.volumes > 1:
        raise several_volumes(Path(path), info.volumes, info.names)


def count_volumes(path: str | Path) -> int:
    """Return how many volumes a file holds; 2 stands for more than one where it can only be described one by one."""
    try:
        return describe(path).volumes
    except FormatError:  # OME-Zarr of several images, of which none was chosen
        return 2


def read_any(path: str | Path, volume: str = "") -> np.ndarray:
    """Return the voxels ``(z, y, x)`` of a volume in any known format; `volume` as for :func:`describe`.

    Raises
    ------
    FormatError
        If it cannot be read, or holds finite values that float32 cannot hold, in which everything is computed.
    """
    path, volume = split_volume(path, volume)
    reader = _format_of(path).read
    assert reader is not None
    voxels = reader(path, ReadOptions(volume=volume))
    if voxels.dtype.kind == "f" and voxels.dtype.itemsize > np.dtype(np.float32).itemsize:
        for plane in voxels:  # a mapped file stays on disk
            largest = np.abs(plane, where=np.isfinite(plane), out=np.zeros_like(plane)).max(initial=0.0)
            if largest > np.finfo(np.float32).max:
                raise FormatError(
                    path, f"values must be within ±3.4e38 (float32), got one of ±{largest:.3g}: scale them."
                )
    return voxels
