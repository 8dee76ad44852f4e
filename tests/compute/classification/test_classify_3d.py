"""3D classification of particles in two states, which differ by an empty site."""

import numpy as np
import pytest

from emtomo.compute.classification.classify_3d import Classification3D
from emtomo.compute.classification.options_3d import Classification3DOptions
from emtomo.compute.classification.state_3d import pack_classes, unpack_classes
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import BoxParticles, ImageParticles
from emtomo.compute.rotations import angle_between
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import PIXEL, blobs, image_particles, particles, turned_by, wedge

N = 20
EMPTY = blobs(N)
OPTIONS = {"number_of_classes": 2, "iterations": 3, "initial_lowpass": 50.0, "mask_diameter": 190.0, "starts": 2}
ANGLES = {"series": np.arange(-60, 61, 15.0), "single": np.zeros(1)}


def site() -> np.ndarray:
    """Return the density that one of the states has in addition."""
    grid = np.stack(np.meshgrid(*[np.arange(N) - N // 2] * 3, indexing="ij"), axis=-1)[..., ::-1]
    blob = np.exp(-((grid - np.array([4, -3, 3])) ** 2).sum(axis=-1) / (2 * 1.7**2))
    return (0.8 * EMPTY.max() * blob).astype(np.float32)


def two_states(kind: str, count: int, noise: float, share: float = 0.5, seed: int = 1):
    """Return particles, their true poses and states; a `share` of them has the site."""
    state = np.arange(count) < share * count
    state = np.random.default_rng(seed).permutation(state)
    full = EMPTY + site()
    if kind == "boxes":
        _, poses, without = particles(EMPTY, count, noise, seed)
        _, _, with_site = particles(full, count, noise, seed)
        boxes = np.where(state[:, None, None, None], with_site, without)
        return BoxParticles(N, PIXEL, lambda i: boxes[i], [0] * count, lambda key: wedge(N), "wedge"), poses, state
    one, poses = image_particles(EMPTY, count, noise, ANGLES[kind], seed)
    other, _ = image_particles(full, count, noise, ANGLES[kind], seed)
    source = ImageParticles(
        N, PIXEL, one.counts, lambda i: (other if state[i] else one).views(i), common_rotations=one.common_rotations
    )
    return source, poses, state


def purity(numbers: np.ndarray, state: np.ndarray) -> float:
    """Return the share of particles whose class is mostly of their state."""
    return sum(max((state[numbers == c]).sum(), (~state[numbers == c]).sum()) for c in set(numbers)) / len(state)


@pytest.mark.parametrize(("kind", "count", "noise"), [("boxes", 40, 3.0), ("series", 30, 2.0), ("single", 80, 0.5)])
def test_two_states_are_distinguished_without_alignment(kind, count, noise):
    source, poses, state = two_states(kind, count, noise)
    found = Classification3D(source, poses, Classification3DOptions(**OPTIONS)).run()
    assert purity(found.numbers, state) >= 0.95
    assert found.shares.sum() == pytest.approx(1, abs=1e-3) and abs(found.shares[0] - 0.5) < 0.1
    with_site = np.bincount(found.numbers[state], minlength=2).argmax()
    difference = found.references[with_site] - found.references[1 - with_site]
    assert fourier_shell_correlation(difference, site())[1:4].min() > 0.8
    np.testing.assert_array_equal(found.poses.rotations, poses.rotations)


def test_a_rare_state_is_found():
    source, poses, state = two_states("boxes", 60, 2.0, share=0.2)
    found = Classification3D(source, poses, Classification3DOptions(**OPTIONS)).run()
    assert purity(found.numbers, state) >= 0.95 and abs(min(found.shares) - 0.2) < 0.06


def test_poses_are_found_while_particles_are_sorted():
    source, truth, state = two_states("boxes", 40, 1.5)
    start = Poses(turned_by(truth.rotations, 6, 3), np.zeros_like(truth.shifts), truth.half)
    options = Classification3DOptions(**OPTIONS, align=True, offset_range=2.0)
    found = Classification3D(source, start, options).run()
    assert purity(found.numbers, state) >= 0.9
    error = angle_between(found.poses.rotations, truth.rotations)
    assert np.median(error) < 3.0 and found.poses.angle_spread.max() > 0


def test_one_class_is_the_average():
    source, poses, _ = two_states("boxes", 20, 1.0, share=0.0)
    options = Classification3DOptions(**(OPTIONS | {"number_of_classes": 1, "iterations": 2}))
    found = Classification3D(source, poses, options).run()
    assert found.probability.min() == 1
    assert fourier_shell_correlation(found.references[0], EMPTY)[1:6].min() > 0.9


def test_particles_of_one_kind_stay_uncertain():
    """Two classes of the same particles: neither map has what the other lacks."""
    source, poses, _ = two_states("boxes", 30, 3.0, share=0.0)
    found = Classification3D(source, poses, Classification3DOptions(**OPTIONS)).run()
    assert np.isfinite(found.references).all()
    if min(found.shares) > 0.1:
        assert fourier_shell_correlation(found.references[0], found.references[1])[1:4].min() > 0.8


def test_an_iteration_that_was_kept_goes_on_to_the_same_classes():
    source, poses, _ = two_states("boxes", 16, 1.5)
    model = Classification3D(source, poses, Classification3DOptions(**(OPTIONS | {"starts": 1})))
    state = model.step(model.begin())
    again, stamp = unpack_classes(pack_classes(state, "inputs"))
    assert stamp == "inputs" and again.iteration == 1
    np.testing.assert_array_equal(model.step(state).references, model.step(again).references)
    with pytest.raises(EmtomoError, match="Not an iteration"):
        unpack_classes({"record": np.array("{}")})


def test_the_seed_decides():
    source, poses, _ = two_states("boxes", 12, 1.5)
    options = OPTIONS | {"starts": 1, "iterations": 1}
    found = [
        Classification3D(source, poses, Classification3DOptions(**options, seed=seed)).run().references
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0


def test_bad_input_is_reported():
    source, poses, _ = two_states("boxes", 4, 1.0)
    with pytest.raises(EmtomoError, match="3 classes need at least 6 particles, there are 4"):
        Classification3D(source, poses, Classification3DOptions(number_of_classes=3))
    with pytest.raises(EmtomoError, match="reference must be 20 voxels wide"):
        Classification3D(source, poses, Classification3DOptions(number_of_classes=2), EMPTY[:8])
