"""Histogram and scatter plot of columns: 300,000 points become one picture, a rectangle of pixels becomes rows."""

from dataclasses import dataclass

import numpy as np

from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.chart import Chart, ChartCurve, ChartView
from emtomo.wording import pluralize

BINS = 60
LARGE, SMALL, MANY = 4, 2, 20_000  # pixels of a point; fewer where there are many
SELECTED = (255, 59, 48)
COUNT = "particles"


@dataclass(frozen=True)
class Bars:
    """A histogram: edges of the bins, how many particles are shown in each, and how many of those are selected."""

    edges: np.ndarray
    shown: np.ndarray
    chosen: np.ndarray


def histogram_of(browser: ParticleBrowser, column: str) -> Bars:
    """Return the histogram of a column over the rows that are shown."""
    values = browser.numbers(column)[browser.rows]
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    chosen = browser.selected[browser.rows] & finite
    shown, edges = np.histogram(values[finite], BINS, (low, high))
    return Bars(edges, shown, np.histogram(values[chosen], BINS, (low, high))[0])


def plot_chart(browser: ParticleBrowser, x: str, y: str) -> Chart:
    """Return the axes of a plot: histogram of `x` where `y` is "particles", else `y` against `x`."""
    label = browser.heading(x)
    if y == COUNT:
        bars = histogram_of(browser, x)
        top = float(bars.shown.max(initial=1))
        curve = ChartCurve("", bars.edges[[0, -1]], np.array([0.0, top]), line=False, dots=False)
        return Chart("", label, pluralize(browser.noun), (curve,), y_range=(0.0, 1.06 * top))
    curve = ChartCurve("", browser.numbers(x)[browser.rows], browser.numbers(y)[browser.rows], line=False, dots=False)
    return Chart("", label, browser.heading(y), (curve,))


def draw_points(
    browser: ParticleBrowser, view: ChartView, x: str, y: str, background: tuple[int, int, int]
) -> np.ndarray:
    """Return the points within the axes of a view as a picture, `(height, width, 3)` uint8; selected ones on top."""
    width, height = max(1, int(view.right - view.left)), max(1, int(view.bottom - view.top))
    rows = browser.rows
    at = view.to_screen(browser.numbers(x)[rows], browser.numbers(y)[rows]) - (view.left, view.top)
    inside = (at[:, 0] >= 0) & (at[:, 0] < width) & (at[:, 1] >= 0) & (at[:, 1] < height)  # false for NaN
    rows, places = rows[inside], at[inside].astype(np.int64)
    side = SMALL if len(rows) > MANY else LARGE
    wide = width + 2 * side  # a margin, so that points at the edges need no care
    picture = np.full((height + 2 * side) * wide, _pack(np.array(background, np.uint8)), np.uint32)
    flat = (places[:, 1] + side) * wide + places[:, 0] + side
    chosen = browser.selected[rows]
    for part, tints in ((~chosen, _pack(browser.colouring.rgb[rows[~chosen]])), (chosen, _pack(np.array(SELECTED)))):
        corners = flat[part]
        for dy in range(-(side // 2), side - side // 2):
            for dx in range(-(side // 2), side - side // 2):
                picture[corners + dy * wide + dx] = tints
    inner = picture.reshape(-1, wide)[side:-side, side:-side]
    return np.stack([(inner >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)], axis=-1)


def _pack(rgb: np.ndarray) -> np.ndarray:
    """Return red, green and blue as one number each: one number is written faster than three."""
    parts = np.asarray(rgb, np.uint32)
    return np.asarray(parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16)


def rows_within(
    browser: ParticleBrowser, view: ChartView, x: str, y: str, box: tuple[float, float, float, float]
) -> np.ndarray:
    """Return the shown rows whose points lie in a rectangle of pixels; in a histogram, in its range along x."""
    (a, b), (c, d) = view.to_data(box[0], box[1]), view.to_data(box[2], box[3])
    rows = browser.rows
    values = browser.numbers(x)[rows]
    inside = (values >= min(a, c)) & (values <= max(a, c))
    if y != COUNT:
        other = browser.numbers(y)[rows]
        inside &= (other >= min(b, d)) & (other <= max(b, d))
    return rows[inside]


def row_at(browser: ParticleBrowser, view: ChartView, x: str, y: str, px: float, py: float, reach: float) -> int | None:
    """Return the shown row whose point is nearest to a pixel, within `reach` pixels."""
    rows = browser.rows
    if not len(rows) or y == COUNT:
        return None
    at = view.to_screen(browser.numbers(x)[rows], browser.numbers(y)[rows])
    away = np.hypot(at[:, 0] - px, at[:, 1] - py)
    away[~np.isfinite(away)] = np.inf
    k = int(away.argmin())
    return int(rows[k]) if away[k] <= reach else None
