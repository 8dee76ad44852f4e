"""The frequencies that take part, packed into flat vectors: half of a ball (of a box) or of a disc (of an image)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import rfftn
from emtomo.errors import EmtomoError

SECTORS = 6  # parts of a box's shell whose noise is measured apart


@dataclass(frozen=True)
class FourierCoefficients:
    """Frequencies of a cubic box or a square image within a radius, without zero and without the redundant half.

    Attributes
    ----------
    size : int
        Edge of the box or image in voxels.
    radius : float
        Largest frequency in shells (1 / size); at most half the size, Nyquist itself excluded.
    dimension : {3, 2}
        Of the transform: 3 for a box, 2 for an image, whose frequencies have kz = 0.

    Raises
    ------
    EmtomoError
        If the dimension is neither 2 nor 3.
    """

    size: int
    radius: float
    dimension: int = 3

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise EmtomoError(f"Fourier coefficients are of boxes (3) or images (2), got dimension {self.dimension}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is transformed."""
        return (self.size,) * self.dimension

    @property
    def axes(self) -> tuple[int, ...]:
        """The last axes of an array of boxes or images, which are transformed."""
        return tuple(range(-self.dimension, 0))

    @cached_property
    def index(self) -> np.ndarray:
        """Places in the flattened ``rfftn``, in its order."""
        n = self.size
        full = np.rint(np.fft.fftfreq(n) * n).astype(int)
        z = full[:, None, None] if self.dimension == 3 else np.zeros((1, 1, 1), int)
        y, x = full[None, :, None], np.arange(n // 2 + 1)[None, None, :]
        k2 = z * z + y * y + x * x
        within = (k2 <= self.radius**2) & (k2 < (n / 2) ** 2) & (k2 > 0)
        first = (x > 0) | (y > 0) | ((y == 0) & (z > 0))
        return np.flatnonzero(within & first)

    @cached_property
    def k(self) -> np.ndarray:
        """`(n, 3)` float32 whole-numbered frequencies in x, y, z; z is 0 in an image."""
        n = self.size
        full = np.rint(np.fft.fftfreq(n) * n).astype(np.float32)
        *z, y, x = np.unravel_index(self.index, (*self.shape[:-1], n // 2 + 1))
        kz = full[z[0]] if z else np.zeros(len(x), np.float32)
        return np.ascontiguousarray(np.stack([x.astype(np.float32), full[y], kz], axis=1))

    @cached_property
    def shell(self) -> np.ndarray:
        """Shell of every frequency: its rounded length."""
        return np.rint(np.linalg.norm(self.k.astype(float), axis=1)).astype(int)

    @cached_property
    def band(self) -> np.ndarray:
        """Where a frequency stands in a noise spectrum.

        In an image by its shell. In a box by its shell and by how near it is to the tilt axis: tilted images meet
        at the axis (y) and part away from it, so that noise depends on both.
        """
        if self.dimension == 2:
            return self.shell
        length = np.linalg.norm(self.k.astype(float), axis=1)
        sector = np.minimum((np.abs(self.k[:, 1]) / length * SECTORS).astype(int), SECTORS - 1)
        return self.shell * SECTORS + sector

    @cached_property
    def centre(self) -> np.ndarray:
        """Factors that move the origin from voxel 0 to voxel ``n // 2``."""
        cycles = self.k.astype(float).sum(axis=1) * (self.size // 2) / self.size
        return np.exp(2j * np.pi * cycles).astype(np.complex64)

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict[str, float]:
        """Leave out what is worked out from the three fields, when coefficients travel to another process."""
        return {"size": self.size, "radius": self.radius, "dimension": self.dimension}

    def within(self, radius: float) -> np.ndarray:
        """Return which of these frequencies lie within a smaller radius."""
        return np.flatnonzero(np.linalg.norm(self.k, axis=1) <= radius)

    def transform(self, box: np.ndarray) -> np.ndarray:
        """Return the packed transform of a box or image (or of several), its origin at voxel ``n // 2``."""
        alone = box.ndim == self.dimension
        spectrum = rfftn(np.asarray(box, np.float32), axes=self.axes, workers=1 if alone else threads())
        return self.pick(spectrum) * self.centre

    def pick(self, half_spectrum: np.ndarray) -> np.ndarray:
        """Return the packed values of an array (or of several) in the order of ``rfftn``."""
        flat = half_spectrum.reshape(*half_spectrum.shape[: half_spectrum.ndim - self.dimension], -1)
        return np.ascontiguousarray(flat[..., self.index])


def count_bands(size: int, dimension: int = 3) -> int:
    """Return the length of a noise spectrum of boxes (or images, of dimension 2) of `size` voxels."""
    return (size // 2 + 1) * (SECTORS if dimension == 3 else 1)
