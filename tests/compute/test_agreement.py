"""Picks against truth."""

import numpy as np
import pytest

from emtomo.compute.agreement import agreement


def test_each_pick_and_each_place_is_paired_once_the_nearest_first():
    truth = np.array([[0, 0, 0], [10, 0, 0], [100, 0, 0.0]])
    picks = np.array([[4, 0, 0], [1, 0, 0], [50, 0, 0], [11, 0, 0.0]])
    found = agreement(picks, truth, 8)
    assert found.pairs.tolist() == [[1, 0], [3, 1]]
    np.testing.assert_allclose(found.distances, [1, 1])
    assert (found.precision, found.recall) == (0.5, pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(4 / 7)


def test_nothing_agrees_with_nothing():
    none = np.zeros((0, 3))
    assert agreement(none, none, 5).f1 == 1.0
    assert agreement(none, np.ones((2, 3)), 5).recall == 0.0
    assert agreement(np.ones((2, 3)), none, 5).precision == 0.0


def test_agreement_is_that_of_a_brute_search(rng):
    truth, picks = rng.random((40, 3)) * 50, rng.random((60, 3)) * 50
    found = agreement(picks, truth, 9)
    distance = np.linalg.norm(picks[:, None] - truth[None], axis=2)
    pairs = []
    while distance.min() <= 9:
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        pairs.append([i, j])
        distance[i], distance[:, j] = np.inf, np.inf
    assert found.pairs.tolist() == pairs
