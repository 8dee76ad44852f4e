"""Positions of particles in micrographs."""

import numpy as np
import pandas as pd

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.micrograph import IMAGE_BOX_SIZE, IMAGE_PIXEL_SIZE
from emtomo.wording import count_text

POSITION_2D_FIELDS = (
    Field("micrograph_id", str, "the micrograph"),
    Field("x", float, "position from the centre of the micrograph's first pixel", "Å"),
    Field("y", float, "position from the centre of the micrograph's first pixel", "Å"),
)


class Coordinate2D(Item):
    """One particle in one micrograph."""

    FIELDS = (
        *POSITION_2D_FIELDS,
        Field("score", float, "the picker's score, or figure of merit; larger is better", "", 0.0),
        Field("diameter", float, "of the template that fits best; missing: not known", "Å"),
        Field("template", int, "number of the template that fits best, from 1; 0 where there is none", "", 0),
        Field("psi", float, "rotation of that template, from x towards y", "°", 0.0),
        Field("picker", str, "who picked it"),
    )


class SetOfCoordinates2D(TableSet):
    """Particles of any number of micrographs; positions are in Å, so that they mean the same at every binning."""

    ITEM_TYPE = Coordinate2D
    GROUP = "micrograph_id"
    NOUN = "particles"
    FIELDS = (IMAGE_PIXEL_SIZE, IMAGE_BOX_SIZE)

    def positions(self, micrograph_id: str | None = None) -> np.ndarray:
        """Return `(n, 2)` x, y in Å from the centre of the first pixel."""
        return self.frame(["x", "y"], micrograph_id).to_numpy(float)

    def summary(self) -> str:
        """Return number, micrographs and box."""
        where = len(self.group_ids())
        box = f", box {self.box_size.get()}" if self.box_size.get() else ""
        return f"{count_text(len(self), 'particle')} in {count_text(where, 'micrograph')}{box}"


def coordinates_2d_frame(micrograph_id: str, positions: np.ndarray, **columns: object) -> pd.DataFrame:
    """Return rows for :meth:`SetOfCoordinates2D.extend`.

    Parameters
    ----------
    micrograph_id : str
    positions : (n, 2) array
        x, y in Å from the centre of the first pixel.
    **columns
        score, picker, ...: one value or one per particle.
    """
    positions = np.asarray(positions, float).reshape(-1, 2)
    n = len(positions)
    data: dict[str, object] = {"micrograph_id": np.full(n, micrograph_id, dtype=object)}
    data |= {"x": positions[:, 0], "y": positions[:, 1], **columns}
    return pd.DataFrame(data, index=range(n))
