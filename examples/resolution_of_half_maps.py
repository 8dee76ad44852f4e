"""Measure the resolution of two half maps: Fourier shell correlation, with and without a mask.

``python examples/resolution_of_half_maps.py [FOLDER]`` writes resolution_of_half_maps.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import emtomo
from emtomo.synthetic.shapes import MEMBRANE_PROTEIN, protein_density

PIXEL_SIZE, SIZE = 5.0, 64


def main(folder: Path) -> dict[str, float]:
    """Add independent noise to a map twice, and compare the two."""
    density = protein_density(MEMBRANE_PROTEIN, SIZE, PIXEL_SIZE)
    rng = np.random.default_rng(1)
    half1, half2 = (density + rng.normal(0, 0.15, density.shape).astype(np.float32) for _ in range(2))

    mask = emtomo.create_mask(density, PIXEL_SIZE, extend=4, soft_edge=6)
    curves = emtomo.solvent_corrected_fsc(half1, half2, mask)
    resolution = {
        "unmasked": emtomo.resolution_at(curves.unmasked, SIZE, PIXEL_SIZE),
        "corrected": emtomo.resolution_at(curves.corrected, SIZE, PIXEL_SIZE),
    }

    frequency = np.arange(SIZE // 2 + 1) / (SIZE * PIXEL_SIZE)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("unmasked", "masked", "randomised", "corrected"):
        axes.plot(frequency, getattr(curves, name), label=name)
    axes.axhline(0.143, color="grey", linestyle=":")
    axes.set(xlabel="frequency (1/Å)", ylabel="correlation", title=f"{resolution['corrected']:.1f} Å at 0.143")
    axes.legend()
    figure.savefig(folder / "resolution_of_half_maps.png", dpi=80)
    return resolution


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(*sys.argv[1:2]))}\n")
