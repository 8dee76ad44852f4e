"""Filaments: smooth curves through points, sampled at equal arc length, with frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.geometry.certainty import Certainty
from emtomo.compute.geometry.penalised import bending, fit_penalised, spline_basis
from emtomo.compute.geometry.spacing import MOST_POSITIONS
from emtomo.compute.rotations import from_directions, rotate_in_plane, unit
from emtomo.errors import ModelError

DENSE = 64
MOST_PIECES = 100
REPARAMETRISATIONS = 3


@dataclass(frozen=True)
class Path:
    """Points at equal distances along a curve.

    Attributes
    ----------
    points : (n, 3) array
    tangents : (n, 3) array
        Unit vectors along the curve.
    along : (n, 3) array
        Unit vectors across it that do not turn about it.
    length : float
    certainty : Certainty or None
        Of a curve through points with noise; its normals are the tangents here.
    """

    points: np.ndarray
    tangents: np.ndarray
    along: np.ndarray
    length: float
    certainty: Certainty | None = None


def trace(points: np.ndarray, spacing: float, *, noise: float = 0.0) -> Path:
    """Return the smooth curve through `points`, in their order, sampled every `spacing`.

    Parameters
    ----------
    points : (n, 3) array
        At least 2 different points, ordered from one end to the other.
    spacing : float
        Distance along the curve, > 0.
    noise : float
        Expected standard deviation of the points about the curve, in the same unit; 0 goes through each.

    Raises
    ------
    ModelError
        If there are fewer than 2 different points.
    """
    points = np.asarray(points, float).reshape(-1, 3)
    if len(points) > 1:
        new = np.r_[True, np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-9]
        points = points[new]
    if len(points) < 2:
        raise ModelError(f"A filament needs at least 2 different points, got {len(points)}.")
    if not spacing > 0:
        raise ModelError(f"The spacing along a filament must be > 0, got {spacing:g}.")
    dense, certainty = dense_curve(without_outliers(points) if noise > 0 else points, noise)
    steps = np.linalg.norm(np.diff(dense, axis=0), axis=1)
    arc = np.r_[0.0, np.cumsum(steps)]
    if arc[-1] / spacing > MOST_POSITIONS:
        raise ModelError(f"A filament of length {arc[-1]:.3g} would hold more than {MOST_POSITIONS:,} points.")
    at = np.arange(0, arc[-1] * (1 + 1e-9), spacing)
    sampled = np.stack([np.interp(at, arc, dense[:, k]) for k in range(3)], axis=1)
    slope = np.gradient(dense, arc, axis=0)
    tangents = unit(np.stack([np.interp(at, arc, slope[:, k]) for k in range(3)], axis=1))
    return Path(sampled, tangents, _carried(tangents), float(arc[-1]), certainty)


def without_outliers(points: np.ndarray) -> np.ndarray:
    """Return `points` without those far from the line between their neighbours on either side.

    A point is out when its detour is over 6 robust standard deviations; ends and
    curves of fewer than 6 points are kept.
    """
    kept = points
    for _ in range(max(1, len(points) // 5)):
        if len(kept) < 6:
            break
        before, here, after = kept[:-2], kept[1:-1], kept[2:]
        chord = after - before
        length2 = np.maximum(np.sum(chord**2, axis=1), 1e-12)
        t = np.clip(np.sum((here - before) * chord, axis=1) / length2, 0, 1)
        away = np.linalg.norm(here - before - t[:, None] * chord, axis=1)
        limit = 6 * 1.4826 * np.median(away) + 1e-6
        worst = int(np.argmax(away))
        if away[worst] <= limit:
            break
        kept = np.delete(kept, worst + 1, axis=0)
    return kept


def helix_rotations(path: Path, step_angle: float, start_angle: float = 0.0) -> np.ndarray:
    """Return frames with z along the path and x advancing by `step_angle` degrees from point to point."""
    frames = from_directions(path.tangents, path.along)
    return rotate_in_plane(frames, start_angle + step_angle * np.arange(len(frames)))


def subunits(path: Path, radius: float, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and rotations of subunits round a path.

    Parameters
    ----------
    path : Path
    radius : float
    angles : (n, m) array
        Degrees about the tangent of the m subunits at each of the n points.

    Returns
    -------
    positions : (n m, 3) array
    rotations : (n m, 3, 3) array
        z radially outward, x along the path.
    """
    across = np.cross(path.tangents, path.along)
    c, s = np.cos(np.deg2rad(angles))[..., None], np.sin(np.deg2rad(angles))[..., None]
    outward = c * path.along[:, None] + s * across[:, None]
    positions = path.points[:, None] + radius * outward
    tangents = np.broadcast_to(path.tangents[:, None], outward.shape)
    return positions.reshape(-1, 3), from_directions(outward.reshape(-1, 3), tangents.reshape(-1, 3))


def dense_curve(points: np.ndarray, noise: float) -> tuple[np.ndarray, Certainty | None]:
    """Return many points on the smooth curve through `points`, and how certain it is.

    Without noise it is the cubic spline through every point. With noise it is as straight, or as evenly bent, as the
    points allow: how stiff it is, and whether its ends are straight, they decide (see
    :func:`emtomo.compute.geometry.penalised.fit_penalised`).
    """
    if noise > 0:
        return _stiff_curve(points, noise)
    from scipy.interpolate import splev, splprep

    chord = _chord(points)
    spline: Any
    spline, _ = splprep(points.T, u=chord, k=min(3, len(points) - 1), s=0)
    fine = np.linspace(0, chord[-1], DENSE * len(points))
    return np.stack([np.asarray(c) for c in splev(fine, spline)], axis=1), None


def _chord(points: np.ndarray) -> np.ndarray:
    """Return the length of the line through `points` up to each of them."""
    return np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]


def _stiff_curve(points: np.ndarray, noise: float) -> tuple[np.ndarray, Certainty]:
    from scipy.spatial import cKDTree

    at, middle = _chord(points) / _chord(points)[-1], points.mean(axis=0)
    count = min(len(points) + 2, MOST_PIECES)
    fine = np.linspace(0, 1, DENSE * len(points))
    basis, slopes = spline_basis(fine, count), spline_basis(fine, count, 1)
    for _ in range(REPARAMETRISATIONS):
        fit = fit_penalised(spline_basis(at, count), bending(count), points - middle, 2, noise)
        dense = basis @ fit.coefficients + middle
        at = fine[cKDTree(dense).query(points)[1]]  # noise along the curve does not count
    # two directions across the curve, each with the same spread
    spread = np.sqrt(2) * fit.spread(basis)
    speed = np.linalg.norm(slopes @ fit.coefficients, axis=1)
    turns = np.rad2deg(np.sqrt(2) * fit.spread(slopes) / np.maximum(speed, 1e-9))
    worst = float(spread.max())
    return dense, Certainty(float(np.sqrt(np.mean(spread**2))), worst, float(np.median(turns)), fit.noise)


def _carried(tangents: np.ndarray) -> np.ndarray:
    """Return vectors across the curve that are carried along it without turning about it."""
    x = from_directions(tangents[:1])[0, :, 0]
    carried = np.empty_like(tangents)
    for k, tangent in enumerate(tangents):
        x = x - (x @ tangent) * tangent
        x = x / np.linalg.norm(x)
        carried[k] = x
    return carried
