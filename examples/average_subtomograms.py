"""Average subtomograms in known poses: alone, each is noise with a missing wedge.

``python examples/average_subtomograms.py [FOLDER]`` writes average.mrc and average_subtomograms.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import emtomo
from emtomo.compute.rotations import random_rotations
from emtomo.synthetic.shapes import MEMBRANE_PROTEIN, protein_density
from emtomo.synthetic.subtomograms import simulate_subtomograms

PIXEL_SIZE, SIZE, NUMBER = 8.0, 32, 100


def main(folder: Path) -> dict[str, float]:
    """Simulate subtomograms, average them, and draw one beside the average."""
    reference = protein_density(MEMBRANE_PROTEIN, SIZE, PIXEL_SIZE)
    rotations = random_rotations(NUMBER, seed=1)
    shifts = np.random.default_rng(2).uniform(-2, 2, (NUMBER, 3))
    boxes = simulate_subtomograms(reference, rotations, shifts, noise=0.4, seed=3)

    done = emtomo.reconstruct(boxes, rotations, shifts=shifts, tilt_range=(-60, 60))

    emtomo.io.write_volume(folder / "average.mrc", done.average, PIXEL_SIZE)
    figure = Figure(figsize=(8, 3), layout="constrained")
    volumes = {"truth": reference, "one subtomogram": boxes[0], f"average of {NUMBER}": done.average}
    for axes, (title, volume) in zip(figure.subplots(1, 3), volumes.items(), strict=True):
        axes.imshow(volume[:, SIZE // 2], cmap="gray")
        axes.set_title(title)
        axes.set_axis_off()
    figure.savefig(folder / "average_subtomograms.png", dpi=80)
    return {
        "correlation": float(np.corrcoef(done.average.ravel(), reference.ravel())[0, 1]),
        "resolution": emtomo.resolution_at(done.fsc, SIZE, PIXEL_SIZE),
    }


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(*sys.argv[1:2]))}\n")
