"""What the pickers share: points of a session on slices, moved, removed, undone; every change is on disk first."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.gui.core.actions import Action
from emtomo.gui.core.hits import Hit, beside_message, half_slab, nearest_hit
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.scenedata import SceneData, scene_of_session
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import TextQuestion
from emtomo.gui.tk.slicepanel import SlicePanel
from emtomo.gui.tk.slicewindow import SliceWindow

Place = tuple[float, float, float]


class SessionWindow(SliceWindow):
    """A picker: says which point is under the mouse, and shows the session after every change.

    Parameters
    ----------
    master : widget
    source : VolumeSource
        The tomogram.
    session : PickingSession
    what : str
        For the title.
    pixel_size : float
        Å.
    name : str
        Under which the window's size is remembered.
    """

    NOUN = "Model"
    CATCH = 7  # pixels from its centre within which a point catches the mouse

    def __init__(
        self, master: Any, source: VolumeSource, session: PickingSession, what: str, pixel_size: float, name: str
    ) -> None:
        self.session = session
        self.on_next: Callable[[], object] | None = None
        self._dragging: tuple[int, int] | None = None
        self.pressed_panel: SlicePanel | None = None  # where a button went down last, of the montage too
        super().__init__(master, source, f"{session.tomogram_id} – {what} – emtomo", pixel_size, name)
        self.on_change()

    # --- for the pickers ---

    def visible_points(self) -> list[tuple[int, np.ndarray]]:
        """Return group and z, y, x of all points; NaN for those that are hidden."""
        return [
            (group, np.array([[p.z, p.y, p.x] for p in model.points]).reshape(-1, 3))
            for group, model in self.session.models.items()
        ]

    def points_in_space(self) -> list[tuple[np.ndarray, str]]:
        """Return z, y, x of the points of every group, with its colour, for the slice of any angle."""
        return [(points, theme.group_colour(group)) for group, points in self.visible_points() if len(points)]

    def space_data(self) -> SceneData:
        """Return the points, and the models that they give, in space."""
        return scene_of_session(self.session, {}, self.source)

    def visible_depth(self) -> float:
        """Return how far from a slice points are still drawn on it, faint, voxels."""
        return max(2.0, half_slab(self.state_.thickness))

    def hit(self, panel: SlicePanel, place: Place, depth: float) -> Hit | None:
        """Return the point near a place whose centre is at most `depth` voxels from the slice that is shown."""
        reach = max(theme.px(self, self.CATCH) / panel.camera.zoom, 0.5)
        return nearest_hit(self.visible_points(), panel.axis, place, reach, depth)

    def point_at(self, panel: SlicePanel, place: Place) -> tuple[int, int] | None:
        """Return group and index of the point under a place that lies on the slice shown, if any."""
        found = self.hit(panel, place, half_slab(self.state_.thickness))
        return (found.group, found.index) if found is not None else None

    def ghost(self, panel: SlicePanel) -> float:
        """Return the radius, pixels, of the circle that shows where a dragged point would go."""
        return 6.0

    def on_change(self) -> None:
        """Show the session as it is now."""

    def point_clicked(self, group: int, index: int, state: int) -> None:
        """Make a point's group the current one."""
        self.session.select(group)

    def with_own(self, own: list[Action]) -> list[Action]:
        """Return a picker's own keys with undo and redo, and those of the slices that they do not take."""
        own = [
            *own,
            Action("undo", "Undo", self.undo, "<Control-z>"),
            Action("redo", "Redo", self.redo, "<Control-y> <Control-Z>"),
            Action("next", "Next tomogram", self.next_tomogram, "<space>"),
            Action("remove last", "Remove the last point", self.remove_last, "<Delete> <BackSpace>"),
        ]
        taken = {key for action in own for key in action.keys.split()}
        return own + [a for a in super().make_actions() if not set(a.keys.split()) & taken]

    def next_tomogram(self) -> None:
        """Go on with the next tomogram of the list."""
        if self.on_next is not None:
            self.on_next()

    # --- changes ---

    def inside(self, place: Place) -> bool:
        """Return whether a place is in the tomogram; say it there if not."""
        found = all(-0.5 <= v <= n - 0.5 for v, n in zip(place, self.source.shape, strict=True))
        if not found:
            self.notice(place, "This is outside the tomogram.")
        return found

    def notice(self, place: Place, text: str, panel: SlicePanel | None = None) -> None:
        """Say why a click did nothing, at its place and at the bottom."""
        slices = [one for one in self.panels_in_view() if isinstance(one, SlicePanel)]
        under = panel or next((one for one in slices if one.mouse is not None), self.pressed_panel)
        if under is not None:
            under.notice(place, text)
        self.say(text)

    def remove_at(self, panel: SlicePanel, place: Place) -> None:
        """Remove the point under a place."""
        found = self.point_at(panel, place)
        if found is not None:
            self.session.remove(*found)
            self.on_change()
            return
        beside = self.hit(panel, place, self.visible_depth())
        text = beside_message(panel.axis, place, beside.away) if beside is not None else "There is no point here."
        self.notice(place, text, panel)

    def remove_last(self) -> None:
        """Remove the last point of the current group."""
        self.session.remove_last()
        self.on_change()

    def undo(self) -> None:
        """Take the last change back."""
        self.say("" if self.session.undo() else "There is nothing to undo.")
        self.on_change()

    def redo(self) -> None:
        """Do again what was undone."""
        self.say("" if self.session.redo() else "There is nothing to do again.")
        self.on_change()

    def drop_group(self) -> None:
        """Remove the current group with its points."""
        if self.session.current in self.session.models:
            self.session.drop_model(self.session.current)
            self.on_change()

    def rename_group(self) -> None:
        """Ask for a name for the current group."""
        group = self.session.current
        if group not in self.session.models:
            return

        def store(texts: list[str]) -> None:
            """Give the model its new name."""
            self.session.name_model(group, texts[0].strip())
            self.on_change()

        TextQuestion(self, f"{self.NOUN} {group}", [("Name", self.session.models[group].name)], store)

    # --- dragging a point ---

    def on_drag(self, panel: SlicePanel, button: int, place: Place, state: int) -> None:
        """Show where the point would go."""
        panel.canvas.delete("ghost")
        x, y = panel.screen_of(place)
        r = self.ghost(panel)
        panel.canvas.create_oval(x - r, y - r, x + r, y + r, outline="#ffffff", dash=(3, 3), tags=("mark", "ghost"))

    def on_release(self, panel: SlicePanel, button: int, place: Place, state: int) -> None:
        """Put the point down; one that was not moved was clicked."""
        if self._dragging is None:
            return
        group, index = self._dragging
        self._dragging = None
        if panel.moved:
            point, to = self.session.models[group].points[index], list(place)
            depth = (point.z, point.y, point.x)[panel.axis]
            if abs(depth - place[panel.axis]) <= half_slab(self.state_.thickness):
                to[panel.axis] = depth  # it is moved within its slice
            z, y, x = to
            self.session.move(group, index, x, y, z)
        else:
            if group == self.session.current:
                self.notice(place, "A point is here already.", panel)
            self.point_clicked(group, index, state)
        self.on_change()
