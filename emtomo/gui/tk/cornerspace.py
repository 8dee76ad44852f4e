"""The fourth quadrant of a picker in space: its points and models, and the slice, as they are now."""

import tkinter as tk
from collections.abc import Callable

import ttkbootstrap as ttk

from emtomo.errors import EmtomoError
from emtomo.gui.core.opengl import load_vtk
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData
from emtomo.gui.core.slices import SliceState
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.scenecanvas import SceneCanvas

SETTLED = 250  # ms after a change until it is drawn


class CornerSpace(ttk.Frame):
    """Shows what `data` returns; a click on a point lets the planes go through it.

    Parameters
    ----------
    master : widget
    state : SliceState
    data : callable
        Returns the scene as it is now.
    """

    def __init__(self, master: tk.Misc, state: SliceState, data: Callable[[], SceneData]) -> None:
        super().__init__(master)
        self.state_, self._data = state, data
        self.view: SceneCanvas | None = None
        self._loading = False
        self._later: str | None = None
        self.message = ttk.Label(self, text="", anchor="center", wraplength=theme.px(self, 240))
        self.message.pack(expand=True)
        self.bind("<Map>", lambda _: self.redraw())

    def redraw(self) -> None:
        """Draw once nothing has changed for a moment, if it is seen."""
        if not self.winfo_ismapped():
            return
        if self.view is None and not self._loading:
            self._loading = True
            self.message.configure(text="Opening the 3D view …")
            follow(self, root_of(self).work(lambda _: load_vtk(), lambda _: self._open(), self._failed))
        elif self.view is not None and self._later is None:
            self._later = self.after(SETTLED, self._update)

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            self.message.configure(text=sentence)

    def _open(self) -> None:
        if not self.winfo_exists():
            return
        try:
            scene = Scene(self._data(), theme.SLICE_BACKGROUND)
        except EmtomoError as error:
            self._failed(str(error))
            return
        self.message.pack_forget()
        self.view = SceneCanvas(self, scene, self._picked, lambda *_: None, lambda: None, self._failed)
        self.view.pack(fill="both", expand=True)

    def _update(self) -> None:
        self._later = None
        if self.view is not None and self.winfo_exists():
            self.view.scene.replace(self._data())
            self.view.redraw()

    def _picked(self, k: int | None, _: bool) -> None:
        if k is not None and self.view is not None:
            x, y, z = self.view.scene.data.points[k]
            self.state_.centre(z, y, x)

    def close(self) -> None:
        """Draw no more."""
        if self._later is not None:
            self.after_cancel(self._later)
        if self.view is not None:
            self.view.close()
