"""match-template beside pyTME: time, memory, average precision, errors, on the same tomograms.

    python benchmarks/bench_matching.py [--seeds 1 2] [--snr 0.004] [--molecules 4v4r 3j9i 6qzp] [--pytme VENV]

The tomograms (100×200×200, 20 copies, 16 decoys) are made by the generator in ../shared/peers; pyTME 0.3.6 runs from a
virtual environment of its own, with two processes, at 15° (1,992 rotations); without one, only emtomo is measured.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from timing import machine, row

SHARED = Path(__file__).resolve().parents[2] / "shared"
PEER = SHARED / "peers" / "template_matching"
MAPS = SHARED / "data" / "maps"
MOLECULES = ("4v4r", "3j9i", "6qzp")
OURS = """
import json, sys, time, numpy as np, mrcfile
start = time.perf_counter()
from emtomo.compute.matching.match import Matcher, select_candidates, cut_for
from emtomo.compute.matching.model import MaskedReference
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.weighting import wedge_transfer
folder, exhaustive, step = sys.argv[1], sys.argv[2] == "1", float(sys.argv[3])
read = lambda name: mrcfile.read(f"{folder}/{name}.mrc").astype("f4")
m = Matcher(read("tomo"), 10.0, True, MaskedReference.of(read("template"), read("mask")), wedge_transfer(-60, 60),
            ScanOptions(exhaustive=exhaustive, angular_step=step))
scan = time.perf_counter()
found = m.locate()
best = found.places.take(select_candidates(found.places, found.cells, 13.0, PeakOptions(false_alarms=0))[:60])
rows = np.column_stack([best.positions[:, ::-1], best.scores, best.rotations.reshape(-1, 9)])
header = "x,y,z,score," + ",".join(f"r{i}{j}" for i in range(3) for j in range(3))
np.savetxt(sys.argv[4], rows, delimiter=",", header=header, comments="", fmt="%.6f")
kept = int((best.scores > cut_for(1.0, found.cells)).sum())
print(json.dumps({"rotations": len(m.rotations), "kept": kept, "locate_s": time.perf_counter() - scan}))
"""


def tomogram(out: Path, molecule: str, snr: float, seed: int) -> Path:
    """Make a tomogram once and return its folder."""
    folder = out / f"{molecule}_{snr:g}_{seed}"
    if not (folder / "truth.csv").exists():
        others = [str(MAPS / f"{name}.mrc") for name in MOLECULES if name != molecule]
        subprocess.run(
            [sys.executable, str(PEER / "make_tomo.py"), "--template", str(MAPS / f"{molecule}.mrc"), "--decoy",
             *others, "--n-decoy", "8", "--size", "100", "200", "200", "-n", "20", "--snr", str(snr), "--subvoxel",
             "--seed", str(seed), "--out", str(folder)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return folder


def measured(command: list[str], out: Path, env: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Run a command; return wall seconds, peak memory of its processes in MB, and what it printed."""
    log = out / "log.txt"
    done = subprocess.run(
        [sys.executable, str(PEER / "measure.py"), "--interval", "0.5", "--log", str(log), "--", *command],
        check=True,
        capture_output=True,
        text=True,
        env=env,
    )
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if result["rc"]:
        raise SystemExit(log.read_text(encoding="utf8"))
    return result["wall_s"], result["peak_pss_MB"], log.read_text(encoding="utf8")


def judged(folder: Path, picks: Path) -> dict[str, float]:
    """Return the evaluator's figures, and errors of the true picks by median."""
    done = subprocess.run(
        [sys.executable, str(PEER / "eval_picks.py"), "--truth", str(folder / "truth.csv"), "--picks", str(picks)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--snr", type=float, default=0.004)
    parser.add_argument("--molecules", nargs="+", default=list(MOLECULES))
    parser.add_argument("--pytme", type=Path, help="virtual environment with pytme==0.3.6 and psutil")
    parser.add_argument("--exhaustive", action="store_true", help="the exhaustive search too")
    parser.add_argument("--out", type=Path, default=Path("/tmp/emtomo_bench_matching"))
    arguments = parser.parse_args()
    if not PEER.exists():
        raise SystemExit(f"{PEER} is not here: the generator and the evaluator are missing.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(machine())
    table: dict[str, list[list[float]]] = {}
    for molecule in arguments.molecules:
        for seed in arguments.seeds:
            folder = tomogram(arguments.out, molecule, arguments.snr, seed)
            for name, exhaustive, step in (("coarse to fine", "0", "15"), ("exhaustive", "1", "15")):
                if exhaustive == "1" and not arguments.exhaustive:
                    continue
                picks = folder / f"ours_{exhaustive}.csv"
                command = [sys.executable, "-c", OURS, str(folder), exhaustive, step, str(picks)]
                wall, memory, log = measured(command, arguments.out)
                about = json.loads(log.strip().splitlines()[-1])
                score = judged(folder, picks)
                note(table, f"emtomo, {name}", molecule, seed, wall, memory, score, about)
            if arguments.pytme:
                note(table, "pyTME", molecule, seed, *pytme(folder, arguments.pytme, arguments.out), {})
    for name, rows in table.items():
        mean = np.mean(rows, axis=0)
        row(f"**{name}: mean of {len(rows)}**", f"{mean[0]:.1f} s, {mean[1]:.0f} MB, AP {mean[2]:.3f}")


def note(
    table: dict[str, list[list[float]]],
    name: str,
    molecule: str,
    seed: int,
    wall: float,
    memory: float,
    score: dict[str, float],
    about: dict[str, float],
) -> None:
    """Keep a run for the means and print its row."""
    table.setdefault(name, []).append([wall, memory, score["average_precision"]])
    errors = f"{score.get('pos_err_vox_mean') or 0:.2f} voxels (mean), {score.get('ang_err_deg_median') or 0:.1f}°"
    more = "".join(f", {key} {value:.4g}" for key, value in about.items())
    row(
        f"{name}, {molecule}, seed {seed}",
        f"{wall:.1f} s, {memory:.0f} MB, AP {score['average_precision']:.3f}",
        errors + more,
    )


def pytme(folder: Path, venv: Path, out: Path) -> tuple[float, float, dict[str, float]]:
    """Run pyTME as ../shared/peers does and judge its 60 best picks."""
    env = {**os.environ, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
    command = [
        str(venv / "bin" / "match_template"), "-m", str(folder / "tomo.mrc"), "-i", str(folder / "template.mrc"),
        "-I", str(folder / "mask.mrc"), "-o", str(folder / "pytme.pickle"), "-a", "15", "-n", "2",
        "--tilt-angles", "60,60", "--wedge-axes", "2,0", "--backend", "numpyfftw",
    ]  # fmt: skip
    wall, memory, _ = measured(command, out, env)
    subprocess.run(
        [str(venv / "bin" / "postprocess"), "--input-file", str(folder / "pytme.pickle"), "--output-prefix",
         str(folder / "pytme"), "--output-format", "relion4", "--num-peaks", "60", "--min-distance", "13"],
        check=True, env=env, capture_output=True,
    )  # fmt: skip
    return wall, memory, judged(folder, folder / "pytme.star")


if __name__ == "__main__":
    main()
