"""Before and after, with a slider: what a filter or a threshold does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.gui.core.background import Task
from emtomo.gui.core.preview import Preview
from emtomo.gui.tk import theme
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.window import Window, wrap

SIDE = 420


class PreviewWindow(Window):
    """Shows a :class:`Preview`; Use gives the value to the form."""

    def __init__(self, master: Any, preview: Preview, use: Callable[[str], object]) -> None:
        super().__init__(master, f"{preview.title} – preview", (900, 600))
        self.preview = preview
        pad = theme.px(self, theme.PAD)
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        self.value = ttk.DoubleVar(self, min(max(preview.value, preview.low), preview.high))
        self.slider = ttk.Scale(
            foot, from_=preview.low, to=preview.high, variable=self.value, command=lambda _: self._moved()
        )
        self.slider.pack(side="left", fill="x", expand=True, padx=(0, pad))
        self.entry = ttk.Entry(foot, width=10)
        self.entry.pack(side="left")
        self.entry.bind("<Return>", lambda _: self._typed())
        ttk.Label(foot, text=preview.unit).pack(side="left", padx=pad)

        def accept() -> None:
            """Put the previewed value into the form."""
            if preview.usable:
                use(self._text())
            self.close()

        button = ttk.Button(foot, text="Use" if preview.usable else "Close", bootstyle="primary", command=accept)
        button.pack(side="left")
        if preview.low == preview.high:
            self.slider.configure(state="disabled")
            self.entry.configure(state="disabled")
        self.message = ttk.Label(self, text="", padding=pad)
        self.message.pack(side="bottom", fill="x")
        wrap(self.message)
        row = ttk.Frame(self, padding=pad)
        row.pack(fill="both", expand=True)
        self.images = [ttk.Label(row), ttk.Label(row)]
        for k, (label, title) in enumerate(zip(self.images, preview.titles, strict=True)):
            row.columnconfigure(k, weight=1)
            ttk.Label(row, text=title).grid(row=0, column=k)
            label.grid(row=1, column=k, padx=pad)
        self._photos: list[Any] = [None, None]
        self._task: Task | None = None
        self._waiting = False
        self.w |= {"slider": self.slider, "use": button, "entry": self.entry, "message": self.message}
        self.bind("<Escape>", lambda _: self.close())
        self._moved()

    def _text(self) -> str:
        value = self.value.get()
        return str(int(round(value))) if self.preview.whole else f"{value:.4g}"

    def _typed(self) -> None:
        try:
            self.value.set(min(max(float(self.entry.get()), self.preview.low), self.preview.high))
        except ValueError:
            self.message.configure(text=f"{self.entry.get()!r} is not a number.")
            return
        self._moved()

    def _moved(self) -> None:
        """Draw off the window's thread; while one is drawn, only the last wish is kept."""
        self.entry.delete(0, "end")
        self.entry.insert(0, self._text())
        if self._task is not None and self._task.thread.is_alive():
            self._waiting = True
            return
        value = self.value.get()
        drawing = self.work(
            lambda _: self.preview.draw(value), self._show, lambda message: self.message.configure(text=message)
        )
        self._task = follow(self, drawing)

    def _show(self, made: tuple[np.ndarray, np.ndarray | None, str]) -> None:
        if not self.winfo_exists():
            return
        for k, picture in enumerate(made[:2]):
            if picture is None:
                self.images[k].configure(image="")
                continue
            side = theme.px(self, SIDE)
            image = Image.fromarray(np.ascontiguousarray(picture))
            scale = side / max(image.size)
            image = image.resize(
                (max(1, int(image.width * scale)), max(1, int(image.height * scale))), Image.Resampling.BICUBIC
            )
            self._photos[k] = ImageTk.PhotoImage(image, master=self)
            self.images[k].configure(image=self._photos[k])
        self.message.configure(text=made[2])
        if self._waiting:
            self._waiting = False
            self._task = None
            self._moved()

    def close(self) -> None:
        """Close; what is still drawn is forgotten."""
        if self._task is not None:
            self._task.cancel()
        super().close()
