"""In which order the pixels of tilt images go into the transform of a subtomogram: plane by plane."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.padded_reference import margin


@dataclass(frozen=True)
class PixelOrder:
    """Frequencies of tilt images by the plane of the volume's transform that they lie in, or their mates.

    Planes are across y: a row of an image, tilted about y, stays within one, and all tilts meet there while it is in
    the processor's cache. Depends on the geometry alone.

    Attributes
    ----------
    k : (t, n, 2) int16 array
        x, y in pixels of the transform; of each frequency and its mate that whose x, turned, is not negative.
    starts : (t, 2 m + 2) int32 array
        Where those begin whose y, turned, is at least -m, -m + 1 ...
    rotations : (t, 3, 3) float32 array
        From the volume to the sections.
    """

    k: np.ndarray
    starts: np.ndarray
    rotations: np.ndarray


def order_pixels(sections: np.ndarray, size: int) -> PixelOrder:
    """Return the order of all frequencies of a disc, and of frequency zero, once of each pair of mates.

    Parameters
    ----------
    sections : (t, 3, 3) array
        Rotations from the volume to the sections.
    size : int
        Radius of the disc in pixels, which is not part of it.
    """
    x, y = np.meshgrid(np.arange(size), np.arange(1 - size, size))
    inside = (x * x + y * y < size * size) & ((x > 0) | (y >= 0))
    half, rotations, m = np.stack([x[inside], y[inside]], axis=1), np.asarray(sections, np.float32), margin(size, 1)
    k, starts = np.empty((len(rotations), *half.shape), np.int16), np.empty((len(rotations), 2 * m + 2), np.int32)
    for t, rotation in enumerate(rotations):
        turned = half.astype(np.float32) @ rotation[:2, :2]
        mate = turned[:, 0] < 0
        plane = np.floor(np.where(mate, -turned[:, 1], turned[:, 1])).astype(int)
        order = np.argsort(plane, kind="stable")
        k[t] = np.where(mate[:, None], -half, half)[order]
        starts[t] = np.searchsorted(plane[order], np.arange(-m, m + 2))
    return PixelOrder(k, starts, rotations)
