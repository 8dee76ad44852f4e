"""Ctrl+K: go to a run, or open a protocol, by typing some of its letters."""

import tkinter as tk
from collections.abc import Callable

import ttkbootstrap as ttk

from emtomo.gui.core.catalogue import entries
from emtomo.gui.core.runs import Run
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import Window

MOST = 200


class QuickSearch(Window):
    """A line to type in, and what fits below it; Enter takes the selected one."""

    def __init__(
        self, master: tk.Misc, runs: dict[int, Run], run: Callable[[int], object], protocol: Callable[[str], object]
    ) -> None:
        super().__init__(master, "Go to", (520, 380))
        self.transient(master.winfo_toplevel())
        self._runs, self._run, self._protocol = runs, run, protocol
        self._found: list[tuple[str, str]] = []
        body = ttk.Frame(self, padding=theme.px(self, theme.PAD))
        body.pack(fill="both", expand=True)
        self.words = ttk.StringVar(self)
        entry = ttk.Entry(body, textvariable=self.words)
        entry.pack(fill="x", pady=(0, theme.px(self, theme.GAP)))
        self.tree = ttk.Treeview(body, columns=("what",), show="tree headings", selectmode="browse")
        self.tree.heading("#0", text="Run or protocol", anchor="w")
        self.tree.heading("what", text="", anchor="w")
        self.tree.column("#0", width=theme.px(self, 270))
        self.tree.pack(fill="both", expand=True)
        self.w |= {"words": entry, "found": self.tree}
        self.words.trace_add("write", lambda *_: self.fill())
        entry.bind("<Return>", lambda _: self.take())
        entry.bind("<Down>", lambda _: self._move(1))
        entry.bind("<Up>", lambda _: self._move(-1))
        self.tree.bind("<Double-1>", lambda _: self.take())
        self.tree.bind("<Return>", lambda _: self.take())
        self.bind("<Escape>", lambda _: self.close())
        self.fill()
        entry.focus_force()

    def fill(self) -> None:
        """Show what fits the words; runs first, the newest at the top."""
        text = self.words.get()
        self.tree.delete(*self.tree.get_children())
        runs = [r for r in sorted(self._runs.values(), key=lambda r: -r.id) if r.matches(text)]
        self._found = [("run", str(r.id)) for r in runs[:MOST]]
        for r in runs[:MOST]:
            self.tree.insert("", "end", iid=f"run {r.id}", text=f"{r.label}  ({r.number})", values=(r.status_line,))
        for e in sorted(entries(), key=lambda e: e.rank(text)):
            if e.matches(text):
                self._found.append(("protocol", e.name))
                self.tree.insert("", "end", iid=f"protocol {e.name}", text=e.label, values=("new run",))
        if self._found:
            self._mark(0)

    def _mark(self, k: int) -> None:
        iid = " ".join(self._found[k])
        self.tree.selection_set(iid)
        self.tree.see(iid)

    def _move(self, by: int) -> str:
        chosen = self.tree.selection()
        ids = [" ".join(f) for f in self._found]
        if ids:
            self._mark((ids.index(chosen[0]) + by) % len(ids) if chosen else 0)
        return "break"

    def take(self) -> None:
        """Go to what is selected."""
        for iid in self.tree.selection()[:1]:
            kind, _, name = iid.partition(" ")
            self.close()
            if kind == "run":
                self._run(int(name))
            else:
                self._protocol(name)
