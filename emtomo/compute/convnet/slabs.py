"""Tomograms as the network sees them: slices averaged over thin slabs, some above each other."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.matching.weighting import standardise

CHANNELS = 5  # slabs above each other
SLAB = 0.13  # thickness of one, as part of the box
CLIP = 4.0  # standard deviations
BACKGROUND = 1.5  # boxes over which the background is taken away
OUTPUT = 4  # pixels of the training box to one of the answer


@dataclass(frozen=True)
class Slabs:
    """A tomogram averaged over slabs.

    Attributes
    ----------
    volume : (z, y, x) float32 array
        Every slice the mean of a slab about it.
    box : int
        Voxels of a particle's box.
    step : int
        Slices between channels.
    """

    volume: np.ndarray
    box: int
    step: int

    def channels(self, z: int) -> np.ndarray:
        """Return the slabs about slice `z`, `(CHANNELS, y, x)`; beyond the tomogram its outermost slices."""
        offsets = self.step * (np.arange(CHANNELS) - CHANNELS // 2)
        return self.volume[np.clip(z + offsets, 0, len(self.volume) - 1)]

    def patch(self, z: int, y: int, x: int, half: int) -> np.ndarray:
        """Return the slabs about a voxel, `(CHANNELS, 2 half + 1, 2 half + 1)`; zero beyond the tomogram."""
        out = np.zeros((CHANNELS, 2 * half + 1, 2 * half + 1), np.float32)
        planes = self.channels(z)
        source, target = [], []
        for centre, n in ((y, planes.shape[1]), (x, planes.shape[2])):
            low, high = max(0, centre - half), min(n, centre + half + 1)
            source.append(slice(low, max(low, high)))
            target.append(slice(low - centre + half, max(low, high) - centre + half))
        out[:, target[0], target[1]] = planes[:, source[0], source[1]]
        return out


def slabs_of(volume: np.ndarray, white: bool, box: int) -> Slabs:
    """Prepare a tomogram: mean 0, deviation 1, particles bright, background and outliers taken away, slabs averaged.

    Parameters
    ----------
    volume : (z, y, x) array
    white : bool
        Particles are bright.
    box : int
        Voxels of a particle's box.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter1d

    out, _ = standardise(volume, white)
    out.clip(-CLIP, CLIP, out=out)
    for plane in out:
        plane -= gaussian_filter(plane, BACKGROUND * box / 2, mode="nearest")
    step = max(1, int(round(SLAB * box)))
    out = uniform_filter1d(out, step, axis=0, mode="nearest")
    # a slab's noise is weaker the thicker it is: to deviation 1 again
    spread = float(np.sqrt(np.mean([np.square(plane).mean(dtype=np.float64) for plane in out])))
    out /= np.float32(max(spread, 1e-12))
    return Slabs(out, box, step)
