"""Refine rough poses of subtomograms to gold standard, and compare with the true poses.

``python examples/refine_subtomograms.py [FOLDER]`` writes refined.mrc and refine_subtomograms.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

import emtomo
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, protein_density
from emtomo.synthetic.subtomograms import simulate_subtomograms

PIXEL_SIZE, SIZE, NUMBER, DEGREES = 12.0, 24, 60, 10.0


def main(folder: Path) -> dict[str, float]:
    """Rotate the true poses by ten degrees about random axes, refine, and draw the errors."""
    reference = protein_density(SOLUBLE_PROTEIN, SIZE, PIXEL_SIZE)
    true = random_rotations(NUMBER, seed=1)
    boxes = simulate_subtomograms(reference, true, np.zeros((NUMBER, 3)), noise=0.3, seed=2)
    axis = np.random.default_rng(3).normal(size=(NUMBER, 3))
    axis *= np.deg2rad(DEGREES) / np.linalg.norm(axis, axis=1, keepdims=True)
    rough = true @ Rotation.from_rotvec(axis).as_matrix()
    start = emtomo.reconstruct(boxes, rough, tilt_range=(-60, 60)).average

    refined = emtomo.refine(
        boxes, rough, start, PIXEL_SIZE, tilt_range=(-60, 60), initial_lowpass=60, angular_step=1.8, max_iterations=6
    )

    emtomo.io.write_volume(folder / "refined.mrc", refined.average, PIXEL_SIZE)
    before, after = angle_between(rough, true), angle_between(refined.poses.rotations, true)
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, title, volume in ((left, "rough poses", start), (middle, "refined", refined.average)):
        axes.imshow(volume[:, SIZE // 2], cmap="gray")
        axes.set_title(title)
        axes.set_axis_off()
    right.hist([before, after], bins=np.arange(0, 16, 1), label=["before", "after"])
    right.set(xlabel="error of orientation (°)", ylabel="particles")
    right.legend()
    figure.savefig(folder / "refine_subtomograms.png", dpi=80)
    return {"before": float(np.median(before)), "after": float(np.median(after)), "resolution": refined.resolution}


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(*sys.argv[1:2]))}\n")
