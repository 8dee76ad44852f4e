"""The padded transform of a reference, from which sections are taken."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import rfftn

PAD = 2


def gridding_correction(size: int, pad: int = PAD) -> np.ndarray:
    """Return by what trilinear interpolation in a transform padded `pad` times weakens each voxel.

    References
    ----------
    Jackson et al., Selection of a convolution function for Fourier inversion using
    gridding, IEEE TMI 10 (1991): the kernel's transform, here sinc^2.
    """
    along = np.sinc((np.arange(size) - size // 2) / (size * pad)) ** 2
    return (along[:, None, None] * along[None, :, None] * along[None, None, :]).astype(np.float32)


def transform_padded(volume: np.ndarray, radius: float, pad: int = PAD) -> np.ndarray:
    """Return the transform of `volume` at ``1 / pad`` of a shell, within `radius` shells.

    Parameters
    ----------
    volume : (n, n, n) array
    radius : float
        In shells.

    Returns
    -------
    (2 m + 1, 2 m + 1, m + 2) complex64 array
        Origin at ``[m, m, 0]``, with all neighbours of the sphere's points.
    """
    n = volume.shape[0]
    wide = pad * n
    padded = np.zeros((wide, wide, wide), np.float32)
    corrected = np.asarray(volume, np.float32) / gridding_correction(n, pad)
    first = -(n // 2)
    place = (np.arange(n) + first) % wide
    padded[np.ix_(place, place, place)] = corrected
    spectrum = rfftn(padded, workers=threads())
    m = margin(radius, pad)
    full = np.arange(-m, m + 1)
    inside = np.abs(full) <= wide // 2
    out = np.zeros((2 * m + 1, 2 * m + 1, m + 2), np.complex64)
    columns = min(m + 2, spectrum.shape[2])
    rows = np.flatnonzero(inside)
    out[np.ix_(rows, rows, np.arange(columns))] = spectrum[
        np.ix_(full[inside] % wide, full[inside] % wide, np.arange(columns))
    ]
    return out


def margin(radius: float, pad: int = PAD) -> int:
    """Return the half width of a padded transform that holds all neighbours of a sphere's points."""
    return int(np.ceil(radius * pad)) + 1
