"""Change the sampling of volumes by band-limited interpolation about the centre.

Resampling is separable: along each axis it is a product with one small matrix,
the Dirichlet kernel of the input's length, cut off at the output's Nyquist
frequency. For a factor that divides the size this is Fourier cropping; for any
other factor it still puts the centre voxel on the centre voxel. The matrix
products run in BLAS.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emtomo.checks import check_number, check_volume
from emtomo.compute.device import threads
from emtomo.compute.linear_algebra import multiply, one_blas_thread
from emtomo.errors import EmtomoError


def size_after_resampling(n: int, factor: float) -> int:
    """Return the voxels along an axis of `n` voxels after binning by `factor`."""
    return max(1, int(np.floor(n / factor + 1e-6)))


def resampling_matrix(n_in: int, n_out: int, factor: float) -> np.ndarray:
    """Return the `(n_out, n_in)` matrix that samples a signal `factor` times coarser.

    Output index ``j`` lies at input index ``n_in // 2 + (j - n_out // 2) * factor``.
    Frequencies above the Nyquist frequency of the coarser sampling are removed.

    Parameters
    ----------
    n_in, n_out : int
    factor : float
        Ratio of the pixel sizes, output over input; may be below 1 (finer sampling).
    """
    position = n_in // 2 + (np.arange(n_out) - n_out // 2) * factor
    offset = position[:, None] - np.arange(n_in)[None, :]
    limit = min(n_in / 2, n_in / (2 * factor))
    highest = int(np.ceil(limit - 1e-9)) - 1  # the last frequency strictly inside
    angle = np.pi * offset / n_in
    sine = np.sin(angle)
    regular = np.abs(sine) > 1e-9
    kernel = np.where(
        regular,
        np.sin((2 * highest + 1) * angle) / np.where(regular, sine, 1),
        2 * highest + 1,
    )
    if abs(limit - round(limit)) < 1e-9:  # half of the Nyquist term belongs to either side
        kernel = kernel + np.cos(2 * np.pi * round(limit) * offset / n_in)
    matrix = kernel / n_in
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def resample(volume: np.ndarray, shape: tuple[int, ...], factor: float) -> np.ndarray:
    """Return `volume` sampled `factor` times coarser on `shape` voxels about the same centre."""
    out = np.asarray(volume, np.float32)
    for axis, (n_in, n_out) in enumerate(zip(volume.shape, shape, strict=True)):
        matrix = resampling_matrix(n_in, n_out, factor)
        first = np.moveaxis(out, axis, 0)
        rest = first.shape[1:]
        out = np.moveaxis(multiply(matrix, first.reshape(n_in, -1)).reshape(n_out, *rest), 0, axis)
    return np.ascontiguousarray(out)


def bin_volume(
    volume: np.ndarray, factor: float, *, progress: Callable[[float, float], None] | None = None
) -> np.ndarray:
    """Return `volume` binned by `factor` by Fourier cropping about the centre.

    Works slice by slice: a memory-mapped volume is never held as a whole.

    Parameters
    ----------
    volume : (z, y, x) array
    factor : float
        At least 1; 2 halves the size. Need not divide the size.
    progress : callable, optional
        Called with slices done and slices in all.

    Returns
    -------
    (z', y', x') float32 array
        ``n' = floor(n / factor)``; voxel ``n' // 2`` is where voxel ``n // 2`` was.

    Raises
    ------
    EmtomoError
        If `factor` is below 1, or it is no volume of finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> emtomo.bin_volume(np.ones((9, 10, 12)), 2).shape
    (4, 5, 6)
    """
    factor, volume = check_number(factor, "The binning factor", least=1), check_volume(volume, "volume", finite=False)
    nz, ny, nx = volume.shape
    mz, my, mx = (size_after_resampling(n, factor) for n in volume.shape)
    along_x = resampling_matrix(nx, mx, factor)
    along_y = resampling_matrix(ny, my, factor)
    planes = np.empty((nz, my, mx), np.float32)

    def bin_slice(z: int) -> None:
        """Bin a slice along y and x."""
        plane = np.asarray(volume[z], np.float32)
        if not np.isfinite(plane).all():
            raise EmtomoError(f"The volume holds voxels that are no numbers (NaN or infinite), in slice {z + 1}.")
        planes[z] = multiply(along_y, multiply(plane, along_x.T))

    with one_blas_thread(), ThreadPoolExecutor(threads()) as pool:
        for done, _ in enumerate(pool.map(bin_slice, range(nz)), 1):
            if progress:
                progress(done, nz)
    along_z = resampling_matrix(nz, mz, factor)
    return multiply(along_z, planes.reshape(nz, -1)).reshape(mz, my, mx)
