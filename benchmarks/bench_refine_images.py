"""Refinement on the images of tilt series beside refinement on 3D boxes of the same images.

``python benchmarks/bench_refine_images.py accuracy [--particles N] [--seeds N] [--map FILE] [--pixel A] [--depth A]
[--step DEGREES]`` prints, at equal iterations, the resolution to the truth (FSC 0.5 of the average with the map) from
boxes, from images, and from images whose CTF does not follow the particles' heights; what each reports of itself, and
the errors of the poses. 3D sums hold all that views say up to three quarters as many shells as there are tilts.
``python benchmarks/bench_refine_images.py speed`` prints particles a second of a local iteration on 41 tilts of 64
pixels, the share of cutting, and the rate of the Newton kernel beside that of a bare loop of interpolations.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import machine, row

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from emtomo.compute.averaging import rotate_boxes  # noqa: E402
from emtomo.compute.device import threads  # noqa: E402
from emtomo.compute.fourier.filters import ball, fit_to_box  # noqa: E402
from emtomo.compute.fourier.padded_reference import PAD, transform_padded  # noqa: E402
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation, resolution_at  # noqa: E402
from emtomo.compute.kernels import fourier_cpu  # noqa: E402
from emtomo.compute.likelihood.poses import Poses  # noqa: E402
from emtomo.compute.likelihood.views import BoxParticles, ImageParticles  # noqa: E402
from emtomo.compute.refinement.options import RefineOptions  # noqa: E402
from emtomo.compute.refinement.refine import Refinement, RefinementResult  # noqa: E402
from emtomo.compute.rotations import angle_between, random_rotations  # noqa: E402
from emtomo.compute.tilt.geometry import TiltGeometry  # noqa: E402
from emtomo.compute.tilt.subtomograms import reconstruct_subtomogram  # noqa: E402
from emtomo.io import mrc  # noqa: E402
from emtomo.objects.particle_input import ParticleInputOptions, Particles, series_particles  # noqa: E402
from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, protein_density  # noqa: E402
from tests.compute.refinement.data import turned_by  # noqa: E402
from tests.objects.series_data import SeriesData, write_series  # noqa: E402


class FlatGeometry(TiltGeometry):
    """A tilt series that takes every particle, and so its CTF, to lie at height 0."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return x, y and 0 in the images, `(n, p, 3)`."""
        seen = super().project(points)
        seen[..., 2] = 0
        return seen


def without_heights(particles: Particles) -> ImageParticles:
    """Return the same images with one CTF a tilt."""
    images = particles.source.views
    flat = [FlatGeometry(**vars(r.geometry)) for r in images.records]
    records = [replace(record, geometry=geometry) for record, geometry in zip(images.records, flat, strict=True)]
    cut = type(images)(records, images.which, images.points, images.options)
    return cut.source(list(particles.source.counts), particles.source.pixel_size)


def boxes_of(particles: Particles) -> BoxParticles:
    """Return 3D boxes, multiplied with the CTF, with squared CTF volumes, from the very images that are cut."""
    images = particles.source.views
    made = [
        reconstruct_subtomogram(images.prepare(int(images.which[i])), images.points[i]) for i in range(len(particles))
    ]
    return BoxParticles(
        particles.source.size, particles.source.pixel_size, lambda i: made[i].box, list(range(len(made))),
        lambda i: made[i].weights, "ctf_squared", True,
    )  # fmt: skip


def centred(volume: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return a volume turned and moved onto the truth: refinements drift together."""
    from emtomo.compute.refinement.half_alignment import align_half

    for radius in (4.0, 8.0):
        rotation, shift = align_half(volume, truth, min(radius, truth.shape[0] / 2 - 2), "C1")
        volume = rotate_boxes(volume[None], rotation.T[None], (-rotation.T @ shift)[None])[0]
    return volume


def to_truth(result: RefinementResult, truth: np.ndarray, pixel: float) -> float:
    """Return the resolution at which the average correlates 0.5 with the truth (half maps' 0.143)."""
    n = truth.shape[0]
    inside = ball(n, 0.36 * n, 3)
    volume = centred(result.average, truth)
    return resolution_at(fourier_shell_correlation(volume * inside, truth * inside), n, pixel, 0.5)


def measure_accuracy(arguments: argparse.Namespace) -> None:
    """Refine the same particles from boxes and from images."""
    n, pixel = arguments.box, arguments.pixel
    truth = protein_density(SOLUBLE_PROTEIN, n, pixel)
    if arguments.map:
        volume = mrc.read_volume(arguments.map)
        truth = fit_to_box(volume, mrc.read_header(arguments.map).pixel_size, n, pixel)
    if arguments.atoms:
        truth = scatter_atoms(n, arguments.fill * n / 2)
    truth = (truth - np.median(truth)) * ball(n, arguments.fill * n / 2, 3)
    truth = (truth / truth.std()).astype(np.float32)
    row("seed", "from", "reported Å, to truth Å, median error of poses ° and Å, seconds")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            data = make_data(Path(folder), truth, pixel, arguments, seed)
            for what, result, true, taken in refine_both(data, truth, arguments, seed):
                angle = np.median(angle_between(result.poses.rotations, true.rotations))
                shift = np.median(np.linalg.norm(result.poses.shifts - true.shifts, axis=1)) * pixel
                found = f"{result.resolution:.1f}, {to_truth(result, truth, pixel):.1f}, {angle:.2f}, {shift:.2f}"
                row(str(seed), what, f"{found}, {taken:.0f}")


def scatter_atoms(size: int, radius: float, count: int = 2000, width: float = 0.75, seed: int = 5) -> np.ndarray:
    """Return six lobes of atoms within a radius in voxels, whose power falls little up to Nyquist."""
    rng = np.random.default_rng(seed)
    lobes = rng.normal(size=(6, 3))
    lobes *= 0.45 * radius / np.linalg.norm(lobes, axis=1, keepdims=True)
    places = lobes[rng.integers(0, 6, count)] + rng.normal(size=(count, 3)) * 0.2 * radius
    axis, out = np.arange(size) - size // 2, np.zeros((size, size, size), np.float32)
    for place in places[np.linalg.norm(places, axis=1) < radius - 2]:
        out += np.einsum("i,j,k", *(np.exp(-((axis - c) ** 2) / (2 * width**2)) for c in place[::-1]))
    return out


def make_data(folder: Path, truth: np.ndarray, pixel: float, arguments: argparse.Namespace, seed: int) -> SeriesData:
    """Simulate two tilt series, wide enough for what is high up at 60 degrees."""
    aside = arguments.depth * np.sin(np.pi / 3) / pixel
    side = int(np.ceil((np.sqrt(arguments.particles / 2) * truth.shape[0] * 1.9 + aside) / 2)) * 2 + 4 * truth.shape[0]
    angles = tuple(np.arange(-60.0, 60.1, arguments.step))
    return write_series(
        folder, truth, pixel=pixel, count=arguments.particles // 2, angles=angles, width=side, depth=arguments.depth,
        defocus=arguments.defocus, defocus_spread=arguments.defocus_spread, noise=arguments.noise,
        uneven=arguments.uneven, seed=seed,
    )  # fmt: skip


def refine_both(
    data: SeriesData, truth: np.ndarray, arguments: argparse.Namespace, seed: int
) -> list[tuple[str, RefinementResult, Poses, float]]:
    """Return results from boxes and from images, of the same poses 10 degrees and half a pixel off."""
    wide = arguments.fill * truth.shape[0] * arguments.pixel
    given = ParticleInputOptions(missing_tilts=12, diameter=min(wide, 0.75 * truth.shape[0] * arguments.pixel))
    particles = series_particles(data.truth, data.truth.frame(), data.series, given)
    true = particles.poses(seed)
    off = np.random.default_rng(seed).uniform(-1, 1, true.shifts.shape)
    start = Poses(turned_by(true.rotations, 10, seed), off, true.half)
    options = RefineOptions(
        initial_lowpass=40.0 if arguments.pixel > 6 else 25.0, angular_step=1.8, offset_range=3.0,
        mask_diameter=arguments.fill * truth.shape[0] * arguments.pixel, max_iterations=arguments.iterations,
    )  # fmt: skip
    out = []
    sources = {"boxes": boxes_of(particles), "images": particles.source, "one CTF a tilt": without_heights(particles)}
    for what, source in sources.items():
        began = time.perf_counter()
        result = Refinement(source, start, truth, options).run()
        out.append((what, result, true, time.perf_counter() - began))
    return out


def measure_speed(arguments: argparse.Namespace) -> None:
    """Time one local iteration, with images cut and with images kept."""
    n, pixel = 64, 5.0
    truth = protein_density(SOLUBLE_PROTEIN, n, pixel)
    truth = ((truth - truth.mean()) / truth.std()).astype(np.float32)
    arguments.particles, arguments.depth = 48, 1000.0
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), truth, pixel, arguments, 1)
        particles = series_particles(data.truth, data.truth.frame(), data.series, ParticleInputOptions())
        options = RefineOptions(initial_lowpass=20.0, angular_step=1.8, mask_diameter=200.0)
        refinement = Refinement(particles.source, particles.poses(1), truth, options)
        began = time.perf_counter()
        for i in range(len(particles)):
            particles.source.views(i)
        row("images cut (one thread)", f"{len(particles) / (time.perf_counter() - began):.1f} particles/s", "")
        state = refinement.begin()
        rates = []
        for _ in range(4):
            began = time.perf_counter()
            state, one, *_ = refinement.step(state)
            rates.append(len(particles) / (time.perf_counter() - began))
            row(f"iteration {one.iteration}", f"{rates[-1]:.1f} particles/s",
                f"{one.compared_to:.1f} Å compared, {one.orientations} × {one.shifts} poses of the grid")  # fmt: skip
        row("local iteration, median", f"{np.median(rates[1:]):.1f} particles/s", f"{threads()} threads; asked: 40")
    measure_kernel(truth)


def measure_kernel(truth: np.ndarray) -> None:
    """Time the likelihood with derivatives and a bare loop of interpolations over the same points."""
    n = truth.shape[0]
    reference, rng = transform_padded(truth, n / 2), np.random.default_rng(1)
    points = rng.uniform(-n / 4, n / 4, (66_000, 3)).astype(np.float32)
    data, weight = np.ones(len(points), np.complex64), np.ones(len(points), np.float32)
    rotation, gradient, information = random_rotations(1, 1)[0].astype(np.float32), np.empty(6), np.empty((6, 6))
    out = np.empty((1, 2 * len(points)), np.float32)
    taken = {}
    for what, work in (
        ("interpolation alone", lambda: fourier_cpu.sections(reference, np.float32(PAD), points, rotation[None], out)),
        ("likelihood, gradient and information", lambda: fourier_cpu.likelihood(
            reference, np.float32(PAD), points, data, weight, rotation, n, gradient, information)),
    ):  # fmt: skip
        work()
        began = time.perf_counter()
        for _ in range(20):
            work()
        taken[what] = (time.perf_counter() - began) / 20
        row(what, f"{len(points) / taken[what] / 1e6:.0f} million points/s", "one thread, 41 × 1,600 points")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("accuracy", "speed"))
    parser.add_argument("--particles", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--map", type=Path)
    parser.add_argument("--atoms", action="store_true", help="scattered atoms in the place of a map")
    parser.add_argument("--box", type=int, default=32)
    parser.add_argument("--pixel", type=float, default=10.0)
    parser.add_argument("--depth", type=float, default=1500.0)
    parser.add_argument("--defocus", type=float, default=25000.0)
    parser.add_argument("--defocus-spread", type=float, default=0.0)
    parser.add_argument("--noise", type=float, default=6.0)
    parser.add_argument("--uneven", type=float, default=0.0, help="deviation of the logarithm of the images' noise")
    parser.add_argument("--fill", type=float, default=0.8, help="diameter of the particle as part of the box")
    parser.add_argument("--step", type=float, default=3.0)
    parser.add_argument("--iterations", type=int, default=5)
    arguments = parser.parse_args()
    print(machine(), *sys.argv[1:])
    (measure_accuracy if arguments.what == "accuracy" else measure_speed)(arguments)


if __name__ == "__main__":
    main()
