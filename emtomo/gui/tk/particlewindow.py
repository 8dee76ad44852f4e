"""Slices with more on them: a tomogram beside what it was made from; particles with their directions."""

from typing import Any

import numpy as np
import ttkbootstrap as ttk

from emtomo.gui.core.slices import SliceState, marks_near, neighbour_distance
from emtomo.gui.core.tomogram_particles import TomogramParticles
from emtomo.gui.core.volume import ACROSS, VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.slicepanel import SlicePanel
from emtomo.gui.tk.slicewindow import SliceWindow
from emtomo.wording import count_text

ARROW = 1.0  # of the circle


class BeforeAfter(SliceWindow):
    """A tomogram, and what it was made from at the same place: hold B, or switch."""

    def __init__(self, master: Any, before: VolumeSource, after: VolumeSource, title: str, pixel_size: float) -> None:
        self.old = SliceState(before)
        super().__init__(master, after, title, pixel_size, "before-after")
        self.old_panel = SlicePanel(self.grid_frame, self.old, 0, self)
        self.state_.listeners.append(self._follow_old)
        self.show_planes(None)

    def show_planes(self, axis: int | None) -> None:
        """Show before and after side by side for xy, or all planes of the new one."""
        super().show_planes(axis)
        if not hasattr(self, "old_panel"):
            return
        if axis is not None:
            self.old_panel.grid_remove()
            return
        for panel in self.panels.values():
            panel.grid_remove()
        for k in (0, 1):
            self.grid_frame.columnconfigure(k, weight=1, uniform="halves")
            self.grid_frame.rowconfigure(k, weight=1 if k == 0 else 0, uniform="")
        self.old_panel.grid(row=0, column=0, sticky="nsew", padx=(0, 2))
        self.panels[0].grid(row=0, column=1, sticky="nsew")

    def _follow_old(self) -> None:
        """Keep the old tomogram at the same place, slab and zoom."""
        scale = [a / b for a, b in zip(self.old.source.shape, self.source.shape, strict=True)]
        self.old.place = [
            min(int(round(p * s)), n - 1)
            for p, s, n in zip(self.state_.place, scale, self.old.source.shape, strict=True)
        ]
        self.old.thickness, self.old.sigma = self.state_.thickness, self.state_.sigma
        self._share()
        self.old_panel.redraw()

    def _share(self) -> None:
        new, old = self.panels[0].camera, self.old_panel.camera
        ratio = self.old.source.shape[2] / self.source.shape[2]
        old.zoom = new.zoom / ratio
        old.horizontal, old.vertical = (
            (v - n // 2) * ratio + m // 2
            for v, n, m in (
                (new.horizontal, self.source.shape[2], self.old.source.shape[2]),
                (new.vertical, self.source.shape[1], self.old.source.shape[1]),
            )
        )

    def decorate(self, panel: SlicePanel) -> None:
        """Label the two sides and keep them together."""
        if panel is self.panels[0] and self.shown is None:
            before = (self.old_panel.camera.zoom, self.old_panel.camera.horizontal, self.old_panel.camera.vertical)
            self._share()
            if before != (self.old_panel.camera.zoom, self.old_panel.camera.horizontal, self.old_panel.camera.vertical):
                self.old_panel.redraw()
        if panel is not self.old_panel:
            super().decorate(panel)
        message = "before" if panel is self.old_panel else "after"
        panel.canvas.create_text(
            theme.px(self, 8), theme.px(self, 22), anchor="nw", text=message, fill="#ffd24d", tags="mark"
        )

    def auto_contrast(self) -> None:
        """Set the contrast of both."""
        super().auto_contrast()
        self.old.auto_contrast()

    def close(self) -> None:
        """Close both."""
        self.old.source.close()
        super().close()


class ParticlesWindow(SliceWindow):
    """Particles with their directions on the slices of one tomogram; a slider hides low scores."""

    def __init__(self, master: Any, title: str, placed: TomogramParticles) -> None:
        points = placed.points
        self.points, self.normals, self.groups = points, placed.normals, placed.groups
        self.scores, self.box = placed.scores, placed.box
        self.cut = -np.inf
        self.size_ = min(self.box, max(4.0, 1.6 * neighbour_distance(points)))
        super().__init__(master, placed.source, title, placed.pixel_size, "particles")
        if len(points):
            self.state_.centre(*np.median(points, axis=0))

    def build_side(self) -> None:
        """Number, size of the circles, threshold."""
        pad = theme.px(self, theme.PAD)
        frame = ttk.Labelframe(self.side, text="Particles", padding=pad)
        frame.pack(fill="x", pady=(pad, 0))
        self.count = ttk.Label(frame, text="")
        self.count.pack(anchor="w")
        self.boxes = ttk.BooleanVar(self, True)
        self.arrows = ttk.BooleanVar(self, True)
        for text, variable in (("Boxes", self.boxes), ("Directions", self.arrows)):
            ttk.Checkbutton(frame, text=text, variable=variable, bootstyle="round-toggle", command=self.redraw).pack(
                anchor="w"
            )
        row = ttk.Frame(frame)
        row.pack(fill="x", pady=(theme.px(self, theme.GAP), 0))
        ttk.Label(row, text="Circle").pack(side="left")
        self.circle = ttk.Spinbox(row, from_=2, to=1024, increment=2, width=6, command=self._sized)
        self.circle.set(f"{self.size_:.0f}")
        self.circle.bind("<Return>", lambda _: self._sized())
        self.circle.pack(side="left", padx=theme.px(self, theme.GAP))
        ttk.Label(row, text=f"voxels (box {self.box:.0f})").pack(side="left")
        finite = self.scores[np.isfinite(self.scores)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        row = ttk.Frame(frame)
        row.pack(fill="x", pady=(theme.px(self, theme.GAP), 0))
        ttk.Label(row, text="Score ≥").pack(side="left")
        self.slider = ttk.Scale(row, from_=low, to=max(high, low + 1e-9), command=lambda v: self._cut(float(v)))
        self.slider.pack(side="left", fill="x", expand=True)
        if high <= low:
            self.slider.configure(state="disabled")
        self.w["score"] = self.slider
        self._tell()

    def _sized(self) -> None:
        try:
            self.size_ = max(2.0, float(self.circle.get()))
        except ValueError:
            return
        self.redraw()

    def _cut(self, cut: float) -> None:
        self.cut = cut
        self._tell()
        self.redraw()

    def _tell(self) -> None:
        kept = int((self.scores >= self.cut).sum()) if np.isfinite(self.cut) else len(self.points)
        all_ = count_text(len(self.points), "particle")
        cut = np.isfinite(self.cut)
        self.count.configure(text=f"{kept} of {all_}, score at least {self.cut:.3g}" if cut else all_)

    def decorate(self, panel: SlicePanel) -> None:
        """Draw circles where the particles' spheres are cut, and their directions."""
        super().decorate(panel)
        shown = np.flatnonzero(self.scores >= self.cut) if np.isfinite(self.cut) else np.arange(len(self.points))
        at = self.state_.place[panel.axis]
        marks = marks_near(self.points[shown], panel.axis, at, self.size_ / 2)
        rows, columns = ACROSS[panel.axis]
        for (h, v), r, k in zip(marks.places, marks.radii, shown[marks.index], strict=True):
            colour = theme.group_colour(int(self.groups[k]))
            if self.boxes.get():
                panel.ring(h, v, r, colour, width=1)
            normal = self.normals[k]
            if self.arrows.get() and np.isfinite(normal).all():
                start = panel.camera.to_screen(h, v)
                end = panel.camera.to_screen(
                    h + ARROW * self.size_ * normal[columns], v + ARROW * self.size_ * normal[rows]
                )
                panel.canvas.create_line(
                    *start, *end, fill=colour, width=2, arrow="last", arrowshape=(6, 7, 3), tags="mark"
                )
