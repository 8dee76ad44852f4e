"""Which classes are kept, and what centring and regrouping do."""

import numpy as np
import pytest

from emtomo.compute.classification.averages import centres_of_mass
from emtomo.compute.classification.selection import (
    SelectClassesOptions,
    choose_classes,
    class_scores,
    move_members,
    rank_classes,
    recenter_averages,
    regroup,
)
from tests.compute.classification.data import shapes

GAIN = np.array([40.0, 10.0, np.nan, 25.0, 30.0])
MEMBERS = np.array([20, 50, 0, 30, 5])
RESOLUTION = np.array([20.0, 30.0, 60.0, np.nan, 25.0])


def numbers(**options) -> list[int]:
    chosen = options.pop("chosen", None)
    return (
        np.flatnonzero(choose_classes(SelectClassesOptions(**options), GAIN, MEMBERS, RESOLUTION, chosen)) + 1
    ).tolist()


def test_classes_are_ranked_by_gain():
    assert rank_classes(GAIN, MEMBERS).tolist() == [0, 4, 3, 1, 2]
    assert class_scores(GAIN, MEMBERS) == pytest.approx([1, 10 / 25, 0, 1, 1])
    assert class_scores(np.full(2, np.nan), np.zeros(2)).tolist() == [0, 0]
    explained = np.array([0.4, 1.0, np.nan, np.nan, 0.9])
    best = choose_classes(SelectClassesOptions(best=2), GAIN, MEMBERS, RESOLUTION, None, explained)
    assert np.flatnonzero(best).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 4, 5]),
        ({"min_particles": 0}, [1, 2, 3, 4, 5]),
        ({"best": 2}, [1, 5]),
        ({"min_gain": 26.0}, [1, 5]),
        ({"min_particles": 20}, [1, 2, 4]),
        ({"min_resolution": 25.0}, [1, 4, 5]),
        ({"automatic": True}, [1, 4, 5]),
        ({"automatic": True, "min_score": 0.3}, [1, 2, 4, 5]),
        ({"automatic": True, "rank_resolution": 22.0, "least_classes": 3}, [1, 4, 5]),
        ({"automatic": True, "rank_resolution": 22.0, "least_particles": 51}, [1, 4, 5]),
        ({"automatic": True, "least_particles": 56}, [1, 2, 4, 5]),
        ({"automatic": True, "rank_resolution": 22.0}, [1, 4]),
        ({"chosen": np.array([False, True, False, True, False])}, [2, 4]),
        ({"chosen": np.array([False, True, False, True, False]), "automatic": True}, [4]),
    ],
)
def test_rules(options, expected):
    assert numbers(**options) == expected


@pytest.mark.parametrize("n", [32, 33])
def test_averages_are_centred_and_members_move_with_them(n):
    """A particle is its average turned by psi from x towards y: its centre moves by the turned vector."""
    off = np.array([[4.0, -2.5], [-3.0, 1.0]])
    averages = np.stack([np.roll(a, (round(y), round(x)), (0, 1)) for a, (x, y) in zip(shapes(n, 2), off, strict=True)])
    centred, centre = recenter_averages(averages)
    assert np.abs(centres_of_mass(centred)).max() < 0.2
    assert np.abs(centre - np.rint(off)).max() < 2.5  # what is clearly white is not all the mass
    assert centred.mean() == pytest.approx(averages.mean(), rel=0.05)
    by = move_members(np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([0.0, 90.0]))
    assert by == pytest.approx(np.array([[2.0, 0.0], [0.0, 2.0]]), abs=1e-9)


def test_groups_hold_whole_micrographs_of_alike_defocus():
    micrograph = np.repeat(np.arange(6), [5, 3, 8, 8, 4, 4])
    defocus = np.array([3.0, 1.0, 2.0, 5.0, 4.0, np.nan])[micrograph]
    group = regroup(micrograph, defocus, 3)
    assert all(len(np.unique(group[micrograph == m])) == 1 for m in range(6))
    first = [int(group[micrograph == m][0]) for m in (1, 2, 0, 4, 3, 5)]
    assert first == sorted(first) and set(first) == {1, 2, 3}
    assert set(regroup(micrograph, defocus, 1)) == {1}
    assert len(set(regroup(micrograph, defocus, 100))) == 6
