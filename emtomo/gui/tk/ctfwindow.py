"""A figure of every image in a window: choose a series and step through its images."""

from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.shown import Shown
from emtomo.gui.tk import theme
from emtomo.gui.tk.figurewindow import FigureWindow


class FitWindow(FigureWindow):
    """Shows what is known of one image, as the fit of its CTF; a slider and the arrow keys take the next one by angle.

    Parameters
    ----------
    master : widget
    shown : Shown
    names : list of str
        Series or micrographs.
    read : callable
        From a name to its fit, which has `tilts` and `best`.
    draw : callable
        From a fit and the number of an image to a figure.
    what : str
        For the title.
    """

    def __init__(
        self,
        master: Any,
        shown: Shown,
        names: list[str],
        read: Callable[[str], Any],
        draw: Callable[[Any, int], Any],
        what: str,
    ) -> None:
        self.names, self.read = names, read
        self.fit = read(names[0])
        self.order = self._by_angle()
        self.image = self.fit.best
        super().__init__(master, f"{shown.title} – {what} – emtomo", lambda: draw(self.fit, self.image))
        self.choice = ttk.Combobox(self.foot, values=self.names, state="readonly", width=24)
        self.choice.set(self.names[0])
        self.choice.bind("<<ComboboxSelected>>", lambda _: self.take(self.choice.get()))
        self.choice.pack(side="left", padx=theme.px(self, theme.PAD))
        self.slider = ttk.Scale(
            self.foot, from_=0, to=max(len(self.order) - 1, 1), length=theme.px(self, 260), command=self._moved
        )
        self.slider.set(self.order.index(self.image))
        self.slider.pack(side="left")
        self.bind_actions(
            [
                Action("next", "Next image by angle", lambda: self.step(1), "<Right> <Up>"),
                Action("previous", "Image before", lambda: self.step(-1), "<Left> <Down>"),
                Action("save", "Save as PNG, PDF or SVG", self.save, "<Control-p>"),
                Action("close", "Close", self.close, "<Escape>"),
            ]
        )
        self.w |= {"series": self.choice, "slider": self.slider}

    def _by_angle(self) -> list[int]:
        return [int(k) for k in self.fit.tilts["angle"].argsort(kind="stable")]

    def take(self, name: str) -> None:
        """Show another series."""
        self.fit = self.read(name)
        self.order, self.image = self._by_angle(), self.fit.best
        self.slider.configure(to=max(len(self.order) - 1, 1))
        self.slider.set(self.order.index(self.image))
        self.redraw()

    def step(self, by: int) -> None:
        """Show another image."""
        place = min(max(self.order.index(self.image) + by, 0), len(self.order) - 1)
        self.slider.set(place)
        self._show_image(place)

    def _moved(self, value: str) -> None:
        self._show_image(min(round(float(value)), len(self.order) - 1))

    def _show_image(self, place: int) -> None:
        if self.order[place] != self.image:
            self.image = self.order[place]
            self.redraw()
