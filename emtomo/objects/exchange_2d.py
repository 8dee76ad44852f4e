"""Micrographs, picks, particles and classes as STAR files of RELION 3.1, or as CSV."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.io import star
from emtomo.io.convert import ConversionReport
from emtomo.io.micrographs import CTF_COLUMNS
from emtomo.io.particles_2d_write import write_classes_2d, write_particles_2d
from emtomo.io.tags import Tags
from emtomo.objects.class_2d import SetOfClasses2D
from emtomo.objects.coordinates_2d import SetOfCoordinates2D
from emtomo.objects.micrograph import SetOfMicrographs
from emtomo.objects.particle import SetOfParticles
from emtomo.objects.rotation import rotations_of

IMAGE_SETS = (SetOfMicrographs, SetOfCoordinates2D, SetOfParticles, SetOfClasses2D)


def export_image_set(found: TableSet, micrographs: SetOfMicrographs | None, target: Path) -> ConversionReport:
    """Write a set of the single-particle branch; the endings are .star and .csv.

    Parameters
    ----------
    found : one of IMAGE_SETS
    micrographs : SetOfMicrographs or None
        Those that particles lie in; coordinates count in their pixels.
    target : Path

    Raises
    ------
    EmtomoError
        If the ending is another one, or the pixel size of coordinates is not known.
    """
    frame = found.frame()
    if target.suffix == ".csv":
        part = target.with_name(target.name + ".part")
        frame.to_csv(part, index=False)
        part.replace(target)
        return ConversionReport([f"{len(frame)} {found.NOUN} written, lengths in Å."], [target])
    if target.suffix != ".star":
        raise EmtomoError(f"{type(found).__name__} is written as .star or .csv, got {target.name}.")
    if "file" in frame:
        frame["file"] = [str(Path(file).resolve()) for file in frame["file"]]
    if isinstance(found, SetOfClasses2D):
        write_classes_2d(target, frame)
    elif isinstance(found, SetOfMicrographs):
        star.write_blocks(target, {"optics": _optics(found), "micrographs": _micrograph_table(frame)})
    else:
        size = float((micrographs or found).pixel_size.get() or 0)
        if not size:
            raise EmtomoError("The pixel size of the micrographs, in which coordinates count, is not known.")
        for axis in "xy":
            frame[f"coordinate_{axis}"] = frame[axis] / size
        if isinstance(found, SetOfParticles):
            _write_particles(target, frame, found, size)
        else:
            star.write_blocks(target, {"": _pick_table(frame)})
    return ConversionReport([f"{len(frame)} {found.NOUN} written."], [target])


def _write_particles(target: Path, frame: pd.DataFrame, found: SetOfParticles, size: float) -> None:
    write_particles_2d(
        target,
        frame,
        rotations_of(frame),
        pixel_size=float(found.pixel_size.get()),
        micrograph_pixel_size=size,
        box_size=int(found.box_size.get()),
        optics={name: float(getattr(found, name).get()) for name in ("voltage", "cs", "amplitude_contrast")},
        tags=Tags(white=bool(found.white.get()), premultiplied=bool(found.premultiplied.get())),
    )


def _optics(found: SetOfMicrographs) -> pd.DataFrame:
    size = float(found.pixel_size.get())
    return pd.DataFrame({
        "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [size],
        "rlnVoltage": [found.voltage.get()], "rlnSphericalAberration": [found.cs.get()],
        "rlnAmplitudeContrast": [found.amplitude_contrast.get()], "rlnMicrographPixelSize": [size],
    })  # fmt: skip


def _micrograph_table(frame: pd.DataFrame) -> pd.DataFrame:
    table: dict[str, Any] = {"rlnMicrographName": frame["file"], "rlnOpticsGroup": np.ones(len(frame), int)}
    for name, columns in CTF_COLUMNS.items():
        if frame[name].notna().all():
            table[columns[0]] = frame[name]
    return pd.DataFrame(table)


def _pick_table(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({
        "rlnMicrographName": [f"{name}.mrc" for name in frame["micrograph_id"]],
        "rlnCoordinateX": frame["coordinate_x"], "rlnCoordinateY": frame["coordinate_y"],
        "rlnAutopickFigureOfMerit": frame["score"], "rlnClassNumber": frame["template"],
        "rlnAnglePsi": 0.0 - frame["psi"],
    })  # fmt: skip
