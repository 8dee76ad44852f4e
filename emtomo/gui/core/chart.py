"""Charts that answer: curves in a rectangle of pixels that is zoomed and moved, with ticks and what is under the mouse.

Charts hold numbers only; a window draws them on a canvas, :mod:`emtomo.gui.core.chart_export` writes them to files.
"""

from dataclasses import dataclass, field, replace

import numpy as np

MARGIN = 0.04  # of the range, beside the data
LEAST_SPAN = 1e-12  # of the largest number of an axis
ROUND_LENGTHS = np.array(
    [1000, 500, 300, 200, 150, 100, 80, 60, 50, 40, 30, 25, 20, 15, 12, 10, 9, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.8, 2.6,
     2.4, 2.2, 2, 1.8, 1.6, 1.4, 1.2, 1, 0.8, 0.5]
)  # fmt: skip


@dataclass(frozen=True)
class ChartCurve:
    """Points of a chart.

    Attributes
    ----------
    name : str
    x, y : (n,) arrays
        NaN leaves a gap.
    run : str
        Label of the run that they are from.
    colour : int
        Its place in the palette.
    line, dots : bool
        Whether points are joined, and marked.
    thin, dashed : bool
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    run: str = ""
    colour: int = 0
    line: bool = True
    dots: bool = True
    thin: bool = False
    dashed: bool = False

    @property
    def label(self) -> str:
        """What it is called in the legend: the run where there are several."""
        return " · ".join(part for part in (self.run, self.name) if part)


@dataclass(frozen=True)
class Chart:
    """Curves with the same axes.

    Attributes
    ----------
    title, x_label, y_label : str
    curves : tuple of ChartCurve
    levels, places : tuple of float
        Where thin lines go across, and up.
    y_range : (low, high), optional
        Shown at first; else all of the data.
    resolution : bool
        x is spatial frequency in 1/Å, and its ticks are in Å.
    whole : bool
        x is a count: ticks at whole numbers only.
    key : str
        What it shows, the same for all runs; its title where that is empty.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[ChartCurve, ...]
    levels: tuple[float, ...] = ()
    places: tuple[float, ...] = ()
    y_range: tuple[float, float] | None = None
    resolution: bool = False
    whole: bool = False
    key: str = ""


@dataclass(frozen=True)
class Reading:
    """The point nearest to the mouse."""

    curve: ChartCurve
    x: float
    y: float
    text: str


def format_number(value: float) -> str:
    """Return a number with four digits, without needless zeros."""
    return f"{value:.4g}"


def x_text(chart: Chart, x: float) -> str:
    """Return a place along x in words: "resolution 12.3 Å", "iteration 4"."""
    if chart.resolution:
        return f"{1 / x:.2f} Å" if x > 0 else "∞ Å"
    return f"{chart.x_label} {format_number(x)}"


@dataclass
class ChartView:
    """What part of a chart is shown where; x0 … y1 are the limits of the axes, the others pixels.

    `fitted` is true until the user zooms or moves: until then the limits follow the data.
    """

    chart: Chart
    left: float = 60.0
    top: float = 24.0
    right: float = 400.0
    bottom: float = 300.0
    x0: float = 0.0
    x1: float = 1.0
    y0: float = 0.0
    y1: float = 1.0
    fitted: bool = field(default=True)

    def __post_init__(self) -> None:
        self.fit()

    def take(self, chart: Chart) -> None:
        """Show new numbers of the same chart; a part that the user has chosen stays."""
        self.chart = chart
        if self.fitted:
            self.fit()

    def place(self, left: float, top: float, right: float, bottom: float) -> None:
        """Put the axes into a rectangle of pixels."""
        self.left, self.top = left, top
        self.right, self.bottom = max(right, left + 10), max(bottom, top + 10)

    def fit(self) -> None:
        """Show everything."""
        xs = _finite([c.x[np.isfinite(c.y)] for c in self.chart.curves])
        ys = _finite([c.y for c in self.chart.curves])
        self.x0, self.x1 = _span(xs, 0.0 if self.chart.resolution else MARGIN)
        self.y0, self.y1 = self.chart.y_range or _span(np.concatenate([ys, np.array(self.chart.levels)]), MARGIN)
        if self.chart.resolution:
            self.x0 = 0.0
        self.fitted = True

    # --- pixels ---

    def to_screen(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return `(n, 2)` pixels of points."""
        across = (np.asarray(x, float) - self.x0) / (self.x1 - self.x0)
        up = (np.asarray(y, float) - self.y0) / (self.y1 - self.y0)
        return np.stack(
            [self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)], axis=-1
        )

    def to_data(self, px: float, py: float) -> tuple[float, float]:
        """Return x, y of a pixel."""
        return (
            self.x0 + (px - self.left) / (self.right - self.left) * (self.x1 - self.x0),
            self.y0 + (self.bottom - py) / (self.bottom - self.top) * (self.y1 - self.y0),
        )

    def inside(self, px: float, py: float) -> bool:
        """Return whether a pixel lies within the axes."""
        return self.left <= px <= self.right and self.top <= py <= self.bottom

    def zoom_at(self, factor: float, px: float, py: float) -> None:
        """Zoom so that what is under a pixel stays there; on an axis's ticks, along that axis alone."""
        x, y = self.to_data(px, py)
        if px >= self.left:
            self._take_x(x + (self.x0 - x) / factor, x + (self.x1 - x) / factor)
        if py <= self.bottom:
            self._take_y(y + (self.y0 - y) / factor, y + (self.y1 - y) / factor)

    def zoom_to(self, px0: float, py0: float, px1: float, py1: float) -> None:
        """Show what lies between two pixels."""
        a, b = self.to_data(px0, py0), self.to_data(px1, py1)
        self._take_x(min(a[0], b[0]), max(a[0], b[0]))
        self._take_y(min(a[1], b[1]), max(a[1], b[1]))

    def pan(self, dx: float, dy: float) -> None:
        """Move the curves by pixels."""
        across = dx / (self.right - self.left) * (self.x1 - self.x0)
        up = dy / (self.bottom - self.top) * (self.y1 - self.y0)
        self._take_x(self.x0 - across, self.x1 - across)
        self._take_y(self.y0 + up, self.y1 + up)

    def _take_x(self, low: float, high: float) -> None:
        if high - low > LEAST_SPAN * max(abs(low), abs(high), 1e-300):
            self.x0, self.x1, self.fitted = low, high, False

    def _take_y(self, low: float, high: float) -> None:
        if high - low > LEAST_SPAN * max(abs(low), abs(high), 1e-300):
            self.y0, self.y1, self.fitted = low, high, False

    # --- what is read ---

    def x_ticks(self, apart: float = 70.0) -> list[tuple[float, str]]:
        """Return places and labels of the ticks along x, at least `apart` pixels from each other."""
        count = max(2, int((self.right - self.left) / apart))
        if self.chart.resolution:
            return self._resolution_ticks(apart)
        return _ticks(self.x0, self.x1, count, whole=self.chart.whole)

    def y_ticks(self, apart: float = 40.0) -> list[tuple[float, str]]:
        """Return places and labels of the ticks along y."""
        return _ticks(self.y0, self.y1, max(2, int((self.bottom - self.top) / apart)))

    def _resolution_ticks(self, apart: float) -> list[tuple[float, str]]:
        per = (self.right - self.left) / (self.x1 - self.x0)
        found: list[tuple[float, str]] = [(0.0, "∞")] if self.x0 <= 0 <= self.x1 else []
        for length in ROUND_LENGTHS:
            x = 1 / length
            if self.x0 < x <= self.x1 and (not found or (x - found[-1][0]) * per >= apart):
                found.append((float(x), f"{length:g}"))
        return found if len(found) > 1 else [(x, f"{1 / x:.4g}") for x, _ in _ticks(self.x0, self.x1, 4) if x > 0]

    def read_at(self, px: float, py: float, reach: float = 24.0) -> Reading | None:
        """Return the point nearest to a pixel, if one of a curve lies within `reach` pixels of it."""
        best: tuple[float, ChartCurve, int] | None = None
        for curve in self.chart.curves:
            if not len(curve.x):
                continue
            at = self.to_screen(curve.x, curve.y)
            away = np.hypot(at[:, 0] - px, at[:, 1] - py)
            away[~np.isfinite(away)] = np.inf
            k = int(away.argmin())
            if away[k] <= reach and (best is None or away[k] < best[0]):
                best = (float(away[k]), curve, k)
        if best is None:
            return None
        _, curve, k = best
        x, y = float(curve.x[k]), float(curve.y[k])
        message = f"{curve.label}: " if curve.label else ""
        return Reading(curve, x, y, f"{message}{x_text(self.chart, x)}, {self.chart.y_label} {format_number(y)}")


def merge(sets: list[list[Chart]]) -> list[Chart]:
    """Return the charts of several runs, those that show the same over each other; the first run's come first.

    The first run keeps its colours, the curves of the others are dashed.
    """
    merged: dict[str, Chart] = {}
    for number, charts in enumerate(sets):
        for chart in charts:
            curves = tuple(replace(c, dashed=c.dashed or number > 0, colour=c.colour + number) for c in chart.curves)
            key = chart.key or chart.title
            had = merged.get(key)
            if had is None:
                merged[key] = replace(chart, curves=curves)
                continue
            places = tuple(dict.fromkeys((*had.places, *chart.places)))
            title = had.title if had.title == chart.title else key
            merged[key] = replace(had, title=title, curves=(*had.curves, *curves), places=places)
    return list(merged.values())


def _finite(parts: list[np.ndarray]) -> np.ndarray:
    values = np.concatenate([np.zeros(0), *(np.asarray(p, float) for p in parts)])
    return values[np.isfinite(values)]


def _span(values: np.ndarray, margin: float) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if high - low <= LEAST_SPAN * max(abs(low), abs(high)):
        half = abs(low) / 2 or 0.5
        return low - half, high + half
    beside = margin * (high - low)
    return low - beside, high + beside


def _ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[tuple[float, str]]:
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high), float)
    values = values[(values >= low) & (values <= high)]
    if whole:
        values = values[values == np.round(values)]
    step = float(np.diff(values).min()) if len(values) > 1 else 1.0
    largest = float(np.abs(values).max()) if len(values) else 1.0
    digits = max(4, int(np.ceil(np.log10(max(largest / max(step, 1e-300), 1.0)))) + 2)
    return [(float(v), f"{0.0 if abs(v) < step * 1e-6 else v:.{digits}g}") for v in values]
