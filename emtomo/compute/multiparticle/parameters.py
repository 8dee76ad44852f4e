"""Blocks of parameters: how each moves images, its prior, and the geometry that its values give.

Values are changes from the state before the refinement, in Å, radians and mm; 0 everywhere is that state. Gauges: what
all tilts and all particles can do together (shift, rotate, go up or down) does not show in any image. The priors fix
it: of all solutions that the images cannot tell apart, the one of largest prior density is taken, in which mostly the
particles moved, since their priors are wide. The first plane of a volume warp in dose stays 0.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.multiparticle.sweep import DEFOCUS, ROTATION, SHIFT
from emtomo.compute.tilt.geometry import ProjectionDerivatives, TiltGeometry
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp


@dataclass(frozen=True)
class Slopes:
    """What blocks need to know of one tilt.

    Attributes
    ----------
    tilt : int
    projection : ProjectionDerivatives
        Of one tilt.
    hand : int
    stage : (3, 3) array
        What turns the section beyond the tilt's rotation.
    parameters : int
        Number of an image's parameters, as :class:`.sweep.Statistics` has them.
    optics : bool
        Whether further optics are among them.
    """

    tilt: int
    projection: ProjectionDerivatives
    hand: int
    stage: np.ndarray
    parameters: int
    optics: bool

    def __len__(self) -> int:
        return int(self.projection.positions.shape[1])

    def empty(self, columns: int) -> np.ndarray:
        """Return (p, q, columns) zeros."""
        return np.zeros((len(self), self.parameters, columns))

    def move(self, out: np.ndarray, by: np.ndarray) -> None:
        """Put (p, 3, columns) derivatives of the projection into those of the images."""
        out[:, SHIFT] = by[:, :2]
        out[:, DEFOCUS] = self.hand * by[:, 2]


class ParameterBlock(ABC):
    """Parameters that all particles of a series share.

    Attributes
    ----------
    name : str
    size : int
        Number of values.
    optics, magnification : bool
        Whether the sweep must give derivatives by them.
    """

    name: str
    size: int
    optics = False
    magnification = False

    def prepare(self, geometry: TiltGeometry) -> TiltGeometry:
        """Return the geometry with room for the values, all of them 0."""
        return geometry

    @abstractmethod
    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """Return a prepared geometry changed by the values."""

    @abstractmethod
    def columns(self, tilt: int) -> np.ndarray:
        """Return which values count in a tilt."""

    @abstractmethod
    def slopes(self, at: Slopes) -> np.ndarray:
        """Return (p, q, columns) derivatives of the images' parameters by those values."""

    @abstractmethod
    def precision(self) -> np.ndarray:
        """Return the prior's (size, size) inverse covariance."""


@dataclass
class ImageShifts(ParameterBlock):
    """A shift of every tilt image."""

    tilts: int
    width: float
    name = "image warp"

    def __post_init__(self) -> None:
        self.size = 2 * self.tilts

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        return replace(geometry, shifts=geometry.shifts + values.reshape(-1, 2))

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.arange(2 * tilt, 2 * tilt + 2)

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out = at.empty(2)
        at.move(out, at.projection.shift[0])
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.eye(self.size) / self.width**2


@dataclass
class ImageWarps(ParameterBlock):
    """A grid of movements in every tilt image: `grid` nodes along x and y.

    The prior's `shift` holds the mean of a tilt's nodes, `warp` how far nodes are from it.
    """

    tilts: int
    grid: tuple[int, int]
    image_size: tuple[float, float]
    shift: float
    warp: float
    name = "image warp"

    def __post_init__(self) -> None:
        self.nodes = self.grid[0] * self.grid[1]
        self.size = 2 * self.tilts * self.nodes

    def prepare(self, geometry: TiltGeometry) -> TiltGeometry:
        """See :class:`ParameterBlock`; a warp on another grid is taken at the new nodes."""
        shape, old = (self.tilts, self.grid[1], self.grid[0]), geometry.image_warp
        if old is not None and old.x.shape == shape:
            return geometry
        if old is None:
            return replace(geometry, image_warp=ImageWarp(np.zeros(shape), np.zeros(shape), self.image_size))
        x, y = (np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1) for n in self.grid)
        size = np.array(self.image_size)
        places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) * size
        values = old.node_weights(places)[0] @ old.planes(self.tilts)
        values = values.reshape(*shape, 2)
        return replace(geometry, image_warp=ImageWarp(values[..., 0], values[..., 1], self.image_size))

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        old = geometry.image_warp
        assert old is not None
        change = values.reshape(self.tilts, 2, self.grid[1], self.grid[0])
        return replace(geometry, image_warp=replace(old, x=old.x + change[:, 0], y=old.y + change[:, 1]))

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`; the nodes' x, then their y."""
        return np.arange(2 * self.nodes * tilt, 2 * self.nodes * (tilt + 1))

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out, weights = at.empty(2 * self.nodes), at.projection.image_nodes[0]
        out[:, SHIFT.start, : self.nodes] = out[:, SHIFT.start + 1, self.nodes :] = -weights
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        mean = np.full((self.nodes, self.nodes), 1 / self.nodes)
        one = mean / self.nodes / self.shift**2 + (np.eye(self.nodes) - mean) / self.warp**2
        return np.kron(np.eye(2 * self.tilts), one)


@dataclass
class StageAngles(ParameterBlock):
    """A rotation of every tilt about the image's axes, of positions and sections."""

    tilts: int
    width: float
    name = "stage angles"

    def __post_init__(self) -> None:
        self.size = 3 * self.tilts

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""

        from scipy.spatial.transform import Rotation

        turns = Rotation.from_rotvec(values.reshape(-1, 3)).as_matrix()
        return replace(geometry, rotations=turns @ geometry.rotations)

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.arange(3 * tilt, 3 * tilt + 3)

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out = at.empty(3)
        at.move(out, at.projection.rotation[0])
        out[:, ROTATION] = at.stage
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.eye(self.size) / self.width**2


@dataclass
class VolumeWarps(ParameterBlock):
    """Displacements on a grid over x, y, z and dose; the first plane in dose stays where it is.

    `grid` are nodes along x, y, z and dose, at least 2 along dose.
    """

    grid: tuple[int, int, int, int]
    volume_size: tuple[float, float, float]
    doses: tuple[float, float]
    width: float
    name = "volume warp"

    def __post_init__(self) -> None:
        x, y, z, self.planes = self.grid
        self.nodes = x * y * z
        self.size = 3 * self.nodes * (self.planes - 1)

    def prepare(self, geometry: TiltGeometry) -> TiltGeometry:
        """See :class:`ParameterBlock`; a warp on another grid is taken at the new nodes."""
        x, y, z, planes = self.grid
        old, shape = geometry.volume_warp, (planes, z, y, x, 3)
        if old is not None and old.nodes.shape == shape and old.doses == self.doses:
            return geometry
        nodes = np.zeros(shape)
        if old is not None:
            along = [(np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1)) for n in (z, y, x)]
            places = np.stack(np.meshgrid(*along, indexing="ij")[::-1], axis=-1).reshape(-1, 3)
            weights = old.node_weights(places * np.array(self.volume_size))[0]
            nodes = np.einsum("pg,dgc->dpc", weights, old.planes(np.linspace(*self.doses, planes))).reshape(shape)
        return replace(geometry, volume_warp=VolumeWarp(nodes, self.volume_size, self.doses))

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        old = geometry.volume_warp
        assert old is not None
        nodes = old.nodes.copy()
        nodes[1:] += values.reshape(nodes[1:].shape)
        return replace(geometry, volume_warp=replace(old, nodes=nodes))

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.arange(self.size)

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out, found = at.empty(self.size), at.projection
        by = np.einsum("prc,pg,d->prdgc", found.displacement[0], found.volume_nodes, found.volume_tilts[0, 1:])
        at.move(out, by.reshape(len(at), 3, -1))
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.eye(self.size) / self.width**2
