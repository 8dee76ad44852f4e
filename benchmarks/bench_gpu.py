"""Every computation that has a CUDA device, on it and on all cores of the same machine; beside what the card can do.

``python benchmarks/bench_gpu.py [denoise] [boxes] [matching] [refinement]``; needs a CUDA device and CuPy.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from bench_refine_kernels import volume as blobs
from numba import cuda
from timing import machine, row, seconds

from emtomo.compute.averaging import rotate_boxes, wedge_weights
from emtomo.compute.denoise import DenoiseOptions, denoise
from emtomo.compute.device import threads
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.matching.match import Matcher
from emtomo.compute.matching.model import MaskedReference
from emtomo.compute.matching.options import ScanOptions
from emtomo.compute.matching.weighting import wedge_transfer
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.synthetic.subtomograms import simulate_subtomograms

DEVICES = ("cpu", "cuda")


def both(what: str, work: Callable[[str], tuple[float, np.ndarray]], unit: float, of: str) -> None:
    """Print seconds on either device, divided by `unit`, and by how much the results differ."""
    (slow, here), (fast, there) = (work(device) for device in DEVICES)
    scored = np.isfinite(here)  # the border of a scan has no score
    differ = float(np.abs(here[scored] - there[scored]).max() / np.abs(here[scored]).max())
    row(
        what,
        f"{slow / unit * 1e3:.3g} ms {of} on {threads()} cores, {fast / unit * 1e3:.3g} ms on the GPU",
        f"{slow / fast:.1f} x; results differ by {differ:.1e} of the largest",
    )


def ceiling() -> None:
    """Print how fast the card copies its own memory and how fast arrays get there."""
    host = np.zeros(2**28, np.float32)
    a, b = cuda.to_device(host), cuda.device_array(host.shape, host.dtype)

    def within() -> None:
        for _ in range(10):
            b.copy_to_device(a)
        cuda.synchronize()

    row(
        cuda.get_current_device().name.decode()
        if isinstance(cuda.get_current_device().name, bytes)
        else str(cuda.get_current_device().name),
        f"{20 * host.nbytes / seconds(within)[0] / 1e9:.0f} GB/s within, "
        f"{host.nbytes / seconds(lambda: a.copy_to_device(host))[0] / 1e9:.1f} GB/s to it, "
        f"{host.nbytes / seconds(lambda: a.copy_to_host(host))[0] / 1e9:.1f} GB/s back",
    )


def denoising() -> None:
    """Print an iteration of either scheme, and a whole tomogram with the method's own number of iterations."""
    volume = np.random.default_rng(0).normal(size=(256, 512, 512)).astype(np.float32)
    for method, many in (("bflow", 70), ("eed", 10)):

        def whole(device: str, times: int = 1, method: str = method, many: int = many) -> tuple[float, np.ndarray]:
            began = time.perf_counter()
            result = denoise(volume, DenoiseOptions(method=method, iterations=times * many), device=device)
            return time.perf_counter() - began, result

        def one(
            device: str, many: int = many, whole: Callable[..., tuple[float, np.ndarray]] = whole
        ) -> tuple[float, np.ndarray]:
            whole(device)
            (once, result), (thrice, _) = whole(device), whole(device, 3)
            return (thrice - once) / (2 * many), result

        both(f"{method}, 512 x 512 x 256", one, 1, "an iteration")
        both(f"{method}, 512 x 512 x 256, {many} iterations and all around them", whole, 1, "")


def boxes() -> None:
    """Print what turning boxes takes."""
    some = np.random.default_rng(0).normal(size=(500, 64, 64, 64)).astype(np.float32)
    turns, shifts = random_rotations(500, 1), np.zeros((500, 3))

    def rotate(device: str) -> tuple[float, np.ndarray]:
        rotate_boxes(some[:8], turns[:8], shifts[:8], device=device)
        began = time.perf_counter()
        out = rotate_boxes(some, turns, shifts, device=device)
        return time.perf_counter() - began, out

    both("turning boxes of 64^3, cubic", rotate, 500, "a box")


def matching() -> None:
    """Print what an orientation takes at every voxel of a tomogram."""
    tomogram = np.random.default_rng(0).normal(size=(128, 400, 400)).astype(np.float32)
    reference = np.pad(blobs(32), 4)
    model = MaskedReference.of(reference, (reference > 0.1 * reference.max()).astype(np.float32))
    options = ScanOptions(exhaustive=True, angular_step=20, other_objects=False)

    def scanned(device: str) -> tuple[float, np.ndarray]:
        matcher = Matcher(tomogram, 10.0, True, model, wedge_transfer(-60, 60), options, device=device)
        counted = len(matcher.rotations)
        times: list[float] = []
        scores, _ = matcher.scan(progress=lambda *_: times.append(time.perf_counter()))
        return (times[-1] - times[4]) / (len(times) - 5) * len(times) / counted, scores

    both("template matching, 400 x 400 x 128, exhaustive", scanned, 1, "an orientation")


def refinement() -> None:
    """Print what an iteration takes a particle, of a search about the poses and over all orientations."""
    distinct = 200
    for n, count, step, what in ((64, 2000, 1.8, "local"), (32, 4000, 1.8, "local"), (32, 1000, 15.0, "global")):
        turns = random_rotations(distinct, 1)
        stack = simulate_subtomograms(blobs(n), turns, np.zeros((distinct, 3)), 3.0, 1)
        turns = turns[np.arange(count) % distinct]
        weights = wedge_weights(n, np.eye(3)[None], np.array([-60.0]), np.array([60.0]))
        source = BoxParticles(
            n, 10.0, lambda i, s=stack: s[i % distinct].copy(), [0] * count, lambda key, w=weights: w, "wedge"
        )
        start = Poses(turns, np.zeros((count, 3)), assign_halves(count, 1))
        options = RefineOptions(initial_lowpass=40.0, angular_step=step, mask_diameter=0.6 * n * 10)
        found = {}

        def iterated(device: str) -> tuple[float, np.ndarray]:
            refinement = Refinement(source, start, blobs(n), options, device=device)  # noqa: B023
            state, *_ = refinement.step(refinement.begin())
            began = time.perf_counter()
            after, *_ = refinement.step(state)
            found[device] = after.poses.rotations  # noqa: B023
            return time.perf_counter() - began, after.halves[1].reference

        both(f"refinement, {count} particles of {n}^3, {what}, an iteration", iterated, count, "a particle")
        differ = angle_between(found["cpu"], found["cuda"])
        row("", f"poses differ by {np.median(differ):.3f} degrees (median), {differ.max():.2f} (most)")


def main() -> None:
    if not cuda.is_available():
        print("skipped: there is no CUDA device")
        return
    print(machine())
    ceiling()
    chosen = {"denoise": denoising, "boxes": boxes, "matching": matching, "refinement": refinement}
    for name in sys.argv[1:] or chosen:
        chosen[name]()


if __name__ == "__main__":
    main()
