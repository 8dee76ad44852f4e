"""The workflow as a figure that can be written to a file: SVG, PDF or PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline

from emtomo.errors import EmtomoError
from emtomo.gui.core.layout import Place, arrange
from emtomo.gui.core.runs import Run

WIDTH, HEIGHT, GAP_X, GAP_Y, LANE = 200.0, 56.0, 26.0, 40.0, 14.0
INCH = 96.0  # units of the drawing
COLOURS = {"finished": "#2e7d32", "failed": "#c62828", "aborted": "#ef6c00", "running": "#1565c0", "saved": "#607d8b"}
OUT_OF_DATE = "#b26a00"
LONGEST = 30  # letters of a label, 44 of the line below it
FORMATS = (".svg", ".png", ".pdf")


def workflow_figure(runs: Mapping[int, Run]) -> Figure:
    """Return all runs as cards with their states and results, from inputs to results.

    Raises
    ------
    EmtomoError
        If there is no run.
    """
    if not runs:
        raise EmtomoError("The project has no run yet: there is no workflow to be drawn.")
    rows = arrange({i: set(run.parents) for i, run in runs.items()}, WIDTH, GAP_X, LANE)
    places = [place for row in rows for place in row]
    left, right = min(p.x for p in places) - GAP_X, max(p.x + p.width for p in places) + GAP_X
    high = len(rows) * (HEIGHT + GAP_Y) + GAP_Y
    figure = Figure(figsize=((right - left) / INCH, high / INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, right)
    axes.set_ylim(high, 0)
    axes.axis("off")
    for place in places:
        for above in place.above:
            axes.add_patch(_edge(above, place))
        if place.node is None:
            axes.plot([place.middle] * 2, [_top(place), _top(place) + HEIGHT], color="#90a4ae", linewidth=1.2)
    for place in places:
        if place.node is not None:
            _draw_card(axes, place, runs[place.node])
    return figure


def _top(place: Place) -> float:
    return GAP_Y + place.layer * (HEIGHT + GAP_Y)


def _edge(above: Place, below: Place) -> PathPatch:
    x0, y0, x1, y1 = above.middle, _top(above) + HEIGHT, below.middle, _top(below)
    half = (y0 + y1) / 2
    codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
    return PathPatch(
        Outline([(x0, y0), (x0, half), (x1, half), (x1, y1)], codes), fill=False, edgecolor="#90a4ae", linewidth=1.2
    )


def _draw_card(axes: Any, place: Place, run: Run) -> None:
    x, y = place.x, _top(place)
    colour = OUT_OF_DATE if run.out_of_date else COLOURS.get(run.status, COLOURS["saved"])
    axes.add_patch(
        FancyBboxPatch(
            (x, y), WIDTH, HEIGHT, "round,pad=0,rounding_size=7", facecolor="white", edgecolor=colour, lw=1.6
        )
    )
    state = "out of date" if run.out_of_date else run.status
    lines = ((17, 9.5, "#212121", run.label, LONGEST), (33, 7.5, colour, f"{run.title}: {state}", 44),
             (47, 7.5, "#555555", run.result_line, 44))  # fmt: skip
    for down, size, tint, text, longest in lines:
        short = text if len(text) <= longest else text[: longest - 1] + "…"
        axes.text(x + 9, y + down, short, fontsize=size, color=tint, va="baseline", parse_math=False)


def save_workflow(runs: Mapping[int, Run], path: Path) -> None:
    """Write the workflow in the format that the name says, under a temporary name first.

    Raises
    ------
    EmtomoError
        If the name ends in none of .svg, .png and .pdf, or there is no run.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise EmtomoError(f"{path.name}: the name must end in {', '.join(FORMATS)}, which says the format.")
    part = path.with_name(f"{path.name}.part{kind}")
    workflow_figure(runs).savefig(part, dpi=150)
    part.replace(path)
