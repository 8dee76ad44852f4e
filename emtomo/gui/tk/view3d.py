"""The 3D view: rotate, slice, select and remove particles; drawn off-screen, shown as a picture."""

import tkinter as tk
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask, call_all, choose_file
from emtomo.gui.tk.slicepanel import CLICK, CONTROL, SHIFT
from emtomo.gui.tk.window import Window, tip
from emtomo.wording import count_text

STILL = 220  # ms after the last movement until full resolution
MOVING = 0.5
SIDE = 236
MOUSE = [
    ("Left drag", "turn"),
    ("Shift+drag, middle drag", "move"),
    ("Wheel", "come nearer"),
    ("Ctrl+Wheel", "next slice"),
    ("Left click", "select a particle; with Ctrl one more"),
    ("Right drag", "select particles in a rectangle"),
]


class View3D(Window):
    """Shows a scene.

    Parameters
    ----------
    master : widget
    data : SceneData
    title : str
    keep : callable, optional
        Called with the particles that are left, a boolean for each, when the user wants a new output of them.

    Raises
    ------
    EmtomoError
        If there is no OpenGL.
    """

    def __init__(
        self, master: Any, data: SceneData, title: str, keep: Callable[[np.ndarray], object] | None = None
    ) -> None:
        self.scene = Scene(data)
        self.scene.later = self._read
        super().__init__(master, title, (1060, 760), "view3d")
        self._keep = keep
        self._photo: Any = None
        self._still: str | None = None
        self._idle: str | None = None
        self._moving = False
        self._down: tuple[int, int, int] | None = None
        self._moved = False
        self._side()
        self.canvas = tk.Canvas(self, highlightthickness=0, background="#202124", takefocus=1)
        self.canvas.pack(side="left", fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        self._bind_mouse()
        self.bind_actions(self._table(), MOUSE)
        self.w["canvas"] = self.canvas

    def _side(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        side = ttk.ScrolledFrame(self, padding=pad, auto_hide=True, width=theme.px(self, SIDE), height=100)
        side.container.pack(side="right", fill="y")
        self.message = ttk.Label(side, text="", wraplength=theme.px(self, 200), justify="left")
        box = ttk.Labelframe(side, text="Show", padding=pad)
        box.pack(fill="x")
        self.parts: dict[str, Any] = {}
        labels = {
            "slice": "Tomogram slice",
            "surface": "Isosurface",
            "points": "Particles",
            "arrows": "Directions",
            "meshes": "Models",
            "boxes": "Boxes",
        }
        for part, label in labels.items():
            on = ttk.BooleanVar(self, self.scene.shown[part])
            check = ttk.Checkbutton(
                box,
                text=label,
                variable=on,
                bootstyle="round-toggle",
                command=lambda p=part, v=on: self._show(p, v.get()),
            )
            check.pack(anchor="w", pady=theme.px(self, 2))
            self.parts[part] = on
            self.w[part] = check
        source = self.scene.data.source
        if source is not None:
            low, high = source.limits
            if not self.scene.data.white:
                low, high = -high, -low
            row = ttk.Frame(box)
            row.pack(fill="x")
            ttk.Label(row, text="Level").pack(side="left")
            self.level = ttk.Scale(row, from_=low, to=high + (high - low))
            self.level.set(self.scene.level if self.scene.level is not None else high)
            self.level.configure(command=lambda v: self._level(float(v)))
            self.level.pack(side="left", fill="x", expand=True, padx=gap)
            tip(self.level, "Grey value of the isosurface")
        box = ttk.Labelframe(side, text="View", padding=pad)
        box.pack(fill="x", pady=(pad, 0))
        row = ttk.Frame(box)
        row.pack()
        for name, text in (("x", "X"), ("y", "Y"), ("z", "Z"), ("iso", "Aside")):
            button = ttk.Button(row, text=text, bootstyle="secondary-outline", command=lambda n=name: self.look(n))
            button.pack(side="left", padx=(0, theme.px(self, 2)))
            self.w[f"view {name}"] = button
        ttk.Label(box, text="Colour by").pack(anchor="w", pady=(gap, 0))
        self.colour = ttk.Combobox(box, values=["group", "score", "tomogram"], state="readonly", width=14)
        self.colour.set("group")
        self.colour.bind("<<ComboboxSelected>>", lambda _: self._recolour())
        self.colour.pack(anchor="w")
        box = ttk.Labelframe(side, text="Particles", padding=pad)
        box.pack(fill="x", pady=(pad, 0))
        for name, text, call, message in (
            ("remove", "Remove selected", self.remove, "Take the selected particles out (Delete)"),
            ("undo", "Undo", self.undo, "Bring them back (Ctrl+Z)"),
            ("keep", "Save as new output", self.keep, "A new set of the particles that are left"),
            ("picture", "Save picture", self.save, "PNG of this view (Ctrl+P)"),
        ):
            button = ttk.Button(box, text=text, bootstyle="secondary-outline", command=call)
            button.pack(fill="x", pady=theme.px(self, 2))
            tip(button, message)
            self.w[name] = button
        if self._keep is None:
            self.w["keep"].pack_forget()
        self.message.pack(fill="x", pady=(pad, 0))
        self.w |= {"colour": self.colour, "message": self.message}
        self.show_totals()

    def _table(self) -> list[Action]:
        a = Action
        return [
            a("x", "Look along x, slice across x", lambda: self.look("x"), "x"),
            a("y", "Look along y, slice across y", lambda: self.look("y"), "y"),
            a("z", "Look along z, slice across z", lambda: self.look("z"), "z"),
            a("iso", "Look from aside", lambda: self.look("iso"), "i"),
            a("up", "Next slice", lambda: self.step(1), "<Up>"),
            a("down", "Slice before", lambda: self.step(-1), "<Down>"),
            a("default", "Slice back to the middle", self.default, "o"),
            a("remove", "Remove the selected particles", self.remove, "<Delete>"),
            a("undo", "Undo", self.undo, "<Control-z>"),
            a("picture", "Save a picture", self.save, "<Control-p>"),
            a("close", "Close", self.close, "<Escape>"),
        ]

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
        self._down, self._moved = (int(event.num), event.x, event.y), False
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
        if button == 3 and self._moved:
            self.canvas.delete("rectangle")
            count = self.scene.pick_rectangle(*self._start, event.x, event.y, *size)
            self.say(f"{count_text(count, 'particle')} selected: Delete removes them.")
        elif button == 1 and not self._moved:
            found = self.scene.pick(
                event.x, event.y, *size, reach=theme.px(self, 8), add=bool(int(event.state) & CONTROL)
            )
            if found is not None:
                d = self.scene.data
                place = ", ".join(f"{v:.0f}" for v in d.points[found])
                self.say(
                    f"Particle {found + 1}: x, y, z {place}; group {d.groups[found]}; score {d.scores[found]:.3g}."
                )
            else:
                self.show_totals()
        self.redraw()

    def _wheel(self, event: "tk.Event[Any]", by: int) -> None:
        if int(event.state) & CONTROL:
            self.step(by)
        else:
            self.scene.zoom(1.12**by)
            self.redraw(moving=True)

    # --- what keys and buttons do ---

    def look(self, name: str) -> None:
        """Look along an axis."""
        self.scene.view(name)
        self.redraw()

    def step(self, by: int) -> None:
        """Move the slice."""
        self.scene.step(by)
        self.say(f"slice {'zyx'[self.scene.axis]} {self.scene.place[self.scene.axis]}")
        self.redraw()

    def default(self) -> None:
        """Slice back to the middle."""
        self.scene.reset()
        self.redraw()

    def _read(self, read: Callable[[], object], part: str) -> None:
        """Read what a part shows in a thread, and draw the part then."""

        def done(_: object) -> None:
            if self.winfo_exists():
                self.scene.make(part)
                self.redraw()

        self.app.work(lambda _: read(), done, self.say)

    def _show(self, part: str, on: bool) -> None:
        self.scene.show(part, on)
        self.redraw()

    def _recolour(self) -> None:
        self.scene.set_colour_by(self.colour.get())
        self.redraw()

    def _level(self, level: float) -> None:
        self.scene.level = level
        if self.scene.shown["surface"]:
            self.scene.make("surface")
            self.redraw()

    def remove(self) -> None:
        """Remove the selected particles."""
        count = self.scene.remove_selected()
        self.say(
            f"{count_text(count, 'particle')} removed; Ctrl+Z brings them back."
            if count
            else "Select particles first: click, or drag with the right button."
        )
        self.redraw()

    def undo(self) -> None:
        """Bring back what was removed last."""
        self.say("" if self.scene.undo() else "There is nothing to undo.")
        self.show_totals()
        self.redraw()

    def keep(self) -> None:
        """Make a new output of what is left."""
        if self._keep is not None:
            self._keep(self.scene.kept.copy())
            self.scene._undo.clear()
            self.say(
                f"{count_text(int(self.scene.kept.sum()), 'particle is', 'particles are')} being saved as a new output."
            )

    def save(self) -> None:
        """Write a picture."""
        path = choose_file(self, "Save picture", save="view.png")
        if path is not None:
            self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write what is shown as PNG."""
        Image.fromarray(self.scene.render(self.canvas.winfo_width(), self.canvas.winfo_height())).save(path)
        self.say(f"Picture written to {path}.")

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        self.message.configure(text=sentence)

    def show_totals(self) -> None:
        """Show the numbers."""
        total, kept = len(self.scene.kept), int(self.scene.kept.sum())
        self.say(f"{count_text(kept, 'particle')}" + (f" of {total}" if kept < total else "") if total else "")

    # --- drawing ---

    def redraw(self, *, moving: bool = False) -> None:
        """Draw soon; at half the resolution while something moves."""
        self._moving = moving
        if self._idle is None:
            self._idle = self.canvas.after_idle(self._draw)
        if moving:
            if self._still is not None:
                self.canvas.after_cancel(self._still)
            self._still = self.canvas.after(STILL, self.redraw)

    def _draw(self) -> None:
        self._idle = None
        w, h = self.canvas.winfo_width(), self.canvas.winfo_height()
        if w < 20 or h < 20:
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
        """Close; asks if particles were removed and not saved."""
        if self._keep is not None and self.scene._undo and not self.scene.kept.all():
            ask(
                self,
                "Save the selection?",
                f"{count_text(int((~self.scene.kept).sum()), 'particle was', 'particles were')} "
                f"removed. Save the {int(self.scene.kept.sum())} "
                "that are left as a new output?",
                [("Save", "success", call_all(self.keep, self.shut)), ("Forget", "secondary-outline", self.shut)],
            )
        else:
            self.shut()

    def shut(self) -> None:
        """Close without a question."""
        for waiting in (self._still, self._idle):
            if waiting is not None:
                self.canvas.after_cancel(waiting)
        self.scene.close()
        super().close()
