"""Tomogram slice, isosurface, particles, arrows, models and boxes in space: VTK, off-screen, into an array.

VTK's own Tk widget is not in its wheels; here it draws into memory, so the same works in a window, over SSH, and
without a display. Places are x, y, z in 0-based voxels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.gui.core.opengl import load_vtk
from emtomo.gui.core.scenedata import SceneData, SecondMap, find_step, shrink_volume

LARGEST = 400  # voxels along an axis of what is drawn
GROUP_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#ffffff", "#b2df8a")
MOST_ARROWS = 20_000
FIRST_COLOUR, SECOND_COLOUR = "#c9b17a", "#56b4e9"


class Scene:
    """Draws a :class:`SceneData`.

    Raises
    ------
    EmtomoError
        If there is no OpenGL.
    """

    PARTS = ("slice", "surface", "second", "points", "arrows", "meshes", "boxes")

    def __init__(self, data: SceneData, background: str = "#202124") -> None:
        load_vtk()
        import pyvista as pv

        self._pv = pv
        self.data = data
        self.plotter = pv.Plotter(off_screen=True, window_size=(640, 480))
        self.plotter.ren_win.SetMultiSamples(0)  # ten times faster without a graphics card
        self.plotter.background_color = background
        self.shown = {part: part not in ("boxes", "surface") for part in self.PARTS}
        self.shown["surface"], self.shown["slice"] = data.surface, data.source is not None and not data.surface
        self.kept = np.ones(len(data.points), bool)
        self.selected = np.zeros(len(data.points), bool)
        self.colour_by = "group"
        self.axis = 0
        self.place = [n // 2 for n in data.shape]
        self.level: float | None = None
        self._small: np.ndarray | None = None
        self._small_second: np.ndarray | None = None
        # asked to read, in a thread, what a slow disk has to give before a part can be drawn, and to make it then
        self.later: Callable[[Callable[[], object], str], object] | None = None
        self._actors: dict[str, list[Any]] = {}
        self._undo: list[np.ndarray] = []
        self._outline()
        for part in self.PARTS:
            self.make(part)
        self.view("iso")

    # --- parts ---

    def show(self, part: str, on: bool) -> None:
        """Show or hide a part."""
        self.shown[part] = on
        self.make(part)

    def replace(self, data: SceneData) -> None:
        """Show other points and models in the same volume, from where it is looked at now."""
        self.data = data
        self.kept = np.ones(len(data.points), bool)
        self.selected = np.zeros(len(data.points), bool)
        self._undo = []
        for part in ("points", "arrows", "meshes", "boxes"):
            self.make(part)

    def make(self, part: str) -> None:
        """Draw a part again; if its voxels are not at hand, the window reads them in a thread first."""
        if self.shown[part] and self.later is not None and not self._at_hand(part):
            self.later(lambda: self._read(part), part)
            return
        for actor in self._actors.pop(part, []):
            self.plotter.remove_actor(actor, render=False)
        if self.shown[part]:
            self._actors[part] = getattr(self, f"_make_{part}")()

    def _at_hand(self, part: str) -> bool:
        source = self.data.source
        if part == "slice" and source is not None:
            return source.at_hand(self.axis, self.place[self.axis]) is not None
        if part == "second":
            return self.data.second is None or self._small_second is not None
        return part != "surface" or source is None or self._small is not None

    def _read(self, part: str) -> None:
        source, second = self.data.source, self.data.second
        if part == "second" and second is not None and self._small_second is None:
            self._small_second = shrink_volume(second.source)
        elif source is not None and part == "slice":
            source.plane(self.axis, self.place[self.axis])
        elif source is not None and part == "surface" and self._small is None:
            self._small = shrink_volume(source)

    def compare(self, second: SecondMap | None) -> None:
        """Show another map in the same place, or none."""
        self.data.second, self._small_second = second, None
        self.make("second")
        self.make("surface")

    def _outline(self) -> None:
        nz, ny, nx = self.data.shape
        box = self._pv.Box(bounds=(-0.5, nx - 0.5, -0.5, ny - 0.5, -0.5, nz - 0.5))
        self.plotter.add_mesh(box.extract_all_edges(), color="#707880", line_width=1, render=False, lighting=False)

    def _make_slice(self) -> list[Any]:
        source = self.data.source
        if source is None:
            return []
        from emtomo.compute.slices import draw_slice

        k = self.place[self.axis]
        plane = source.plane(self.axis, k)
        step = max(1.0, max(plane.shape) / LARGEST)
        size = tuple(max(2, int(round(n / step))) for n in plane.shape)
        grey = draw_slice(plane, (step - 1) / 2, (step - 1) / 2, step, source.limits, size)  # type: ignore[arg-type]
        nz, ny, nx = self.data.shape
        planes: dict[int, list[tuple[float, float, float]]] = {
            0: [(-0.5, -0.5, k), (nx - 0.5, -0.5, k), (-0.5, ny - 0.5, k)],
            1: [(-0.5, k, -0.5), (nx - 0.5, k, -0.5), (-0.5, k, nz - 0.5)],
            2: [(k, -0.5, -0.5), (k, -0.5, nz - 0.5), (k, ny - 0.5, -0.5)],
        }
        a, b, c = (np.array(p, float) for p in planes[self.axis])
        quad = self._pv.PolyData(np.array([a, b, b + c - a, c]), np.array([4, 0, 1, 2, 3]))
        quad.active_texture_coordinates = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
        rgb = np.repeat(np.ascontiguousarray(grey[::-1])[:, :, None], 3, axis=2)
        texture = self._pv.Texture(rgb)
        return [self.plotter.add_mesh(quad, texture=texture, lighting=False, render=False, reset_camera=False)]

    def _make_surface(self) -> list[Any]:
        if self.data.source is None:
            return []
        self._read("surface")
        assert self._small is not None
        step, small = find_step(self.data.shape), self._small if self.data.white else -self._small
        if self.level is None:
            self.level = float(np.percentile(small, 96 if self.data.surface else 99.5))
        opacity = 0.55 if self.data.second is not None and self.shown["second"] else 1.0
        return self._contour(small, self.level, (step,) * 3, (0.0, 0.0, 0.0), FIRST_COLOUR, opacity)

    def _make_second(self) -> list[Any]:
        second = self.data.second
        if second is None:
            return []
        self._read("second")
        assert self._small_second is not None
        step = find_step(second.source.shape)
        small = self._small_second if second.white else -self._small_second
        if second.level is None:
            second.level = float(np.percentile(small, 96))
        middle = [n // 2 - second.scale * (m // 2) for n, m in zip(self.data.shape, second.source.shape, strict=True)]
        return self._contour(small, second.level, (step * second.scale,) * 3, tuple(middle[::-1]), SECOND_COLOUR, 1.0)

    def _contour(
        self, small: np.ndarray, level: float, spacing: tuple[float, ...], origin: tuple[float, ...], colour: str,
        opacity: float,
    ) -> list[Any]:  # fmt: skip
        """Return the isosurface of a volume whose first voxel lies at `origin`, x, y, z."""
        grid = self._pv.ImageData(dimensions=small.shape[::-1], spacing=spacing, origin=origin)
        grid.point_data["density"] = small.ravel()
        surface = grid.contour([level], scalars="density")
        if not surface.n_points:
            return []
        return [
            self.plotter.add_mesh(
                surface, color=colour, smooth_shading=True, render=False, reset_camera=False, specular=0.3,
                opacity=opacity,
            )
        ]  # fmt: skip

    def _colours(self, index: np.ndarray) -> np.ndarray:
        """Return the colours of points as `(n, 3)` uint8."""
        import matplotlib

        if self.data.rgb is not None:
            colours = self.data.rgb[index].copy()
        elif self.colour_by == "score":
            scores = self.data.scores
            low, high = (float(np.nanmin(scores)), float(np.nanmax(scores))) if len(scores) else (0.0, 1.0)
            share = (scores[index] - low) / max(high - low, 1e-12)
            colours = (matplotlib.colormaps["viridis"](share)[:, :3] * 255).astype(np.uint8)
        else:
            if self.colour_by == "tomogram":
                names = {name: k for k, name in enumerate(dict.fromkeys(self.data.tomograms), 1)}
                groups = np.array([names[name] for name in self.data.tomograms[index]], int)
            else:
                groups = self.data.groups[index]
            palette = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in GROUP_COLOURS], np.uint8)
            colours = palette[(groups - 1) % len(palette)]
        colours[self.selected[index]] = (255, 60, 60)
        return colours

    def _make_points(self) -> list[Any]:
        index = np.flatnonzero(self.kept)
        if not len(index):
            return []
        cloud = self._pv.PolyData(self.data.points[index].astype(np.float32))
        cloud["colour"] = self._colours(index)
        return [self.plotter.add_mesh(cloud, scalars="colour", rgb=True, point_size=7, render=False, reset_camera=False,
                                      render_points_as_spheres=len(index) < 5000, lighting=False)]  # fmt: skip

    def _make_arrows(self) -> list[Any]:
        index = np.flatnonzero(self.kept & np.isfinite(self.data.normals).all(axis=1))[:MOST_ARROWS]
        if not len(index):
            return []
        starts = self.data.points[index]
        ends = starts + self.data.normals[index] * max(self.data.length, 2.0)
        lines = self._pv.PolyData(np.concatenate([starts, ends]).astype(np.float32))
        n = len(index)
        lines.lines = np.column_stack([np.full(n, 2), np.arange(n), np.arange(n) + n]).ravel()
        colour = np.concatenate([self._colours(index)] * 2)
        lines["colour"] = colour
        heads = self._pv.PolyData(ends.astype(np.float32))
        heads["direction"] = self.data.normals[index]
        heads["colour"] = self._colours(index)
        cone = self._pv.Cone(height=1.0, radius=0.35, resolution=6, direction=(1, 0, 0))
        tips = heads.glyph(orient="direction", scale=False, geom=cone, factor=max(self.data.length * 0.4, 1.0))
        made = [
            self.plotter.add_mesh(
                lines, scalars="colour", rgb=True, line_width=2, render=False, reset_camera=False, lighting=False
            )
        ]
        made.append(self.plotter.add_mesh(tips, scalars="colour", rgb=True, render=False, reset_camera=False))
        return made

    def _make_meshes(self) -> list[Any]:
        made = []
        for vertices, faces, group in self.data.meshes:
            cells = np.column_stack([np.full(len(faces), 3), faces]).ravel()
            mesh = self._pv.PolyData(vertices.astype(np.float32), cells)
            tint = GROUP_COLOURS[(group - 1) % len(GROUP_COLOURS)]
            made.append(
                self.plotter.add_mesh(
                    mesh, color=tint, opacity=0.35, smooth_shading=True, render=False, reset_camera=False
                )
            )
            made.append(
                self.plotter.add_mesh(
                    mesh.extract_all_edges(), color=tint, opacity=0.5, render=False, reset_camera=False, lighting=False
                )
            )
        return made

    def _make_boxes(self) -> list[Any]:
        index = np.flatnonzero(self.kept)[:MOST_ARROWS]
        if not len(index):
            return []
        cloud = self._pv.PolyData(self.data.points[index].astype(np.float32))
        cloud["colour"] = self._colours(index)
        cube = self._pv.Cube().extract_all_edges()
        boxes = cloud.glyph(orient=False, scale=False, geom=cube, factor=self.data.box)
        return [
            self.plotter.add_mesh(
                boxes, scalars="colour", rgb=True, line_width=1, render=False, reset_camera=False, lighting=False
            )
        ]

    # --- camera ---

    def view(self, name: str) -> None:
        """Look along an axis (x, y, z), with the slice across it; or from aside (iso)."""
        vectors = {
            "z": ((0, 0, 1), (0, 1, 0)),
            "x": ((1, 0, 0), (0, 0, 1)),
            "y": ((0, -1, 0), (0, 0, 1)),
            "iso": ((1, -1.4, 1), (0, 0, 1)),
        }
        direction, up = vectors[name]
        nz, ny, nx = self.data.shape
        middle = np.array([(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2])
        camera = self.plotter.camera
        camera.focal_point = tuple(middle)
        unit = np.array(direction, float) / np.linalg.norm(direction)
        camera.position = tuple(middle + unit * 2.2 * max(nx, ny, nz))
        camera.up = up
        if name in "xyz":
            self.axis = "zyx".index(name)
            self.make("slice")
        self.plotter.renderer.ResetCamera()

    def reset(self) -> None:
        """Put the slice back to the middle."""
        self.place = [n // 2 for n in self.data.shape]
        self.make("slice")

    def step(self, by: int) -> None:
        """Move the slice along its axis."""
        self.place[self.axis] = min(max(self.place[self.axis] + by, 0), self.data.shape[self.axis] - 1)
        self.make("slice")

    def rotate(self, dx: float, dy: float) -> None:
        """Turn by pixels of a drag."""
        self.plotter.camera.Azimuth(-dx * 0.4)
        self.plotter.camera.Elevation(dy * 0.4)
        self.plotter.camera.OrthogonalizeViewUp()

    def zoom(self, factor: float) -> None:
        """Come nearer."""
        self.plotter.camera.zoom(factor)

    def pan(self, dx: float, dy: float, height: int) -> None:
        """Move the scene by pixels of a drag in a view of `height` pixels."""
        camera = self.plotter.camera
        position, focus, up = (np.array(v, float) for v in (camera.position, camera.focal_point, camera.up))
        ahead = focus - position
        across = np.cross(ahead, up)
        across /= np.linalg.norm(across)
        above = np.cross(across, ahead)
        above /= np.linalg.norm(above)
        per = 2 * np.tan(np.deg2rad(camera.view_angle) / 2) * np.linalg.norm(ahead) / height
        move = (-dx * across + dy * above) * per
        camera.position, camera.focal_point = tuple(position + move), tuple(focus + move)

    def render(self, width: int, height: int) -> np.ndarray:
        """Return the picture, `(height, width, 3)` uint8."""
        self.plotter.ren_win.SetSize(max(8, width), max(8, height))
        self.plotter.renderer.ResetCameraClippingRange()
        self.plotter.render()
        return np.asarray(self.plotter.screenshot(return_img=True))[:, :, :3]

    def project(self, width: int, height: int) -> np.ndarray:
        """Return pixel x, y and depth of all points in a view, `(n, 3)`; depth beyond 1 lies behind."""
        matrix = self.plotter.renderer.GetActiveCamera().GetCompositeProjectionTransformMatrix(width / height, 0, 1)
        m = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
        homogeneous = np.column_stack([self.data.points, np.ones(len(self.data.points))]) @ m.T
        w = np.where(np.abs(homogeneous[:, 3:]) < 1e-12, 1e-12, homogeneous[:, 3:])
        ndc = homogeneous[:, :3] / w
        return np.column_stack([(ndc[:, 0] + 1) / 2 * width, (1 - ndc[:, 1]) / 2 * height, ndc[:, 2]])

    # --- selection ---

    def pick(self, x: float, y: float, width: int, height: int, reach: float = 8.0, *, add: bool = False) -> int | None:
        """Select the nearest point under a pixel; return it."""
        at = self.project(width, height)
        away = np.hypot(at[:, 0] - x, at[:, 1] - y)
        near = np.flatnonzero(self.kept & (away <= reach))
        if not add:
            self.selected[:] = False
        found = int(near[at[near, 2].argmin()]) if len(near) else None
        if found is not None:
            self.selected[found] = not self.selected[found]
        self.repaint()
        return found

    def pick_rectangle(self, x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> int:
        """Select the points within a rectangle of the view; return how many."""
        at = self.project(width, height)
        low, high = np.minimum((x0, y0), (x1, y1)), np.maximum((x0, y0), (x1, y1))
        self.selected = self.kept & (at[:, :2] >= low).all(axis=1) & (at[:, :2] <= high).all(axis=1)
        self.repaint()
        return int(self.selected.sum())

    def remove_selected(self) -> int:
        """Take the selected points out; return how many."""
        count = int((self.selected & self.kept).sum())
        if count:
            self._undo.append(self.kept.copy())
            self.kept = self.kept & ~self.selected
            self.selected[:] = False
            self.repaint()
        return count

    def undo(self) -> bool:
        """Bring back what was removed last."""
        if not self._undo:
            return False
        self.kept = self._undo.pop()
        self.repaint()
        return True

    def set_colour_by(self, what: str) -> None:
        """Colour points by group, score or tomogram."""
        self.colour_by = what
        self.repaint()

    def repaint(self) -> None:
        """Draw points, arrows and boxes again, in their colours."""
        for part in ("points", "arrows", "boxes"):
            self.make(part)

    def close(self) -> None:
        """Free the graphics memory."""
        self.plotter.close()
