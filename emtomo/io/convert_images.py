"""Volumes and stacks from one format to another."""

from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.io import images
from emtomo.io.convert import ConversionReport
from emtomo.io.format import WriteOptions


def convert_image(source: Path, target: Path, *, pixel_size: float | None = None, volume: str = "") -> ConversionReport:
    """Convert a volume or a stack of any format to MRC, TIFF or OME-Zarr.

    Parameters
    ----------
    source, target : Path
        The ending of `target` says the format: .mrc, .rec, .mrcs, .st, .tif, .zarr.
    pixel_size : float, optional
        Å; by default that of `source`.
    volume : str
        Which of several volumes, see :func:`emtomo.io.images.describe`.

    Raises
    ------
    EmtomoError
        If either format is not known, OME-Zarr gets no pixel size, or one of several volumes is not chosen.
    """
    written = {end: known for known in images.IMAGES if known.write for end in known.endings}
    suffix = target.suffix.lower()
    if suffix not in written:
        images.describe(*images.split_volume(source, volume))  # says first what is wrong with the source
        raise EmtomoError(f"{target}: images are written as {', '.join(written)}.")
    source, volume = images.split_volume(source, volume)
    info = images.describe(source, volume)
    images.check_one_volume(source, info)
    data = np.asarray(images.read_any(source, volume))
    size = pixel_size or info.pixel_size
    shape = "×".join(str(n) for n in info.shape[::-1])
    length = f", {size:g} Å per voxel" if size else ", pixel size not known"
    report = ConversionReport([f"Recognised {images.FORMATS[info.format].label}: {shape} voxels{length}.", *info.notes])
    shown = images.show_unequal_sizes(info)
    if shown and pixel_size is None:
        report.lines.append(f"The header says voxels of {shown}; {size:g} Å is written. Give the pixel size if not so.")
    writer = written[suffix].write
    assert writer is not None
    report.files = writer(target, data, WriteOptions(pixel_size=size or None))
    report.lines.append(f"Written: {target.name}.")
    return report
