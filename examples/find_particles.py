"""Find copies of a reference in a tomogram, compare with the truth, and write them for RELION.

``python examples/find_particles.py [FOLDER]`` writes particles.star and find_particles.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import emtomo
from emtomo.compute.rotations import random_rotations
from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, place, protein_density

PIXEL_SIZE, SHAPE = 14.0, (32, 80, 80)
CENTRES = np.array([(16, 20, 20), (14, 22, 58), (18, 42, 38), (15, 60, 20), (17, 58, 62)], float)


def main(folder: Path) -> dict[str, float]:
    """Put five copies of a protein into noise and look for them."""
    reference = protein_density(SOLUBLE_PROTEIN, 16, PIXEL_SIZE)
    density = np.zeros(SHAPE, np.float32)
    for centre, rotation in zip(CENTRES, random_rotations(len(CENTRES), seed=3), strict=True):
        place(density, reference, centre, rotation)
    tomogram = np.random.default_rng(1).normal(0, 0.8, SHAPE).astype(np.float32) - density

    found = emtomo.match_template(
        tomogram, reference, PIXEL_SIZE, tilt_range=(-90, 90), number_of_particles=5, angular_step=30
    )

    emtomo.io.write_particles(folder / "particles.star", found.particles("TS_01"), format="relion4")
    distances = np.linalg.norm(found.positions[:, None] - CENTRES[None], axis=2).min(axis=0)
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(tomogram[12:20].mean(axis=0), cmap="gray")
    axes.scatter(CENTRES[:, 2], CENTRES[:, 1], s=300, facecolors="none", edgecolors="tab:green", label="truth")
    axes.scatter(found.positions[:, 2], found.positions[:, 1], marker="+", color="tab:red", label="found")
    axes.legend(loc="lower right")
    axes.set_axis_off()
    figure.savefig(folder / "find_particles.png", dpi=80)
    return {"found": float((distances < 2).sum()), "of": float(len(CENTRES)), "error": float(np.median(distances))}


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(*sys.argv[1:2]))}\n")
