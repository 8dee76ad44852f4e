"""A tomogram beside what it was made from."""

from typing import Any

from emtomo.gui.core.slices import SliceState
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.slicepanel import SHIFT, SlicePanel
from emtomo.gui.tk.slicewindow import SliceWindow

ARROW = 1.0  # of the circle


class BeforeAfter(SliceWindow):
    """A tomogram, and what it was made from at the same place: hold B, or switch."""

    def __init__(self, master: Any, before: VolumeSource, after: VolumeSource, title: str, pixel_size: float) -> None:
        self.old = SliceState(before)
        super().__init__(master, after, title, pixel_size, "before-after")
        self.old_panel = SlicePanel(self.grid_frame, self.old, 0, self)
        self.old_panel.on_camera = self._share_back
        self.old_panel.on_wheel = lambda by, state: self.state_.step(0, by * (10 if state & SHIFT else 1))
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
        for panel in self._every_panel():
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

    def _middles(self) -> list[tuple[float, float]]:
        """Return the middle voxel, of the new and of the old tomogram, horizontal and vertical."""
        return [(self.source.shape[axis] // 2, self.old.source.shape[axis] // 2) for axis in (2, 1)]

    def _share(self) -> None:
        new, old = self.panels[0].camera, self.old_panel.camera
        ratio = self.old.source.shape[2] / self.source.shape[2]
        old.zoom = new.zoom / ratio
        old.horizontal, old.vertical = (
            (v - n) * ratio + m for v, (n, m) in zip((new.horizontal, new.vertical), self._middles(), strict=True)
        )

    def _share_back(self, panel: SlicePanel) -> None:
        """Let the new tomogram follow where the user zooms or moves the old one."""
        new, old = self.panels[0].camera, panel.camera
        ratio = self.old.source.shape[2] / self.source.shape[2]
        new.zoom = old.zoom * ratio
        new.horizontal, new.vertical = (
            (v - m) / ratio + n for v, (n, m) in zip((old.horizontal, old.vertical), self._middles(), strict=True)
        )
        self.panels[0].zoomed = True
        self.panels[0].redraw()

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
