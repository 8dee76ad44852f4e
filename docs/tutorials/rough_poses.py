"""Write the true poses of a simulated project as a picker might give them: some degrees and Å off.

``python docs/tutorials/rough_poses.py PROJECT RUN particles.star``
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import starfile
from scipy.spatial.transform import Rotation

from emtomo.engine.project import EmtomoProject
from emtomo.objects import rotations_of

DEGREES, ANGSTROM = 12.0, 8.0


def main(project: str, run: str, path: str) -> None:
    """Read, disturb, write."""
    target = Path(path).resolve()
    made = EmtomoProject.open(Path(project)).find(run)
    frame, tomograms = made.truth.frame(), made.tomograms
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(len(frame), 3))
    axes *= np.deg2rad(DEGREES) / np.linalg.norm(axes, axis=1, keepdims=True)
    rotations = rotations_of(frame) @ Rotation.from_rotvec(axes).as_matrix()
    angles = Rotation.from_matrix(rotations).inv().as_euler("ZYZ", degrees=True)
    table = pd.DataFrame({"rlnTomoName": frame["tomogram_id"]})
    for k, axis in enumerate("XYZ"):
        from_centre = frame[axis.lower()] + rng.normal(0, ANGSTROM, len(frame))
        first = frame["tomogram_id"].map(lambda t, k=k: tomograms.shape(t)[::-1][k] // 2)
        table[f"rlnCoordinate{axis}"] = from_centre / tomograms.pixel_size.get() + first
    for k, name in enumerate(("Rot", "Tilt", "Psi")):
        table[f"rlnAngle{name}"] = angles[:, k]
    starfile.write({"particles": table}, target, overwrite=True)
    sys.stderr.write(f"{len(table)} particles in {target}\n")


if __name__ == "__main__":
    os.environ.setdefault("SCIPION_NOTIFY", "False")
    main(*sys.argv[1:4])
