"""Correlations of one image with many small ones, and the best of many combinations of them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.compute.linear_algebra import multiply

BLOCK = 512  # pixels whose scores are computed at once: they stay in the cache


class CorrelatedImage:
    """An image with zeros around it, ready to be correlated; what lies beyond it does not count in moments.

    Parameters
    ----------
    image : (y, x) float32 array
    shape : (rows, columns)
        Of the transforms.
    """

    def __init__(self, image: np.ndarray, shape: tuple[int, int]) -> None:
        self.shape, self.inner = shape, image.shape
        self.values = rfft2(image, shape, workers=threads())
        self.squares = rfft2(np.square(image), shape, workers=threads())

    def correlate(self, kernel: np.ndarray) -> np.ndarray:
        """Return the correlation (y, x) with a kernel, given as :func:`transform_kernels` does."""
        return self._correlate(self.values, kernel)

    def moments(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and variance (y, x) of the image under a mask of zeros and ones about every pixel."""
        kernel = transform_kernels(mask[None], self.shape)[0]
        count = np.maximum(count_inside(mask, self.inner), 1)
        mean = self._correlate(self.values, kernel) / count
        return mean, self._correlate(self.squares, kernel) / count - np.square(mean)

    def _correlate(self, spectrum: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        whole = irfft2(spectrum * kernel, self.shape, workers=threads(), overwrite_x=True)
        return np.asarray(whole[: self.inner[0], : self.inner[1]])


def count_inside(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return how many pixels of a mask, centred on every pixel of an image of `shape`, lie in the image."""
    m = mask.shape[0]
    table = np.zeros((m + 1, m + 1))
    table[1:, 1:] = mask.cumsum(0).cumsum(1)
    (low_y, high_y), (low_x, high_x) = (
        (np.clip(m // 2 - at, 0, m), np.clip(n - at + m // 2, 0, m)) for n, at in ((n, np.arange(n)) for n in shape)
    )
    rows = table[high_y] - table[low_y]
    return np.asarray(rows[:, high_x] - rows[:, low_x], np.float32)


def transform_kernels(kernels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the conjugate transforms of small images about their pixels ``m // 2``, in the order of ``rfft2``.

    Images that are zero but for a few pixels are transformed by two small matrices, faster than by FFT.

    Parameters
    ----------
    kernels : (b, m, m) array
    shape : (rows, columns)
        Within which they are placed, their centres on the first pixel.

    Returns
    -------
    (b, rows, columns // 2 + 1) complex64 array
    """
    rows, columns = shape
    m = kernels.shape[-1]
    place = np.arange(m) - m // 2
    across = np.exp(2j * np.pi / columns * np.outer(np.arange(columns // 2 + 1), place))
    down = np.exp(2j * np.pi / rows * np.outer(np.arange(rows), place))
    half = np.asarray(kernels, np.float32) @ across.astype(np.complex64).T
    out = np.empty((len(kernels), rows, columns // 2 + 1), np.complex64)
    down = down.astype(np.complex64)
    for k in range(len(kernels)):
        np.matmul(down, half[k], out=out[k])
    return out


def best_of(coefficients: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest of all combinations of maps at every pixel, and which one it is.

    Parameters
    ----------
    coefficients : (t, b) float32 array
    maps : (b, p) float32 array

    Returns
    -------
    best : (p,) float32 array
    which : (p,) int32 array
    """
    from emtomo.compute.kernels.picking_cpu import keep_best

    best, which = np.empty(maps.shape[1], np.float32), np.empty(maps.shape[1], np.int32)

    def fill(part: slice) -> None:
        """Find the best of some pixels."""
        keep_best(multiply(coefficients, maps[:, part]), best[part], which[part])

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, (slice(first, first + BLOCK) for first in range(0, maps.shape[1], BLOCK))))
    return best, which
