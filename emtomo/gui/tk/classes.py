"""Class averages: sort, select, average, and keep the selected ones."""

import tkinter as tk
from pathlib import Path
from typing import Any, cast

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.errors import EmtomoError
from emtomo.gui.core.actions import Action
from emtomo.gui.core.class_averages import (
    ClassSelection,
    list_iterations,
    picture_of,
    read_averages,
    read_iteration,
)
from emtomo.gui.core.gallery import GalleryPage, compose
from emtomo.gui.core.shown import Shown
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask, call_all
from emtomo.gui.tk.figurewindow import FigureWindow
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.selections import run_on_selection
from emtomo.gui.tk.window import Window
from emtomo.wording import count_text

SIDE, LEAST, MOST = 128, 48, 480
PARTICLES, PLACES = "Show particles of this class", "Show this class on the micrographs"
TEXT_FROM = 90  # pixels of a picture, below which labels would hide it


class ClassesWindow(Window):
    """Shows all class averages; clicks select."""

    def __init__(self, master: Any, shown: Shown) -> None:
        super().__init__(master, f"{shown.title} – class averages – emtomo", (980, 720), "classes")
        self.shown = shown
        self.classes = ClassSelection(shown.value.frame())
        self.images: np.ndarray | None = None
        self.side = theme.px(self, SIDE)
        self.sheet: GalleryPage | None = None
        self.saved: set[int] = set()
        self.pressed: int | None = None
        self.iterations: list[Path] = list_iterations(shown)
        self._photo: Any = None
        self._add_widgets()
        self._bind_events()
        follow(self, self.work(lambda _: read_averages(shown), self._read, self.say))

    def _add_widgets(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        for name, text, call in (
            ("all", "Select all", self.select_all),
            ("invert", "Invert selection", self.invert),
            ("average", "Average of selection", self.show_average),
        ):
            self.w[name] = ttk.Button(foot, text=text, bootstyle="secondary-outline", command=call)
            self.w[name].pack(side="left", padx=(0, gap))
        ttk.Label(foot, text="Sort by").pack(side="left", padx=(pad, gap))
        self.sort = ttk.Combobox(foot, values=self.classes.sorts(), state="readonly", width=18)
        self.sort.set("class distribution")
        self.sort.bind("<<ComboboxSelected>>", lambda _: self.sort_again())
        self.sort.pack(side="left")
        self.best = ttk.BooleanVar(self, True)
        ttk.Checkbutton(
            foot, text="best first", variable=self.best, bootstyle="round-toggle", command=self.sort_again
        ).pack(side="left", padx=pad)
        self.keep_button = ttk.Button(foot, text="Save selected classes", bootstyle="success", command=self.keep)
        self.keep_button.configure(state="disabled")
        self.keep_button.pack(side="right")
        above = ttk.Frame(self, padding=(pad, 0))
        above.pack(side="bottom", fill="x", after=foot)
        self.message = ttk.Label(above, text=self.classes.counts())
        self.message.pack(side="left", fill="x", expand=True)
        if len(self.iterations) > 1:
            last = len(self.iterations)
            self.slider = ttk.Scale(above, from_=1, to=last, value=last, length=theme.px(self, 160))
            self.slider.configure(command=lambda _: self._slide())
            self.slider.pack(side="right")
            self.iteration = ttk.Label(above, text=f"Iteration {last}")
            self.iteration.pack(side="right", padx=pad)
            self.w["slider"] = self.slider
        self.canvas = tk.Canvas(self, highlightthickness=0, background="#282828", takefocus=1)
        bar = ttk.Scrollbar(self, command=self.canvas.yview)
        self.canvas.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        self.menu = ttk.Menu(self, tearoff=False)
        for text, call in (
            ("Select all", self.select_all),
            ("Invert selection", self.invert),
            ("Show average of selection", self.show_average),
            ("Save selected classes", self.keep),
        ):
            self.menu.add_command(label=text, command=call)
        self.w |= {"canvas": self.canvas, "sort": self.sort, "message": self.message, "keep": self.keep_button}
        self.menu.add_separator()
        for text, tab in ((PARTICLES, "gallery"), (PLACES, "slices")):
            self.menu.add_command(label=text, command=lambda t=tab: self.show_particles(t))  # type: ignore[misc]
        self.under: int | None = None
        self.w["menu"] = self.menu

    def _bind_events(self) -> None:
        self.canvas.bind("<Configure>", lambda _: self.redraw())
        self.canvas.bind("<ButtonPress-1>", self._press)
        self.canvas.bind("<B1-Motion>", self._drag)
        self.canvas.bind("<ButtonRelease-1>", self._release)
        self.canvas.bind("<Button-3>", self._popup)
        self.canvas.bind("<Button-4>", lambda e: self.resize(1.25) if int(e.state) & 4 else self._scroll(-1))
        self.canvas.bind("<Button-5>", lambda e: self.resize(0.8) if int(e.state) & 4 else self._scroll(1))
        self.bind_actions(
            [
                Action("all", "Select all", self.select_all, "<Control-a>"),
                Action("invert", "Invert selection", self.invert, "<i>"),
                Action("clear", "Select none", self.clear, "<Control-n>"),
                Action("average", "Show average of selection", self.show_average, "<a>"),
                Action("larger", "Larger pictures", lambda: self.resize(1.25), "<plus> <equal>"),
                Action("smaller", "Smaller pictures", lambda: self.resize(0.8), "<minus>"),
                Action("keep", "Save selected classes", self.keep, "<Control-s>"),
                Action("close", "Close", self.close, "<Escape>"),
            ],
            [
                ("Left click", "select a class, or take it back"),
                ("Left drag", "select a range"),
                ("Right click", "menu; particles of the class, and where they lie"),
                ("Wheel", "scroll"),
                ("Ctrl+Wheel", "size"),
            ],
        )

    def _read(self, images: np.ndarray) -> None:
        if self.winfo_exists():
            self.images = images
            self.redraw()

    # --- drawing ---

    def redraw(self) -> None:
        """Compose all averages in their order."""
        if self.images is None or not len(self.images):
            return
        width = max(self.canvas.winfo_width(), self.side + 8)
        self.sheet = compose([self.images[row] for row in self.classes.order], self.side, width)
        self._photo = ImageTk.PhotoImage(Image.fromarray(self.sheet.picture), master=self.canvas)
        self.canvas.itemconfigure(self._item, image=self._photo)
        self.canvas.configure(scrollregion=(0, 0, width, self.sheet.picture.shape[0]))
        self._mark()

    def _mark(self) -> None:
        """Label the classes and frame the selected ones; say how many they are."""
        self.canvas.delete("mark")
        assert self.sheet is not None
        for place, row in enumerate(self.classes.order):
            left, top, right, bottom = self.sheet.box(place)
            if self.side >= theme.px(self, TEXT_FROM):
                self.canvas.create_text(
                    left + 3, bottom - 2, text=self.classes.label(int(row)), anchor="sw", fill="#ffd24d",
                    font=("TkDefaultFont", 7), tags="mark",
                )  # fmt: skip
            if int(row) in self.classes.selected:
                frame = (left + 1, top + 1, right - 1, bottom - 1)
                self.canvas.create_rectangle(*frame, outline=theme.ACTIVE_FRAME, width=3, tags="mark")
        self.keep_button.configure(state="normal" if self.classes.selected else "disabled")
        self.say(self.classes.counts())

    def say(self, text: str) -> None:
        """Show a sentence; the project window shows it once this one is closed."""
        if self.winfo_exists():
            self.message.configure(text=text)
        else:
            self.app.say(text)

    def sort_again(self) -> None:
        """Sort by the chosen column."""
        self.classes.sort(self.sort.get(), self.best.get())
        self.redraw()

    def resize(self, factor: float) -> None:
        """Make pictures larger or smaller."""
        self.side = int(min(max(self.side * factor, LEAST), MOST))
        self.redraw()

    def _scroll(self, by: int) -> None:
        self.canvas.yview_scroll(3 * by, "units")

    def _slide(self) -> None:
        k = min(max(round(self.slider.get()), 1), len(self.iterations))
        text = f"Iteration {k}"
        if self.iteration.cget("text") == text:
            return
        self.iteration.configure(text=text)
        last, path, shown = k == len(self.iterations), self.iterations[k - 1], self.shown
        reading = self.work(lambda _: read_averages(shown) if last else read_iteration(path), self._read, self.say)
        follow(self, reading)

    # --- selecting ---

    def _at(self, event: "tk.Event[Any]") -> int | None:
        """Return the place of the class under the pointer."""
        if self.sheet is None:
            return None
        return self.sheet.at(self.canvas.canvasx(event.x), self.canvas.canvasy(event.y))

    def _popup(self, event: "tk.Event[Any]") -> None:
        """Show the menu; what it says of one class is about that under the pointer."""
        place = self._at(event)
        self.under = int(self.classes.order[place]) if place is not None else None
        for text in (PARTICLES, PLACES):
            self.menu.entryconfigure(text, state="normal" if self._particles() is not None else "disabled")
        self.menu.tk_popup(event.x_root, event.y_root)

    def _particles(self) -> Any:
        """Return the particles of the run that made the classes; None if there are none, or no class is meant."""
        host: Any = self.app
        found = host.output_named(f"{self.shown.run}.particles") if hasattr(host, "output_named") else None
        return found if self.under is not None and found is not None and not found.pending else None

    def show_particles(self, tab: str) -> None:
        """Show the particles of the class under the pointer in the browser: their images, or where they lie."""
        output, host, row = self._particles(), self.app, self.under
        if output is None or row is None:
            return
        number = int(self.classes.frame["class_number"].iloc[row])

        def choose(window: Any) -> None:
            """Show the particles of this class only, in the tab that was asked for."""
            self.w["browser"] = window
            window.condition.insert(0, f"class_number = {number}")
            window.apply()
            if tab in window.panes:
                window.show_tab(tab)
            else:
                window.say("Where they lie is not known: their micrographs are not in this project.")

        cast(ProjectHost, host).view(output, None, choose)

    def _press(self, event: "tk.Event[Any]") -> None:
        self.canvas.focus_set()
        self.pressed = None if self.only_raises() else self._at(event)

    def _drag(self, event: "tk.Event[Any]") -> None:
        self.canvas.delete("range")
        there = self._at(event)
        if self.pressed is None or there is None or there == self.pressed or self.sheet is None:
            return
        low, high = sorted((self.pressed, there))
        for place in range(low, high + 1):
            box = self.sheet.box(place)
            self.canvas.create_rectangle(*box, outline=theme.ACTIVE_FRAME, dash=(4, 3), width=2, tags="range")

    def _release(self, event: "tk.Event[Any]") -> None:
        self.canvas.delete("range")
        there = self._at(event)
        if self.pressed is None or there is None:
            return
        if there == self.pressed:
            self.classes.toggle(int(self.classes.order[there]))
        else:
            self.classes.select_range(self.pressed, there)
        self.pressed = None
        self._mark()

    def select_all(self) -> None:
        """Select every class."""
        self.classes.select_all()
        self._mark()

    def clear(self) -> None:
        """Select none."""
        self.classes.clear()
        self._mark()

    def invert(self) -> None:
        """Select the others."""
        self.classes.invert()
        self._mark()

    def show_average(self) -> None:
        """Show the average of the selected classes in a window of its own."""
        try:
            assert self.images is not None
            average, title = self.classes.average(self.images), self.classes.counts()
        except EmtomoError as error:
            self.say(str(error))
            return
        name = f"average of selection – {self.shown.title} – emtomo"
        self.w["average window"] = FigureWindow(self, name, lambda: picture_of(average, title))

    # --- keeping ---

    def keep(self) -> None:
        """Run select-classes on the selected classes."""
        if not self.classes.selected:
            self.say("Select classes first: click them.")
            return
        self.saved = set(self.classes.selected)
        ids, shown = self.classes.ids(), self.shown
        given = {"classes": f"{shown.run}.{shown.name}", "min_particles": "0"}
        label = f"classes selected from {shown.label}"
        what = f"{count_text(len(ids), 'class')}"
        run_on_selection(self.app, shown, ids - 1, ("select-classes", "selection", given), label, what, self.say)

    def close(self) -> None:
        """Close; asks if classes were selected and not saved."""
        if self.classes.selected == self.saved:
            self.shut()
            return
        self.w["question"] = ask(
            self,
            "Save the selection?",
            f"{self.classes.counts()} Save them as a new output?",
            [
                ("Save", "success", call_all(self.keep, self.shut)),
                ("Forget", "danger-outline", self.shut),
                ("Stay", "secondary-outline", lambda: None),
            ],
        )

    def shut(self) -> None:
        """Close without a question."""
        super().close()
