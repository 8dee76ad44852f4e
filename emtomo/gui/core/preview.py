"""One parameter's preview: pictures of what a value of it does, and what all previews use."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from emtomo.compute.slices import contrast_limits, draw_slice
from emtomo.engine.project import EmtomoProject
from emtomo.gui.core.fields import YES
from emtomo.gui.core.wizards import Texts
from emtomo.options import option_fields

T = TypeVar("T")


@dataclass(frozen=True)
class Preview:
    """One parameter's preview.

    Attributes
    ----------
    title, unit : str
    low, high, value : float
        Of the slider.
    draw : callable
        value → two pictures, before and after, `(y, x)` uint8 or `(y, x, 3)`, and a sentence; the second is None where
        there is only one.
    titles : (str, str)
        Of the pictures.
    whole : bool
        Whether the values are whole numbers.
    usable : bool
        Whether the value is one of the field, and not only what is looked at.
    """

    title: str
    unit: str
    low: float
    high: float
    value: float
    draw: Callable[[float], tuple[np.ndarray, np.ndarray | None, str]]
    titles: tuple[str, str] = ("before", "after")
    whole: bool = False
    usable: bool = True


Maker = Callable[[EmtomoProject, Texts, str, Path], Preview]


def options_of(options: type[T], texts: Texts) -> T:
    """Return options as the texts of a form say; where a text is no value, their defaults."""
    values: dict[str, Any] = {}
    for one in option_fields(options):
        if one.name not in texts:
            continue
        text = texts[one.name].strip()
        try:
            values[one.name] = (
                text == YES if one.kind is bool else None if one.optional and not text else one.kind(text)
            )
        except ValueError:
            values[one.name] = one.default
    return options(**values)


def grey(plane: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Return a slice as a picture of 8 bits, y upwards."""
    return draw_slice(plane, 0, 0, 1.0, limits or contrast_limits(plane), plane.shape)[::-1]  # type: ignore[arg-type]
