"""A file of points drawn on a tomogram: a look before believing a conversion."""

from pathlib import Path

import numpy as np

from emtomo.compute.positions import to_voxels
from emtomo.errors import EmtomoError
from emtomo.io import images, names
from emtomo.io.formats import FORMATS, read
from emtomo.io.particles import VolumeGeometry, convert_frame
from emtomo.viewers.base import save
from emtomo.viewers.figures import points_on


def picture_of_points(path: Path, tomogram: Path, png: Path, pixel_size: float | None = None) -> str:
    """Draw the points of a file of any format, with their z axes, on slices of a tomogram.

    Parameters
    ----------
    path, tomogram, png : Path
    pixel_size : float, optional
        Å per voxel of the positions in the file; by default they are voxels of this tomogram.

    Returns
    -------
    str
        A sentence that says what was drawn.

    Raises
    ------
    EmtomoError
        If the file names tomograms, but not this one, or no point lies within it.
    """
    info = images.describe(tomogram)
    images.check_one_volume(tomogram, info)
    volume = images.read_any(tomogram)
    shape = volume.shape[::-1]
    size = info.pixel_size or pixel_size or 1.0
    sizes = {names.stem(tomogram.name): VolumeGeometry((shape[0], shape[1], shape[2]), size)}
    picks = read(path, sizes=sizes)
    mine = np.ones(len(picks), bool)
    named = [str(name) for name in dict.fromkeys(picks.tomograms) if str(name)]
    if named and FORMATS[picks.format].names_tomograms == "by name":
        found, _, _ = names.match_names(named, [tomogram.name])
        mine = np.array([str(name) in found for name in picks.tomograms])
        if not mine.any():
            message = ", ".join(named[:5]) + (" …" if len(named) > 5 else "")
            raise EmtomoError(f"{path}: no position belongs to {tomogram.name}; the file names {message}.")
    if picks.unit == "angstrom" and not info.pixel_size:
        raise EmtomoError(f"{tomogram} does not say its pixel size, which positions in Å need.")
    chosen = picks.select(mine)
    chosen.tomograms = np.full(len(chosen), tomogram.name, object)
    if pixel_size:
        chosen.set_pixel_size(pixel_size)
    here = convert_frame(chosen, "angstrom", "centre", volumes=sizes)
    voxels = to_voxels(here.centres, volume.shape, size)
    inside = ((voxels >= 0) & (voxels < volume.shape)).all(axis=1)
    if not inside.any():
        raise EmtomoError(
            f"None of {len(voxels)} positions lies within {tomogram.name} ({'×'.join(map(str, volume.shape[::-1]))} "
            f"voxels); they go to {', '.join(f'{v:.0f}' for v in voxels[:, ::-1].max(axis=0))}. Give their pixel size."
        )
    normals = np.full((len(voxels), 3), np.nan) if chosen.rotations is None else chosen.rotations[:, :, 2]
    groups = chosen.columns.get("group", np.ones(len(chosen), int))
    figure = points_on(voxels, normals, np.asarray(groups, int), volume, size, volume.shape, tomogram.name)
    save(figure, png)
    outside = f", {int((~inside).sum())} of them outside" if not inside.all() else ""
    drawn = f"{len(voxels)} of {len(picks)} positions ({picks.format}) on {tomogram.name}{outside}."
    if mine.all() and len(named) > 1:
        drawn += f" They are of {len(named)} tomograms, which the file counts: all are drawn."
    return drawn
