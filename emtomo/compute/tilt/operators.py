"""Back-projection and projection through a tilt geometry, adjoint to each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import check_device, device_arrays, threads
from emtomo.compute.tilt.geometry import TiltGeometry

STEP = 8  # voxels between the nodes at which a general geometry is worked out
BLOCK = 256  # voxels along y that are back-projected together
FORWARD_BLOCK = 64  # and projected: few enough that every thread has its own
STRAIGHT = 0.02  # voxels by which the axis may leave the tilt axis' plane before the general geometry is taken

Axis = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Grid:
    """The voxels of a tomogram.

    Attributes
    ----------
    shape : (3,) tuple
        z, y, x.
    pixel_size : float
        Å.
    first : int
        Slice of the whole tomogram that slice 0 is; `depth` is the number of slices of the whole.
    depth : int
    """

    shape: tuple[int, int, int]
    pixel_size: float
    first: int = 0
    depth: int = 0

    @property
    def offsets(self) -> np.ndarray:
        """x, y, z of voxel 0 in Å from the tomogram's centre, voxel ``n // 2``."""
        z, y, x = self.shape
        return np.array([-(x // 2), -(y // 2), self.first - (self.depth or z) // 2]) * self.pixel_size

    def slab(self, first: int, last: int) -> "Grid":
        """Return slices `first` to `last`, the latter excluded."""
        return Grid((last - first, *self.shape[1:]), self.pixel_size, self.first + first, self.depth or self.shape[0])


def is_aligned(geometry: TiltGeometry, grid: Grid) -> bool:
    """Return whether the tilt axis lies in the images' plane and along y: lines along y stay lines of the images."""
    reach = np.abs(geometry.rotations[:, 2, 1]).max(initial=0) * max(grid.shape) / 2
    return geometry.volume_warp is None and bool(reach < STRAIGHT)


def find_axes_in_images(geometry: TiltGeometry) -> Axis:
    """Return (n, 2) unit vectors in the images, across and along the tilt axis."""
    along = geometry.rotations[:, :2, 1]
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    return np.stack([along[:, 1], -along[:, 0]], axis=1), along


@dataclass(frozen=True)
class Heights:
    """Slabs of equal defocus: slab k of tilt t is centred at `first[t] + k * step` Å above the middle plane.

    Attributes
    ----------
    first : (n,) array
        Å.
    step : float
        Å; 0 for one slab.
    count : (n,) int array
        Slabs of every tilt.
    """

    first: np.ndarray
    step: float
    count: np.ndarray

    @classmethod
    def of(cls, geometry: TiltGeometry, grid: Grid, step: float) -> "Heights":
        """Return the slabs that a tomogram of this size reaches; one for every tilt where `step` is 0."""
        z, y, x = grid.depth or grid.shape[0], grid.shape[1], grid.shape[2]
        half = np.abs(geometry.rotations[:, 2]) @ np.array([x, y, z]) * grid.pixel_size / 2
        if not step:
            return cls(np.zeros(len(half)), 0.0, np.ones(len(half), int))
        count = np.maximum(1, 2 * np.ceil(half / step - 0.5).astype(int) + 1)
        return cls(-(count // 2) * step, step, count)

    def index(self, heights: np.ndarray, t: int) -> np.ndarray:
        """Return heights in Å as slabs, whose whole part is the slab's number."""
        return (heights - self.first[t]) / self.step + 0.5 if self.step else np.zeros_like(heights)


class AlignedOperator:
    """Back-projection of images (t, slab, u, y) that are sampled across and along the tilt axis.

    Parameters
    ----------
    geometry : TiltGeometry
    grid : Grid
    sample : float
        Å between the columns u; the lines y are the tomogram's.
    columns : int
        Number of columns; the middle of the axis is at ``columns // 2``.
    heights : Heights
    """

    def __init__(self, geometry: TiltGeometry, grid: Grid, sample: float, columns: int, heights: Heights) -> None:
        across, _ = find_axes_in_images(geometry)
        steps = np.stack([(geometry.rotations[:, :2, a] * across).sum(axis=1) for a in (0, 2)], axis=1)
        x0, _, z0 = grid.offsets
        start = steps[:, 0] * x0 + steps[:, 1] * z0
        scaled = [start / sample + columns // 2, *(steps * grid.pixel_size / sample).T]
        self.lines = np.ascontiguousarray(np.stack(scaled, axis=1), np.float32)
        up = geometry.rotations[:, 2]
        level = [heights.index(up[t, [0]] * x0 + up[t, [2]] * z0, t)[0] for t in range(len(up))]
        rise = up[:, [0, 2]] * grid.pixel_size / (heights.step or np.inf)
        self.heights = np.ascontiguousarray(np.column_stack([level, rise]), np.float32)
        self.shape = grid.shape

    def find_columns(self, t: int, slab: int, slabs: int, columns: int) -> tuple[int, int]:
        """Return first and last (excluded) column that voxels in a slab of tilt t look up, of `columns`.

        The corners of the tomogram's cross-section, cut by the two heights between which the slab lies.
        """
        start, along_x, along_z = self.lines[t].astype(float)
        level, rise_x, rise_z = self.heights[t].astype(float)
        x1, z1 = self.shape[2] - 1, self.shape[0] - 1
        low = -np.inf if slab == 0 else slab - level
        high = np.inf if slab == slabs - 1 else slab + 1 - level
        ends = [e for e in (low, high) if np.isfinite(e)]
        corners = [(x, z) for x in (0, x1) for z in (0, z1)]
        if rise_x:
            corners += [((e - rise_z * z) / rise_x, z) for e in ends for z in (0, z1)]
        if rise_z:
            corners += [(x, (e - rise_x * x) / rise_z) for e in ends for x in (0, x1)]
        slack = 1e-3 * (1 + abs(level))
        inside = [
            start + along_x * x + along_z * z
            for x, z in corners
            if -slack <= x <= x1 + slack
            and -slack <= z <= z1 + slack
            and low - slack <= rise_x * x + rise_z * z <= high + slack
        ]
        if not inside:
            return 0, 0
        return max(0, int(np.floor(min(inside))) - 1), min(columns, int(np.ceil(max(inside))) + 3)

    def back(self, images: np.ndarray, out: np.ndarray, tilts: np.ndarray, device: str = "cpu") -> None:
        """Add to `out` (z, y, x) the images of some tilts."""
        lines, heights = self.lines[tilts], self.heights[tilts]
        if check_device(device) == "cpu":
            from emtomo.compute.kernels.backprojection_cpu import backproject_columns

            _limit(lambda: backproject_columns(images, lines, heights, out, BLOCK))
            return
        from emtomo.compute.kernels.backprojection_cuda import backproject_columns_cuda

        z, y, x = out.shape
        _launch(device, backproject_columns_cuda, (y, x, z), (images, lines, heights), out)

    def forward(self, volume: np.ndarray, out: np.ndarray, tilts: np.ndarray) -> None:
        """Add to `out` (t, 1, u, y) the projections of a volume (z, y, x): the adjoint of :meth:`back`."""
        from emtomo.compute.kernels.backprojection_cpu import project_columns

        _limit(lambda: project_columns(volume, self.lines[tilts], out, FORWARD_BLOCK))


class GeneralOperator:
    """Back-projection of images (t, slab, v, u) as they are, through any geometry.

    Places are worked out on a grid of nodes and interpolated between them; for rotations and shifts that is exact.

    Parameters
    ----------
    geometry : TiltGeometry
    grid : Grid
    samples : (2,) array
        Å a sample of the images along x, y.
    centre : (2,) array
        Sample at which the images' centre is, x, y.
    heights : Heights
    """

    def __init__(
        self, geometry: TiltGeometry, grid: Grid, samples: np.ndarray, centre: np.ndarray, heights: Heights
    ) -> None:
        z, y, x = ((np.arange((n - 1) // STEP + 2) * STEP) * grid.pixel_size for n in grid.shape)
        x0, y0, z0 = grid.offsets
        mesh = np.stack(np.meshgrid(z + z0, y + y0, x + x0, indexing="ij")[::-1], axis=-1)
        seen = geometry.project(mesh.reshape(-1, 3))
        nodes = np.empty((len(geometry), *mesh.shape[:3], 3), np.float32)
        for t in range(len(geometry)):
            places = seen[t, :, :2] / samples + centre
            nodes[t, ..., :2] = places.reshape(*mesh.shape[:3], 2)
            nodes[t, ..., 2] = heights.index(seen[t, :, 2], t).reshape(mesh.shape[:3])
        self.nodes = nodes
        self.shape = grid.shape

    def back(self, images: np.ndarray, out: np.ndarray, tilts: np.ndarray, device: str = "cpu") -> None:
        """Add to `out` (z, y, x) the images of some tilts."""
        nodes = np.ascontiguousarray(self.nodes[tilts])
        if check_device(device) == "cpu":
            from emtomo.compute.kernels.backprojection_cpu import backproject_nodes

            _limit(lambda: backproject_nodes(images, nodes, STEP, out))
            return
        from emtomo.compute.kernels.backprojection_cuda import backproject_nodes_cuda

        z, y, x = out.shape
        _launch(device, backproject_nodes_cuda, (x, y, z), (images, nodes, STEP), out)

    def forward(self, volume: np.ndarray, out: np.ndarray, tilts: np.ndarray) -> None:
        """Add to `out` (t, 1, v, u) the projections of a volume (z, y, x): the adjoint of :meth:`back`."""
        from emtomo.compute.kernels.backprojection_cpu import project_nodes

        _limit(lambda: project_nodes(volume, np.ascontiguousarray(self.nodes[tilts]), STEP, out))


def _limit(work: Callable[[], None]) -> None:
    """Run a compiled function on as many threads as a computation may take."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(min(threads(), numba.config.NUMBA_NUM_THREADS))
    try:
        work()
    finally:
        numba.set_num_threads(before)


def _launch(
    device: str, kernel: object, threads_along: tuple[int, int, int], arguments: tuple, out: np.ndarray
) -> None:
    """Run a CUDA driver with one thread for every voxel of `out`, and bring the result back."""
    from emtomo.compute.kernels.backprojection_cuda import THREADS

    xp = device_arrays(device)
    there = xp.asarray(out)
    moved = [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    fast, middle, slow = threads_along
    kernel[(-(-fast // THREADS), middle, slow), (THREADS, 1, 1)](*moved, there)  # type: ignore[index]
    if there is not out:
        out[...] = xp.asnumpy(there)
