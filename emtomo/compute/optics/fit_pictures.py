"""Pictures of a CTF's fit: the measured power on one side, the fitted rings on the other."""

import numpy as np

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.optics.power_spectra import PolarGrid

SMOOTHING = 6.0  # degrees along the rings, of the measured side
ANGLES = 180  # of half a turn, at which it is smoothed
LIMIT = 3.0  # standard deviations at which the measured side is cut off


def flatten_power(whole: np.ndarray, background: np.ndarray, phase: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Return (s, s) rings about 0, frequency zero at ``s // 2``, s odd; 0 beyond the rings that are fitted.

    Parameters
    ----------
    whole : (tile, tile // 2 + 1) array
        Mean over tiles of power times cos(phase), in the order of ``rfft2``.
    background : (k,) array
        Of the power, on the rings of `grid`.
    phase : (k,) array
        Mean over tiles of cos(phase).
    """
    x, y = _places(grid)
    tile, radius = grid.tile, np.hypot(x, y)
    mirrored = x < 0  # power has a centre of symmetry
    column, row = np.abs(x), np.where(mirrored, -y, y) % tile
    values = whole[row, column] / np.interp(radius, grid.rings, background)
    values = values - np.interp(radius, grid.rings, phase)
    return np.where(_fitted(radius, grid), values, 0.0)


def fit_picture(measured: np.ndarray, ctf: Ctf, attenuation: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Return (s, s) float32: measured rings of :func:`flatten_power` on the left, those of `ctf` on the right.

    Parameters
    ----------
    measured : (s, s) array
    ctf : Ctf
        Of one image.
    attenuation : (k,) array
        What is left of the fitted rings, by the inclination of the section and the window of the tiles.
    grid : PolarGrid
        The rings that were fitted.
    """
    x, y = _places(grid)
    radius, scale = np.hypot(x, y), 1 / (grid.tile * grid.pixel_size)
    inside = _fitted(radius, grid)
    smooth = _smooth_along_rings(measured, x, y, grid)
    left = np.clip(smooth / max(float(smooth[inside].std()), 1e-30), -LIMIT, LIMIT)
    rings = 2 * ctf.values(x * scale, y * scale, dtype=np.float64) ** 2 - 1
    right = LIMIT / 2 * rings * np.interp(radius, grid.rings, attenuation)
    return np.where(inside, np.where(x < 0, left, right), 0.0).astype(np.float32)


def _smooth_along_rings(measured: np.ndarray, x: np.ndarray, y: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Return a picture averaged along arcs, which keeps rings and their astigmatism."""
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    reach, angle = int(grid.rings[-1]), (np.arange(ANGLES) * np.pi / ANGLES)[:, None]
    radius = np.arange(grid.rings[0], reach + 1)
    # the side x < 0, which is complete
    places = np.stack([reach - radius * np.cos(angle - np.pi / 2), reach - radius * np.sin(angle - np.pi / 2)])
    polar = map_coordinates(measured, places[::-1], order=1, mode="nearest")
    polar = gaussian_filter1d(polar, SMOOTHING * ANGLES / 180, axis=0, mode="wrap")
    turned = (np.arctan2(y, x) + np.pi / 2) % np.pi * ANGLES / np.pi
    polar = np.concatenate([polar, polar[:1]])
    return np.asarray(map_coordinates(polar, [turned, np.hypot(x, y) - radius[0]], order=1, mode="nearest"))


def _places(grid: PolarGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return x, y in Fourier pixels of a picture that holds all rings."""
    reach = int(grid.rings[-1])
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    return x, y


def _fitted(radius: np.ndarray, grid: PolarGrid) -> np.ndarray:
    return (radius >= grid.rings[0]) & (radius <= grid.rings[-1])
