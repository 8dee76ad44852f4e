"""The particle browser in space: the particles of one tomogram, with a slice of it."""

import tkinter as tk
from collections.abc import Callable

import numpy as np
import ttkbootstrap as ttk

from emtomo.errors import EmtomoError
from emtomo.gui.core.background import Task
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_images import ParticlePictures, Scene2D
from emtomo.gui.core.opengl import load_vtk
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData
from emtomo.gui.core.slices import neighbour_distance
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.scenecanvas import SceneCanvas
from emtomo.gui.tk.window import Flow

PARTS = {"slice": "Slice", "points": "Particles", "arrows": "Directions", "boxes": "Boxes"}


class BrowserSpace(ttk.Frame):
    """Shows the particles of one tomogram in space; without OpenGL it says so."""

    def __init__(
        self, master: tk.Misc, browser: ParticleBrowser, images: ParticlePictures, say: Callable[[str], object]
    ) -> None:
        super().__init__(master)
        self.browser, self.images, self._say = browser, images, say
        self.name = ""
        self.view: SceneCanvas | None = None
        self._rows = np.zeros(0, int)
        self._source: Scene2D | None = None
        self._task: Task | None = None
        head = Flow(self)
        head.pack(fill="x")
        self.choice = ttk.Combobox(head, values=images.groups, state="readonly", width=20)
        self.choice.bind("<<ComboboxSelected>>", lambda _: self.open(self.choice.get()))
        self.choice.pack(side="left", padx=(0, theme.px(self, theme.PAD)))
        self.on: dict[str, ttk.BooleanVar] = {}
        for part, text in PARTS.items():
            self.on[part] = ttk.BooleanVar(self, part != "boxes")
            ttk.Checkbutton(
                head, text=text, variable=self.on[part], bootstyle="round-toggle",
                command=lambda p=part: self._show_part(p),
            ).pack(side="left", padx=(0, theme.px(self, theme.PAD)))  # fmt: skip
        for name, text in (("x", "X"), ("y", "Y"), ("z", "Z"), ("iso", "Aside")):
            ttk.Button(head, text=text, bootstyle="secondary-outline", command=lambda n=name: self.look(n)).pack(
                side="left", padx=(0, theme.px(self, 2))
            )
        self.message = ttk.Label(self, text="", anchor="center", wraplength=theme.px(self, 400))
        self.message.pack(expand=True)
        browser.listeners.append(self._changed)

    def appear(self) -> None:
        """Read what is shown now that this is seen."""
        self._changed("current")

    def open(self, name: str) -> None:
        """Show another tomogram; OpenGL and the slice are loaded in a thread."""
        if not name or name == self.name:
            return
        self.name = name
        self.choice.set(name)
        if self.view is None:
            self.message.configure(text=f"Reading {name} …")

        def work(_: Task) -> Scene2D:
            """Read the scene and its middle plane outside of the window's thread."""
            load_vtk()
            scene = self.images.scene(name)
            scene.source.plane(0, scene.source.shape[0] // 2)
            return scene

        if self._task is not None:
            self._task.cancel()
        self._task = follow(self, root_of(self).work(work, self._take, self._failed))

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            self.name = ""
            self.message.configure(text=sentence)

    def _take(self, scene: Scene2D) -> None:
        if not self.winfo_exists():
            scene.source.close()
            return
        data = SceneData(scene.source, scene.source.shape, white=scene.white)
        data.points, data.normals = scene.points[:, ::-1].copy(), scene.normals[:, ::-1].copy()
        data.groups, data.scores = np.ones(len(data.points), int), np.zeros(len(data.points))
        data.tomograms = np.full(len(data.points), scene.name, object)
        data.box = scene.size
        data.length = min(data.box / 2, neighbour_distance(data.points))
        data.rgb = self.browser.colouring.rgb[scene.rows]
        try:
            made = Scene(data)
        except EmtomoError as error:
            self._failed(str(error))
            return
        self._forget()
        self._source, self._rows = scene, scene.rows
        self.message.pack_forget()
        self.view = SceneCanvas(self, made, self._picked, self._framed, lambda: None, self._say)
        self.view.pack(fill="both", expand=True)
        for part, on in self.on.items():
            made.shown[part] = on.get()
        self._refresh()

    def _show_part(self, part: str) -> None:
        if self.view is not None:
            self.view.scene.show(part, self.on[part].get())
            self.view.redraw()

    def look(self, name: str) -> None:
        """Look along an axis."""
        if self.view is not None:
            self.view.scene.view(name)
            self.view.redraw()

    def _picked(self, index: int | None, add: bool) -> None:
        if index is not None:
            self.browser.click(int(self._rows[index]), add=add)
        else:
            self._refresh()

    def _framed(self, count: int, add: bool) -> None:
        assert self.view is not None
        rows = self._rows[self.view.scene.selected]
        self.browser.select(rows, add=add)
        self._refresh()

    def _changed(self, what: str) -> None:
        if not self.winfo_ismapped():
            return
        if what == "current" and len(self.browser):
            name = str(self.images.frame[self.images.group].iat[self.browser.current or 0])
            if not self.name or (self.browser.current is not None and name != self.name):
                self.open(name)
                return
        self._refresh()

    def _refresh(self) -> None:
        """Show filter, selection and colours as they are now."""
        if self.view is None:
            return
        scene, browser = self.view.scene, self.browser
        shown = np.zeros(len(browser), bool)
        shown[browser.rows] = True
        scene.kept, scene.selected = shown[self._rows], browser.selected[self._rows].copy()
        scene.data.rgb = browser.colouring.rgb[self._rows]
        scene.repaint()
        self.view.redraw()

    def _forget(self) -> None:
        if self.view is not None:
            self.view.close()
            self.view.destroy()
            self.view = None
        if self._source is not None:
            self._source.source.close()
            self._source = None

    def stop(self) -> None:
        """Forget what is being read, and free the graphics memory."""
        if self._task is not None:
            self._task.cancel()
        self._forget()
