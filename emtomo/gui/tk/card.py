"""The card of a run in the workflow: label, state, result, picture, progress and button."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageTk

from emtomo.gui.core.runs import Run
from emtomo.gui.tk import theme

WIDTH, HEIGHT = 256, 72
BUTTON = 40  # of a card, at its right: + or Pick
PICTURE = 56  # pixels at 100 %, at its left
TEXT = 72  # where the text begins
LETTERS = 25  # of a label and a state, and of a result with its button

Scale = Callable[[float], float]


class Cards:
    """Draws cards on a canvas; each part of a card is changed without drawing the others.

    Parameters
    ----------
    canvas : Canvas
    """

    def __init__(self, canvas: tk.Canvas) -> None:
        self.canvas = canvas
        self._pictures: dict[int, Image.Image] = {}
        self._photos: dict[int, tuple[int, Any]] = {}  # run → side, picture as Tk has it

    def draw(self, run: Run, x: float, y: float, u: Scale, zoom: float) -> None:
        """Draw a card at a place; :meth:`restate` says its state."""
        c, i = self.canvas, run.id
        tags = ("node", f"run{i}")
        c.create_rectangle(x, y, x + u(WIDTH), y + u(HEIGHT), fill=theme.colour("inputbg"), tags=(*tags, f"box{i}"))
        c.create_rectangle(x, y, x + u(6), y + u(HEIGHT), width=0, tags=(*tags, f"bar{i}"))
        c.create_rectangle(x + u(6), y + u(HEIGHT - 5), x + u(6), y + u(HEIGHT), width=0, tags=(*tags, f"progress{i}"))
        c.create_image(x + u(10 + PICTURE / 2), y + u(HEIGHT / 2), tags=(*tags, f"picture{i}"))
        size = int(round(9 * zoom))
        if size < 4:
            return
        left, faint = x + u(TEXT), theme.faint()
        label = run.label if len(run.label) <= LETTERS else run.label[: LETTERS - 1] + "…"
        font, small = ("TkDefaultFont", size), ("TkDefaultFont", max(4, size - 1))
        c.create_text(left, y + u(15), anchor="w", text=label, font=font, fill=theme.colour("fg"), tags=tags)
        c.create_text(left, y + u(33), anchor="w", font=small, tags=(*tags, f"status{i}"))
        c.create_text(left, y + u(52), anchor="w", font=small, fill=faint, tags=(*tags, f"result{i}"))
        bold, blue, name = ("TkDefaultFont", size, "bold"), theme.colour("primary"), f"button{i}"
        c.create_text(x + u(WIDTH - 8), y + u(52), anchor="e", fill=blue, font=bold, tags=(*tags, name))

    def restate(self, run: Run, x: float, y: float, u: Scale, *, chosen: bool) -> None:
        """Show the state, result and picture of a run in its card."""
        c, i, colour = self.canvas, run.id, theme.colour(run.colour)
        frame = theme.colour("primary") if chosen else theme.blend(colour, theme.colour("bg"), 0.3)
        c.itemconfigure(f"box{i}", outline=frame, width=max(1, u(3 if chosen else 1)))
        c.itemconfigure(f"bar{i}", fill=colour)
        message = run.card_state if len(run.card_state) <= LETTERS + 2 else run.card_state[: LETTERS + 1] + "…"
        c.itemconfigure(f"status{i}", text=message, fill=theme.blend(colour, theme.colour("fg"), 0.35))
        result, room = run.card_result, LETTERS - 2 * len(run.card_button)
        c.itemconfigure(f"result{i}", text=result if len(result) <= room else result[: room - 1] + "…")
        c.itemconfigure(f"button{i}", text=run.card_button)
        c.itemconfigure(f"progress{i}", fill=colour)
        end = x + u(6) + u(WIDTH - 6) * run.time_share
        c.coords(f"progress{i}", x + u(6), y + u(HEIGHT - 5), end, y + u(HEIGHT))
        self._show_picture(i, int(u(PICTURE)))

    def take_picture(self, i: int, picture: Image.Image, u: Scale) -> None:
        """Show another picture in the card of a run."""
        self._pictures[i] = picture
        self._photos.pop(i, None)
        self._show_picture(i, int(u(PICTURE)))

    def forget(self, i: int) -> None:
        """Show no picture in the card of a run."""
        self._pictures.pop(i, None)
        self._photos.pop(i, None)

    def _show_picture(self, i: int, side: int) -> None:
        picture = self._pictures.get(i)
        if picture is None or side < 8:
            self.canvas.itemconfigure(f"picture{i}", image="")
            return
        if i not in self._photos or self._photos[i][0] != side:
            small = picture.copy()
            small.thumbnail((side, side), Image.Resampling.BICUBIC)
            self._photos[i] = side, ImageTk.PhotoImage(small, master=self.canvas)
        self.canvas.itemconfigure(f"picture{i}", image=self._photos[i][1])
