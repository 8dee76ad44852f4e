"""Follow a membrane from the slices where it was picked to the next ones."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.transforms import irfft, rfft
from emtomo.compute.positions import check_finite
from emtomo.errors import ModelError

ANGLES = 128
HARMONICS = 4


@dataclass(frozen=True)
class TrackOptions:
    """How a membrane is followed; lengths in voxels.

    Attributes
    ----------
    search : int
        How far from the prediction the membrane is looked for.
    smoothing : float
        Gaussian filter of the slices.
    spacing : float
        Distance of the points returned along the membrane.
    """

    search: int = 5
    smoothing: float = 1.5
    spacing: float = 6.0


@dataclass(frozen=True)
class _Contour:
    """A contour about a centre: radius by angle (NaN where it was not picked), at one slice."""

    slice: int
    radius: np.ndarray


def track_membrane(
    volume: np.ndarray, points: np.ndarray, slices: list[int], options: TrackOptions | None = None
) -> np.ndarray:
    """Return points on the membrane in further slices.

    Each slice is predicted from those before it (the square of the radius plus the
    square of the height is linear in the height for any sphere) and then moved to
    where the grey values across the membrane look as in the picked slices. The
    contour is the best smooth path round the centre (dynamic programming), so that
    neighbouring angles help each other through the noise.

    Parameters
    ----------
    volume : (z, y, x) array
    points : (n, 3) array
        Picked points z, y, x in voxels, on at least 2 slices, around one vesicle or along a membrane.
    slices : list of int
        The slices to follow into, each next to one known before it.
    options : TrackOptions, optional

    Returns
    -------
    (m, 3) array
        z, y, x; only for the angles that were picked.

    Raises
    ------
    ModelError
        If there are points on fewer than 2 slices or fewer than 5 on one.
    """
    options = options or TrackOptions()
    points = np.asarray(points, float).reshape(-1, 3)
    check_finite(points, "Point")
    known_slices = np.unique(np.rint(points[:, 0]).astype(int))
    if len(known_slices) < 2:
        raise ModelError("To follow a membrane, pick it on at least 2 slices.")
    centre = _centre(points)
    contours = [_contour(points[np.rint(points[:, 0]) == k], k, centre) for k in known_slices]
    covered = ~np.isnan(np.stack([c.radius for c in contours])).all(axis=0)
    profile = np.mean([_profile(volume, c, centre, options) for c in contours], axis=0)
    found = []
    for k in slices:
        if not 0 <= k < volume.shape[0]:
            raise ModelError(f"The tomogram has slices 0 to {volume.shape[0] - 1}, not {k}.")
        predicted = _predict(contours, k)
        if predicted is None:
            break  # the vesicle has closed
        radius = _refine(volume, k, predicted, profile, centre, options)
        contours.append(_Contour(k, np.where(covered, radius, np.nan)))
        found.append(_points_of(contours[-1], centre, options.spacing))
    return np.concatenate(found) if found else np.empty((0, 3))


def _centre(points: np.ndarray) -> np.ndarray:
    """Return y, x of the circle that fits all points best."""
    y, x = points[:, 1], points[:, 2]
    rows = np.column_stack([2 * y, 2 * x, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(rows, y**2 + x**2, rcond=1e-9)
    return solution[:2]


def _contour(points: np.ndarray, k: int, centre: np.ndarray) -> _Contour:
    """Return radius by angle through the picked points of one slice, by a short Fourier series."""
    if len(points) < 5:
        raise ModelError(f"To follow a membrane, pick at least 5 points on a slice; slice {k} has {len(points)}.")
    away = points[:, 1:] - centre
    angle, radius = np.arctan2(away[:, 0], away[:, 1]), np.linalg.norm(away, axis=1)
    order = min(HARMONICS, (len(points) - 1) // 2)
    penalty = np.repeat(np.arange(order + 1) ** 2, 2)[1:] * 0.05
    rows = _series(angle, order)
    solution = np.linalg.solve(rows.T @ rows + np.diag(penalty), rows.T @ radius)
    grid = _grid()
    filled = _series(grid, order) @ solution
    gap = np.abs(np.angle(np.exp(1j * (grid[:, None] - angle[None])))).min(axis=1)
    between = np.diff(np.sort(angle))
    filled[gap > max(1.5 * float(np.median(between)), np.deg2rad(10))] = np.nan
    return _Contour(k, filled)


def _grid() -> np.ndarray:
    return 2 * np.pi * np.arange(ANGLES) / ANGLES


def _series(angle: np.ndarray, order: int) -> np.ndarray:
    terms = [np.ones_like(angle)]
    for n in range(1, order + 1):
        terms += [np.cos(n * angle), np.sin(n * angle)]
    return np.stack(terms, axis=1)


def _predict(contours: list[_Contour], k: int) -> np.ndarray | None:
    """Return the radius by angle at slice `k`; None where the membrane has closed above or below."""
    near = sorted(contours, key=lambda c: abs(c.slice - k))[:8]
    z = np.array([c.slice for c in near], float) - k
    table = np.stack([c.radius for c in near])
    known = ~np.isnan(table)
    squares = np.where(known, table, 0) ** 2 + z[:, None] ** 2
    mean_z = np.average(z)
    count = known.sum(axis=0)
    level = np.where(count > 0, np.where(known, squares, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    deviation = np.where(known, squares - np.where(np.isnan(level), 0, level), 0)
    common = np.average(deviation.mean(axis=1) * (z - mean_z)) / max(np.average((z - mean_z) ** 2), 1e-9)
    radius2 = level - common * mean_z
    radius2 = np.where(np.isnan(radius2), np.nanmean(radius2), radius2)
    return np.sqrt(radius2) if (radius2 > 4).all() else None


def _unrolled(volume: np.ndarray, k: int, radius: np.ndarray, centre: np.ndarray, options: TrackOptions) -> np.ndarray:
    """Return `(angles, offsets)` grey values along the radii about `radius`, of slice `k` and its neighbours."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    low, high = max(k - 1, 0), min(k + 2, volume.shape[0])
    image = gaussian_filter(np.asarray(volume[low:high], np.float32).mean(axis=0), options.smoothing)
    reach = 2 * options.search
    offsets = np.arange(-reach, reach + 0.25, 0.5)
    grid = _grid()
    along = radius[:, None] + offsets[None]
    y = centre[0] + along * np.sin(grid)[:, None]
    x = centre[1] + along * np.cos(grid)[:, None]
    values = map_coordinates(image, [y, x], order=1, mode="nearest")
    return values - values.mean()


def _profile(volume: np.ndarray, contour: _Contour, centre: np.ndarray, options: TrackOptions) -> np.ndarray:
    """Return the mean grey values across the membrane, from -search to +search in half voxels."""
    radius = np.where(np.isnan(contour.radius), np.nanmean(contour.radius), contour.radius)
    values = _unrolled(volume, contour.slice, radius, centre, options)
    values = values[~np.isnan(contour.radius)].mean(axis=0)
    middle, half = len(values) // 2, 2 * options.search
    return values[middle - half : middle + half + 1]


def _refine(
    volume: np.ndarray,
    k: int,
    predicted: np.ndarray,
    profile: np.ndarray,
    centre: np.ndarray,
    options: TrackOptions,
) -> np.ndarray:
    """Return the radius by angle where the grey values match `profile` best along a smooth closed path."""
    from scipy.ndimage import gaussian_filter1d

    values = _unrolled(volume, k, predicted, centre, options)
    values = gaussian_filter1d(values, 4.5, axis=0, mode="wrap")
    shape = profile - profile.mean()
    windows = np.lib.stride_tricks.sliding_window_view(values, len(shape), axis=1)
    score = np.einsum("apw,w->ap", windows - windows.mean(axis=2, keepdims=True), shape)
    score /= np.abs(score).max() or 1.0
    offset = (_closed_path(score) - (score.shape[1] - 1) / 2) * 0.5
    moved = rfft(offset)
    moved[HARMONICS + 1 :] = 0  # no finer than the picked contours themselves
    return predicted + irfft(moved, ANGLES)


def _closed_path(score: np.ndarray) -> np.ndarray:
    """Return, for each angle, the offset index of the best path that moves by at most 1 and closes."""
    turns = np.concatenate([score, score, score])  # the middle turn forgets where the path began
    best = np.zeros_like(turns)
    came = np.zeros(turns.shape, int)
    best[0] = turns[0]
    index = np.arange(score.shape[1])
    for a in range(1, len(turns)):
        before = np.pad(best[a - 1], 1, constant_values=-np.inf)
        options = np.stack([before[:-2] - 0.05, before[1:-1], before[2:] - 0.05])
        choice = np.argmax(options, axis=0)
        came[a] = np.clip(index + choice - 1, 0, len(index) - 1)
        best[a] = turns[a] + options[choice, index]
    path = np.empty(len(turns), int)
    path[-1] = int(np.argmax(best[-1]))
    for a in range(len(turns) - 1, 0, -1):
        path[a - 1] = came[a, path[a]]
    return path[len(score) : 2 * len(score)]


def _points_of(contour: _Contour, centre: np.ndarray, spacing: float) -> np.ndarray:
    """Return points about `spacing` apart along the picked part of a contour."""
    step = max(1, int(round(spacing * ANGLES / (2 * np.pi * np.nanmean(contour.radius)))))
    chosen = np.arange(0, ANGLES, step)
    chosen = chosen[~np.isnan(contour.radius[chosen])]
    radius, angle = contour.radius[chosen], _grid()[chosen]
    z = np.full(len(chosen), float(contour.slice))
    return np.stack([z, centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)], axis=1)
