"""A scene in space on a canvas: turned, moved and zoomed by the mouse, half the resolution while it moves."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.scene import Scene
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.slicepanel import CLICK, CONTROL, SHIFT
from emtomo.gui.tk.window import only_raises

STILL = 220  # ms after the last movement until full resolution
MOVING = 0.5
MOUSE = [
    ("Left drag", "turn"),
    ("Shift+drag, middle drag", "move"),
    ("Wheel", "come nearer"),
    ("Ctrl+Wheel", "next slice"),
    ("Left click", "select a particle; with Ctrl one more"),
    ("Right drag", "select particles in a rectangle"),
]


class SceneCanvas(ttk.Frame):
    """Draws a :class:`Scene`.

    Parameters
    ----------
    master : widget
    scene : Scene
    picked : callable
        Called with the point that was clicked (or None) and whether Ctrl was down.
    framed : callable
        Called with the number of points in a rectangle that was drawn, and whether Ctrl was down.
    moved : callable
        Called after the slice was moved.
    failed : callable
        Called with a sentence, where something could not be read.
    """

    def __init__(
        self,
        master: tk.Misc,
        scene: Scene,
        picked: Callable[[int | None, bool], object],
        framed: Callable[[int, bool], object],
        moved: Callable[[], object],
        failed: Callable[[str], object],
    ) -> None:
        super().__init__(master)
        self.scene, self._picked, self._framed, self._slice_moved = scene, picked, framed, moved
        self._failed = failed
        scene.later = self._read
        self._photo: Any = None
        self._still: str | None = None
        self._idle: str | None = None
        self._moving = False
        self._down: tuple[int, int, int] | None = None
        self._moved = False
        self._start = (0, 0)
        self.canvas = tk.Canvas(self, highlightthickness=0, background="#202124", takefocus=1)
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        self._bind_mouse()

    def _bind_mouse(self) -> None:
        c = self.canvas
        c.bind("<Configure>", lambda _: self.redraw())
        c.bind("<Enter>", lambda _: c.focus_set())
        for button in (1, 2, 3):
            c.bind(f"<ButtonPress-{button}>", self._press)
            c.bind(f"<B{button}-Motion>", self._drag)
            c.bind(f"<ButtonRelease-{button}>", self._release)
        for button, by in ((4, 1), (5, -1)):
            c.bind(f"<Button-{button}>", lambda e, b=by: self._wheel(e, b))  # type: ignore[misc]

    # --- the mouse ---

    def _press(self, event: "tk.Event[Any]") -> None:
        self.canvas.focus_set()
        self._down, self._moved = None, False
        if only_raises(self):
            return
        self._down = (int(event.num), event.x, event.y)
        self._start = (event.x, event.y)

    def _drag(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, x, y = self._down
        if not self._moved and abs(event.x - x) + abs(event.y - y) < CLICK:
            return
        self._moved = True
        if button == 3:
            self.canvas.delete("rectangle")
            self.canvas.create_rectangle(
                *self._start, event.x, event.y, outline="#ff5a5a", dash=(3, 3), tags="rectangle"
            )
            return
        if button == 2 or int(event.state) & SHIFT:
            self.scene.pan(event.x - x, event.y - y, self.canvas.winfo_height())
        else:
            self.scene.rotate(event.x - x, event.y - y)
        self._down = (button, event.x, event.y)
        self.redraw(moving=True)

    def _release(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, self._down = self._down[0], None
        size = self.canvas.winfo_width(), self.canvas.winfo_height()
        control = bool(int(event.state) & CONTROL)
        if button == 3 and self._moved:
            self.canvas.delete("rectangle")
            self._framed(self.scene.pick_rectangle(*self._start, event.x, event.y, *size), control)
        elif button == 1 and not self._moved:
            self._picked(self.scene.pick(event.x, event.y, *size, reach=theme.px(self, 8), add=control), control)
        self.redraw()

    def _wheel(self, event: "tk.Event[Any]", by: int) -> None:
        if int(event.state) & CONTROL:
            self.step(by)
        else:
            self.scene.zoom(1.12**by)
            self.redraw(moving=True)

    def step(self, by: int) -> None:
        """Move the slice."""
        self.scene.step(by)
        self._slice_moved()
        self.redraw()

    # --- drawing ---

    def _read(self, read: Callable[[], object], part: str) -> None:
        """Read what a part shows in a thread, and draw the part then."""

        def show(_: object) -> None:
            """Draw the part that was read."""
            if self.winfo_exists():
                self.scene.make(part)
                self.redraw()

        root_of(self).work(lambda _: read(), show, self._failed)

    def redraw(self, *, moving: bool = False) -> None:
        """Draw soon; at half the resolution while something moves."""
        self._moving = moving
        if self._idle is None and self.winfo_exists():
            self._idle = self.canvas.after_idle(self._draw)
        if moving:
            if self._still is not None:
                self.canvas.after_cancel(self._still)
            self._still = self.canvas.after(STILL, self.redraw)

    def _draw(self) -> None:
        self._idle = None
        w, h = self.canvas.winfo_width(), self.canvas.winfo_height()
        if w < 20 or h < 20 or not self.winfo_ismapped():
            return
        if self._moving:
            small = self.scene.render(int(w * MOVING), int(h * MOVING))
            picture = Image.fromarray(small).resize((w, h), Image.Resampling.BILINEAR)
        else:
            picture = Image.fromarray(self.scene.render(w, h))
        if self._photo is None or (self._photo.width(), self._photo.height()) != (w, h):
            self._photo = ImageTk.PhotoImage("RGB", (w, h), master=self.canvas)
            self.canvas.itemconfigure(self._item, image=self._photo)
        self._photo.paste(picture)

    def close(self) -> None:
        """Draw no more, and free the graphics memory."""
        for waiting in (self._still, self._idle):
            if waiting is not None:
                self.canvas.after_cancel(waiting)
        self._still = self._idle = None
        self.scene.close()
