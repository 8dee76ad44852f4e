"""Models while they are picked: built again after every change, off the window's thread."""

from dataclasses import dataclass, field

import numpy as np

from emtomo.compute.geometry.models import Built, ModelOptions, build
from emtomo.compute.slices import mesh_contour
from emtomo.errors import ModelError
from emtomo.gui.core.picking import Model, PickingSession
from emtomo.gui.core.slices import neighbour_distance
from emtomo.gui.core.volume import ACROSS
from emtomo.wording import count_text

ARROW_SHARE, SHORTEST, LONGEST = 0.6, 3.0, 24.0  # of the distance of neighbours; voxels
NEAR = 1.5  # voxels from a slice within which an oriented point is drawn


@dataclass(frozen=True)
class LiveModel:
    """What the points of one model give now; places in 0-based voxels, z, y, x; `length` of arrows that fit, voxels."""

    places: np.ndarray
    normals: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    summary: str
    length: float = 6.0
    _spans: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, compare=False)

    def contour(self, axis: int, at: float) -> np.ndarray:
        """Return the mesh's outline on a slice, `(k, 2, 2)` segments of (horizontal, vertical)."""
        rows, columns = ACROSS[axis]
        if axis not in self._spans:
            heights = self.vertices[:, axis][self.faces]
            self._spans[axis] = heights.min(axis=1), heights.max(axis=1)
        low, high = self._spans[axis]
        here = self.faces[(low <= at) & (high >= at)]
        return mesh_contour(self.vertices, here, axis, at)[:, :, [columns, rows]]

    def near(self, axis: int, at: float) -> tuple[np.ndarray, np.ndarray]:
        """Return places and normals (horizontal, vertical) of the oriented points near a slice."""
        rows, columns = ACROSS[axis]
        close = np.abs(self.places[:, axis] - at) <= NEAR
        return self.places[close][:, [columns, rows]], self.normals[close][:, [columns, rows]]


NOTHING = np.zeros((0, 3))


def fit_model(model: Model, options: ModelOptions) -> LiveModel:
    """Return what a model's points give; a sentence says what is still missing."""
    points = np.array([[p.x, p.y, p.z] for p in model.points]).reshape(-1, 3)
    roles = np.array([p.role for p in model.points], object)
    try:
        built: Built = build(model.kind, points, roles, options)
    except ModelError as error:
        return LiveModel(NOTHING, NOTHING, NOTHING, np.zeros((0, 3), int), str(error))
    normals = built.rotations[:, :, 2] if built.rotations is not None else np.full(built.positions.shape, np.nan)
    mesh = built.mesh
    length = min(max(ARROW_SHARE * neighbour_distance(built.positions), SHORTEST), LONGEST)
    message = f"{count_text(len(built.positions), 'coordinate')}" + (f"; {built.note}" if built.note else "")
    return LiveModel(
        built.positions[:, ::-1],
        normals[:, ::-1],
        mesh.vertices[:, ::-1] if mesh is not None else NOTHING,
        mesh.faces if mesh is not None else np.zeros((0, 3), int),
        message,
        length,
    )


class LiveModels:
    """Keeps the fits of a session; only models whose points have changed are built again."""

    def __init__(self) -> None:
        self.fits: dict[int, LiveModel] = {}
        self._made_of: dict[int, tuple[object, ...]] = {}
        self.options = ModelOptions()

    def take_outdated(self, session: PickingSession) -> dict[int, Model]:
        """Return copies of the models that have to be built, by group; forget those that are gone."""
        for group in list(self.fits):
            if group not in session.models:
                del self.fits[group], self._made_of[group]
        wanted = {}
        for group, model in session.models.items():
            key = (model.kind, tuple(model.points), self.options)
            if self._made_of.get(group) != key and model.points:
                self._made_of[group] = key
                wanted[group] = Model(model.kind, list(model.points))
            elif not model.points:
                self.fits.pop(group, None)
                self._made_of.pop(group, None)
        return wanted

    def take_fits(self, fits: dict[int, LiveModel]) -> None:
        """Take fits that were made."""
        self.fits |= {group: fit for group, fit in fits.items() if group in self._made_of}
