"""Slices of volumes as pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emtomo.compute.slices import contrast_limits, round_length


def slab(volume: np.ndarray, axis: int, index: int, thickness: int = 3) -> np.ndarray:
    """Return the mean of `thickness` slices about `index` along `axis`."""
    low = max(0, index - thickness // 2)
    part = np.take(volume, range(low, min(volume.shape[axis], low + thickness)), axis=axis)
    return np.asarray(part, np.float32).mean(axis=axis)


def three_sections(volume: np.ndarray, thickness: int = 1) -> list[np.ndarray]:
    """Return the central xy, xz and yz sections."""
    return [slab(volume, axis, volume.shape[axis] // 2, thickness) for axis in (0, 1, 2)]


def show(axes: Any, image: np.ndarray, title: str = "", pixel_size: float | None = None) -> None:
    """Draw one image with its origin at the lower left and, if the pixel size is known, a scale bar."""
    low, high = contrast_limits(image)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    if pixel_size:
        length = round_length(image.shape[1] * pixel_size / 4)
        x0, y0 = image.shape[1] * 0.05, image.shape[0] * 0.05
        axes.plot([x0, x0 + length / pixel_size], [y0, y0], color="gold", linewidth=3, solid_capstyle="butt")
        axes.text(x0, y0 + image.shape[0] * 0.03, f"{length / 10:g} nm", color="gold", fontsize=8)


def montage(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return images of one size side by side in rows, with a thin gap."""
    rows = (len(images) + columns - 1) // columns
    h, w = images[0].shape
    low, high = contrast_limits(np.stack(images))
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), low, np.float32)
    for k, image in enumerate(images):
        y, x = (rows - 1 - k // columns) * (h + 1), (k % columns) * (w + 1)
        sheet[y : y + h, x : x + w] = np.clip(image, low, high)
    return sheet
