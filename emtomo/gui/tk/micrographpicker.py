"""The picker of micrographs: coloured by score, erased with the middle button, a threshold that picks live."""

from collections.abc import Callable
from typing import Any

import numpy as np
import ttkbootstrap as ttk

from emtomo.compute.slices import smooth
from emtomo.errors import EmtomoError
from emtomo.gui.core.actions import Action
from emtomo.gui.core.hits import Place
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.previous_picks import PreviousPicks
from emtomo.gui.core.score_bar import ScoreTable, score_colours
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.boxer import BoxerWindow, is_below
from emtomo.gui.tk.slicepanel import SlicePanel
from emtomo.gui.tk.window import pack_buttons, tip
from emtomo.wording import count_text

WIDE, HIGH = 270, 90  # pixels of the histogram
WATCH = 1000  # ms between two looks at the previous coordinates
SLAB_ROWS = 2  # last row of controls for slices and slabs


class MicrographPicker(BoxerWindow):
    """Pick in one micrograph; it is a tomogram of one slice.

    Parameters
    ----------
    master, source, session, box, pixel_size, on_box
        As for :class:`BoxerWindow`.
    read_table : callable
        Returns the peaks of the search that the previous coordinates come from, as they are now; None without any.
    previous : PreviousPicks
        The previous coordinates of this micrograph.
    apply : callable
        Called with a threshold, to pick all micrographs again with it.
    """

    TITLE = "micrograph"

    def __init__(
        self,
        master: Any,
        source: VolumeSource,
        session: PickingSession,
        box: int,
        pixel_size: float,
        on_box: Callable[[int], object],
        read_table: Callable[[], ScoreTable | None],
        previous: PreviousPicks,
        apply: Callable[[float], object],
    ) -> None:
        self._read_table, self.previous, self._apply = read_table, previous, apply
        self.table = read_table()
        self.cut = self.table.notes.threshold if self.table is not None else -np.inf
        super().__init__(master, source, session, box, pixel_size, on_box)
        for panel in self.panels.values():
            panel.takes_middle = True
        self.show_planes(0)
        self._watching = self.after(WATCH, self._watch)

    def show_planes(self, axis: int | None) -> None:
        """Show the image: there is one slice."""
        super().show_planes(0)

    def build_side(self) -> None:
        """The threshold bar, sigma contrast and loading again above the tools of the boxer."""
        for widget in self.slider.master.grid_slaves():
            if int(widget.grid_info()["row"]) <= SLAB_ROWS:
                widget.grid_remove()  # there is one slice
        self._build_contrast()
        if self.table is not None:
            self._build_threshold()
        super().build_side()

    def _build_contrast(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        box = ttk.Labelframe(self.side, text="Micrograph", padding=pad)
        box.pack(fill="x", pady=(pad, 0))
        self._spin(box, 0, "Sigma contrast", 0, 10, 0.5, self.set_sigma_contrast, "0: auto")
        again = ttk.Button(box, text="Reload coordinates", bootstyle="secondary-outline", command=self.reload)
        again.grid(row=1, column=0, columnspan=3, sticky="w", pady=(gap, 0))
        self.automatic = ttk.BooleanVar(self, self.previous.known)
        follow = ttk.Checkbutton(box, text="automatically", variable=self.automatic, bootstyle="round-toggle")
        follow.grid(row=2, column=0, columnspan=3, sticky="w", pady=(gap, 0))
        tip(follow, "Whenever a run has picked again; not over picks that you have changed here")
        self.w["follow"] = follow
        tip(
            again, "Take the previous coordinates as they are now, e.g. after picking again; undo brings these back (L)"
        )
        self.w["reload"] = again

    def _build_threshold(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        bar = ttk.Labelframe(self.side, text="Picking threshold", padding=pad)
        bar.pack(fill="x", pady=(pad, 0))
        self.histogram = ttk.Canvas(
            bar, width=theme.px(self, WIDE), height=theme.px(self, HIGH), highlightthickness=0,
            background=theme.SLICE_BACKGROUND, cursor="sb_h_double_arrow",
        )  # fmt: skip
        self.histogram.pack(fill="x")
        for event in ("<Button-1>", "<B1-Motion>"):
            self.histogram.bind(event, lambda e: self.set_cut(self._score_at(e.x)))
        self.cut_label = ttk.Label(bar, text="")
        self.cut_label.pack(fill="x", pady=(gap, 0))
        row = ttk.Frame(bar)
        row.pack(fill="x", pady=(gap, 0))
        buttons = (
            (
                "take",
                "Take here",
                self.take_peaks,
                "Replace the picks of this micrograph by the peaks above the threshold",
            ),
            ("apply", "Apply to all", self.apply_cut, "A new run: pick-again with this threshold, on all micrographs"),
        )
        pack_buttons(row, self.w, gap, buttons)
        self.w["histogram"] = self.histogram
        self.after_idle(self.draw_histogram)

    def mouse_rows(self) -> list[tuple[str, str]]:
        """The mouse, as in RELION's manual picking."""
        return [
            ("Middle button held", "erase along the way"),
            ("Right drag, left drag beside picks", "move the picture"),
            *super().mouse_rows(),
        ]

    def make_actions(self) -> list[Action]:
        """The keys of the boxer, and loading again."""
        own = [Action("reload", "Reload coordinates", self.reload, "l")]
        taken = {"l"}
        return own + [a for a in super().make_actions() if not set(a.keys.split()) & taken]

    # --- erasing ---

    def on_press(self, panel: SlicePanel, button: int, place: Place, state: int) -> bool:
        """Begin to erase with the middle button."""
        if button == 2:
            self.pressed_panel = panel
            self.begin_rubbing(panel, place)
            return True
        return super().on_press(panel, button, place, state)

    # --- the threshold ---

    def _bounds(self) -> tuple[float, float]:
        assert self.table is not None
        edges = self.table.histogram()[1]
        return float(edges[0]), float(edges[-1])

    def _score_at(self, x: int) -> float:
        low, high = self._bounds()
        return low + (high - low) * min(max(x / max(self.histogram.winfo_width(), 1), 0.0), 1.0)

    def set_cut(self, cut: float) -> None:
        """Show the peaks with at least a score."""
        self.cut = cut
        self.draw_histogram()
        self.redraw()

    def draw_histogram(self) -> None:
        """Draw how many peaks of all micrographs have which score, and the threshold."""
        if self.table is None or not self.histogram.winfo_exists():
            return
        counts, edges = self.table.histogram()
        c, (low, high) = self.histogram, self._bounds()
        wide, tall = max(c.winfo_width(), 2), max(c.winfo_height(), 2)
        tops = np.log1p(counts) / max(float(np.log1p(counts).max()), 1e-9) * (tall - 4)
        colours = score_colours((edges[:-1] + edges[1:]) / 2, *self.score_range())
        c.delete("all")
        for k, (top, colour) in enumerate(zip(tops, colours, strict=True)):
            c.create_rectangle(k * wide / len(tops), tall - top, (k + 1) * wide / len(tops), tall, fill=colour, width=0)
        x = (self.cut - low) / (high - low) * wide
        c.create_line(x, 0, x, tall, fill="#ffe14d", width=theme.px(self, 2))
        here = len(self.table.above(self.session.tomogram_id, self.cut)[0])
        self.cut_label.configure(text=f"{self.cut:.2f}: {here} here, {self.table.count(self.cut)} in all")

    def take_peaks(self) -> None:
        """Replace the picks of this micrograph by the peaks above the threshold, as one change."""
        assert self.table is not None
        places, scores = self.table.above(self.session.tomogram_id, self.cut)
        rows = [[float(x), float(y), 0.0, "point", float(s)] for (y, x), s in zip(places, scores, strict=True)]
        self.make_sets()
        self.session.replace_all(self.session.current, rows)
        self.say(f"{count_text(len(rows), 'peak')} taken.")
        self.on_change()

    def apply_cut(self) -> None:
        """Pick all micrographs again with the threshold."""
        self._apply(self.cut)

    def reload(self) -> None:
        """Replace the picks by the previous coordinates as they are now."""
        try:
            rows, table = self.previous.read(), self._read_table()
        except EmtomoError as error:
            self.say(str(error))
            return
        if table is not None and self.table is not None:
            if self.cut == self.table.notes.threshold:
                self.cut = table.notes.threshold
            self.table = table
            self.draw_histogram()
        self.make_sets()
        self.session.replace_all(self.session.current, rows)
        self.say(f"{count_text(len(rows), 'coordinate')} loaded.")
        self.on_change()

    def _watch(self) -> None:
        """Load the previous coordinates again once a run has written them anew, unless picks were changed by hand."""
        if self.automatic.get() and self.previous.has_changed():
            if self.previous.are_unchanged(self.session):
                self.reload()
            else:
                self.say("There are new coordinates; L loads them in place of yours.")
        self._watching = self.after(WATCH, self._watch)

    def destroy(self) -> None:
        """Look at the previous coordinates no more."""
        self.after_cancel(self._watching)
        super().destroy()

    # --- showing ---

    def set_sigma_contrast(self, sigma: float) -> None:
        """Let black and white lie so many standard deviations from the mean of the image as it is filtered."""
        if sigma <= 0:
            self.auto_contrast()
            return
        image = smooth(self.source.slab(0, 1)[0].astype(np.float32), self.state_.sigma)
        mean, spread = float(np.nanmean(image)), float(np.nanstd(image))
        self.state_.set_limits(mean - sigma * spread, mean + sigma * spread)
        self.black.set(self.state_.limits[0])
        self.white.set(self.state_.limits[1])

    def score_range(self) -> tuple[float, float]:
        """Return the scores that are red and blue: of the picks, and of the peaks above the run's own threshold."""
        scores = [p.score for model in self.session.models.values() for p in model.points if p.score]
        if self.table is not None:
            scores += list(self.table.above(self.session.tomogram_id, self.table.notes.threshold)[1])
        return (min(scores), max(scores)) if scores else (0.0, 1.0)

    def decorate(self, panel: SlicePanel) -> None:
        """Draw picks in the colours of their scores, and thin circles about peaks that the threshold would add."""
        self.bar(panel)
        low, high = self.score_range()
        radius, picked = self.box / 2, []
        for group, model in self.session.models.items():
            colours = score_colours(np.array([p.score for p in model.points]), low, high) if model.points else []
            for point, colour in zip(model.points, colours, strict=True):
                picked.append((point.y, point.x))
                if is_below(point, self.threshold):
                    continue
                shown = colour if point.score else self.set_colour(group)
                panel.ring(point.x, point.y, radius, shown, width=2)
        if self.table is not None:
            places, scores = self.table.above(self.session.tomogram_id, self.cut)
            there = np.array(picked).reshape(-1, 2)
            for (y, x), colour in zip(places, score_colours(scores, low, high) if len(scores) else [], strict=True):
                if not len(there) or np.hypot(*(there - (y, x)).T).min() > 1:
                    panel.ring(x, y, radius, colour, width=1, dash=(4, 3))
        if panel.mouse is not None:
            self.on_hover(panel, panel.mouse)
