"""Small questions. None is modal: a question never locks the other windows, and its answer is a call."""

import contextlib
import tkinter as tk
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.file_kinds import filters, first_folder, remember_folder
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import Parent, root_of
from emtomo.gui.tk.window import Window

Answer = tuple[str, str, Callable[[], object]]


class Question(Window):
    """A sentence with buttons; Escape is the last of them."""

    def __init__(self, master: Parent, title: str, text: str, answers: Sequence[Answer]) -> None:
        super().__init__(master, title, (480, 10))
        self.geometry("")
        self.resizable(False, False)
        self.transient(master.winfo_toplevel())
        body = ttk.Frame(self, padding=theme.px(self, 2 * theme.PAD))
        body.pack(fill="both", expand=True)
        self.text = text
        label = ttk.Label(body, text=text, wraplength=theme.px(self, 440), justify="left")
        label.pack(anchor="w", pady=(0, theme.px(self, 2 * theme.PAD)))
        self.row = ttk.Frame(body)
        self.row.pack(anchor="e")
        for name, style, call in answers:
            button = ttk.Button(
                self.row, text=name, bootstyle=style or "secondary-outline", command=lambda c=call: self._answer(c)
            )
            button.pack(side="left", padx=(theme.px(self, theme.GAP), 0))
            self.w[name] = button
        last = answers[-1][2]
        self.bind("<Escape>", lambda _: self._answer(last))
        self.protocol("WM_DELETE_WINDOW", lambda: self._answer(last))
        self.w[answers[0][0]].focus_set()
        self.bind("<Return>", lambda event: event.widget.invoke() if isinstance(event.widget, ttk.Button) else None)
        _place(self, master)

    def _answer(self, call: Callable[[], object]) -> None:
        self.destroy()
        call()


def ask(master: Parent, title: str, text: str, answers: Sequence[Answer]) -> Question:
    """Ask; `answers` are (button, style, call), the last one does nothing or gives up."""
    return Question(master, title, text, answers)


def show_message(master: Parent, title: str, text: str) -> Question:
    """Say something that a user must have seen."""
    return Question(master, title, text, [("OK", "primary", lambda: None)])


def call_all(*calls: Callable[[], object]) -> Callable[[], None]:
    """Return one call that makes several."""

    def run() -> None:
        """Make the calls one after the other."""
        for call in calls:
            call()

    return run


class TextQuestion(Window):
    """Ask for one or more lines of text."""

    def __init__(
        self, master: Parent, title: str, fields: Sequence[tuple[str, str]], done: Callable[[list[str]], object]
    ) -> None:
        super().__init__(master, title, (460, 10))
        self.geometry("")
        self.resizable(False, False)
        self.transient(master.winfo_toplevel())
        body = ttk.Frame(self, padding=theme.px(self, 2 * theme.PAD))
        body.pack(fill="both", expand=True)
        body.columnconfigure(1, weight=1)
        self.entries = []
        for k, (label, text) in enumerate(fields):
            ttk.Label(body, text=label).grid(row=k, column=0, sticky="w", padx=(0, theme.px(self, theme.PAD)))
            entry = ttk.Entry(body, width=42)
            entry.insert(0, text)
            entry.grid(row=k, column=1, sticky="ew", pady=theme.px(self, theme.GAP))
            self.w[label] = entry
            self.entries.append(entry)
        row = ttk.Frame(body)
        row.grid(row=len(fields), column=0, columnspan=2, sticky="e", pady=(theme.px(self, theme.PAD), 0))

        def accept() -> None:
            """Close the dialog and hand over what was typed."""
            texts = [entry.get() for entry in self.entries]
            self.destroy()
            done(texts)

        for name, style, call in (("OK", "primary", accept), ("Cancel", "secondary-outline", self.destroy)):
            button = ttk.Button(row, text=name, bootstyle=style, command=call)
            button.pack(side="left", padx=(theme.px(self, theme.GAP), 0))
            self.w[name] = button
        self.bind("<Escape>", lambda _: self.destroy())
        for entry in self.entries:
            entry.bind("<Return>", lambda _: accept())
        self.entries[0].focus_set()
        self.entries[0].select_range(0, "end")
        _place(self, master)


class Rows(Window):
    """Two columns of text: keys, differences, numbers."""

    def __init__(
        self,
        master: Parent,
        title: str,
        rows: Sequence[Sequence[str]],
        headings: Sequence[str] = ("Key", "What it does"),
    ) -> None:
        super().__init__(master, title, (640, 560))
        names = [f"c{k}" for k in range(len(headings))]
        frame = ttk.Frame(self, padding=theme.px(self, theme.PAD))
        frame.pack(fill="both", expand=True)
        tree = ttk.Treeview(frame, columns=names, show="headings", selectmode="browse")
        bar = ttk.Scrollbar(frame, command=tree.yview)
        tree.configure(yscrollcommand=bar.set)
        for name, heading in zip(names, headings, strict=True):
            tree.heading(name, text=heading, anchor="w")
            tree.column(name, width=theme.px(self, 190 if name == "c0" else 360), anchor="w", stretch=name != "c0")
        for row in rows:
            tree.insert("", "end", values=list(row))
        bar.pack(side="right", fill="y")
        tree.pack(side="left", fill="both", expand=True)
        self.w["rows"] = tree
        self.bind("<Escape>", lambda _: self.close())
        tree.focus_set()


def show_rows(
    master: Parent, title: str, rows: Sequence[Sequence[str]], headings: Sequence[str] = ("Key", "What it does")
) -> Rows:
    """Show rows of text in a window of their own."""
    return Rows(master, title, rows, headings)


def choose_file(
    master: Parent, title: str, *, folder: bool = False, save: str = "", start: str = "", kind: str = "data"
) -> Path | None:
    """Let the user choose a file or folder with the toolkit's own dialog; None if they did not.

    The dialog begins where a file of its `kind` was chosen last, and filters by what such files are called.
    """
    from tkinter import filedialog

    root = root_of(master)
    settings = root.settings
    first = first_folder(settings, kind, start or str(root.start_folder))
    where: dict[str, Any] = {"parent": master.winfo_toplevel(), "title": title, "initialdir": first}
    if not folder:
        where["filetypes"] = filters(kind)
    if folder:
        chosen = filedialog.askdirectory(**where)
    elif save:
        chosen = filedialog.asksaveasfilename(initialfile=save, **where)
    else:
        chosen = filedialog.askopenfilename(**where)
    if not chosen:
        return None
    remember_folder(settings, kind, Path(chosen))
    return Path(chosen)


def hide_hidden_files(root: tk.Misc) -> None:
    """Let the toolkit's file dialogs leave out files whose names begin with a dot, and offer a button for them."""
    with contextlib.suppress(tk.TclError):
        root.tk.call("tk_getOpenFile", "-none")  # refused, but it makes the dialog's variables
    for name, value in (("showHiddenBtn", 1), ("showHiddenVar", 0)):
        with contextlib.suppress(tk.TclError):  # systems with dialogs of their own have no such variables
            root.tk.call("set", f"::tk::dialog::file::{name}", value)


def _place(window: Window, master: Parent) -> None:
    """Put a question over the window that it belongs to."""
    window.update_idletasks()
    top = master.winfo_toplevel()
    x = top.winfo_rootx() + max(0, (top.winfo_width() - window.winfo_reqwidth()) // 2)
    y = top.winfo_rooty() + max(0, (top.winfo_height() - window.winfo_reqheight()) // 3)
    window.geometry(f"+{max(0, x)}+{max(0, y)}")
