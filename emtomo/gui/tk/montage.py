"""Many slices side by side: page through them, pick on any, the active one in a red frame."""

import tkinter as tk
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.slices import SliceState
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import PickerHost
from emtomo.gui.tk.slicepanel import SHIFT, SlicePanel
from emtomo.gui.tk.window import tip

COLUMNS, ROWS, STEP = 3, 2, 2


class Montage(ttk.Frame):
    """XY slices at even distances, all with one zoom and place, in the place of a picker's planes."""

    def __init__(self, master: tk.Misc, picker: PickerHost) -> None:
        super().__init__(master)
        self.picker = picker
        self.w: dict[str, Any] = {}
        pad = theme.px(self, theme.PAD)
        foot = ttk.Frame(self, padding=(pad, theme.px(self, theme.GAP)))
        foot.pack(side="bottom", fill="x")
        self.first = picker.state_.place[0]
        for name, text, by, message in (("back page", "«", -1.0, "A page back"), ("back", "‹", 0.0, "A slice back")):
            self._button(foot, name, text, lambda b=by: self.turn(-self.pages() if b else -self.step_of()), message)
        for name, text, by, message in (("next", "›", 0.0, "A slice on"), ("next page", "»", 1.0, "A page on")):
            self._button(foot, name, text, lambda b=by: self.turn(self.pages() if b else self.step_of()), message)
        self.spins: dict[str, Any] = {}
        for label, value, low, high in (("Columns", COLUMNS, 1, 8), ("Rows", ROWS, 1, 8), ("Every", STEP, 1, 50)):
            ttk.Label(foot, text=label).pack(side="left", padx=(pad, theme.px(self, 3)))
            spin = ttk.Spinbox(foot, from_=low, to=high, width=4, command=self.lay_out)
            spin.set(str(value))
            spin.bind("<Return>", lambda _: self.lay_out())
            spin.pack(side="left")
            self.spins[label] = spin
        self.field = ttk.Frame(self)
        self.field.pack(fill="both", expand=True)
        self.panels: list[SlicePanel] = []
        self.active = 0
        picker.state_.listeners.append(self._look)
        self.lay_out()

    def _button(self, master: tk.Misc, name: str, text: str, call: Any, message: str) -> None:
        button = ttk.Button(master, text=text, bootstyle="secondary-outline", command=call)
        button.pack(side="left", padx=(0, theme.px(self, 3)))
        tip(button, message)
        self.w[name] = button

    def begin_at(self, z: int) -> None:
        """Show a slice first, the active one."""
        self.first, self.active = z, 0
        self.turn(0)
        self._look()

    def _number(self, name: str) -> int:
        try:
            return max(1, min(50, int(float(self.spins[name].get()))))
        except ValueError:
            return {"Columns": COLUMNS, "Rows": ROWS, "Every": STEP}[name]

    def step_of(self) -> int:
        """Return the distance of neighbouring slices."""
        return self._number("Every")

    def pages(self) -> int:
        """Return how many slices a page spans."""
        return self.step_of() * len(self.panels)

    def lay_out(self) -> None:
        """Make the panels; their first slice is kept."""
        for panel in self.panels:
            panel.destroy()
        columns, rows = self._number("Columns"), self._number("Rows")
        for k in range(8):
            self.field.columnconfigure(k, weight=1 if k < columns else 0, uniform="c" if k < columns else "")
            self.field.rowconfigure(k, weight=1 if k < rows else 0, uniform="r" if k < rows else "")
        self.panels = []
        for k in range(columns * rows):
            panel = SlicePanel(self.field, SliceState(self.picker.source), 0, self)
            panel.grid(row=k // columns, column=k % columns, sticky="nsew")
            panel.on_wheel = self._wheel
            panel.on_camera = self._share
            self.panels.append(panel)
        self.active = 0
        self.turn(0)
        self._look()

    def turn(self, by: int) -> None:
        """Go on by some slices."""
        depth, step = self.picker.source.shape[0], self.step_of()
        last = max(0, depth - 1 - step * (len(self.panels) - 1))
        self.first = min(max(self.first + by, 0), last)
        for k, panel in enumerate(self.panels):
            panel.view.place[0] = min(self.first + k * step, depth - 1)
        self.activate(self.active)
        self.redraw()

    def _wheel(self, by: int, state: int) -> None:
        """Turn all slices: by one tile, with Shift by a page."""
        self.turn(by * (self.pages() if state & SHIFT else self.step_of()))

    def activate(self, k: int) -> None:
        """Make a panel the active one: a red frame, and the picker's slice."""
        self.active = min(k, len(self.panels) - 1)
        for i, panel in enumerate(self.panels):
            panel.frame(theme.ACTIVE_FRAME if i == self.active else theme.SLICE_BACKGROUND)
        self.picker.state_.go(0, self.panels[self.active].view.place[0])

    def _look(self) -> None:
        """Take slab, filter and contrast from the picker."""
        look = self.picker.state_
        for panel in self.panels:
            panel.view.thickness, panel.view.sigma, panel.view.limits = look.thickness, look.sigma, look.limits
            panel.redraw()

    def fit(self) -> None:
        """Show whole slices."""
        for panel in self.panels:
            panel.fit()

    def redraw(self) -> None:
        """Draw all."""
        for panel in self.panels:
            panel.redraw()

    def _share(self, panel: SlicePanel) -> None:
        """Give all panels the zoom and place of one, at once: a slice drawn late must not give them its old ones."""
        for other in self.panels:
            if other is not panel:
                c, other.zoomed = other.camera, True
                c.zoom, c.horizontal, c.vertical = panel.camera.zoom, panel.camera.horizontal, panel.camera.vertical
                other.redraw()

    # --- events of the panels ---

    def on_press(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> bool:
        """Make the slice the active one; the picker decides about the rest."""
        self.activate(self.panels.index(panel))
        return self.picker.on_press(panel, button, place, state)

    def on_drag(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """See the picker."""
        self.picker.on_drag(panel, button, place, state)

    def on_release(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """See the picker."""
        self.picker.on_release(panel, button, place, state)

    def on_click(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """See the picker."""
        self.picker.on_click(panel, button, place, state)

    def on_hover(self, panel: SlicePanel, place: tuple[float, float, float] | None) -> None:
        """Let the picker's keys act on the slice under the mouse."""
        if panel in self.panels:
            if place is not None and self.panels.index(panel) != self.active:
                self.activate(self.panels.index(panel))
            self.picker.show_place(place)

    def decorate(self, panel: SlicePanel) -> None:
        """Draw the picker's marks as they are on this slice."""
        self.picker.decorate_slice(panel)

    def close(self) -> None:
        """Listen no more."""
        self.picker.state_.listeners.remove(self._look)
