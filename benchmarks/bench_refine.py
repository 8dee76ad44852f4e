"""Refinement beside RELION 3.1.3 on the same particles, reference and mask, in one run.

``python benchmarks/bench_refine.py [c6] [d7_global] [d7_local] [--seed N] [--particles N] [--no-relion]``

Needs ``../shared/peers`` and ``../shared/data`` (generators, evaluators, maps) and, for the peer, Debian's relion.
Wall time of emtomo is that of the command ``emtomo run PROJECT refine-poses``, its start included.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from timing import machine, row

from emtomo.compute.fourier.filters import lowpass
from emtomo.io import mrc

SHARED = Path(__file__).resolve().parents[2] / "shared"
PEERS, MAPS = SHARED / "peers" / "relion", SHARED / "data" / "maps"
EMTOMO = str(Path(sys.executable).with_name("emtomo"))
D7 = ["--map", str(MAPS / "truth_d7_5A.mrc"), "--diameter", "180"]
# as in the peer's record: particles, generator, pixel size, RELION's and our parameters
SETS = {
    "c6": {
        "n": 100, "seed": 21, "make": ["--box", "32", "--apix", "10", "--noise", "25"], "sym": "C6", "diameter": 280,
        "ini_high": 30, "offset": 5, "local": True, "mask": (40, 0.2), "pixel": 10, "star": "particles_local.star",
    },
    "d7_global": {
        "n": 60, "seed": 31, "make": [*D7, "--box", "32", "--apix", "10", "--noise", "15"], "sym": "D7",
        "diameter": 220, "ini_high": 60, "offset": 5, "local": False, "mask": (40, 0.15), "pixel": 10,
        "star": "particles_global.star",
    },
    "d7_local": {
        "n": 80, "seed": 41, "make": [*D7, "--box", "64", "--apix", "5", "--noise", "10", "--offset", "12"],
        "sym": "D7", "diameter": 200, "ini_high": 30, "offset": 3, "local": True, "mask": (30, 0.2), "pixel": 5,
        "star": "particles_local_asu.star",
    },
}  # fmt: skip


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; return wall seconds, CPU seconds and peak memory (MB) of all its processes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, cpu, over = [0.0], {}, threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            total = 0
            try:
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.Error:
                continue
            for one in tree:
                try:
                    total += one.memory_info().rss
                    times = one.cpu_times()
                    cpu[one.pid] = times.user + times.system
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - start
    over.set()
    watcher.join()
    if code:
        raise SystemExit(f"failed: {' '.join(command)}")
    return wall, sum(cpu.values()), peak[0]


def tool(name: str, *arguments: object, folder: Path) -> None:
    """Run one of the peer scripts."""
    command = [sys.executable, str(PEERS / name), *map(str, arguments)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def prepare(name: str, seed: int, n: int, folder: Path) -> None:
    """Simulate the particles and make the reference and the mask that both programs get."""
    case = SETS[name]
    tool("gen_sta.py", "--out", ".", "--n", n, "--seed", seed, *case["make"], folder=folder)
    if case["local"]:
        command = f"relion_reconstruct --i particles_local.star --o ref.mrc --3d_rot --ctf --sym {case['sym']}"
        subprocess.run(command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if case["sym"] == "D7":
            tool("to_asu.py", "particles_local.star", "particles_local_asu.star", "D7", folder=folder)
    else:
        truth = mrc.read_volume(folder / "truth.mrc")
        mrc.write_volume(folder / "ref.mrc", lowpass(truth, case["pixel"], 60.0), case["pixel"])
    resolution, threshold = case["mask"]
    command = (
        f"relion_mask_create --i ref.mrc --o mask.mrc --lowpass {resolution} --ini_threshold {threshold} "
        f"--extend_inimask 2 --width_soft_edge 4 --angpix {case['pixel']} --j 2"
    )
    subprocess.run(command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def relion(name: str, folder: Path) -> tuple[float, float, float]:
    """Refine with RELION as its record has it."""
    case = SETS[name]
    (folder / "Refine").mkdir()
    order = "--healpix_order 4" if case["local"] else "--healpix_order 2 --firstiter_cc"
    command = (
        "mpirun --allow-run-as-root --oversubscribe -n 3 relion_refine_mpi --o Refine/run --auto_refine "
        f"--split_random_halves --i {case['star']} --ref ref.mrc --ini_high {case['ini_high']} "
        "--dont_combine_weights_via_disc --pool 3 --pad 2 --ctf "
        f"--particle_diameter {case['diameter']} --flatten_solvent --zero_mask --solvent_mask mask.mrc "
        f"--solvent_correct_fsc --oversampling 1 {order} --auto_local_healpix_order 4 --offset_range {case['offset']} "
        f"--offset_step 2 --sym {case['sym']} --low_resol_join_halves 40 --norm --scale --j 1 --random_seed 1"
    )
    return measured(command.split(), folder)


def ours(name: str, folder: Path) -> tuple[float, float, float, float]:
    """Refine with emtomo's command; return wall, CPU, memory and the resolution that it reports."""
    case = SETS[name]

    def run(*arguments: object) -> list[str]:
        return [EMTOMO, "run", "project", *map(str, arguments)]

    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([EMTOMO, "new", "project"], **quiet)
    subprocess.run(run("import-subtomograms", f"files={folder / case['star']}", "--label", "boxes"), **quiet)
    subprocess.run(run("import-volume", f"file={folder / 'ref.mrc'}", "--label", "ref"), **quiet)
    subprocess.run(run("import-volume", f"file={folder / 'mask.mrc'}", "kind=mask", "--label", "mask"), **quiet)
    command = run(
        "refine-poses", "subtomograms=boxes.subtomograms", "reference=ref.volume", "mask=mask.mask",
        f"symmetry={case['sym']}", f"initial_lowpass={case['ini_high']}", f"mask_diameter={case['diameter']}",
        f"offset_range={case['offset']}", f"angular_step={1.8 if case['local'] else 7.5}", "--label", "refine",
    )  # fmt: skip
    wall, cpu, memory = measured(command, folder)
    done = next((folder / "project" / "Runs").glob("*_RefinePoses")) / "extra"
    subprocess.run(run("export-particles-star", "subtomograms=refine.subtomograms", f"file={folder / 'ours.star'}"),
                   **quiet)  # fmt: skip
    shutil.copy(done / "average.mrc", folder / "ours.mrc")
    return wall, cpu, memory, float(np.loadtxt(done / "metrics.csv", delimiter=",", skiprows=1, ndmin=2)[-1, 1])


def quality(name: str, star: str, volume: str, folder: Path) -> dict[str, float]:
    """Return the errors and the resolution against the truth, by the peer's evaluators."""
    symmetry = SETS[name]["sym"]
    tool("evaluate_poses.py", "--est", star, "--truth", "particles_truth.star", "--sym", symmetry, "--json", "p.json",
         folder=folder)  # fmt: skip
    tool("evaluate_map.py", "--map", volume, "--truth", "truth.mrc", "--align", "local", "--sym", symmetry, "--json",
         "m.json", folder=folder)  # fmt: skip
    return {**json.loads((folder / "p.json").read_text()), **json.loads((folder / "m.json").read_text())}


def compare(name: str, seed: int | None, particles: int | None, folder: Path, *, peer: bool) -> None:
    """Print one set's table."""
    n, seed = particles or SETS[name]["n"], seed or SETS[name]["seed"]
    prepare(name, seed, n, folder)
    wall, cpu, memory, said = ours(name, folder)
    found = {"emtomo": (wall, cpu, memory, quality(name, "ours.star", "ours.mrc", folder))}
    if peer:
        taken = relion(name, folder)
        found["RELION"] = (*taken, quality(name, "Refine/run_data.star", "Refine/run_class001.mrc", folder))
    print(f"\n### {name}: {n} particles, seed {seed}\n")
    row("", " | ".join(found))
    print("|---" * (len(found) + 2) + "|")
    for what, tell in (
        ("wall s", lambda r: f"{r[0]:.1f}"),
        ("CPU s", lambda r: f"{r[1]:.1f}"),
        ("peak memory MB", lambda r: f"{r[2]:.0f}"),
        ("median angular error °", lambda r: f"{r[3]['median_deg']:.2f}"),
        ("within 10°", lambda r: f"{r[3]['frac_lt10']:.2f}"),
        ("median shift error Å", lambda r: f"{r[3]['median_shift_A']:.2f}"),
        ("FSC to the truth 0.5 at Å", lambda r: f"{r[3]['fsc05_A']:.1f}"),
    ):
        row(what, " | ".join(tell(r) for r in found.values()))
    print(f"\nemtomo reports {said:.1f} Å, {said / found['emtomo'][3]['fsc05_A']:.2f} of that against the truth.")
    if peer:
        print(f"RELION / emtomo, wall: {found['RELION'][0] / wall:.0f} ×, CPU {found['RELION'][1] / cpu:.0f} ×")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=["c6"])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--particles", type=int)
    parser.add_argument("--no-relion", action="store_true")
    parser.add_argument("--keep")
    given = parser.parse_args()
    if not PEERS.exists() or shutil.which("relion_refine_mpi") is None:
        print("skipped: ../shared/peers or RELION (apt install relion) is not here")
        return
    print(machine())
    for name in given.sets:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(given.keep or folder) / name
            place.mkdir(parents=True)
            compare(name, given.seed, given.particles, place, peer=not given.no_relion)


if __name__ == "__main__":
    main()
