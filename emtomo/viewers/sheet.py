"""Grey images side by side under titles: as a figure for a window, or as a picture drawn without one.

A picture of some hundred pixels a side takes a tenth of the time in which a figure is laid out and drawn.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from emtomo.compute.slices import contrast_limits, round_length
from emtomo.viewers.sections import show

DPI = 110
GAP = 8  # pixels around an image
LINE = 1.5  # height of a line of text, of its size
INK, FRAME, PAPER, BAR = (0, 0, 0), (90, 90, 90), (255, 255, 255), (255, 215, 0)


@dataclass(frozen=True)
class Panel:
    """One image: `(y, x)` array, title, and Å per pixel for a scale bar, 0 where it is not known."""

    image: np.ndarray
    title: str = ""
    pixel_size: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """Rows of images, row 0 of each at the bottom.

    Attributes
    ----------
    rows : list of lists of Panel
    width, height : float
        Inches at most, of all of it.
    title_size : float
        Points.
    """

    rows: list[list[Panel]]
    width: float
    height: float
    title_size: float = 9.0

    def figure(self) -> Figure:
        """Return the sheet as a figure."""
        figure = Figure(figsize=(self.width, self.height), layout="constrained")
        columns = max(len(row) for row in self.rows)
        for k, row in enumerate(self.rows):
            for c, panel in enumerate(row):
                axes = figure.add_subplot(len(self.rows), columns, k * columns + c + 1)
                show(axes, panel.image, panel.title, panel.pixel_size)
                axes.title.set_fontsize(self.title_size)
        return figure

    def picture(self) -> Image.Image:
        """Return the sheet as a picture; no higher than its images are."""
        width = round(self.width * DPI) // max(len(row) for row in self.rows)
        title = round(LINE * _pixels(self.title_size))
        room = width - 2 * GAP, round(self.height * DPI) // len(self.rows) - title - 2 * GAP
        drawn = [[_draw(panel, room) for panel in row] for row in self.rows]
        heights = [max(one.height for one in row) + title + 2 * GAP for row in drawn]
        sheet = Image.new("RGB", (width * max(len(row) for row in drawn), sum(heights)), PAPER)
        draw, font = ImageDraw.Draw(sheet), _font(self.title_size)
        for k, row in enumerate(drawn):
            for c, one in enumerate(row):
                left, top = c * width + (width - one.width) // 2, sum(heights[:k]) + title + GAP
                sheet.paste(one, (left, top))
                text = _fit(self.rows[k][c].title, font, width - 2)
                draw.text((c * width + width / 2, top - GAP // 2), text, INK, font, anchor="ms")
        return sheet


def _draw(panel: Panel, room: tuple[int, int]) -> Image.Image:
    """Return an image at the size that fits, framed, with its scale bar."""
    image = np.asarray(panel.image, np.float32)
    low, high = contrast_limits(image)
    with np.errstate(invalid="ignore", over="ignore"):
        grey = np.clip((image - low) * (255 / (high - low)), 0, 255)
    grey = np.where(np.isnan(grey), 255, grey).astype(np.uint8)
    scale = min(room[0] / image.shape[1], room[1] / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    drawn = Image.fromarray(np.ascontiguousarray(grey[::-1])).resize(size, how).convert("RGB")
    draw = ImageDraw.Draw(drawn)
    if panel.pixel_size > 0:
        length = round_length(image.shape[1] * panel.pixel_size / 4)
        left, low_edge, thick = size[0] * 0.05, size[1] * 0.95, _pixels(3)
        draw.rectangle(
            (left, low_edge - thick / 2, left + length / panel.pixel_size * scale, low_edge + thick / 2), BAR
        )
        draw.text((left, low_edge - size[1] * 0.03), f"{length / 10:g} nm", BAR, _font(8.0), anchor="ls")
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=FRAME)
    return drawn


def _pixels(points: float) -> float:
    return points * DPI / 72


@functools.cache
def _font(points: float) -> ImageFont.FreeTypeFont:
    """Return the font of the charts."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), round(_pixels(points)))


def _fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return a line that is not wider than `width` pixels, cut where it is."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
