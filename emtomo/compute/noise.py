"""How strong the noise of a volume is."""

import numpy as np

_MAD_TO_SIGMA = 1.4826


def noise_level(volume: np.ndarray, *, slices: int = 16) -> float:
    """Return a robust estimate of the standard deviation of the voxels' noise.

    The median absolute deviation of differences of neighbouring voxels is taken:
    structures are smooth or rare, noise is neither.

    Parameters
    ----------
    volume : (z, y, x) array
    slices : int
        Slices that are looked at, evenly spread.

    References
    ----------
    Immerkær, Fast noise variance estimation, CVIU 64 (1996), for the idea of differences.
    """
    volume = np.asarray(volume)
    chosen = np.unique(np.linspace(0, volume.shape[0] - 1, slices).astype(int))
    part = np.asarray(volume[chosen], np.float32)
    differences = [np.diff(part, axis=axis).ravel() for axis in (1, 2) if part.shape[axis] > 1]
    lower = chosen[chosen + 1 < volume.shape[0]]
    if len(lower):
        differences.append((np.asarray(volume[lower + 1], np.float32) - np.asarray(volume[lower], np.float32)).ravel())
    if not differences:
        return 0.0
    joined = np.concatenate(differences)
    spread = np.median(np.abs(joined - np.median(joined)))
    return float(_MAD_TO_SIGMA * spread / np.sqrt(2))
