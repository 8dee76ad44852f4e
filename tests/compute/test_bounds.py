"""What is no finite number never becomes an index: one sentence from every function that reads arrays at positions."""

import numpy as np
import pytest

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.compute.consensus import ConsensusOptions, consensus
from emtomo.compute.extraction import ExtractOptions, box_starts, extract
from emtomo.compute.geometry.clusters import count_clusters
from emtomo.compute.geometry.spacing import evenly_spaced
from emtomo.compute.slices import BACKGROUND, draw_slice
from emtomo.compute.tilt.projection import back_project, project
from emtomo.compute.tracking import track_membrane
from emtomo.errors import EmtomoError

BOX = np.arange(512, dtype=np.float32).reshape(8, 8, 8)
WRONG = [np.nan, np.inf, -np.inf]
EYE = np.eye(3)[None]


def wrong_row(value: float, rows: int = 2) -> np.ndarray:
    positions = np.arange(3.0 * rows).reshape(rows, 3)
    positions[1, 2] = value
    return positions


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda v: box_starts(wrong_row(v), 4), "Particle 2 lies at"),
        (lambda v: rotate_boxes(BOX[None], EYE * v, np.zeros((1, 3))), "The rotation of box 1 must be finite"),
        (lambda v: rotate_boxes(BOX[None], EYE, np.full((1, 3), v)), "The shift of box 1 must be finite"),
        (lambda v: evenly_spaced(wrong_row(v), 2.0), "Candidate 2 must be finite"),
        (lambda v: clean(wrong_row(v), None, np.zeros(2), CleanOptions(min_distance=5)), "Position 2 must be finite"),
        (lambda v: consensus(wrong_row(v), np.zeros(2, int), ConsensusOptions(), pickers=1), "Position 2 must be"),
        (lambda v: track_membrane(BOX, wrong_row(v, 12), [3]), "Point 2 must be finite"),
        (lambda v: project(BOX, np.array([0, v])), "Tilt angle 2 must be finite"),
        (lambda v: back_project(BOX[:2], np.array([0, v]), 4), "Tilt angle 2 must be finite"),
    ],
)
def test_what_is_no_finite_number_is_refused(call, sentence, value):
    with np.errstate(invalid="ignore"), pytest.raises(EmtomoError, match=sentence):
        call(value)


def test_a_distance_of_nothing_is_refused():
    with pytest.raises(EmtomoError, match="must be above 0"):
        evenly_spaced(np.zeros((2, 3)), 0.0)


@pytest.mark.parametrize("start", [-(2**30), -7, 7, 2**30])
def test_boxes_beyond_the_volume_repeat_its_border(start):
    out = np.empty((1, 4, 4, 4), np.float32)
    extract(BOX, np.full((1, 3), start), ExtractOptions(box_size=4, invert=False, normalize="none", border="pad"), out)
    assert (out == (BOX[0, 0, 0] if start < 0 else BOX[7, 7, 7])).all()
    with pytest.raises(EmtomoError, match="no tomogram can be"):
        extract(BOX, np.full((1, 3), 2**40), ExtractOptions(box_size=4), out)


@pytest.mark.parametrize(
    ("at", "step"), [(np.nan, 0.5), (np.nan, 1.0), (1e6, 0.5), (-1e6, 1.0), (1e6, 2.5), (-1e6, 2.5)]
)
def test_a_slice_looked_at_from_nowhere_is_background(at, step):
    assert (draw_slice(BOX[0], at, 0.0, step, (0.0, 1.0), (3, 3)) == BACKGROUND).all()


def test_shifts_far_beyond_the_box_give_what_lies_outside():
    turned = rotate_boxes(BOX[None], EYE, np.full((1, 3), 1e7))
    assert np.allclose(turned, 0.5 * (BOX[0].mean() + BOX[7].mean()))


def test_clusters_apart_are_counted(rng):
    angle = rng.uniform(0, 2 * np.pi, 40)
    ring = 30 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert count_clusters(ring) == 1
    places = np.array([[0, 0], [150, 10], [20, 160], [160, 170], [320, 90]])
    assert count_clusters(np.concatenate([ring + place for place in places])) == 5
    assert count_clusters(np.zeros((0, 2))) == count_clusters(ring[:5]) == 1
    assert count_clusters(rng.uniform(0, 100, (500, 2))) == 1
