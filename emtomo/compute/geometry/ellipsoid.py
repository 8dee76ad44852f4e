"""Spheres and ellipsoids of any orientation: fits and evenly spaced, oriented points."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.geometry.robust import trimmed_inliers
from emtomo.compute.geometry.spacing import FINENESS, evenly_spaced
from emtomo.compute.rotations import unit
from emtomo.errors import ModelError

GOLDEN = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid; a sphere has three equal radii.

    Attributes
    ----------
    centre : (3,) array
    radii : (3,) array
        Semi-axes, in the unit of the points.
    axes : (3, 3) array
        Directions of the semi-axes as columns, a rotation.
    """

    centre: np.ndarray
    radii: np.ndarray
    axes: np.ndarray

    def to_unit(self, points: np.ndarray) -> np.ndarray:
        """Return points in the frame where the ellipsoid is the unit sphere."""
        return (np.asarray(points, float) - self.centre) @ self.axes / self.radii

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return distances to the surface to first order (Taubin), positive outside."""
        u = self.to_unit(points)
        length = np.linalg.norm(u, axis=1)
        slope = np.linalg.norm(u / self.radii, axis=1)
        return np.where(slope > 0, (length**2 - 1) / (2 * np.where(slope > 0, slope, 1)), -self.radii.min())

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Return outward unit normals of the surface through each point."""
        return unit((self.to_unit(points) / self.radii) @ self.axes.T)

    def points(self, spacing: float) -> np.ndarray:
        """Return points on the surface, `spacing` apart, of all its sides."""
        step = spacing / FINENESS
        a, b, _ = np.sort(self.radii)[::-1]
        n = max(200, int(np.ceil(4 * np.pi * a * b / step**2)))
        k = np.arange(n) + 0.5
        height = 1 - 2 * k / n
        ring, turn = np.sqrt(1 - height**2), GOLDEN * k
        sphere = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
        surface = self.centre + (sphere * self.radii) @ self.axes.T
        return surface[evenly_spaced(surface, spacing)]


def fit_sphere(points: np.ndarray, *, seed: int = 0) -> Ellipsoid:
    """Return the sphere through most of the points; a tenth may be gross errors.

    Raises
    ------
    ModelError
        If there are fewer than 4 points or they lie in one plane.
    """
    points = _enough(points, 4, "A sphere")
    inliers = trimmed_inliers(points, _algebraic_sphere, _sphere_distance, 4, seed=seed)
    centre, radius = _geometric_sphere(points[inliers])
    return Ellipsoid(centre, np.full(3, radius), np.eye(3))


def fit_ellipsoid(points: np.ndarray, *, seed: int = 0) -> Ellipsoid:
    """Return the ellipsoid, of any orientation, through most of the points.

    Raises
    ------
    ModelError
        If there are fewer than 9 points, they lie in one plane, or no ellipsoid fits them.
    """
    points = _enough(points, 9, "An ellipsoid")
    inliers = trimmed_inliers(points, _quick_ellipsoid, Ellipsoid.distance, min(len(points), 12), seed=seed)
    kept = points[inliers]
    if len(kept) < 9:
        raise ModelError(f"An ellipsoid needs at least 9 points that agree, got {len(kept)}.")
    start = _quick_ellipsoid(kept)
    return _geometric_ellipsoid(kept, start)


def _enough(points: np.ndarray, least: int, what: str) -> np.ndarray:
    points = np.unique(np.asarray(points, float).reshape(-1, 3), axis=0)
    if len(points) < least:
        raise ModelError(f"{what} needs at least {least} different points, got {len(points)}.")
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[2] < 1e-3 * spread[0]:
        raise ModelError(f"{what} needs points that do not lie in one plane; pick on several slices.")
    return points


def _algebraic_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return centre and radius by linear least squares on |p|² = 2 c·p + (r² - |c|²)."""
    middle = points.mean(axis=0)
    p = points - middle
    rows = np.column_stack([2 * p, np.ones(len(p))])
    solution, *_ = np.linalg.lstsq(rows, np.sum(p**2, axis=1), rcond=1e-10)
    radius2 = solution[3] + solution[:3] @ solution[:3]
    if not radius2 > 0:
        raise ModelError("No sphere fits these points.")
    return solution[:3] + middle, float(np.sqrt(radius2))


def _sphere_distance(sphere: tuple[np.ndarray, float], points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - sphere[0], axis=1) - sphere[1]


def _geometric_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sphere of least squared distances, by Gauss-Newton from the algebraic one."""
    centre, radius = _algebraic_sphere(points)
    for _ in range(50):
        away = points - centre
        length = np.linalg.norm(away, axis=1)
        rows = np.column_stack([-away / length[:, None], -np.ones(len(points))])
        change, *_ = np.linalg.lstsq(rows, -(length - radius), rcond=None)
        centre, radius = centre + change[:3], radius + change[3]
        if np.abs(change).max() < 1e-10 * radius:
            break
    return centre, float(radius)


def _quick_ellipsoid(points: np.ndarray) -> Ellipsoid:
    """Return an ellipsoid by linear least squares with the constraint 4J > I² of Li & Griffiths (2004)."""
    middle = points.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((points - middle) ** 2, axis=1))) or 1.0
    x, y, z = ((points - middle) / scale).T
    rows = np.column_stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y, 2 * x, 2 * y, 2 * z, x * 0 + 1])
    constraint = np.zeros((6, 6))
    constraint[:3, :3] = np.full((3, 3), 1.0) - 2 * np.eye(3)
    constraint[3:, 3:] = -4 * np.eye(3)
    scatter = rows.T @ rows + 1e-9 * np.eye(10)
    s11, s12, s22 = scatter[:6, :6], scatter[:6, 6:], scatter[6:, 6:]
    reduced = s11 - s12 @ np.linalg.solve(s22, s12.T)
    values, vectors = np.linalg.eig(np.linalg.solve(constraint, reduced))
    quadric = np.real(vectors[:, int(np.argmax(np.real(values)))])
    linear = -np.linalg.solve(s22, s12.T @ quadric)
    found = _from_quadric(np.concatenate([quadric, linear]))
    return Ellipsoid(found.centre * scale + middle, found.radii * scale, found.axes)


def _from_quadric(q: np.ndarray) -> Ellipsoid:
    """Return the ellipsoid of xᵀAx + 2 b·x + c = 0.

    Raises
    ------
    ModelError
        If the quadric is another kind of surface.
    """
    a = np.array([[q[0], q[5], q[4]], [q[5], q[1], q[3]], [q[4], q[3], q[2]]])
    centre = -np.linalg.solve(a, q[6:9])
    level = centre @ a @ centre - q[9]
    values, vectors = np.linalg.eigh(a / level if level else a)
    if not (values > 1e-12).all():
        raise ModelError("No ellipsoid fits these points; pick more of its surface.")
    vectors[:, 2] *= np.sign(np.linalg.det(vectors))
    return Ellipsoid(centre, 1 / np.sqrt(values), vectors)


def _geometric_ellipsoid(points: np.ndarray, start: Ellipsoid) -> Ellipsoid:
    """Return the ellipsoid of least squared (first order) distances.

    A weak pull towards equal radii keeps the fit defined where the points say
    nothing, as at the poles that the missing wedge hides.
    """
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    size = float(np.mean(start.radii))

    def unpack(values: np.ndarray) -> Ellipsoid:
        turn = Rotation.from_rotvec(values[6:9]).as_matrix()
        return Ellipsoid(values[:3] * size, np.exp(values[3:6]) * size, turn @ start.axes)

    def residuals(values: np.ndarray) -> np.ndarray:
        pull = 1e-3 * np.sqrt(len(points)) * (values[3:6] - values[3:6].mean())
        return np.concatenate([unpack(values).distance(points) / size, pull])

    first = np.concatenate([start.centre / size, np.log(start.radii / size), np.zeros(3)])
    found = least_squares(residuals, first, max_nfev=200)
    return unpack(found.x)
