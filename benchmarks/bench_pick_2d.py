"""Picking on simulated micrographs beside relion_autopick: F1, average precision, distance, processor seconds.

Three seeds of micrographs with 60 particles each; RELION 3.1 gets its best threshold by the truth, emtomo its own.
Both have the same references (noise-free projections 30 degrees apart) and one thread.

    python benchmarks/bench_pick_2d.py [--micrographs 6] [--seeds 101 102 103] [--no-relion]
"""

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from emtomo.compute.blobs import LogOptions
from emtomo.compute.device import use_threads
from emtomo.compute.fourier.projections import Projector
from emtomo.compute.picking.choice import Choice, blob_distance, choose_blobs, choose_templates
from emtomo.compute.picking.options import BlobOptions, TemplateChoice, TemplateOptions
from emtomo.compute.picking.preparation import search_pixel_size
from emtomo.compute.picking.references import rotate_templates, view_rotations
from emtomo.compute.picking.search import search_blobs, search_templates
from emtomo.io import mrc
from emtomo.io.star import read_blocks
from emtomo.synthetic.micrographs import MicrographOptions, MicrographSimulator

PIXEL = 3.5
Picks = list[tuple[np.ndarray, np.ndarray]]  # x, y in Å and scores, of each micrograph


def compare(found: Picks, truth: list[np.ndarray], radius: float, least: float) -> tuple[float, float, float, float]:
    """Return F1, precision, recall and median distance in Å of the picks with at least a score."""
    pairs, picked, distances = 0, 0, []
    for (places, scores), centres in zip(found, truth, strict=True):
        kept = places[scores >= least]
        picked += len(kept)
        if len(kept) and len(centres):
            apart = cdist(kept, centres)
            rows, columns = linear_sum_assignment(np.where(apart <= radius, apart, 1e6))
            near = apart[rows, columns][apart[rows, columns] <= radius]
            pairs += len(near)
            distances.extend(near)
    total = sum(map(len, truth))
    precision, recall = pairs / max(picked, 1), pairs / max(total, 1)
    f1 = 2 * pairs / max(picked + total, 1)
    return f1, precision, recall, float(np.median(distances)) if distances else np.inf


def average_precision(found: Picks, truth: list[np.ndarray], radius: float) -> float:
    """Return the mean, over all particles, of the precision down to the pick that finds each; 0 where none does.

    Picks are taken from the highest score of all micrographs downwards, every particle is found once.
    """
    scores = np.concatenate([s for _, s in found])
    which = np.repeat(np.arange(len(found)), [len(s) for _, s in found])
    places = np.concatenate([p for p, _ in found])
    free = [np.ones(len(centres), bool) for centres in truth]
    hits = np.zeros(len(scores), bool)
    order = np.argsort(-scores, kind="stable")
    for rank, k in enumerate(order):
        apart = np.where(free[which[k]], np.hypot(*(truth[which[k]] - places[k]).T), np.inf)
        if len(apart) and apart.min() <= radius:
            free[which[k]][apart.argmin()] = False
            hits[rank] = True
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum()) / max(sum(map(len, truth)), 1)


def report(
    name: str, found: Picks, truth: list[np.ndarray], radius: float, seconds: float, least: float = -np.inf
) -> None:
    """Print how good picks are from a score on, at their best threshold, and over all thresholds."""
    scores = np.concatenate([s for _, s in found])
    top = np.sort(scores)[::-1][: 3 * sum(map(len, truth))]  # fainter ones are noise: no curve needs them
    cuts = np.unique(np.quantile(top, np.linspace(0, 0.995, 80))) if len(top) else np.array([0.0])
    curve = [compare(found, truth, radius, float(cut)) for cut in cuts]
    average = average_precision(found, truth, radius)
    given, best = compare(found, truth, radius, least), max(curve)
    print(
        f"  {name:34s} F1 {given[0]:.3f} (best threshold {best[0]:.3f})  AP {average:.3f}  "
        f"distance {given[3]:4.1f} Å  {seconds:6.1f} CPU s",
        flush=True,
    )


def places_of(choice: Choice) -> Picks:
    """Return x, y in Å and scores of peaks."""
    return [(p.positions[:, ::-1] * PIXEL, p.scores) for p in choice.peaks]


def run_relion(folder: Path, arguments: str) -> float:
    """Run relion_autopick and return its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = f"relion_autopick --i micrographs_ctf.star {arguments}"
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def read_relion(folder: Path, name: str, number: int) -> Picks:
    """Return RELION's picks of all micrographs."""
    found = []
    for k in range(number):
        path = next((folder / name).rglob(f"mic{k}_{name}.star"), None)
        table = next((b for b in read_blocks(path).values() if "rlnCoordinateX" in b), None) if path else None
        if table is None:
            found.append((np.zeros((0, 2)), np.zeros(0)))
            continue
        places = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float) * PIXEL
        found.append((places, table["rlnAutopickFigureOfMerit"].to_numpy(float)))
    return found


def write_relion(folder: Path, made: list, references: np.ndarray) -> None:
    """Write micrographs, their CTF and references as RELION reads them."""
    rows = []
    for k, one in enumerate(made):
        mrc.write_volume(folder / f"mic{k}.mrc", one.image[None], PIXEL)
        rows.append(f"mic{k}.mrc 1 {one.ctf.defocus_u:.2f} {one.ctf.defocus_v:.2f} {one.ctf.angle:.2f} mic{k}.mrc")
    columns = ["MicrographName", "OpticsGroup", "DefocusU", "DefocusV", "DefocusAngle", "CtfImage"]
    optics = ["OpticsGroupName", "OpticsGroup", "Voltage", "SphericalAberration", "AmplitudeContrast"]
    optics += ["MicrographPixelSize"]
    text = "# version 30001\n\ndata_optics\n\nloop_\n" + "".join(f"_rln{c}\n" for c in optics)
    text += f"og1 1 300.0 2.7 0.1 {PIXEL}\n\n# version 30001\n\ndata_micrographs\n\nloop_\n"
    text += "".join(f"_rln{c}\n" for c in columns) + "\n".join(rows) + "\n"
    (folder / "micrographs_ctf.star").write_text(text)
    mrc.write_volume(folder / "refs.mrcs", references, PIXEL)
    names = "\n".join(f"{k + 1:06d}@refs.mrcs" for k in range(len(references)))
    (folder / "refs.star").write_text(f"data_\n\nloop_\n_rlnReferenceImage\n{names}\n")


def bench(seed: int, number: int, relion: bool) -> None:
    """Pick by blobs and templates with both programs on the micrographs of one seed."""
    options = MicrographOptions(size_x=1024, size_y=1024, pixel_size=PIXEL, per_micrograph=60, snr=0.1, seed=seed)
    simulator = MicrographSimulator(options)
    made = [simulator.make(k) for k in range(number)]
    truth = [one.positions for one in made]
    diameter, radius = simulator.diameter, simulator.diameter / 4
    print(f"seed {seed}: {number} micrographs, {sum(map(len, truth))} particles of {diameter:.0f} Å", flush=True)
    log = LogOptions(min_diameter=round(0.65 * diameter), max_diameter=round(diameter))
    references = Projector(simulator.density).images(view_rotations(30, options.shape))

    everything = TemplateChoice(threshold=-np.inf)
    start = time.process_time()
    found = [search_blobs(one.image, PIXEL, False, log, BlobOptions())[0].peaks for one in made]
    choice = choose_blobs(found, PIXEL, log)
    seconds = time.process_time() - start
    peaks = choose_templates(found, PIXEL, blob_distance(log), everything)
    report("emtomo blobs, default", places_of(peaks), truth, radius, seconds, choice.threshold)

    how = TemplateOptions()
    start = time.process_time()
    pixel = search_pixel_size(made[0].image.shape, PIXEL, how.lowpass, 0)
    templates = rotate_templates(references, PIXEL, pixel, how)
    distance = 0.6 * templates.diameter
    for name, with_ctf in (("emtomo templates, default", True), ("emtomo templates, no CTF", False)):
        ctfs = [one.ctf if with_ctf else None for one in made]
        found = [
            search_templates(one.image, PIXEL, False, templates, how, ctf).peaks
            for one, ctf in zip(made, ctfs, strict=True)
        ]
        choice = choose_templates(found, PIXEL, distance, TemplateChoice())
        seconds = time.process_time() - start
        peaks = choose_templates(found, PIXEL, distance, everything)
        report(name, places_of(peaks), truth, radius, seconds, choice.threshold)
        start = time.process_time()
    if not relion:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_relion(folder, made, references / np.float32(simulator.noise))
        for threshold in (0, 3):
            label = f"log{threshold}"
            seconds = run_relion(
                folder,
                f"--odir {label}/ --pickname {label} --LoG --LoG_diam_min {log.min_diameter} --LoG_diam_max "
                f"{log.max_diameter} --shrink 0 --lowpass 20 --LoG_adjust_threshold {threshold}",
            )
            report(f"RELION LoG, threshold {threshold}", read_relion(folder, label, number), truth, radius, seconds)
        seconds = run_relion(
            folder,
            f"--odir tpl/ --pickname tpl --ref refs.star --angpix_ref {PIXEL} --invert --ctf --ang 5 --shrink 0 "
            f"--lowpass 20 --threshold 0.05 --min_distance {distance:.0f} --max_stddev_noise -1 "
            f"--particle_diameter {templates.diameter:.0f}",
        )
        report("RELION templates, threshold 0.05", read_relion(folder, "tpl", number), truth, radius, seconds)


def main() -> None:
    """Run all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--micrographs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--no-relion", action="store_true")
    given = parser.parse_args()
    use_threads(1)
    for seed in given.seeds:
        bench(seed, given.micrographs, not given.no_relion)


if __name__ == "__main__":
    main()
