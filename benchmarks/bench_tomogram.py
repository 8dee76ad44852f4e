"""reconstruct_tomogram beside ASTRA's CPU back-projection and a bare loop of interpolations, in CPU seconds.

    python benchmarks/bench_tomogram.py [--size 512] [--depth 160] [--tilts 41] [--astra PYTHON]

PYTHON is the interpreter of an environment with astra-toolbox; without it only emtomo is measured. ASTRA's FBP
(ram-lak) runs slice by slice, as its users do. The images are noise; what is counted is processor time of all threads.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit, prange
from timing import machine, processor_seconds, row

from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import ReconstructTomogramOptions

PIXEL = 5.0
ASTRA = """
import json, sys, time, numpy as np, astra
images, depth = np.load(sys.argv[1]), int(sys.argv[2])
angles, n, lines = np.deg2rad(np.linspace(-60, 60, len(images))), images.shape[2], images.shape[1]
beams, voxels = astra.create_proj_geom("parallel", 1.0, n, angles), astra.create_vol_geom(depth, n)
projector = astra.create_projector("linear", beams, voxels)
start, out = time.process_time(), np.empty((depth, lines, n), np.float32)
for y in range(lines):
    data = astra.data2d.create("-sino", beams, np.ascontiguousarray(images[:, y]))
    result = astra.data2d.create("-vol", voxels, 0)
    task = astra.astra_dict("FBP") | {"ProjectorId": projector, "ProjectionDataId": data,
                                      "ReconstructionDataId": result, "option": {"FilterType": "ram-lak"}}
    algorithm = astra.algorithm.create(task)
    astra.algorithm.run(algorithm)
    out[:, y] = astra.data2d.get(result)
    astra.algorithm.delete(algorithm)
    astra.data2d.delete([data, result])
print(json.dumps(time.process_time() - start))
"""


@njit(parallel=True, fastmath=True)
def interpolate_lines(images, out, columns):
    """Add two columns of an image to every line of a volume: the arithmetic of back-projection without its geometry."""
    for z in prange(out.shape[0]):
        for x in range(out.shape[1]):
            line = out[z, x]
            for t in range(images.shape[0]):
                i = (x + t + z) % columns
                left, right = images[t, i], images[t, i + 1]
                for y in range(out.shape[2]):
                    line[y] += np.float32(0.3) * left[y] + np.float32(0.7) * right[y]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--depth", type=int, default=160)
    parser.add_argument("--tilts", type=int, default=41)
    parser.add_argument("--astra", default="")
    a = parser.parse_args()
    n, angles = a.size, np.linspace(-60, 60, a.tilts)
    images = np.random.default_rng(1).standard_normal((a.tilts, n, n)).astype(np.float32)
    columns = {"angle": angles, "dose": np.arange(a.tilts) * 3.0, "defocus_u": np.full(a.tilts, 3e4)}
    geometry = tilt_geometry(columns, pixel_size=PIXEL)
    shape, floor = (a.depth, n, n), np.zeros((a.depth, n, n), np.float32)
    unit = a.tilts * float(np.prod(shape))
    print(machine())
    row(f"{a.tilts} tilts of {n}², tomogram {a.depth}×{n}×{n}", "CPU s", "ns a voxel and tilt; ratio to plain")

    def reconstruct(halves: bool = False, **values: object) -> Callable[[], object]:
        options = ReconstructTomogramOptions(**values)  # type: ignore[arg-type]
        take = (lambda even, odd: None) if halves else None
        return lambda: reconstruct_tomogram(images.__getitem__, geometry, shape, PIXEL, options, on_halves=take)

    plain, _ = processor_seconds(reconstruct(dose_weights=False))
    wide = np.ascontiguousarray(np.repeat(images.transpose(0, 2, 1), 2, axis=1))
    cases = {
        "floor: a bare loop of interpolations": lambda: interpolate_lines(wide, floor, 2 * n - 1),
        "halves from every other tilt": reconstruct(halves=True, dose_weights=False),
        "dose weights": reconstruct(),
        "CTF in slabs, full": reconstruct(ctf="full"),
        "SIRT, 2 iterations": reconstruct(method="sirt", iterations=2),
    }
    row("weighted back-projection", f"{plain:.1f}", f"{plain / unit * 1e9:.2f}; 1")
    for name, work in cases.items():
        taken, _ = processor_seconds(work, 1 if "SIRT" in name else 3)
        row(name, f"{taken:.1f}", f"{taken / unit * 1e9:.2f}; {taken / plain:.2f}")
    if a.astra:
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "images.npy", images)
            command = [a.astra, "-c", ASTRA, str(Path(folder) / "images.npy"), str(a.depth)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken = float(json.loads(done.stdout))
        row("ASTRA FBP", f"{taken:.1f}", f"{taken / unit * 1e9:.2f}; {taken / plain:.1f}")


if __name__ == "__main__":
    main()
