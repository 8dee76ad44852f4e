"""Sets of the single-particle branch: micrographs, picks, particles, classes."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.optics.ctf import Ctf
from emtomo.errors import EmtomoError
from emtomo.objects import (
    SetOfClasses2D,
    SetOfCoordinates2D,
    SetOfMicrographs,
    SetOfParticles,
    coordinates_2d_frame,
)
from emtomo.objects.selection import set_identity

NAME = "mic 'a' ü"


def micrographs(path, defocus=(10000.0, np.nan)):
    made = SetOfMicrographs.create(path, pixel_size=1.77, voltage=200.0, cs=1.4, amplitude_contrast=0.08)
    made.extend(
        pd.DataFrame(
            {
                "micrograph_id": [NAME, "b"],
                "file": ["a.mrc", "b.mrc"],
                "size_x": [100, 120],
                "size_y": [90, 90],
                "defocus_u": np.array(defocus) + 100,
                "defocus_v": np.array(defocus) - 100,
                "defocus_angle": [30.0, np.nan],
            }
        )
    )
    made.write()
    return SetOfMicrographs.open(path)


def test_micrographs_know_their_size_and_ctf(tmp_path):
    found = micrographs(tmp_path / "m.sqlite")
    assert found.shape("b") == (90, 120) and found.group_ids() == [NAME, "b"]
    assert found.summary() == "2 micrographs of several sizes at 1.77 Å/px, 1 with CTF"
    ctf = found.ctf(found.frame(tomogram_id=NAME))
    expected = Ctf(10100.0, 9900.0, 30.0, 0.0, cs=1.4, amplitude_contrast=0.08, voltage=200.0)
    assert_allclose(ctf.image((16, 16), 1.77)[0], expected.image((16, 16), 1.77))


def test_a_missing_ctf_is_one_sentence_that_names_the_micrographs(tmp_path):
    with pytest.raises(EmtomoError, match=r"The CTF of 1 micrograph is not known \(b\): estimate it first"):
        micrographs(tmp_path / "m.sqlite").ctf()


def test_picks_of_several_micrographs(tmp_path):
    path = tmp_path / "c.sqlite"
    made = SetOfCoordinates2D.create(path, pixel_size=1.77, box_size=64)
    made.extend(coordinates_2d_frame(NAME, np.arange(6.0).reshape(3, 2), score=[3, 2, 1], picker="log"))
    made.extend(coordinates_2d_frame("b", np.zeros((0, 2))))
    made.extend(coordinates_2d_frame("c", np.ones((1, 2))))
    made.write()
    found = SetOfCoordinates2D.open(path)
    assert_allclose(found.positions(NAME), np.arange(6.0).reshape(3, 2))
    assert found.group_ids() == [NAME, "c"] and len(found.positions("b")) == 0
    assert found.summary() == "4 particles in 2 micrographs, box 64"
    assert found.frame()["psi"].tolist() == [0.0] * 4


def test_particles_say_what_is_known_of_them(tmp_path):
    path = tmp_path / "p.sqlite"
    made = SetOfParticles.create(path, pixel_size=3.54, box_size=64)
    made.extend(pd.DataFrame({"micrograph_id": ["a", "b"], "x": 1.0, "y": 2.0, "file": "s.mrcs", "index": [0, 1]}))
    made.write()
    found = SetOfParticles.open(path)
    assert found.summary() == "2 particles, box 64, 3.54 Å/px, particles white, without CTF"
    assert np.isnan(found.frame()["r11"]).all()
    with pytest.raises(EmtomoError, match="2 micrographs is not known"):
        found.ctf()


def test_particles_of_different_micrographs_are_different_items(tmp_path):
    """A hand-made selection must not be taken for another set's."""
    seen = set()
    for name in ("a", "b"):
        path = tmp_path / f"{name}.sqlite"
        SetOfCoordinates2D.save(path, coordinates_2d_frame(name, np.ones((2, 2))))
        seen.add(set_identity(SetOfCoordinates2D.open(path)))
    assert len(seen) == 2


def test_classes_have_members_and_no_micrograph(tmp_path):
    path = tmp_path / "k.sqlite"
    frame = pd.DataFrame({"class_number": [1, 2], "file": "k.mrcs", "index": [0, 1], "members": [3, 1]})
    SetOfClasses2D.save(path, frame, pixel_size=3.54, box_size=64, particles=4)
    found = SetOfClasses2D.open(path)
    assert found.group_ids() == [] and found.summary() == "2 classes of 4 particles, box 64, 3.54 Å/px"
    SetOfClasses2D.save(tmp_path / "one.sqlite", frame[:1], pixel_size=3.54, box_size=64, particles=4)
    kept = SetOfClasses2D.open(tmp_path / "one.sqlite")
    assert kept.summary() == "1 class with 3 of 4 particles, box 64, 3.54 Å/px"
