"""Particles of micrographs: images cut around them, with pose, class and CTF."""

import pandas as pd

from emtomo.compute.optics.ctf import Ctf
from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import MICROSCOPE_FIELDS
from emtomo.objects.coordinates_2d import POSITION_2D_FIELDS
from emtomo.objects.micrograph import IMAGE_BOX_SIZE, IMAGE_PIXEL_SIZE
from emtomo.objects.optics_fields import DEFOCUS_FIELDS, ctf_of
from emtomo.objects.rotation import ROTATION_FIELDS
from emtomo.wording import count_text


class Particle(Item):
    """One image; the particle's centre is at position + shift.

    The rotation is that of three dimensions, image = R @ reference with z along the beam; ``psi`` is that of two: it
    turns the class average into the particle.
    """

    FIELDS = (
        Field("particle_id", int, "number that a particle keeps through all protocols, from 1", "", 0),
        *POSITION_2D_FIELDS,
        *ROTATION_FIELDS,
        Field("psi", float, "turns the class average into the particle, from x towards y", "°", 0.0),
        Field("shift_x", float, "particle centre from the image's centre pixel", "Å", 0.0),
        Field("shift_y", float, "particle centre from the image's centre pixel", "Å", 0.0),
        Field("score", float, "the picker's score, or figure of merit; larger is better", "", 0.0),
        Field("class_number", int, "class, 0 when not classified", "", 0),
        Field("gain", float, "log likelihood of the particle in its class over that of noise alone"),
        Field("group", int, "particles of one group share noise spectrum and scale", "", 1),
        Field("angle_spread", float, "uncertainty of the orientation: deviation about any axis", "°", 0.0),
        Field("shift_spread", float, "uncertainty of the centre along any axis", "Å", 0.0),
        Field("certainty", float, "probability of this pose against others", "", 0.0),
        Field("half", int, "half set, 1 or 2; 0 before the first refinement", "", 0),
        Field("file", str, "MRC stack of images, relative to the project"),
        Field("index", int, "place in the stack, from 0"),
        *DEFOCUS_FIELDS,
    )


class SetOfParticles(TableSet):
    """Images of one size and one pixel size."""

    ITEM_TYPE = Particle
    GROUP = "micrograph_id"
    NOUN = "particles"
    FIELDS = (
        IMAGE_PIXEL_SIZE,
        IMAGE_BOX_SIZE,
        *MICROSCOPE_FIELDS,
        Field("white", bool, "particles are brighter than their surroundings", "", True),
        Field("premultiplied", bool, "the images were multiplied with their CTF", "", False),
    )

    def ctf(self, frame: pd.DataFrame | None = None) -> Ctf:
        """Return the CTFs of some rows (all by default); an error names micrographs without one."""
        return ctf_of(self.frame() if frame is None else frame, self)

    def summary(self) -> str:
        """Return number, box, pixel size, contrast, and what is known of pose and CTF."""
        parts = [
            f"{count_text(len(self), 'particle')}",
            f"box {self.box_size.get()}",
            f"{self.pixel_size.get():.4g} Å/px",
        ]
        parts.append(f"particles {'white' if self.white.get() else 'dark'}")
        oriented, known = self.count("r11"), self.count("defocus_u")
        if oriented:
            parts.append("oriented" if oriented == len(self) else f"{oriented} oriented")
        if known < len(self):
            parts.append("without CTF" if known == 0 else f"{known} with CTF")
        return ", ".join(parts)
