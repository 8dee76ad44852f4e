"""References for a network, and what it found: the boxer with three sets."""

from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.tk import theme
from emtomo.gui.tk.boxer import BoxerWindow
from emtomo.gui.tk.slicepanel import CONTROL
from emtomo.gui.tk.thumbnails import Thumbnails

SETS = (("positive", "Positive"), ("negative", "Negative"), ("particles", "Particles"))


class ConvnetWindow(BoxerWindow):
    """Left click makes a good reference, Ctrl+left a bad one, Shift+left removes; in the lists too."""

    TITLE = "neural picking"

    def make_sets(self) -> None:
        """The three sets are always there."""
        there = {model.kind for model in self.session.models.values()}
        for kind, _ in SETS:
            if kind not in there:
                self.session.new_model(kind)
        self.session.select(self.group_of("positive"))

    def group_of(self, kind: str) -> int:
        """Return the set of a kind."""
        return next(g for g, m in self.session.models.items() if m.kind == kind)

    def set_buttons(self) -> list[tuple[str, str, Any, str]]:
        """The sets are fixed."""
        return []

    def set_label(self, group: int) -> str:
        """Return the set's name."""
        return dict(SETS)[self.session.models[group].kind]

    def set_colour(self, group: int) -> str:
        """Positive blue, negative red, particles green."""
        return theme.ROLE_COLOURS[self.session.models[group].kind]

    def build_lists(self, pad: int) -> None:
        """One list for each set."""
        self.strips: dict[str, Thumbnails] = {}
        for k, (kind, title) in enumerate(SETS):
            strip = Thumbnails(self.below, title, self._picture_clicked, side=46, height=110)
            strip.grid(row=0, column=k, sticky="nsew", padx=(pad if k == 0 else 0, theme.px(self, theme.GAP)))
            self.below.columnconfigure(k, weight=1, uniform="lists")
            self.strips[kind] = strip
            self.w[f"list {kind}"] = strip
        message = ttk.Label(self.side, text="Left: good\nCtrl+left: bad\nShift+left: remove", justify="left")
        message.pack(anchor="w", pady=(pad, 0))

    def list_strips(self) -> dict[int, Thumbnails]:
        """Return which list shows which set."""
        return {self.group_of(kind): strip for kind, strip in self.strips.items()}

    def mouse_rows(self) -> list[tuple[str, str]]:
        """The mouse, as in EMAN2's network picker."""
        return [
            ("Left click", "a good reference; on a found particle, or in the list of particles, makes it one"),
            ("Ctrl+Left click", "a bad reference"),
            ("Shift+Left click", "remove; in the lists too"),
            ("Left drag", "move a particle"),
        ]

    def make_actions(self) -> list[Any]:
        """The boxer's keys without its sets."""
        return [a for a in super().make_actions() if a.name != "new set"]

    def target_set(self, state: int) -> int:
        """Left click adds to the good references, Ctrl+left to the bad ones, whatever set is selected."""
        return self.group_of("negative" if state & CONTROL else "positive")

    def point_clicked(self, group: int, index: int, state: int) -> None:
        """A click on a found particle makes it a good reference."""
        self._to_reference(group, index, "positive")

    def picture_chosen(self, group: int, k: int, state: int) -> None:
        """A click on the picture of a found particle makes it a reference; on that of a reference goes there."""
        if self.session.models[group].kind == "particles":
            self._to_reference(group, k, "negative" if state & CONTROL else "positive")
        else:
            super().picture_chosen(group, k, state)

    def _to_reference(self, group: int, k: int, kind: str) -> None:
        p = self.session.models[group].points[k]
        target = self.group_of(kind)
        if self.session.models[group].kind == "particles":
            self.session.add_many(target, [[p.x, p.y, p.z, "point"]])

    def on_click(self, panel: Any, button: int, place: tuple[float, float, float], state: int) -> None:
        """Ctrl+left on a found particle makes it a bad reference."""
        if button == 1 and state & CONTROL:
            found = self.point_at(panel, place)
            if found is not None and self.session.models[found[0]].kind == "particles":
                self._to_reference(*found, "negative")
                self.on_change()
                return
        super().on_click(panel, button, place, state)
