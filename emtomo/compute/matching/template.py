"""The template: what is looked for, at one sampling, and what noise makes of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.resampling import resample
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.compute.matching.weighting import Weighting

_PAD = np.float32(PAD)


@dataclass(frozen=True)
class MatchingTemplate:
    """A masked reference of zero mean at some sampling.

    Attributes
    ----------
    box : (n, n, n) float32 array
        White; zero outside its mask; the centre at ``n // 2``.
    factor : float
        Its voxels in voxels of the tomogram that was weighted.
    weighting : Weighting
    """

    box: np.ndarray
    factor: float
    weighting: Weighting

    @property
    def size(self) -> int:
        """Edge of the box in voxels."""
        return self.box.shape[0]

    @cached_property
    def transform(self) -> np.ndarray:
        """See :func:`transform_padded`."""
        return transform_padded(self.box, self.size / 2)

    @cached_property
    def coefficients(self) -> FourierCoefficients:
        """The frequencies of the box that take part."""
        return FourierCoefficients(self.size, min(self.size / 2, self.weighting.high * self.factor * self.size))

    @cached_property
    def weight(self) -> np.ndarray:
        """For every packed frequency the square of what an amplitude there counts."""
        k = self.coefficients.k / np.float32(self.size * self.factor)
        return self.weighting.template(k[:, 0], k[:, 1], k[:, 2]) ** 2

    def norms(self, rotations: np.ndarray) -> np.ndarray:
        """Return the deviation of the correlation with pure noise, for each orientation."""
        from emtomo.compute.kernels.matching_cpu import norm

        flat, m, wide = self.flat
        sums = [norm(flat, m, wide, _PAD, self.coefficients.k, self.weight, r) for r in rotations.astype(np.float32)]
        # the packed half stands for both; a coarser voxel is the mean of factor^3, and so is its noise
        return np.sqrt(2 * np.array(sums) / self.size**3 / self.factor**3)

    @property
    def flat(self) -> tuple[np.ndarray, np.int32, np.int32]:
        """The transform as kernels read it: real and imaginary parts, its half width, its columns."""
        t = self.transform
        return t.reshape(-1).view(np.float32), np.int32(t.shape[0] // 2), np.int32(t.shape[2])

    def roughness(self, rotations: np.ndarray) -> float:
        """Return the mean root of det(covariance of the slopes) of the score in pure noise.

        Slopes by a turn (radians) and a shift (voxels of this box), the score having deviation 1.
        """
        from emtomo.compute.kernels import fourier_cpu

        data = np.zeros(len(self.coefficients), np.complex64)
        gradient, hessian = np.empty(6), np.empty((6, 6))
        found = []
        for r in rotations.astype(np.float32):
            total = -fourier_cpu.likelihood(
                self.transform, _PAD, self.coefficients.k, data, self.weight, r, self.size, gradient, hessian
            )
            slopes = hessian / 2 / total
            along = gradient / 2 / total
            found.append(np.sqrt(max(np.linalg.det(slopes - np.outer(along, along)), 0)))
        return float(np.mean(found))


def mask_template(reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the reference within the mask, its mean there taken away."""
    total = float(mask.sum(dtype=np.float64))
    mean = float((reference * mask).sum(dtype=np.float64)) / max(total, 1e-30)
    return np.ascontiguousarray((reference - mean) * mask, np.float32)


def coarsen(template: MatchingTemplate, factor: float) -> MatchingTemplate:
    """Return the template at `factor` times larger voxels."""
    n = int(np.ceil(template.size / factor)) | 1
    return MatchingTemplate(resample(template.box, (n,) * 3, factor), template.factor * factor, template.weighting)


def randomise_phases(template: MatchingTemplate, seed: int = 0) -> MatchingTemplate:
    """Return a template of the same amplitudes within the same ball, of random phases."""
    n = template.size
    noise = rfftn(np.random.default_rng(seed).standard_normal((n,) * 3, np.float32))
    mixed = np.abs(rfftn(template.box)) * noise / np.maximum(np.abs(noise), 1e-20)
    extent = np.sqrt(((np.argwhere(template.box != 0) - n // 2) ** 2).sum(axis=1).max())
    mask = ball(n, float(extent) - 1, 1.0)
    return MatchingTemplate(mask_template(irfftn(mixed, (n,) * 3), mask), template.factor, template.weighting)


def count_expected_maxima(cut: float, cells: float) -> float:
    """Return how many local maxima of a Gaussian field of six dimensions exceed `cut` deviations.

    Parameters
    ----------
    cut : float
    cells : float
        Voxels, times the volume of orientations in radians cubed (all are 8 pi^2), times
        :meth:`MatchingTemplate.roughness`.

    References
    ----------
    Adler & Taylor, Random Fields and Geometry (2007), Theorem 12.4.1: the Euler characteristic of the set above the
    cut, which is the number of maxima there when the cut is high.
    """
    hermite = cut**5 - 10 * cut**3 + 15 * cut
    return cells * hermite * np.exp(-(cut**2) / 2) / (2 * np.pi) ** 3.5


def cut_for(false_alarms: float, cells: float) -> float:
    """Return the cut that noise exceeds so many times (see :func:`count_expected_maxima`)."""
    low, high = 3.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if count_expected_maxima(middle, cells) > false_alarms:
            low = middle
        else:
            high = middle
    return high
