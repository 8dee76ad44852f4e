"""The slices of the particle browser: particles where they lie, on any plane of their tomogram or micrograph."""

import tkinter as tk
from collections.abc import Callable

import numpy as np
import ttkbootstrap as ttk

from emtomo.gui.core.background import Task
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_columns import rgb_hex
from emtomo.gui.core.browser_images import ParticlePictures, Scene2D
from emtomo.gui.core.hits import nearest_hit
from emtomo.gui.core.slices import SliceState, marks_near, neighbour_distance, place_text
from emtomo.gui.core.volume import ACROSS
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.slicepanel import CONTROL, SHIFT, SlicePanel
from emtomo.gui.tk.window import Flow, tip

CATCH = 8  # pixels from the centre of a particle within which it is clicked
PLANES = {"XY": 0, "XZ": 1, "ZY": 2}
NEIGHBOURS = 1.6  # of their distance: circles that fit between particles
MOUSE = [
    ("Click a particle on a slice", "select it; with Ctrl one more"),
    ("Shift+left drag on a slice", "select what lies in the rectangle, on the slices that are seen"),
    ("Wheel, Ctrl+Wheel on a slice", "next slice; zoom"),
]


class BrowserSlices(ttk.Frame):
    """Shows the particles of one tomogram or micrograph on a slice of it."""

    def __init__(
        self, master: tk.Misc, browser: ParticleBrowser, images: ParticlePictures, say: Callable[[str], object]
    ) -> None:
        super().__init__(master)
        self.browser, self.images, self._say = browser, images, say
        self.scene: Scene2D | None = None
        self.panel: SlicePanel | None = None
        self._start: tuple[int, int] | None = None
        self._task: Task | None = None
        self._copies: Task | None = None
        self._shown = np.zeros(0, bool)
        self._make_head()
        self.body = ttk.Frame(self)
        self.body.pack(fill="both", expand=True)
        browser.listeners.append(self._changed)

    def _make_head(self) -> None:
        gap, pad = theme.px(self, theme.GAP), theme.px(self, theme.PAD)
        head = Flow(self)
        head.pack(fill="x")
        self.choice = ttk.Combobox(head, values=self.images.groups, state="readonly", width=20)
        self.choice.bind("<<ComboboxSelected>>", lambda _: self.open(self.choice.get()))
        self.choice.pack(side="left", padx=(0, pad))
        self.plane = ttk.Combobox(head, values=list(PLANES), state="readonly", width=4)
        self.plane.set("XY")
        self.plane.bind("<<ComboboxSelected>>", lambda _: self._make_panel())
        self.slab = ttk.Spinbox(head, from_=1, to=99, increment=2, width=4, command=self._look)
        self.slab.set("1")
        self.slab.bind("<Return>", lambda _: self._look())
        if not self.images.flat:
            self.plane.pack(side="left", padx=(0, pad))
            ttk.Label(head, text="Slab").pack(side="left")
            self.slab.pack(side="left", padx=(gap, pad))
            tip(self.slab, "Slices that are averaged")
        self.smooth = ttk.Spinbox(head, from_=0, to=20, increment=0.5, width=4, command=self._look)
        self.smooth.set("0")
        self.smooth.bind("<Return>", lambda _: self._look())
        ttk.Label(head, text="Filter").pack(side="left")
        self.smooth.pack(side="left", padx=(gap, pad))
        tip(self.smooth, "Standard deviation of a Gaussian filter, voxels")
        self.circle = ttk.Spinbox(head, from_=1, to=2048, increment=2, width=5, command=self._draw)
        self.circle.bind("<Return>", lambda _: self._draw())
        ttk.Label(head, text="Circle").pack(side="left")
        self.circle.pack(side="left", padx=(gap, pad))
        tip(self.circle, "Diameter of the circles and length of the arrows, voxels")
        self.arrows = ttk.BooleanVar(self, True)
        if not self.images.flat:
            ttk.Checkbutton(
                head, text="Directions", variable=self.arrows, bootstyle="round-toggle", command=self._draw
            ).pack(side="left")

    # --- what is shown ---

    def appear(self) -> None:
        """Read what is shown now that this is seen."""
        self._changed("current")

    def open(self, name: str) -> None:
        """Show another tomogram or micrograph, read in a thread."""
        if not name or (self.scene is not None and self.scene.name == name):
            return
        self.choice.set(name)
        self._say(f"Reading {name} …")
        if self._task is not None:
            self._task.cancel()
        self._task = follow(self, root_of(self).work(lambda _: self.images.scene(name), self._take, self._say))

    def _take(self, scene: Scene2D) -> None:
        if not self.winfo_exists():
            scene.source.close()
            return
        old, self.scene = self.scene, scene
        self._say("")
        self.state_ = SliceState(scene.source)
        self.circle.set(f"{min(scene.size, max(4.0, NEIGHBOURS * neighbour_distance(scene.points))):.0f}")
        self._find_shown()
        self._look_at_current(otherwise=True)
        self._make_panel()
        if old is not None:
            old.source.close()
        if not self.images.flat:
            self._copies = root_of(self).work(lambda _: scene.source.build(), lambda _: None, lambda _: None)

    def _make_panel(self) -> None:
        if self.scene is None:
            return
        if self.panel is not None:
            self.panel.close()
            self.panel.destroy()
        self.panel = SlicePanel(self.body, self.state_, PLANES[self.plane.get()], self)
        self.panel.pack(fill="both", expand=True)

    def _look(self) -> None:
        if self.scene is None:
            return
        try:
            self.state_.set_look(int(float(self.slab.get())), float(self.smooth.get()))
        except ValueError:
            self._say("Slab and filter must be numbers.")

    def _find_shown(self) -> None:
        assert self.scene is not None
        kept = np.zeros(len(self.browser), bool)
        kept[self.browser.rows] = True
        self._shown = kept[self.scene.rows]

    def _look_at_current(self, *, otherwise: bool = False) -> None:
        """Let the slice go through the current particle; `otherwise` through the middle of them all."""
        scene = self.scene
        assert scene is not None
        current = -1 if self.browser.current is None else self.browser.current
        found = np.flatnonzero(scene.rows == current)
        if len(found):
            self.state_.centre(*scene.points[found[0]])
        elif otherwise and len(scene.points):
            self.state_.centre(*np.median(scene.points, axis=0))

    def _changed(self, what: str) -> None:
        if not self.winfo_ismapped():
            return
        current = self.browser.current
        if what == "current":
            name = str(self.images.frame[self.images.group].iat[current or 0]) if len(self.browser) else ""
            if self.scene is None or (current is not None and self.scene.name != name):
                self.open(name)
                return
            self._find_shown()
            self._look_at_current()
        if self.scene is not None:
            if what == "rows":
                self._find_shown()
            self._draw()

    def _draw(self) -> None:
        if self.panel is not None:
            self.panel.redraw()

    # --- the panel's owner ---

    def on_press(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> bool:
        """Take a drag with Shift: it selects."""
        self._start = None
        if button == 1 and state & SHIFT:
            x, y = panel.screen_of(place)
            self._start = int(x), int(y)
        return self._start is not None

    def on_drag(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Show the rectangle."""
        if self._start is not None:
            panel.canvas.delete("rectangle")
            box = (*self._start, *panel.screen_of(place))
            panel.canvas.create_rectangle(*box, outline=theme.ACTIVE_FRAME, dash=(3, 3), tags=("mark", "rectangle"))

    def on_release(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Select what lies in the rectangle, near the slice."""
        if self._start is None or self.scene is None:
            return
        (x0, y0), (x1, y1), self._start = self._start, panel.screen_of(place), None
        panel.canvas.delete("rectangle")
        seen = self._near(panel)
        rows, columns = ACROSS[panel.axis]
        at = panel.camera.to_screens(self.scene.points[:, [columns, rows]])
        low, high = np.minimum((x0, y0), (x1, y1)), np.maximum((x0, y0), (x1, y1))
        inside = seen & (at >= low).all(axis=1) & (at <= high).all(axis=1)
        self.browser.select(self.scene.rows[inside], add=bool(state & CONTROL))

    def on_click(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Select the particle under the mouse."""
        row = self._row_at(panel, place)
        if button == 1 and row is not None:
            self.browser.click(row, add=bool(state & CONTROL))

    def on_hover(self, panel: SlicePanel, place: tuple[float, float, float] | None) -> None:
        """Tell what is under the mouse."""
        row = self._row_at(panel, place) if place is not None else None
        self._say(place_text(place) if row is None else self.browser.describe(row))

    def _near(self, panel: SlicePanel) -> np.ndarray:
        assert self.scene is not None
        away = np.abs(self.scene.points[:, panel.axis] - self.state_.place[panel.axis])
        return self._shown & (away <= max(self._diameter() / 2, 0.5))

    def _row_at(self, panel: SlicePanel, place: tuple[float, float, float]) -> int | None:
        scene = self.scene
        if scene is None or not len(scene.points):
            return None
        points = np.where(self._near(panel)[:, None], scene.points, np.nan)
        reach = max(theme.px(self, CATCH) / panel.camera.zoom, 0.5)
        hit = nearest_hit([(0, points)], panel.axis, place, reach, self._diameter() / 2)
        return int(scene.rows[hit.index]) if hit is not None else None

    def _diameter(self) -> float:
        try:
            return max(1.0, float(self.circle.get()))
        except ValueError:
            return 4.0

    def decorate(self, panel: SlicePanel) -> None:
        """Draw circles where the particles' spheres are cut, and their directions."""
        scene = self.scene
        if scene is None:
            return
        shown, size = np.flatnonzero(self._shown), self._diameter()
        marks = marks_near(scene.points[shown], panel.axis, self.state_.place[panel.axis], size / 2)
        rows, columns = ACROSS[panel.axis]
        browser = self.browser
        for (h, v), r, k in zip(marks.places, marks.radii, shown[marks.index], strict=True):
            row = scene.rows[k]
            chosen = bool(browser.selected[row])
            tint = theme.ACTIVE_FRAME if chosen else rgb_hex(browser.colouring.rgb[row])
            panel.ring(h, v, r, tint, width=3 if chosen else 1)
            if row == browser.current:
                panel.ring(h, v, r + 2 / panel.camera.zoom, "#ffffff", width=1, dash=(2, 2))
            normal = scene.normals[k]
            if self.arrows.get() and np.isfinite(normal).all():
                start = panel.camera.to_screen(h, v)
                end = panel.camera.to_screen(h + size * normal[columns], v + size * normal[rows])
                panel.canvas.create_line(
                    *start, *end, fill=tint, width=2, arrow="last", arrowshape=(6, 7, 3), tags="mark"
                )

    def stop(self) -> None:
        """Forget what is being read."""
        for task in (self._task, self._copies):
            if task is not None:
                task.cancel()
        if self.panel is not None:
            self.panel.close()
        if self.scene is not None:
            self.scene.source.close()
