"""Classes of particles in three dimensions: a map of each, with how many belong to it."""

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import BOX_SIZE, PIXEL_SIZE
from emtomo.wording import count_text


class Class3D(Item):
    """One class: its particles' average, filtered."""

    FIELDS = (
        Field("class_number", int, "number that its particles have, from 1"),
        Field("file", str, "MRC volume, relative to the project"),
        Field("members", int, "particles whose likeliest class it is", "", 0),
        Field("share", float, "of all particles, by their probabilities", "", 0.0),
        Field("resolution", float, "where halves that share their reference correlate 0.143; optimistic", "Å"),
    )


class SetOfClasses3D(TableSet):
    """Maps of one size and one pixel size, particles white."""

    ITEM_TYPE = Class3D
    NOUN = "classes"
    FIELDS = (
        PIXEL_SIZE,
        BOX_SIZE,
        Field("particles", int, "that were classified", "", 0),
        Field("symmetry", str, "point group of the maps", "", "C1"),
    )

    def summary(self) -> str:
        """Return number, particles, shares, box and pixel size."""
        shares = ", ".join(f"{share:.0%}" for share in self.frame(["share"])["share"])
        return (
            f"{count_text(len(self), 'class')} of {count_text(self.particles.get(), 'particle')} "
            f"({shares}), box {self.box_size.get()}, "
            f"{self.pixel_size.get():.4g} Å/px"
        )
