"""What forms say of the classes that an input takes."""

from emtomo.engine.form import plain_type
from emtomo.engine.plugin import Domain


def test_classes_are_said_in_words():
    assert plain_type(["Average", "Volume"]) == "average or volume"
    assert plain_type(["SetOfTiltSeries"]) == "tilt series"
    several = plain_type(["SetOfCoordinates3D", "SetOfSubtomograms", "SetOfMeshes"])
    assert several == "3D coordinates, subtomograms or meshes"
    assert plain_type(["FSC"]) == "FSC"


def test_no_two_kinds_of_input_have_the_same_words():
    names = {name for name in Domain.getObjects() if name.startswith("SetOf")}
    words = {name: plain_type([name]) for name in names}
    assert len(set(words.values())) == len(names), words
