"""Grids of orientations and shifts for searches."""

import numpy as np

from emtomo.compute.symmetry import in_asymmetric_unit

# the second constant of super-Fibonacci spirals, the positive root of x^4 = x + 4
_SPIRAL = 1.533751168755204288118041


def orientation_grid(step: float, symmetry: str = "C1", turn: np.ndarray | None = None) -> np.ndarray:
    """Return orientations spread evenly over all, or over the asymmetric unit.

    Parameters
    ----------
    step : float
        Degrees; edge of the cube of rotation space that one orientation stands for.
    symmetry : str
    turn : (3, 3) array, optional
        Turns the whole grid, so that successive grids differ.

    Returns
    -------
    (n, 3, 3) array

    References
    ----------
    Alexa, Super-Fibonacci spirals, CVPR 2022, Algorithm 1.
    """
    from scipy.spatial.transform import Rotation

    n = max(1, int(round(8 * np.pi**2 / np.deg2rad(step) ** 3)))
    s = np.arange(n) + 0.5
    low, high = np.sqrt(s / n), np.sqrt(1 - s / n)
    a, b = 2 * np.pi * s / np.sqrt(2), 2 * np.pi * s / _SPIRAL
    q = np.stack([low * np.sin(a), low * np.cos(a), high * np.sin(b), high * np.cos(b)], axis=1)
    grid = Rotation.from_quat(q).as_matrix()
    if turn is not None:
        grid = np.asarray(turn) @ grid
    return grid[in_asymmetric_unit(grid, symmetry)]


def ball_lattice(radius: float, step: float) -> np.ndarray:
    """Return the points of a body-centred cubic lattice within a ball, the centre first.

    One point stands for a volume of ``step**3``; of all lattices this one leaves no place
    far from a point with the fewest points.

    Returns
    -------
    (n, 3) array
    """
    edge = step * 2 ** (1 / 3)
    reach = int(np.ceil(radius / edge)) + 1
    i = np.arange(-reach, reach + 1)
    corners = np.stack(np.meshgrid(i, i, i, indexing="ij"), axis=-1).reshape(-1, 3) * edge
    points = np.concatenate([corners, corners + edge / 2])
    length = np.linalg.norm(points, axis=1)
    points, length = points[length <= radius + 1e-9], length[length <= radius + 1e-9]
    return points[np.argsort(length, kind="stable")]


def disc_lattice(radius: float, step: float) -> np.ndarray:
    """Return the points of a square lattice within a disc, the centre first; z is 0.

    Returns
    -------
    (n, 3) array
    """
    i = np.arange(-int(radius / step), int(radius / step) + 1) * step
    x, y = (c.ravel() for c in np.meshgrid(i, i))
    points, length = np.stack([x, y, np.zeros_like(x)], axis=1), np.hypot(x, y)
    points, length = points[length <= radius + 1e-9], length[length <= radius + 1e-9]
    return points[np.argsort(length, kind="stable")]


def local_rotations(radius: float, step: float) -> np.ndarray:
    """Return rotations within `radius` degrees of the identity, about `step` degrees apart, the identity first."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.deg2rad(ball_lattice(radius, step))).as_matrix().reshape(-1, 3, 3)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return one rotation, uniform over all orientations."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(random_state=rng).as_matrix()
