"""Images of particles and class averages as STAR files of RELION 3.1."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.io import star
from emtomo.io.poses import to_relion
from emtomo.io.relion import ANGLES, ORIGIN_ANGST
from emtomo.io.tags import Tags


def write_particles_2d(
    path: str | Path,
    frame: pd.DataFrame,
    rotations: np.ndarray,
    *,
    pixel_size: float,
    micrograph_pixel_size: float,
    box_size: int,
    optics: dict[str, float],
    tags: Tags,
) -> None:
    """Write particles as a RELION 3.1 STAR file; stacks stay where they are.

    Parameters
    ----------
    path : str or Path
    frame : DataFrame
        As in :class:`~emtomo.io.particles_2d.ParticleTable`; CTF columns that hold NaN are left out.
    rotations : (n, 3, 3) array
        NaN where unknown: rot and tilt are then zero, and psi is that of the plane.
    pixel_size, micrograph_pixel_size : float
        Å of the images, and of the pixels in which coordinates count.
    box_size : int
    optics : dict
        voltage, cs, amplitude_contrast.
    tags : Tags

    Raises
    ------
    FormatError
        If a name has a quote in it, which a STAR file cannot hold.
    """
    n = len(frame)
    table: dict[str, Any] = {}
    if frame[["coordinate_x", "coordinate_y"]].notna().all(axis=None):
        table |= {"rlnCoordinateX": frame["coordinate_x"], "rlnCoordinateY": frame["coordinate_y"]}
    table["rlnImageName"] = [f"{k + 1:06d}@{f}" for f, k in zip(frame["file"], frame["index"], strict=True)]
    table["rlnMicrographName"] = [f"{name}.mrc" for name in frame["micrograph_id"]]
    table["rlnOpticsGroup"] = np.ones(n, int)
    known = np.isfinite(rotations).all(axis=(1, 2))
    angles = np.zeros((n, 3))
    angles[~known, 2] = 0.0 - frame["psi"].to_numpy(float)[~known]
    angles[known] = to_relion(rotations[known])
    table |= dict(zip(ANGLES, angles.T, strict=True))
    table |= {ORIGIN_ANGST[k]: 0.0 - frame[f"shift_{axis}"].to_numpy(float) for k, axis in enumerate("xy")}
    names = {
        "rlnDefocusU": "defocus_u", "rlnDefocusV": "defocus_v", "rlnDefocusAngle": "defocus_angle",
        "rlnPhaseShift": "phase_shift", "rlnAutopickFigureOfMerit": "score",
    }  # fmt: skip
    table |= {k: frame[v] for k, v in names.items() if v in frame and frame[v].notna().all()}
    for column, name in (("rlnClassNumber", "class_number"), ("rlnGroupNumber", "group")):
        if name in frame and (frame[name] > 0).all():
            table[column] = frame[name].astype(int)
    if "half" in frame and frame["half"].isin([1, 2]).all():
        table["rlnRandomSubset"] = frame["half"].astype(int)
    blocks = {
        "optics": pd.DataFrame({
            "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1],
            "rlnMicrographOriginalPixelSize": [micrograph_pixel_size],
            "rlnMicrographPixelSize": [micrograph_pixel_size],
            "rlnVoltage": [optics["voltage"]], "rlnSphericalAberration": [optics["cs"]],
            "rlnAmplitudeContrast": [optics["amplitude_contrast"]], "rlnImagePixelSize": [pixel_size],
            "rlnImageSize": [box_size], "rlnImageDimensionality": [2],
            "rlnCtfDataAreCtfPremultiplied": [int(bool(tags.premultiplied))],
        }),
        "particles": pd.DataFrame(table),
    }  # fmt: skip
    star.write_blocks(path, blocks, tags.as_text())


def write_classes_2d(path: str | Path, frame: pd.DataFrame) -> None:
    """Write class averages as RELION's ``class_averages.star``.

    Parameters
    ----------
    path : str or Path
    frame : DataFrame
        file, index, and where known share, resolution (Å).
    """
    table: dict[str, Any] = {
        "rlnReferenceImage": [f"{k + 1:06d}@{f}" for f, k in zip(frame["file"], frame["index"], strict=True)],
    }
    if "share" in frame:
        table["rlnClassDistribution"] = frame["share"]
    if "resolution" in frame and frame["resolution"].notna().all():
        table["rlnEstimatedResolution"] = frame["resolution"]
    star.write_blocks(path, {"": pd.DataFrame(table)})
