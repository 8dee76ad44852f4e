"""The frequencies that take part, packed into flat vectors: half of a sphere, each once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emtomo.compute.device import threads

SECTORS = 6  # parts of a shell whose noise is measured apart


@dataclass(frozen=True)
class FourierCoefficients:
    """Frequencies of a cubic box within a radius, without zero and without the redundant half.

    Attributes
    ----------
    size : int
        Edge of the box in voxels.
    radius : float
        Largest frequency in shells (1 / box); at most half the box, Nyquist itself excluded.
    """

    size: int
    radius: float

    @cached_property
    def index(self) -> np.ndarray:
        """Places in the flattened ``rfftn``, in its order."""
        n, half = self.size, self.size // 2 + 1
        full = np.rint(np.fft.fftfreq(n) * n).astype(int)
        z, y, x = full[:, None, None], full[None, :, None], np.arange(half)[None, None, :]
        k2 = z * z + y * y + x * x
        within = (k2 <= self.radius**2) & (k2 < (n / 2) ** 2) & (k2 > 0)
        first = (x > 0) | (y > 0) | ((y == 0) & (z > 0))
        return np.flatnonzero(within & first)

    @cached_property
    def k(self) -> np.ndarray:
        """`(n, 3)` float32 frequencies in x, y, z."""
        full = np.rint(np.fft.fftfreq(self.size) * self.size).astype(np.float32)
        z, y, x = np.unravel_index(self.index, (self.size, self.size, self.size // 2 + 1))
        return np.ascontiguousarray(np.stack([x.astype(np.float32), full[y], full[z]], axis=1))

    @cached_property
    def shell(self) -> np.ndarray:
        """Shell of every frequency: its rounded length."""
        return np.rint(np.linalg.norm(self.k.astype(float), axis=1)).astype(int)

    @cached_property
    def band(self) -> np.ndarray:
        """Where a frequency stands in a noise spectrum: by its shell, and by how near it is to the tilt axis.

        Tilted images meet at the axis (y) and part away from it, so that noise depends on both.
        """
        length = np.linalg.norm(self.k.astype(float), axis=1)
        sector = np.minimum((np.abs(self.k[:, 1]) / length * SECTORS).astype(int), SECTORS - 1)
        return self.shell * SECTORS + sector

    @cached_property
    def centre(self) -> np.ndarray:
        """Factors that move the origin from voxel 0 to voxel ``n // 2``."""
        turns = self.k.astype(float).sum(axis=1) * (self.size // 2) / self.size
        return np.exp(2j * np.pi * turns).astype(np.complex64)

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict[str, float]:
        """Leave out what is worked out from size and radius, when a packing travels to another process."""
        return {"size": self.size, "radius": self.radius}

    def within(self, radius: float) -> np.ndarray:
        """Return which of these frequencies lie within a smaller radius."""
        return np.flatnonzero(np.linalg.norm(self.k, axis=1) <= radius)

    def transform(self, box: np.ndarray) -> np.ndarray:
        """Return the packed transform of a box (or of boxes), its origin at voxel ``n // 2``."""
        from scipy.fft import rfftn

        spectrum = rfftn(np.asarray(box, np.float32), axes=(-3, -2, -1), workers=1 if box.ndim == 3 else threads())
        return spectrum.reshape(*box.shape[:-3], -1)[..., self.index] * self.centre

    def pick(self, half_volume: np.ndarray) -> np.ndarray:
        """Return the packed values of a volume in the order of ``rfftn``."""
        return np.ascontiguousarray(half_volume.reshape(-1)[self.index])


def count_bands(size: int) -> int:
    """Return the length of a noise spectrum of boxes of `size` voxels."""
    return (size // 2 + 1) * SECTORS
