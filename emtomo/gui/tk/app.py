"""The root window of the program: scale, theme, the pump for results of threads, errors that nobody expected."""

import contextlib
import subprocess
import sys
import tkinter as tk
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.background import Mailbox, Task
from emtomo.gui.core.settings import Settings, scaling
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import hide_hidden_files, show_message, show_rows
from emtomo.gui.tk.host import Parent

PUMP = 25  # ms
# a thread that works in Python gives way this soon; with the usual 5 ms, redrawing beside one takes a second
GIVE_WAY = 0.0005  # s
BUTTONS = ("TButton", "TCheckbutton", "TRadiobutton", "TMenubutton")


class _WithoutProfile:
    """Mix-in of a root window that runs no file of the working folder."""

    def readprofile(self, baseName: str, className: str) -> None:
        """Run no profile: without HOME, Tk takes ``.NAME.py`` and ``.NAME.tcl`` from the working folder."""


class App(_WithoutProfile, ttk.App):
    """One for each process; every other window is a :class:`~emtomo.gui.tk.window.Window`.

    Parameters
    ----------
    title : str
    settings : Settings, optional
    factor : float, optional
        Scale of everything, 1.0 at 96 dots per inch; by default what the screen asks for.
    """

    def __init__(self, title: str, settings: Settings | None = None, factor: float | None = None) -> None:
        self.settings = settings or Settings()
        self.start_folder = Path.cwd()  # a project window goes into its folder later
        self.errors: list[str] = []
        self.on_error: Callable[[str], object] | None = None
        self.mailbox = Mailbox()
        screen = _screen_dpi()
        self.factor = factor or scaling(screen, _resources_dpi())
        sys.setswitchinterval(GIVE_WAY)
        mode = self.settings.get("theme", "light")
        super().__init__(
            title=title,
            theme=theme.DARK if mode == "dark" else theme.LIGHT,
            light_theme=theme.LIGHT,
            dark_theme=theme.DARK,
            scaling=theme.POINTS_PER_PIXEL * self.factor,
        )
        self.set_theme_modes(light=theme.LIGHT, dark=theme.DARK)
        # ttkbootstrap takes the space bar away from buttons; keyboard users need it
        for kind in BUTTONS:
            self.bind_class(kind, "<Key-space>", _invoke)
        hide_hidden_files(self)
        self._pumping = self.after(PUMP, self._pump)

    def work(
        self,
        work: Callable[[Task], Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object] | None = None,
    ) -> Task:
        """Do something in a thread; `done` or `failed` is called on the window's thread."""
        return Task(self.mailbox, work, done, failed or self.show_message)

    def show_message(self, sentence: str) -> None:
        """Show a sentence that no window has a place for."""
        show_message(self, "emtomo", sentence)

    def say(self, sentence: str) -> None:
        """Show a sentence; a window with a line for it shows it there."""
        self.show_message(sentence)

    def show_rows(self, parent: Parent, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Show rows of text in a window of their own."""
        show_rows(parent, title, rows)

    def switch_theme(self) -> None:
        """Change between light and dark, and remember it."""
        self.toggle_theme()
        self.settings.put("theme", "dark" if self.theme_use() == theme.DARK else "light")

    def report_callback_exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Keep and show an error in a callback; tests fail on any that was kept."""
        message = "".join(traceback.format_exception(kind, error, trace))
        self.errors.append(message)
        sys.stderr.write(message)
        if self.on_error is not None:
            self.on_error(message)
        else:
            with contextlib.suppress(tk.TclError):
                self.show_message(
                    f"Something went wrong that should not: {kind.__name__}: {error}. Nothing that you saved is lost."
                )

    def _pump(self) -> None:
        # asked for again first: a call that fails must not end the pump
        self._pumping = self.after(PUMP, self._pump)
        self.mailbox.deliver()

    def destroy(self) -> None:
        """End the pump, then the window."""
        with contextlib.suppress(tk.TclError):
            for waiting in self.tk.splitlist(self.tk.call("after", "info")):
                self.tk.call("after", "cancel", waiting)
        super().destroy()


def _invoke(event: "tk.Event[Any]") -> str:
    with contextlib.suppress(AttributeError, tk.TclError):
        event.widget.invoke()
    return "break"


class _Probe(_WithoutProfile, tk.Tk):
    """A window that is never shown."""


@cache
def _screen_dpi() -> float:
    """Return what the screen says of itself; 96 where it says nothing.

    Asked once, before any window: a window's scaling changes what Tk says of the screen to all windows after it.
    """
    try:
        probe = _Probe()
    except tk.TclError:
        return 96.0  # the window itself says that there is no display
    probe.withdraw()
    dpi = float(probe.winfo_fpixels("1i"))
    probe.destroy()
    return dpi


def _resources_dpi() -> float | None:
    """Return ``Xft.dpi`` of the desktop, if it says so."""
    try:
        message = subprocess.run(["xrdb", "-query"], capture_output=True, text=True, timeout=2).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    for line in message.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Xft.dpi":
            with contextlib.suppress(ValueError):
                return float(value)
    return None
