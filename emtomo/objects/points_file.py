"""Points that a user gives in a text file, as places in the tomograms of a set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.positions import from_voxels
from emtomo.errors import FormatError
from emtomo.io import names
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.io.points import read_points
from emtomo.objects.exchange import sizes_of
from emtomo.objects.micrograph_slices import MicrographSlices
from emtomo.objects.position_check import check_positions
from emtomo.objects.tomogram import SetOfTomograms

UNITS = ("angstrom", "voxel")


def points_of_file(
    path: str | Path, tomograms: SetOfTomograms | MicrographSlices, unit: str
) -> tuple[pd.DataFrame, ParticleList]:
    """Return tomogram_id, x, y, z (Å from the centre) of the points in a file, and all that the file says of them.

    Parameters
    ----------
    path : str or Path
        See :func:`~emtomo.io.points.read_points`. A file that names no tomogram belongs to the only one there is.
    tomograms : SetOfTomograms or MicrographSlices
    unit : {"angstrom", "voxel"}
        Å from the centre (of micrographs: from the first pixel), or 0-based voxels. A file of tomograms that has the
        pixel size of its positions counts in voxels of it.

    Raises
    ------
    FormatError
        If there is no point, or a tomogram that the set has not.
    """
    picks = read_points(path)
    known = tomograms.tomogram_ids()
    given = np.array([name or (known[0] if len(known) == 1 else "") for name in picks.tomograms], object)
    found, missing, _ = names.match_names(list(dict.fromkeys(given)), known)
    if missing:
        raise FormatError(
            path,
            f"names tomograms that are not in the project: {', '.join(map(repr, missing))}; it has {', '.join(known)}.",
        )
    if len(given) == 0:
        raise FormatError(path, "there is no point in it.")
    frame = pd.DataFrame({"tomogram_id": [found[name] for name in given]})
    voxel = float(tomograms.pixel_size.get())
    if isinstance(tomograms, SetOfTomograms) and np.isfinite(picks.pixel_size).all():
        voxel, unit = float(picks.pixel_size[0]), "voxel"
        picks.notes.append(f"Positions count in voxels of {voxel:g} Å, as the file's column pixel_size says.")
        here = replace(picks, tomograms=frame["tomogram_id"].to_numpy(object))
        places = convert_frame(here, "angstrom", "centre", volumes=sizes_of(tomograms)).positions
    else:
        places = picks.positions if unit == "angstrom" else _in_angstrom(picks, frame, tomograms)
    frame[["x", "y", "z"]] = places
    if unit == "angstrom" and isinstance(tomograms, MicrographSlices):
        frame[["x", "y", "z"]] = tomograms.from_centre(frame["tomogram_id"], picks.positions)
    picks.notes += check_positions(
        frame,
        tomograms,
        numbers=picks.positions,
        pixel_size=voxel if unit == "voxel" else None,
        source=Path(path).name,
    )
    return frame, picks


def _in_angstrom(picks: ParticleList, frame: pd.DataFrame, tomograms: SetOfTomograms | MicrographSlices) -> np.ndarray:
    positions = np.empty_like(picks.positions)
    for name in frame["tomogram_id"].unique():
        mine = (frame["tomogram_id"] == name).to_numpy()
        positions[mine] = from_voxels(picks.positions[mine][:, ::-1], tomograms.shape(name), tomograms.pixel_size.get())
    return positions
