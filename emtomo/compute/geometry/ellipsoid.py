"""Spheres and ellipsoids of any orientation: fits and evenly spaced, oriented points."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.geometry.certainty import Certainty, enough, judge
from emtomo.compute.geometry.evidence import DOUBT, Regularised, with_evidence
from emtomo.compute.geometry.robust import find_inliers
from emtomo.compute.geometry.spacing import FINENESS, check_number, evenly_spaced
from emtomo.compute.rotations import unit
from emtomo.errors import ModelError

GOLDEN = np.pi * (3 - np.sqrt(5))
REJECTIONS = 3
DIRECTIONS, SAMPLES = 200, 60
# five symmetric matrices without trace, orthonormal
_SHAPES = np.array(
    [
        np.diag([1, -1, 0]) / np.sqrt(2),
        np.diag([1, 1, -2]) / np.sqrt(6),
        np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]) / np.sqrt(2),
        np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]]) / np.sqrt(2),
        np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0]]) / np.sqrt(2),
    ]
)


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
        check_number(4 * np.pi * a * b, spacing)
        n = max(200, int(np.ceil(4 * np.pi * a * b / step**2)))
        k = np.arange(n) + 0.5
        height = 1 - 2 * k / n
        ring, turn = np.sqrt(1 - height**2), GOLDEN * k
        sphere = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
        surface = self.centre + (sphere * self.radii) @ self.axes.T
        return surface[evenly_spaced(surface, spacing)]


@dataclass(frozen=True)
class Fitted(Ellipsoid):
    """A surface with how certain it is, and a warning where it should not be believed as it is."""

    certainty: Certainty
    warning: str = ""


def fit_sphere(points: np.ndarray, *, seed: int = 0, noise: float = 0.0, largest: float = np.inf) -> Fitted:
    """Return the sphere through most of the points, and how certain it is; a tenth may be gross errors.

    Parameters
    ----------
    points : (n, 3) array
    seed : int
        Of the random subsets.
    noise : float
        Standard deviation of the points that is expected, 0 if none is.
    largest : float
        Radius beyond which no sphere is believed.

    Raises
    ------
    ModelError
        If there are fewer than 4 points, they lie on a line or in one plane, or do not determine a sphere.
    """
    points = enough(points, 4, "A sphere")
    inliers = find_inliers(points, _algebraic_sphere, _sphere_distance, 4, seed=seed)
    kept = points[inliers]
    centre, radius = _geometric_sphere(kept)
    away = kept - centre
    length = np.linalg.norm(away, axis=1)
    slope = np.column_stack([away / length[:, None], np.ones(len(kept))])
    doubt = DOUBT if noise > 0 else 0.0
    square = (np.sum((length - radius) ** 2) + doubt * noise**2) / max(len(kept) + doubt - 4, 1)
    covariance = np.linalg.pinv(slope.T @ slope) * square
    around = np.column_stack([_directions(), np.ones(DIRECTIONS)])
    spread = np.sqrt(np.einsum("ni,ij,nj->n", around, covariance, around))
    # a centre that is off turns the normals by its part across them
    tilt = np.rad2deg(np.sqrt(np.trace(covariance[:3, :3]) * 2 / 3) / radius)
    certainty, warning = judge(
        np.full(3, radius), spread, np.full(DIRECTIONS, tilt), float(np.sqrt(square)), points, largest, "sphere"
    )
    return Fitted(centre, np.full(3, radius), np.eye(3), certainty, warning)


def fit_ellipsoid(points: np.ndarray, *, seed: int = 0, noise: float = 0.0, largest: float = np.inf) -> Fitted:
    """Return the ellipsoid, of any orientation, through most of the points, and how certain it is.

    The deviation from a sphere has a prior about none, whose strength the points decide: points that determine
    an ellipsoid well are followed, points that do not are not.

    Parameters are those of :func:`fit_sphere`.

    Raises
    ------
    ModelError
        If there are fewer than 9 points, they lie on a line or in one plane, or do not determine an ellipsoid.
    """
    points = enough(points, 9, "An ellipsoid")
    inliers = find_inliers(points, _quick_ellipsoid, Ellipsoid.distance, min(len(points), 12), seed=seed)
    if inliers.sum() < 9:
        raise ModelError(f"An ellipsoid needs at least 9 points that agree, got {inliers.sum()}.")
    found, ellipsoid = _likeliest_ellipsoid(points[inliers], noise)
    for _ in range(REJECTIONS):
        # the first subset was chosen by free ellipsoids, which may leave out what only they do not fit
        away = np.abs(ellipsoid.distance(points))
        limit = 4.0 * max(1.4826 * float(np.median(away)), noise) + 1e-6 * float(np.ptp(points))
        again = away <= limit
        if again.sum() < 9 or (again == inliers).all():
            break
        inliers = again
        found, ellipsoid = _likeliest_ellipsoid(points[inliers], noise)
    spread, tilts = _surface_doubt(found, ellipsoid, points[inliers])
    noise = found.noise * _scale(points[inliers])[1]
    certainty, warning = judge(ellipsoid.radii, spread, tilts, noise, points, largest, "ellipsoid")
    return Fitted(ellipsoid.centre, ellipsoid.radii, ellipsoid.axes, certainty, warning)


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


def _scale(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the middle of the points, and the length in which the fit counts."""
    middle = points.mean(axis=0)
    return middle, float(np.sqrt(np.mean(np.sum((points - middle) ** 2, axis=1)))) or 1.0


def _ellipsoid_of(values: np.ndarray, middle: np.ndarray, scale: float) -> Ellipsoid:
    """Return the ellipsoid of centre (3), log mean radius (1) and deviation from a sphere (5).

    The deviation is a symmetric matrix without trace: its eigenvalues are the logarithms of the semi-axes over
    their geometric mean. Five numbers of equal standing, without a special direction, smooth at the sphere.
    """
    deviation = np.einsum("k,kij->ij", values[4:9], _SHAPES)
    logs, axes = np.linalg.eigh(deviation)
    axes = axes * np.array([1.0, 1.0, np.sign(np.linalg.det(axes))])
    radii = np.exp(np.clip(values[3] + logs, -20, 20)) * scale
    return Ellipsoid(middle + values[:3] * scale, radii, axes)


def _likeliest_ellipsoid(points: np.ndarray, noise: float) -> tuple[Regularised, Ellipsoid]:
    """Return the ellipsoid of least squared (first order) distances under the prior that is most evident."""
    middle, scale = _scale(points)
    centre, radius = _geometric_sphere(points)
    start = np.concatenate([(centre - middle) / scale, [np.log(radius / scale)], np.zeros(5)])
    try:
        quick = _quick_ellipsoid(points)
        logs = np.log(quick.radii)
        deviation = quick.axes @ np.diag(logs - logs.mean()) @ quick.axes.T
        shape = np.einsum("kij,ij->k", _SHAPES, deviation)
        if np.abs(shape).max() < 2:
            start = np.concatenate([(quick.centre - middle) / scale, [logs.mean() - np.log(scale)], shape])
    except (ModelError, np.linalg.LinAlgError):
        pass  # no free ellipsoid fits; the sphere is the start

    def residuals(values: np.ndarray) -> np.ndarray:
        """Return first-order distances of the points from the surfaces of (c, 9) parameters, in `scale`."""
        logs, axes = np.linalg.eigh(np.einsum("ck,kij->cij", values[:, 4:9], _SHAPES))
        root = (axes * np.exp(-np.clip(logs, -20, 20))[:, None, :]) @ axes.swapaxes(1, 2)
        root *= np.exp(-np.clip(values[:, 3], -20, 20))[:, None, None]
        u = ((points - middle) / scale - values[:, None, :3]) @ root  # in the frame of the unit sphere
        return (np.sum(u**2, axis=2) - 1) / (2 * np.maximum(np.linalg.norm(u @ root, axis=2), 1e-12))

    held = np.arange(9) >= 4
    found = with_evidence(residuals, start, held, expected_noise=noise / scale, least_noise=1e-7)
    return found, _ellipsoid_of(found.values, middle, scale)


def _directions() -> np.ndarray:
    """Return unit vectors all around."""
    k = np.arange(DIRECTIONS) + 0.5
    height = 1 - 2 * k / DIRECTIONS
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(GOLDEN * k), ring * np.sin(GOLDEN * k), height], axis=1)


def _surface_doubt(found: Regularised, ellipsoid: Ellipsoid, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviations of the surface along its normal, and of the normals in degrees."""
    middle, scale = _scale(points)
    surface = ellipsoid.centre + (_directions() * ellipsoid.radii) @ ellipsoid.axes.T
    normals = ellipsoid.normals(surface)
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(found.covariance + 1e-15 * np.trace(found.covariance) * np.eye(9))
    moved, turned = [], []
    for _ in range(SAMPLES):
        other = _ellipsoid_of(found.values + root @ rng.normal(size=9), middle, scale)
        moved.append(other.distance(surface))
        turned.append(np.linalg.norm(other.normals(surface) - normals, axis=1))
    rms = [np.sqrt(np.mean(np.square(v), axis=0)) for v in (moved, turned)]
    return rms[0], np.rad2deg(rms[1])
