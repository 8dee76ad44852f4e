"""Open sheets: a smooth surface through contours picked on several slices."""

import numpy as np

from emtomo.compute.geometry.certainty import Certainty
from emtomo.compute.geometry.curve import dense_curve, without_outliers
from emtomo.compute.geometry.mesh import Mesh, grid_mesh
from emtomo.compute.geometry.penalised import fit_penalised, roughness, spline_basis
from emtomo.errors import ModelError

ACROSS = 64
MOST_PIECES = 12  # of splines, along and across contours
POINTS_PER_POWER = 4  # of a contour, that a power of the base sheet needs


def contours_of(points: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Split points into contours: those of one slice (z within `tolerance`), in the order picked."""
    order = np.argsort(points[:, 2], kind="stable")
    z = points[order, 2]
    cuts = np.flatnonzero(np.diff(z) > tolerance) + 1
    return [points[np.sort(part)] for part in np.split(order, cuts)]


def loft(points: np.ndarray, *, slice_tolerance: float, noise: float) -> tuple[np.ndarray, Certainty | None]:
    """Return a `(rows, columns, 3)` grid on the smooth sheet through the contours, and how certain it is.

    Places on each contour are counted in fractions of its length; a contour that runs the other way than its
    neighbour is turned round. Without noise the sheet goes through every contour (it has no certainty then); with
    noise it is as flat as the points allow: how stiff it is along and across contours they decide.

    Raises
    ------
    ModelError
        If there are not at least 2 contours of at least 2 points.
    """
    points = np.asarray(points, float).reshape(-1, 3)
    contours = [c for c in contours_of(points, slice_tolerance) if len(c) > 1]
    if len(contours) < 2:
        raise ModelError("A sheet needs contours of at least 2 points on at least 2 slices.")
    chains: list[np.ndarray] = []
    for contour in contours:
        chain = _chain(contour)
        if chains and _runs_back(chain, chains[-1]):
            chain = chain[::-1]
        chains.append(chain)
    if noise > 0:
        return _stiff_sheet([without_outliers(chain) for chain in chains], noise)
    return _sheet_through([_divided(chain) for chain in chains]), None


def _runs_back(chain: np.ndarray, before: np.ndarray) -> bool:
    line, other = _divided(chain), _divided(before)
    return bool(np.linalg.norm(line - other, axis=1).sum() > np.linalg.norm(line[::-1] - other, axis=1).sum())


def _sheet_through(lines: list[np.ndarray]) -> np.ndarray:
    """Return the grid of splines across contours through corresponding points."""
    from scipy.interpolate import make_interp_spline

    grid = np.stack(lines)
    level = grid[:, :, 2].mean(axis=1)
    fine = np.linspace(level[0], level[-1], max(len(level), ACROSS))
    return np.asarray(make_interp_spline(level, grid, k=min(3, len(level) - 1))(fine))


def _stiff_sheet(chains: list[np.ndarray], noise: float) -> tuple[np.ndarray, Certainty]:
    """Return a plain base sheet moved along its normals: how stiffly, along and across contours, the points decide."""
    points = np.concatenate(chains)
    low, height = points[:, 2].min(), np.ptp(points[:, 2])
    up = (points[:, 2] - low) / height
    most = max(len(chain) for chain in chains)
    powers = int(np.clip(most // POINTS_PER_POWER, 1, 3))
    at = np.concatenate([_fractions(chain) for chain in chains])
    base = np.linalg.lstsq(_base(at, up, powers), points[:, :2], rcond=None)[0]
    fine = np.linspace(0, 1, ACROSS)
    # noise along a contour does not count: each point belongs to the nearest place of the base on its slice
    lines = np.einsum("nup,pd->nud", np.stack([_base(fine, np.full(ACROSS, v), powers) for v in up]), base)
    at = fine[np.linalg.norm(lines - points[:, None, :2], axis=2).argmin(axis=1)]
    along, across = min(most + 2, MOST_PIECES), min(len(chains) + 2, MOST_PIECES)
    stiff = np.kron(np.eye(across), roughness(along)), np.kron(roughness(across), np.eye(along))
    off = np.sum((points[:, :2] - _base(at, up, powers) @ base) * _sideways(at, up, base, powers), axis=1)
    fit = fit_penalised(_tensor(spline_basis(up, across), spline_basis(at, along)), (stiff,), off[:, None], 1, noise)

    v, u = (a.ravel() for a in np.meshgrid(fine, fine, indexing="ij"))
    basis, by_v, by_u = (
        _tensor(spline_basis(v, across, i), spline_basis(u, along, j)) for i, j in ((0, 0), (1, 0), (0, 1))
    )
    flat = _base(u, v, powers) @ base + (basis @ fit.coefficients) * _sideways(u, v, base, powers)
    grid = np.column_stack([flat, low + v * height]).reshape(ACROSS, ACROSS, 3)
    spread, length = fit.spread(basis), np.linalg.norm(_base(u, v, powers, 1) @ base, axis=1)
    turns = np.rad2deg(np.hypot(fit.spread(by_u) / np.maximum(length, 1e-9), fit.spread(by_v) / height))
    worst = float(spread.max())
    return grid, Certainty(float(np.sqrt(np.mean(spread**2))), worst, float(np.median(turns)), fit.noise)


def _base(u: np.ndarray, v: np.ndarray, powers: int, derivative: int = 0) -> np.ndarray:
    """Return the values of polynomials along contours, straight across them, or their derivatives by `u`."""
    along = [
        (k if derivative else 1) * u ** max(k - derivative, 0) if k >= derivative else 0 * u for k in range(powers + 1)
    ]
    return np.stack([column * w for w in (np.ones_like(v), v) for column in along], axis=1)


def _sideways(u: np.ndarray, v: np.ndarray, base: np.ndarray, powers: int) -> np.ndarray:
    """Return unit vectors across the base's contours, in their slices."""
    along = _base(u, v, powers, 1) @ base
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)


def _tensor(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the (n, p q) products of (n, p) and (n, q) values of splines."""
    return np.einsum("np,nq->npq", rows, columns).reshape(len(rows), -1)


def _fractions(chain: np.ndarray) -> np.ndarray:
    """Return how much of a contour's length lies before each of its points."""
    length = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(chain, axis=0), axis=1))]
    if not length[-1] > 0:
        raise ModelError("A sheet needs contours of different points; all of one slice are the same.")
    return length / length[-1]


def sheet_mesh(grid: np.ndarray, inside: np.ndarray | None) -> Mesh:
    """Return the grid as a mesh whose normals point away from `inside`, or mostly up without it."""
    mesh = grid_mesh(grid)
    middle = mesh.corners.mean(axis=1)
    normals = mesh.face_normals
    away = np.sum(normals * (middle - inside), axis=1) if inside is not None else _upward(normals)
    return mesh if away.sum() >= 0 else mesh.flip()


def _upward(normals: np.ndarray) -> np.ndarray:
    """Return the component along the axis in which the normals agree most, z on a draw."""
    mean = normals.mean(axis=0)
    axis = 2 - int(np.argmax(np.abs(mean[::-1]) > 0.9 * np.abs(mean).max()))
    return normals[:, axis]


def _chain(contour: np.ndarray) -> np.ndarray:
    """Return the contour's points from one end to the other.

    The picked order is kept if it is a path without large jumps back; otherwise
    points are ordered along their direction of largest extent.
    """
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    ends = np.linalg.norm(contour[-1] - contour[0])
    if steps.sum() <= 2.5 * max(ends, steps.max()):
        return contour
    direction = np.linalg.svd(contour - contour.mean(axis=0))[2][0]
    return contour[np.argsort(contour @ direction)]


def _divided(contour: np.ndarray) -> np.ndarray:
    """Return ACROSS points at equal distances along the smooth curve through the contour."""
    at = _fractions(contour)
    contour = contour[np.r_[True, np.diff(at) > 0]]
    dense, _ = dense_curve(contour, 0.0)
    arc = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))]
    at = np.linspace(0, arc[-1], ACROSS)
    return np.stack([np.interp(at, arc, dense[:, k]) for k in range(3)], axis=1)
