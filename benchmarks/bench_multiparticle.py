"""Multi-particle refinement: the speed of a sweep, a whole pass, and how near it comes to the truth on a simulation.

bench_multiparticle.py sweep                        a sweep of 1,000 particles x 41 tilts within 28 shells
bench_multiparticle.py pass PARTICLES               what one iteration of the spatial parameters takes
bench_multiparticle.py ladder PARTICLES SEEDS [SNR] [OPTICS]  spatial, then most parameters, against the truth; SEEDS
                                                    their number, or the first and last as 3-7
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import machine, processor_seconds, row, seconds

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import fit_to_box
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.shell_correlation import first_shell_below, fourier_shell_correlation
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.multiparticle.images import References, SpeciesImages
from emtomo.compute.multiparticle.options import MOST, SPATIAL, MultiParticleOptions
from emtomo.compute.multiparticle.population import Series
from emtomo.compute.multiparticle.refine import MultiParticleRefinement
from emtomo.compute.multiparticle.species import Species
from emtomo.compute.multiparticle.species_particles import SpeciesParticles
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ImageModel, sweep
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.rotations import random_rotations
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_rotations
from emtomo.io import mrc
from emtomo.synthetic.errors import ErrorOptions, disturb_geometry, disturb_poses
from emtomo.synthetic.particle_imaging import Kind, Shells, image_particles

MAP = Path(__file__).parents[2] / "shared" / "data" / "maps" / "4v4r_5A.mrc"
PIXEL, BOX, DIAMETER = 5.0, 64, 270.0
IN_A_SERIES = 250
ERRORS = ErrorOptions(
    stage_error=0.15, shift_error=5.0, image_warp=2.5, defocus_error=1500.0, rotation_error=1.5, position_error=3.5,
    doming=0.0,
)  # fmt: skip


def geometry(side: float, depth: float = 600.0, tilts: int = 41) -> TiltGeometry:
    """Return 3 degree steps about 0, dose-symmetric, 3 e/Å² each, 3 µm defocus."""
    angles = 3.0 * (np.arange(tilts) - tilts // 2)
    order = np.argsort(np.lexsort((-np.sign(angles), np.abs(angles))))
    ctf = Ctf(np.full(tilts, 30000.0), np.full(tilts, 30000.0), amplitude_contrast=0.07)
    rotations = tilt_rotations(angles, np.full(tilts, 0.0))
    return TiltGeometry(
        rotations, np.zeros((tilts, 2)), ctf, 3.0 * (order + 0.5), order, np.zeros(tilts, bool),
        rotations[:, 2, 2].copy(), pixel_size=PIXEL, image_size=(side, side), volume_size=(side, side, depth),
    )  # fmt: skip


def sweep_speed(particles: int = 1000, radius: float = 28.0) -> None:
    """Print what a sweep takes, and its rate against that of the likelihood kernel of pose searches, both here."""
    rng, coefficients = np.random.default_rng(0), FourierCoefficients(BOX, radius, 2)
    tilts = 41
    state = SeriesState.of(geometry(4000.0), random_rotations(particles, 1), rng.uniform(-300, 300, (particles, 3)))
    reference = transform_padded(rng.normal(0, 1, (BOX, BOX, BOX)).astype(np.float32), radius)
    data = rng.normal(0, 1, (particles, tilts, 2 * len(coefficients))).astype(np.float32).view(np.complex64)
    images = SpeciesImages(
        References(BOX, PIXEL, radius, np.stack([reference] * 2)), coefficients, data,
        state.project()[..., :2], np.ones((particles, tilts), bool), np.arange(particles) % 2 + 1,
    )  # fmt: skip
    shells = int(coefficients.shell.max()) + 1
    model = ImageModel(np.ones((tilts, shells)), np.ones((2, shells)), np.ones((tilts, shells)), np.ones(particles))
    points = particles * tilts * len(coefficients)
    gradient, hessian = np.empty(6), np.empty((6, 6))
    one, weight = data[0].ravel(), np.ones(tilts * len(coefficients), np.float32)
    k = np.ascontiguousarray(np.tile(coefficients.k, (tilts, 1)))
    turn = random_rotations(1, 2)[0].astype(np.float32)
    _, peer = processor_seconds(
        lambda: fourier_cpu.likelihood(reference, np.float32(PAD), k, one, weight, turn, BOX, gradient, hessian), 9
    )
    wall, best = seconds(lambda: sweep(images, state, model), 5)
    _, used = processor_seconds(lambda: sweep(images, state, model), 3)
    _, alone = processor_seconds(lambda: sweep(images, state, model, slopes=False), 3)
    _, many = processor_seconds(lambda: sweep(images, state, model, optics=True, magnification=True), 3)
    row(
        f"sweep, {particles} particles × {tilts} tilts, R = {radius:g}: wall time, median and best of 5",
        f"{wall:.2f} / {best:.2f} s", "≤ 2.5 s",
    )  # fmt: skip
    row(
        "processor time of it / of the score alone / of all optics and magnification",
        f"{used:.1f} / {alone:.1f} / {many:.1f} s",
    )
    rate = points / used / (len(one) / peer)
    row(
        f"rate a thread against the likelihood kernel ({len(one) / peer / 1e6:.0f} Mpoint/s)",
        f"{100 * rate:.0f} %",
        "≥ 50 %",
    )


class Images:
    """Called with the number of a tilt it returns the image."""

    def __init__(self, stack: np.ndarray) -> None:
        self.stack = stack

    def __call__(self, tilt: int) -> np.ndarray:
        """Return an image."""
        return self.stack[tilt]


def molecule(path: Path) -> np.ndarray:
    """Return the map in the box, mean 0 outside."""
    volume = np.asarray(mrc.read_volume(path), np.float32)
    side = max(volume.shape)
    cube = np.zeros((side, side, side), np.float32)
    first = [(side - n) // 2 for n in volume.shape]
    cube[tuple(slice(a, a + n) for a, n in zip(first, volume.shape, strict=True))] = volume
    return fit_to_box(cube, PIXEL, BOX, PIXEL)


def places(particles: int, side: float, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Return positions on a jittered grid, so that particles do not overlap in the volume."""
    per_side = int(np.ceil(np.sqrt(particles)))
    grid = np.stack(np.meshgrid(*[np.arange(per_side)] * 2), axis=-1).reshape(-1, 2)[:particles]
    inside = side - 700.0
    xy = (grid + 0.5) / per_side * inside - inside / 2 + rng.uniform(-0.2, 0.2, (particles, 2)) * inside / per_side
    return np.column_stack([xy, rng.uniform(-0.5, 0.5, particles) * (depth - 300.0)])


def simulate(particles: int, seed: int, snr: float, density: np.ndarray) -> tuple[Series, Series]:
    """Return a series as its metadata say it, and as it is."""
    rng = np.random.default_rng(seed)
    side = float(np.ceil(max(2000.0, 260.0 * np.sqrt(particles) + 700.0) / PIXEL / 2) * 2 * PIXEL)
    errors, given = replace(ERRORS, error_seed=seed), geometry(side)
    positions, rotations = places(particles, side, 600.0, rng), random_rotations(particles, seed)
    true = disturb_geometry(given, errors)
    moved, turned = disturb_poses(positions, rotations, errors)
    shape = (round(side / PIXEL),) * 2
    none = Shells(np.zeros((0, 3)), np.zeros(0))
    stack = image_particles([Kind(density, positions, rotations)], none, true, shape, snr=snr, seed=seed)
    half = np.arange(particles) % 2 + 1
    return (
        Series("series", given, Images(stack), (SpeciesParticles(turned, moved, half),)),
        Series("series", true, Images(stack), (SpeciesParticles(rotations, positions, half),)),
    )


def errors_of(found: Series, true: Series) -> tuple[float, float, float]:
    """Return in-image error (Å rms), orientation of sections (degrees, median) and defocus (Å rms) over all images.

    A rotation and a shift of the reference, which all particles share and no image shows, are taken off.
    """
    states = [SeriesState.of(s.geometry, s.particles[0].rotations, s.particles[0].positions) for s in (found, true)]
    seen = [state.project() for state in states]
    turns = [state.image_rotations() for state in states]
    common = np.linalg.svd(np.einsum("ptji,ptjk->ik", turns[1], turns[0]))
    turns[0] = turns[0] @ (common[0] @ common[2]).T
    trace = np.einsum("ptij,ptij->pt", *turns)
    angle = np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    defocus = [s.geometry.ctf.defocus + h[..., 2] for s, h in zip((found, true), seen, strict=True)]
    off, basis = (seen[0] - seen[1])[..., :2].ravel(), turns[1][..., :2, :].reshape(-1, 3)
    off = off - basis @ np.linalg.lstsq(basis, off, rcond=None)[0]
    return (
        float(np.sqrt(2 * (off**2).mean())),
        float(np.median(angle)),
        float(np.sqrt(((defocus[0] - defocus[1]) ** 2).mean())),
    )


def to_truth(volume: np.ndarray, density: np.ndarray) -> float:
    """Return the resolution in Å at which a map still correlates 0.5 with the truth."""
    shell = first_shell_below(fourier_shell_correlation(volume, density), 0.5)
    return BOX * PIXEL / min(shell, BOX / 2)


def ladder(particles: int, seeds: list[int], snr: float, density: np.ndarray, optics: float) -> None:
    """Print errors and resolution to the truth at the start, after spatial, after most parameters, and of the truth."""
    for seed in seeds:
        given, true = simulate(particles, seed, snr, density)
        species = Species("particle", {h: np.zeros((BOX,) * 3, np.float32) for h in (1, 2)}, PIXEL, DIAMETER)
        zero = MultiParticleOptions(preset="custom", iterations=0)
        ideal = MultiParticleRefinement([species], [true], zero).run().maps[0]
        series, began, used = given, time.perf_counter(), time.process_time()
        lines = []
        for preset in (SPATIAL, MOST):
            options = MultiParticleOptions(preset=preset, seed=seed, optics_resolution=optics)
            result = MultiParticleRefinement([species], [series], options).run()
            if not lines:
                before = result.before[0]
                average = (before.halves[1] + before.halves[2]) / 2
                lines.append(("start", errors_of(given, true), to_truth(average, density), before.resolution, ""))
            series = result.series[0]
            kept = [f"{t.name} {t.gain:.0f}" for report in result.reports for t in report[0].trials if t.kept]
            measured = result.maps[0]
            lines.append(
                (
                    preset,
                    errors_of(series, true),
                    to_truth(measured.average, density),
                    measured.measured.resolution,
                    ", ".join(kept),
                )
            )
        lines.append(("truth", (0.0, 0.0, 0.0), to_truth(ideal.average, density), ideal.measured.resolution, ""))
        taken = time.perf_counter() - began, time.process_time() - used
        print(f"\nseed {seed}, {particles} particles, {taken[0]:.0f} s, processor time {taken[1]:.0f} s", flush=True)
        for name, (distance, angle, defocus), truth, halves, kept_text in lines:
            print(
                f"{name:16s} in-image {distance:5.2f} Å rms, section {angle:4.2f}°, defocus {defocus:5.0f} Å rms; "
                f"to the truth {truth:5.2f} Å, halves {halves:5.2f} Å  {kept_text}",
                flush=True,
            )


def one_pass(particles: int, snr: float, density: np.ndarray) -> None:
    """Print what a first reconstruction and one iteration of spatial parameters take, in series of 250 particles.

    All series are the same simulation under names of their own.
    """
    given, _ = simulate(min(particles, IN_A_SERIES), 1, snr, density)
    series = [replace(given, name=f"series {k + 1}") for k in range(max(1, particles // IN_A_SERIES))]
    species = Species("particle", {h: np.zeros((BOX,) * 3, np.float32) for h in (1, 2)}, PIXEL, DIAMETER)
    options = replace(MultiParticleOptions(preset=SPATIAL).resolve_preset(), iterations=1)
    MultiParticleRefinement([species], series[:1], options).run()  # kernels are read from their cache
    used = [time.process_time()]
    result = MultiParticleRefinement([species], series, options).run(
        on_iteration=lambda done: used.append(time.process_time())
    )
    row(
        f"spatial, {len(series) * len(given.particles[0])} particles × 41 tilts in {len(series)} series: "
        "reconstruction before / one iteration with it, wall time",
        " / ".join(f"{one.seconds:.1f} s" for one in result.metrics), "≤ 60 s for 1,000",
    )  # fmt: skip
    row("processor time of both", " / ".join(f"{b - a:.1f} s" for a, b in zip(used[:-1], used[1:], strict=True)))


if __name__ == "__main__":
    print(machine())
    what, *rest = sys.argv[1:] or ["sweep"]
    if what == "sweep":
        sweep_speed(int(rest[0]) if rest else 1000)
    else:
        count, power = int(rest[0]), float(rest[2]) if len(rest) > 2 else 0.05
        if what == "pass":
            one_pass(count, power, molecule(MAP))
        else:
            optics_from = float(rest[3]) if len(rest) > 3 else 10.0
            first, last = rest[1].split("-") if "-" in rest[1] else ("1", rest[1])
            ladder(count, list(range(int(first), int(last) + 1)), power, molecule(MAP), optics_from)
