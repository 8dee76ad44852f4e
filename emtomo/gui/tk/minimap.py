"""A small map of a large canvas: where one is, and a click to go elsewhere."""

import tkinter as tk
from collections.abc import Iterable
from typing import Any

from emtomo.gui.tk import theme

SIZE = (170, 120)
ALL = 0.99  # of the canvas to be seen: no map is needed
Box = tuple[float, float, float, float, str]


class MiniMap(tk.Canvas):
    """Stands in a corner of a canvas as long as that shows only a part of its scroll region."""

    def __init__(self, master: tk.Misc, canvas: tk.Canvas) -> None:
        self.wide, self.high = (theme.px(master, n) for n in SIZE)
        super().__init__(master, highlightthickness=1, width=self.wide, height=self.high)
        self.canvas = canvas
        self._scale = 1.0
        self.bind("<Button-1>", self._jump)
        self.bind("<B1-Motion>", self._jump)

    def region(self) -> tuple[float, float, float, float]:
        """Return the canvas's scroll region."""
        text = str(self.canvas.cget("scrollregion")).split()
        return tuple(map(float, text)) if len(text) == 4 else (0.0, 0.0, 1.0, 1.0)  # type: ignore[return-value]

    def show(self, boxes: Iterable[Box]) -> None:
        """Draw boxes (left, top, right, bottom, colour), if a part of the canvas is out of sight and there is room."""
        c = self.canvas
        parts = [b - a for a, b in (c.xview(), c.yview())]
        roomy = c.winfo_width() > 3 * self.wide and c.winfo_height() > 2 * self.high
        if not roomy or min(parts) >= ALL:
            self.place_forget()
            return
        gap = theme.px(self, theme.PAD)
        self.place(in_=c, relx=1, rely=1, x=-gap, y=-gap, anchor="se")
        x0, y0, x1, y1 = self.region()
        self._scale = scale = min(self.wide / max(1, x1 - x0), self.high / max(1, y1 - y0))
        self.delete("all")
        self.configure(background=theme.colour("inputbg"), highlightbackground=theme.colour("border"))
        for left, top, right, bottom, tint in boxes:
            x, y = (left - x0) * scale, (top - y0) * scale
            across, down = max(2, (right - left) * scale), max(1, (bottom - top) * scale)
            self.create_rectangle(x, y, x + across, y + down, fill=tint, width=0)
        self.follow()

    def follow(self) -> None:
        """Show the part of the canvas that is seen."""
        if not self.winfo_manager():
            return
        x0, y0, x1, y1 = self.region()
        (a, b), (d, e) = self.canvas.xview(), self.canvas.yview()
        wide, high = (x1 - x0) * self._scale, (y1 - y0) * self._scale
        self.delete("view")
        self.create_rectangle(
            a * wide, d * high, b * wide, e * high, outline=theme.colour("primary"), width=2, tags="view"
        )

    def _jump(self, event: "tk.Event[Any]") -> None:
        x0, y0, x1, y1 = self.region()
        (a, b), (d, e) = self.canvas.xview(), self.canvas.yview()
        self.canvas.xview_moveto(event.x / self._scale / max(1, x1 - x0) - (b - a) / 2)
        self.canvas.yview_moveto(event.y / self._scale / max(1, y1 - y0) - (e - d) / 2)
