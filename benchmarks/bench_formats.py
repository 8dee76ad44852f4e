"""A STAR file of a million particles beside starfile, and a million poses through every program's angles."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from timing import machine, row

N = 1_000_000
OURS = """
import resource, sys, time
from emtomo.io.{module} import {name}
t = time.perf_counter()
found = {name}(sys.argv[1])
print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
STARFILE = """
import resource, sys, time
import starfile
t = time.perf_counter()
found = starfile.read(sys.argv[1])
print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
POSES = """
import json, sys, time
import numpy as np
from scipy.spatial.transform import Rotation
from emtomo.io import poses
matrices = Rotation.random(int(sys.argv[1]), random_state=0).as_matrix()
out = {}
for name in ("relion", "dynamo", "motl"):
    t = time.perf_counter()
    angles = getattr(poses, f"to_{name}")(matrices)
    middle = time.perf_counter()
    getattr(poses, f"from_{name}")(angles)
    out[name] = (middle - t, time.perf_counter() - middle)
print(json.dumps(out))
"""


def make_star(path: Path, n: int) -> None:
    """Write a RELION 4 file of `n` particles with 20 columns."""
    rng = np.random.default_rng(0)
    names = ["TomoName", "ImageName", *(f"Coordinate{a}" for a in "XYZ"), "AngleRot", "AngleTilt", "AnglePsi",
             *(f"Origin{a}Angst" for a in "XYZ"), "RandomSubset", "ClassNumber", "OpticsGroup", "NormCorrection",
             "LogLikeliContribution", "MaxValueProbDistribution", "NrOfSignificantSamples", "GroupNumber",
             "TomoParticleId"]  # fmt: skip
    data: dict[str, object] = {name: np.round(rng.uniform(-180, 180, n), 6) for name in names}
    data["TomoName"] = [f"TS_{i // 2000:03d}" for i in range(n)]
    data["ImageName"] = [f"Subtomograms/TS_{i // 2000:03d}/{i}_data.mrc" for i in range(n)]
    for name in ("RandomSubset", "ClassNumber", "OpticsGroup", "GroupNumber"):
        data[name] = np.ones(n, int)
    data["TomoParticleId"] = np.arange(n)
    with path.open("w") as stream:
        stream.write("data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n1 2.0\n\n\n")
        stream.write("data_particles\n\nloop_\n")
        stream.writelines(f"_rln{name} #{k}\n" for k, name in enumerate(names, 1))
        pd.DataFrame(data).to_csv(stream, sep="\t", header=False, index=False, float_format="%.6f")


def run(code: str, *arguments: object) -> str:
    """Run code in an interpreter of its own, so that its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout


def main() -> None:
    """Print seconds, gigabytes and ratios; three runs in turn, medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=N)
    n = parser.parse_args().particles
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.star"
        make_star(path, n)
        codes = {
            "starfile": STARFILE,
            "blocks": OURS.format(module="star", name="read_blocks"),
            "particles": OURS.format(module="relion", name="read_relion"),
        }
        rows = {
            name: np.array([[float(v) for v in run(code, path).split()] for _ in range(3)])
            for name, code in codes.items()
        }
    best = {name: np.median(values, axis=0) for name, values in rows.items()}
    for name, (seconds, memory) in best.items():
        row(
            f"STAR, {n:,} particles, 20 columns: {name}",
            f"{seconds:.1f} s, {memory:.2f} GB peak, {seconds / best['starfile'][0]:.2f} of starfile's time",
        )
    for name, (there, back) in json.loads(run(POSES, n)).items():
        row(f"{n:,} poses to {name} / from {name}", f"{there:.2f} s / {back:.2f} s")


if __name__ == "__main__":
    main()
