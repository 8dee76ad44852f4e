"""Denoise a tomogram, and see what became of noise and edges.

``python examples/denoise_tomogram.py [FOLDER]`` writes denoised.mrc and denoise_tomogram.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import emtomo
from emtomo.synthetic.imaging import reconstruct, take_tilt_series
from emtomo.synthetic.phantom import PhantomOptions, make_phantom


def main(folder: Path) -> dict[str, float]:
    """Simulate a tomogram of one vesicle, denoise it, and draw both."""
    sample = PhantomOptions(
        size_x=96, size_y=96, size_z=32, pixel_size=14.0, vesicles=1, vesicle_radius=320, tilt_step=6
    )
    phantom = make_phantom(sample)
    tomogram = reconstruct(take_tilt_series(phantom.density, sample), sample)

    denoised = emtomo.denoise(tomogram, method="eed", iterations=15)

    emtomo.io.write_volume(folder / "denoised.mrc", denoised, sample.pixel_size)
    truth = -phantom.density  # density is dark in a tomogram
    agreement = {
        "before": float(np.corrcoef(tomogram.ravel(), truth.ravel())[0, 1]),
        "after": float(np.corrcoef(denoised.ravel(), truth.ravel())[0, 1]),
    }
    figure = Figure(figsize=(8, 3), layout="constrained")
    volumes = {"truth": truth, "tomogram": tomogram, "denoised": denoised}
    for axes, (title, volume) in zip(figure.subplots(1, 3), volumes.items(), strict=True):
        axes.imshow(volume[len(volume) // 2], cmap="gray")
        axes.set_title(f"{title} {agreement.get({'tomogram': 'before', 'denoised': 'after'}.get(title, ''), 1):.2f}")
        axes.set_axis_off()
    figure.savefig(folder / "denoise_tomogram.png", dpi=80)
    return agreement


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(*sys.argv[1:2]))}\n")
