"""Arguments of public functions: each is what it must be, or one sentence says what it was."""

import math
import os
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL

LONGEST_NAME = 255  # bytes of a file's name, of Linux's file systems


def check_volume(values: Any, what: str, *, cubic: bool = False, finite: bool = True) -> np.ndarray:
    """Return a volume as an array of real numbers with three axes and at least one voxel.

    Parameters
    ----------
    values : (z, y, x) array or nested lists
        Without `finite`, an array on disk is not read.
    what : str
        Its name in the sentence.
    cubic : bool
        It must have the same size along all axes.
    finite : bool
        It may hold neither NaN nor infinity.

    Raises
    ------
    EmtomoError
        If it is something else, for example the name of a file.
    """
    if isinstance(values, (str, bytes)) or hasattr(values, "__fspath__"):
        raise EmtomoError(
            f"The {what} must be an array (z, y, x), got the name {values!r}; read it with emtomo.io.read_volume."
        )
    array = _as_numbers(values, f"The {what} must be an array of numbers (z, y, x)")
    if array.ndim != 3 or array.size == 0:
        raise EmtomoError(f"The {what} must be an array of numbers (z, y, x), got {array.dtype} {array.shape}.")
    if cubic and len(set(array.shape)) != 1:
        raise EmtomoError(f"The {what} must be a cube, got {array.shape}.")
    if not finite:
        return array
    if not np.isfinite(array).all():
        raise EmtomoError(f"The {what} holds voxels that are no numbers (NaN or infinite).")
    return np.asarray(array)


def check_array(values: Any, what: str, shape: tuple[int, ...], *, finite: bool = True) -> np.ndarray:
    """Return real numbers as an array of exactly this shape.

    Parameters
    ----------
    values : array or nested lists
        Without `finite`, an array on disk is not read.
    what : str
        Its name, with which the sentence begins.
    shape : tuple of int
    finite : bool
        They may hold neither NaN nor infinity, and become float64.

    Raises
    ------
    EmtomoError
        If they are something else.
    """
    array = _as_numbers(values, f"{what} must be numbers of shape {shape}")
    if array.shape != shape:
        raise EmtomoError(f"{what} must have shape {shape}, got {array.shape}.")
    if not finite:
        return array
    if not np.isfinite(array).all():
        raise EmtomoError(f"{what} must be finite numbers, some are NaN or infinite.")
    return np.asarray(array, float)


def check_path(value: Any) -> Path:
    """Return the name of a file or folder as a path.

    Raises
    ------
    EmtomoError
        If it is no text or path, or no file can have such a name.
    """
    try:
        path = Path(value)
    except TypeError:
        raise EmtomoError(f"The path must be text or a pathlib.Path, got {value!r}.") from None
    if "\0" in str(path) or any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise EmtomoError(f"No file can have the name {str(path)[:40]!r}: it is too long, or holds a zero character.")
    return path


def check_number(
    value: Any, what: str, unit: str = "", *, above: float | None = None, least: float | None = None
) -> float:
    """Return one finite real number.

    Parameters
    ----------
    value : number
    what : str
        Its name, with which the sentence begins.
    unit : str
    above, least : float, optional
        It must be more than the one, and at least the other.

    Raises
    ------
    EmtomoError
        If it is no such number.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    shown = f"{value:g} {unit}".rstrip() if isinstance(value, Real) else repr(value)
    if not isinstance(value, Real) or not math.isfinite(value):
        raise EmtomoError(f"{what} must be a finite number{f' ({unit})' if unit else ''}, got {shown}.")
    number = float(value)
    if above is not None and not number > above:
        raise EmtomoError(f"{what} must be above {above:g} {unit}".rstrip() + f", got {shown}.")
    if least is not None and not number >= least:
        raise EmtomoError(f"{what} must be at least {least:g} {unit}".rstrip() + f", got {shown}.")
    return number


def check_whole_number(value: Any, what: str, least: int = 0) -> int:
    """Return one whole number that is at least so large.

    Raises
    ------
    EmtomoError
        If it is no such number; the sentence begins with `what`.
    """
    number = check_number(value, what, least=least)
    if number != int(number):
        raise EmtomoError(f"{what} must be a whole number, got {number:g}.")
    return int(number)


def check_pixel_size(value: Any) -> float:
    """Return a pixel size in Å.

    Raises
    ------
    EmtomoError
        If it is not a number from 0.001 to 100,000.
    """
    size = check_number(value, "The pixel size", "Å", above=0)
    if not SMALLEST_PIXEL <= size <= LARGEST_PIXEL:
        raise EmtomoError(f"The pixel size must be from {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g} Å, got {size:g} Å.")
    return size


def check_tilt_range(tilt_range: Any) -> tuple[float, float]:
    """Return the first and last tilt angle in degrees.

    Raises
    ------
    EmtomoError
        If they are not two rising angles within ±90°.
    """
    try:
        low, high = (float(angle) for angle in tilt_range)
    except (TypeError, ValueError):
        raise EmtomoError(f"The tilt range must be two angles in degrees, got {tilt_range!r}.") from None
    if not -90 <= low < high <= 90:
        raise EmtomoError(f"The tilt range must be two rising angles within ±90°, got {low:g}, {high:g}.")
    return low, high


def _as_numbers(values: Any, sentence: str) -> Any:
    """Return `values` as an array of real numbers; arrays of other libraries stay what they are."""
    array = values
    if not (hasattr(values, "shape") and hasattr(values, "dtype") and hasattr(values, "ndim")):
        try:
            array = np.asarray(values)
        except (TypeError, ValueError):
            raise EmtomoError(f"{sentence}, got {type(values).__name__}.") from None
    if np.dtype(array.dtype).kind not in "biuf":
        raise EmtomoError(f"{sentence}, got {array.dtype} {array.shape}.")
    return array
