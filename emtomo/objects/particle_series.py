"""Particle series: particles as lists of 2D images, one a tilt, with a pose in the tomogram's frame."""

from emtomo.engine.fields import Field
from emtomo.engine.table import TableSet
from emtomo.objects.acquisition import BOX_SIZE, MICROSCOPE_FIELDS, PIXEL_SIZE
from emtomo.objects.subtomogram import Subtomogram
from emtomo.wording import count_text


class ParticleSeries(Subtomogram):
    """The tilt images of one particle; its centre is at position + shift, and ``ctf_file`` stays empty.

    The images lie in ``file`` one after the other from ``index`` on, in the order of the tilt series' table. Without a
    file they are cut from the tilt series when they are needed.
    """

    FIELDS = (
        *Subtomogram.FIELDS,
        Field(
            "motion",
            str,
            "movement over the dose from the pose, which is that at the first dose: JSON, "
            "rotation about the particle's axes (degrees) and shift (Å) at doses spread evenly; empty for none",
        ),
        Field("visible", str, "one character a tilt of the series: 1 where an image shows the particle, else 0"),
    )


class SetOfParticleSeries(TableSet):
    """Particle series of one size and one pixel size; geometry, CTF and dose are those of the tilt series."""

    ITEM_TYPE = ParticleSeries
    GROUP = "tomogram_id"
    NOUN = "particle series"
    FIELDS = (
        PIXEL_SIZE,
        BOX_SIZE,
        *MICROSCOPE_FIELDS,
        Field("white", bool, "particles are brighter than their surroundings", "", True),
        Field("premultiplied", bool, "the images were multiplied with their CTF and dose weights", "", False),
        Field("every_tilt", bool, "stacks have an image for every tilt, else only for visible ones", "", False),
    )

    def summary(self) -> str:
        """Return number, box, pixel size, and whether the images are on disk."""
        box, size = self.box_size.get(), self.pixel_size.get()
        where = "" if self.count("file") else ", images are cut from the tilt series"
        return f"{count_text(len(self), 'particle series')}, box {box}, {size:.4g} Å/px{where}"
