"""Charts as files: SVG, PDF or PNG drawn by matplotlib with the limits of the window, CSV of the numbers."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emtomo.errors import EmtomoError
from emtomo.gui.core.chart import Chart, ChartView

FORMATS = (".svg", ".png", ".pdf", ".csv")
CURVE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5fc0", "#8a8f00")
DPI = 200


def curve_colour(number: int) -> str:
    """Return a colour of the palette, readable on light and dark (after Okabe & Ito 2008)."""
    return CURVE_COLOURS[number % len(CURVE_COLOURS)]


def chart_figure(views: Sequence[ChartView | Chart], title: str = "") -> Figure:
    """Return charts as one figure, side by side in rows.

    Parameters
    ----------
    views : sequence
        Of charts, shown whole, or of views of them, whose limits are kept.
    title : str
    """
    shown = [view if isinstance(view, ChartView) else ChartView(view) for view in views]
    rows, columns = arrange_charts(len(shown))
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows + (0.3 if title else 0)), layout="constrained")
    for k, view in enumerate(shown):
        _draw(figure.add_subplot(rows, columns, k + 1), view)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def arrange_charts(count: int) -> tuple[int, int]:
    """Return rows and columns for a number of charts, wider than high."""
    columns = max(1, int(np.ceil(np.sqrt(count * 1.2)))) if count > 2 else max(count, 1)
    return -(-max(count, 1) // columns), columns


def _draw(axes: matplotlib.axes.Axes, view: ChartView) -> None:
    chart = view.chart
    for curve in chart.curves:
        style = ("--" if curve.dashed else "-") if curve.line else ""
        mark = "o" if curve.dots else ""
        axes.plot(
            curve.x, curve.y, linestyle=style or "none", marker=mark, markersize=4, color=curve_colour(curve.colour),
            linewidth=1.0 if curve.thin else 2.0, label=curve.label or None,
        )  # fmt: skip
    for level in chart.levels:
        axes.axhline(level, color="grey", linewidth=0.8)
    for place in chart.places:
        axes.axvline(place, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlim(view.x0, view.x1)
    axes.set_ylim(view.y0, view.y1)
    if chart.resolution:
        ticks = view.x_ticks()
        axes.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
    elif chart.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(chart.title, fontsize=10)
    axes.set_xlabel(chart.x_label, fontsize=9)
    axes.set_ylabel(chart.y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.2)
    if any(curve.label for curve in chart.curves):
        axes.legend(fontsize=8)


def csv_text(charts: Sequence[Chart]) -> str:
    """Return all points of charts, one row a point: chart, run, curve, x and y with what they are."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["chart", "run", "curve", "x", "y", "x_is", "y_is"])
    for chart in charts:
        x_is = "spatial frequency (1/Å)" if chart.resolution else chart.x_label
        for curve in chart.curves:
            for x, y in zip(np.asarray(curve.x, float), np.asarray(curve.y, float), strict=True):
                writer.writerow([chart.title, curve.run, curve.name, f"{x:.9g}", f"{y:.9g}", x_is, chart.y_label])
    return out.getvalue()


def save_charts(views: Sequence[ChartView | Chart], path: Path, title: str = "") -> None:
    """Write charts in the format that the name says, under a temporary name first.

    Raises
    ------
    EmtomoError
        If the name ends in none of .svg, .png, .pdf and .csv.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise EmtomoError(f"{path.name}: the name must end in {', '.join(FORMATS)}, which says the format.")
    part = path.with_name(f"{path.name}.part{kind}")
    if kind == ".csv":
        charts = [view.chart if isinstance(view, ChartView) else view for view in views]
        part.write_text(csv_text(charts), encoding="utf8")
    else:
        chart_figure(views, title).savefig(part, dpi=DPI)
    part.replace(path)
