"""Statistics of the voxels of volumes, also of those larger than memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emtomo.errors import EmtomoError

CLEAR = 0.3  # third moment in units of the deviation, from which on a side is clear
SAMPLE = 2**22  # values from which percentiles and the histogram are taken


@dataclass(frozen=True)
class Statistics:
    """What the values of a volume or column are.

    Attributes
    ----------
    count, missing : int
        Finite values, and those that are not (NaN or infinite).
    minimum, maximum, mean, deviation : float
        Of all finite values; the standard deviation is that of the population.
    low, median, high : float
        Percentiles 1, 50 and 99; of a random sample where there are more than 4 million values.
    """

    count: int
    missing: int
    minimum: float
    low: float
    median: float
    high: float
    maximum: float
    mean: float
    deviation: float


def is_dark(volume: np.ndarray) -> bool | None:
    """Return whether the object in the middle of a box is darker than its surroundings, ``None`` if it is not clear.

    The third moment about the border's median, within the sphere that fits, decides: density stands out on one side.

    Parameters
    ----------
    volume : (n, n, n) array
    """
    radius = np.sqrt(sum(np.square(axis - n // 2) for axis, n in zip(np.ogrid[tuple(slice(n) for n in volume.shape)],
                                                                     volume.shape, strict=True)))  # fmt: skip
    inside = radius < min(volume.shape) / 2
    if inside.all() or not inside.any():
        return None
    off = volume[inside].astype(float) - float(np.median(volume[~inside]))
    spread = float(np.sqrt(np.mean(off**2)))
    skew = float(np.mean((off / spread) ** 3)) if spread > 0 else 0.0
    return None if abs(skew) < CLEAR else skew < 0


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    if values.ndim < 3:
        yield np.asarray(values, float).ravel()
        return
    for plane in values:
        yield np.asarray(plane, float).ravel()


def sample_values(values: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """Return the finite ones of at most about `most` values, drawn from every slice; the same in each call."""
    share, rng = min(1.0, most / max(values.size, 1)), np.random.default_rng(0)
    parts = [b if share == 1 else b[rng.integers(0, len(b), round(share * len(b)))] for b in _blocks(values)]
    found = np.concatenate(parts) if parts else np.empty(0)
    return np.asarray(found[np.isfinite(found)])


def describe_values(values: np.ndarray) -> Statistics:
    """Return the statistics of an array of any shape; a volume ``(z, y, x)`` is read slice by slice.

    Raises
    ------
    EmtomoError
        If there is no finite value.
    """
    count, missing, mean, squares = 0, 0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for block in _blocks(values):
        good = block[np.isfinite(block)]
        missing += len(block) - len(good)
        if not len(good):
            continue
        # means and sums of squares are merged: Chan, Golub & LeVeque, Am. Stat. 37 (1983), Eq. 2.1
        own, n = float(good.mean()), len(good)
        shift = own - mean
        squares += float(((good - own) ** 2).sum()) + shift**2 * count * n / (count + n)
        mean += shift * n / (count + n)
        count += n
        low, high = min(low, float(good.min())), max(high, float(good.max()))
    if not count:
        raise EmtomoError("There is no finite value to describe.")
    sample = sample_values(values)
    one, half, most = np.percentile(sample, [1, 50, 99]) if len(sample) else (low, mean, high)
    return Statistics(
        count, missing, low, float(one), float(half), float(most), high, mean, float(np.sqrt(squares / count))
    )
