"""Warps, rotations and magnification of a tilt series as its row keeps them: JSON in one cell."""

import json
from typing import Any

import numpy as np

from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError


def warps_json(
    image_warp: ImageWarp | None = None,
    volume_warp: VolumeWarp | None = None,
    rotations: np.ndarray | None = None,
    *,
    magnification: np.ndarray | None = None,
    cs: float | None = None,
) -> str | None:
    """Return the text of a series' ``warps`` cell; None where there is nothing to keep.

    `cs` (mm) is that of a series whose spherical aberration was refined; all others have that of their set.
    """
    found: dict[str, Any] = {}
    if image_warp is not None:
        known = np.isfinite(image_warp.image_size).all()
        found["image"] = {
            "x": image_warp.x.tolist(),
            "y": image_warp.y.tolist(),
            "size": list(image_warp.image_size) if known else None,
        }
    if volume_warp is not None:
        known = np.isfinite(volume_warp.volume_size).all()
        found["volume"] = {
            "nodes": volume_warp.nodes.tolist(),
            "size": list(volume_warp.volume_size) if known else None,
            "doses": list(volume_warp.doses),
        }
    if rotations is not None:
        found["rotations"] = rotations.tolist()
    if magnification is not None:
        found["magnification"] = magnification.tolist()
    if cs is not None:
        found["cs"] = float(cs)
    return json.dumps(found) if found else None


def read_warps(
    text: str | None, image_size: tuple[float, float] | None
) -> tuple[ImageWarp | None, VolumeWarp | None, np.ndarray | None]:
    """Return image warp, volume warp and rotations of a ``warps`` cell; `image_size` in Å where the cell has none.

    Raises
    ------
    EmtomoError
        If a warp needs a size that nobody says.
    """
    found = _object(text)
    image = volume = None
    if "image" in found:
        part = found["image"]
        size = _sizes(part["size"], 2) if part["size"] else image_size
        if size is None:
            raise EmtomoError("the warp of the images needs the images' size, which the set does not have.")
        image = ImageWarp(_numbers(part["x"], 3), _numbers(part["y"], 3), (float(size[0]), float(size[1])))
    if "volume" in found:
        part = found["volume"]
        if part["size"] is None:
            raise EmtomoError("the warp of the volume needs the volume's size, which the set does not have.")
        x, y, z = _sizes(part["size"], 3)
        first, last = _numbers(part["doses"], 1).tolist()
        volume = VolumeWarp(_numbers(part["nodes"], 5), (x, y, z), (first, last))
    return image, volume, _numbers(found["rotations"], 3) if "rotations" in found else None


def read_microscope(text: str | None) -> tuple[np.ndarray | None, float | None]:
    """Return the magnification (2, 2) and Cs in mm of a ``warps`` cell; None where the series has none of its own."""
    found = _object(text)
    magnification = _numbers(found["magnification"], 2) if "magnification" in found else None
    if magnification is not None and (magnification.shape != (2, 2) or abs(np.linalg.det(magnification)) < 1e-6):
        raise ValueError("the magnification is no matrix of 2 × 2 that can be inverted")
    return magnification, float(_numbers(found["cs"], 0)) if "cs" in found else None


def _object(text: str | None) -> dict[str, Any]:
    """Return the object of a ``warps`` cell."""
    found = json.loads(text or "{}")
    if not isinstance(found, dict):
        raise ValueError("the warps are no object")
    return found


def _numbers(values: object, axes: int) -> np.ndarray:
    """Return stored values as an array of finite numbers with so many axes."""
    array = np.array(values, float)
    if array.ndim != axes or not array.size:
        raise ValueError(f"an array of {axes} axes is needed, got {array.ndim}")
    if not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    return array


def _sizes(values: object, count: int) -> tuple[float, ...]:
    """Return stored sizes in Å."""
    sizes = _numbers(values, 1)
    if len(sizes) != count or sizes.min() <= 0:
        raise ValueError(f"{count} sizes above 0 are needed")
    return tuple(sizes.tolist())
