"""Initial models beside RELION's on simulated particles, and of real β-galactosidase through 2D classes.

``python benchmarks/bench_initial_model.py simulated [--seeds 10] [--iterations 4] [--relion]`` simulates six
micrographs with ``../shared/peers/relion``, cuts 319 proteasomes 8 Å off centre with relion_preprocess, grows a model
without symmetry from every seed, symmetrizes it (D7) and compares it with the truth, in either hand; RELION 3.1 does
the same with ``relion_refine --sgd --denovo_3dref`` on the same particles. ``... bgal [--seeds 2]`` classifies the
2,374 picks of ``../shared/data/bgal`` in 2D, selects classes by the automatic rule, grows models from the particles
of these, finds D2 among other groups, goes on with it, and compares with the atomic model's map. One thread;
processor seconds.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

sys.path.insert(0, str(Path(__file__).parent))
from bench_classify_2d import PEERS, cpu_seconds, simulate

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.classification.selection import (
    SelectClassesOptions,
    choose_classes,
    move_members,
    recenter_averages,
)
from emtomo.compute.device import use_threads
from emtomo.compute.fourier.filters import fit_to_box
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.kernels.newton_cpu import rotate
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.shrinking import ShrunkParticles
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.refinement.model_agreement import mirror
from emtomo.compute.refinement.stochastic_gradient import InitialModelOptions, StochasticModel
from emtomo.compute.refinement.symmetric_model import impose_symmetry
from emtomo.compute.symmetrisation import align_symmetry, find_axes, symmetrise
from emtomo.io import mrc, star
from emtomo.objects.image_particles import StackedParticles, image_source

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESOLUTION = 25.0  # Å, of the simulated models, both programs'
SGD = (
    "relion_refine --o Relion/run --sgd_ini_iter 15 --sgd_inbetween_iter 20 --sgd_fin_iter 5 --sgd_write_iter 40 "
    f"--sgd_ini_resol 40 --sgd_fin_resol {RESOLUTION:g} --sgd_ini_subset 50 --sgd_fin_subset 150 --sgd --denovo_3dref "
    "--i Extract/selected.star --ctf --K 1 --sym C1 --flatten_solvent --zero_mask --dont_combine_weights_via_disc "
    "--preread_images --pool 3 --pad 1 --skip_gridding --particle_diameter 200 --oversampling 1 --healpix_order 1 "
    "--offset_range 4 --offset_step 2 --j 1 --random_seed 1"
)
D7_SETTINGS = [rotate(np.eye(3), np.array([0.0, 0.0, k * np.pi / 7])) for k in (0, 1)]
D2_SETTINGS = [m * np.linalg.det(m) for m in (np.eye(3)[list(p)] for p in itertools.permutations(range(3)))]


def compare(volume: np.ndarray, truth: np.ndarray, settings: list[np.ndarray], last: int) -> tuple[np.ndarray, bool]:
    """Return the FSC of a map in standard axes with the truth, and whether its mirror image fits better."""

    def curve(hand: np.ndarray, turn: np.ndarray, move: np.ndarray) -> np.ndarray:
        return fourier_shell_correlation(rotate_boxes(hand[None], turn[None], move[None])[0], truth)

    hands = [volume, np.ascontiguousarray(mirror(volume))]
    starts = [(k, turn) for k in (0, 1) for turn in settings]
    k, turn = max(starts, key=lambda one: curve(hands[one[0]], one[1], np.zeros(3))[1 : last + 1].mean())

    def found(p: np.ndarray) -> np.ndarray:
        return curve(hands[k], rotate(turn, np.deg2rad(p[:3])), p[3:])

    simplex = np.vstack([np.zeros(6), np.diag([3.0] * 3 + [0.5] * 3)])
    best = minimize(
        lambda p: -found(p)[1 : last + 1].mean(),
        np.zeros(6),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 150},
    )
    return found(best.x), k == 1


def resolution(curve: np.ndarray, length: float) -> float:
    """Return in Å where an FSC falls below one half, for boxes of `length` Å."""
    below = np.flatnonzero(curve[1:] < 0.5)
    if not len(below) or below[0] == 0:
        return length / (len(curve) - 1) if not len(below) else np.inf
    k = int(below[0])  # the last shell above
    return length / (k + (curve[k] - 0.5) / (curve[k] - curve[k + 1]))


def no_rotations(shift: np.ndarray) -> Poses:
    """Return poses that know shifts (p, 2; voxels) alone."""
    count = len(shift)
    return Poses(np.tile(np.eye(3), (count, 1, 1)), np.column_stack([shift, np.zeros(count)]), np.zeros(count, int))


def select_near(folder: Path) -> None:
    """Write the particles that are within 40 Å of a true one."""
    blocks = star.read_blocks(folder / "Extract" / "particles.star")
    truth = star.read_blocks(folder / "truth_particles.star")["particles"]
    table = blocks["particles"]
    columns = ["rlnCoordinateX", "rlnCoordinateY"]
    there, names = truth[columns].to_numpy(float), truth["rlnMicrographName"].to_numpy(str)
    mine, homes = table[columns].to_numpy(float), table["rlnMicrographName"].to_numpy(str)
    apart = np.where(homes[:, None] == names, cdist(mine, there), np.inf).min(axis=1)
    star.write_blocks(folder / "Extract" / "selected.star", {**blocks, "particles": table[apart < 8]})


def bench_simulated(seeds: int, iterations: int, relion: bool) -> None:
    """Grow models of simulated proteasomes."""
    os.environ["PYTHONPATH"] = str(PEERS)  # emtomo keeps folders of scripts from the path of Python
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, 4)
        select_near(folder)
        blocks = star.read_blocks(folder / "Extract" / "selected.star")
        table, pixel = blocks["particles"], float(blocks["optics"]["rlnImagePixelSize"][0])
        index, files = zip(*(str(one).split("@") for one in table["rlnImageName"]), strict=True)
        u, v, angle = (table[f"rlnDefocus{c}"].to_numpy(float) for c in ("U", "V", "Angle"))
        places = np.array(index, int) - 1
        n = 40
        source = image_source(
            StackedParticles([str(folder / f) for f in files], places, n, pixel, 1, Ctf(u, v, angle), False)
        )
        truth = mrc.read_volume(folder / "truth.mrc")
        truth = fit_to_box(truth, 5.0, n, pixel)
        last = int(n * pixel / RESOLUTION)
        right, likelihoods = [], []
        for seed in range(1, seeds + 1):
            began = time.process_time()
            model = StochasticModel(
                source,
                no_rotations(np.zeros((len(table), 2))),
                InitialModelOptions(
                    batch_size=60,
                    iterations=iterations,
                    filter_to=RESOLUTION,
                    mask_diameter=200.0,
                    non_negative=True,
                    seed=seed,
                ),
            )
            volume = model.run()
            used = time.process_time() - began
            curve, _ = compare(symmetrise(align_symmetry(volume, "D7")[0], "D7"), truth, D7_SETTINGS, last)
            likelihoods.append(model.likelihood)
            right.append(resolution(curve, n * pixel) <= RESOLUTION + 3)
            print(
                f"emtomo, seed {seed}: {used:.1f} CPU s, FSC 0.5 at {resolution(curve, n * pixel):.1f} Å, mean FSC "
                f"{curve[1 : last + 1].mean():.3f}, log likelihood {model.likelihood:.2f}",
                flush=True,
            )
        likeliest = "right" if right[int(np.argmax(likelihoods))] else "wrong"
        print(f"{sum(right)} of {seeds} seeds right; the likeliest is {likeliest}", flush=True)
        if relion:
            used = cpu_seconds(SGD, folder)
            volume = mrc.read_volume(max((folder / "Relion").glob("run_it*_class001.mrc")))
            curve, _ = compare(symmetrise(align_symmetry(volume, "D7")[0], "D7"), truth, D7_SETTINGS, last)
            print(
                f"RELION: {used:.1f} CPU s, FSC 0.5 at {resolution(curve, n * pixel):.1f} Å, mean FSC "
                f"{curve[1 : last + 1].mean():.3f}",
                flush=True,
            )


def bench_bgal(seeds: int, classes: int) -> None:
    """Go from picks of β-galactosidase through 2D classes to a model with D2."""
    stack, size, n = DATA / "bgal" / "relion_bgal_particles.mrcs", 3.54, 64
    table = star.read_blocks(stack.with_suffix(".star"))["particles"]
    u, v, angle = (table[f"rlnDefocus{c}"].to_numpy(float) for c in ("U", "V", "Angle"))
    ctf = Ctf(u, v, angle, cs=1.4, voltage=200.0)
    images = np.asarray(mrc.open_volume(stack), np.float32)
    group = np.unique(table["rlnMicrographName"].to_numpy(str), return_inverse=True)[1]
    began = time.process_time()
    options = ClassificationOptions(number_of_classes=classes, mask_diameter=200.0)
    result = Classification(images, size, options, ctf, group).run()
    keep = choose_classes(
        SelectClassesOptions(automatic=True), result.class_gain, result.members, result.resolution, None,
        result.explained,
    )  # fmt: skip
    _, centre = recenter_averages(result.averages)
    shift = result.shift + move_members(centre[result.class_index], result.psi)
    chosen = np.flatnonzero(keep[result.class_index])
    print(
        f"{int(keep.sum())} of {classes} classes with {len(chosen)} of {len(images)} particles, "
        f"{time.process_time() - began:.1f} CPU s",
        flush=True,
    )
    stacked = StackedParticles([str(stack)] * len(chosen), chosen, n, size, 1, ctf[chosen], False)
    source = ShrunkParticles(image_source(stacked), 2)
    grown = []
    for seed in range(1, seeds + 1):
        began = time.process_time()
        model = StochasticModel(
            source,
            no_rotations(shift[chosen] / 2),
            InitialModelOptions(
                batch_size=60, iterations=4, filter_to=20.0, mask_diameter=200.0, non_negative=True, symmetry="D2",
                seed=seed,
            ),
        )  # fmt: skip
        model.run()
        grown.append(model)
        scores = {name: find_axes(model.half.reference, name).score for name in ("C2", "C3", "C4", "D2", "D3", "D4")}
        words = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
        print(
            f"seed {seed}: {time.process_time() - began:.1f} CPU s, log likelihood {model.likelihood:.2f}; "
            f"scores {words}",
            flush=True,
        )
    began = time.process_time()
    more, _ = impose_symmetry(max(grown, key=lambda one: one.likelihood))
    more.run()
    edge, pixel = n // 2, 2 * size
    atoms = fit_to_box(mrc.read_volume(DATA / "maps" / "1f4a.mrc"), 10.0, edge, pixel)
    atoms = align_symmetry(atoms, "D2")[0]
    curve, mirrored = compare(more.half.reference, atoms, D2_SETTINGS, int(edge * pixel / 20))
    shells = ", ".join(f"{edge * pixel / k:.1f} Å {curve[k]:.2f}" for k in range(6, 14))
    hand = ", of the mirror image" if mirrored else ""
    print(f"with D2 {time.process_time() - began:.1f} CPU s; FSC with 1f4a{hand}: {shells}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("simulated", "bgal"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=4, help="of the simulated models, each of 10 batches of 60")
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--relion", action="store_true")
    given = parser.parse_args()
    use_threads(1)
    if given.what == "simulated":
        bench_simulated(given.seeds, given.iterations, given.relion)
    else:
        bench_bgal(given.seeds, given.classes)


if __name__ == "__main__":
    main()
