"""Refinement of 40 real ribosomes (EMPIAR-10499, 37 tilts, 12 Å), from images and from boxes of the same images.

``python benchmarks/bench_refine_real.py [ITERATIONS]`` prints how far orientations are from the deposited ones: from 10
degrees off, iteration by iteration, first against RELION's map (of these very particles), then against the own halves;
and one alignment of every particle, from its deposited pose, to references with and without the particle itself.
"""

import sys
from pathlib import Path

import numpy as np
from timing import machine, row

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from emtomo.compute.fourier.reconstruction import Sums, solve  # noqa: E402
from emtomo.compute.likelihood.plan import HalfSet  # noqa: E402
from emtomo.compute.likelihood.poses import Poses  # noqa: E402
from emtomo.compute.likelihood.views import ParticleSource  # noqa: E402
from emtomo.compute.refinement.iteration import create_estimator  # noqa: E402
from emtomo.compute.refinement.options import RefineOptions  # noqa: E402
from emtomo.compute.refinement.refine import Refinement  # noqa: E402
from emtomo.compute.rotations import angle_between  # noqa: E402
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


def main() -> None:
    """Print the tables."""
    print(machine())
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    boxes, images, poses, theirs = data.ribosomes.__wrapped__()
    for what, source in (("images", images), ("boxes", boxes)):
        errors = ", ".join(f"{error:.2f}" for error in refine(source, poses, theirs, iterations))
        row(f"{what}, from 10°, after each iteration", f"{errors}°", "")
        for reference, error in align_to_others(source, poses, theirs).items():
            row(f"{what} against the average of {reference}", f"{error:.2f}°", "")


if __name__ == "__main__":
    main()
