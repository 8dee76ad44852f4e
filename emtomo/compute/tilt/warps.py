"""Warps of the images and of the volume of a tilt series: values on grids, linear in their nodes."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class ImageWarp:
    """Movement of the sample within the images, on a grid over image and tilts (Warp's GridMovementX and Y).

    Natural cubic splines along x, y and the tilts; beyond the image the value at its edge.

    Attributes
    ----------
    x, y : (t, h, w) arrays
        Å, of one shape; t planes are spread evenly from the first tilt to the last (1: the same in all).
    image_size : (2,) tuple
        x, y of the images in Å.
    """

    x: np.ndarray
    y: np.ndarray
    image_size: tuple[float, float]

    def __post_init__(self) -> None:
        if self.x.shape != self.y.shape or self.x.ndim != 3:
            raise ValueError(f"the grids of x and y must have one shape (t, h, w), got {self.x.shape}, {self.y.shape}")

    def tilt_weights(self, tilts: int) -> np.ndarray:
        """Return (tilts, t): how much every plane counts in every tilt."""
        return spline_basis(np.linspace(0, 1, tilts) if tilts > 1 else np.zeros(1), self.x.shape[0])[0]

    def node_weights(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how much every node of a plane counts at positions, and the derivative.

        Parameters
        ----------
        positions : (..., 2) array
            x, y in Å from the image's centre.

        Returns
        -------
        (..., h * w) array, (..., h * w, 2) array
            Weights, and their derivatives by x and y, per Å.
        """
        size = np.array(self.image_size)
        fractions = positions / size + 0.5
        inside = (fractions >= 0) & (fractions <= 1)
        clipped = np.clip(fractions, 0.0, 1.0)
        across, across_slope = spline_basis(clipped[..., 0], self.x.shape[2])
        along, along_slope = spline_basis(clipped[..., 1], self.x.shape[1])
        across_slope = across_slope * (inside[..., 0, None] / size[0])
        along_slope = along_slope * (inside[..., 1, None] / size[1])
        shape = (*positions.shape[:-1], self.x[0].size)
        weights = (along[..., :, None] * across[..., None, :]).reshape(shape)
        by_x = (along[..., :, None] * across_slope[..., None, :]).reshape(shape)
        by_y = (along_slope[..., :, None] * across[..., None, :]).reshape(shape)
        return weights, np.stack([by_x, by_y], axis=-1)

    def planes(self, tilts: int) -> np.ndarray:
        """Return (tilts, h * w, 2): the nodes' values, x and y in Å, in every tilt."""
        grids = np.stack([self.x, self.y], axis=-1)
        return np.einsum("nt,thwc->nhwc", self.tilt_weights(tilts), grids).reshape(tilts, -1, 2)

    def take(self, index: np.ndarray, tilts: int) -> "ImageWarp":
        """Return the warp of some of the `tilts` images."""
        planes = self.planes(tilts)[index].reshape(-1, *self.x.shape[1:], 2)
        return replace(self, x=planes[..., 0], y=planes[..., 1])


def add_linear_movement(
    warp: ImageWarp | None, matrix: np.ndarray, shifts: np.ndarray, image_size: tuple[float, float]
) -> ImageWarp:
    """Return a warp with `matrix` (2, 2) times a place's distance from the tilt's shift added, at its nodes.

    At least 2 × 2 nodes for each of the (n, 2) `shifts` in Å: splines through the nodes hold what is linear exactly.
    """
    n = len(shifts)
    old = warp or ImageWarp(np.zeros((n, 1, 1)), np.zeros((n, 1, 1)), image_size)
    height, width = (max(side, 2) for side in old.x.shape[1:])
    x, y = (np.linspace(-0.5, 0.5, nodes) * side for nodes, side in zip((width, height), image_size, strict=True))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = old.node_weights(places)[0] @ old.planes(n) + (places - shifts[:, None]) @ np.asarray(matrix).T
    values = values.reshape(n, height, width, 2)
    return ImageWarp(values[..., 0], values[..., 1], image_size)


@dataclass(frozen=True)
class VolumeWarp:
    """Displacement of points of the volume, on a grid over x, y, z and dose (Warp's GridVolumeWarpX, Y and Z).

    Natural cubic splines along all four, linear where there are two nodes; beyond the grid the value at its edge.

    Attributes
    ----------
    nodes : (d, z, y, x, 3) array
        Displacement along x, y, z in Å.
    volume_size : (3,) tuple
        x, y, z in Å.
    doses : (2,) tuple
        Of the grid's first and last plane, e/Å².
    """

    nodes: np.ndarray
    volume_size: tuple[float, float, float]
    doses: tuple[float, float]

    def tilt_weights(self, dose: np.ndarray) -> np.ndarray:
        """Return (tilts, d): how much the planes count at doses."""
        first, last = self.doses
        at = (np.asarray(dose, float) - first) / max(last - first, 1e-9)
        return spline_basis(np.clip(at, 0, 1), self.nodes.shape[0])[0]

    def node_weights(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (p, nodes) at (p, 3) points in Å from the centre, and slopes (p, nodes, 3)."""
        size = np.array(self.volume_size)
        fractions = points / size + 0.5
        inside = (fractions >= 0) & (fractions <= 1)
        parts = [spline_basis(np.clip(fractions[:, k], 0, 1), self.nodes.shape[3 - k]) for k in range(3)]
        (x, dx), (y, dy), (z, dz) = ((b, d * inside[:, k, None]) for k, (b, d) in enumerate(parts))

        def outer(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
            return np.einsum("pi,pj,pk->pijk", a, b, c).reshape(len(points), self.nodes[0, ..., 0].size)

        slopes = np.stack([outer(z, y, dx / size[0]), outer(z, dy / size[1], x), outer(dz / size[2], y, x)], axis=-1)
        return outer(z, y, x), slopes

    def planes(self, dose: np.ndarray) -> np.ndarray:
        """Return (tilts, z * y * x, 3): the nodes' displacements in Å at the doses of the tilts."""
        flat = self.nodes.reshape(self.nodes.shape[0], -1, 3)
        return np.einsum("nd,dgc->ngc", self.tilt_weights(dose), flat)


def spline_basis(at: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (..., nodes) weights and slopes of natural cubic splines at places from 0 (first node) to 1 (last)."""
    from scipy.interpolate import CubicSpline

    if nodes < 3:
        return linear_basis(at, nodes)
    spline = CubicSpline(np.linspace(0, 1, nodes), np.eye(nodes), axis=0, bc_type="natural")
    return spline(at), spline(at, 1)


def linear_basis(at: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (..., nodes) weights and slopes of linear interpolation at places from 0 to 1, constant beyond."""
    weights = np.zeros((*at.shape, nodes))
    slopes = np.zeros_like(weights)
    if nodes == 1:
        return weights + 1, slopes
    u = np.clip(at, 0, 1) * (nodes - 1)
    low = np.minimum(u.astype(int), nodes - 2)
    np.put_along_axis(weights, low[..., None], (1 - (u - low))[..., None], axis=-1)
    np.put_along_axis(weights, low[..., None] + 1, (u - low)[..., None], axis=-1)
    slope = np.where((at >= 0) & (at <= 1), nodes - 1.0, 0.0)[..., None]
    np.put_along_axis(slopes, low[..., None], -slope, axis=-1)
    np.put_along_axis(slopes, low[..., None] + 1, slope, axis=-1)
    return weights, slopes
