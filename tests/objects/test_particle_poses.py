"""Poses of a set's particles: what is no finite number is refused by one sentence."""

import numpy as np
import pandas as pd
import pytest

from emtomo.errors import EmtomoError
from emtomo.objects import coordinates_frame
from emtomo.objects.particle_poses import poses_of


def frame_with(column: str, value: float) -> pd.DataFrame:
    frame = coordinates_frame("a", np.zeros((2, 3)), np.repeat(np.eye(3)[None], 2, axis=0))
    frame = frame.assign(half=0, shift_x=0.0, shift_y=0.0, shift_z=0.0)
    frame.loc[1, column] = value
    return frame


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("column", "sentence"),
    [("x", "The position of particle 2 must be finite"), ("shift_z", "The shift of particle 2 must be finite")],
)
def test_what_is_no_finite_number_is_refused(column, sentence, value):
    with pytest.raises(EmtomoError, match=sentence):
        poses_of(frame_with(column, value), 2.0, 1)


def test_infinite_rotations_are_refused_unknown_ones_are_the_identity():
    assert np.array_equal(poses_of(frame_with("r11", np.nan), 2.0, 1).rotations[1], np.eye(3))
    with pytest.raises(EmtomoError, match="The rotation of particle 2 must be finite"):
        poses_of(frame_with("r11", np.inf), 2.0, 1)
