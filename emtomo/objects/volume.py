"""Single results: volumes, averages, masks, curves."""

import math
from typing import Any

from pyworkflow.object import OrderedObject

from emtomo.compute.fourier.shell_correlation import reaches_nyquist, resolution_text
from emtomo.engine.fields import Field, Fielded
from emtomo.objects.acquisition import BOX_SIZE, PIXEL_SIZE
from emtomo.wording import count_text


class Result(Fielded, OrderedObject):
    """One file with what is known about it."""

    def __init__(self, **values: Any) -> None:
        OrderedObject.__init__(self)
        if math.isnan(values.get("resolution") or 0.0):
            values["resolution"] = 0.0  # none; a database keeps no nan
        self._add_fields(self.FIELDS, values)

    def header_files(self) -> list[str]:
        """Return the files whose headers should say the pixel size of this."""
        return [self.file.get() or ""]

    def __str__(self) -> str:
        values = self.values()
        pixel, reached = values.get("pixel_size") or 0.0, values.get("resolution") or 0.0
        parts = [count_text(values["particles"], "particle")] if values.get("particles") else []
        if reached > 0:
            nyquist = reaches_nyquist(reached, pixel)
            parts.append(resolution_text(reached, pixel) if nyquist else f"resolution {reached:.3g} Å")
        parts += [f"box {values['box_size']}"] if values.get("box_size") else []
        parts += [f"{pixel:.2f} Å/px"] if pixel else []
        return ", ".join([*parts, *([f"symmetry {values['symmetry']}"] if values.get("symmetry") else [])])


class Volume(Result):
    """A volume that is not a tomogram."""

    FIELDS = (Field("file", str, "MRC file, relative to the project"), PIXEL_SIZE, BOX_SIZE)


class Mask(Result):
    """Values from 0 to 1 that say what belongs to the particle."""

    FIELDS = Volume.FIELDS


class Average(Result):
    """An average of subtomograms."""

    FIELDS: tuple[Field, ...] = (
        *Volume.FIELDS,
        Field("half1_file", str, "average of half set 1"),
        Field("half2_file", str, "average of half set 2"),
        Field("symmetry", str, "point group imposed", "", "C1"),
        Field("resolution", float, "FSC at 0.143 of the two halves; 0: none", "Å"),
        Field("particles", int, "subtomograms in it"),
    )


class FSC(Result):
    """Fourier shell correlation: a CSV file with frequency (1/Å) and correlation."""

    FIELDS = (
        Field("file", str, "CSV file, relative to the project"),
        PIXEL_SIZE,
        Field("resolution", float, "where the curve falls below the threshold; 0: none", "Å"),
    )
