"""The plot of the particle browser: a histogram of one column or two columns against each other; dragging selects."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_columns import hex_rgb
from emtomo.gui.core.chart import ChartView
from emtomo.gui.core.scatter import COUNT, draw_points, histogram_of, plot_chart, row_at, rows_within
from emtomo.gui.tk import theme
from emtomo.gui.tk.browsertable import CONTROL
from emtomo.gui.tk.chartcanvas import ChartCanvas
from emtomo.gui.tk.window import Flow

PLACE = "place in the set"
MOUSE = [
    ("Left drag in the plot", "select what lies in the rectangle; with Ctrl besides what is selected"),
    ("Right drag in the plot", "zoom to a rectangle; double click shows everything again"),
]


class BrowserPlot(ttk.Frame):
    """Shows columns of the rows of a :class:`ParticleBrowser`."""

    def __init__(self, master: tk.Misc, browser: ParticleBrowser, say: Callable[[str], object]) -> None:
        super().__init__(master)
        self.browser = browser
        gap = theme.px(self, theme.GAP)
        head = Flow(self)
        head.pack(fill="x")
        numeric = browser.numeric_columns()
        self.x = ttk.Combobox(head, values=[PLACE, *numeric], state="readonly", width=18)
        self.y = ttk.Combobox(head, values=[COUNT, *numeric], state="readonly", width=18)
        for text, box, value in (
            ("Across", self.x, next((n for n in ("score", *numeric) if browser.varies(n)), PLACE)),
            ("Up", self.y, COUNT),
        ):
            ttk.Label(head, text=text).pack(side="left")
            box.set(value)
            box.pack(side="left", padx=(gap, theme.px(self, theme.PAD)))
            box.bind("<<ComboboxSelected>>", lambda _: self.refresh())
        self.chart = PlotCanvas(self, browser, say, self.columns)
        self.chart.pack(fill="both", expand=True)
        browser.listeners.append(self._changed)

    def appear(self) -> None:
        """Draw what is shown now that this is seen."""
        self.refresh()

    def columns(self) -> tuple[str, str]:
        """Return what is across and what is up."""
        return "" if self.x.get() == PLACE else self.x.get(), self.y.get()

    def plot(self, x: str, y: str = COUNT) -> None:
        """Show other columns."""
        self.x.set(x)
        self.y.set(y)
        self.refresh()

    def refresh(self) -> None:
        """Show the columns that are chosen, whole."""
        if self.winfo_ismapped():
            chart = plot_chart(self.browser, *axes_names(self.browser, self.columns()))
            self.chart.view = ChartView(chart)
            self.chart.redraw()

    def _changed(self, what: str) -> None:
        if what == "rows":
            self.refresh()
        elif what in ("selection", "colour") and self.winfo_ismapped():
            self.chart.redraw()


def axes_names(browser: ParticleBrowser, columns: tuple[str, str]) -> tuple[str, str]:
    """Return the columns of a plot; those that are gone are the place in the set."""
    x, y = columns
    return x if x in browser.columns else "", y


class PlotCanvas(ChartCanvas):
    """Axes with bars or points in them; a left drag selects."""

    def __init__(
        self,
        master: tk.Misc,
        browser: ParticleBrowser,
        say: Callable[[str], object],
        columns: Callable[[], tuple[str, str]],
    ) -> None:
        self.browser, self.columns = browser, columns
        self._photo: Any = None
        super().__init__(master, plot_chart(browser, *axes_names(browser, columns())), say)
        for button, factor in ((4, 1.2), (5, 1 / 1.2)):
            self.canvas.bind(f"<Control-Button-{button}>", lambda e, f=factor: self._wheel(e, f))  # type: ignore[misc]

    def _drag(self, event: "tk.Event[Any]") -> None:
        if self._down is not None:
            _, x, y = self._down
            self.canvas.delete("rectangle")
            top, bottom = (self.view.top, self.view.bottom) if self._is_histogram() else (y, event.y)
            self.canvas.create_rectangle(
                x, top, event.x, bottom, outline=theme.colour("primary"), dash=(3, 3), tags="rectangle"
            )

    def _is_histogram(self) -> bool:
        return self.columns()[1] == COUNT

    def _release(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, x, y = self._down
        moved = abs(event.x - x) + abs(event.y - y) > theme.px(self, 4)
        names = axes_names(self.browser, self.columns())
        if button == 3:
            super()._release(event)
            return
        self._down = None
        self.canvas.delete("rectangle")
        add = bool(int(event.state) & CONTROL)
        if moved:
            self.browser.select(rows_within(self.browser, self.view, *names, (x, y, event.x, event.y)), add=add)
            return
        row = row_at(self.browser, self.view, *names, x, y, theme.px(self, 8))
        if row is not None:
            self.browser.click(row, add=add)

    def _draw_guides(self, colour: str) -> None:
        """Draw bars or points, inside the axes."""
        x, y = axes_names(self.browser, self.columns())
        if y == COUNT:
            self._draw_bars(x)
        else:
            picture = draw_points(self.browser, self.view, x, y, hex_rgb(theme.colour("bg")))
            self._photo = ImageTk.PhotoImage(Image.fromarray(picture), master=self.canvas)
            self.canvas.create_image(self.view.left, self.view.top, image=self._photo, anchor="nw")
        self._draw_colours()

    def _draw_bars(self, x: str) -> None:
        bars, view, c = histogram_of(self.browser, x), self.view, self.canvas
        for counts, tint in ((bars.shown, "#56b4e9"), (bars.chosen, theme.ACTIVE_FRAME)):
            at = view.to_screen(bars.edges, np.concatenate([counts, [0]]))
            low = min(view.bottom, float(view.to_screen(np.zeros(1), np.zeros(1))[0, 1]))
            for k, count in enumerate(counts):
                left, right = max(at[k, 0], view.left), min(at[k + 1, 0], view.right)
                if count and right > left:
                    c.create_rectangle(left, max(at[k, 1], view.top), right - 1, low, fill=tint, outline="")

    def _draw_colours(self) -> None:
        """Draw what colours mean, where points have them."""
        if self._is_histogram() or not self.browser.colour_by:
            return
        c, px = self.canvas, lambda v: theme.px(self, v)
        y = self.view.top + px(6)
        for text, tint in self.browser.colouring.legend:
            x = self.view.right - px(110)
            c.create_rectangle(x, y + px(2), x + px(10), y + px(12), fill=tint, outline="")
            c.create_text(x + px(14), y, text=text[:14], anchor="nw", fill=theme.colour("fg"), font=self.small)
            y += px(16)
