"""Tilt images whose rows or columns run along the tilt axis, sampled exactly by padding or cutting their transforms."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emtomo.compute.fourier.transforms import next_fast_len
from emtomo.compute.tilt import filtering

STRAIGHT = 0.005  # pixels by which the tilt axis may leave a row or column within the image
WHOLE = 1e-3  # samples by which a padded image may differ from a whole number of them
WIDEST = 1.4  # of the image's size, to which it is padded at most


@dataclass(frozen=True)
class AlignedSampling:
    """Samples across and along the tilt axis, which are samples of a padded image's rows and columns.

    Attributes
    ----------
    padded, sampled : (2,) tuples
        Rows and columns of the padded image in pixels, and in samples.
    order : (2,) tuple
        Image axis (0 x, 1 y) across and along the tilt axis.
    signs : (2,) tuple
        Whether they run the same way (1) or the other (-1).
    steps : (2,) tuple
        Å a sample across and along.
    """

    padded: tuple[int, int]
    sampled: tuple[int, int]
    order: tuple[int, int]
    signs: tuple[int, int]
    steps: tuple[float, float]

    def sample(
        self,
        spectrum: filtering.Spectrum,
        shift: np.ndarray,
        counts: tuple[int, int],
    ) -> tuple[filtering.Spectrum, tuple[np.ndarray, np.ndarray]]:
        """Return a spectrum whose sample 0 is the tilt axis' middle, and the samples to take across and along.

        Parameters
        ----------
        spectrum : Spectrum
            Of the padded image; its values are changed in place.
        shift : (2,) array
            x, y in Å of the axis' middle from the image's centre.
        counts : (2,) tuple
            Samples wanted across and along, whose middle is ``n // 2``; those outside the image get -1.
        """
        middle = np.array(spectrum.centre) * spectrum.pixel_size + shift
        spectrum.values[...] *= np.exp(2j * np.pi * middle[0] * spectrum.kx).astype(np.complex64)
        spectrum.values[...] *= np.exp(2j * np.pi * middle[1] * spectrum.ky).astype(np.complex64)[:, None]
        taken = []
        for axis, sign, step, count in zip(self.order, self.signs, self.steps, counts, strict=True):
            place = sign * (np.arange(count) - count // 2)
            at = middle[axis] + place * step
            inside = (at >= 0) & (at <= (self.padded[1 - axis] - 1) * spectrum.pixel_size)
            taken.append(np.where(inside, place % self.sampled[1 - axis], -1))
        return spectrum, (taken[0], taken[1])


def find_aligned_sampling(
    shape: tuple[int, int], pixel_size: float, steps: tuple[float, float], across: np.ndarray, along: np.ndarray
) -> AlignedSampling | None:
    """Return how an image is sampled in steps (Å) across and along the tilt axis; None where that is not exact.

    Parameters
    ----------
    shape : (2,) tuple
        Rows and columns.
    pixel_size : float
        Å.
    steps : (2,) tuple
    across, along : (2,) arrays
        Unit vectors x, y in the image.
    """
    first = int(abs(across[1]) > abs(across[0]))
    order = (first, 1 - first)
    if abs(across[order[1]]) * max(shape) > STRAIGHT:
        return None
    lengths = {}
    for axis, step in zip(order, steps, strict=True):
        found = _match_lengths(shape[1 - axis], pixel_size / step)
        if found is None:
            return None
        lengths[axis] = found
    signs = (1 if across[order[0]] > 0 else -1, 1 if along[order[1]] > 0 else -1)
    return AlignedSampling((lengths[1][0], lengths[0][0]), (lengths[1][1], lengths[0][1]), order, signs, steps)


@lru_cache(maxsize=64)
def _match_lengths(n: int, ratio: float) -> tuple[int, int] | None:
    """Return an even padded length and the even number of samples, `ratio` a pixel, that is as long; both fast."""
    for padded in range(int(n * filtering.MARGIN) // 2 * 2, int(n * WIDEST) + 2, 2):
        samples = round(padded * ratio)
        if padded < n or samples < 2 or samples % 2 or abs(padded * ratio - samples) > WHOLE:
            continue
        if next_fast_len(padded, real=True) == padded and next_fast_len(samples, real=True) == samples:
            return padded, samples
    return None
