"""Shells of tomograms that agree with the truth: reconstruct_tomogram beside ASTRA's FBP and SIRT and torch-tomogram.

    python benchmarks/bench_tomogram_quality.py [--lines 96] [--iterations 15] [--astra PYTHON] [--torch PYTHON]

The phantom tomogram of ../shared (polnet: 41 tilts within 60°, signal-to-noise ratio 0.5, 10 Å, no CTF), some of its
lines along the tilt axis. Every shell is correlated with the density within the measured part of Fourier space, all of
it and apart along x (the images' own direction), along the tilt axis, and near the missing wedge. ASTRA's ram-lak
filter and a ramp without window are the same filter. PYTHON is an interpreter with astra-toolbox, with torch-tomogram.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import machine

from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import ReconstructTomogramOptions
from emtomo.io import mrc

DATA = Path(__file__).parents[2] / "shared" / "data" / "phantom_tomogram"
PIXEL, SHELLS = 10.0, ((6, 12), (12, 20), (20, 32), (32, 46), (46, 60))
ASTRA = """
import sys, time, numpy as np, astra
images, angles, depth = np.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
n, lines = images.shape[2], images.shape[1]
beams, voxels = astra.create_proj_geom("parallel", 1.0, n, np.deg2rad(angles)), astra.create_vol_geom(depth, n)
projector = astra.create_projector("linear", beams, voxels)
for kind, count in (("FBP", 1), ("SIRT", int(sys.argv[4]))):
    start, out = time.process_time(), np.empty((depth, lines, n), np.float32)
    for y in range(lines):
        data = astra.data2d.create("-sino", beams, np.ascontiguousarray(images[:, y]))
        result = astra.data2d.create("-vol", voxels, 0)
        task = astra.astra_dict(kind) | {"ProjectorId": projector, "ProjectionDataId": data,
                                         "ReconstructionDataId": result}
        if kind == "FBP":
            task["option"] = {"FilterType": "ram-lak"}
        algorithm = astra.algorithm.create(task)
        astra.algorithm.run(algorithm, count)
        out[:, y] = astra.data2d.get(result)
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([data, result])
    np.save(f"{sys.argv[5]}/{kind}.npy", out)
    print(kind, time.process_time() - start)
"""
TORCH = """
import sys, time, numpy as np, torch
from torch_tomogram import Tomogram
images, angles = torch.tensor(np.load(sys.argv[1])), torch.tensor(-np.load(sys.argv[2]), dtype=torch.float32)
torch.set_num_threads(1)
start, n = time.process_time(), len(angles)
made = Tomogram(angles, tilt_axis_angle=torch.zeros(n), sample_translations=torch.zeros(n, 2), images=images)
out = made.reconstruct_tomogram((int(sys.argv[3]), images.shape[1], images.shape[2]), sidelength=64)
np.save(f"{sys.argv[5]}/torch-tomogram.npy", out.numpy())
print("torch-tomogram", time.process_time() - start)
"""


def correlate(volume: np.ndarray, truth: np.ndarray, reach: float) -> dict[str, list[float]]:
    """Return the correlation of every group of shells, by direction."""
    a, b = (np.fft.rfftn(v - v.mean()) for v in (volume, truth))
    axes = (*(np.fft.fftfreq(n) for n in truth.shape[:2]), np.fft.rfftfreq(truth.shape[2]))
    kz, ky, kx = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(kx**2 + ky**2 + kz**2) * truth.shape[2]
    measured = np.abs(kz) <= np.tan(np.deg2rad(reach)) * np.abs(kx)
    steep = np.rad2deg(np.arctan2(np.abs(kz), np.abs(kx)))
    level = np.rad2deg(np.arctan2(np.abs(ky), np.hypot(kx, kz)))
    directions = {
        "all measured": measured,
        "along x": measured & (steep < 20) & (level < 45),
        "along the tilt axis": measured & (level > 60),
        "within 15° of the wedge": measured & (steep > reach - 15) & (level < 45),
    }
    out: dict[str, list[float]] = {}
    for name, chosen in directions.items():
        out[name] = []
        for low, high in SHELLS:
            here = chosen & (radius >= low) & (radius < high)
            power = np.sqrt((np.abs(a[here]) ** 2).sum() * (np.abs(b[here]) ** 2).sum())
            out[name].append(float((a[here] * b[here].conj()).sum().real / power))
    return out


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=96)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--astra", default="")
    parser.add_argument("--torch", default="")
    a = parser.parse_args()
    images = np.asarray(mrc.read_volume(DATA / "tomo_001_mics_snr0.5.mrc.gz"), np.float32)
    truth = np.asarray(mrc.read_volume(DATA / "tomo_001_den.mrc.gz"), np.float32)
    angles = np.loadtxt(DATA / "tilts.tlt")
    first = (images.shape[1] - a.lines) // 2
    images, truth = (np.ascontiguousarray(v[:, first : first + a.lines]) for v in (images, truth))
    images = images.mean(axis=(1, 2), keepdims=True) - images  # particles are dark in them
    made: dict[str, tuple[np.ndarray, float]] = {}
    for name, values in {
        "emtomo, ramp": {},
        "emtomo, ramp with Hann window": {"window": "hann"},
        "emtomo, exact weights": {"weighting": "exact"},
        f"emtomo, SIRT {a.iterations}": {"method": "sirt", "iterations": a.iterations},
    }.items():
        geometry = tilt_geometry({"angle": angles}, pixel_size=PIXEL)
        options = ReconstructTomogramOptions(dose_weights=False, **values)  # type: ignore[arg-type]
        start = time.process_time()
        volume = reconstruct_tomogram(images.__getitem__, geometry, truth.shape, PIXEL, options)
        made[name] = volume, time.process_time() - start
    for program, python, script in (("ASTRA, ", a.astra, ASTRA), ("", a.torch, TORCH)):
        if not python:
            continue
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/images.npy", images)
            np.save(f"{folder}/angles.npy", -angles)
            command = [python, "-c", script, f"{folder}/images.npy", f"{folder}/angles.npy", str(len(truth))]
            done = subprocess.run([*command, str(a.iterations), folder], capture_output=True, text=True, check=True)
            for kind, seconds in (words.split() for words in done.stdout.splitlines()):
                label = f"{program}{kind}" + (f" {a.iterations}" if kind == "SIRT" else "")
                made[label] = np.load(f"{folder}/{kind}.npy"), float(seconds)
    print(machine())
    shells = ", ".join(f"{truth.shape[2] * PIXEL / (low + high) * 2:.0f}" for low, high in SHELLS)
    directions = " | ".join(correlate(truth, truth, 60))
    print(f"| tomogram {truth.shape}; shells about {shells} Å | CPU s | {directions} |")
    for name, (volume, seconds) in made.items():
        found = correlate(volume, truth, float(np.abs(angles).max()))
        cells = [" ".join(f"{v:.2f}".lstrip("0") for v in values) for values in found.values()]
        print(f"| {name} | {seconds:.1f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
