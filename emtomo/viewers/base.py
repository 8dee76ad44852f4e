"""What a viewer is: shows outputs of some classes in a window, and draws the same as a picture without one."""

from pathlib import Path
from typing import Any, ClassVar

from pyworkflow.viewer import Viewer

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown


class OutputViewer(Viewer):
    """A viewer that the engine finds by ``_targets``.

    Attributes
    ----------
    KEY : str
        On the command line: ``emtomo view PROJECT RUN.output --viewer KEY``.
    ORDER : int
        Place in menus; the first that fits an output is its default.
    _name : str
        In menus.
    """

    KEY: ClassVar[str] = ""
    ORDER: ClassVar[int] = 50
    _targets: ClassVar[list[type]] = []

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open a window on an output and return it."""
        raise EmtomoError(f"{cls._name} has no window.")

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        """Draw an output into a PNG file."""
        raise EmtomoError(f"{cls._name} draws no picture.")


def opener(kind: str) -> Any:
    """Return a window class by name: tkinter is imported only when a window is opened."""
    from importlib import import_module

    module, name = kind.split(":")
    return getattr(import_module(f"emtomo.gui.tk.{module}"), name)
