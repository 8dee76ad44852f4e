"""What forms say of the classes that an input takes."""

from emtomo.engine.form import plain_type


def test_classes_are_said_in_words():
    assert plain_type(["Average", "Volume"]) == "average or volume"
    assert plain_type(["SetOfTiltSeries"]) == "tilt series"
    assert (
        plain_type(["SetOfCoordinates3D", "SetOfSubtomograms", "SetOfMeshes"]) == "coordinates, subtomograms or meshes"
    )
    assert plain_type(["FSC"]) == "FSC"
