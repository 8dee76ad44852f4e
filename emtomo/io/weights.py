"""Weights of subtomograms in Fourier space (CTF volumes), in every layout that RELION and Warp write."""

from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io import mrc


def read_weights(path: str | Path, size: int) -> np.ndarray:
    """Return the weights of a box in the order of ``rfftn``.

    Three layouts are known by their shape: the full cube with the origin at voxel ``n // 2`` (Warp);
    the half volume as FFTW has it, origin at voxel 0 (RELION); that with the multiplicity in as many
    slices more (RELION 4 and 5), which is left out.

    Parameters
    ----------
    path : str or Path
    size : int
        Edge of the box in voxels.

    Returns
    -------
    (size, size, size // 2 + 1) float32 array

    Raises
    ------
    FormatError
        If the shape is none of these, or a value is no number.
    """
    data = np.asarray(mrc.open_volume(path), np.float32)
    half = size // 2 + 1
    if data.shape == (size, size, size):
        weights = np.fft.ifftshift(data)[:, :, :half]
    elif data.shape in ((size, size, half), (2 * size, size, half)):
        weights = data[:size]
    else:
        shown = "×".join(str(n) for n in data.shape[::-1])
        raise FormatError(
            path,
            f"weights of boxes of {size} voxels must be {size}×{size}×{size}, {half}×{size}×{size} or "
            f"{half}×{size}×{2 * size}, got {shown}.",
        )
    if not np.isfinite(data).all():
        raise FormatError(path, "there are values that are no numbers (NaN or infinite).")
    return np.ascontiguousarray(weights)
