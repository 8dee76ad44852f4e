"""The protocols by stage of the workflow, with a search over labels, names and the peers' words."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.catalogue import Entry, entries
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import busy_label, tip


class ProtocolTree(ttk.Frame):
    """Search box and tree; a double click or Enter opens the form of a protocol."""

    def __init__(self, master: tk.Misc, chosen: Callable[[str], object], w: dict[str, Any]) -> None:
        super().__init__(master, padding=theme.px(master, theme.PAD))
        self._chosen = chosen
        self._entries = entries()
        self.query = ttk.StringVar(self)
        row = ttk.Frame(self)
        row.pack(fill="x")
        ttk.Label(row, icon="search").pack(side="left", padx=(0, theme.px(self, theme.GAP)))
        search = ttk.Entry(row, textvariable=self.query)
        search.pack(side="left", fill="x", expand=True)
        tip(search, "Search protocols: label, name, words of the tutorials and of other programs (Ctrl+F)")
        frame = ttk.Frame(self)
        frame.pack(fill="both", expand=True, pady=theme.px(self, theme.GAP))
        self.tree = ttk.Treeview(frame, show="tree", selectmode="browse")
        bar = ttk.Scrollbar(frame, command=self.tree.yview)
        self.tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.tree.pack(side="left", fill="both", expand=True)
        self.help = busy_label(self, "")
        self.help.configure(wraplength=theme.px(self, 230), justify="left")
        self.help.pack(fill="x")
        self.tree.bind("<Double-1>", lambda _: self.choose())
        self.tree.bind("<Return>", lambda _: self.choose())
        self.tree.bind("<<TreeviewSelect>>", lambda _: self._explain())
        search.bind("<Return>", lambda _: self.choose())
        search.bind("<Down>", lambda _: self.tree.focus_set())
        search.bind("<Escape>", lambda _: self.query.set(""))
        self.query.trace_add("write", lambda *_: self.fill())
        w["search"], w["tree"] = search, self.tree
        self.fill()

    def find_entries(self) -> list[Entry]:
        """Return the protocols that the search leaves."""
        return [e for e in self._entries if e.matches(self.query.get())]

    def fill(self) -> None:
        """Show what the search leaves; the first hit is selected while one searches."""
        self.tree.delete(*self.tree.get_children())
        for entry in self.find_entries():
            if not self.tree.exists(f"stage {entry.stage}"):
                self.tree.insert("", "end", iid=f"stage {entry.stage}", text=entry.stage, open=True)
            self.tree.insert(f"stage {entry.stage}", "end", iid=entry.name, text=entry.label)
        first = min(self.find_entries(), key=lambda e: e.rank(self.query.get()), default=None)
        if self.query.get() and first is not None:
            self.tree.selection_set(first.name)
            self.tree.focus(first.name)
            self.tree.see(first.name)

    def choose(self) -> None:
        """Open the form of the selected protocol."""
        for iid in self.tree.selection():
            if not iid.startswith("stage "):
                self._chosen(iid)

    def _explain(self) -> None:
        chosen = self.tree.selection()
        entry = next((e for e in self._entries if chosen and e.name == chosen[0]), None)
        message = entry.help if entry is not None else ""
        self.help.configure(text=message if len(message) < 220 else message[:217].rsplit(" ", 1)[0] + " …")
