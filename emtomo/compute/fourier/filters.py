"""Filters of volumes by frequency, and fitting a volume to another box."""

from types import ModuleType

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.resampling import resample
from emtomo.compute.fourier.shell_correlation import shells_of
from emtomo.compute.fourier.transforms import irfftn, rfftn


def radial_filter(volume: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return a cubic volume whose shell ``s`` was multiplied with ``curve[s]``; the last entry holds beyond it."""
    spectrum = rfftn(np.asarray(volume, np.float32), workers=threads())
    curve = np.asarray(curve, np.float32)
    spectrum *= curve[np.minimum(shells_of(volume.shape[0]), len(curve) - 1)]
    return irfftn(spectrum, volume.shape, workers=threads())


def lowpass_curve(size: int, pixel_size: float, resolution: float, edge: float = 2.0) -> np.ndarray:
    """Return a raised cosine that falls from 1 to 0 over `edge` shells about `resolution` Å, for all shells."""
    shell = np.arange(int(np.ceil(size * 0.87)) + 1)
    t = np.clip((shell - size * pixel_size / resolution) / edge + 0.5, 0, 1)
    return 0.5 + 0.5 * np.cos(np.pi * t)


def lowpass(volume: np.ndarray, pixel_size: float, resolution: float, edge: float = 2.0) -> np.ndarray:
    """Return a cubic volume without what is finer than `resolution` Å."""
    return radial_filter(volume, lowpass_curve(volume.shape[0], pixel_size, resolution, edge))


def fit_to_box(volume: np.ndarray, pixel_size: float, size: int, new_pixel_size: float) -> np.ndarray:
    """Return a volume sampled at another pixel size in a cubic box of `size` voxels, about the same centre.

    What the volume does not cover is zero.
    """
    if volume.shape == (size,) * 3 and abs(pixel_size / new_pixel_size - 1) < 1e-4:
        return np.array(volume, np.float32)
    factor = new_pixel_size / pixel_size
    out = resample(np.asarray(volume, np.float32), (size,) * 3, factor)
    for axis, n in enumerate(volume.shape):
        place = n // 2 + (np.arange(size) - size // 2) * factor
        inside = (place > -0.5) & (place < n - 0.5)
        shape = [1, 1, 1]
        shape[axis] = size
        out *= inside.reshape(shape)
    return out


def soft_masks(
    size: int, centres: np.ndarray, radius: float, edge: float, dimension: int = 3, xp: ModuleType = np
) -> np.ndarray:
    """Return balls (or, in images, discs) of ones whose raised-cosine edge begins at `radius` voxels.

    Parameters
    ----------
    size : int
        Edge of the boxes or images.
    centres : (m, 3) array
        x, y, z in voxels from the centre voxel ``n // 2``; z does not count in images.
    radius, edge : float
        Voxels.
    dimension : {3, 2}
    xp : module
        numpy or cupy, whose arrays are returned.

    Returns
    -------
    (m, n, n, n) or (m, n, n) float32 array
    """
    off = np.arange(size) - size // 2 - np.asarray(centres)[:, :, None]
    along = xp.asarray((off**2).astype(np.float32))
    if dimension == 2:
        r = along[:, 1, :, None] + along[:, 0, None, :]
    else:
        r = along[:, 2, :, None, None] + along[:, 1, None, :, None] + along[:, 0, None, None, :]
    t = xp.clip((xp.sqrt(r) - np.float32(radius)) / np.float32(max(edge, 1e-6)), 0, 1)
    return (np.float32(0.5) + np.float32(0.5) * xp.cos(np.float32(np.pi) * t)).astype(np.float32)


def ball(size: int, radius: float, edge: float, centre: np.ndarray | None = None) -> np.ndarray:
    """Return a ball of ones whose raised-cosine edge begins at `radius` voxels.

    `centre` is x, y, z in voxels from the centre voxel ``n // 2``.
    """
    return soft_masks(size, (np.zeros(3) if centre is None else np.asarray(centre))[None], radius, edge)[0]
