"""What a viewer is: shows outputs of some classes in a window, and draws the same as a picture without one."""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from pyworkflow.viewer import Viewer

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.viewers.sheet import DPI, Sheet


class OutputViewer(Viewer):
    """A viewer that the engine finds by ``_targets``.

    Attributes
    ----------
    KEY : str
        On the command line: ``emtomo view PROJECT RUN.output --viewer KEY``.
    ORDER : int
        Place in menus; the first that fits an output is its default.
    WINDOW : str
        ``module:function`` of :mod:`emtomo.gui.tk`, called with the master window and the output. Empty: a window
        with the figure.
    FIGURE : callable
        Output → matplotlib figure, or :class:`~emtomo.viewers.sheet.Sheet` of grey images.
    IN_REPORT : bool
        Whether the report has its picture besides that of the first viewer, where :meth:`suits` says so.
    _name : str
        In menus.
    """

    KEY: ClassVar[str] = ""
    ORDER: ClassVar[int] = 50
    WINDOW: ClassVar[str] = ""
    FIGURE: ClassVar[Any]
    IN_REPORT: ClassVar[bool] = False
    _targets: ClassVar[list[type]] = []

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether there is anything to see of a run with this folder."""
        return True

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Read, in a thread, what the window needs, into ``shown.prepared``."""

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open a window on an output and return it; tkinter is imported only now."""
        if cls.WINDOW:
            return opener(cls.WINDOW)(master, shown)
        figure = cls.FIGURE
        return opener("figurewindow:FigureWindow")(
            master, f"{shown.title} – {cls._name} – emtomo", lambda: as_figure(figure(shown))
        )

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        """Draw an output into a PNG file."""
        if not hasattr(cls, "FIGURE"):
            raise EmtomoError(f"{cls.KEY} draws no picture; take another viewer.")
        save(cls.FIGURE(shown), png)


def opener(kind: str) -> Any:
    """Return ``module:name`` of the windows."""
    module, name = kind.split(":")
    return getattr(import_module(f"emtomo.gui.tk.{module}"), name)


def as_figure(drawn: Figure | Sheet) -> Figure:
    """Return what a viewer draws as a figure."""
    return drawn.figure() if isinstance(drawn, Sheet) else drawn


def save(drawn: Figure | Sheet, png: Path) -> None:
    """Write what a viewer draws under a temporary name, then rename it."""
    part = png.with_name(png.name + ".part.png")
    if isinstance(drawn, Sheet):
        drawn.picture().save(part, compress_level=3)
    else:
        drawn.savefig(part, dpi=DPI)
    part.replace(png)
