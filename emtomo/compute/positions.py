"""The one place where Å from a tomogram's centre become voxels of an array, and back."""

import numpy as np

from emtomo.errors import EmtomoError


def centre(shape: tuple[int, ...]) -> np.ndarray:
    """Return the index of the centre along every axis of `shape`: ``n // 2``."""
    return np.array([n // 2 for n in shape], dtype=float)


def check_finite(values: np.ndarray, what: str = "Position") -> None:
    """Refuse what is no finite number, before it becomes an index.

    Parameters
    ----------
    values : (n, …) array
        One row per thing that is counted.
    what : str
        Its name at the beginning of the sentence.

    Raises
    ------
    EmtomoError
        With the number of the first that is not, from 1.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    row = int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
    shown = ", ".join(f"{v:g}" for v in np.ravel(np.asarray(values)[row])[:9])
    raise EmtomoError(f"{what} {row + 1} must be finite numbers, got {shown}.")


def to_voxels(positions: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> np.ndarray:
    """Return array indices of positions in Å.

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z in Å from the centre voxel.
    shape : (3,) tuple
        Voxels along z, y, x.
    pixel_size : float
        Å per voxel.

    Returns
    -------
    (n, 3) array
        z, y, x; voxel centres are whole numbers, the first voxel is 0.
    """
    return np.asarray(positions, float)[:, ::-1] / pixel_size + centre(shape)


def from_voxels(indices: np.ndarray, shape: tuple[int, ...], pixel_size: float) -> np.ndarray:
    """Return x, y, z in Å from the centre voxel, of array indices z, y, x; see :func:`to_voxels`."""
    return ((np.asarray(indices, float) - centre(shape)) * pixel_size)[:, ::-1]
