"""Three linked slices with their controls; viewers and pickers add marks and what a click does."""

import os
import tkinter as tk
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk
from PIL import ImageGrab

from emtomo.compute.slices import round_length
from emtomo.gui.core.actions import Action
from emtomo.gui.core.slices import PLANES, SliceState, place_text
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import corner, theme
from emtomo.gui.tk.corner import Corner
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.slicepanel import SlicePanel
from emtomo.gui.tk.window import Window, busy_label, tip, wrap

SIDE = 312
STILL = 300  # ms without another slice until the slider follows, over a slow line
DRAWN = 150  # ms that a new window has to itself before a thread copies its volume
MOUSE = [
    ("Wheel", "next slice; with Shift ten slices"),
    ("Ctrl+Wheel", "zoom at the pointer"),
    ("Middle drag, right drag", "move the picture"),
    ("Left drag", "move the picture, unless a point is under the mouse"),
]


class SliceWindow(Window):
    """Shows one volume.

    Parameters
    ----------
    master : widget
    source : VolumeSource
        The volume; opened in a thread, the window closes it.
    title : str
    pixel_size : float
        Å; that of the file where it is 0.
    """

    WORDS = ("Slice z", "slices", "voxel")

    def __init__(
        self, master: tk.Misc, source: VolumeSource, title: str, pixel_size: float = 0.0, name: str = "slices"
    ) -> None:
        self.source = source
        super().__init__(master, title, (1120, 800), name)
        self.pixel_size = pixel_size or self.source.pixel_size
        self.state_ = SliceState(self.source)
        self.shown: int | None = None
        self._following: str | None = None
        self.main_axis = 0
        self._bottom()
        # scrolls where the screen is small or the text large
        self.side = ttk.ScrolledFrame(
            self, padding=theme.px(self, theme.PAD), auto_hide=False, width=theme.px(self, SIDE), height=100
        )
        self.side.container.pack(side="right", fill="y")
        self.below = ttk.Frame(self)  # for pictures of particles
        self.below.pack(side="bottom", fill="x")
        self.grid_frame = ttk.Frame(self)
        self.grid_frame.pack(side="left", fill="both", expand=True)
        slow = self.app.settings.get("slow line", bool(os.environ.get("SSH_CONNECTION")))
        self.panels = {
            axis: SlicePanel(self.grid_frame, self.state_, axis, self, low_bandwidth=slow) for axis in (0, 1, 2)
        }
        self.corner = Corner(self.grid_frame, self.state_, self, low_bandwidth=slow)
        self._controls()
        self.build_side()
        self.show_planes(None)
        self.state_.listeners.append(self._follow)
        self.bind_actions(self.make_actions(), [*self.mouse_rows(), *MOUSE, *corner.MOUSE])
        self._cache: Any = None
        self._starting = self.after(DRAWN, self._make_copies)

    def _make_copies(self) -> None:
        self._cache = self.work(lambda _: self.source.build(), lambda _: None, lambda _: None)

    # --- for those who add to it ---

    def build_side(self) -> None:
        """Add to the panel at the side."""

    def mouse_rows(self) -> list[tuple[str, str]]:
        """Return what the mouse does besides moving the picture."""
        return []

    def make_actions(self) -> list[Action]:
        """Return what the keys do."""
        a = Action
        return [
            a("x", "Slices across x only", lambda: self.show_planes(2), "x"),
            a("y", "Slices across y only", lambda: self.show_planes(1), "y"),
            a("z", "Slices across z only", lambda: self.show_planes(0), "z"),
            a("all", "All three planes", lambda: self.show_planes(None), "a"),
            a("next", "Next slice", lambda: self.step(1), "<Up> <Prior> 1"),
            a("previous", "Slice before", lambda: self.step(-1), "<Down> <Next> <grave> <asciitilde>"),
            a("fit", "Whole slice", self.fit, "f"),
            a("origin", "Back to the middle", self.middle, "o"),
            a("contrast", "Contrast from this slice", self.auto_contrast, "k"),
            a("smooth", "More Gaussian filter", lambda: self.smooth(0.5), "<plus> <equal>"),
            a("rough", "Less Gaussian filter", lambda: self.smooth(-0.5), "<minus>"),
            a("thicker", "Average over more slices", lambda: self.thicken(2), "<greater>"),
            a("thinner", "Average over fewer slices", lambda: self.thicken(-2), "<less>"),
            a("picture", "Save a picture of the window", self.save_picture, "<Control-p>"),
            a("close", "Close", self.close, "<Control-q>"),
        ]

    def on_press(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> bool:
        """Take no drag."""
        return False

    def on_drag(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Do nothing."""

    def on_release(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Do nothing."""

    def on_click(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Let all planes go through the place."""
        if button == 1:
            self.state_.centre(*place)

    def on_hover(self, panel: SlicePanel, place: tuple[float, float, float] | None) -> None:
        """Tell place and grey value under the mouse, and magnify what is there."""
        self.show_place(place)
        self.corner.follow(panel, place)

    def decorate(self, panel: SlicePanel) -> None:
        """Draw where the other planes are, and a scale bar."""
        self.cross(panel)
        self.bar(panel)

    # --- layout ---

    def _bottom(self) -> None:
        foot = ttk.Frame(self, padding=(theme.px(self, theme.PAD), theme.px(self, theme.GAP)))
        foot.pack(side="bottom", fill="x")
        self.place_label = ttk.Label(foot, text="", width=58)
        self.place_label.pack(side="left")
        self.message = busy_label(foot, "F1 shows all keys.")
        wrap(self.message)
        self.message.pack(side="left", fill="x", expand=True)
        self.w["message"] = self.message

    def _controls(self) -> None:
        gap = theme.px(self, theme.GAP)
        box = ttk.Labelframe(self.side, text="Slices", padding=theme.px(self, theme.PAD))
        box.pack(fill="x")
        box.columnconfigure(1, weight=1)
        row = ttk.Frame(box)
        row.grid(row=0, column=0, columnspan=3, sticky="ew")
        self.plane = ttk.StringVar(self, "all")
        for text, axis in (("All", None), ("XY", 0), ("XZ", 1), ("ZY", 2)):
            ttk.Radiobutton(
                row,
                text=text,
                value=text.lower(),
                variable=self.plane,
                bootstyle="secondary-toolbutton-outline",
                command=lambda a=axis: self.show_planes(a),
            ).pack(side="left", padx=(0, theme.px(self, 2)))
        nz = self.source.shape[0]
        ttk.Label(box, text=self.WORDS[0]).grid(row=1, column=0, sticky="w", pady=gap)
        self.depth = ttk.IntVar(self, self.state_.place[0])
        self.slider = ttk.Scale(
            box,
            from_=0,
            to=max(nz - 1, 1),
            variable=self.depth,
            length=theme.px(self, 120),
            command=lambda v: self.state_.go(0, int(float(v) + 0.5)),
        )
        self.slider.grid(row=1, column=1, sticky="ew")
        self.depth_label = ttk.Label(box, text=str(self.state_.place[0]), width=5)
        self.depth_label.grid(row=1, column=2)
        self.thickness = self._spin(
            box, 2, "Average of", 1, 256, 1, lambda v: self.state_.set_look(thickness=int(v)), self.WORDS[1]
        )
        self.sigma = self._spin(box, 3, "Gaussian", 0, 20, 0.5, lambda v: self.state_.set_look(sigma=v), self.WORDS[2])
        low, high = self.source.limits
        span = high - low
        self.black = ttk.DoubleVar(self, low)
        self.white = ttk.DoubleVar(self, high)
        for k, (text, variable) in enumerate((("Black", self.black), ("White", self.white)), 4):
            ttk.Label(box, text=text).grid(row=k, column=0, sticky="w")
            ttk.Scale(
                box, from_=low - span, to=high + span, variable=variable, command=lambda _: self._contrast()
            ).grid(row=k, column=1, columnspan=2, sticky="ew", pady=theme.px(self, 2))
        auto = ttk.Button(
            box, text="Contrast from this slice", bootstyle="secondary-outline", command=self.auto_contrast
        )
        auto.grid(row=6, column=0, columnspan=3, sticky="ew", pady=(gap, 0))
        tip(auto, "0.5 to 99.5 % of the grey values of the slice (K)")
        slow = ttk.BooleanVar(self, self.app.settings.get("slow line", bool(os.environ.get("SSH_CONNECTION"))))

        def switch() -> None:
            """Keep the setting for slow lines and apply it to all panels."""
            self.app.settings.put("slow line", slow.get())
            for panel in self.panels.values():
                panel.low_bandwidth = slow.get()

        check = ttk.Checkbutton(box, text="Slow line", variable=slow, bootstyle="round-toggle", command=switch)
        check.grid(row=7, column=0, columnspan=3, sticky="w", pady=(gap, 0))
        tip(check, "Half the resolution while moving: for X11 over SSH")
        self.w |= {"slider": self.slider, "auto contrast": auto, "thickness": self.thickness, "sigma": self.sigma}

    def _spin(self, box: Any, row: int, label: str, low: float, high: float, step: float, call: Any, unit: str) -> Any:
        ttk.Label(box, text=label).grid(row=row, column=0, sticky="w")
        spin = ttk.Spinbox(box, from_=low, to=high, increment=step, width=6)
        spin.set(f"{low:g}")

        def on_change(*_: object) -> None:
            """Apply the number that was typed; what is no number is ignored."""
            try:
                call(float(spin.get()))
            except ValueError:
                return

        spin.configure(command=on_change)
        spin.bind("<Return>", on_change)
        spin.bind("<FocusOut>", on_change)
        spin.grid(row=row, column=1, sticky="w", pady=theme.px(self, 2))
        ttk.Label(box, text=unit).grid(row=row, column=2, sticky="w")
        return spin

    def _every_panel(self) -> list[Any]:
        return [*self.panels.values(), self.corner]

    def panels_in_view(self) -> list[Any]:
        """Return what lies under the mouse."""
        return self._every_panel()

    def frame_in_view(self) -> Any:
        """Return what holds them."""
        return self.grid_frame

    def show_planes(self, axis: int | None) -> None:
        """Show one plane, or all three."""
        self.shown = axis
        self.plane.set("all" if axis is None else PLANES[axis].lower())
        for panel in self._every_panel():
            panel.grid_remove()
        nz, ny, nx = self.source.shape
        for k in (0, 1):
            self.grid_frame.rowconfigure(k, weight=0, uniform="")
            self.grid_frame.columnconfigure(k, weight=0, uniform="")
        if axis is not None:
            self.panels[axis].grid(row=0, column=0, sticky="nsew")
            self.grid_frame.rowconfigure(0, weight=1)
            self.grid_frame.columnconfigure(0, weight=1)
            self.main_axis = axis
            return
        self.main_axis = 0
        small = min(max(nz / max(nx, ny), 0.25), 0.6)
        for k, weight in ((0, 100), (1, int(100 * small))):
            self.grid_frame.rowconfigure(k, weight=weight, uniform="rows")
            self.grid_frame.columnconfigure(k, weight=weight, uniform="columns")
        self.panels[0].grid(row=0, column=0, sticky="nsew", padx=(0, 1), pady=(0, 1))
        self.panels[2].grid(row=0, column=1, sticky="nsew", pady=(0, 1))
        self.panels[1].grid(row=1, column=0, sticky="nsew", padx=(0, 1))
        self.corner.grid(row=1, column=1, sticky="nsew")

    # --- what the keys do ---

    def step(self, by: int) -> None:
        """Go to another slice of the plane under the mouse."""
        self.state_.step(self.axis_under_mouse(), by)

    def axis_under_mouse(self) -> int:
        """Return the axis of the plane under the mouse, else of the main one."""
        lens = self.corner.magnified
        seen = (*self.panels.values(), *([lens] if lens.winfo_ismapped() else []))
        return next((panel.axis for panel in seen if panel.mouse is not None), self.main_axis)

    def mouse_place(self) -> tuple[float, float, float] | None:
        """Return z, y, x under the mouse."""
        return next((panel.mouse for panel in self.panels_in_view() if panel.mouse is not None), None)

    def fit(self) -> None:
        """Show whole slices."""
        for panel in self.panels.values():
            panel.fit()

    def middle(self) -> None:
        """Go to the middle of the volume."""
        self.state_.centre(*(n // 2 for n in self.source.shape))

    def smooth(self, by: float) -> None:
        """Filter more or less."""
        self.sigma.set(f"{max(0.0, self.state_.sigma + by):g}")
        self.state_.set_look(sigma=self.state_.sigma + by)

    def thicken(self, by: int) -> None:
        """Average over more or fewer slices."""
        self.state_.set_look(thickness=self.state_.thickness + by)
        self.thickness.set(str(self.state_.thickness))

    def auto_contrast(self) -> None:
        """Set black and white from the slice."""
        self.state_.auto_contrast(self.main_axis)
        self.black.set(self.state_.limits[0])
        self.white.set(self.state_.limits[1])

    def _contrast(self) -> None:
        self.state_.set_limits(self.black.get(), self.white.get())

    def _follow(self) -> None:
        self.depth_label.configure(text=str(self.state_.place[0]))
        if self._following is not None:
            self.after_cancel(self._following)
            self._following = None
        if self.panels[0].low_bandwidth:  # a slider is drawn with some forty questions to the display
            self._following = self.after(STILL, self._move_slider)
        else:
            self._move_slider()

    def _move_slider(self) -> None:
        self._following = None
        self.depth.set(self.state_.place[0])

    def save_picture(self) -> None:
        """Write what the planes show as PNG."""
        path = choose_file(self, "Save picture", save="slices.png", kind="picture")
        if path is not None:
            self.save_picture_to(path)

    def save_picture_to(self, path: Path) -> None:
        """Write a picture of the planes."""
        self.lift()
        self.update()
        g = self.frame_in_view()
        box = (g.winfo_rootx(), g.winfo_rooty(), g.winfo_rootx() + g.winfo_width(), g.winfo_rooty() + g.winfo_height())
        ImageGrab.grab(box, xdisplay=os.environ.get("DISPLAY")).save(path)
        self.say(f"Picture written to {path}.")

    # --- marks ---

    def cross(self, panel: SlicePanel) -> None:
        """Draw where the other planes cut this one."""
        if self.shown is not None:
            return
        z, y, x = (float(v) for v in self.state_.place)
        sx, sy = panel.screen_of((z, y, x))
        c = panel.canvas
        c.create_line(sx, 0, sx, panel.camera.height, fill=theme.CROSS, dash=(2, 6), tags="mark")
        c.create_line(0, sy, panel.camera.width, sy, fill=theme.CROSS, dash=(2, 6), tags="mark")

    def bar(self, panel: SlicePanel) -> None:
        """Draw a scale bar of a round length."""
        if not self.pixel_size or panel.axis != self.main_axis:
            return
        per = panel.camera.zoom / self.pixel_size
        length = round_length(panel.camera.width / 5 / per)
        x1 = panel.camera.width - theme.px(self, 14)
        y = panel.camera.height - theme.px(self, 14)
        c = panel.canvas
        c.create_line(x1 - length * per, y, x1, y, fill=theme.BAR, width=theme.px(self, 3), tags="mark")
        c.create_text(x1, y - theme.px(self, 4), anchor="se", fill=theme.BAR, text=f"{length / 10:g} nm", tags="mark")

    def show_place(self, place: tuple[float, float, float] | None) -> None:
        """Show place and grey value."""
        if place is None:
            self.place_label.configure(text="")
            return
        z, y, x = place
        message = place_text(place)
        inside = all(0 <= round(v) < n for v, n in zip(place, self.source.shape, strict=True))
        if self.pixel_size:
            a = [(v - n // 2) * self.pixel_size for v, n in zip((x, y, z), self.source.shape[::-1], strict=True)]
            message += f"   ({a[0]:.0f}, {a[1]:.0f}, {a[2]:.0f} Å)"
        grey = self.source.grey(round(z), round(y), round(x)) if inside else None
        if grey is not None:
            message += f"   grey {grey:.4g}"
        self.place_label.configure(text=message)

    def say(self, sentence: str) -> None:
        """Show a sentence at the bottom."""
        self.message.configure(text=sentence)

    def redraw(self) -> None:
        """Draw all planes."""
        for panel in self.panels_in_view():
            panel.redraw()

    def close(self) -> None:
        """Close, and forget the copies of the volume."""
        for panel in self._every_panel():
            panel.close()
        self.after_cancel(self._starting)
        if self._following is not None:
            self.after_cancel(self._following)
        if self._cache is not None:
            self._cache.cancel()
        self.source.close()
        super().close()
