"""Refinement of 40 real ribosomes (EMPIAR-10499, 37 tilts, 12 Å), from images and from boxes of the same images.

``python benchmarks/bench_refine_real.py [ITERATIONS]`` prints how far orientations are from the deposited ones: from 10
degrees off, iteration by iteration, first against RELION's map (of these very particles), then against the own halves;
and one alignment of every particle, from its deposited pose, to references with and without the particle itself.
``python benchmarks/bench_refine_real.py simulated COUNT ITERATIONS`` does the first with images simulated from RELION's
map with the tilts, CTFs and noise of the real ones, where the poses are known: from the true poses, against the very
truth, then against the own halves; beside the error what the posterior says.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import machine, row

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from emtomo.compute.fourier.padded_reference import PAD, transform_padded  # noqa: E402
from emtomo.compute.fourier.reconstruction import Sums, solve  # noqa: E402
from emtomo.compute.kernels import fourier_cpu  # noqa: E402
from emtomo.compute.likelihood.plan import HalfSet  # noqa: E402
from emtomo.compute.likelihood.poses import Poses, assign_halves  # noqa: E402
from emtomo.compute.likelihood.views import ImageParticles, ImageViews, ParticleSource  # noqa: E402
from emtomo.compute.refinement.iteration import create_estimator  # noqa: E402
from emtomo.compute.refinement.options import RefineOptions  # noqa: E402
from emtomo.compute.refinement.refine import Refinement  # noqa: E402
from emtomo.compute.rotations import angle_between, random_rotations  # noqa: E402
from tests.compute.refinement.data import turned_by  # noqa: E402
from tests.workflows import test_real_ribosomes as data  # noqa: E402

OPTIONS = RefineOptions(initial_lowpass=24.0, angular_step=1.8, mask_diameter=300.0, offset_range=3)
N = data.N


def refine(source: ParticleSource, poses: Poses, theirs: np.ndarray, iterations: int) -> list[float]:
    """Return the median error (degrees) after every iteration, from 10 degrees off."""
    start = Poses(turned_by(poses.rotations, 10, 3), poses.shifts, poses.half)
    refinement = Refinement(source, start, theirs, OPTIONS)
    state, errors = refinement.begin(), []
    for _ in range(iterations):
        state, *_ = refinement.step(state)
        errors.append(float(np.median(angle_between(state.poses.rotations, poses.rotations))))
    return errors


def sum_particles(parts: list[Sums]) -> Sums:
    """Return the sums of some particles."""
    return Sums(N, N / 2, sum(one.data for one in parts), sum(one.weights for one in parts))


def align_to_others(source: ParticleSource, poses: Poses, theirs: np.ndarray) -> dict[str, float]:
    """Return the median error (degrees) of every particle against averages in deposited poses."""
    refinement = Refinement(source, poses, theirs, OPTIONS)
    begun = refinement.begin()
    state, *_ = refinement.step(begun)
    coefficients = refinement.coefficients(N / 2)
    state.progress.radius = N / 2
    plan = refinement._plan(state.progress, np.ones(len(poses), bool), coefficients)
    alone = []
    for i, half in enumerate(poses.half):
        estimator = create_estimator(source, HalfSet(theirs, state.halves[int(half)].noise), plan)
        out, one = estimator.empty_sums(), estimator.measure(i, poses.shifts[i])
        estimator.insert(one, np.zeros(1, int), np.ones(1), (poses.rotations[i][None], poses.shifts[i][None]), out)
        alone.append(Sums.of(N, N / 2, [out.sums]).complete())
    halves = {h: sum_particles([alone[i] for i in np.flatnonzero(poses.half == h)]) for h in (1, 2)}
    used = np.clip(refinement._correlation(halves)[1], 1e-3, 0.999)
    every, errors = sum_particles(alone), {}
    for what, of_half, with_own in (("own half", 1, 1), ("own half", 1, 0), ("all", 0, 1), ("all", 0, 0)):
        found = []
        for i, half in enumerate(poses.half):
            base = halves[int(half)] if of_half else every
            data_, weights = (base.data, base.weights) if with_own else (
                base.data - alone[i].data, base.weights - alone[i].weights)  # fmt: skip
            sums, fsc = Sums(N, N / 2, data_, weights), used if of_half else 2 * used / (1 + used)
            reference = solve(sums, sums.mean_weight() / (fsc / (1 - fsc))) * refinement.mask
            estimator = create_estimator(source, HalfSet(reference, state.halves[int(half)].noise), plan)
            pose = estimator.estimate(np.array([i]), poses, lambda done: None).estimates[i]
            found.append(float(angle_between(pose.rotation[None], poses.rotations[i][None])[0]))
        errors[f"{what}, {'with' if with_own else 'without'} the particle"] = float(np.median(found))
    return errors


def simulate(
    images: ImageParticles, poses: Poses, theirs: np.ndarray, count: int, seed: int
) -> tuple[ImageParticles, Poses]:
    """Return premultiplied images of RELION's map in random poses, with the tilts and noise of the real particles."""
    refinement = Refinement(images, poses, theirs, OPTIONS)
    state, *_ = refinement.step(refinement.begin())
    half, coefficients = state.halves[1], refinement.coefficients(N / 2)
    scale = float((half.reference * refinement.first).sum() / (refinement.first**2).sum())
    transform = transform_padded((theirs * scale * refinement.mask).astype(np.float32), N / 2)
    rng, rotations, made = np.random.default_rng(seed), random_rotations(count, seed + 100), []
    for i in range(count):
        views = images.read(i % len(images))
        assert views.weights is not None
        square, tilts = coefficients.pick(views.weights), len(views)
        section = np.empty((tilts, 2 * len(coefficients)), np.float32)
        turned = np.ascontiguousarray(views.rotations @ rotations[i], np.float32)
        fourier_cpu.sections(transform, np.float32(PAD), coefficients.k, turned, section)
        model = section.view(np.complex64)
        noise = half.noise[images.noise_index(views.noise_group, coefficients.band)]
        noise = np.sqrt(square * np.where(np.isfinite(noise), noise, 0) / 2)
        data_ = model * square + noise * (rng.normal(size=model.shape) + 1j * rng.normal(size=model.shape))
        packed = np.zeros((tilts, N * (N // 2 + 1)), complex)
        packed[:, coefficients.index] = data_ / coefficients.centre
        packed = packed.reshape(tilts, N, N // 2 + 1)
        packed[:, 1:, 0] += np.conj(packed[:, :0:-1, 0])
        values = np.fft.irfft2(packed, (N, N)).astype(np.float32)
        made.append(ImageViews(values, views.rotations, views.weights, np.zeros((tilts, 2)), views.noise_group))
    counts = [len(one.images) for one in made]
    source = replace(images, counts=counts, views=lambda i: made[i])
    return source, Poses(rotations, np.zeros((count, 3)), assign_halves(count, seed))


def refine_simulated(count: int, iterations: int) -> None:
    """Print errors from the true poses, and what the posterior says, after every iteration."""
    _, images, poses, theirs = data.ribosomes.__wrapped__()
    source, true = simulate(images, poses, theirs, count, 1)
    refinement = Refinement(source, true, theirs, OPTIONS)
    state, found = refinement.begin(), []
    for _ in range(iterations):
        state, *_ = refinement.step(state)
        error = np.median(angle_between(state.poses.rotations, true.rotations))
        found.append(f"{error:.2f} ({np.sqrt(3) * np.median(state.poses.angle_spread):.1f})")
    row(f"{count} simulated ribosomes: error (posterior)", f"{', '.join(found)}°", "")


def main() -> None:
    """Print the tables."""
    print(machine())
    if sys.argv[1:2] == ["simulated"]:
        refine_simulated(int(sys.argv[2]), int(sys.argv[3]))
        return
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    boxes, images, poses, theirs = data.ribosomes.__wrapped__()
    for what, source in (("images", images), ("boxes", boxes)):
        errors = ", ".join(f"{error:.2f}" for error in refine(source, poses, theirs, iterations))
        row(f"{what}, from 10°, after each iteration", f"{errors}°", "")
        for reference, error in align_to_others(source, poses, theirs).items():
            row(f"{what} against the average of {reference}", f"{error:.2f}°", "")


if __name__ == "__main__":
    main()
