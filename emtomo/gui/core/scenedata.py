"""What the 3D view draws, as arrays."""

from dataclasses import dataclass, field

import numpy as np

from emtomo.gui.core.live import LiveModel
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource


@dataclass
class SecondMap:
    """Another volume in the same place.

    Attributes
    ----------
    source : VolumeSource
    scale : float
        Its voxels' edge in those of the scene; the centres (index ``n // 2``) lie on each other.
    white : bool
    level : float or None
        Grey value of its isosurface; None until it is drawn.
    """

    source: VolumeSource
    scale: float = 1.0
    white: bool = True
    level: float | None = None


@dataclass
class SceneData:
    """What is drawn.

    Attributes
    ----------
    source : VolumeSource or None
    shape : (z, y, x)
    points, normals : (n, 3) arrays
        x, y, z; normals NaN where unknown.
    groups, scores : (n,) arrays
    tomograms : (n,) array of str
    meshes : list of (vertices, faces, group)
    box, length : float
        Edge of the boxes, length of the arrows, voxels.
    rgb : (n, 3) uint8 array, optional
        Colours of the points, in place of those of their groups.
    second : SecondMap, optional
        A map to be compared.
    surface : bool
        Show the isosurface at first: for averages, masks.
    """

    source: VolumeSource | None
    shape: tuple[int, int, int]
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    normals: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    tomograms: np.ndarray = field(default_factory=lambda: np.zeros(0, object))
    meshes: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)
    box: float = 16.0
    length: float = 8.0
    rgb: np.ndarray | None = None
    second: SecondMap | None = None
    surface: bool = False
    white: bool = True


def second_map(shown: Shown, other: Shown) -> SecondMap:
    """Return a volume to be shown in the place of another one, at its own pixel size."""
    sizes = [float(one.value.pixel_size.get() or 0) for one in (other, shown)]
    scale = sizes[0] / sizes[1] if all(sizes) else 1.0
    white = bool(other.value.white.get()) if hasattr(other.value, "white") else True
    return SecondMap(VolumeSource(other.path(str(other.value.file.get()))), scale, white)


def scene_of_session(session: PickingSession, fits: dict[int, LiveModel], source: VolumeSource) -> SceneData:
    """Return the points of a picking session with the models that they give."""
    data = SceneData(source, source.shape)
    rows = [(p.x, p.y, p.z, g) for g, m in session.models.items() for p in m.points]
    data.points = np.array([r[:3] for r in rows], float).reshape(-1, 3)
    data.groups = np.array([r[3] for r in rows], int)
    data.normals = np.full(data.points.shape, np.nan)
    data.scores = np.zeros(len(rows))
    data.tomograms = np.full(len(rows), session.tomogram_id, object)
    data.meshes = [(f.vertices[:, ::-1], f.faces, g) for g, f in fits.items() if len(f.faces)]
    data.box = 4.0
    return data


def find_step(shape: tuple[int, ...]) -> int:
    """Return which voxels an isosurface is made of: every first, second, …"""
    return max(1, int(np.ceil(max(shape) / 160)))


def shrink_volume(source: VolumeSource) -> np.ndarray:
    """Return the voxels that an isosurface is made of."""
    step = find_step(source.shape)
    return np.array([source.slab(k, k + 1)[0, ::step, ::step] for k in range(0, source.shape[0], step)], np.float32)
