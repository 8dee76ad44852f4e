"""Volumes and stacks from one format to another."""

from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.io import containers, images, mrc
from emtomo.io.convert import ConversionReport

_MRC = (".mrc", ".rec", ".mrcs", ".st", ".map")


def convert_image(source: Path, target: Path, *, pixel_size: float | None = None) -> ConversionReport:
    """Convert a volume or a stack: MRC, TIFF, EM, HDF5 or OME-Zarr to MRC, TIFF or OME-Zarr.

    Parameters
    ----------
    source, target : Path
        The ending of `target` says the format: .mrc, .rec, .mrcs, .st, .tif, .zarr.
    pixel_size : float, optional
        Å; by default that of `source`.

    Raises
    ------
    EmtomoError
        If either format is not known, or OME-Zarr gets no pixel size.
    """
    info = images.describe(source)
    data = images.read_any(source)
    size = pixel_size or info.pixel_size
    shape = "×".join(str(n) for n in info.shape[::-1])
    told = f", {size:g} Å per voxel" if size else ", pixel size not known"
    done = ConversionReport([f"Recognised {info.format.upper()}: {shape} voxels{told}."], [target])
    suffix = target.suffix.lower()
    if suffix in _MRC:
        mrc.write_volume(target, np.asarray(data), size)
    elif suffix in (".tif", ".tiff"):
        images.write_tiff(target, np.asarray(data), size)
    elif suffix == ".zarr":
        if not size:
            raise EmtomoError(f"{source} does not say its pixel size, which OME-Zarr needs; give it.")
        containers.write_zarr(target, np.asarray(data), size)
    else:
        raise EmtomoError(f"{target}: images are written as {', '.join(_MRC)}, .tif or .zarr.")
    done.lines.append(f"Written: {target.name}.")
    return done
