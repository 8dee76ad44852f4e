"""The frequencies of an image, packed and sorted by length: those within a radius are the first ones."""

from functools import cached_property

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.transforms import irfft2

PAD = 2  # of references, in whose transforms one interpolates


class HalfPlane:
    """Half of all frequencies of a square image but zero and Nyquist.

    Transforms are divided by the edge, so that white noise of variance v has the mean square v at every frequency.

    Attributes
    ----------
    size : int
        Edge of the image, pixels.
    kx, ky : (N,) float32 arrays
        Whole-numbered frequencies, in order of their length.
    shell : (N,) int array
        Their rounded lengths.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._all = FourierCoefficients(size, size / 2, 2)
        length = np.hypot(self._all.k[:, 0].astype(float), self._all.k[:, 1])
        self.order = np.argsort(length, kind="stable")
        self._length = length[self.order]
        self.kx, self.ky = (np.ascontiguousarray(self._all.k[self.order, axis]) for axis in (0, 1))
        self.shell = np.rint(self._length).astype(np.int32)

    def __len__(self) -> int:
        return len(self.order)

    def count(self, radius: float) -> int:
        """Return how many frequencies lie within `radius` shells."""
        return int(np.searchsorted(self._length, radius, side="right"))

    @cached_property
    def shell_counts(self) -> np.ndarray:
        """How many of these frequencies each shell has."""
        return np.bincount(self.shell)

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Return the packed transforms (..., N) of images (..., n, n), their origin at pixel ``n // 2``."""
        return np.ascontiguousarray(self._all.transform(images)[..., self.order]) / np.float32(self.size)

    def image(self, packed: np.ndarray) -> np.ndarray:
        """Return the images (m, n, n), of mean 0, whose packed transforms (m, N) are given."""
        n = self.size
        k = self._all
        half = np.zeros((len(packed), n * (n // 2 + 1)), np.complex64)
        half[:, k.index[self.order]] = packed * np.conj(k.centre[self.order]) * np.float32(n)
        half = half.reshape(len(packed), n, n // 2 + 1)
        rows = np.arange(1, n)
        # of frequencies along y (kx = 0) one of each pair is packed; the other is its conjugate
        half[:, rows, 0] += np.conj(half[:, n - rows, 0])
        return irfft2(half, (n, n))

    def phases(self, shifts: np.ndarray, count: int | None = None) -> np.ndarray:
        """Return the factors (m, N) that move images back by `shifts`, (m, 2) x and y in pixels.

        Of all frequencies, or the first `count`.
        """
        turns = np.outer(shifts[:, 0], self.kx[:count]) + np.outer(shifts[:, 1], self.ky[:count])
        return np.exp(2j * np.pi / self.size * turns).astype(np.complex64)

    def shell_means(self, values: np.ndarray) -> np.ndarray:
        """Return the means (..., shells) of values (..., N') of the first N' frequencies; 0 in shells without any."""
        shell = self.shell[: values.shape[-1]]
        starts = np.flatnonzero(np.diff(shell, prepend=-1))
        out = np.zeros((*values.shape[:-1], len(self.shell_counts)), float)
        out[..., shell[starts]] = np.add.reduceat(values, starts, axis=-1, dtype=float) / np.diff(
            np.append(starts, len(shell))
        )
        return out
