"""Figures in the colours of a window, and as pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emtomo.gui.core.chart_export import chart_figure
from emtomo.gui.core.run_charts import metric_charts


@dataclass(frozen=True)
class Palette:
    """Colours of a figure."""

    background: str = "#ffffff"
    foreground: str = "#212121"
    accent: str = "#0b5ed7"


def convergence(folder: Path) -> Figure:
    """Return the charts of a run's per-iteration metrics as they are now."""
    charts = metric_charts(folder)
    if charts:
        return chart_figure(charts)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.text(0.5, 0.5, "no iteration is finished yet", ha="center")
    return figure


def style(axes: Any, palette: Palette) -> None:
    """Give axes the palette's colours."""
    axes.set_facecolor(palette.background)
    axes.tick_params(colors=palette.foreground, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(palette.foreground)
    for spine in axes.spines.values():
        spine.set_color(palette.foreground)
        spine.set_alpha(0.4)
    axes.grid(alpha=0.2)


def apply_palette(figure: Figure, palette: Palette) -> Figure:
    """Give a figure that was drawn for paper the palette's colours; its pictures stay as they are."""
    figure.set_facecolor(palette.background)
    for axes in figure.axes:
        style(axes, palette)
        if axes.get_images():
            axes.grid(visible=False)
        legend = axes.get_legend()
        if legend is not None:
            legend.get_frame().set_facecolor(palette.background)
            for text in legend.get_texts():
                text.set_color(palette.foreground)
    return figure


def pixels(figure: Figure, width: int, height: int, dpi: float) -> np.ndarray:
    """Return a figure as `(height, width, 3)` uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    figure.set_size_inches(max(width, 60) / dpi, max(height, 60) / dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
