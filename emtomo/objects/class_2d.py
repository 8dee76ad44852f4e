"""Classes of particles: an average of each, with how many belong to it."""

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.micrograph import IMAGE_BOX_SIZE, IMAGE_PIXEL_SIZE
from emtomo.wording import count_text


class Class2D(Item):
    """One class of two-dimensional images."""

    FIELDS = (
        Field("class_number", int, "number that its particles have, from 1"),
        Field("file", str, "MRC stack of averages, relative to the project"),
        Field("index", int, "place in the stack, from 0"),
        Field("members", int, "particles of the class", "", 0),
        Field("share", float, "of all particles", "", 0.0),
        Field("resolution", float, "where the spectral signal-to-noise ratio falls to 1; optimistic", "Å"),
        Field("gain", float, "mean log likelihood of a particle in the class over that of noise alone"),
        Field("explained", float, "share of its particles' power above the noise that the average explains"),
        Field("angle_accuracy", float, "accuracy of rotations in the plane", "°"),
        Field("shift_accuracy", float, "accuracy of shifts", "Å"),
    )


class SetOfClasses2D(TableSet):
    """Averages of one size and one pixel size, particles white."""

    ITEM_TYPE = Class2D
    NOUN = "classes"
    FIELDS = (IMAGE_PIXEL_SIZE, IMAGE_BOX_SIZE, Field("particles", int, "that were classified", "", 0))

    def summary(self) -> str:
        """Return number, particles, box and pixel size; where classes were left out, how many particles these have."""
        total = int(self.particles.get() or 0)
        of = f" of {count_text(total, 'particle')}" if total else ""
        members = int(self.frame(["members"])["members"].sum()) if total and len(self) else total
        if members < total:
            of = f" with {members}{of}"
        return f"{count_text(len(self), 'class')}{of}, box {self.box_size.get()}, {self.pixel_size.get():.4g} Å/px"
