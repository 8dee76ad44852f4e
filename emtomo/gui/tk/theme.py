"""The one place for the look: themes, spacing, fonts, the colours of states and groups."""

import tkinter as tk
from collections.abc import Callable

import ttkbootstrap as ttk

LIGHT, DARK = "bootstrap-light", "bootstrap-dark"
PAD, GAP = 8, 4  # pixels at 100 %
POINTS_PER_PIXEL = 96 / 72
# groups, classes and sets; readable on grey slices and for colour-blind people (Okabe & Ito 2008)
GROUPS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#ffffff", "#b2df8a")
ROLE_COLOURS = {"positive": "#56b4e9", "negative": "#ff5a5a", "particles": "#009e73", "inside": "#ffd24d"}
SLICE_BACKGROUND = "#181818"
CROSS, BAR = "#4a6a8a", "#ffd24d"  # on slices: where others cut, and the scale bar
ACTIVE_FRAME = "#ff3b30"
LEFT_OUT = "#ffb000"


def colour(name: str) -> str:
    """Return a colour of the theme: fg, bg, inputbg, border, primary, success, danger, …"""
    return str(getattr(ttk.Style.get_instance().colors, name, None) or ttk.Style.get_instance().colors.fg)


def faint() -> str:
    """Return the colour of what is less important, readable on the background."""
    return blend(colour("fg"), colour("bg"), 0.35)


def blend(one: str, other: str, share: float) -> str:
    """Return the colour that is `share` of the way from `one` to `other`."""
    a, b = ([int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (one, other))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in zip(a, b, strict=True))


def group_colour(group: int) -> str:
    """Return the colour of a group."""
    return GROUPS[(group - 1) % len(GROUPS)]


def px(widget: tk.Misc, pixels: float) -> int:
    """Return pixels at the scale of this screen."""
    return int(ttk.scale_size(widget, int(round(pixels))))


def follow(widget: tk.Misc, redraw: Callable[[], object]) -> None:
    """Call `redraw` when the theme changes, as long as the widget lives: canvases are not repainted by themselves."""

    def on_change(*_: object) -> None:
        """Redraw the widget as long as it exists."""
        if widget.winfo_exists():
            redraw()

    ttk.on_theme_change(on_change)
