"""Positions, and orientations where they are known, of particles in tomograms."""

import numpy as np
import pandas as pd

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import BOX_SIZE, PIXEL_SIZE
from emtomo.objects.rotation import ROTATION_FIELDS, positions_of, rotation_columns, rotations_of
from emtomo.wording import count_text

POSITION_FIELDS = (
    Field("tomogram_id", str, "the tomogram"),
    Field("x", float, "position from the tomogram's centre", "Å"),
    Field("y", float, "position from the tomogram's centre", "Å"),
    Field("z", float, "position from the tomogram's centre", "Å"),
)


class Coordinate3D(Item):
    """One particle in one tomogram."""

    FIELDS = (
        *POSITION_FIELDS,
        *ROTATION_FIELDS,
        Field("group", int, "model or group that the particle belongs to", "", 1),
        Field("score", float, "the picker's score; larger is better", "", 0.0),
        Field("picker", str, "who picked it"),
        Field("set_name", str, "name that the user gave the group"),
    )


class SetOfCoordinates3D(TableSet):
    """Particles of any number of tomograms."""

    ITEM_TYPE = Coordinate3D
    GROUP = "tomogram_id"
    NOUN = "particles"
    FIELDS = (PIXEL_SIZE, BOX_SIZE)

    def positions(self, tomogram_id: str | None = None) -> np.ndarray:
        """Return `(n, 3)` x, y, z in Å from the tomogram's centre."""
        return positions_of(self.frame(["x", "y", "z"], tomogram_id))

    def rotations(self, tomogram_id: str | None = None) -> np.ndarray:
        """Return `(n, 3, 3)` rotations, tomogram = R @ reference; NaN where unknown."""
        return rotations_of(self.frame(tomogram_id=tomogram_id))

    def summary(self) -> str:
        """Return number, tomograms and how many have an orientation."""
        oriented, where = self.count("r11"), len(self.tomogram_ids())
        how = "oriented" if oriented == len(self) and len(self) else f"{oriented} oriented"
        return (
            f"{count_text(len(self), 'particle')} in {count_text(where, 'tomogram')}, {how}, box {self.box_size.get()}"
        )


def coordinates_frame(
    tomogram_id: str, positions: np.ndarray, rotations: np.ndarray | None = None, **columns: object
) -> pd.DataFrame:
    """Return rows for :meth:`SetOfCoordinates3D.extend`.

    Parameters
    ----------
    tomogram_id : str
    positions : (n, 3) array
        x, y, z in Å from the centre.
    rotations : (n, 3, 3) array, optional
    **columns
        group, score or picker: one value or one per particle.
    """
    positions = np.asarray(positions, float).reshape(-1, 3)
    n = len(positions)
    data: dict[str, object] = {"tomogram_id": np.full(n, tomogram_id, dtype=object)}
    data.update({name: positions[:, k] for k, name in enumerate("xyz")})
    data.update(rotation_columns(rotations, n))
    data.update(columns)
    return pd.DataFrame(data, index=range(n))


__all__ = ["Coordinate3D", "SetOfCoordinates3D", "coordinates_frame"]
