"""Movements of particles as a column of their table."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.tilt.particle_motion import ParticleMotions
from emtomo.errors import EmtomoError
from emtomo.objects.particle_motions import motion_texts, motions_of


def test_movements_travel_in_tables():
    values = np.random.default_rng(3).normal(0, 1, (2, 12, 3, 3))
    motions = ParticleMotions(np.deg2rad(values[0]), 4 * values[1])
    again = motions_of(pd.DataFrame({"motion": motion_texts(motions, 12)}))
    assert_allclose(again.shifts, motions.shifts, atol=1e-4)
    assert_allclose(again.rotations, motions.rotations, atol=1e-6)
    assert motions_of(pd.DataFrame({"motion": [None, ""]})) is None and motions_of(pd.DataFrame({"x": [1]})) is None
    mixed = motions_of(pd.DataFrame({"motion": [None, motion_texts(motions, 12)[0], "[[0,0,0,0,0,0],[0,0,0,2,0,0]]"]}))
    assert not mixed.shifts[0].any()
    assert_allclose(mixed.shifts[2, :, 0], [0, 1, 2])
    for text in ("[[1, 2]]", "no", "[[0,0,0,0,0,0]]", "[[0,0,0,0,0,NaN],[0,0,0,0,0,0]]", "{}", "[" * 5000):
        with pytest.raises(EmtomoError, match="The movement of particle 2 must be 6 finite numbers"):
            motions_of(pd.DataFrame({"motion": [None, text]}))
