"""The average of premultiplied subtomograms beside relion_reconstruct 3.1.3, against the simulated molecule.

``python benchmarks/bench_premultiplied.py [--defocus 30000 36000] [--seed N]``: a simulated tomogram of 40 particles at
each defocus (Å), boxes of 32 voxels of 10 Å; with more than one, also all of them together. Needs Debian's relion.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from emtomo.compute.fourier.filters import ball, fit_to_box
from emtomo.compute.fourier.reconstruction import Sums, solve
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.refinement.reconstruct import sum_half_sets
from emtomo.io import mrc
from emtomo.objects.particle_input import ParticleInputOptions, open_particles
from tests.engine.helpers import Bench

N = 32
SAMPLE = {"size_x": 128, "size_y": 120, "size_z": 48, "pixel_size": 10, "vesicles": 0, "soluble_proteins": 40, "snr": 2,
          "tilt_step": 6}  # fmt: skip


def show(name: str, volume: np.ndarray, molecule: np.ndarray) -> None:
    """Print the correlation with the molecule in shells 1 to 11."""
    inside = ball(N, 12.0, 1.0)
    curve = fourier_shell_correlation(volume * inside, molecule * inside)
    print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in curve[1:12]) + " |", flush=True)


def compare(name: str, star: str, molecule: np.ndarray) -> None:
    """Reconstruct with RELION, as it does by default and with fewer gridding iterations."""
    for iterations in (10, 1, 0):
        command = f"relion_reconstruct --i {star} --o relion.mrc --3d_rot --ctf --iter {iterations}"
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
        show(f"{name}, RELION, --iter {iterations}", mrc.read_volume("relion.mrc"), molecule)


def main() -> None:
    """Simulate, export, reconstruct with both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--defocus", type=int, nargs="+", default=[30000, 27000, 36000, 43000, 49000])
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "project")
        os.chdir(bench.project.path)
        sums: list[Sums] = []
        text = ""
        for k, defocus in enumerate(arguments.defocus):
            values = SAMPLE | {"defocus": defocus, "seed": arguments.seed + k}
            simulated = bench.run("simulate-tomograms", f"simulate {k}", **values)
            molecule = fit_to_box(mrc.read_volume(simulated._getExtraPath("soluble.mrc")), 10.0, N, 10.0)
            inputs = {"tilt_series": f"simulate {k}.tilt_series", "coordinates": f"simulate {k}.truth"}
            bench.run("export-particles", f"boxes {k}", **inputs, box_size=N, diameter=180, premultiply=True)
            made = f"boxes {k}.subtomograms"
            run = bench.run("reconstruct-average", f"average {k}", subtomograms=made)
            particles = open_particles(run, ParticleInputOptions())
            sums += sum_half_sets(particles.source, particles.poses(0)).values()
            show(f"{defocus} Å, emtomo", mrc.read_volume(run.average.file.get()), molecule)
            exported = bench.run("export-particles-star", f"star {k}", subtomograms=made)
            star = Path(exported._getExtraPath("particles.star"))
            compare(f"{defocus} Å", str(star), molecule)
            lines = star.read_text().splitlines(keepends=True)
            text = text.rstrip() + "\n" + "".join([line for line in lines if ".mrc" in line] if text else lines)
        if len(arguments.defocus) > 1:
            Path("all.star").write_text(text.rstrip() + "\n")
            whole = Sums(N, N / 2, np.sum([s.data for s in sums], 0), np.sum([s.weights for s in sums], 0))
            show("all, emtomo", solve(whole), molecule)
            compare("all", "all.star", molecule)


if __name__ == "__main__":
    main()
