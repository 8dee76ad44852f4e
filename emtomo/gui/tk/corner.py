"""The fourth quadrant of three planes: what is under the mouse, magnified, a slice at any angle, or 3D."""

import tkinter as tk
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.oblique import ObliqueView
from emtomo.gui.core.slices import SliceState
from emtomo.gui.tk import theme
from emtomo.gui.tk.cornerspace import CornerSpace
from emtomo.gui.tk.slicepanel import CONTROL, SHIFT, Owner, SlicePanel
from emtomo.gui.tk.window import Flow

CLOSER = 4.0  # times the zoom of the plane under the mouse
LEAST_ZOOM = 3.0  # pixels a voxel of what is magnified
WAIT = 150  # ms between two looks whether the volume was read
MAGNIFIED, OBLIQUE, SPACE = "Magnified", "Any angle", "3D"
MOUSE = [
    ("Click in the magnified picture", "as on its plane, four times as precise"),
    ("Left drag in the slice of any angle", "turn it; wheel: along its normal, Ctrl+wheel: zoom"),
]


class Corner(ttk.Frame):
    """Shows one of them; a choice above it. Only a picker has points to be seen in 3D."""

    def __init__(self, master: tk.Misc, state: SliceState, owner: Owner, *, low_bandwidth: bool) -> None:
        super().__init__(master)
        self.state_, self.owner = state, owner
        head = Flow(self)
        head.pack(side="top", fill="x")
        self.choice = ttk.StringVar(self, MAGNIFIED)
        self.buttons: dict[str, Any] = {}
        self.magnified = Lens(self, state, 0, owner, low_bandwidth=low_bandwidth)
        self.oblique = ObliquePanel(self, state)
        self.panes: dict[str, Any] = {MAGNIFIED: self.magnified, OBLIQUE: self.oblique}
        if hasattr(owner, "space_data"):
            self.panes[SPACE] = CornerSpace(self, state, owner.space_data)
        for name in self.panes:
            self.buttons[name] = ttk.Radiobutton(
                head,
                text=name,
                value=name,
                variable=self.choice,
                bootstyle="secondary-toolbutton-outline",
                command=self._choose,
            )
            self.buttons[name].pack(side="left", padx=(0, theme.px(self, 2)))
        self._place: tuple[float, float, float] | None = None
        self._choose()

    def _choose(self) -> None:
        for pane in self.panes.values():
            pane.pack_forget()
        self.panes[self.choice.get()].pack(fill="both", expand=True)

    def follow(self, panel: SlicePanel, place: tuple[float, float, float] | None) -> None:
        """Show what is under the mouse on one of the planes."""
        if place is None or panel is self.magnified or not self.magnified.winfo_ismapped():
            return
        lens = self.magnified
        lens.axis, lens.used, lens.drawn = panel.axis, True, None
        lens.camera.horizontal, lens.camera.vertical = _flat(panel.axis, place)
        lens.camera.zoom = max(CLOSER * panel.camera.zoom, LEAST_ZOOM)
        lens.redraw()

    @property
    def mouse(self) -> tuple[float, float, float] | None:
        """z, y, x under the mouse in the corner."""
        return getattr(self.panes[self.choice.get()], "mouse", None)

    def redraw(self) -> None:
        """Draw soon."""
        for pane in self.panes.values():
            pane.redraw()

    def close(self) -> None:
        """Listen no more."""
        for pane in self.panes.values():
            pane.close()


def _flat(axis: int, place: tuple[float, float, float]) -> tuple[float, float]:
    """Return horizontal and vertical voxel of a place on a plane across an axis."""
    from emtomo.gui.core.volume import ACROSS

    rows, columns = ACROSS[axis]
    return place[columns], place[rows]


class Lens(SlicePanel):
    """A part of the plane that the mouse is on; nothing is drawn before it was on one."""

    def __init__(self, master: tk.Misc, state: SliceState, axis: int, owner: Owner, *, low_bandwidth: bool) -> None:
        self.used = False
        super().__init__(master, state, axis, owner, low_bandwidth=low_bandwidth)
        self.zoomed = True

    def _draw(self, *, full: bool = False) -> None:
        if self.used:
            super()._draw(full=full)
            return
        self._idle = None
        if not self.winfo_ismapped():
            return
        self.canvas.delete("mark")
        self.canvas.create_text(
            self.camera.width / 2, self.camera.height / 2, fill="#909090", tags="mark", justify="center",
            width=max(60, self.camera.width - 20), text="What is under the mouse on a plane is magnified here.",
        )  # fmt: skip


class ObliquePanel(ttk.Frame):
    """A slice at any angle through the place where the planes meet."""

    def __init__(self, master: tk.Misc, state: SliceState) -> None:
        super().__init__(master)
        self.state_ = state
        self.view = ObliqueView(np.array(state.place, float))
        self.mouse: tuple[float, float, float] | None = None
        self._photo: Any = None
        self._idle: str | None = None
        self._down: tuple[int, int] | None = None
        self._fitted = False
        self._met = list(state.place)
        self.canvas = tk.Canvas(
            self, highlightthickness=0, background=theme.SLICE_BACKGROUND, width=80, height=80, cursor="crosshair"
        )
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        c = self.canvas
        c.bind("<Configure>", self._resized)
        c.bind("<Button-1>", lambda e: setattr(self, "_down", (e.x, e.y)))
        c.bind("<B1-Motion>", self._drag)
        c.bind("<Motion>", self._moved)
        c.bind("<Leave>", lambda _: setattr(self, "mouse", None))
        for button, by in ((4, 1), (5, -1)):
            c.bind(f"<Button-{button}>", lambda e, b=by: self._wheel(int(e.state), b))  # type: ignore[misc]
        state.listeners.append(self._follow)

    def _resized(self, event: "tk.Event[Any]") -> None:
        self.view.width, self.view.height = max(1, event.width), max(1, event.height)
        if not self._fitted:
            self.view.zoom = min(event.width, event.height) / max(self.state_.source.shape[1:])
        self.redraw()

    def _moved(self, event: "tk.Event[Any]") -> None:
        self.mouse = self.view.to_voxel(event.x, event.y)

    def _drag(self, event: "tk.Event[Any]") -> None:
        if self._down is not None:
            self.view.rotate(event.x - self._down[0], event.y - self._down[1])
            self._down = (event.x, event.y)
            self.redraw()

    def _wheel(self, state: int, by: int) -> str:
        if state & CONTROL:
            self._fitted = True
            self.view.zoom_by(1.2**by)
        else:
            self.view.step(by * (10 if state & SHIFT else 1))
        self.redraw()
        return "break"

    def _follow(self) -> None:
        """Go through the place where the planes meet, once that has changed."""
        if self.state_.place != self._met:
            self._met = list(self.state_.place)
            self.view.centre = np.array(self._met, float)
        self.redraw()

    def redraw(self) -> None:
        """Draw soon, if it is seen."""
        if self._idle is None and self.winfo_exists() and self.winfo_ismapped():
            self._idle = self.canvas.after_idle(self._draw)

    def _draw(self) -> None:
        self._idle = None
        c, view = self.canvas, self.view
        if view.width < 8 or view.height < 8:
            return
        picture = view.draw(self.state_.source, self.state_.limits)
        c.delete("mark")
        if picture is None:
            c.create_text(view.width / 2, view.height / 2, fill="#ffffff", tags="mark", text="reading the volume …")
            c.after(WAIT, self.redraw)
            return
        if self._photo is None or (self._photo.width(), self._photo.height()) != (view.width, view.height):
            self._photo = ImageTk.PhotoImage("L", (view.width, view.height), master=c)
            c.itemconfigure(self._item, image=self._photo)
        self._photo.paste(Image.fromarray(np.ascontiguousarray(picture)))
        x, y, _ = view.to_screen(np.array([self.state_.place], float))[0]
        for line in ((x - 8, y, x + 8, y), (x, y - 8, x, y + 8)):
            c.create_line(*line, fill=theme.CROSS, tags="mark")
        c.create_text(
            theme.px(self, 8), theme.px(self, 6), anchor="nw", fill="#ffffff", tags="mark", text=view.description
        )
        for points, colour in getattr(self.master.owner, "points_in_space", list)():  # type: ignore[attr-defined]
            at = view.to_screen(points)
            r = theme.px(self, 4)
            for px, py, _ in at[np.abs(at[:, 2]) <= 1.0]:
                c.create_oval(px - r, py - r, px + r, py + r, outline=colour, width=2, tags="mark")

    def close(self) -> None:
        """Listen no more."""
        if self._follow in self.state_.listeners:
            self.state_.listeners.remove(self._follow)


__all__ = ["MOUSE", "Corner", "ObliquePanel"]
