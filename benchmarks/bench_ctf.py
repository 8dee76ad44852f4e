"""estimate_ctf beside torch-ctf-estimation and CTFFIND: errors and CPU seconds an image, on the same images in one run.

    python benchmarks/bench_ctf.py [--size 640] [--real 4] [--torch PYTHON] [--ctffind PROGRAM [--tilt-search]]

PYTHON is the interpreter of an environment with torch-ctf-estimation (pip install torch-ctf-estimation), PROGRAM the
program ctffind (version 5); without them only emtomo is measured. CTFFIND takes every image by itself; with
--tilt-search it also looks for the tilt of those of the series, which takes minutes an image.

Simulated: a tilt series whose ice is inclined in the tomogram, and single untilted images;
real: the first apoferritin micrographs of ../shared, whose defocus another fit of one profile gave without astigmatism.
The fits go from 30 to 6 Å and from 0.4 to 6 µm in all programs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from timing import machine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from emtomo.compute.optics.estimation import CtfEstimate, estimate_ctf  # noqa: E402
from emtomo.compute.optics.estimation_options import CtfEstimationOptions  # noqa: E402
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_geometry  # noqa: E402
from emtomo.io import mrc, star  # noqa: E402
from tests.compute.optics.tilted_ice import AMPLITUDE_CONTRAST, PIXEL, simulate_tilts  # noqa: E402

REAL = ROOT.parent / "shared" / "data" / "micrographs" / "apoferritin"
PLANE = (6.0, -10.0)
TORCH = """
import json, sys, time, numpy as np, torch
from torch_ctf_estimation import estimate_ctf
from torch_ctf_estimation.models import CTFFittingParams, OpticalParams
job = np.load(sys.argv[1])
optics = OpticalParams(pixel_spacing_angstroms=float(job["pixel"]), voltage_kev=300.0, spherical_aberration_mm=2.7,
                       amplitude_contrast_fraction=float(job["amplitude"]))
for image, tilted in zip(job["images"], job["tilted"]):
    fit = CTFFittingParams(defocus_grid_resolution=(1, 3, 3) if tilted else (1, 1, 1),
                           defocus_model="linear" if tilted else "grid",
                           frequency_fit_range_angstroms=(30.0, 6.0), defocus_range_microns=(0.4, 6.0))
    start = time.process_time()
    _, _, found = estimate_ctf(torch.tensor(image), optics, fit)
    print(json.dumps([1e4 * float(found.defocus_u), 1e4 * float(found.defocus_v), time.process_time() - start]))
"""


@dataclass
class Case:
    """Images with what is known of them: (n,) defocus and U - V in Å, NaN where not known."""

    name: str
    images: np.ndarray
    geometry: TiltGeometry
    together: bool
    defocus: np.ndarray
    astigmatism: float
    amplitude_contrast: float = AMPLITUDE_CONTRAST


def simulate_cases(size: int) -> list[Case]:
    """Return a tilt series and untilted images."""
    angles = np.arange(-48.0, 49, 12)
    defocus = 24000 + np.random.default_rng(2).normal(0, 500, len(angles))
    series = simulate_tilts(angles, defocus, (size, size), plane=PLANE, astigmatism=800.0, seed=4)
    flat = np.array([8000.0, 12000.0, 20000.0, 30000.0, 42000.0])
    single = simulate_tilts(np.zeros(5), flat, (size, size), x_tilt=0.0, astigmatism=800.0, snr=0.1, seed=5)
    return [
        Case("tilt series", *series, True, defocus, 800.0),
        Case("untilted images", *single, False, flat, 800.0),
    ]


def read_case(count: int) -> Case:
    """Return real micrographs."""
    frame = star.read_blocks(REAL / "micrographs_ctf.star")["micrographs"].iloc[:count]
    images = np.stack([np.asarray(mrc.open_volume(REAL / name), np.float32) for name in frame["rlnMicrographName"]])
    images = images.reshape(len(frame), *images.shape[-2:])
    geometry = tilt_geometry({"angle": np.zeros(len(frame))}, pixel_size=3.0)
    return Case("apoferritin", images, geometry, False, frame["rlnDefocusU"].to_numpy(float), np.nan, 0.07)


def fit_emtomo(case: Case) -> tuple[np.ndarray, float, list[CtfEstimate]]:
    """Return (n, 2) defoci U, V, CPU seconds an image, and the results."""
    options = CtfEstimationOptions(min_defocus=4000, max_defocus=60000)
    groups = [np.arange(len(case.images))] if case.together else [np.array([i]) for i in range(len(case.images))]
    start, found = time.process_time(), []
    for group in groups:
        images, part = case.images[group], case.geometry.take(group)
        found.append(estimate_ctf(images.__getitem__, part, options, amplitude_contrast=case.amplitude_contrast))
    taken = (time.process_time() - start) / len(case.images)
    return np.concatenate([np.stack([f.ctf.defocus_u, f.ctf.defocus_v], axis=1) for f in found]), taken, found


def fit_torch(case: Case, python: str) -> tuple[np.ndarray, float]:
    """Return (n, 2) defoci U, V and CPU seconds an image."""
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.npz"
        tilted = np.full(len(case.images), case.together)
        np.savez(
            job,
            images=case.images,
            tilted=tilted,
            pixel=case.geometry.pixel_size,
            amplitude=case.amplitude_contrast,
        )
        done = subprocess.run([python, "-c", TORCH, str(job)], capture_output=True, text=True, check=True)
    rows = np.array([json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")])
    return rows[:, :2], float(rows[:, 2].mean())


def fit_ctffind(case: Case, program: str, tilt_search: bool) -> tuple[np.ndarray, float]:
    """Return (n, 2) defoci U, V and CPU seconds an image."""
    before, found = resource.getrusage(resource.RUSAGE_CHILDREN), []
    with tempfile.TemporaryDirectory() as folder:
        image, spectrum = Path(folder) / "image.mrc", Path(folder) / "spectrum.mrc"
        microscope = [f"{case.geometry.pixel_size:g}", "300", "2.7", f"{case.amplitude_contrast:g}"]
        # box, largest and smallest spacing, defocus range and step; then yes or no: known astigmatism, slower search,
        # restraint on astigmatism, phase shift, tilt, thickness, and expert options
        options = ["512", "30", "6", "4000", "60000", "100", "no", "no", "no", "no"]
        options += ["yes" if tilt_search and case.together else "no", "no", "no"]
        for values in case.images:
            mrc.write_volume(image, values[np.newaxis], case.geometry.pixel_size)
            answers = "\n".join([str(image), str(spectrum), *microscope, *options, ""])
            subprocess.run([program, "-j", "1"], input=answers, capture_output=True, text=True, check=True)
            found.append(np.loadtxt(spectrum.with_suffix(".txt"), ndmin=2)[0, 1:3])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return np.array(found), taken / len(case.images)


def line(*cells: str) -> None:
    """Print one line of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def report(case: Case, program: str, found: np.ndarray, taken: float) -> None:
    """Print a line: errors of the defocus, of the astigmatism, and CPU seconds."""
    error = np.abs(found.mean(axis=1) - case.defocus)
    astigmatism = np.abs(np.abs(found[:, 0] - found[:, 1]) - case.astigmatism)
    line(
        f"{case.name} ({len(found)}): {program}",
        f"{np.median(error):.0f}, {error.max():.0f} Å",
        "" if np.isnan(case.astigmatism) else f"{np.median(astigmatism):.0f} Å",
        f"{taken:.2f}",
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--torch", default="")
    parser.add_argument("--ctffind", default="")
    parser.add_argument("--tilt-search", action="store_true")
    a = parser.parse_args()
    cases = simulate_cases(a.size)
    if a.real and REAL.exists():
        cases.append(read_case(a.real))
    fit_emtomo(cases[1])  # compiled and imported before it is timed
    print(machine())
    line(f"{a.size}² at {PIXEL} Å", "defocus: median, largest error", "astigmatism: median error", "CPU s an image")
    for case in cases:
        found, taken, results = fit_emtomo(case)
        report(case, "emtomo", found, taken)
        if case.together:
            plane = results[0].plane
            angles = ", ".join(f"{v:.1f} ± {e:.1f}°" for v, e in zip(plane.angles, plane.errors, strict=True))
            line("  plane about x, y", f"{angles} (truth {PLANE[0]:g}, {PLANE[1]:g}°)")
        if a.torch:
            report(case, "torch-ctf-estimation", *fit_torch(case, a.torch))
        if a.ctffind:
            report(case, "CTFFIND", *fit_ctffind(case, a.ctffind, a.tilt_search))


if __name__ == "__main__":
    main()
