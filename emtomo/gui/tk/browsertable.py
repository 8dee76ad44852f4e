"""The table of the particle browser: only the rows that are seen exist, so that any number of them scrolls."""

import tkinter as tk
from functools import partial
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.tk import theme

SHIFT, CONTROL = 0x1, 0x4
STEP = 3  # rows of one step of the wheel
NOTHING = 1e-9  # smaller numbers are what rounding has left of zero
SAMPLE = 20  # rows that say how wide a column is
MOUSE = [
    ("Click a row", "select it; with Ctrl one more, with Shift all up to it"),
    ("Click a heading", "sort; again for the other direction"),
]


class BrowserTable(ttk.Frame):
    """Shows the rows of a :class:`ParticleBrowser` in their order."""

    def __init__(self, master: tk.Misc, browser: ParticleBrowser, sort: Any) -> None:
        super().__init__(master)
        self.browser, self._sort = browser, sort
        self.first = 0
        self._painting: str | None = None
        self.tree = ttk.Treeview(self, columns=["row", *browser.columns], show="headings", selectmode="none")
        self.bar = ttk.Scrollbar(self, command=self._scroll)
        across = ttk.Scrollbar(self, orient="horizontal", command=self.tree.xview)
        self.tree.configure(xscrollcommand=across.set)
        self.bar.grid(row=0, column=1, sticky="ns")
        across.grid(row=1, column=0, sticky="ew")
        self.tree.grid(row=0, column=0, sticky="nsew")
        self.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self._make_columns()
        t = self.tree
        t.bind("<Configure>", lambda _: self.paint())
        t.bind("<Button-1>", self._press)
        for button, by in ((4, -STEP), (5, STEP)):
            t.bind(f"<Button-{button}>", lambda _, b=by: self.move(b))  # type: ignore[misc]
        for key, by in (("Up", -1), ("Down", 1)):
            t.bind(f"<{key}>", lambda e, b=by: self._go(b, int(e.state)))  # type: ignore[misc]
        t.bind("<Prior>", lambda _: self.move(-self.per_page()))
        t.bind("<Next>", lambda _: self.move(self.per_page()))
        t.bind("<Home>", lambda _: self.move(-len(browser)))
        t.bind("<End>", lambda _: self.move(len(browser)))
        browser.listeners.append(self._changed)

    def _make_columns(self) -> None:
        table = self.browser.table
        self.tree.heading("row", text="#", anchor="e")
        self.tree.column("row", width=theme.px(self, 16 + 7 * len(str(len(table)))), anchor="e", stretch=False)
        for name in self.browser.columns:
            title = self.browser.heading(name)
            self.tree.heading(name, text=title, anchor="w", command=partial(self._sort, name))
            width = max(len(title) + 2, *(len(cell(v)) for v in table[name].iloc[:SAMPLE]), 4)
            self.tree.column(name, width=theme.px(self, 12 + 7 * min(width, 30)), anchor="w", stretch=False)

    def per_page(self) -> int:
        """Return how many rows are seen."""
        row = int(ttk.Style.get_instance().lookup("Treeview", "rowheight") or theme.px(self, 20))
        return max(1, (self.tree.winfo_height() - row) // row)

    # --- moving ---

    def move(self, by: int) -> str:
        """Go on by some rows."""
        last = max(0, len(self.browser.rows) - self.per_page())
        self.first = min(max(self.first + by, 0), last)
        self.paint()
        return "break"

    def _scroll(self, what: str, amount: str, unit: str = "") -> None:
        if what == "moveto":
            self.move(round(float(amount) * len(self.browser.rows)) - self.first)
        else:
            self.move(int(float(amount)) * (self.per_page() if unit == "pages" else 1))

    def see(self, row: int) -> None:
        """Scroll so that a row is seen, if it is shown."""
        place = self.browser.place_of(row)
        if place is not None and not self.first <= place < self.first + self.per_page():
            self.move(place - self.per_page() // 2 - self.first)

    def _go(self, by: int, state: int) -> str:
        """Go to the row before or after the current one."""
        browser = self.browser
        if not len(browser.rows):
            return "break"
        place = browser.place_of(browser.current) if browser.current is not None else None
        to = 0 if place is None else min(max(place + by, 0), len(browser.rows) - 1)
        browser.click(int(browser.rows[to]), extend=bool(state & SHIFT))
        return "break"

    def _press(self, event: "tk.Event[Any]") -> str | None:
        if self.tree.identify_region(event.x, event.y) != "cell":
            return None
        self.tree.focus_set()
        item = self.tree.identify_row(event.y)
        if item:
            state = int(event.state)
            row = int(self.browser.rows[self.first + self.tree.index(item)])
            self.browser.click(row, add=bool(state & CONTROL), extend=bool(state & SHIFT))
        return "break"

    # --- drawing ---

    def _changed(self, what: str) -> None:
        if what == "rows":
            self.first = 0
            self._mark_order()
        if what == "current" and self.browser.current is not None:
            self.see(self.browser.current)
        self.paint()

    def _mark_order(self) -> None:
        order = self.browser.order
        for name in self.browser.columns:
            mark = "" if order is None or order[0] != name else " ▼" if order[1] else " ▲"
            self.tree.heading(name, text=self.browser.heading(name) + mark)

    def paint(self) -> None:
        """Show the rows soon; many wishes are one drawing."""
        if self._painting is None and self.winfo_exists():
            self._painting = self.after_idle(self._paint)

    def _paint(self) -> None:
        self._painting = None
        tree, browser, count = self.tree, self.browser, self.per_page()
        rows = browser.rows[self.first : self.first + count]
        items = tree.get_children()
        for _ in range(len(items), len(rows)):
            tree.insert("", "end")
        tree.delete(*items[len(rows) :])
        items = tree.get_children()
        part = browser.table.iloc[rows]
        for item, row, values in zip(items, rows, part.itertuples(index=False), strict=True):
            tree.item(item, values=[row + 1, *(cell(v) for v in values)])
        tree.selection_set([item for item, row in zip(items, rows, strict=True) if browser.selected[row]])
        total = max(1, len(browser.rows))
        self.bar.set(self.first / total, min(1.0, (self.first + count) / total))


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) > NOTHING else "0" if value == value else ""
    return "" if value is None else str(value)
