"""The runs as a list: filter by words and status, sort by any column."""

import tkinter as tk
from collections.abc import Callable
from functools import partial
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.runs import STATES, Run, duration
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import tip

COLUMNS = (("number", "Run", 60), ("label", "Label", 190), ("title", "Protocol", 190), ("status", "Status", 190),
           ("seconds", "Time", 80), ("started", "Started", 150), ("comment", "Comment", 160))  # fmt: skip
ANY = "any status"


class RunList(ttk.Frame):
    """A table of runs."""

    def __init__(
        self,
        master: tk.Misc,
        selected: Callable[[set[int]], object],
        opened: Callable[[int], object],
        menu: Callable[[int | None, int, int], object],
        w: dict[str, Any],
    ) -> None:
        super().__init__(master, padding=theme.px(master, theme.GAP))
        self._selected, self._menu = selected, menu
        self.runs: dict[int, Run] = {}
        self._key, self._down = "number", False
        top = ttk.Frame(self)
        top.pack(fill="x", pady=(0, theme.px(self, theme.GAP)))
        self.words = ttk.StringVar(self)
        ttk.Label(top, icon="search").pack(side="left", padx=(0, theme.px(self, theme.GAP)))
        entry = ttk.Entry(top, textvariable=self.words)
        entry.pack(side="left", fill="x", expand=True)
        tip(entry, "Show only runs with these words in number, label, protocol, status, comment or outputs")
        self.status = ttk.Combobox(top, values=[ANY, *STATES, "out of date"], state="readonly", width=14)
        self.status.set(ANY)
        self.status.pack(side="left", padx=(theme.px(self, theme.GAP), 0))
        frame = ttk.Frame(self)
        frame.pack(fill="both", expand=True)
        self.tree = ttk.Treeview(frame, columns=[c for c, _, _ in COLUMNS], show="headings", selectmode="extended")
        for name, heading, width in COLUMNS:
            self.tree.heading(name, text=heading, anchor="w", command=partial(self._sort, name))
            self.tree.column(
                name, width=theme.px(self, width), anchor="w", stretch=name in ("label", "title", "comment")
            )
        bar = ttk.Scrollbar(frame, command=self.tree.yview)
        self.tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.tree.pack(side="left", fill="both", expand=True)
        self.words.trace_add("write", lambda *_: self.fill())
        self.status.bind("<<ComboboxSelected>>", lambda _: self.fill())
        self.tree.bind("<<TreeviewSelect>>", lambda _: self._selected({int(i) for i in self.tree.selection()}))
        self.tree.bind("<Double-1>", lambda e: self._row(e, opened))
        self.tree.bind("<Return>", lambda _: [opened(int(i)) for i in self.tree.selection()[:1]])
        self.tree.bind("<Button-3>", self._right)
        w["list filter"], w["list status"], w["list"] = entry, self.status, self.tree

    def show(self, runs: dict[int, Run]) -> None:
        """Show runs; only the cells that differ are written."""
        before, self.runs = self.runs, runs
        if set(before) != set(runs):
            self.fill()
            return
        for i, run in runs.items():
            if before[i] != run and self.tree.exists(str(i)):
                self.tree.item(str(i), values=self._cells(run))

    def fill(self) -> None:
        """Show the runs that the filters leave, sorted."""
        kept = [r for r in self.runs.values() if r.matches(self.words.get()) and self._wanted(r)]
        kept.sort(
            key=lambda r: (
                getattr(r, self._key) is None,
                getattr(r, self._key) or 0
                if self._key in ("number", "seconds")
                else str(getattr(r, self._key)).lower(),
            ),
            reverse=self._down,
        )
        chosen = self.tree.selection()
        self.tree.delete(*self.tree.get_children())
        for run in kept:
            self.tree.insert("", "end", iid=str(run.id), values=self._cells(run))
        self.tree.selection_set([i for i in chosen if self.tree.exists(i)])

    def select(self, ids: set[int]) -> None:
        """Mark runs."""
        there = [str(i) for i in ids if self.tree.exists(str(i))]
        if set(self.tree.selection()) != set(there):
            self.tree.selection_set(there)
        if there:
            self.tree.see(there[0])

    def _wanted(self, run: Run) -> bool:
        status = self.status.get()
        return status == ANY or run.status == status or (status == "out of date" and run.out_of_date)

    def _cells(self, run: Run) -> tuple[Any, ...]:
        time = duration(run.seconds) if run.seconds is not None else ""
        return run.number, run.label, run.title, run.status_line, time, run.started, run.comment

    def _sort(self, key: str) -> None:
        self._down = not self._down if key == self._key else False
        self._key = key
        self.fill()

    def _row(self, event: "tk.Event[Any]", call: Callable[[int], object]) -> None:
        row = self.tree.identify_row(event.y)
        if row:
            call(int(row))

    def _right(self, event: "tk.Event[Any]") -> None:
        row = self.tree.identify_row(event.y)
        if row and row not in self.tree.selection():
            self.tree.selection_set(row)
        self._menu(int(row) if row else None, event.x_root, event.y_root)
