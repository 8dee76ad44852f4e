"""One slice on a canvas: drawn by a kernel into one picture that stays, with marks above it."""

import threading
import time
import tkinter as tk
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.camera import Camera
from emtomo.gui.core.slices import PLANES, SliceState
from emtomo.gui.tk import theme
from emtomo.gui.tk.window import only_raises

SHIFT, CONTROL = 0x1, 0x4
CLICK, JERK = 3, 6  # pixels that the mouse may move in a click, and in one on a point that could be dragged
NOTICE = 2500  # ms that a sentence stands at the place of a click
POLL = 8  # ms between two looks whether a slice was read
PAUSE = 0.004  # s: drawings that follow one another faster hold up what the user does
AT_A_TIME = 0.03  # s of such drawings
SETTLED = 180  # ms after the last change until a slow line gets full detail


class Owner(Protocol):
    """The window of a panel: hears of its mouse events and draws marks on it."""

    def on_press(self, panel: "SlicePanel", button: int, place: tuple[float, float, float], state: int) -> bool:
        """A button went down on z, y, x; return whether a drag that follows belongs to the window."""

    def on_drag(self, panel: "SlicePanel", button: int, place: tuple[float, float, float], state: int) -> None:
        """The mouse moved with a button down that the window took."""

    def on_release(self, panel: "SlicePanel", button: int, place: tuple[float, float, float], state: int) -> None:
        """A button that the window took came up."""

    def on_click(self, panel: "SlicePanel", button: int, place: tuple[float, float, float], state: int) -> None:
        """A button that the window did not take came up where it went down."""

    def on_hover(self, panel: "SlicePanel", place: tuple[float, float, float] | None) -> None:
        """The mouse is over z, y, x."""

    def decorate(self, panel: "SlicePanel") -> None:
        """Draw marks on the panel's canvas, with the tag ``mark``."""


class SlicePanel(ttk.Frame):
    """Shows the slices of a :class:`SliceState` along one axis.

    Attributes
    ----------
    ended, spent : float
        When the last drawing of any panel ended, and how long those that followed one another took.
    """

    ended, spent = 0.0, 0.0

    def __init__(
        self, master: tk.Misc, state: SliceState, axis: int, owner: Owner, *, low_bandwidth: bool = False
    ) -> None:
        super().__init__(master)
        self.view, self.axis, self.owner = state, axis, owner
        self.camera = Camera()
        self.zoomed = False
        self.canvas = tk.Canvas(
            self,
            highlightthickness=2,
            background=theme.SLICE_BACKGROUND,
            width=80,
            height=80,
            highlightbackground=theme.SLICE_BACKGROUND,
            cursor="crosshair",
            takefocus=1,
        )
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        for colour in (theme.CROSS, theme.BAR):  # kept, or the display is asked for it with every slice
            self.canvas.create_line(-9, -9, -9, -9, fill=colour)
        self._photo: Any = None
        self._idle: str | None = None
        self._late: str | None = None
        self.low_bandwidth = low_bandwidth
        self._down: tuple[int, int, int] | None = None
        self._taken = False
        self.moved = False
        self._pointer: tuple[int, int] | None = None  # pixel under the mouse
        self.caption: Callable[[int], str] = lambda place: f"{PLANES[self.axis]}  {'zyx'[self.axis]} {place}"
        self.takes_middle = False  # the owner is asked about the middle button too
        self.on_wheel: Callable[[int, int], object] | None = None  # takes the wheel (steps, state) from the panel
        self.on_camera: Callable[[SlicePanel], object] | None = None  # the user zoomed or moved the picture
        self.drawn: int | None = None  # the slice that is on the screen; a slow disk may be behind
        self._reading: threading.Thread | None = None
        state.listeners.append(self.redraw)
        self._bind_mouse()

    def _bind_mouse(self) -> None:
        c = self.canvas
        c.bind("<Configure>", self._resized)
        c.bind("<Motion>", self._motion)
        c.bind("<Leave>", lambda _: self._left())
        c.bind("<Enter>", self._entered)
        for button in (1, 2, 3):
            c.bind(f"<ButtonPress-{button}>", self._press)
            c.bind(f"<B{button}-Motion>", self._drag)
            c.bind(f"<ButtonRelease-{button}>", self._release)
        for button, by in ((4, 1), (5, -1)):
            c.bind(f"<Button-{button}>", lambda e, b=by: self._wheel(e, b))  # type: ignore[misc]
        c.bind("<MouseWheel>", lambda e: self._wheel(e, 1 if e.delta > 0 else -1))

    @property
    def at(self) -> int:
        """The slice that is on the screen."""
        return self.view.place[self.axis] if self.drawn is None else self.drawn

    @property
    def mouse(self) -> tuple[float, float, float] | None:
        """z, y, x under the mouse, on the slice that is on the screen now; None when it is elsewhere."""
        return self.place_of(*self._pointer) if self._pointer is not None and self.winfo_ismapped() else None

    def place_of(self, x: float, y: float) -> tuple[float, float, float]:
        """Return z, y, x of a pixel of the canvas; clicks lie within half a pixel of it at any zoom."""
        return self.view.to_voxel(self.axis, *self.camera.to_voxel(x, y), self.drawn)

    def screen_of(self, place: tuple[float, float, float]) -> tuple[float, float]:
        """Return the pixel of the canvas that shows z, y, x."""
        from emtomo.gui.core.volume import ACROSS

        rows, columns = ACROSS[self.axis]
        return self.camera.to_screen(place[columns], place[rows])

    # --- events ---

    def _resized(self, event: "tk.Event[Any]") -> None:
        self.camera.width, self.camera.height = max(1, event.width), max(1, event.height)
        if not self.zoomed and event.width > 20:
            self.fit()  # again with every size, until the user zooms or moves the picture
        self.redraw()

    def fit(self) -> None:
        """Show the whole slice."""
        self.camera.fit(*self.view.size(self.axis))
        self.zoomed = False
        self.redraw()

    def _wheel(self, event: "tk.Event[Any]", by: int) -> str:
        if int(event.state) & CONTROL:
            self.zoom(1.2**by, event.x, event.y)
        elif self.on_wheel is not None:
            self.on_wheel(by, int(event.state))
        else:
            self.view.step(self.axis, by * (10 if int(event.state) & SHIFT else 1))
        return "break"

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Zoom about a pixel, the middle by default."""
        self.zoomed = True
        self.camera.zoom_at(
            factor, self.camera.width / 2 if x is None else x, self.camera.height / 2 if y is None else y
        )
        self._camera_changed()

    def _camera_changed(self) -> None:
        if self.on_camera is not None:
            self.on_camera(self)
        self.redraw()

    def _press(self, event: "tk.Event[Any]") -> None:
        self.canvas.focus_set()
        self.moved = False
        if only_raises(self):
            self.notice(self.place_of(event.x, event.y), "This click brought the window to the front.")
            return
        self._down = (event.num, event.x, event.y)
        self._taken = (event.num != 2 or self.takes_middle) and self.owner.on_press(
            self, int(event.num), self.place_of(event.x, event.y), int(event.state)
        )

    def _drag(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, x, y = self._down
        if not self.moved and abs(event.x - x) + abs(event.y - y) < theme.px(self, JERK if self._taken else CLICK):
            return
        self.moved = True
        self._pointer = event.x, event.y
        if self._taken:
            self.owner.on_drag(self, button, self.place_of(event.x, event.y), int(event.state))
        else:
            self.camera.pan(event.x - x, event.y - y)
            self.zoomed = True
            self._down = (button, event.x, event.y)
            self._camera_changed()

    def _release(self, event: "tk.Event[Any]") -> None:
        if self._down is None:
            return
        button, (place, state) = self._down[0], (self.place_of(event.x, event.y), int(event.state))
        if self._taken:
            self.owner.on_release(self, button, place, state)
        elif not self.moved:
            self.owner.on_click(self, button, place, state)
        self._down, self._taken = None, False

    def _motion(self, event: "tk.Event[Any]") -> None:
        self._pointer = event.x, event.y
        self.owner.on_hover(self, self.mouse)

    def _entered(self, event: "tk.Event[Any]") -> None:
        # a window manager that takes a click for itself lets the mouse leave and come back without moving
        self.canvas.focus_set()
        self._motion(event)

    def _left(self) -> None:
        self._pointer = None
        self.owner.on_hover(self, None)

    # --- drawing ---

    def lines(self, segments: np.ndarray, colour: str, more: str = "") -> None:
        """Draw many marks at once, `(k, 2, 2)` places on the screen, by one call to Tcl."""
        line = f"{self.canvas} create line %.1f %.1f %.1f %.1f -fill {colour} -tags mark {more}"
        self.canvas.tk.eval("\n".join(line % tuple(ends) for ends in segments.reshape(-1, 4).tolist()))

    def redraw(self) -> None:
        """Draw soon; many wishes are one drawing."""
        if self._idle is None and self.winfo_exists():
            self._idle = self.canvas.after_idle(self._in_turn)

    def _in_turn(self) -> None:
        """Draw; where many panels do so one after the other, let in between what the user did."""
        began = time.perf_counter()
        if began - SlicePanel.ended > PAUSE:
            SlicePanel.spent = 0.0
        elif SlicePanel.spent > AT_A_TIME:
            self._idle = self.canvas.after(int(1e3 * PAUSE) + 1, self._in_turn)
            return
        self._draw()
        SlicePanel.ended = time.perf_counter()
        SlicePanel.spent += SlicePanel.ended - began

    def _draw(self, *, full: bool = False) -> None:
        self._idle = None
        if not self.winfo_ismapped():
            return
        w, h = self.camera.width, self.camera.height
        if w < 4 or h < 4:
            return
        if not self.view.source.ready(self.axis):
            self._wait()
            return
        plane = self.view.source.at_hand(*self.view.slice_to_read(self.axis))
        if plane is None:
            self._read()
            return
        self.drawn = self.view.place[self.axis]
        picture = self._coarse(plane) if self.low_bandwidth and not full else self.camera.draw(plane, self.view.limits)
        if self._photo is None or (self._photo.width(), self._photo.height()) != (w, h):
            self._photo = ImageTk.PhotoImage("L", (w, h), master=self.canvas)
            self.canvas.itemconfigure(self._item, image=self._photo)
        self._photo.paste(Image.fromarray(np.ascontiguousarray(picture)))
        self.canvas.delete("mark")
        self.owner.decorate(self)
        self.canvas.create_text(
            theme.px(self, 8),
            theme.px(self, 6),
            anchor="nw",
            fill="#ffffff",
            tags="mark",
            text=self.caption(self.drawn),
        )
        self.canvas.tag_raise("notice")
        if self._pointer is not None:  # another slice is under the mouse now
            self.owner.on_hover(self, self.mouse)
        if self.low_bandwidth and not full:
            if self._late is not None:
                self.canvas.after_cancel(self._late)
            self._late = self.canvas.after(SETTLED, lambda: self._draw(full=True))

    def _wait(self) -> None:
        """Say that the file is being read: a slice across it would read all of it while the window stands still."""
        self.canvas.delete("mark")
        if self._photo is not None:
            self.canvas.itemconfigure(self._item, image="")
            self._photo = None
        self.canvas.create_text(
            self.camera.width / 2,
            self.camera.height / 2,
            fill="#ffffff",
            tags="mark",
            text=f"reading the volume … {self.view.source.cached:.0%}",
        )
        self.canvas.after(100, self.redraw)

    def _read(self) -> None:
        """Read the slice in a thread; the last one stays on the screen until then, and clicks are clicks on that."""
        if self._reading is not None and self._reading.is_alive():
            self.canvas.after(POLL, self.redraw)
            return
        wanted = self.view.slice_to_read(self.axis)
        self._reading = threading.Thread(target=self.view.source.plane, args=wanted, daemon=True)
        self._reading.start()
        self.canvas.after(POLL, self.redraw)

    def _coarse(self, plane: np.ndarray) -> np.ndarray:
        """Return the picture at half the resolution and 5 bits: a quarter of what goes over a slow line."""
        c = self.camera
        half = Camera(max(1, c.width // 2), max(1, c.height // 2), c.zoom / 2, c.horizontal, c.vertical)
        small = half.draw(plane, self.view.limits) & np.uint8(0xF8)
        return np.asarray(
            Image.fromarray(np.ascontiguousarray(small)).resize((c.width, c.height), Image.Resampling.NEAREST)
        )

    def notice(self, place: tuple[float, float, float], text: str) -> None:
        """Say something at a place, for a moment: why a click there did nothing."""
        x, y = self.screen_of(place)
        c = self.canvas
        c.delete("notice")
        word = c.create_text(x + theme.px(self, 10), y - theme.px(self, 10), anchor="sw", fill="#ffffff", text=text,
                             tags="notice", width=theme.px(self, 260))  # fmt: skip
        left, top, right, bottom = c.bbox(word)
        over_x, over_y = max(0, right + 4 - self.camera.width), min(0, top - 4)
        c.move(word, -min(over_x, left), -over_y)
        c.tag_lower(c.create_rectangle(*c.bbox(word), fill="#202020", outline="#808080", tags="notice"), word)
        c.after(NOTICE, lambda: c.delete("notice") if c.winfo_exists() else None)

    def frame(self, colour: str) -> None:
        """Put a coloured frame about the panel."""
        self.canvas.configure(highlightbackground=colour, highlightcolor=colour)

    def ring(
        self,
        horizontal: float,
        vertical: float,
        radius: float,
        colour: str,
        *,
        width: int = 2,
        dash: Any = (),
        fill: str = "",
    ) -> int:
        """Draw a circle about a voxel; radius in voxels, at least 3 pixels."""
        x, y = self.camera.to_screen(horizontal, vertical)
        r = max(radius * self.camera.zoom, theme.px(self, 3))
        return self.canvas.create_oval(
            x - r, y - r, x + r, y + r, outline=colour, width=width, dash=dash, fill=fill, tags="mark"
        )

    def close(self) -> None:
        """Listen no more."""
        if self.redraw in self.view.listeners:
            self.view.listeners.remove(self.redraw)


Draw = Callable[[SlicePanel], None]
