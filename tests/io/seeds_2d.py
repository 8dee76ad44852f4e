"""Good small files of the single-particle branch, and what they are read with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emtomo.io import mrc
from emtomo.io.coordinates_2d import read_picks
from emtomo.io.micrographs import read_ctf, read_micrographs
from emtomo.io.particles_2d import read_particles_2d

_OPTICS = (
    "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnMicrographPixelSize #3\n_rlnVoltage #4\n"
    "_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n_rlnImagePixelSize #7\n_rlnImageSize #8\n"
    "_rlnImageDimensionality #9\ng1 1 1.5 200.0 1.4 0.08 3.0 8 2\n\n"
)
_TEXTS = {
    "micrographs": ("m.star", _OPTICS + (
        "data_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\n_rlnDefocusU #3\n_rlnDefocusV #4\n"
        "_rlnDefocusAngle #5\n_rlnCtfMaxResolution #6\na.mrc 1 12000.5 11000.25 33.5 4.5\nb.mrc 1 9000 8000 -20 6\n\n"
    )),
    "particles-2d": ("p.star", _OPTICS + (
        "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnImageName #3\n_rlnMicrographName #4\n"
        "_rlnOpticsGroup #5\n_rlnDefocusU #6\n_rlnAnglePsi #7\n_rlnOriginXAngst #8\n_rlnOriginYAngst #9\n"
        "_rlnClassNumber #10\n10.5 20 000002@s.mrcs a.mrc 1 9000 40 1.5 -3 4\n30 40 1@s.mrcs b.mrc 1 9000 -50 0 0 2\n\n"
    )),
    "picks": ("a_autopick.star", "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"
              "_rlnAutopickFigureOfMerit #3\n10 20.5 0.7\n30 40 0.2\n\n"),
    "picks-list": ("autopick.star", "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n"
                   "_rlnMicrographCoordinates #2\na.mrc one.star\n\n"),
    "picks-box": ("a.box", "10\t20\t32\t33\n40\t50\t32\t33\n"),
    "picks-csv": ("a.csv", "micrograph_id,x,y,score\na,1.5,2.5,0.5\nb,3,4,0.25\n"),
    "micrograph-ctf": ("a_ctffind4.txt", "# Output from CTFFind version 4.1.8\n1.0 12000 11000 33.5 0.0 0.2 4.5\n"),
}  # fmt: skip
_READERS: dict[str, Callable[[Path], object]] = {
    "micrographs": read_micrographs,
    "particles-2d": read_particles_2d,
    "micrograph-ctf": read_ctf,
}
IMAGE_LISTS = tuple(_TEXTS)


def write_list(kind: str, folder: Path) -> Path:
    """Write a good file of a kind, and the images that it names, into `folder`."""
    for name in ("a.mrc", "b.mrc"):
        mrc.write_volume(folder / name, np.zeros((1, 8, 8)), 1.5)
    mrc.write_volume(folder / "s.mrcs", np.zeros((2, 8, 8)), 3.0, stack=True)
    (folder / "one.star").write_text(_TEXTS["picks"][1])
    name, text = _TEXTS[kind]
    (folder / name).write_text(text)
    return folder / name


def list_reader(kind: str) -> Callable[[Path], object]:
    """Return what a file of a kind is read with."""
    return _READERS.get(kind, read_picks)
