"""The 3D view of models, volumes and picks: turned, sliced, points hidden; drawn off-screen, shown as a picture."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk
from PIL import Image

from emtomo.gui.core.actions import Action
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData, SecondMap
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.scenecanvas import MOUSE, SceneCanvas
from emtomo.gui.tk.window import Window, tip
from emtomo.wording import count_text

SIDE = 236
NO_MAP = "none"
Load = Callable[[Callable[[SecondMap], object], Callable[[str], object]], object]


class View3D(Window):
    """Shows a scene.

    Parameters
    ----------
    master : widget
    data : SceneData
    title : str

    others : mapping of str to callable
        Volumes that can be shown in the same place, by name; each is read and then passed on.

    Raises
    ------
    EmtomoError
        If there is no OpenGL.
    """

    def __init__(self, master: Any, data: SceneData, title: str, others: Mapping[str, Load] | None = None) -> None:
        self.others = dict(others or {})
        self.scene = Scene(data)
        super().__init__(master, title, (1060, 760), "view3d")
        self._side()
        self.view = SceneCanvas(self, self.scene, self._picked, self._framed, self._slice_moved, self.say)
        self.canvas = self.view.canvas
        self.view.pack(side="left", fill="both", expand=True)
        self.bind_actions(self._table(), MOUSE)
        self.w["canvas"] = self.canvas

    def _side(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        side = ttk.ScrolledFrame(self, padding=pad, auto_hide=False, width=theme.px(self, SIDE), height=100)
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
        if self.others:
            self._add_others(box, gap)
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
            ("remove", "Hide selected", self.remove, "Do not draw the selected points (Delete)"),
            ("undo", "Undo", self.undo, "Bring them back (Ctrl+Z)"),
            ("picture", "Save picture", self.save, "PNG of this view (Ctrl+P)"),
        ):
            button = ttk.Button(box, text=text, bootstyle="secondary-outline", command=call)
            button.pack(fill="x", pady=theme.px(self, 2))
            tip(button, message)
            self.w[name] = button
        self.message.pack(fill="x", pady=(pad, 0))
        self.w |= {"colour": self.colour, "message": self.message}
        self.show_totals()

    def _add_others(self, box: Any, gap: int) -> None:
        """Add the choice of a second map, and the level of its isosurface."""
        ttk.Label(box, text="Second map").pack(anchor="w", pady=(gap, 0))
        self.other = ttk.Combobox(box, values=[NO_MAP, *self.others], state="readonly", width=24)
        self.other.set(NO_MAP)
        self.other.bind("<<ComboboxSelected>>", lambda _: self.compare(self.other.get()))
        self.other.pack(fill="x")
        self.second_level = ttk.Scale(box, from_=0, to=1, command=lambda v: self._level_second(float(v)))
        self.second_level.configure(state="disabled")
        self.second_level.pack(fill="x", pady=gap)
        tip(self.second_level, "Grey value of the second map's isosurface")
        self.w |= {"other": self.other, "second level": self.second_level}

    def compare(self, name: str) -> None:
        """Show another volume of the project in the same place, or none."""
        if name not in self.others:
            self.scene.compare(None)
            self.second_level.configure(state="disabled")
            self.redraw()
            return
        self.say(f"Reading {name} …")
        self.others[name](self._take_second, self.say)

    def _take_second(self, second: SecondMap) -> None:
        if not self.winfo_exists():
            second.source.close()
            return
        low, high = second.source.limits if second.white else tuple(-v for v in reversed(second.source.limits))
        second.level = high
        self.second_level.configure(from_=low, to=high + (high - low), state="normal")
        self.second_level.set(high)
        self.scene.compare(second)
        self.say("")
        self.redraw()

    def _level_second(self, level: float) -> None:
        if self.scene.data.second is not None and str(self.second_level.cget("state")) == "normal":
            self.scene.data.second.level = level
            self.scene.make("second")
            self.redraw()

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
            a("remove", "Hide the selected points", self.remove, "<Delete>"),
            a("undo", "Undo", self.undo, "<Control-z>"),
            a("picture", "Save a picture", self.save, "<Control-p>"),
            a("close", "Close", self.close, "<Escape>"),
        ]

    # --- the mouse ---

    def _framed(self, count: int, add: bool) -> None:
        self.say(f"{count_text(count, 'point')} selected: Delete hides them.")

    def _picked(self, found: int | None, add: bool) -> None:
        if found is None:
            self.show_totals()
            return
        d = self.scene.data
        place = ", ".join(f"{v:.0f}" for v in d.points[found])
        self.say(f"Particle {found + 1}: x, y, z {place}; group {d.groups[found]}; score {d.scores[found]:.3g}.")

    def _slice_moved(self) -> None:
        self.say(f"slice {'zyx'[self.scene.axis]} {self.scene.place[self.scene.axis]}")

    # --- what keys and buttons do ---

    def look(self, name: str) -> None:
        """Look along an axis."""
        self.scene.view(name)
        self.redraw()

    def step(self, by: int) -> None:
        """Move the slice."""
        self.view.step(by)

    def default(self) -> None:
        """Slice back to the middle."""
        self.scene.reset()
        self.redraw()

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
        """Hide the selected points."""
        count = self.scene.remove_selected()
        self.say(
            f"{count_text(count, 'point')} hidden; Ctrl+Z brings them back."
            if count
            else "Select points first: click, or drag with the right button."
        )
        self.redraw()

    def undo(self) -> None:
        """Bring back what was hidden last."""
        self.say("" if self.scene.undo() else "There is nothing to undo.")
        self.show_totals()
        self.redraw()

    def save(self) -> None:
        """Write a picture."""
        path = choose_file(self, "Save picture", save="view.png", kind="picture")
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

    def redraw(self) -> None:
        """Draw soon."""
        self.view.redraw()

    def close(self) -> None:
        """Close, and free the graphics memory."""
        self.view.close()
        super().close()
