"""Particles binned by a whole-numbered factor, for models of low resolution."""

from collections.abc import Hashable

import numpy as np

from emtomo.compute.fourier.resampling import resample
from emtomo.compute.likelihood.views import ParticleSource, Views
from emtomo.errors import EmtomoError


class ShrunkParticles(ParticleSource):
    """Particles whose boxes or images are binned about the same centre; it may travel to other processes.

    Parameters
    ----------
    source : ParticleSource
    factor : int
        At least 1; must divide the size.

    Raises
    ------
    EmtomoError
        If the factor does not divide the size.
    """

    def __init__(self, source: ParticleSource, factor: int) -> None:
        if factor < 1 or source.size % factor:
            raise EmtomoError(f"The box of {source.size} voxels cannot be divided by the shrink factor {factor}.")
        self.source, self.factor = source, factor
        self.size, self.pixel_size = source.size // factor, source.pixel_size * factor
        self.kind, self.premultiplied, self.dimension = source.kind, source.premultiplied, source.dimension
        self.noise_groups, self.common_rotations = source.noise_groups, source.common_rotations
        self.measured_radius = source.measured_radius

    def __len__(self) -> int:
        return len(self.source)

    def count_views(self, i: int) -> int:
        """See :class:`ParticleSource`."""
        return self.source.count_views(i)

    @property
    def usual_views(self) -> int:
        """See :class:`ParticleSource`."""
        return self.source.usual_views

    def read(self, i: int) -> Views:
        """See :class:`ParticleSource`."""
        views = self.source.read(i)
        shape = (self.size,) * self.dimension
        values = np.stack([resample(value, shape, self.factor) for value in views.values])
        weights = None if views.weights is None else np.stack([self._crop(one) for one in views.weights])
        return Views(values, views.rotations, views.offsets / self.factor, views.noise_group, weights)

    def weight_key(self, i: int) -> Hashable | None:
        """See :class:`ParticleSource`."""
        return self.source.weight_key(i)

    def weights_of_key(self, key: Hashable) -> np.ndarray:
        """See :class:`ParticleSource`."""
        return self._crop(self.source.weights_of_key(key))

    def _crop(self, weights: np.ndarray) -> np.ndarray:
        """Return the low frequencies of weights in the order of ``rfftn``."""
        axes = tuple(range(self.dimension - 1))
        full = np.fft.fftshift(weights, axes=axes)
        low = self.source.size // 2 - self.size // 2
        middle = (slice(low, low + self.size),) * len(axes)
        return np.fft.ifftshift(full[(*middle, slice(self.size // 2 + 1))], axes=axes)
