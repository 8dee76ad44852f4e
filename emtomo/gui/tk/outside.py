"""Hand an output to another program: choose one, get the files and the command."""

import subprocess
from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.shown import Shown
from emtomo.gui.tk import theme
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.window import Window, busy_label


class OutsideWindow(Window):
    """A button for each program; the command can be copied, and run where the program is installed."""

    def __init__(self, master: Any, shown: Shown, programs: dict[str, Callable[[Shown], Any]]) -> None:
        super().__init__(master, f"Open {shown.title} in another program – emtomo", (640, 300))
        self.shown = shown
        self.opened_outside: Any = None
        pad = theme.px(self, theme.PAD)
        body = ttk.Frame(self, padding=pad)
        body.pack(fill="both", expand=True)
        row = ttk.Frame(body)
        row.pack(anchor="w")
        for name, make in programs.items():
            button = ttk.Button(row, text=name, bootstyle="primary-outline", command=lambda m=make: self.hand(m))
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            self.w[name] = button
        self.message = busy_label(
            body, "The files that the program reads are written into the project's folder Export."
        )
        self.message.configure(wraplength=theme.px(self, 600), justify="left")
        self.message.pack(anchor="w", pady=pad)
        self.line = ttk.Entry(body)
        self.line.pack(fill="x")
        row = ttk.Frame(body)
        row.pack(anchor="w", pady=pad)
        for name, text, call in (("copy", "Copy command", self.copy), ("start", "Start it", self.start)):
            button = ttk.Button(row, text=text, bootstyle="secondary-outline", command=call, state="disabled")
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            self.w[name] = button
        self.w |= {"command": self.line, "message": self.message}
        self.bind("<Escape>", lambda _: self.close())

    def hand(self, make: Callable[[Shown], Any]) -> None:
        """Write the files of a program, in a thread."""
        self.message.configure(text="Writing …")
        follow(self, self.work(lambda _: make(self.shown), self._done, lambda s: self.message.configure(text=s)))

    def _done(self, opened_outside: Any) -> None:
        if not self.winfo_exists():
            return
        self.opened_outside = opened_outside
        self.line.delete(0, "end")
        self.line.insert(0, opened_outside.line)
        files = "Written: " + ", ".join(str(f) for f in opened_outside.files) + ". " if opened_outside.files else ""
        there = (
            ""
            if opened_outside.there
            else f"{opened_outside.program} is not on this machine's path: copy the command to one that has it."
        )
        self.message.configure(text=files + there)
        self.w["copy"].configure(state="normal")
        self.w["start"].configure(state="normal" if opened_outside.there else "disabled")

    def copy(self) -> None:
        """Put the command on the clipboard."""
        self.clipboard_clear()
        self.clipboard_append(self.line.get())

    def start(self) -> None:
        """Start the program."""
        if self.opened_outside is not None and self.opened_outside.there:
            subprocess.Popen(
                self.opened_outside.command,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
