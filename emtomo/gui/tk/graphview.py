"""The workflow as a graph: layers, lanes for long edges, zoom, pan, a small map of the whole."""

import time
import tkinter as tk
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.layout import Place, arrange
from emtomo.gui.core.runs import Run
from emtomo.gui.tk import theme
from emtomo.gui.tk.card import BUTTON, HEIGHT, WIDTH, Cards
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.minimap import MiniMap

GAP_X, GAP_Y, LANE = 26, 34, 14
LEAST, MOST = 0.15, 2.5
AT_ONCE = 60  # runs that are laid out without a thread
PORTION = 0.008  # s
READABLE = 0.85  # of the natural size: the whole workflow is not shown smaller than this by itself


class GraphView(ttk.Frame):
    """Draws runs; a change of status touches that node alone.

    Parameters
    ----------
    master : widget
    selected : callable
        Called with the set of runs that are selected now.
    opened : callable
        Called with a run that was double-clicked.
    menu : callable
        Called with a run (or None) and the place on the screen of a right click.
    go_on : callable
        Called with a run and the place on the screen of a click on its button, + or Pick.
    """

    def __init__(
        self,
        master: tk.Misc,
        selected: Callable[[set[int]], object],
        opened: Callable[[int], object],
        menu: Callable[[int | None, int, int], object],
        go_on: Callable[[int, int, int], object] = lambda *_: None,
    ) -> None:
        super().__init__(master)
        self._selected, self._opened, self._menu, self._go_on = selected, opened, menu, go_on
        self.runs: dict[int, Run] = {}
        self.selection: set[int] = set()
        self.zoom_factor = 1.0
        self.places: dict[int, tuple[float, float]] = {}
        self._rows: list[list[Place]] = []
        self._shape: dict[int, frozenset[int]] = {}
        self._touched = False  # until the user zooms, the workflow fits the window
        self._portions: Iterator[None] | None = None
        self.canvas = ttk.Canvas(self, highlightthickness=0, takefocus=True)
        across = ttk.Scrollbar(self, orient="horizontal", command=self.canvas.xview)
        down = ttk.Scrollbar(self, command=self.canvas.yview)
        self.canvas.configure(xscrollcommand=self._scrolled(across), yscrollcommand=self._scrolled(down))
        self.canvas.grid(row=0, column=0, sticky="nsew")
        down.grid(row=0, column=1, sticky="ns")
        across.grid(row=1, column=0, sticky="ew")
        self.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self.cards = Cards(self.canvas)
        self.map = MiniMap(self, self.canvas)
        self._bind_mouse()
        theme.follow(self.canvas, self.draw)

    def _bind_mouse(self) -> None:
        c = self.canvas
        c.bind("<Button-1>", self._press)
        c.bind("<Control-Button-1>", lambda e: self._press(e, add=True))
        c.bind("<Shift-Button-1>", lambda e: self._press(e, add=True))
        c.bind("<Double-Button-1>", self._double)
        c.bind("<Button-3>", self._right)
        c.bind("<ButtonPress-2>", lambda e: c.scan_mark(e.x, e.y))
        c.bind("<B2-Motion>", lambda e: c.scan_dragto(e.x, e.y, gain=1))
        c.bind("<B1-Motion>", self._drag)
        c.bind("<Control-Button-4>", lambda e: self.zoom(1.15, e.x, e.y))
        c.bind("<Control-Button-5>", lambda e: self.zoom(1 / 1.15, e.x, e.y))
        c.bind("<Button-4>", lambda _: c.yview_scroll(-2, "units"))
        c.bind("<Button-5>", lambda _: c.yview_scroll(2, "units"))
        c.bind("<Shift-Button-4>", lambda _: c.xview_scroll(-2, "units"))
        c.bind("<Shift-Button-5>", lambda _: c.xview_scroll(2, "units"))
        c.bind("<Configure>", lambda _: self._show_map() if self._touched else self.fit())
        for key, step in (("Up", (-1, 0)), ("Down", (1, 0)), ("Left", (0, -1)), ("Right", (0, 1))):
            c.bind(f"<{key}>", lambda _, s=step: self._step(*s))  # type: ignore[misc]
        c.bind("<Return>", lambda _: self._open_selected())
        for key in ("<Shift-F10>", "<Key-Menu>"):
            c.bind(key, lambda _: self._menu_by_key())

    # --- content ---

    def show(self, runs: dict[int, Run]) -> None:
        """Show runs; the drawing is made anew only when runs or edges have changed."""
        shape = {i: run.parents for i, run in runs.items()}
        labels = {i: run.label for i, run in runs.items()} != {i: run.label for i, run in self.runs.items()}
        before, self.runs = self.runs, runs
        self.selection &= set(runs)
        if shape != self._shape or labels:
            self._shape = shape
            if len(shape) <= AT_ONCE:
                self._arranged(shape, arrange(shape, WIDTH, GAP_X, LANE))  # type: ignore[arg-type]
            else:
                root_of(self).work(
                    lambda _: arrange(shape, WIDTH, GAP_X, LANE),  # type: ignore[arg-type]
                    lambda rows: self._arranged(shape, rows),
                )
            return
        for i, run in runs.items():
            if before.get(i) != run:
                self._restate(run)

    def _arranged(self, shape: dict[int, frozenset[int]], rows: list[list[Place]]) -> None:
        """Draw what was laid out, unless the workflow has changed meanwhile."""
        if shape != self._shape or not self.winfo_exists():
            return
        self._rows = rows
        if self._touched:
            self.draw()
        else:
            self.fit()

    def draw(self) -> None:
        """Draw everything, portion by portion."""
        c, u = self.canvas, self._u
        c.delete("all")
        c.configure(background=theme.colour("bg"))
        self.places = {}
        if not self.runs:
            self._empty()
            return
        for row in self._rows:
            for place in row:
                if place.node is not None:
                    self.places[place.node] = (u(place.x), u(place.layer * (HEIGHT + GAP_Y)))
        self._set_region()
        self._portions = self._parts()
        self._draw_on()

    def _set_region(self) -> None:
        """Let the canvas span the workflow; one smaller than the canvas stands in its middle."""
        c, u, margin = self.canvas, self._u, self._u(24)
        lefts, tops = [x for x, _ in self.places.values()], [y for _, y in self.places.values()]
        x0, x1, y1 = min(lefts), max(lefts) + u(WIDTH), max(tops) + u(HEIGHT)
        aside = max(0.0, c.winfo_width() - (x1 - x0 + 2 * margin)) / 2
        below = max(0.0, c.winfo_height() - (y1 + 2 * margin))
        c.configure(scrollregion=(x0 - margin - aside, -margin, x1 + margin + aside, y1 + margin + below))
        self.map.place_forget()  # until all is drawn, an older map would show what is no more

    def _parts(self) -> Iterator[None]:
        """Draw node by node, those on the screen first, then edge by edge; who iterates decides how much at a time."""
        waiting = dict.fromkeys(self.places)
        for seen in (True, False):
            for i in list(waiting):
                if not seen or self.is_seen(i):
                    del waiting[i]
                    self._node(i, self.runs[i])
                    yield
        edge = theme.blend(theme.colour("fg"), theme.colour("bg"), 0.6)
        for row in self._rows:
            for place in row:
                if place.node is not None:
                    for above in place.above:
                        self._edge(above, place, edge)
                        yield

    def _draw_on(self) -> None:
        """Draw for some milliseconds, then let the window answer."""
        end, portions = time.perf_counter() + PORTION, self._portions
        while portions is not None and time.perf_counter() < end:
            if next(portions, self) is self:
                self._portions = portions = None
                self.canvas.tag_lower("edge")
                self.after(1, self._show_map)
        if portions is not None:
            self.after(1, self._draw_on)

    def _empty(self) -> None:
        c = self.canvas
        c.configure(scrollregion=(0, 0, 10, 10))
        c.create_text(
            theme.px(self, 40),
            theme.px(self, 60),
            anchor="nw",
            fill=theme.faint(),
            width=theme.px(self, 460),
            text="This project has no runs yet.\n\nDouble-click a protocol on the left to begin, e.g. import "
            "tomograms; or take a whole workflow from Project › Import template.",
        )
        self.map.place_forget()

    def _edge(self, above: Place, below: Place, colour: str) -> None:
        """Draw an edge with the lanes that it takes, as one line from the node above to the one below."""
        u = self._u
        points: list[float] = []
        place, upper = below, above
        while True:
            x0, y0 = u(upper.middle), u(upper.layer * (HEIGHT + GAP_Y) + HEIGHT)
            x1, y1 = u(place.middle), u(place.layer * (HEIGHT + GAP_Y))
            half = (y0 + y1) / 2
            points = [x0, y0, x0, half, x1, half, x1, y1, *points]
            if upper.node is not None or not upper.above:
                break
            place, upper = upper, upper.above[0]
        line = self.canvas.create_line(points, smooth=True, fill=colour, width=max(1, u(1.5)), tags="edge")
        self.canvas.itemconfigure(line, arrow="last", arrowshape=(u(7), u(8), u(3)))

    def _node(self, i: int, run: Run) -> None:
        self.cards.draw(run, *self.places[i], self._u, self.zoom_factor)
        self._restate(run)

    def _restate(self, run: Run) -> None:
        """Show the status of a run in its card."""
        if run.id in self.places:
            self.cards.restate(run, *self.places[run.id], self._u, chosen=run.id in self.selection)

    def take_picture(self, i: int, picture: Any) -> None:
        """Show a picture of what a run has made in its card."""
        self.cards.take_picture(i, picture, self._u)

    # --- selection ---

    def select(self, ids: Iterable[int], *, see: bool = False) -> None:
        """Select runs; with `see`, scroll to the first."""
        before, self.selection = self.selection, {i for i in ids if i in self.runs}
        for i in before | self.selection:
            if i in self.runs:
                self._restate(self.runs[i])
        if see and self.selection:
            self.see(min(self.selection))
        self._selected(set(self.selection))

    def see(self, i: int) -> None:
        """Scroll so that run `i` is in the middle."""
        x0, y0, x1, y1 = self.map.region()
        x, y = self.places[i]
        c = self.canvas
        c.xview_moveto((x + self._u(WIDTH / 2) - c.winfo_width() / 2 - x0) / max(1, x1 - x0))
        c.yview_moveto((y + self._u(HEIGHT / 2) - c.winfo_height() / 2 - y0) / max(1, y1 - y0))

    def is_seen(self, i: int) -> bool:
        """Return whether the card of a run is on the screen."""
        c, (x, y) = self.canvas, self.places.get(i, (-1e9, -1e9))
        x, y = x - c.canvasx(0), y - c.canvasy(0)
        return -self._u(WIDTH) < x < c.winfo_width() and -self._u(HEIGHT) < y < c.winfo_height()

    def centre_of(self, i: int) -> tuple[int, int]:
        """Return where on the screen the node of a run is."""
        c = self.canvas
        x, y = self.places[i]
        return (
            int(c.winfo_rootx() + x + self._u(WIDTH / 2) - c.canvasx(0)),
            int(c.winfo_rooty() + y + self._u(HEIGHT / 2) - c.canvasy(0)),
        )

    def _under(self, event: "tk.Event[Any]") -> int | None:
        x, y = self.canvas.canvasx(event.x), self.canvas.canvasy(event.y)
        for i, (left, top) in self.places.items():
            if left <= x <= left + self._u(WIDTH) and top <= y <= top + self._u(HEIGHT):
                return i
        return None

    def _on_button(self, i: int, event: "tk.Event[Any]") -> bool:
        x, y = self.canvas.canvasx(event.x), self.canvas.canvasy(event.y)
        left, top = self.places[i]
        right = x >= left + self._u(WIDTH - BUTTON) and y >= top + self._u(HEIGHT / 2)
        return bool(self.runs[i].card_button) and right

    def button_of(self, i: int) -> tuple[int, int]:
        """Return where on the screen the button of a card is."""
        x, y = self.centre_of(i)
        return int(x + self._u(WIDTH / 2 - 14)), int(y + self._u(HEIGHT / 2 - 18))

    def _press(self, event: "tk.Event[Any]", add: bool = False) -> None:
        self.canvas.focus_set()
        self.canvas.scan_mark(event.x, event.y)
        i = self._under(event)
        if i is not None and not add and self._on_button(i, event):
            self.select({i})
            self._go_on(i, event.x_root, event.y_root)
        elif i is None:
            self.select(self.selection if add else ())
        elif add:
            self.select(self.selection ^ {i})
        else:
            self.select({i})

    def _drag(self, event: "tk.Event[Any]") -> None:
        self.canvas.scan_dragto(event.x, event.y, gain=1)
        self.map.follow()

    def _double(self, event: "tk.Event[Any]") -> None:
        i = self._under(event)
        if i is not None:
            self._opened(i)

    def _right(self, event: "tk.Event[Any]") -> None:
        i = self._under(event)
        if i is not None and i not in self.selection:
            self.select({i})
        self._menu(i, event.x_root, event.y_root)

    def _menu_by_key(self) -> str:
        i = min(self.selection, default=None)
        place = self.centre_of(i) if i is not None else (self.canvas.winfo_rootx() + 40, self.canvas.winfo_rooty() + 40)
        self._menu(i, *place)
        return "break"

    def _open_selected(self) -> None:
        if len(self.selection) == 1:
            self._opened(next(iter(self.selection)))

    def _step(self, down: int, right: int) -> str:
        """Move the selection to the nearest run in a direction."""
        if not self.places:
            return "break"
        if not self.selection:
            self.select({min(self.places)}, see=True)
            return "break"
        x, y = self.places[min(self.selection)]
        ahead = []
        for i, (px, py) in self.places.items():
            along = (py - y) * down + (px - x) * right
            aside = abs((px - x) * down) + abs((py - y) * right)
            if along > 1:
                ahead.append((along + 3 * aside if right else along * 3 + aside, i))
        if ahead:
            self.select({min(ahead)[1]}, see=True)
        return "break"

    # --- view ---

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Zoom about a point of the canvas, its middle by default."""
        self._touched = True
        c = self.canvas
        x = c.winfo_width() / 2 if x is None else x
        y = c.winfo_height() / 2 if y is None else y
        before = self.zoom_factor
        self.zoom_factor = min(max(before * factor, LEAST), MOST)
        ratio = self.zoom_factor / before
        px, py = c.canvasx(x) * ratio, c.canvasy(y) * ratio
        self.draw()
        x0, y0, x1, y1 = self.map.region()
        c.xview_moveto((px - x - x0) / max(1, x1 - x0))
        c.yview_moveto((py - y - y0) / max(1, y1 - y0))

    def fit(self) -> None:
        """Show the whole workflow, at most at its natural size, as long as it can be read."""
        self._touched = False
        if not self._rows or not self.runs:
            self.draw()
            return
        wide = max((row[-1].x + row[-1].width for row in self._rows if row), default=1) * 2 + 48
        high = len(self._rows) * (HEIGHT + GAP_Y) - GAP_Y + 2 * 24
        room = self.canvas.winfo_width(), self.canvas.winfo_height()
        scale = theme.px(self, 100) / 100
        self.zoom_factor = min(max(min(room[0] / wide, room[1] / high) / scale, READABLE), 1.0)
        self.draw()
        x0, _, x1, _ = self.map.region()
        self.canvas.xview_moveto(max(0.0, ((x1 + x0 - room[0]) / 2 - x0) / max(1, x1 - x0)))
        self.canvas.yview_moveto(0)

    def _show_map(self) -> None:
        wide, high = self._u(WIDTH), self._u(HEIGHT)
        self.map.show(
            (x, y, x + wide, y + high, theme.colour(self.runs[i].colour)) for i, (x, y) in self.places.items()
        )

    def _u(self, length: float) -> float:
        return theme.px(self, 100) / 100 * self.zoom_factor * length

    def _scrolled(self, bar: ttk.Scrollbar) -> Callable[[str, str], None]:
        def scroll(first: str, last: str) -> None:
            """Move the bar and the overview map with the view."""
            bar.set(first, last)
            if self.runs:
                self.map.follow()

        return scroll
