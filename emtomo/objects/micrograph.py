"""Micrographs: images of many particles, with what is known of their CTF."""

import pandas as pd

from emtomo.compute.optics.ctf import Ctf
from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import MICROSCOPE_FIELDS
from emtomo.objects.optics_fields import DEFOCUS_FIELDS, ctf_of
from emtomo.wording import count_text

IMAGE_PIXEL_SIZE = Field("pixel_size", float, "length of a pixel's edge", "Å")
IMAGE_BOX_SIZE = Field("box_size", int, "edge of the box around a particle", "pixel")


class Micrograph(Item):
    """One motion-corrected micrograph."""

    FIELDS = (
        Field("micrograph_id", str, "name that binds particles to this micrograph"),
        Field("file", str, "MRC file, relative to the project"),
        Field("size_x", int, "columns", "pixel"),
        Field("size_y", int, "rows", "pixel"),
        *DEFOCUS_FIELDS,
        Field("ctf_score", float, "agreement of the fit with the power spectrum, 1 at best"),
        Field("max_resolution", float, "to which the fit agrees", "Å"),
    )


class SetOfMicrographs(TableSet):
    """Micrographs of one pixel size."""

    ITEM_TYPE = Micrograph
    GROUP = "micrograph_id"
    NOUN = "micrographs"
    FIELDS = (
        IMAGE_PIXEL_SIZE,
        *MICROSCOPE_FIELDS,
        Field("white", bool, "particles are brighter than their surroundings", "", False),
    )

    def shape(self, micrograph_id: str) -> tuple[int, int]:
        """Return ``(y, x)`` pixels of one micrograph."""
        row = self.frame(["size_y", "size_x"], micrograph_id).iloc[0]
        return int(row["size_y"]), int(row["size_x"])

    def ctf(self, frame: pd.DataFrame | None = None) -> Ctf:
        """Return the CTFs of some rows (all by default); an error names micrographs without one."""
        return ctf_of(self.frame() if frame is None else frame, self)

    def summary(self) -> str:
        """Return number, size, pixel size and how many have a CTF."""
        sizes = {tuple(row) for row in self.frame(["size_x", "size_y"]).itertuples(index=False)}
        size = "×".join(str(n) for n in next(iter(sizes))) if len(sizes) == 1 else "of several sizes"
        known = self.count("defocus_u")
        ctf = "with CTF" if known == len(self) else "without CTF" if known == 0 else f"{known} with CTF"
        return f"{count_text(len(self), 'micrograph')} {size} at {self.pixel_size.get():.4g} Å/px, {ctf}"
