"""A strip of particle pictures: click to go there, Shift+click to remove."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.gallery import GalleryPage, compose
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import only_raises

MOST = 400


class Thumbnails(ttk.Frame):
    """Shows pictures of particles; ``keys`` name them.

    Parameters
    ----------
    master : widget
    title : str
    clicked : callable
        Called with the key of a picture and the state of the modifier keys.
    """

    def __init__(
        self, master: tk.Misc, title: str, clicked: Callable[[Any, int], object], side: int = 54, height: int = 132
    ) -> None:
        super().__init__(master)
        self._clicked, self.side = clicked, theme.px(self, side)
        self.title = ttk.Label(self, text=title)
        self.title.pack(anchor="w")
        self._name = title
        frame = ttk.Frame(self)
        frame.pack(fill="both", expand=True)
        self.canvas = tk.Canvas(
            frame, height=theme.px(self, height), width=theme.px(self, 240), highlightthickness=0, background="#282828"
        )
        bar = ttk.Scrollbar(frame, command=self.canvas.yview)
        self.canvas.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.canvas.pack(side="left", fill="both", expand=True)
        self._photo: Any = None
        self.sheet: GalleryPage | None = None
        self.names: list[Any] = []
        self._images: list[np.ndarray] = []
        self.canvas.bind("<Button-1>", self._press)
        self.canvas.bind("<Configure>", lambda _: self._draw())
        for button, by in ((4, -1), (5, 1)):
            self.canvas.bind(f"<Button-{button}>", lambda _, b=by: self.canvas.yview_scroll(b * 2, "units"))  # type: ignore[misc]

    def show(self, keys: list[Any], images: list[np.ndarray], total: int | None = None) -> None:
        """Show pictures; of more than a few hundred the last ones."""
        self.names, self._images = keys[-MOST:], images[-MOST:]
        count = len(keys) if total is None else total
        shown = f", the last {MOST} shown" if count > MOST else ""
        self.title.configure(text=f"{self._name}: {count}{shown}")
        self._draw()

    def _draw(self) -> None:
        width = self.canvas.winfo_width()
        if width < 10:
            return
        self.canvas.delete("all")
        if not self._images:
            self.sheet = None
            return
        self.sheet = compose(self._images, self.side, width)
        self._photo = ImageTk.PhotoImage(Image.fromarray(self.sheet.picture), master=self.canvas)
        self.canvas.create_image(0, 0, anchor="nw", image=self._photo)
        self.canvas.configure(scrollregion=(0, 0, width, self.sheet.picture.shape[0]))

    def place_of(self, key: Any) -> tuple[int, int]:
        """Return where on the screen the picture of a key is."""
        assert self.sheet is not None
        x0, y0, x1, y1 = self.sheet.box(self.names.index(key))
        return (
            self.canvas.winfo_rootx() + (x0 + x1) // 2,
            int(self.canvas.winfo_rooty() + (y0 + y1) // 2 - self.canvas.canvasy(0)),
        )

    def _press(self, event: "tk.Event[Any]") -> None:
        if only_raises(self):
            return
        k = (
            self.sheet.at(self.canvas.canvasx(event.x), self.canvas.canvasy(event.y))
            if self.sheet is not None
            else None
        )
        if k is not None:
            self._clicked(self.names[k], int(event.state))
