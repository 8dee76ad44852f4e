"""Particles of several tomograms in formats that hold one tomogram a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emtomo.io.format import WriteOptions
from emtomo.io.names import check_file_names, folder_for_several, stem
from emtomo.io.particles import ParticleList, voxels_of_tomograms


def write_for_each_tomogram(
    path: Path, particles: ParticleList, suffix: str, write: Callable[[Path, ParticleList, str], None]
) -> list[Path]:
    """Write one file for each tomogram: `path` itself for one, else files in the folder `path`.

    Raises
    ------
    EmtomoError
        If there are several, and `path` is the name of a file.

    Parameters
    ----------
    path : Path
    particles : ParticleList
    suffix : str
        Ending of the files in the folder.
    write : callable
        Path, the particles of one tomogram, and its name.
    """
    names = [str(n) for n in dict.fromkeys(particles.tomograms)] or [""]
    written = []
    if len(names) > 1:
        check_file_names([stem(name) or "unknown" for name in names], "the name of a tomogram", path)
        folder_for_several(path, f"The particles are of {len(names)} tomograms, and a file of this format holds one")
    for name in names:
        target = path / f"{stem(name) or 'unknown'}{suffix}" if len(names) > 1 else path
        write(target, particles.select(particles.tomograms.astype(str) == name), name)
        written.append(target)
    return written


def one_pixel_size(particles: ParticleList, options: WriteOptions) -> float | np.ndarray | None:
    """Return in which voxels to write for a format that holds one size for each tomogram; ``None``: as they are.

    Where the particles of a tomogram are counted in voxels of several sizes (optics groups), these are the tomogram's
    own, where known, else the smallest.
    """
    if options.pixel_size is not None or not np.isfinite(particles.pixel_size).all():
        return options.pixel_size
    sizes = particles.pixel_size.copy()
    own = voxels_of_tomograms(particles, options.sizes or {})
    for name in dict.fromkeys(particles.tomograms):
        mine = particles.tomograms == name
        if np.ptp(sizes[mine]) > 1e-6 * sizes[mine].min():
            known = own[mine][0]
            sizes[mine] = known if np.isfinite(known) else sizes[mine].min()
    return sizes if (sizes != particles.pixel_size).any() else None
