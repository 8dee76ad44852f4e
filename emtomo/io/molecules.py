"""Densities of molecules from files of atoms or maps."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import images
from emtomo.io.atoms import read_atoms
from emtomo.synthetic.molecules import density_of_atoms, density_of_map

MAPS = (".mrc", ".map", ".em")


def read_density(path: str | Path, pixel_size: float, *, about_mass: bool = True) -> np.ndarray:
    """Return the density of a molecule as a cube at `pixel_size` Å, highest value 1.

    Parameters
    ----------
    path : path
        PDB, mmCIF or MRC file.
    pixel_size : float
        Å.
    about_mass : bool
        Atoms have their centre of mass at the centre voxel, else their origin. A map keeps its centre voxel.

    Raises
    ------
    FormatError
        If a map does not say its pixel size.
    EmtomoError
        If the file cannot be read.
    """
    if Path(path).suffix.lower() in MAPS:
        info = images.describe(path)
        if not info.pixel_size:
            raise FormatError(path, "the map does not say its pixel size.")
        return density_of_map(images.read_any(path), info.pixel_size, pixel_size)
    atoms, electrons = read_atoms(path)
    if about_mass:
        atoms = atoms - np.average(atoms, axis=0, weights=electrons)
    return density_of_atoms(atoms, electrons, pixel_size, 2 * pixel_size)
