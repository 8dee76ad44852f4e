"""Particles of both half sets at one place."""

import pandas as pd

from emtomo.objects.particle_poses import count_in_both_halves


def test_particles_that_shifts_bring_to_one_place_in_both_halves_are_counted():
    frame = pd.DataFrame({"tomogram_id": list("aaaba"), "x": [0.0, 20, 500, 5, 300], "y": 0.0, "z": 0.0,
                          "shift_x": [5.0, -10, 0, 0, 0], "shift_y": 0.0, "shift_z": 0.0,
                          "half": [1, 2, 1, 2, 2]})  # fmt: skip
    assert count_in_both_halves(frame) == 2
    assert count_in_both_halves(frame.assign(half=1)) == 0
    assert count_in_both_halves(frame.assign(shift_x=0.0)) == 0
    assert count_in_both_halves(frame.iloc[:0]) == 0
