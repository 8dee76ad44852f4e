"""Subtomograms or images of particles side by side, page by page: 100,000 are no more work than a hundred."""

import tkinter as tk
from typing import Any

import numpy as np
import pandas as pd
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.background import Task
from emtomo.gui.core.gallery import Sheet, compose
from emtomo.gui.core.output_volumes import load_box
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask, call_all
from emtomo.gui.tk.window import Window
from emtomo.io import mrc
from emtomo.wording import count_text

SIDE, LEAST, MOST = 84, 40, 320
SORTS = ("score", "group", "class_number", "half", "gain", "certainty", "defocus_u")
SHOWN = ("tomogram_id", "micrograph_id", "x", "y", "z")


class GalleryWindow(Window):
    """Shows the middle slab of every box, or the images of particles."""

    def __init__(self, master: Any, shown: Shown) -> None:
        super().__init__(master, f"{shown.title} – gallery – emtomo", (980, 700), "gallery")
        self.shown = shown
        known = {field.name for field in shown.value.ITEM_TYPE.FIELDS}
        self.flat = "micrograph_id" in known
        self._sorts = [name for name in SORTS if name in known]
        self._columns = ["file", "index", *self._sorts, *(name for name in SHOWN if name in known)]
        self.frame_now = pd.DataFrame()
        self.first = 0
        self.side = theme.px(self, SIDE)
        self.sheet: Sheet | None = None
        self._photo: Any = None
        self._task: Task | None = None
        self._again = False
        self.chosen: int | None = None
        self.out: set[int] = set()
        self.saved_out: set[int] = set()
        self.orders: np.ndarray = np.zeros(0, int)
        self._make_foot()
        self.canvas = tk.Canvas(self, highlightthickness=0, background="#282828", takefocus=1)
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        self.canvas.bind("<Configure>", lambda _: self.redraw())
        self.canvas.bind("<Button-1>", self._press)
        self.canvas.bind("<Double-Button-1>", lambda _: self.open_chosen())
        self.canvas.bind("<Button-3>", self._press_out)
        self.canvas.bind("<Button-4>", lambda e: self.resize(1.25) if int(e.state) & 4 else self.turn(-1))
        self.canvas.bind("<Button-5>", lambda e: self.resize(0.8) if int(e.state) & 4 else self.turn(1))
        self.w |= {"canvas": self.canvas, "sort": self.sort, "message": self.message}
        self.bind_actions(
            [
                Action("next", "Next page", lambda: self.turn(1), "<Next> <Right>"),
                Action("back", "Page before", lambda: self.turn(-1), "<Prior> <Left>"),
                Action("larger", "Larger pictures", lambda: self.resize(1.25), "<plus> <equal>"),
                Action("smaller", "Smaller pictures", lambda: self.resize(0.8), "<minus>"),
                Action("leave-out", "Leave the framed particle out, or take it back", self.leave_out, "<Delete> <x>"),
                Action("invert", "Leave out those that are left, and take the others back", self.invert, "<i>"),
                Action("average", "Show the average of those that are left", self.show_average, "<a>"),
                Action("keep", "Save those that are left as a new output", self.keep, "<Control-s>"),
                Action("close", "Close", self.close, "<Escape>"),
            ],
            [
                ("Left click", "what is known of the particle"),
                ("Right click", "leave it out, or take it back"),
                ("Double click", "its slices"),
                ("Wheel", "page"),
                ("Ctrl+Wheel", "size"),
            ],
        )
        self.app.work(lambda _: shown.value.frame(self._columns), self._read, lambda s: self.message.configure(text=s))

    def _make_foot(self) -> None:
        """Make the buttons and the line of words below the pictures."""
        pad = theme.px(self, theme.PAD)
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        buttons: tuple[tuple[str, str, Any], ...] = (
            ("back", "‹ Page", lambda: self.turn(-1)),
            ("next", "Page ›", lambda: self.turn(1)),
            ("smaller", "–", lambda: self.resize(0.8)),
            ("larger", "+", lambda: self.resize(1.25)),
        )
        self._add_buttons(foot, buttons)
        ttk.Label(foot, text="Sort by").pack(side="left", padx=(pad, theme.px(self, theme.GAP)))
        self.sort = ttk.Combobox(foot, values=["order", *self._sorts], state="readonly", width=13)
        self.sort.set("order")
        self.sort.pack(side="left")
        self.down = ttk.BooleanVar(self, True)
        ttk.Checkbutton(
            foot, text="largest first", variable=self.down, bootstyle="round-toggle", command=self.sort_again
        ).pack(side="left", padx=pad)
        self.sort.bind("<<ComboboxSelected>>", lambda _: self.sort_again())
        self.axis = ttk.Combobox(foot, values=["xy", "xz", "yz"], state="readonly", width=5)
        self.axis.set("xy")
        self.axis.bind("<<ComboboxSelected>>", lambda _: self.redraw())
        if not self.flat:
            self.axis.pack(side="left")
        more = ("invert", "Invert selection", self.invert), ("average", "Show average", self.show_average)
        self._add_buttons(foot, more)
        self.message = ttk.Label(self, text="", padding=(pad, 0))
        self.keep_button = ttk.Button(foot, text="Save as new output", bootstyle="success", command=self.keep)
        self.keep_button.pack(side="right")
        self.keep_button.configure(state="disabled")
        self.w["keep"] = self.keep_button
        self.message.pack(side="bottom", fill="x", after=foot)

    def _add_buttons(self, foot: Any, buttons: tuple[tuple[str, str, Any], ...]) -> None:
        for name, text, call in buttons:
            self.w[name] = ttk.Button(foot, text=text, bootstyle="secondary-outline", command=call)
            self.w[name].pack(side="left", padx=(0, theme.px(self, theme.GAP)))

    def _read(self, frame: pd.DataFrame) -> None:
        if self.winfo_exists():
            self.frame_now, self.orders = frame, np.arange(len(frame))
            self.redraw()

    def sort_again(self) -> None:
        """Sort by the chosen column."""
        key = self.sort.get()
        values = np.arange(len(self.frame_now)) if key == "order" else self.frame_now[key].to_numpy(float)
        order = np.argsort(values, kind="stable")
        self.orders = order[::-1] if self.down.get() and key != "order" else order
        self.first = 0
        self.redraw()

    def per_page(self) -> int:
        """Return how many pictures fit."""
        step = self.side + 4
        return max(1, self.canvas.winfo_width() // step) * max(1, self.canvas.winfo_height() // step)

    def turn(self, by: int) -> None:
        """Go to another page."""
        count = self.per_page()
        last = max(0, (len(self.orders) - 1) // count * count)
        self.first = min(max(self.first + by * count, 0), last)
        self.redraw()

    def resize(self, factor: float) -> None:
        """Make pictures larger or smaller."""
        self.side = int(min(max(self.side * factor, LEAST), MOST))
        self.redraw()

    def redraw(self) -> None:
        """Cut and compose the page in a thread."""
        if not len(self.frame_now):
            return
        if self._task is not None and self._task.thread.is_alive():
            self._again = True
            return
        index = self.orders[self.first : self.first + self.per_page()]
        rows = self.frame_now.iloc[index]
        size, axis = int(self.shown.value.box_size.get()), {"xy": 0, "xz": 1, "yz": 2}[self.axis.get()]
        side, width, shown, flat = self.side, self.canvas.winfo_width(), self.shown, self.flat

        def work(_: Task) -> Sheet:
            return compose(
                [
                    image_of(shown, f, int(k)) if flat else middle(shown, f, int(k), size, axis)
                    for f, k in zip(rows["file"], rows["index"], strict=True)
                ],
                side,
                width,
            )

        self._task = self.app.work(work, self._show, lambda s: self.message.configure(text=s))

    def _show(self, sheet: Sheet) -> None:
        if not self.winfo_exists():
            return
        self.sheet = sheet
        self._photo = ImageTk.PhotoImage(Image.fromarray(sheet.picture), master=self.canvas)
        self.canvas.itemconfigure(self._item, image=self._photo)
        last = min(self.first + self.per_page(), len(self.orders))
        self.message.configure(text=f"{self.first + 1} to {last} of {len(self.orders)}")
        self._frame()
        self._task = None
        if self._again:
            self._again = False
            self.redraw()

    def _press(self, event: "tk.Event[Any]") -> None:
        self.canvas.focus_set()
        k = self.sheet.at(event.x, event.y) if self.sheet is not None else None
        self.chosen = int(self.orders[self.first + k]) if k is not None else None
        if self.chosen is not None:
            self.message.configure(text=self._describe(self.chosen))
        self._frame()

    def _describe(self, number: int) -> str:
        """Return what is known of a particle."""
        row = self.frame_now.iloc[number]
        where = row["micrograph_id" if self.flat else "tomogram_id"]
        values = ", ".join(f"{name.replace('_', ' ')} {row[name]:.4g}" for name in self._sorts if pd.notna(row[name]))
        axes = [axis for axis in "xyz" if axis in self.frame_now]
        places = ", ".join(f"{row[axis]:.0f}" for axis in axes)
        return f"Particle {number + 1} of {where}: {values}; {', '.join(axes)} {places} Å"

    def _press_out(self, event: "tk.Event[Any]") -> None:
        self._press(event)
        self.leave_out()

    def leave_out(self) -> None:
        """Leave the framed particle out of the new output, or take it back."""
        if self.chosen is None:
            self.message.configure(text="Click a particle first.")
            return
        self.out ^= {self.chosen}
        self._count_left()

    def invert(self) -> None:
        """Leave out those that are left, and take the others back."""
        self.out = set(range(len(self.frame_now))) - self.out
        self._count_left()

    def _count_left(self) -> None:
        some = 0 < len(self.out) < len(self.frame_now)
        self.keep_button.configure(state="normal" if some else "disabled")
        self.message.configure(text=f"{len(self.frame_now) - len(self.out)} of {len(self.frame_now)} are left.")
        self._frame()

    def show_average(self) -> None:
        """Show the mean of the particles that are left, as they lie in their boxes."""
        from emtomo.gui.tk.slicewindow import SliceWindow

        left = [k for k in range(len(self.frame_now)) if k not in self.out]
        if not left:
            self.message.configure(text="All particles are left out: there is nothing to average.")
            return
        rows, shown, depth = (
            self.frame_now.iloc[left],
            self.shown,
            1 if self.flat else int(self.shown.value.box_size.get()),
        )
        self.message.configure(text=f"Averaging {count_text(len(left), 'particle')} …")

        def show(source: VolumeSource) -> None:
            if self.winfo_exists():
                self.message.configure(text=f"Average of {count_text(len(left), 'particle')}, not aligned.")
                title = f"average of {len(left)} – {shown.title} – emtomo"
                self.w["mean"] = SliceWindow(self, source, title, float(shown.value.pixel_size.get()))

        self.app.work(lambda _: mean_of(shown, rows, depth), show, lambda s: self.message.configure(text=s))

    def keep(self) -> None:
        """Make a new output of the particles that are left."""
        from emtomo.gui.tk.setslices import leave_out

        if not 0 < len(self.out) < len(self.frame_now):
            self.message.configure(text="Leave some particles out first: right click, or Delete.")
            return
        self.saved_out = set(self.out)
        leave_out(self.app, self.shown, np.array(sorted(self.out)), self.say)

    def say(self, text: str) -> None:
        """Show a sentence; the project window shows it once this one is closed."""
        if self.winfo_exists():
            self.message.configure(text=text)
        else:
            self.app.say(text)

    def _frame(self) -> None:
        """Frame the chosen picture, and cross those that are left out."""
        self.canvas.delete("chosen")
        if self.sheet is None:
            return
        for k, number in enumerate(self.orders[self.first : self.first + self.sheet.count]):
            box = self.sheet.box(k)
            if int(number) in self.out:
                for line in (box, (box[0], box[3], box[2], box[1])):
                    self.canvas.create_line(*line, fill=theme.LEFT_OUT, width=2, tags="chosen")
            if number == self.chosen:
                self.canvas.create_rectangle(*box, outline=theme.ACTIVE_FRAME, width=2, tags="chosen")

    def open_chosen(self) -> None:
        """Show the slices of the chosen box."""
        from emtomo.gui.tk.slicewindow import SliceWindow

        if self.chosen is None:
            return
        row, number = self.frame_now.iloc[self.chosen], self.chosen + 1
        title, size = f"particle {number} – {self.shown.title} – emtomo", float(self.shown.value.pixel_size.get())

        def show(source: VolumeSource) -> None:
            if self.winfo_exists():
                self.w["box"] = SliceWindow(self, source, title, size)

        def load(_: Task) -> VolumeSource:
            if self.flat:
                return VolumeSource(self.shown.path(str(row["file"])), int(row["index"]), 1)
            return load_box(self.shown, str(row["file"]), int(row["index"]))

        self.app.work(load, show)

    def close(self) -> None:
        """Close; asks if particles were left out and not saved."""
        if self.out != self.saved_out:
            self.w["question"] = ask(
                self,
                "Save the selection?",
                f"{count_text(len(self.out), 'particle is', 'particles are')} left out. "
                f"Save the {count_text(len(self.frame_now) - len(self.out), 'other')} as a "
                "new output?",
                [
                    ("Save", "success", call_all(self.keep, self.shut)),
                    ("Forget", "danger-outline", self.shut),
                    ("Stay", "secondary-outline", lambda: None),
                ],
            )
        else:
            self.shut()

    def shut(self) -> None:
        """Close without a question."""
        if self._task is not None:
            self._task.cancel()
        super().close()


def middle(shown: Shown, file: str, index: int, size: int, axis: int) -> np.ndarray:
    """Return the mean of the middle three slices of a box."""
    box = mrc.open_volume(shown.path(file)).reshape(-1, size, size, size)[index]
    part = slice(max(0, size // 2 - 1), size // 2 + 2)
    chosen = box[part] if axis == 0 else box[:, part] if axis == 1 else box[:, :, part]
    return np.asarray(chosen, np.float32).mean(axis=axis)


def image_of(shown: Shown, file: str, index: int) -> np.ndarray:
    """Return one image of a stack."""
    return np.asarray(mrc.open_volume(shown.path(file))[index], np.float32)


def mean_of(shown: Shown, rows: pd.DataFrame, depth: int) -> VolumeSource:
    """Return the mean of boxes of `depth` slices, as they are."""
    total: np.ndarray | None = None
    for file, part in rows.groupby("file", sort=False)["index"]:
        stack = mrc.open_volume(shown.path(str(file)))
        for k in part.astype(int):
            box = np.asarray(stack[k * depth : (k + 1) * depth], np.float64)
            total = box if total is None else total + box
    assert total is not None
    mean = (total / len(rows)).astype(np.float32)
    return VolumeSource(shown.path(str(rows["file"].iloc[0])), data=mean)
