"""The images of a tilt series: dose and CTF of each, and marks that leave tilts out of a new set."""

from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.compute.tilt.selection import suggest_exclusions, tilt_statistics
from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.errors import EmtomoError
from emtomo.gui.core.actions import Action
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.tilt_marks import TiltMarks
from emtomo.gui.core.tilt_source import TiltSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.slicewindow import SIDE, SliceWindow
from emtomo.gui.tk.window import tip
from emtomo.wording import count_text

BARS, CURVE = 90, 110  # heights
PLACE = 40  # letters of the place under the mouse: what is known of the tilt needs the rest of the line
USED, EXCLUDED, CURRENT, SUGGESTED = "#2a6fb0", "#c0392b", "#e67e22", "#f1c40f"


class TiltWindow(SliceWindow):
    """Shows the images of one tilt series one after the other.

    Parameters
    ----------
    master : widget
    source : TiltSource
    shown : Shown
    name : str
        Of the series.
    captions : list of str
        What is said of every tilt.
    """

    WORDS = ("Tilt", "tilts", "pixel")

    def __init__(self, master: Any, source: TiltSource, shown: Shown, name: str, captions: list[str]) -> None:
        self.shown_output, self.captions, self.tilts = shown, captions, source
        self.marks = TiltMarks.of(shown, name)
        self._kept = self.marks.marked.copy()
        self.suggested: dict[int, str] = {}
        super().__init__(
            master, source, f"{name} – {shown.title} – emtomo", float(shown.value.pixel_size.get() or 0), "tilts"
        )
        self.place_label.configure(width=PLACE)
        self.panels[0].caption = lambda place: f"tilt {self.tilts.order[place] + 1}"
        self.show_planes(0)
        self.state_.listeners.append(self.follow)
        self.state_.go(0, source.place_of(int(abs(self.marks.angle).argmin())))
        self.follow()

    @property
    def tilt(self) -> int:
        """The number of the tilt that is shown, from 0."""
        return int(self.tilts.order[self.state_.place[0]])

    def build_side(self) -> None:
        """Add order and alignment, dose bars, the CTF and the mark."""
        pad, width = theme.px(self, theme.PAD), theme.px(self, SIDE - 40)
        box = ttk.Labelframe(self.side, text="Tilts: dose before each", padding=pad)
        box.pack(fill="x", pady=(pad, 0))
        row = ttk.Frame(box)
        row.pack(fill="x", pady=(0, pad))
        self.sorted_by = ttk.StringVar(self, self.tilts.sorted_by)
        for text, value in (("By angle", "angle"), ("By acquisition", "acquisition")):
            choice = ttk.Radiobutton(row, text=text, value=value, variable=self.sorted_by, command=self.arrange,
                                     bootstyle="secondary-toolbutton-outline")  # fmt: skip
            choice.pack(side="left", padx=(0, theme.px(self, 2)))
            self.w[value] = choice
        self.aligned = ttk.BooleanVar(self, False)
        aligned = ttk.Checkbutton(
            box, text="Aligned (L)", variable=self.aligned, bootstyle="round-toggle", command=self.arrange
        )
        aligned.configure(state="normal" if self.tilts.can_align else "disabled")
        aligned.pack(anchor="w", pady=(0, pad))
        tip(aligned, "Tilt axis upright, the tomogram's centre in the middle")
        self.bars = ttk.Canvas(box, width=width, height=theme.px(self, BARS), highlightthickness=0)
        self.bars.pack(fill="x")
        self.bars.bind("<Button-1>", self._bar_clicked)
        self.excluded = ttk.BooleanVar(self, False)
        check = ttk.Checkbutton(
            box, text="Exclude this tilt (E)", variable=self.excluded, bootstyle="danger", command=self.toggle
        )
        check.pack(anchor="w", pady=(pad, 0))
        suggest = ttk.Button(box, text="Suggest tilts to exclude", bootstyle="secondary-outline", command=self.suggest)
        suggest.pack(fill="x", pady=(pad, 0))
        tip(suggest, "Mean, deviation, correlation and CTF fit out of line; nothing is marked by it")
        self.keep_button = ttk.Button(box, text="Keep as a new set", bootstyle="success", command=self.keep)
        self.keep_button.pack(fill="x", pady=(pad, 0))
        tip(self.keep_button, "Runs select-tilts with the marks; this set stays as it is")
        ctf = ttk.Labelframe(self.side, text="CTF of this tilt", padding=pad)
        ctf.pack(fill="x", pady=(pad, 0))
        self.ctf = ttk.Canvas(ctf, width=width, height=theme.px(self, CURVE), highlightthickness=0)
        self.ctf.pack(fill="x")
        self.w |= {"bars": self.bars, "exclude": check, "keep": self.keep_button, "ctf": self.ctf}
        self.w |= {"aligned": aligned, "suggest": suggest}

    def make_actions(self) -> list[Action]:
        """Add the keys that mark a tilt, and change order and alignment."""
        return [
            *super().make_actions(),
            Action("exclude", "Exclude this tilt, or not", self.toggle_by_key, "e"),
            Action("aligned", "Images aligned, or as they are", self.switch_aligned, "l"),
            Action("order", "Tilts by angle, or in the order of acquisition", self.switch_order, "t"),
        ]

    # --- what is shown ---

    def follow(self) -> None:
        """Say and draw what belongs to the tilt that is shown."""
        k = self.tilt
        mark = " – marked as excluded" if self.marks.marked[k] else ""
        why = f" – out of line: {self.suggested[k]}" if k in self.suggested else ""
        self.say(f"tilt {k + 1} of {len(self.captions)}: {self.captions[k]}{mark}{why}")
        self.depth_label.configure(text=str(k + 1))
        self.excluded.set(bool(self.marks.marked[k]))
        self._draw_bars()
        self._draw_ctf()

    def show_place(self, place: tuple[float, float, float] | None) -> None:
        """Show place, in pixels and in Å from the middle, and grey value: across tilts there is no length."""
        if place is None:
            self.place_label.configure(text="")
            return
        z, y, x = place
        message, (_, ny, nx) = f"x {x:.1f}  y {y:.1f}", self.source.shape
        if self.pixel_size:
            message += f"   ({(x - nx // 2) * self.pixel_size:.0f}, {(y - ny // 2) * self.pixel_size:.0f} Å)"
        inside = 0 <= round(x) < nx and 0 <= round(y) < ny
        grey = self.source.grey(round(z), round(y), round(x)) if inside else None
        self.place_label.configure(text=message if grey is None else f"{message}   grey {grey:.4g}")

    def _draw_bars(self) -> None:
        c, order, heights = self.bars, [int(k) for k in self.tilts.order], self.marks.bars()
        c.delete("all")
        width, height = max(c.winfo_width(), int(c["width"])), int(c["height"])
        step = width / len(order)
        for place, k in enumerate(order):
            colour = EXCLUDED if self.marks.marked[k] else USED
            top = height - (height - 8) * float(heights[k]) / 1.04
            c.create_rectangle(place * step + 1, top, (place + 1) * step, height, fill=colour, width=0)
            if k in self.suggested:
                c.create_rectangle(place * step + 1, 0, (place + 1) * step, 5, fill=SUGGESTED, width=0)
            if k == self.tilt:
                c.create_rectangle(place * step, 0, (place + 1) * step, height - 1, outline=CURRENT, width=2)

    def _draw_ctf(self) -> None:
        c, found = self.ctf, self.marks.curve(self.tilt)
        c.delete("all")
        width, height = max(c.winfo_width(), int(c["width"])), int(c["height"])
        if found is None:
            c.create_text(width / 2, height / 2, text="not known", fill=theme.colour("fg"))
            return
        frequency, values = found
        x, y = frequency / frequency[-1] * (width - 1), height / 2 - values * (height / 2 - 12)
        c.create_line(0, height / 2, width, height / 2, fill="grey")
        line = [float(v) for pair in zip(x, y, strict=True) for v in pair]
        c.create_line(line, fill=USED, width=theme.px(self, 1.5))
        c.create_text(width - 2, height, anchor="se", text=f"{1 / frequency[-1]:.1f} Å", fill=theme.colour("fg"))

    def _bar_clicked(self, event: Any) -> None:
        self.state_.go(0, int(event.x / max(self.bars.winfo_width(), 1) * len(self.captions)))

    # --- order and alignment ---

    def arrange(self) -> None:
        """Show the images as order and alignment are chosen; the tilt stays."""
        tilt, size = self.tilt, self.tilts.shape
        try:
            self.tilts.arrange(self.sorted_by.get(), aligned=self.aligned.get())
        except EmtomoError as error:
            self.aligned.set(False)
            self.say(str(error))
            return
        z, y, x = self.tilts.place_of(tilt), *self.state_.place[1:]
        self.state_.place = [z, *(min(v, n - 1) for v, n in zip((y, x), self.tilts.shape[1:], strict=True))]
        if size != self.tilts.shape:
            self.fit()
        self._make_copies()
        self.state_.notify()

    def switch_aligned(self) -> None:
        """Show the images aligned, or as they are."""
        self.aligned.set(not self.aligned.get())
        self.arrange()

    def switch_order(self) -> None:
        """Sort the images by angle, or in the order of acquisition."""
        self.sorted_by.set("angle" if self.sorted_by.get() == "acquisition" else "acquisition")
        self.arrange()

    def suggest(self) -> None:
        """Look for tilts whose images are out of line, in a thread, and say how many there are."""
        marks, images = self.marks, self.marks.images
        self.say("Looking at the images …")

        def work(_: Any) -> dict[int, str]:
            """Return the tilts to exclude, each with its reason."""
            found = tilt_statistics(images, marks.angle)
            return suggest_exclusions(found, marks.angle, marks.marked, marks.fit)

        def show(found: dict[int, str]) -> None:
            """Show the suggestions as marks over the bars."""
            if not self.winfo_exists():
                return
            self.suggested = found
            self.follow()
            numbers = ", ".join(str(k + 1) for k in found)
            self.say(f"Out of line, yellow above the bars: {numbers}." if found else "No tilt is out of line.")

        follow(self, self.work(work, show, self.say))

    # --- marks ---

    def toggle(self) -> None:
        """Take over what the check button says."""
        if self.excluded.get() != bool(self.marks.marked[self.tilt]):
            self.marks.toggle(self.tilt)
        self.follow()

    def toggle_by_key(self) -> None:
        """Mark the tilt, or take its mark away."""
        self.marks.toggle(self.tilt)
        self.follow()

    def keep(self) -> bool:
        """Run select-tilts with the marks; return whether it was begun."""
        if not self.marks.changed:
            self.say("No mark was changed: the new set would be this one.")
            return False
        if self.marks.marked.all():
            self.say("All tilts would be excluded; leave at least one.")
            return False
        try:
            self.shown_output.check_unchanged()
        except EmtomoError as error:
            self.say(str(error))
            return False
        window: Any = self.app
        target, marks = f"{self.shown_output.run}.{self.shown_output.name}", self.marks
        self._kept = marks.marked.copy()
        label = f"{self.shown_output.label} marked tilts"

        def work(project: Any) -> str:
            """Write the marks, create and launch the run that takes them; return its label."""
            free = project.free_label(label)
            number = 1
            while (path := Path(project.path) / f"excluded_tilts_{number}.csv").exists():
                number += 1
            marks.write(path)
            run = project.new_run(protocol_named("select-tilts"), free)
            values = {"tilt_series": target, "excluded": path.name, "keep_excluded": "no", "suggest": "no"}
            set_parameters(project, run, values, window.folder)
            project.saveProtocol(run)
            project.launch(run)
            return str(run.getObjLabel())

        def show(sentence: str) -> None:
            if self.winfo_exists():
                self.say(sentence)
            else:
                window.say(sentence)

        self.say("Making the new set …")
        window.service.ask(work, lambda made: show(f"Kept in {made}."), show)
        return True

    # --- closing ---

    def close(self) -> None:
        """Close; asks if marks were changed and not kept."""
        if not self.marks.changed or (self.marks.marked == self._kept).all():
            self.shut()
            return
        self.w["question"] = ask(
            self,
            "Keep the marks?",
            f"{count_text(int(self.marks.marked.sum()), 'tilt is', 'tilts are')} marked as excluded. Keep the others "
            "as a new set?",
            [
                ("Keep", "success", self._keep_and_close),
                ("Forget", "danger-outline", self.shut),
                ("Stay", "secondary-outline", lambda: None),
            ],
        )

    def _keep_and_close(self) -> None:
        if self.keep():
            self.shut()

    def shut(self) -> None:
        """Close without a question."""
        super().close()
