"""Class averages after an iteration: filtered, masked, and centred with their members."""

import numpy as np

from emtomo.compute.classification.half_plane import PAD, HalfPlane
from emtomo.compute.classification.references import solve_average

FLOOR = 0.15  # of an average's maximum: less is background when its centre of mass is sought
FURTHEST = 3.0  # pixels by which an average is moved in one iteration
FIRST_SHELLS = 2  # which always count as resolved


def average_classes(
    data: np.ndarray, weights: np.ndarray, expected: np.ndarray, mask: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return averages (K, n, n), 0 outside of the mask, and the shells to which each is resolved (K,).

    Parameters
    ----------
    data, weights : (K, 2 m + 1, m + 1) arrays
        See :func:`~emtomo.compute.classification.references.solve_average`.
    expected : (K, shells) array
        Power that each average is expected to have, T times that of the last one.
    mask : (n, n) array
    radius : float
        Shells within which there is data.
    """
    n = mask.shape[0]
    averages = np.empty((len(data), n, n), np.float32)
    resolved = np.empty(len(data))
    outside = 1 - mask
    for k in range(len(data)):
        average, ratio = solve_average(data[k], weights[k], expected[k], n, radius)
        averages[k] = (average - (average * outside).sum() / outside.sum()) * mask
        top = int(min(radius, len(ratio) - 1))
        below = np.flatnonzero(ratio[FIRST_SHELLS : top + 1] < 1)
        resolved[k] = FIRST_SHELLS + below[0] - 1 if len(below) else top
    return averages, np.maximum(resolved, 1.0)


def centres_of_mass(averages: np.ndarray, furthest: float = FURTHEST) -> np.ndarray:
    """Return x, y in pixels (K, 2) from pixel ``n // 2`` of what is white in each average, at most `furthest` away."""
    n = averages.shape[-1]
    y, x = np.indices((n, n)) - n // 2
    white = np.maximum(averages - FLOOR * averages.max((1, 2), keepdims=True), 0).astype(float)
    total = white.sum((1, 2))
    total[total == 0] = 1.0
    found = np.stack([(white * x).sum((1, 2)), (white * y).sum((1, 2))], axis=1) / total[:, None]
    return np.clip(found, -furthest, furthest)


def move_images(plane: HalfPlane, images: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return images (m, n, n) moved by `by` (m, 2; x, y) pixels; their mean becomes 0."""
    return plane.image(plane.transform(images) * plane.phases(-by))


def move_sums(data: np.ndarray, by: np.ndarray, size: int) -> np.ndarray:
    """Return padded transforms (K, 2 m + 1, m + 1) of images moved by `by` (K, 2; x, y) pixels."""
    m = data.shape[1] // 2
    ky, kx = np.arange(-m, m + 1)[:, None], np.arange(m + 1)[None]
    turns = by[:, 0, None, None] * kx + by[:, 1, None, None] * ky
    return data * np.exp(-2j * np.pi / (PAD * size) * turns)


def offsets_in_images(moved: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Return vectors of class averages (m, 2; x, y) as they lie in images at angles psi (degrees)."""
    c, s = np.cos(np.deg2rad(psi)), np.sin(np.deg2rad(psi))
    x, y = moved.T
    return np.stack([c * x + s * y, -s * x + c * y], axis=1)
