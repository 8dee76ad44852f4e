"""A bar at the bottom of a window while something is read: how much of it, where that is known."""

import time
import tkinter as tk
from typing import Any, Protocol, TypeVar

import ttkbootstrap as ttk

from emtomo.gui.tk import theme

SOON = 0.25  # s that may pass without a bar
LOOK = 80  # ms between two looks
THICK = 5  # pixels at 100 %


class Going(Protocol):
    """Something that goes on in a thread."""

    share: float | None

    @property
    def active(self) -> bool:
        """Whether it still goes on."""


Some = TypeVar("Some", bound=Going)


class LoadingBar(ttk.Progressbar):
    """Lies over the lower edge of a window as long as one of the things that it follows goes on.

    Parameters
    ----------
    window : toplevel
    """

    def __init__(self, window: tk.Misc) -> None:
        super().__init__(window, maximum=1.0, mode="indeterminate", bootstyle="info")
        self.seen = self._moving = False
        self._followed: list[tuple[float, Going]] = []
        self._looking: str | None = None

    def follow(self, going: Going) -> None:
        """Show the bar once this has taken longer than a moment."""
        self._followed.append((time.monotonic(), going))
        if self._looking is None:
            self._looking = self.after(LOOK, self._look)

    def _look(self) -> None:
        self._followed = [(since, going) for since, going in self._followed if going.active]
        late = [going for since, going in self._followed if time.monotonic() - since > SOON]
        if late:
            self._appear(late[-1].share)
        else:
            self._disappear()
        self._looking = self.after(LOOK, self._look) if self._followed else None

    def _appear(self, share: float | None) -> None:
        if not self.seen:
            self.seen = True
            self.place(relx=0, rely=1, anchor="sw", relwidth=1, height=theme.px(self, THICK))
            self.tkraise()
        if share is not None:
            self._moving = False
            self.stop()
            self.configure(mode="determinate", value=share)
        elif not self._moving:
            self.configure(mode="indeterminate")
            self.start(40)
            self._moving = True

    def _disappear(self) -> None:
        if self.seen:
            self.seen = self._moving = False
            self.stop()
            self.place_forget()

    def destroy(self) -> None:
        """End the looks with the window."""
        if self._looking is not None:
            self.after_cancel(self._looking)
        super().destroy()


def follow(widget: tk.Misc, going: Some) -> Some:
    """Show at the bottom of a widget's window that something goes on; return it."""
    window: Any = widget.winfo_toplevel()
    if getattr(window, "loading_bar", None) is None:
        window.loading_bar = LoadingBar(window)
    window.loading_bar.follow(going)
    return going
