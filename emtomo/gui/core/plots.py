"""Curves of a run while it goes on, read from the files that it writes: refinement, initial model, network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

# file in a run's folder → (what to plot against the iteration: column, label, unit)
CURVES: dict[str, tuple[tuple[str, str], ...]] = {
    "metrics.csv": (
        ("resolution", "resolution (Å)"),
        ("angle_change", "change of orientation (°)"),
        ("shift_change", "change of position (voxels)"),
        ("certainty", "certainty of the poses"),
        ("score", "log likelihood of all images"),
        ("held_out_gain", "rise of the held-out score"),
    ),
    "changes.csv": (),
    "classes.csv": (
        ("likelihood", "mean log likelihood"),
        ("changed", "share of particles that change class"),
        ("compared_to", "finest detail compared (Å)"),
    ),
    "losses.csv": (("loss", "loss"),),
}


@dataclass(frozen=True)
class Palette:
    """Colours of a figure."""

    background: str = "#ffffff"
    foreground: str = "#212121"
    accent: str = "#0b5ed7"


def curve_file(folder: Path) -> Path | None:
    """Return the file of curves that a run writes, if it has begun to."""
    return next((folder / "extra" / name for name in CURVES if (folder / "extra" / name).exists()), None)


def convergence(folder: Path, palette: Palette | None = None) -> Figure:
    """Return the curves of a run as they are now."""
    palette = palette or Palette()
    path = curve_file(folder)
    figure = Figure(figsize=(9, 5.5), layout="constrained", facecolor=palette.background)
    table = pd.DataFrame()
    if path is not None:
        try:
            table = pd.read_csv(path)
        except (pd.errors.EmptyDataError, pd.errors.ParserError):
            table = pd.DataFrame()
    if not len(table):
        axes = figure.add_subplot()
        axes.axis("off")
        axes.text(0.5, 0.5, "no iteration is finished yet", ha="center", color=palette.foreground)
        return figure
    assert path is not None
    first = table.columns[0]
    wanted = [(c, label) for c, label in CURVES[path.name] if c in table]
    wanted = wanted or [(c, c.replace("_", " ")) for c in table.columns[1:5] if pd.api.types.is_numeric_dtype(table[c])]
    rows = 2 if len(wanted) > 2 else 1
    for k, (column, label) in enumerate(wanted):
        axes = figure.add_subplot(rows, -(-len(wanted) // rows), k + 1)
        style(axes, palette)
        axes.plot(table[first], table[column], "o-", color=palette.accent, markersize=4)
        axes.set_title(f"{label}: {table[column].iloc[-1]:.4g}", fontsize=10, color=palette.foreground)
        axes.set_xlabel(first)
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
