"""Refinement against particles whose truth is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.device import use_threads
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation, shells_of
from emtomo.compute.likelihood.plan import PartialSums
from emtomo.compute.likelihood.pose_estimator import express_in_frame, express_in_half
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.refinement.alternative_settings import find_common_setting, other_settings, rotate_sums
from emtomo.compute.refinement.half_alignment import align_half
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import InsertedSums, sum_half_sets
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.schedule import Progress, advance, shells_to_share
from emtomo.compute.rotations import angle_between
from emtomo.compute.symmetry import symmetric_angle, symmetry_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import PIXEL, blobs, particles, turned_by

LOCAL = {"initial_lowpass": 60.0, "angular_step": 1.8, "mask_diameter": 200.0}


def errors(poses, truth, symmetry="C1"):
    angle = symmetric_angle(poses.rotations, truth.rotations, symmetry)
    return np.median(angle), np.median(np.linalg.norm(poses.shifts - truth.shifts, axis=1))


def away(truth, degrees=12.0, seed=2):
    return Poses(turned_by(truth.rotations, degrees, seed), np.zeros_like(truth.shifts), truth.half)


@pytest.mark.parametrize(("n", "symmetry"), [(24, "C1"), (25, "C1"), (24, "C3"), (24, "D2")])
def test_local_refinement_finds_the_poses(n, symmetry):
    volume = blobs(n, symmetry, count=14 if symmetry == "C1" else 6)
    source, truth, _ = particles(volume, 40, 3.0)
    start = away(truth)
    result = Refinement(source, start, volume, RefineOptions(symmetry=symmetry, **LOCAL)).run()
    angle, shift = errors(result.poses, truth, symmetry)
    assert angle < 4.0
    assert shift < 0.35
    # the halves' resolution is that against the truth, within a tenth
    against = fourier_shell_correlation(result.average, volume)
    shells = np.flatnonzero(against[1:] < 0.5)
    true = n * PIXEL / (shells[0] + 1 if len(shells) else n / 2)
    assert 0.85 * true < result.resolution < 1.25 * true
    # what it says of its own certainty is what the errors are
    assert 0.5 < np.median(result.poses.angle_spread) * np.sqrt(3) / angle < 2.0


@pytest.mark.parametrize("symmetry", ["D2", "T"])
def test_local_searches_start_from_any_equivalent_orientation(symmetry):
    """RELION 3.1 loses particles of D groups that start outside its asymmetric unit."""
    volume = blobs(24, symmetry, count=4)
    source, truth, _ = particles(volume, 30, 2.0)
    group = symmetry_rotations(symmetry)
    start = away(truth)
    mates = group[np.random.default_rng(0).integers(0, len(group), 30)]
    start.rotations[:] = start.rotations @ mates
    result = Refinement(source, start, volume, RefineOptions(symmetry=symmetry, **LOCAL)).run()
    angle = symmetric_angle(result.poses.rotations, truth.rotations, symmetry)
    assert angle.max() < 12.0
    assert np.median(angle) < 3.0
    # each stays with the equivalent that it was given
    assert angle_between(result.poses.rotations, start.rotations).max() < 30.0


def test_positions_are_found_within_the_offset_range_along_each_axis_and_those_beyond_it_are_reported():
    """A corner of the range is farther than the range; the neighbour in a lattice lies beyond it."""
    volume = blobs(24)
    source, truth, _ = particles(volume, 12, 3.0)
    start = Poses(truth.rotations, truth.shifts.copy(), truth.half)
    start.shifts[1:] += np.random.default_rng(0).choice([-2.4, 2.4], (11, 3))
    start.shifts[0] -= (4.4, 0, 0)
    options = RefineOptions(**LOCAL | {"initial_lowpass": 40.0}, offset_range=3.0, max_iterations=1)
    result = Refinement(source, start, volume, options).run()
    off = np.linalg.norm(result.poses.shifts - truth.shifts, axis=1)
    assert off[1:].max() < 0.6
    assert_allclose(result.poses.shifts[0], start.shifts[0])
    assert_allclose(result.poses.rotations[0], start.rotations[0])
    assert result.metrics[-1].beyond_range == 1
    assert (
        "1 of 12 particles agree with the reference only farther than the offset range (3 voxels" in result.remarks[-1]
    )
    reference = Rotation.random(random_state=1).as_matrix(), np.array([0.3, -0.2, 0.1])
    again = express_in_frame(*express_in_half(truth.rotations[0], truth.shifts[0], reference), reference)
    assert_allclose(np.vstack(again), np.vstack((truth.rotations[0], truth.shifts[0])), atol=1e-12)


def test_a_prior_holds_particles_back():
    volume = blobs(20)
    source, truth, _ = particles(volume, 16, 12.0)
    start = away(truth)
    moved = []
    for width in (0.0, 1.0):
        options = RefineOptions(**LOCAL, prior_width=width, max_iterations=2)
        poses = Refinement(source, start, volume, options).run().poses
        moved.append(np.median(angle_between(poses.rotations, start.rotations)))
    assert moved[1] < 0.5 * moved[0]


def test_global_refinement_needs_no_poses_and_no_grey_scale():
    volume = blobs(24, "C3", count=7)
    source, truth, _ = particles(volume, 30, 2.0)
    start = Poses(np.repeat(np.eye(3)[None], 30, 0), np.zeros((30, 3)), truth.half)
    options = RefineOptions(symmetry="C3", initial_lowpass=60.0, mask_diameter=200.0)
    result = Refinement(source, start, 17.0 * volume + 5.0, options).run()
    angle = symmetric_angle(result.poses.rotations, truth.rotations, "C3")
    assert (angle < 10).mean() > 0.9
    assert result.metrics[0].orientations > 1000
    assert result.metrics[-1].orientations < 100


@pytest.mark.slow  # searches all orientations in four iterations
def test_noise_shows_no_resolution_beyond_the_filter_of_the_reference():
    n = 28
    boxes = np.random.default_rng(0).normal(size=(40, n, n, n)).astype(np.float32)
    source = BoxParticles(n, PIXEL, lambda i: boxes[i], [0] * 40, lambda k: np.ones((n, n, n // 2 + 1)), "none")
    start = Poses(np.repeat(np.eye(3)[None], 40, 0), np.zeros((40, 3)), assign_halves(40, 1))
    options = RefineOptions(initial_lowpass=60.0, mask_diameter=200.0, angular_step=10.0, max_iterations=4)
    result = Refinement(source, start, blobs(n), options).run()
    # within one shell, over which the mask smears what the halves share
    assert n * PIXEL / result.resolution < n * PIXEL / 60.0 + 1


def test_high_passed_particles_refine_too():
    """Reconstruction and normalisation may leave nothing in the coarsest shells."""
    volume = blobs(24)
    source, truth, boxes = particles(volume, 30, 2.0)
    shell = shells_of(24)
    for i in range(30):
        boxes[i] = np.fft.irfftn(np.fft.rfftn(boxes[i]) * (shell > 1), boxes[i].shape)
    result = Refinement(source, away(truth), volume, RefineOptions(**LOCAL)).run()
    assert errors(result.poses, truth)[0] < 4.0
    assert result.resolution < 40.0


def test_threads_do_not_change_the_result():
    volume = blobs(20)
    source, truth, _ = particles(volume, 17, 2.0)
    options = RefineOptions(**LOCAL, max_iterations=2)
    results = []
    for count in (1, 2):
        use_threads(count)
        results.append(Refinement(source, away(truth), volume, options).run())
    use_threads(0)
    assert np.array_equal(results[0].poses.rotations, results[1].poses.rotations)
    assert np.array_equal(results[0].average, results[1].average)


def test_a_constant_and_a_factor_of_particles_change_nothing():
    volume = blobs(20)
    source, truth, boxes = particles(volume, 12, 1.0)
    changed = 7.0 * boxes[:] + np.arange(12)[:, None, None, None]
    other = BoxParticles(20, PIXEL, lambda i: changed[i], source.keys, source.weight, "wedge")
    options = RefineOptions(**LOCAL, max_iterations=2)
    first, second = (Refinement(s, away(truth), volume, options).run() for s in (source, other))
    assert angle_between(first.poses.rotations, second.poses.rotations).max() < 0.2
    assert np.abs(first.average - second.average).max() < 1e-3 * np.abs(first.average).max()


def test_the_frame_does_not_drift():
    volume = blobs(24, "C3", count=6)
    source, truth, _ = particles(volume, 40, 2.0)
    result = Refinement(source, away(truth), volume, RefineOptions(symmetry="C3", **LOCAL)).run()
    relative = np.swapaxes(truth.rotations, 1, 2) @ result.poses.rotations
    about_z = np.rad2deg(np.arctan2(relative[:, 1, 0] - relative[:, 0, 1], relative[:, 0, 0] + relative[:, 1, 1]))
    folded = (about_z + 60) % 120 - 60
    assert abs(np.median(folded)) < 1.5
    turn, shift = align_half(result.average, volume, 5.0, "C3")
    assert np.abs(shift[:2]).max() == 0  # the symmetry fixes x and y
    assert abs(shift[2]) < 0.3
    assert angle_between(turn[None], np.eye(3)[None])[0] < 2.0


def test_halves_in_different_settings_of_the_symmetry_are_brought_together():
    """A D3 particle stands as well after a turn of 60 degrees about z: each half may choose another."""
    volume = blobs(24, "D3", count=5)
    source, truth, _ = particles(volume, 40, 1.0)
    other = truth.copy()
    turn = Rotation.from_euler("z", 60, degrees=True).as_matrix()
    other.rotations[other.half == 2] = other.rotations[other.half == 2] @ turn
    sums = sum_half_sets(source, other, "D3")
    found = find_common_setting(sums, np.ones((24,) * 3), "D3")
    assert found is not None
    assert symmetric_angle(found[None], turn[None], "D3")[0] < 1e-3
    sums[2] = rotate_sums(sums[2], found)
    assert find_common_setting(sums, np.ones((24,) * 3), "D3") is None
    # poses follow the volume: V(g x) is the reference of R g
    again = other.copy()
    again.rotations[again.half == 2] = again.rotations[again.half == 2] @ found
    assert symmetric_angle(again.rotations, truth.rotations, "D3").max() < 1e-3


@pytest.mark.parametrize("symmetry", ["D2", "D7", "T"])
def test_other_settings_map_the_group_onto_itself(symmetry):
    group = symmetry_rotations(symmetry)
    for g in other_settings(symmetry):
        for s in group:
            conjugate = g @ s @ g.T
            assert np.abs(group - conjugate).max(axis=(1, 2)).min() < 1e-6
        assert np.abs(group - g).max(axis=(1, 2)).min() > 0.1


def test_what_halves_share_is_no_evidence_for_sharing_more():
    agree_on_shared = np.array([1, 1, 1, 1, 0.9, 0.3, 0.0, 0.0, 0.0])
    assert shells_to_share(4.0, agree_on_shared, 8.0) == 4.0
    agree_beyond = np.array([1, 1, 1, 1, 0.9, 0.9, 0.9, 0.8, 0.2])
    assert shells_to_share(4.0, agree_beyond, 8.0) == 7.0
    assert shells_to_share(4.0, agree_beyond, 6.0) == 6.0


def test_inverted_contrast_is_said():
    volume = blobs(20)
    source, truth, _ = particles(volume, 16, 0.5)
    result = Refinement(source, truth, -volume, RefineOptions(**LOCAL, max_iterations=1)).run()
    assert any("inverted" in remark for remark in result.remarks)


def test_identical_particles_and_particles_without_weights_do_no_harm():
    n = 20
    volume = blobs(n)
    source, truth, boxes = particles(volume, 8, 1.0)
    no_particles = np.zeros((n, n, n // 2 + 1), np.float32)
    keys = [0, 0, 0, 0, 1, 1, 0, 0]
    mixed = BoxParticles(n, PIXEL, lambda i: boxes[0], keys, lambda k: no_particles if k else source.weight(0), "wedge")
    start = Poses(np.repeat(truth.rotations[:1], 8, 0), np.repeat(truth.shifts[:1], 8, 0), truth.half)
    result = Refinement(mixed, start, volume, RefineOptions(**LOCAL, max_iterations=2)).run()
    assert np.isfinite(result.average).all()
    assert np.isfinite(result.poses.score).all()
    assert angle_between(result.poses.rotations[:1], truth.rotations[:1])[0] < 10


def test_bad_input_is_reported_in_a_sentence():
    volume = blobs(16)
    source, truth, boxes = particles(volume, 4, 1.0)
    with pytest.raises(EmtomoError, match="at least two particles"):
        Refinement(source, Poses(truth.rotations, truth.shifts, np.ones(4, int)), volume, RefineOptions())
    with pytest.raises(EmtomoError, match="reference must be 16 voxels"):
        Refinement(source, truth, blobs(18), RefineOptions())
    with pytest.raises(EmtomoError, match="mask must be 16 voxels"):
        Refinement(source, truth, volume, RefineOptions(), blobs(18))
    with pytest.raises(EmtomoError, match="Symmetry must be"):
        Refinement(source, truth, volume, RefineOptions(symmetry="X3"))
    boxes[2, 3, 3, 3] = np.nan
    with pytest.raises(EmtomoError, match="Particle 3: .*NaN"):
        Refinement(source, truth, volume, RefineOptions(max_iterations=1)).run()
    with pytest.raises(EmtomoError, match="Weights must be one of"):
        BoxParticles(16, 1.0, lambda i: boxes[i], [0], lambda k: k, "squared")


def test_halves_are_equal_kept_and_shared_by_duplicates():
    assert np.bincount(assign_halves(101, 5))[1:].tolist() in ([51, 50], [50, 51])
    assert np.array_equal(assign_halves(50, 5), assign_halves(50, 5))
    given = np.array([1, 2, 0, 0, 2])
    assert np.array_equal(assign_halves(5, 1, given)[[0, 1, 4]], [1, 2, 2])
    together = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    half = assign_halves(8, 3, None, together)
    assert np.array_equal(half[::2], half[1::2])
    assert np.bincount(half)[1:].tolist() == [4, 4]


def test_it_goes_on_while_the_resolution_grows_and_stops_when_nothing_moves():
    start = Progress(3, 8.0, 10.0, 3.0, best_shell=8.0)
    moving = advance(start, 9.0, 32, (0.1, 0.01), (1.0, 0.1), True)
    assert not moving.converged
    still = advance(moving, 9.0, 32, (0.1, 0.01), (1.0, 0.1), True)
    assert still.converged
    assert still.reach_angle < start.reach_angle
    turning = advance(moving, 9.0, 32, (5.0, 0.5), (1.0, 0.1), True)
    assert not turning.converged


def test_blocks_are_added_up_in_float64():
    # float32 would lose the second block: 1e8 + 1 = 1e8
    large, small = np.full((2, 2), 1e8, np.float32), np.ones((2, 2), np.float32)
    no_particles = np.zeros(1)
    for first, second in (
        (
            PartialSums(large, no_particles, no_particles, {1: ()}),
            PartialSums(small, no_particles, no_particles, {2: ()}),
        ),
        (InsertedSums(large), InsertedSums(small)),
    ):
        assert (first.combine(second).sums == 1e8 + 1).all()
