"""A chart on a canvas: wheel zooms, dragging moves, the nearest point is read out under the mouse."""

import tkinter as tk
from collections.abc import Callable
from tkinter import font as tkfont
from typing import Any

import numpy as np
import ttkbootstrap as ttk

from emtomo.gui.core.chart import Chart, ChartCurve, ChartView, Reading, format_number, x_text
from emtomo.gui.core.chart_export import curve_colour
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import only_raises

LARGEST_LEGEND = 0.6  # of the height of the axes
LEGEND_GAP = 6  # between legend and axes
STEP = 1.2  # zoom of one step of the wheel
MOUSE = [
    ("Mouse over a chart", "reads the nearest point, and x and y at the bottom"),
    ("Wheel", "zoom at the pointer; over the ticks of an axis, along that axis alone"),
    ("Left drag", "move the curves"),
    ("Right drag", "zoom to a rectangle"),
    ("Double click", "show everything again"),
]


class ChartCanvas(ttk.Frame):
    """Draws one chart.

    Parameters
    ----------
    master : widget
    chart : Chart
    say : callable
        Called with what is under the mouse.
    """

    def __init__(self, master: tk.Misc, chart: Chart, say: Callable[[str], object]) -> None:
        super().__init__(master)
        self.view = ChartView(chart)
        self._say = say
        self._idle: str | None = None
        self._down: tuple[int, int, int] | None = None
        self.canvas = tk.Canvas(self, highlightthickness=0, width=160, height=120, takefocus=1)
        self.canvas.pack(fill="both", expand=True)
        self.small = tkfont.nametofont("TkDefaultFont").copy()
        self.small.configure(size=max(7, int(self.small.actual("size")) - 1))
        self.bold = self.small.copy()
        self.bold.configure(weight="bold")
        self._bind_mouse()
        theme.follow(self.canvas, self.redraw)

    def _bind_mouse(self) -> None:
        c = self.canvas
        c.bind("<Configure>", lambda _: self.redraw())
        c.bind("<Motion>", self._hover)
        c.bind("<Leave>", lambda _: self._left())
        c.bind("<Double-Button-1>", lambda _: self.fit())
        for button in (1, 3):
            c.bind(f"<ButtonPress-{button}>", self._press)
            c.bind(f"<B{button}-Motion>", self._drag)
            c.bind(f"<ButtonRelease-{button}>", self._release)
        for button, factor in ((4, STEP), (5, 1 / STEP)):
            c.bind(f"<Button-{button}>", lambda e, f=factor: self._wheel(e, f))  # type: ignore[misc]

    def take(self, chart: Chart) -> None:
        """Show new numbers; a part that was zoomed to stays."""
        self.view.take(chart)
        self.redraw()

    def fit(self) -> None:
        """Show everything."""
        self.view.fit()
        self.redraw()

    # --- the mouse ---

    def _wheel(self, event: "tk.Event[Any]", factor: float) -> str:
        self.view.zoom_at(factor, event.x, event.y)
        self.redraw()
        return "break"

    def _press(self, event: "tk.Event[Any]") -> None:
        self.canvas.focus_set()
        self._down = None if only_raises(self) else (int(event.num), event.x, event.y)

    def _drag(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, x, y = self._down
        if button == 3:
            self.canvas.delete("rectangle")
            self.canvas.create_rectangle(
                x, y, event.x, event.y, outline=theme.colour("primary"), dash=(3, 3), tags="rectangle"
            )
            return
        self.view.pan(event.x - x, event.y - y)
        self._down = (button, event.x, event.y)
        self.redraw()

    def _release(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        (button, x, y), self._down = self._down, None
        self.canvas.delete("rectangle")
        if button == 3 and abs(event.x - x) > 3 and abs(event.y - y) > 3:
            self.view.zoom_to(x, y, event.x, event.y)
            self.redraw()

    def _hover(self, event: "tk.Event[Any]") -> None:
        view, c = self.view, self.canvas
        c.delete("hover")
        if not view.inside(event.x, event.y):
            self._say("")
            return
        x, y = view.to_data(event.x, event.y)
        found = view.read_at(event.x, event.y, reach=theme.px(self, 24))
        self._say(found.text if found else f"{x_text(view.chart, x)}, {view.chart.y_label} {format_number(y)}")
        if found is not None:
            self._mark(found)

    def _mark(self, found: Reading) -> None:
        c, r = self.canvas, theme.px(self, 5)
        ((x, y),) = self.view.to_screen(np.array([found.x]), np.array([found.y]))
        c.create_oval(x - r, y - r, x + r, y + r, outline=theme.colour("fg"), width=2, tags="hover")
        beside: Any = "sw" if x < (self.view.left + self.view.right) / 2 else "se"
        word = c.create_text(
            x + (r if beside == "sw" else -r), max(y - r, self.view.top + theme.px(self, 30)), text=found.text,
            anchor=beside, fill=theme.colour("fg"), font=self.small, tags="hover",
            width=max(80, (self.view.right - self.view.left) / 2),
        )  # fmt: skip
        left, top, right, bottom = c.bbox(word)
        c.create_rectangle(
            left - 3, top - 1, right + 3, bottom + 1, fill=theme.colour("bg"), outline=theme.colour("border"),
            tags="hover",
        )  # fmt: skip
        c.tag_raise(word)

    def _left(self) -> None:
        self.canvas.delete("hover")
        self._say("")

    # --- drawing ---

    def redraw(self) -> None:
        """Draw soon; many wishes are one drawing."""
        if self._idle is None and self.winfo_exists():
            self._idle = self.canvas.after_idle(self._draw)

    def _draw(self) -> None:
        self._idle = None
        c, view, px = self.canvas, self.view, lambda v: theme.px(self, v)
        w, h = c.winfo_width(), c.winfo_height()
        if w < 40 or h < 40:
            return
        c.delete("all")
        c.configure(background=theme.colour("bg"))
        fg, faint = theme.colour("fg"), theme.faint()
        edges = px(26), w - px(14), h - px(44)
        view.place(px(64), *edges)
        ticks = view.y_ticks(px(34))
        widest = max((self.small.measure(label) for _, label in ticks), default=0)
        view.place(max(px(64), widest + px(14) + self.small.metrics("linespace")), *edges)
        line = theme.blend(fg, theme.colour("bg"), 0.85)
        for x, label in view.x_ticks(px(64)):
            ((sx, _),) = view.to_screen(np.array([x]), np.array([view.y0]))
            c.create_line(sx, view.top, sx, view.bottom, fill=line)
            c.create_text(sx, view.bottom + px(4), text=label, anchor="n", fill=faint, font=self.small)
        for y, label in ticks:
            ((_, sy),) = view.to_screen(np.array([view.x0]), np.array([y]))
            c.create_line(view.left, sy, view.right, sy, fill=line)
            c.create_text(view.left - px(5), sy, text=label, anchor="e", fill=faint, font=self.small)
        c.create_rectangle(view.left, view.top, view.right, view.bottom, outline=faint, tags="axes")
        middle, title = (view.left + view.right) / 2, shorten(view.chart.title, self.bold, w - px(8))
        half = self.bold.measure(title) / 2 + px(4)  # a long title is moved, so that its end is seen
        c.create_text(max(half, min(middle, w - half)), px(4), text=title, anchor="n", fill=fg, font=self.bold)
        c.create_text(middle, h - px(4), text=view.chart.x_label, anchor="s", fill=fg, font=self.small)
        y_label = shorten(view.chart.y_label, self.small, h - view.top - px(4))
        half = self.small.measure(y_label) / 2  # a long label goes on below the axis, not over the title
        at = max((view.top + view.bottom) / 2, view.top + half)
        c.create_text(px(4), at, text=y_label, angle=90, anchor="n", fill=fg, font=self.small)
        self._draw_guides(faint)
        c.tag_raise("axes")
        for curve in view.chart.curves:
            if curve.line or curve.dots:
                self._draw_curve(curve)
        self._draw_legend(fg)

    def _draw_guides(self, colour: str) -> None:
        c, view = self.canvas, self.view
        for level in view.chart.levels:
            ((_, sy),) = view.to_screen(np.array([view.x0]), np.array([level]))
            if view.top < sy < view.bottom:
                c.create_line(view.left, sy, view.right, sy, fill=colour)
        for place in view.chart.places:
            ((sx, _),) = view.to_screen(np.array([place]), np.array([view.y0]))
            if view.left < sx < view.right:
                c.create_line(sx, view.top, sx, view.bottom, fill=colour, dash=(2, 3))

    def _draw_curve(self, curve: Any) -> None:
        c, view, r = self.canvas, self.view, theme.px(self, 2 if curve.thin else 3)
        colour = curve_colour(curve.colour)
        at = view.to_screen(curve.x, curve.y)
        if curve.line:
            for x0, y0, x1, y1 in clip_segments(at, view):
                c.create_line(
                    x0, y0, x1, y1, fill=colour, width=theme.px(self, 1 if curve.thin else 2),
                    dash=(5, 3) if curve.dashed else (),
                )  # fmt: skip
        if curve.dots:
            for x, y in at[np.isfinite(at).all(axis=1)]:
                if view.inside(x, y):
                    fill = colour if not curve.dashed else theme.colour("bg")
                    c.create_oval(x - r, y - r, x + r, y + r, fill=fill, outline=colour)

    def _draw_legend(self, fg: str) -> None:
        named = [curve for curve in self.view.chart.curves if curve.label]
        if not named:
            return
        c, px = self.canvas, lambda v: theme.px(self, v)
        step = self.small.metrics("linespace") + 1
        most = max(2, int(LARGEST_LEGEND * (self.view.bottom - self.view.top) / step))
        left_out = len(named) - most + 1 if len(named) > most else 0
        named = named[: len(named) - left_out]
        room = self.view.right - self.view.left - px(28 + 2 * LEGEND_GAP)
        labels = [legend_label(curve, self.small, room) for curve in named]
        width = max((self.small.measure(label) for label in labels), default=0) + px(28)
        x, y = self._legend_place(width, step * (len(named) + bool(left_out)))
        for curve, label in zip(named, labels, strict=True):
            middle = y + step / 2
            c.create_line(
                x, middle, x + px(20), middle, fill=curve_colour(curve.colour), width=px(1 if curve.thin else 2),
                dash=(5, 3) if curve.dashed else (),
            )  # fmt: skip
            c.create_text(x + px(24), y, text=label, anchor="nw", fill=fg, font=self.small)
            y += step
        if left_out:  # the mouse reads them out
            c.create_text(x + px(24), y, text=f"{left_out} more", anchor="nw", fill=fg, font=self.small)

    def _legend_place(self, width: float, height: float) -> tuple[float, float]:
        """Return left and top of the legend in the corner where the fewest points lie."""
        view, gap = self.view, theme.px(self, LEGEND_GAP)
        at = np.concatenate([np.zeros((0, 2)), *(view.to_screen(c.x, c.y) for c in view.chart.curves)])
        corners = [
            (x, y)
            for y in (view.top + gap, view.bottom - height - gap)
            for x in (view.right - width - gap, view.left + gap)
        ]

        def count_covered(corner: tuple[float, float]) -> int:
            """Return how many points a legend with this corner would cover."""
            low, high = np.array(corner) - gap, np.array(corner) + (width + gap, height + gap)
            return int(((at >= low) & (at <= high)).all(axis=1).sum())

        return min(corners, key=count_covered)


def legend_label(curve: ChartCurve, font: tkfont.Font, room: float) -> str:
    """Return what the legend calls a curve; where it is too wide, the run's name is shortened first."""
    if not (curve.run and curve.name):
        return shorten(curve.label, font, room)
    name = f" · {curve.name}"
    return shorten(shorten(curve.run, font, room - font.measure(name)) + name, font, room)


def shorten(text: str, font: tkfont.Font, room: float) -> str:
    """Return a text that is at most so wide: both its ends where it is longer."""
    if font.measure(text) <= room:
        return text
    most = len(text) - 1
    while most > 0 and font.measure(_both_ends(text, most)) > room:
        most -= 1
    return _both_ends(text, most)


def _both_ends(text: str, letters: int) -> str:
    return f"{text[: letters - letters // 2]}…{text[len(text) - letters // 2 :]}"


def clip_segments(at: np.ndarray, view: ChartView) -> list[tuple[float, float, float, float]]:
    """Return the parts of a line through `(n, 2)` pixels that lie within the axes (Liang & Barsky 1984)."""
    found = []
    for (x0, y0), (x1, y1) in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
        if not np.isfinite([x0, y0, x1, y1]).all():
            continue
        dx, dy, first, last = x1 - x0, y1 - y0, 0.0, 1.0
        for p, q in ((-dx, x0 - view.left), (dx, view.right - x0), (-dy, y0 - view.top), (dy, view.bottom - y0)):
            if p == 0:
                last = last if q >= 0 else -1.0
            elif p < 0:
                first = max(first, q / p)
            else:
                last = min(last, q / p)
        if first < last:
            found.append((x0 + first * dx, y0 + first * dy, x0 + last * dx, y0 + last * dy))
    return found
