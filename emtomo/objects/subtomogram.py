"""Subtomograms: boxes cut around particles, stored as one stack per tomogram."""

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import BOX_SIZE, MICROSCOPE_FIELDS, PIXEL_SIZE, TILT_FIELDS
from emtomo.objects.coordinates import POSITION_FIELDS
from emtomo.objects.rotation import ROTATION_FIELDS
from emtomo.wording import count_text


class Subtomogram(Item):
    """One box; the particle's centre is at position + shift."""

    FIELDS = (
        *POSITION_FIELDS,
        *ROTATION_FIELDS,
        Field("shift_x", float, "particle centre from the box's centre voxel", "Å", 0.0),
        Field("shift_y", float, "particle centre from the box's centre voxel", "Å", 0.0),
        Field("shift_z", float, "particle centre from the box's centre voxel", "Å", 0.0),
        Field("group", int, "model or group that the particle belongs to", "", 1),
        Field("score", float, "larger is better", "", 0.0),
        Field("class_number", int, "class, 0 when not classified", "", 0),
        Field("angle_spread", float, "uncertainty of the orientation: deviation about any axis", "°", 0.0),
        Field("shift_spread", float, "uncertainty of the centre along any axis", "Å", 0.0),
        Field("certainty", float, "probability of this pose against others", "", 0.0),
        Field("half", int, "half set, 1 or 2; 0 before the first refinement", "", 0),
        Field("file", str, "MRC stack of volumes, relative to the project"),
        Field("index", int, "place in the stack, from 0"),
        Field("ctf_file", str, "weights of this box in Fourier space"),
        *TILT_FIELDS[:2],
        Field("set_name", str, "name that the user gave the group"),
    )


class SetOfSubtomograms(TableSet):
    """Boxes of one size and one pixel size."""

    ITEM_TYPE = Subtomogram
    GROUP = "tomogram_id"
    NOUN = "subtomograms"
    FIELDS = (
        PIXEL_SIZE,
        BOX_SIZE,
        *MICROSCOPE_FIELDS,
        Field("white", bool, "particles are brighter than their surroundings", "", False),
        Field("weights", str, "none, wedge, ctf or ctf_squared", "", "wedge"),
        Field("premultiplied", bool, "the images were multiplied with their CTF", "", False),
    )

    def summary(self) -> str:
        """Return number, box, pixel size and contrast."""
        contrast = "white" if self.white.get() else "dark"
        box = self.box_size.get()
        return (
            f"{count_text(len(self), 'subtomogram')}, box {box}, {self.pixel_size.get():.2f} Å/px, particles {contrast}"
        )
