"""The gallery of the particle browser: a page of pictures, cut and composed in a thread."""

import tkinter as tk
from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.background import Task
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_columns import rgb_hex
from emtomo.gui.core.browser_images import Look, ParticlePictures
from emtomo.gui.core.gallery import GalleryPage, compose
from emtomo.gui.tk import theme
from emtomo.gui.tk.browsertable import CONTROL, SHIFT
from emtomo.gui.tk.host import root_of
from emtomo.gui.tk.window import Flow, only_raises, tip

SIDE, LEAST, MOST = 84, 40, 320
TEXT_FROM = 56  # pixels of a picture, below which labels would hide it
NO_LABEL = "no label"
MOUSE = [
    ("Click a picture", "select it; with Ctrl one more, with Shift all up to it"),
    ("Right click on a picture", "select it too, or take it back"),
    ("Double click on a picture", "where it lies"),
    ("Wheel, Ctrl+Wheel", "page; size of the pictures"),
]


class BrowserGallery(ttk.Frame):
    """Shows pictures of the rows of a :class:`ParticleBrowser` in their order."""

    def __init__(
        self, master: tk.Misc, browser: ParticleBrowser, images: ParticlePictures, where: Callable[[], object],
        say: Callable[[str], object],
    ) -> None:  # fmt: skip
        super().__init__(master)
        self.browser, self.images, self._where, self._say = browser, images, where, say
        self.first = 0
        self.side = theme.px(self, SIDE)
        self.sheet: GalleryPage | None = None
        self._photo: Any = None
        self._task: Task | None = None
        self._again = False
        self._make_head()
        self.canvas = tk.Canvas(self, highlightthickness=0, background="#282828", takefocus=1)
        self.canvas.pack(fill="both", expand=True)
        self._item = self.canvas.create_image(0, 0, anchor="nw")
        c = self.canvas
        c.bind("<Configure>", lambda _: self.redraw())
        c.bind("<Button-1>", self._press)
        c.bind("<Double-Button-1>", lambda _: where())
        c.bind("<Button-3>", lambda e: self._press(e, add=True))
        c.bind("<Button-4>", lambda e: self.resize(1.25) if int(e.state) & CONTROL else self.turn(-1))
        c.bind("<Button-5>", lambda e: self.resize(0.8) if int(e.state) & CONTROL else self.turn(1))
        for key, by in (("Prior", -1), ("Next", 1)):
            c.bind(f"<{key}>", lambda _, b=by: self.turn(b))  # type: ignore[misc]
        browser.listeners.append(self._changed)

    def _make_head(self) -> None:
        gap = theme.px(self, theme.GAP)
        head = Flow(self)
        head.pack(fill="x")
        self.w: dict[str, Any] = {}
        for name, text, call in (
            ("back", "‹", lambda: self.turn(-1)),
            ("next", "›", lambda: self.turn(1)),
            ("smaller", "–", lambda: self.resize(0.8)),
            ("larger", "+", lambda: self.resize(1.25)),
        ):
            button = ttk.Button(head, text=text, width=2, bootstyle="secondary-outline", command=call)
            button.pack(side="left", padx=(0, gap))
            self.w[name] = button
        self.axis = ttk.Combobox(head, values=["xy", "xz", "yz"], state="readonly", width=4)
        self.axis.set("xy")
        self.slab = ttk.Spinbox(head, from_=0, to=999, increment=2, width=4, command=self.redraw)
        self.slab.set("3")
        if not self.images.flat:
            self.axis.pack(side="left", padx=(0, gap))
            self._field(head, "Slab", self.slab, "Slices that are averaged about the middle; 0 averages all")
        self.lowpass = ttk.Spinbox(head, from_=0, to=999, increment=5, width=5, command=self.redraw)
        self.lowpass.set("0")
        self._field(head, "Low-pass (Å)", self.lowpass, "Takes away what is finer; 0 leaves pictures as they are")
        self.label = ttk.Combobox(head, values=[NO_LABEL, *self.browser.columns], state="readonly", width=13)
        self.label.set("score" if self.browser.varies("score") else NO_LABEL)
        self.label.pack(side="left")
        tip(self.label, "What stands below each picture")
        self.axis.bind("<<ComboboxSelected>>", lambda _: self.redraw())
        self.label.bind("<<ComboboxSelected>>", lambda _: self._mark())
        self.range_label = ttk.Label(head, text="")
        self.range_label.pack(side="left")

    def _field(self, head: Any, text: str, box: Any, help_: str) -> None:
        ttk.Label(head, text=text).pack(side="left")
        box.pack(side="left", padx=(theme.px(self, theme.GAP), theme.px(self, theme.PAD)))
        box.bind("<Return>", lambda _: self.redraw())
        tip(box, help_)

    @property
    def look(self) -> Look:
        """How pictures are made now; what is no number counts as 0."""

        def number(text: str) -> float:
            """Return the number that was typed; 0 when it is none."""
            try:
                return max(0.0, float(text))
            except ValueError:
                return 0.0

        return Look(self.axis.get(), int(number(self.slab.get())), number(self.lowpass.get()))

    def appear(self) -> None:
        """Draw what is shown now that this is seen."""
        self.redraw()

    def per_page(self) -> int:
        """Return how many pictures fit."""
        step = self.side + 4
        return max(1, self.canvas.winfo_width() // step) * max(1, self.canvas.winfo_height() // step)

    def turn(self, by: int) -> None:
        """Go to another page."""
        count = self.per_page()
        last = max(0, (len(self.browser.rows) - 1) // count * count)
        self.first = min(max(self.first + by * count, 0), last)
        self.redraw()

    def resize(self, factor: float) -> None:
        """Make pictures larger or smaller."""
        self.side = int(min(max(self.side * factor, LEAST), MOST))
        self.redraw()

    def _changed(self, what: str) -> None:
        if what == "rows":
            self.first = 0
            self.redraw()
        elif what == "current" and self.browser.current is not None:
            place, count = self.browser.place_of(self.browser.current), self.per_page()
            if place is not None and not self.first <= place < self.first + count:
                self.first = place // count * count
                self.redraw()
            self._mark()
        else:
            self._mark()

    # --- drawing ---

    def redraw(self) -> None:
        """Cut and compose the page in a thread; while one is made, only the last wish is kept."""
        if not self.winfo_ismapped():
            return
        if self._task is not None and self._task.thread.is_alive():
            self._again = True
            return
        first, look, images = self.first, self.look, self.images
        rows = self.browser.rows[first : first + self.per_page()]
        side, width = self.side, self.canvas.winfo_width()

        def work(_: Task) -> tuple[int, GalleryPage]:
            """Return the first row and the sheet of pictures, drawn outside of the window's thread."""
            return first, compose([images.picture(int(row), look) for row in rows], side, width)

        self._task = root_of(self).work(work, self._show, self._failed)

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            self._say(sentence)

    def _show(self, made: tuple[int, GalleryPage]) -> None:
        if not self.winfo_exists():
            return
        first, self.sheet = made
        self._photo = ImageTk.PhotoImage(Image.fromarray(self.sheet.picture), master=self.canvas)
        self.canvas.itemconfigure(self._item, image=self._photo)
        total = len(self.browser.rows)
        self.range_label.configure(text=f"{min(first + 1, total)} to {min(first + self.sheet.count, total)} of {total}")
        self._mark()
        self._task = None
        if self._again:
            self._again = False
            self.redraw()

    def _mark(self) -> None:
        """Frame selected pictures and the current one; label them; a corner has the colour of the chosen column."""
        c = self.canvas
        c.delete("mark")
        if self.sheet is None:
            return
        browser, label = self.browser, self.label.get()
        corner = max(3, self.side // 10)
        for k, row in enumerate(browser.rows[self.first : self.first + self.sheet.count]):
            left, top, right, bottom = self.sheet.box(k)
            if browser.colour_by:
                tint = rgb_hex(browser.colouring.rgb[row])
                c.create_rectangle(left, top, left + corner, top + corner, fill=tint, outline="", tags="mark")
            if label in browser.columns and self.side >= theme.px(self, TEXT_FROM):
                value = browser.table[label].iat[row]
                text = f"{value:.4g}" if isinstance(value, float) else str(value)
                c.create_text(
                    left + 3, bottom - 2, text=text, anchor="sw", fill="#ffd24d", font=("TkDefaultFont", 7), tags="mark"
                )
            if browser.selected[row]:
                frame = (left + 1, top + 1, right - 1, bottom - 1)
                c.create_rectangle(*frame, outline=theme.ACTIVE_FRAME, width=3, tags="mark")
            if row == browser.current:
                c.create_rectangle(left - 1, top - 1, right + 1, bottom + 1, outline="#ffffff", tags="mark")

    def _press(self, event: "tk.Event[Any]", *, add: bool = False) -> None:
        self.canvas.focus_set()
        k = self.sheet.at(event.x, event.y) if self.sheet is not None and not only_raises(self) else None
        if k is None or self.first + k >= len(self.browser.rows):
            return
        state = int(event.state)
        row = int(self.browser.rows[self.first + k])
        self.browser.click(row, add=add or bool(state & CONTROL), extend=bool(state & SHIFT))

    def stop(self) -> None:
        """Forget what is being made."""
        if self._task is not None:
            self._task.cancel()
