"""2D classification beside RELION on simulated picks, and the time of an iteration of many particles.

``python benchmarks/bench_classify_2d.py quality [seed]`` simulates six micrographs with ``../shared/peers/relion``,
cuts 354 picks (a tenth of them empty places, the others 8 Å off centre) with relion_preprocess, classifies them with
both programs (K 12, 25 iterations, one thread) and compares with the truth. ``... speed`` times iterations of 10,000
images of 64² in 50 classes. Processor seconds are those of the whole process tree. The error of an in-plane angle is
how far a particle is turned from the others of its class, of those that show the same view within 20°.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mrcfile
import numpy as np
from scipy import ndimage

from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.device import threads, use_threads
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.io import star
from emtomo.io.poses import from_relion

PEERS = Path(__file__).resolve().parents[2] / "shared" / "peers" / "relion"
PICKS, JUNK, OFF = 354, 35, 8.0
CLASSES, ITERATIONS, DIAMETER, SIZE = 12, 25, 190.0, 40
EXTRACT = (
    "relion_preprocess --i micrographs_ctf.star --coord_dir Picks/ --coord_suffix _picks.star --part_star "
    "Extract/particles.star --part_dir Extract/ --extract --extract_size 56 --scale 40 --norm --bg_radius 14 "
    "--white_dust -1 --black_dust -1 --invert_contrast"
)
CLASSIFY = (
    "relion_refine --o Relion/run --i Extract/particles.star --dont_combine_weights_via_disc --preread_images "
    f"--pool 10 --pad 2 --ctf --iter {ITERATIONS} --tau2_fudge 2 --particle_diameter {DIAMETER:g} --K {CLASSES} "
    "--flatten_solvent --zero_mask --oversampling 1 --psi_step 12 --offset_range 5 --offset_step 2 --norm --scale "
    "--j 1 --random_seed 1"
)


def cpu_seconds(command: str, folder: Path) -> float:
    """Run a command and return the processor seconds that it and its children took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def simulate(folder: Path, seed: int) -> None:
    """Make micrographs, and particles cut out of them at inexact places."""
    command = f"{sys.executable} {PEERS / 'gen_spa.py'} --out {folder} --snr 0.1 --mics 6 --seed {seed}"
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
    truth = star.read_blocks(folder / "truth_particles.star")["particles"]
    rng = np.random.default_rng(seed)
    places = np.column_stack([np.asarray(truth[f"rlnCoordinate{c}"], float) for c in "XY"])
    names = np.asarray(truth["rlnMicrographName"], str)
    chosen = np.sort(rng.permutation(len(places))[: PICKS - JUNK])
    picks, where = places[chosen] + rng.normal(0, OFF / 5.0 / np.sqrt(2), (len(chosen), 2)), names[chosen]
    empty: list[np.ndarray] = []
    homes: list[str] = []
    while len(empty) < JUNK:
        place, name = rng.uniform(40, 984, 2), names[rng.integers(len(names))]
        if np.hypot(*(places[names == name] - place).T).min() > 24:
            empty.append(place)
            homes.append(name)
    picks, where = np.vstack([picks, empty]), np.append(where, homes)
    (folder / "Picks" / "Micrographs").mkdir(parents=True)
    (folder / "Extract").mkdir()
    (folder / "Relion").mkdir()
    (folder / "Emtomo").mkdir()
    for name in np.unique(where):
        lines = ["data_", "loop_", "_rlnCoordinateX #1", "_rlnCoordinateY #2"]
        lines += [f"{x:.3f} {y:.3f}" for x, y in picks[where == name]]
        path = folder / "Picks" / name.replace(".mrc", "_picks.star")
        path.write_text("\n".join(lines) + "\n", encoding="utf8")
    subprocess.run(EXTRACT.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def classify(folder: Path) -> tuple[float, float]:
    """Classify with emtomo; return processor seconds and the junk's area under the curve by rank of classes."""
    tables = star.read_blocks(folder / "Extract" / "particles.star")
    table, optics = tables["particles"], tables["optics"]
    names = [name.split("@") for name in table["rlnImageName"]]
    stacks = {file: mrcfile.read(folder / file) for _, file in names}
    images = np.stack([stacks[file][int(k) - 1] for k, file in names])
    size = float(np.asarray(optics["rlnImagePixelSize"], float)[0])
    u, v, angle = (np.asarray(table[f"rlnDefocus{c}"], float) for c in ("U", "V", "Angle"))
    group = np.unique(np.asarray(table["rlnMicrographName"], str), return_inverse=True)[1]
    options = ClassificationOptions(number_of_classes=CLASSES, iterations=ITERATIONS, mask_diameter=DIAMETER)
    use_threads(1)
    warm = Classification(images[:60], size, ClassificationOptions(number_of_classes=2, mask_diameter=DIAMETER,
                          iterations=3), Ctf(u, v, angle)[:60])  # fmt: skip
    warm.run()
    began = time.process_time()
    result = Classification(images, size, options, Ctf(u, v, angle), group).run()
    used = time.process_time() - began
    shift = -result.shift * size
    found = table[["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"]].assign(
        rlnClassNumber=result.class_index + 1, rlnOriginXAngst=shift[:, 0], rlnOriginYAngst=shift[:, 1],
        rlnAnglePsi=-result.psi,
    )  # fmt: skip
    star.write_blocks(folder / "Emtomo" / "run_data.star", {"optics": optics, "particles": found})
    with mrcfile.new(folder / "Emtomo" / "run_classes.mrcs") as file:
        file.set_data(result.averages)
        file.set_image_stack()
        file.voxel_size = size
    truth = star.read_blocks(folder / "truth_particles.star")["particles"]
    places = np.column_stack([np.asarray(truth[f"rlnCoordinate{c}"], float) for c in "XY"])
    there = np.asarray(truth["rlnMicrographName"], str)
    mine = np.column_stack([np.asarray(table[f"rlnCoordinate{c}"], float) for c in "XY"])
    homes = np.asarray(table["rlnMicrographName"], str)
    near = np.array([np.hypot(*(places[there == h] - p).T).min() for p, h in zip(mine, homes, strict=True)]) * 5.0
    rank = result.class_gain[result.class_index]
    real, junk = rank[near < 40], rank[near >= 40]
    area = (real[:, None] > junk).mean() + 0.5 * (real[:, None] == junk).mean()
    return used, float(area)


def evaluate(folder: Path, data: str, classes: str) -> dict[str, float]:
    """Return what the peers' evaluation says."""
    command = [sys.executable, str(PEERS / "evaluate_classes2d.py"), "--data", data, "--classes", classes]
    command += ["--truth", "truth_particles.star", "--map", "truth.mrc", "--sym", "D7"]
    out = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def in_plane_errors(data: Path, truth: Path, symmetry: str = "D7") -> np.ndarray:
    """Return in degrees how far the members of each class are turned from its median, of those that show its view.

    The view of a class is that of the member to whose orientation the others are nearest (by the truth, in whichever of
    the particle's alike orientations is nearest); views within 20° of it count.
    """
    found, real = (star.read_blocks(path)["particles"] for path in (data, truth))
    columns = ["rlnCoordinateX", "rlnCoordinateY"]
    there, homes = real[columns].to_numpy(float), real["rlnMicrographName"].to_numpy(str)
    places, names = found[columns].to_numpy(float), found["rlnMicrographName"].to_numpy(str)
    apart = np.where(names[:, None] == homes, np.linalg.norm(places[:, None] - there, axis=-1), np.inf)
    near, mate = apart.min(axis=1) < 8, apart.argmin(axis=1)
    matrices = from_relion(real[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float))
    psi = found["rlnAnglePsi"].to_numpy(float)
    unturned = from_relion(np.column_stack([0 * psi, 0 * psi, psi])).swapaxes(1, 2) @ matrices[mate]
    copies = np.asarray(symmetry_rotations(symmetry))
    errors = []
    for number in np.unique(found["rlnClassNumber"].to_numpy(int)):
        members = unturned[near & (found["rlnClassNumber"].to_numpy(int) == number)]
        if len(members) < 5:
            continue
        alike = np.einsum("nij,sjk->nsik", members, copies)
        trace = np.einsum("nsij,mij->mns", alike, members)
        centre = int(trace.max(axis=2).sum(axis=1).argmax())
        best = alike[np.arange(len(members)), trace[centre].argmax(axis=1)]
        best = best[best[:, 2] @ members[centre, 2] > np.cos(np.deg2rad(20))]
        left = best @ members[centre].T
        angle = np.arctan2(left[:, 0, 1] - left[:, 1, 0], left[:, 0, 0] + left[:, 1, 1])
        middle = np.angle(np.exp(1j * angle).sum())
        errors.append(np.rad2deg(np.abs(np.angle(np.exp(1j * (angle - middle))))))
    return np.concatenate(errors)


def quality(seed: int) -> None:
    """Print processor seconds and quality of both programs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, seed)
        mine, area = classify(folder)
        theirs, last = cpu_seconds(CLASSIFY, folder), f"run_it{ITERATIONS:03d}"
        for what, seconds, files in (
            ("emtomo", mine, ("Emtomo/run_data.star", "Emtomo/run_classes.mrcs")),
            ("RELION", theirs, (f"Relion/{last}_data.star", f"Relion/{last}_classes.mrcs")),
        ):
            found = evaluate(folder, *files)
            real = [one for one in found["classes"] if one["real"] > 0.5 and "best_ncc" in one]
            errors = in_plane_errors(folder / files[0], folder / "truth_particles.star")
            share = sum(one["n"] * one["best_ncc"] for one in real) / sum(one["n"] for one in real)
            print(
                f"{what}: {seconds:.1f} CPU s, purity {found['purity20_weighted']:.3f}, correlation with true "
                f"projections {found['ncc_weighted']:.3f} ({share:.3f} in the {len(real)} classes that are mostly "
                f"particles), {found['n_nonempty']} classes, "
                f"off centre {found['in_plane_median_shift_A']} Å, in-plane angles off by {np.median(errors):.1f}° "
                f"(median of {len(errors)}; {np.mean(errors < 15):.0%} within 15°)",
                flush=True,
            )
        print(f"ratio {theirs / mine:.0f}; junk by rank of classes: area under the curve {area:.3f}")


def speed(particles: int = 10_000, size: int = 64, classes: int = 50, iterations: int = 8) -> None:
    """Print the seconds of iterations of many particles."""
    rng = np.random.default_rng(0)
    y, x = np.indices((size, size)) - size // 2
    views = np.zeros((20, size, size))
    for view in views:
        for _ in range(12):
            place, width = rng.normal(0, 7, 2), rng.uniform(1.5, 4)
            view += rng.uniform(0.5, 1) * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * width**2))
    images = np.empty((particles, size, size), np.float32)
    for image in images:
        angle, middle = rng.uniform(0, 2 * np.pi), size // 2 + rng.normal(0, 1.5, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        ndimage.affine_transform(views[rng.integers(20)], turn, middle - turn @ middle, output=image, order=1)
    images = images / images.std() * 0.35 + rng.standard_normal(images.shape, np.float32)
    ctf = Ctf.of_defocus(rng.uniform(12000, 24000, particles))
    options = ClassificationOptions(number_of_classes=classes, mask_diameter=150.0)
    one = Classification(images, 3.54, options, ctf)
    state = one.begin()
    for _ in range(iterations):
        began, used = time.monotonic(), time.process_time()
        state, metrics = one.step(state)
        print(
            f"iteration {metrics.iteration} to {metrics.compared_to:.1f} Å: {time.monotonic() - began:.1f} s, "
            f"{time.process_time() - used:.1f} CPU s on {threads()} threads",
            flush=True,
        )
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most")


if __name__ == "__main__":
    if sys.argv[1:2] == ["speed"]:
        speed()
    else:
        quality(int(sys.argv[2]) if len(sys.argv) > 2 else 4)
