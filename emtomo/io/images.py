"""All formats of images, one line each; what a volume on disk is, and its voxels."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import containers, em, mrc, tiff
from emtomo.io.format import ReadOptions, read_start
from emtomo.io.image_format import ImageFormat, ImageInfo
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


def describe(path: str | Path) -> ImageInfo:
    """Return what a volume on disk is, by its content, not its name.

    Raises
    ------
    FormatError
        If it is missing or no volume in a known format.
    """
    path = Path(path)
    return _format_of(path).describe(path)


def describe_volume(path: str | Path, pixel_size: float | None = None) -> ImageInfo:
    """Return what a file of one volume is, as a tomogram or a map must be.

    Parameters
    ----------
    path : str or Path
    pixel_size : float, optional
        Å, where the user says it: then the header's voxel sizes do not matter.

    Raises
    ------
    FormatError
        If it holds several volumes, or voxels that are no cubes.
    """
    info = describe(path)
    if info.volumes > 1:
        z, y, x = info.shape
        raise FormatError(
            path, f"a stack of {info.volumes} volumes of {x}×{y}×{z // info.volumes} voxels; one volume is needed."
        )
    known = [size for size in info.voxel_size if size > 0]
    if pixel_size is None and known and max(known) > min(known) * (1 + SIZES_AGREE):
        shown = " × ".join(f"{size:.4g}" for size in info.voxel_size)
        raise FormatError(
            path,
            f"the header says voxels of {shown} Å; they must be cubes. Give the pixel size if the header is wrong.",
        )
    return info


def read_any(path: str | Path) -> np.ndarray:
    """Return the voxels ``(z, y, x)`` of a volume in any known format."""
    path = Path(path)
    reader = _format_of(path).read
    assert reader is not None
    return reader(path, ReadOptions())
