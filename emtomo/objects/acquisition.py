"""How tomograms were acquired: the fields that sets of tomograms and subtomograms share."""

from emtomo.engine.fields import Field

TILT_FIELDS = (
    Field("tilt_min", float, "smallest tilt angle", "°", -60.0),
    Field("tilt_max", float, "largest tilt angle", "°", 60.0),
    Field("tilt_step", float, "step between tilt angles", "°"),
    Field("tilt_axis_angle", float, "tilt axis from the vertical, counter-clockwise", "°"),
)
MICROSCOPE_FIELDS = (
    Field("voltage", float, "acceleration voltage", "kV", 300.0),
    Field("cs", float, "spherical aberration", "mm", 2.7),
    Field("amplitude_contrast", float, "fraction of amplitude contrast", "", 0.1),
)
PIXEL_SIZE = Field("pixel_size", float, "length of a voxel's edge", "Å")
BOX_SIZE = Field("box_size", int, "edge of the box around a particle", "voxel")
