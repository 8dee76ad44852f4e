"""Particles a second that export-particles reconstructs: subtomogram and CTF volume, and 2D series, in memory.

    python benchmarks/bench_export.py [--boxes 32 64 128] [--tilts 41] [--particles 8]

Images are noise of 1024² pixels of 5 Å, 3 µm of defocus, read and resampled before; wall time and processor seconds of
all threads.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import machine, row

from emtomo.compute.device import threads
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series
from emtomo.compute.tilt.subtomograms import reconstruct_subtomogram

PIXEL, SIZE = 5.0, 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--boxes", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--tilts", type=int, default=41)
    parser.add_argument("--particles", type=int, default=8)
    a = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.standard_normal((a.tilts, SIZE, SIZE)).astype(np.float32)
    columns = {"angle": np.linspace(-60, 60, a.tilts), "dose": np.arange(a.tilts) * 3.0}
    columns |= {"defocus_u": np.full(a.tilts, 3e4), "defocus_v": np.full(a.tilts, 3e4)}
    geometry = tilt_geometry(columns, pixel_size=PIXEL, volume_size=(5120.0, 5120.0, 1500.0))
    points = rng.uniform(-1, 1, (a.particles, 3)) * np.array([800, 800, 300])
    print(machine())
    row(f"{a.tilts} tilts, {threads()} threads", "particles a second", "CPU s a particle")
    for box in a.boxes:
        series = prepare_series(images.__getitem__, geometry, ParticleImageOptions(box_size=box))
        flat = prepare_series(images.__getitem__, geometry, ParticleImageOptions(box_size=box, premultiply=True))
        works = {
            "subtomogram and CTF volume": lambda p, s=series: reconstruct_subtomogram(s, p),
            "2D series, premultiplied, with weights": lambda p, s=flat: s.cut(p),
        }
        for name, work in works.items():
            work(points[0])
            start, cpu = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(threads()) as pool:
                list(pool.map(work, points))
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            row(f"box {box}: {name}", f"{a.particles / wall:.1f}", f"{cpu / a.particles:.3f}")


if __name__ == "__main__":
    main()
