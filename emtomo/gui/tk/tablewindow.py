"""Any set as a table: sort by any column, filter by a condition, page by page."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import ttkbootstrap as ttk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.tables import filter_table
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.window import Window, tip
from emtomo.wording import count_text

PAGE = 200


class TableWindow(Window):
    """Shows a set, or the fields of a result."""

    def __init__(self, master: Any, shown: Shown) -> None:
        super().__init__(master, f"{shown.title} – table – emtomo", (1000, 620), "table")
        self.shown = shown
        self.frame_all = pd.DataFrame()
        self.rows: np.ndarray = np.zeros(0, int)
        self.page = 0
        self._order: tuple[str, bool] | None = None
        pad = theme.px(self, theme.PAD)
        top = ttk.Frame(self, padding=pad)
        top.pack(fill="x")
        ttk.Label(top, text="Show rows where").pack(side="left")
        self.condition = ttk.Entry(top, width=42)
        self.condition.pack(side="left", padx=pad)
        self.condition.bind("<Return>", lambda _: self.apply())
        tip(self.condition, "e.g.  score > 3 and group = 1   or   tomogram_id ~ TS_0   (~ means contains)")
        ttk.Button(top, text="Filter", bootstyle="primary", command=self.apply).pack(side="left")
        ttk.Button(top, text="Save CSV …", bootstyle="secondary-outline", command=self.save).pack(side="right")
        self.message = ttk.Label(self, text="Reading …", padding=(pad, 0))
        self.message.pack(fill="x")
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        for name, text, by in (
            ("first", "«", -(10**9)),
            ("back", "‹ Page", -1),
            ("next", "Page ›", 1),
            ("last", "»", 10**9),
        ):
            button = ttk.Button(foot, text=text, bootstyle="secondary-outline", command=lambda b=by: self.turn(b))
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            self.w[name] = button
        self.place_label = ttk.Label(foot, text="")
        self.place_label.pack(side="left", padx=pad)
        body = ttk.Frame(self, padding=(pad, 0))
        body.pack(fill="both", expand=True)
        self.tree = ttk.Treeview(body, show="headings", selectmode="extended")
        down, across = (
            ttk.Scrollbar(body, command=self.tree.yview),
            ttk.Scrollbar(body, orient="horizontal", command=self.tree.xview),
        )
        self.tree.configure(yscrollcommand=down.set, xscrollcommand=across.set)
        down.pack(side="right", fill="y")
        across.pack(side="bottom", fill="x")
        self.tree.pack(fill="both", expand=True)
        self.w |= {"condition": self.condition, "table": self.tree, "message": self.message}
        self.bind_actions(
            [
                Action("close", "Close", self.close, "<Escape>"),
                Action("next", "Next page", lambda: self.turn(1), "<Next>"),
                Action("back", "Page before", lambda: self.turn(-1), "<Prior>"),
            ]
        )
        self._task = self.app.work(lambda _: _frame_of(shown), self._read, lambda s: self.message.configure(text=s))

    def _read(self, frame: pd.DataFrame) -> None:
        if not self.winfo_exists():
            return
        self.frame_all, self.rows = frame, np.arange(len(frame))
        self.tree.configure(columns=[str(c) for c in frame])
        for name in frame:
            self.tree.heading(str(name), text=str(name), anchor="w", command=partial(self.sort, str(name)))
            width = max(len(str(name)), *(len(_cell(v)) for v in frame[name].iloc[:20]), 4)
            self.tree.column(str(name), width=theme.px(self, 12 + 7 * min(width, 30)), anchor="w", stretch=False)
        self.fill()

    def apply(self) -> None:
        """Show the rows that the condition holds for, in the order of the chosen column; worked out in a thread."""
        frame, text, order = self.frame_all, self.condition.get(), self._order
        self._task = self.app.work(lambda _: _rows(frame, text, order), self._take, self._refused)

    def _take(self, rows: np.ndarray) -> None:
        if self.winfo_exists():
            self.message.configure(bootstyle="default")
            self.rows, self.page = rows, 0
            self.fill()

    def _refused(self, sentence: str) -> None:
        if self.winfo_exists():
            self.message.configure(text=sentence, bootstyle="danger")

    def sort(self, name: str) -> None:
        """Sort by a column; again for the other direction."""
        down = self._order is not None and self._order[0] == name and not self._order[1]
        self._order = (name, down)
        for column in self.frame_all:
            mark = (" ▼" if down else " ▲") if column == name else ""
            self.tree.heading(str(column), text=f"{column}{mark}")
        self.apply()

    def turn(self, by: int) -> None:
        """Go to another page."""
        self.page = min(max(self.page + by, 0), max(0, (len(self.rows) - 1) // PAGE))
        self.fill()

    def fill(self) -> None:
        """Show the page."""
        self.tree.delete(*self.tree.get_children())
        part = self.frame_all.iloc[self.rows[self.page * PAGE : (self.page + 1) * PAGE]]
        for row in part.itertuples(index=False):
            self.tree.insert("", "end", values=[_cell(v) for v in row])
        total, kept = len(self.frame_all), len(self.rows)
        self.message.configure(
            text=f"{count_text(total, 'row')}" if kept == total else f"{kept} of {count_text(total, 'row')}"
        )
        first = self.page * PAGE + 1 if kept else 0
        self.place_label.configure(text=f"{first} to {min(kept, (self.page + 1) * PAGE)}")

    def save(self) -> None:
        """Write the rows that are shown as CSV."""
        path = choose_file(self, "Save table", save=f"{self.shown.name}.csv")
        if path is not None:
            part = path.with_name(path.name + ".part")
            self.frame_all.iloc[self.rows].to_csv(part, index=False)
            part.replace(path)
            self.message.configure(text=f"Written: {path}.")

    def close(self) -> None:
        """Close."""
        self._task.cancel()
        super().close()


def _frame_of(shown: Shown) -> pd.DataFrame:
    if hasattr(shown.value, "frame"):
        return shown.value.frame()
    fields = shown.value.FIELDS
    return pd.DataFrame(
        [(f.name, shown.value.values()[f.name], f.unit, f.meaning) for f in fields],
        columns=["field", "value", "unit", "meaning"],
    )


def _rows(frame: pd.DataFrame, text: str, order: tuple[str, bool] | None) -> np.ndarray:
    """Return the places of the rows to be shown."""
    kept = filter_table(frame, text)
    rows = frame.index.get_indexer(kept.index)
    if order is None:
        return rows
    values = kept[order[0]].to_numpy()
    if values.dtype == object:
        values = np.array(["" if v is None else str(v) for v in values])
    sorted_rows = rows[np.argsort(values, kind="stable")]
    return sorted_rows[::-1] if order[1] else sorted_rows


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
