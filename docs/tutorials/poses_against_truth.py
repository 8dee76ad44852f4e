"""Print how far refined poses are from a simulation's truth: PROJECT RUN.output TRUTH_PROJECT TRUTH_RUN [SYMMETRY].

One common turn and shift of the particles' frame, and one shift of all in the tomogram, which no refinement can know,
are taken out first.
"""

import sys

import numpy as np
import pandas as pd

import emtomo
from emtomo.compute.rotations import angle_between, mean_rotations
from emtomo.compute.symmetry import parse_symmetry, symmetry_rotations
from emtomo.objects import positions_of, rotations_of


def poses(project: str, output: str) -> pd.DataFrame:
    """Return the poses of a set with their particles' refined centres."""
    frame = emtomo.open_project(project).outputs(output).frame()
    for axis in "xyz":
        frame[axis] = frame[axis] + frame.get(f"shift_{axis}", 0.0)
    return frame


def main() -> None:
    """Match every particle with the nearest true one and print medians."""
    from scipy.spatial import cKDTree

    project, output, truth_project, truth_run = sys.argv[1:5]
    group = symmetry_rotations(parse_symmetry(sys.argv[5] if len(sys.argv) > 5 else "C1"))
    found, true = poses(project, output), poses(truth_project, f"{truth_run}.truth")
    parts = []
    for name in found["tomogram_id"].unique():
        mine, other = found[found["tomogram_id"] == name], true[true["tomogram_id"] == name]
        distance, nearest = cKDTree(positions_of(other)).query(positions_of(mine))
        near = distance < 30
        parts.append((mine[near], other.iloc[nearest[near]]))
    mine, other = (pd.concat(p, ignore_index=True) for p in zip(*parts, strict=True))
    a, b = rotations_of(mine), rotations_of(other)
    copies = np.einsum("nij,gjk->ngik", b, group)
    for _ in range(3):  # the symmetry copy that is nearest, then the turn that is common to all
        best = np.array(
            [angle_between(np.repeat(r[None], len(group), 0), c).argmin() for r, c in zip(a, copies, strict=True)]
        )
        nearest = copies[np.arange(len(copies)), best]
        _, turn = mean_rotations(np.swapaxes(nearest, 1, 2) @ a, np.zeros(len(a), int))
        a = a @ turn[0].T
    off = positions_of(mine) - positions_of(other)
    for _ in range(5):  # the shift that is common in the particles' frame, then that in the tomogram's
        off = off - b @ (np.swapaxes(b, 1, 2) @ off[..., None]).mean(axis=0)[:, 0]
        off = off - off.mean(axis=0)
    lines = [
        f"{len(mine)} of {len(found)} particles lie within 30 Å of a true one",
        f"orientations off by {np.median(angle_between(a, nearest)):.2f}° (median)",
        f"positions off by {np.median(np.linalg.norm(off, axis=1)):.2f} Å (median)",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
