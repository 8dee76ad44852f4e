"""The manual boxer: particles in sets, with their pictures, an eraser and a threshold on scores."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.gui.core.actions import Action
from emtomo.gui.core.hits import half_slab, hits_within
from emtomo.gui.core.picking import PickingSession, Point
from emtomo.gui.core.slices import marks_near
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.boxerside import BoxTools, SetsList
from emtomo.gui.tk.sessionwindow import SessionWindow
from emtomo.gui.tk.slicepanel import CONTROL, SHIFT, SlicePanel
from emtomo.gui.tk.thumbnails import MOST, Thumbnails
from emtomo.wording import count_text


def is_below(point: Point, threshold: float) -> bool:
    """Return whether a point has a score and it is below a threshold; those that a user picked have none."""
    return point.score != 0 and point.score < threshold


class BoxerWindow(SessionWindow):
    """Pick particles one by one in a tomogram; every change is on disk before it is shown.

    Parameters
    ----------
    master : widget
    source : VolumeSource
    session : PickingSession
        Its models are the sets.
    box : int
        Voxels.
    pixel_size : float
    on_box : callable
        Called with another box size.
    """

    TITLE = "manual picking"
    NOUN = "Set"
    CATCH = 4

    def __init__(
        self,
        master: Any,
        source: VolumeSource,
        session: PickingSession,
        box: int,
        pixel_size: float,
        on_box: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.session, self.box, self._on_box = session, box, on_box
        self.erasing = False
        self._rubbing = False
        self._rubbed = (0.0, 0.0, 0.0)  # where the eraser was last
        self._pictures: dict[tuple[float, float, float], np.ndarray] = {}
        self._drawing: Any = None
        self._again = False
        self.threshold = -np.inf
        self.make_sets()
        super().__init__(master, source, session, self.TITLE, pixel_size, "boxer")

    def make_sets(self) -> None:
        """Make the sets that there must be."""
        if not self.session.models:
            self.session.new_model("particles")

    def build_side(self) -> None:
        """Sets, eraser, threshold, pictures."""
        pad = theme.px(self, theme.PAD)
        self.sets = SetsList(self.side, self)
        if self.set_buttons():
            self.sets.pack(fill="x", pady=(pad, 0))
        self.tools = BoxTools(self.side, self)
        self.tools.pack(fill="x", pady=(pad, 0))
        self.build_lists(pad)

    def set_buttons(self) -> list[tuple[str, str, Any, str]]:
        """Return what can be done with sets."""
        return [
            ("new set", "New", self.new_set, "A new set: another kind of particle (N)"),
            ("rename set", "Rename", self.rename_group, "Name the set"),
            ("delete set", "Delete", self.drop_group, "Remove the set with its particles; undo brings it back"),
        ]

    def build_lists(self, pad: int) -> None:
        """Make the list of pictures of the current set."""
        self.particles = Thumbnails(self.below, "Particles", self._picture_clicked, height=126)
        self.particles.pack(fill="both", expand=True, padx=pad, pady=(pad, 0))

    def mouse_rows(self) -> list[tuple[str, str]]:
        """The mouse, as in EMAN2's boxer."""
        return [
            ("Left click", "add a particle to the current set"),
            ("Left drag on a particle", "move it"),
            ("Shift+Left click", "remove the particle; in the list too"),
            ("Ctrl+Shift+Left click in the list", "remove it and all after it"),
            ("Left click in the list", "go to the particle"),
        ]

    def make_actions(self) -> list[Action]:
        """The keys of the boxer."""
        a = Action
        own = [
            a("add", "Add a particle under the mouse", self.add_under_mouse, "c"),
            a("erase", "Eraser on or off", lambda: self.tools.toggle_eraser(), "e"),
            a("larger", "Larger eraser", lambda: self._resize(1.25), "<bracketright>"),
            a("smaller", "Smaller eraser", lambda: self._resize(0.8), "<bracketleft>"),
            a("new set", "New set", self.new_set, "n"),
        ]
        own += [a(f"set {k}", f"Set {k}", lambda k=k: self._nth_set(k), f"<Key-{k}>") for k in range(2, 10)]  # type: ignore[misc]
        return self.with_own(own)

    # --- sets ---

    def new_set(self) -> None:
        """Start a set."""
        self.session.new_model("particles")
        self.on_change()

    def drop_group(self) -> None:
        """Remove the current set; there is always one."""
        super().drop_group()
        self.make_sets()
        self.on_change()

    def set_label(self, group: int) -> str:
        """Return what a set is called."""
        return f"{group} {self.session.models[group].name}".strip()

    def set_colour(self, group: int) -> str:
        """Return the colour of a set."""
        return theme.group_colour(group)

    def _nth_set(self, k: int) -> None:
        groups = list(self.session.models)
        if k <= len(groups):
            self.session.select(groups[k - 1])
            self.on_change()

    # --- particles ---

    def target_set(self, state: int) -> int:
        """Return the set that a click adds to."""
        return self.session.current

    def add_at(self, place: tuple[float, float, float], state: int = 0) -> None:
        """Add a particle."""
        if not self.inside(place):
            return
        self.make_sets()
        self.session.select(self.target_set(state))
        z, y, x = place
        self.session.add(x, y, z)
        self.on_change()

    def add_under_mouse(self) -> None:
        """Add a particle where the mouse is."""
        place = self.mouse_place()
        if place is not None:
            self.add_at(place)

    def remove_below(self) -> None:
        """Remove the particles whose score is below the slider."""
        cut = self.tools.score.get()
        low = [(g, k) for g, m in self.session.models.items() for k, p in enumerate(m.points) if is_below(p, cut)]
        self.session.remove_many(low)
        self.say(f"{count_text(len(low), 'particle')} removed.")
        self.on_change()

    def visible_points(self) -> list[tuple[int, np.ndarray]]:
        """Return the particles; those that the threshold hides are NaN."""
        hidden = {g: [is_below(p, self.threshold) for p in m.points] for g, m in self.session.models.items()}
        return [(g, np.where(np.array(hidden[g])[:, None], np.nan, a) if len(a) else a)
                for g, a in super().visible_points()]  # fmt: skip

    def visible_depth(self) -> float:
        """Return half a box: so far from its centre a particle's sphere is cut."""
        return max(self.box / 2, half_slab(self.state_.thickness))

    # --- the mouse ---

    def on_press(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> bool:
        """Begin to rub out, or to move a particle."""
        self.pressed_panel = panel
        if button != 1:
            return False
        if self.erasing:
            self.begin_rubbing(panel, place)
            return True
        if state & (SHIFT | CONTROL):
            return False
        self._dragging = self.point_at(panel, place)
        return self._dragging is not None

    def on_drag(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Rub on, or show where the particle would go."""
        if self._rubbing:
            self._rub(panel, place)
            self.on_hover(panel, place)
            return
        super().on_drag(panel, button, place, state)

    def ghost(self, panel: SlicePanel) -> float:
        """Return the radius of a box, pixels."""
        return self.box / 2 * panel.camera.zoom

    def on_release(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """End to rub out, or put the particle down."""
        if self._rubbing:
            self._rubbing = False
        else:
            super().on_release(panel, button, place, state)

    def on_click(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Left adds, Shift+left removes."""
        if button == 1 and state & SHIFT:
            self.remove_at(panel, place)
        elif button == 1:
            self.add_at(place, state)

    def on_hover(self, panel: SlicePanel, place: tuple[float, float, float] | None) -> None:
        """Show the eraser's circle under the mouse."""
        super().on_hover(panel, place)
        panel.canvas.delete("eraser")
        if self.erasing and place is not None:
            x, y = panel.screen_of(place)
            r = self.tools.eraser_radius() * panel.camera.zoom
            panel.canvas.create_oval(x - r, y - r, x + r, y + r, outline="#ff5a5a", width=2, tags=("mark", "eraser"))

    def begin_rubbing(self, panel: SlicePanel, place: tuple[float, float, float]) -> None:
        """Rub out here, and on the way that the mouse goes until its button comes up."""
        self._rubbing, self._rubbed = True, place
        self._rub(panel, place)

    def _rub(self, panel: SlicePanel, place: tuple[float, float, float]) -> None:
        """Remove the particles that the eraser's circle has passed since it was asked last; other slices' stay."""
        radius, points, depth = self.tools.eraser_radius(), self.visible_points(), self.visible_depth()
        way = np.subtract(place, self._rubbed)
        steps = max(1, int(np.ceil(np.linalg.norm(way) / (radius / 2))))  # a quick mouse is asked seldom
        found: set[tuple[int, int]] = set()
        for k in range(steps):
            z, y, x = np.array(self._rubbed) + way * (k + 1) / steps
            found.update(hits_within(points, panel.axis, (z, y, x), radius, depth))
        self._rubbed = place
        if found:
            self.session.remove_many(sorted(found))
            self.on_change()

    def _resize(self, factor: float) -> None:
        self.tools.resize_eraser(factor)
        for panel in self.panels.values():
            if panel.mouse is not None:
                self.on_hover(panel, panel.mouse)

    def set_erasing(self, on: bool) -> None:
        """Let the left button rub out, or pick."""
        self.erasing = on
        self.say("Rub with the left button." if on else "")
        self.redraw()

    # --- showing ---

    def on_change(self) -> None:
        """Show the session as it is now."""
        self.sets.show()
        self.threshold = self.tools.show_scores()
        self.redraw()
        self.draw_lists()

    def set_threshold(self, threshold: float) -> None:
        """Hide particles of a lower score."""
        self.threshold = threshold
        self.redraw()

    def set_box(self, box: int) -> None:
        """Change the size of boxes and pictures."""
        if box != self.box:
            self.box = box
            self._on_box(box)
            self._pictures.clear()
            self.on_change()

    def list_strips(self) -> dict[int, Thumbnails]:
        """Return which list shows which set."""
        return {self.session.current: self.particles}

    def draw_lists(self) -> None:
        """Cut the pictures that are missing, in a thread, then show the lists."""
        wanted = {
            g: [(p.z, p.y, p.x) for p in self.session.models[g].points]
            for g in self.list_strips()
            if g in self.session.models
        }
        missing = [key for keys in wanted.values() for key in keys[-MOST:] if key not in self._pictures]
        if not missing:
            self._show_lists()
            return
        if self._drawing is not None and self._drawing.thread.is_alive():
            self._again = True
            return
        source, box = self.source, self.box

        def done(made: dict[tuple[float, float, float], np.ndarray]) -> None:
            """Show the pictures, and begin again if the list has changed meanwhile."""
            if not self.winfo_exists():
                return
            self._drawing = None
            if box == self.box:
                self._pictures |= made
            self._show_lists()
            if self._again:
                self._again = False
                self.draw_lists()

        self._drawing = self.work(lambda _: {k: source.thumbnail(*k, box) for k in missing}, done, self.say)

    def _show_lists(self) -> None:
        for group, strip in self.list_strips().items():
            points = self.session.models[group].points if group in self.session.models else []
            keys = [(group, k) for k in range(len(points))]
            shown = [
                (key, self._pictures[p.z, p.y, p.x])
                for key, p in zip(keys, points, strict=True)
                if (p.z, p.y, p.x) in self._pictures
            ]
            strip.show([k for k, _ in shown], [i for _, i in shown], len(points))

    def _picture_clicked(self, key: tuple[int, int], state: int) -> None:
        group, k = key
        if state & SHIFT and state & CONTROL:
            self.session.remove_many([(group, i) for i in range(k, len(self.session.models[group].points))])
        elif state & SHIFT:
            self.session.remove(group, k)
        else:
            self.picture_chosen(group, k, state)
        self.on_change()

    def picture_chosen(self, group: int, k: int, state: int) -> None:
        """Go to a particle."""
        p = self.session.models[group].points[k]
        self.state_.centre(p.z, p.y, p.x)

    def decorate(self, panel: SlicePanel) -> None:
        """Draw the particles' boxes as circles where their spheres are cut."""
        super().decorate(panel)
        on, half = half_slab(self.state_.thickness), theme.px(self, 2)
        for group, points in self.visible_points():
            marks = marks_near(points, panel.axis, panel.at, self.box / 2)
            colour, current = self.set_colour(group), group == self.session.current
            faint = theme.blend(colour, theme.SLICE_BACKGROUND, 0.45)
            away = np.abs(points[marks.index, panel.axis] - panel.at) if len(points) else np.zeros(0)
            for (h, v), r, depth in zip(marks.places, marks.radii, away, strict=True):
                here = depth <= on
                panel.ring(h, v, r, colour if here else faint, width=2 if current and here else 1)
                if here:  # only the centre catches the mouse
                    x, y = panel.camera.to_screen(h, v)
                    panel.canvas.create_oval(x - half, y - half, x + half, y + half, fill=colour, width=0, tags="mark")
        if panel.mouse is not None:
            self.on_hover(panel, panel.mouse)
