"""Figures in a window: drawn off the window's thread into a picture; sharp at any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.background import Task
from emtomo.gui.core.plots import Palette, apply_palette, pixels
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.window import Window


class FigureWindow(Window):
    """Shows what `make` draws.

    Parameters
    ----------
    master : widget
    title : str
    make : callable
        Returns a matplotlib figure; called in a thread.
    """

    def __init__(self, master: Any, title: str, make: Callable[[], Any]) -> None:
        super().__init__(master, title, (960, 560), "figure")
        self.make = make
        self._photo: Any = None
        self._task: Task | None = None
        self._again = False
        foot = ttk.Frame(self, padding=theme.px(self, theme.PAD))
        foot.pack(side="bottom", fill="x")
        save = ttk.Button(foot, text="Save …", bootstyle="secondary-outline", command=self.save)
        save.pack(side="right")
        self.message = ttk.Label(foot, text="")
        self.message.pack(side="left", fill="x", expand=True)
        self.foot = foot
        self.label = ttk.Label(self, anchor="center", borderwidth=0)  # the picture is as wide as the label
        self.label.pack(fill="both", expand=True)
        self.label.bind("<Configure>", lambda _: self.redraw())
        self.bind_actions(
            [
                Action("save", "Save as PNG, PDF or SVG", self.save, "<Control-p>"),
                Action("close", "Close", self.close, "<Escape>"),
            ]
        )
        self.w |= {"save": save, "figure": self.label, "message": self.message}

    def redraw(self) -> None:
        """Draw; while one is drawn, only the last wish is kept."""
        if self._task is not None and self._task.thread.is_alive():
            self._again = True
            return
        wide, high = self.label.winfo_width(), self.label.winfo_height()
        if wide < 20 or high < 20:
            return
        make, dpi, palette = self.make, 100 * self.app.factor, self.palette

        def work(_: Task) -> np.ndarray:
            """Draw the figure to pixels outside of the window's thread."""
            return pixels(apply_palette(make(), palette), wide, high, dpi)

        self._task = follow(self, self.work(work, self._show, self._failed))

    @property
    def palette(self) -> Palette:
        """The theme's colours."""
        return Palette(theme.colour("bg"), theme.colour("fg"), theme.colour("primary"))

    def _show(self, picture: np.ndarray) -> None:
        if not self.winfo_exists():
            return
        self._photo = ImageTk.PhotoImage(Image.fromarray(picture), master=self)
        self.label.configure(image=self._photo, text="")
        self._task = None
        if self._again:
            self._again = False
            self.redraw()

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            self.label.configure(text=sentence, image="")

    def save(self) -> None:
        """Ask where, then write."""
        path = choose_file(self, "Save figure", save="figure.png", kind="picture")
        if path is not None:
            self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write the figure in the format that the name says."""
        make = self.make

        def work(_: Task) -> None:
            """Write the figure to the file outside of the window's thread."""
            make().savefig(path, dpi=200)

        self.work(
            work, lambda _: self.message.configure(text=f"Written: {path}."), lambda s: self.message.configure(text=s)
        )

    def close(self) -> None:
        """Close; a drawing that is under way is forgotten."""
        if self._task is not None:
            self._task.cancel()
        super().close()
