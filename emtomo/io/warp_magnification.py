"""Magnification in Warp's files: of the sections alone, so that movements of the images hold that of the positions."""

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from emtomo.compute.tilt.warps import ImageWarp, add_linear_movement
from emtomo.errors import FormatError
from emtomo.io.text import is_number
from emtomo.io.tilts import Tilts

ATTRIBUTE = "MagnificationCorrection"
LARGEST = 2.0
_ONE = "1, 0, 0, 1"


def magnification_text(tilts: Tilts) -> str:
    """Return the attribute's text: Warp samples sections at this matrix times an image's frequency, by columns."""
    return _ONE if tilts.magnification is None else ", ".join(f"{v:.10g}" for v in tilts.magnification.ravel())


def movement_with_magnification(tilts: Tilts) -> ImageWarp | None:
    """Return the image warp that moves positions as image warp and magnification do together."""
    size = _image_size(tilts)
    if tilts.magnification is None or size is None:
        return tilts.image_warp
    return add_linear_movement(tilts.image_warp, np.eye(2) - tilts.magnification, _shifts(tilts), size)


def take_magnification(path: str | Path, root: Element, tilts: Tilts) -> Tilts:
    """Return a series with the magnification of a file, and its image warp without what that moves.

    Raises
    ------
    FormatError
        If it is not four numbers of an image that is magnified at most twice.
    """
    text = root.get(ATTRIBUTE, _ONE)
    words = text.replace(",", " ").split()
    if words == ["1", "1", "0"]:  # Warp before 1.0.9: scales and an angle
        return tilts
    if len(words) != 4 or not all(is_number(w) and np.isfinite(float(w)) for w in words):
        raise FormatError(path, f"{ATTRIBUTE} must be four numbers, got {text[:60]!r}.")
    matrix = np.array([float(w) for w in words]).reshape(2, 2)
    if np.array_equal(matrix, np.eye(2)):
        return tilts
    sizes = np.linalg.svd(matrix, compute_uv=False)
    if sizes.max() > LARGEST or sizes.min() < 1 / LARGEST or np.linalg.det(matrix) < 0:
        raise FormatError(path, f"{ATTRIBUTE} must change sizes at most {LARGEST:g} times, got {text[:60]!r}.")
    size = _image_size(tilts)
    if size is None:
        tilts.notes.append("The magnification needs the size of the images, which the file does not say.")
        return tilts
    warp = add_linear_movement(tilts.image_warp, matrix - np.eye(2), _shifts(tilts), size)
    return replace(tilts, magnification=matrix, image_warp=warp if warp.x.any() or warp.y.any() else None)


def _shifts(tilts: Tilts) -> np.ndarray:
    return np.stack([tilts.column("shift_x"), tilts.column("shift_y")], axis=1)


def _image_size(tilts: Tilts) -> tuple[float, float] | None:
    """Return x, y of the images in Å."""
    if (
        tilts.image_warp is not None
        and tilts.image_warp.x[0].size > 1
        and np.isfinite(tilts.image_warp.image_size).all()
    ):
        return tilts.image_warp.image_size
    if tilts.image_size and np.isfinite(tilts.pixel_size):
        return tilts.image_size[0] * tilts.pixel_size, tilts.image_size[1] * tilts.pixel_size
    return None
