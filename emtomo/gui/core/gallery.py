"""Many small pictures as one: composed in one array, so that a page of hundreds is one picture."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.slices import contrast_limits, draw_slice

GAP = 4


@dataclass(frozen=True)
class GalleryPage:
    """A page of pictures.

    Attributes
    ----------
    picture : (h, w) uint8 array
    columns, side : int
        Pictures in a row; edge of one, pixels, the gap not counted.
    count : int
    """

    picture: np.ndarray
    columns: int
    side: int
    count: int

    def at(self, x: float, y: float) -> int | None:
        """Return the number of the picture at a pixel."""
        step = self.side + GAP
        column, row = int(x // step), int(y // step)
        k = row * self.columns + column
        inside = x % step >= GAP / 2 and y % step >= GAP / 2
        return k if 0 <= column < self.columns and 0 <= k < self.count and inside else None

    def box(self, k: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a picture, pixels."""
        step = self.side + GAP
        left, top = (k % self.columns) * step + GAP // 2, (k // self.columns) * step + GAP // 2
        return left, top, left + self.side, top + self.side


def compose(
    images: list[np.ndarray], side: int, width: int, *, background: int = 40, common: bool = False
) -> GalleryPage:
    """Return pictures side by side in rows that fill `width`.

    Parameters
    ----------
    images : list of (y, x) arrays
        Their first row at the bottom.
    side : int
        Edge of a picture on the page, pixels.
    width : int
    background : int
    common : bool
        One contrast for all; else each has its own.
    """
    columns = max(1, width // (side + GAP))
    rows = -(-len(images) // columns) if images else 1
    page = np.full((rows * (side + GAP), max(width, columns * (side + GAP))), background, np.uint8)
    limits = contrast_limits(np.stack(images)) if common and images else None
    sheet = GalleryPage(page, columns, side, len(images))
    for k, image in enumerate(images):
        n = max(image.shape)
        step = n / side
        left = (image.shape[1] - 1) / 2 - (side - 1) / 2 * step
        bottom = (image.shape[0] - 1) / 2 - (side - 1) / 2 * step
        drawn = draw_slice(
            np.asarray(image, np.float32), bottom, left, step, limits or contrast_limits(image), (side, side)
        )
        x0, y0, x1, y1 = sheet.box(k)
        page[y0:y1, x0:x1] = drawn[::-1]
    return sheet
