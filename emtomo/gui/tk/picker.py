"""Vectorial picking: models of points on slices, with the model that they give drawn while one picks."""

from typing import Any

import numpy as np

from emtomo.compute.tracking import track_membrane
from emtomo.gui.core.actions import Action
from emtomo.gui.core.hits import half_slab
from emtomo.gui.core.live import LiveModel, LiveModels, fit_model
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.scenedata import SceneData, scene_of_session
from emtomo.gui.core.volume import ACROSS, VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.pickerside import ModelPool, PickTools
from emtomo.gui.tk.sessionwindow import SessionWindow
from emtomo.gui.tk.slicepanel import SHIFT, SlicePanel
from emtomo.gui.tk.slicewindow import DRAWN
from emtomo.wording import count_text

SETTLED = 80  # ms after a click until its model is fitted
FAINT_SIZE = 2.5
SHAPES = {"point": 3.5, "inside": 5.0}
LETTER = {"north": "N", "south": "S", "west": "W", "center": "C", "marker": "M"}


class PickerWindow(SessionWindow):
    """Pick the points of models in one tomogram; every change is on disk before it is shown.

    Parameters
    ----------
    master : widget
    source : VolumeSource
        The tomogram.
    session : PickingSession
    kind : str
        Of new models.
    pixel_size : float
        Å.
    """

    def __init__(
        self, master: Any, source: VolumeSource, session: PickingSession, kind: str, pixel_size: float
    ) -> None:
        self.kind = kind
        self.live = LiveModels()
        self._building: Any = None
        self._again = False
        self._later: str | None = None
        self.montage: Any = None
        super().__init__(master, source, session, "vectorial picking", pixel_size, "picker")

    def build_side(self) -> None:
        """Model pool, role, tools."""
        self.pool = ModelPool(self.side, self)
        self.pool.pack(fill="both", expand=True, pady=(theme.px(self, theme.PAD), 0))
        self.tools = PickTools(self.side, self)
        self.tools.pack(fill="x", pady=(theme.px(self, theme.PAD), 0))

    def mouse_rows(self) -> list[tuple[str, str]]:
        """The mouse while picking."""
        return [
            ("Left click", "add a point to the current model"),
            ("Shift+Left click", "remove the point under the mouse"),
            ("Left drag on a point", "move it"),
            ("Right click on a point", "remove it"),
            ("Wheel in the montage", "all slices on, by the distance of two; with Shift a page"),
        ]

    def make_actions(self) -> list[Action]:
        """The keys of the tutorials' programs."""
        a = Action
        own = [
            a("add", "Add a point under the mouse", lambda: self.add_under_mouse("point"), "c"),
            a("inside", "Mark the inside under the mouse", lambda: self.add_under_mouse("inside"), "C"),
            a("track", "Follow the membrane to the next slice", lambda: self.track(1), "o"),
            a("track back", "Follow the membrane to the slice before", lambda: self.track(-1), "O"),
            a("new", "Start a new model", self.new_model, "n"),
            a("montage", "Montage of slices, or the planes again", self.show_montage, "m"),
            a("3d", "3D view", self.open_3d, "v"),
            a("toggle", "Left click adds points, or not", self.toggle_clicks, "t"),
            a("on", "Next slice", lambda: self.step(1), "<Up> 1"),
            a("back", "Slice before", lambda: self.step(-1), "<Down> <grave> <asciitilde>"),
            a("page on", "Next slice; in the montage the next page", lambda: self.turn_page(1), "<Prior>"),
            a("page back", "Slice before; in the montage the page before", lambda: self.turn_page(-1), "<Next>"),
        ]
        return self.with_own(own)

    # --- models ---

    def new_model(self) -> None:
        """Start a model of the kind in the box."""
        self.session.new_model(self.pool.kind.get())
        self.on_change()

    # --- points ---

    def add_at(self, place: tuple[float, float, float], role: str) -> None:
        """Add a point; without a model, one of the chosen kind is started."""
        if not self.inside(place):
            return
        if self.session.current not in self.session.models:
            self.session.new_model(self.pool.kind.get())
        z, y, x = place
        self.session.add(x, y, z, role)
        self.on_change()

    def add_under_mouse(self, role: str) -> None:
        """Add a point where the mouse is."""
        place = self.mouse_place()
        if place is not None:
            self.add_at(place, role)

    def toggle_clicks(self) -> None:
        """Let left clicks add points, or only move the planes."""
        self.tools.click_picks.set(not self.tools.click_picks.get())

    def on_press(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> bool:
        """A left press on a point begins to move it."""
        self.pressed_panel = panel
        if button == 1 and not state & SHIFT:
            self._dragging = self.point_at(panel, place)
            return self._dragging is not None
        return False

    def on_click(self, panel: SlicePanel, button: int, place: tuple[float, float, float], state: int) -> None:
        """Left adds, Shift+left and right remove."""
        if button == 3 or (button == 1 and state & SHIFT):
            self.remove_at(panel, place)
        elif button == 1 and self.tools.click_picks.get():
            self.add_at(place, self.tools.role.get())
        elif button == 1:
            self.state_.centre(*place)

    # --- following a membrane ---

    def track(self, by: int) -> None:
        """Follow the current model's membrane to the next slice, in a thread; one undo takes it back."""
        model = self.session.models.get(self.session.current)
        points = [p for p in model.points if p.role == "point"] if model is not None else []
        if not points:
            self.say("To follow a membrane, pick at least 5 points on each of 2 slices first.")
            return
        group, picked = self.session.current, np.array([[p.z, p.y, p.x] for p in points])
        slices = np.rint(picked[:, 0]).astype(int)
        known = int(slices.max() if by > 0 else slices.min())
        target = known + by

        def add_tracked(found: np.ndarray) -> None:
            """Add the tracked points on the target slice."""
            if not self.winfo_exists() or group not in self.session.models:
                return
            if not len(found):
                self.say(f"The model has closed before slice {target}.")
                return
            self.session.add_many(group, [[float(x), float(y), float(z), "point"] for z, y, x in found])
            self.state_.go(0, target)
            self.say(f"{count_text(len(found), 'point')} on slice {target}.")
            self.on_change()

        self.say("Following the membrane …")
        data = self.source.data
        follow(self, self.work(lambda _: track_membrane(data, picked, [target]), add_tracked, self.say))

    # --- showing ---

    def on_change(self) -> None:
        """Show the session as it is now, and build what has changed."""
        self.pool.show()
        self.redraw()
        # a thread that computes at once would keep the window from being drawn
        if self._later is None:
            self._later = self.after(SETTLED if self.winfo_viewable() else DRAWN, self._drawn)

    def _build(self) -> None:
        if self._building is not None and self._building.thread.is_alive():
            self._again = True
            return
        wanted = self.live.take_outdated(self.session)
        if not wanted:
            self.pool.show_fit()
            return
        options = self.live.options
        self._building = self.work(
            lambda _: {g: fit_model(m, options) for g, m in wanted.items()}, self._built, self.say
        )

    def _drawn(self) -> None:
        self._later = None
        self._build()

    def _built(self, fits: dict[int, LiveModel]) -> None:
        if not self.winfo_exists():
            return
        self.live.take_fits(fits)
        self.redraw()
        self._building = None
        if self._again:
            self._again = False
            self._build()
        self.pool.show_fit()

    def decorate(self, panel: SlicePanel) -> None:
        """Draw the other planes, models, points."""
        super().decorate(panel)
        self.decorate_slice(panel)

    def decorate_slice(self, panel: SlicePanel) -> None:
        """Draw models, then points, as they lie on a panel's slice."""
        if self.tools.show_model.get():
            for group, fit in self.live.fits.items():
                self._draw_fit(panel, fit, theme.group_colour(group))
        for group, model in self.session.models.items():
            self._draw_points(panel, group, model.points)

    def _draw_fit(self, panel: SlicePanel, fit: LiveModel, colour: str) -> None:
        at = panel.at
        panel.lines(panel.camera.to_screens(fit.contour(panel.axis, at)), colour)
        places, normals = fit.near(panel.axis, at)
        arrows = np.stack([places, places + fit.length * np.nan_to_num(normals)], axis=1)
        panel.lines(panel.camera.to_screens(arrows), colour, "-arrow last -arrowshape {5 6 2}")

    def _draw_points(self, panel: SlicePanel, group: int, points: list[Any]) -> None:
        """Draw points: those on the slice filled, those of its neighbours faint, since they do not answer the mouse."""
        at, depth, on = panel.at, self.visible_depth(), half_slab(self.state_.thickness)
        rows, columns = ACROSS[panel.axis]
        colour, current = theme.group_colour(group), group == self.session.current
        for p in points:
            place = (p.z, p.y, p.x)
            away = abs(place[panel.axis] - at)
            if away > depth:
                continue
            x, y = panel.camera.to_screen(place[columns], place[rows])
            tint = theme.ROLE_COLOURS["inside"] if p.role == "inside" else colour
            if away > on:
                r = theme.px(self, FAINT_SIZE)
                faint = theme.blend(tint, theme.SLICE_BACKGROUND, 0.6)
                panel.canvas.create_oval(x - r, y - r, x + r, y + r, outline=faint, tags="mark")
                continue
            r = theme.px(self, SHAPES.get(p.role, 4.5))
            fill = tint if p.role == "point" else ""
            width = 2 if current else 1
            panel.canvas.create_oval(x - r, y - r, x + r, y + r, outline=tint, width=width, fill=fill, tags="mark")
            if p.role != "point":
                label = LETTER.get(p.role, "in")
                panel.canvas.create_text(x + r + 2, y, anchor="w", text=label, fill=tint, tags="mark")

    def space_data(self) -> SceneData:
        """Return points and models in space."""
        return scene_of_session(self.session, self.live.fits, self.source)

    # --- the montage in the place of the planes ---

    @property
    def in_montage(self) -> bool:
        """Whether the montage is shown."""
        return self.montage is not None and bool(self.montage.winfo_manager())

    def show_montage(self) -> None:
        """Show many slices side by side in the place of the planes, or the planes again."""
        from emtomo.gui.tk.montage import Montage

        if self.in_montage:
            self.show_planes(self.shown)
            return
        if self.montage is None:
            self.montage = Montage(self, self)
        self.grid_frame.pack_forget()
        self.montage.pack(side="left", fill="both", expand=True)
        self.main_axis = 0
        self.plane.set("montage")
        self.montage.begin_at(self.state_.place[0])

    def show_planes(self, axis: int | None) -> None:
        """Show one plane, or all three."""
        if self.in_montage:
            self.montage.pack_forget()
            self.grid_frame.pack(side="left", fill="both", expand=True)
        super().show_planes(axis)
        self.redraw()

    def panels_in_view(self) -> list[Any]:
        """Return what lies under the mouse."""
        return list(self.montage.panels) if self.in_montage else super().panels_in_view()

    def frame_in_view(self) -> Any:
        """Return what holds them."""
        return self.montage if self.in_montage else super().frame_in_view()

    def step(self, by: int) -> None:
        """Go to another slice of the plane under the mouse, or turn the montage by a slice."""
        if self.in_montage:
            self.montage.turn(by * self.montage.step_of())
        else:
            super().step(by)

    def turn_page(self, by: int) -> None:
        """Turn the montage by a page, or go to another slice."""
        if self.in_montage:
            self.montage.turn(by * self.montage.pages())
        else:
            self.step(by)

    def fit(self) -> None:
        """Show whole slices."""
        if self.in_montage:
            self.montage.fit()
        else:
            super().fit()

    def open_3d(self) -> None:
        """Show points and model in space."""
        from emtomo.gui.core.opengl import load_vtk
        from emtomo.gui.tk.view3d import View3D

        def show(_: None) -> None:
            """Open the view in space."""
            if self.winfo_exists():
                self.w["view"] = View3D(self, self.space_data(), f"{self.session.tomogram_id} – 3D – emtomo")
                self.say("")

        self.say("Opening the 3D view …")
        follow(self, self.work(lambda _: load_vtk(), show, self.say))

    def close(self) -> None:
        """Close; everything is in the journal already."""
        if self._later is not None:
            self.after_cancel(self._later)
        if self.montage is not None:
            self.montage.close()
        super().close()
