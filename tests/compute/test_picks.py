"""Consensus, cleaning and subsets of picks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.compute.consensus import ConsensusOptions, consensus
from emtomo.compute.rotations import angle_between, from_directions, random_rotations, rotate_in_plane
from emtomo.compute.subset import SubsetOptions, choose
from emtomo.errors import EmtomoError


def pickers(rng, n=40, noise=3.0):
    true = rng.uniform(0, 3000, (n, 3))
    positions = np.concatenate([true + rng.normal(0, noise, true.shape) for _ in range(3)])
    return true, positions, np.repeat([0, 1, 2], n)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), votes=st.sampled_from([-1, 1, 2]))
def test_order_of_picks_and_of_pickers_does_not_matter(seed, votes):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0, 120, (40, 3))  # crowded, so that clusters compete
    picker, score = rng.integers(0, 3, 40), rng.random(40)
    options = ConsensusOptions(radius=25.0, votes=votes)
    a = consensus(positions, picker, options, pickers=3, score=score)
    order, rename = rng.permutation(40), np.array([2, 0, 1])
    b = consensus(positions[order], rename[picker[order]], options, pickers=3, score=score[order])
    assert_allclose(a.positions[np.lexsort(a.positions.T)], b.positions[np.lexsort(b.positions.T)], atol=1e-9)


def test_true_particles_are_found_and_single_picks_are_not(rng):
    true, positions, picker = pickers(rng)
    stray = rng.uniform(4000, 9000, (20, 3))
    found = consensus(
        np.vstack([positions, stray]), np.append(picker, np.zeros(20, int)), ConsensusOptions(radius=20.0), pickers=3
    )
    assert len(found.positions) == 40 and (found.votes == 3).all()
    gap = np.linalg.norm(found.positions[:, None] - true[None], axis=2).min(axis=1)
    assert gap.max() < 8


def test_two_picks_of_one_picker_are_one_vote():
    positions, picker = np.array([[0, 0, 0], [1, 0, 0], [100, 0, 0], [101, 0, 0.0]]), np.array([0, 0, 0, 1])
    found = consensus(positions, picker, ConsensusOptions(radius=5.0, votes=2), pickers=2)
    assert_allclose(found.positions, [[100.5, 0, 0]])


def test_each_picker_weighs_the_same_in_the_mean():
    positions, picker = np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0.0]]), np.array([0, 0, 1])
    found = consensus(positions, picker, ConsensusOptions(radius=5.0, votes=1), pickers=2)
    assert_allclose(found.positions, [[2.5, 0, 0]])


def test_one_set_loses_its_duplicates():
    positions = np.array([[0, 0, 0], [1, 0, 0], [50, 0, 0.0]])
    found = consensus(positions, np.zeros(3, int), ConsensusOptions(radius=3.0), pickers=1, score=np.array([1, 5, 2]))
    assert len(found.positions) == 2 and sorted(found.best) == [1, 2]


def test_exactly_two_votes(rng):
    positions = np.array([[0, 0, 0], [1, 0, 0], [50, 0, 0], [51, 0, 0], [50.5, 0, 0.0]])
    picker = np.array([0, 1, 0, 1, 2])
    assert len(consensus(positions, picker, ConsensusOptions(radius=5, votes=2, mode="="), pickers=3).positions) == 1


def test_orientations_are_averaged_on_the_sphere_and_can_separate():
    base = random_rotations(1, 1)[0]
    close = rotate_in_plane(np.stack([base, base]), np.array([5.0, -5.0]))
    positions = np.zeros((2, 3))
    found = consensus(positions, np.array([0, 1]), ConsensusOptions(radius=5.0), pickers=2, rotations=close)
    assert angle_between(found.rotations[0], base) < 1e-4
    apart = ConsensusOptions(radius=5.0, max_angle=8.0)
    assert len(consensus(positions, np.array([0, 1]), apart, pickers=2, rotations=close).positions) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_and_one(n):
    found = consensus(np.zeros((n, 3)), np.zeros(n, int), ConsensusOptions(votes=1), pickers=2)
    assert len(found.positions) == len(found.votes) == n


def test_more_votes_than_pickers_is_an_error():
    with pytest.raises(EmtomoError, match="asks for 3 votes, but there are 2"):
        consensus(np.zeros((1, 3)), np.zeros(1), ConsensusOptions(votes=3), pickers=2)


def test_of_two_close_particles_the_better_stays_whatever_the_order(rng):
    positions = np.array([[0, 0, 0], [5, 0, 0], [40, 0, 0.0]])
    score = np.array([1.0, 2.0, 0.5])
    keep = clean(positions, None, score, CleanOptions(min_distance=10.0))
    assert keep.tolist() == [False, True, True]
    assert clean(positions[::-1], None, score[::-1], CleanOptions(min_distance=10.0)).tolist() == [True, True, False]


def test_kept_particles_keep_the_distance_and_dropped_ones_are_near_a_better_one(rng):
    positions, score = rng.uniform(0, 500, (600, 3)), rng.random(600)
    keep = clean(positions, None, score, CleanOptions(min_distance=60.0))
    gap = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    kept = np.flatnonzero(keep)
    assert gap[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)].min() >= 60
    for i in np.flatnonzero(~keep):
        assert (score[kept[gap[i, kept] < 60]] >= score[i]).any()


def lattice():
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2) * 50.0
    positions = np.column_stack([grid, np.zeros(25)])
    return np.vstack([positions, [[900, 900, 900.0]]])


def test_a_particle_without_neighbours_is_dropped():
    positions = lattice()
    keep = clean(positions, None, np.zeros(26), CleanOptions(neighbours=2, neighbour_distance=60.0))
    assert keep[:25].all() and not keep[25]


def test_a_normal_that_differs_from_its_neighbours_is_dropped():
    positions = lattice()[:25]
    normals = np.tile([0, 0, 1.0], (25, 1))
    normals[12] = [1, 0, 0]
    options = CleanOptions(neighbour_distance=80.0, max_normal_angle=45.0)
    keep = clean(positions, from_directions(normals), np.zeros(25), options)
    assert not keep[12] and keep.sum() == 24


def test_neighbours_count_only_with_like_orientation():
    positions = lattice()[:25]
    normals = np.tile([0, 0, 1.0], (25, 1))
    normals[12] = [1, 0, 0]
    options = CleanOptions(neighbours=1, neighbour_distance=60.0, neighbour_angle=30.0)
    assert np.flatnonzero(~clean(positions, from_directions(normals), np.zeros(25), options)).tolist() == [12]


def test_no_particles_stay_no_particles():
    options = CleanOptions(min_distance=5.0, neighbours=1)
    assert clean(np.zeros((0, 3)), None, np.zeros(0), options).shape == (0,)


def test_subsets_by_number_seed_group_class_and_score():
    group, score = np.array([1, 2, 2, 3, 2]), np.array([0.1, 0.9, 0.5, 0.7, 0.2])
    assert choose(5, SubsetOptions(groups="2, 3"), group=group).tolist() == [1, 2, 3, 4]
    assert choose(5, SubsetOptions(min_score=0.5), score=score).tolist() == [1, 2, 3]
    assert choose(5, SubsetOptions(groups="2"), group=group, left_out=np.array([0, 2])).tolist() == [1, 4]
    drawn = choose(1000, SubsetOptions(number=10, seed=3))
    assert len(set(drawn)) == 10 and drawn.tolist() == choose(1000, SubsetOptions(number=10, seed=3)).tolist()
    assert drawn.tolist() != choose(1000, SubsetOptions(number=10, seed=4)).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SubsetOptions(groups="a"), "whole numbers"),
        (SubsetOptions(groups="1"), "have none"),
        (SubsetOptions(number=9), "only 5"),
        (SubsetOptions(min_score=1.0), "no score"),
    ],
)
def test_impossible_subsets_are_reported(options, message):
    with pytest.raises(EmtomoError, match=message):
        choose(5, options, group=np.zeros(5) if options.groups == "a" else None)
