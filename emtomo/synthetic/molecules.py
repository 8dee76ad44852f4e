"""Densities of molecules that a user brings: from atoms, or from a map of another sampling."""

import numpy as np

from emtomo.compute.fourier.resampling import resample


def density_of_atoms(positions: np.ndarray, electrons: np.ndarray, pixel_size: float, resolution: float) -> np.ndarray:
    """Return the density of atoms as a cube about the origin of their coordinates, highest value 1.

    Atoms are spread over their eight nearest voxels and blurred with a Gaussian whose
    transform has fallen to 1/e at the resolution.

    Parameters
    ----------
    positions : (n, 3) array
        x, y, z in Å; the origin becomes the centre voxel.
    electrons : (n,) array
        Weights.
    pixel_size, resolution : float
        Å.
    """
    from scipy.ndimage import gaussian_filter

    reach = float(np.abs(positions).max()) + 2 * resolution
    size = 2 * int(np.ceil(reach / pixel_size)) + 2
    voxels = positions[:, ::-1] / pixel_size + size // 2
    low = np.floor(voxels).astype(int)
    part = voxels - low
    density = np.zeros((size, size, size))
    for corner in np.ndindex(2, 2, 2):
        weight = electrons * np.prod(np.where(corner, part, 1 - part), axis=1)
        np.add.at(density, tuple((low + corner).T), weight)
    blurred = gaussian_filter(density, resolution / (np.sqrt(2) * np.pi) / pixel_size)
    return (blurred / blurred.max()).astype(np.float32)


def density_of_map(volume: np.ndarray, pixel_size: float, new_pixel_size: float) -> np.ndarray:
    """Return a map at another pixel size as a cube about its centre voxel, negative values left out, highest 1."""
    positive = np.maximum(np.asarray(volume, np.float32), 0)
    edge = max(positive.shape)
    cube = np.zeros((edge, edge, edge), np.float32)
    start = [edge // 2 - n // 2 for n in positive.shape]
    cube[tuple(slice(s, s + n) for s, n in zip(start, positive.shape, strict=True))] = positive
    size = 2 * int(np.ceil(edge * pixel_size / new_pixel_size / 2))
    sampled = np.maximum(resample(cube, (size, size, size), new_pixel_size / pixel_size), 0)
    return sampled / sampled.max()
