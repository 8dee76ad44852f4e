"""Tilt series: stacks of projections with what is known of each tilt."""

import json
from typing import Any

import pandas as pd

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import MICROSCOPE_FIELDS, PIXEL_SIZE

TILT_COLUMNS = (
    "index", "angle", "acquisition_order", "dose", "shift_x", "shift_y", "rotation",
    "defocus_u", "defocus_v", "defocus_angle", "phase_shift", "excluded",
)  # fmt: skip


class TiltSeries(Item):
    """One stack of projections; its table of tilts is stored as JSON in one cell."""

    FIELDS = (
        Field("tomogram_id", str, "the tomogram that the series gives"),
        Field("file", str, "MRC stack, relative to the project"),
        Field("tilts", str, "table of the tilts as JSON, columns as in TILT_COLUMNS"),
    )

    def table(self) -> pd.DataFrame:
        """Return the tilts: angles in degrees, dose in e/Å², shifts and defocus in Å."""
        return pd.DataFrame(json.loads(self.tilts.get()))


class SetOfTiltSeries(TableSet):
    """Tilt series of one pixel size."""

    ITEM_TYPE = TiltSeries
    NOUN = "tilt series"
    FIELDS = (PIXEL_SIZE, *MICROSCOPE_FIELDS)


def tilts_json(table: pd.DataFrame) -> str:
    """Return `table` as the text of the ``tilts`` cell, missing columns filled with zero.

    Raises
    ------
    ValueError
        If there is a column that no tilt has.
    """
    unknown = sorted(set(table.columns) - set(TILT_COLUMNS))
    if unknown:
        raise ValueError(f"a tilt has no column {', '.join(unknown)}; it has {', '.join(TILT_COLUMNS)}")
    columns: dict[str, Any] = {
        name: table[name].tolist() if name in table else [0] * len(table) for name in TILT_COLUMNS
    }
    return json.dumps(columns)
