"""Micrographs made ready for a search: normalised, particles bright, at the search's pixel size."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.errors import EmtomoError

OUTLIER = 8.0  # standard deviations, beyond which pixels are cut
CONTAMINATED = 10.0  # robust standard deviations of the filtered image, beyond which ice and dirt are cut
EDGE = 0.1  # of a filter's frequency, over which it falls


@dataclass(frozen=True)
class Prepared:
    """A micrograph as it is searched.

    Attributes
    ----------
    image : (y, x) float32 array
        Mean 0, deviation 1, particles bright.
    factor : (2,) array
        Pixels of the micrograph to one of the image, along y and x; the first pixels coincide.
    pixel_size : float
        Å of the image, the mean of both axes.
    passed : float
        Share of the image's frequencies that the filters pass, in power.
    contaminated : (y, x) bool array
        Where the image lay so far outside of most pixels that it was cut.
    """

    image: np.ndarray
    factor: np.ndarray
    pixel_size: float
    passed: float
    contaminated: np.ndarray


def search_shape(shape: tuple[int, ...], pixel_size: float, resolution: float, shrink: float) -> tuple[int, int]:
    """Return the rows and columns at which a micrograph is searched.

    Parameters
    ----------
    shape : (y, x) tuple
    pixel_size, resolution : float
        Å.
    shrink : float
        0: the resolution is the Nyquist frequency, 2 round(N pixel_size / resolution) pixels; up to 1: a fraction of
        the size; above 1: an even number of pixels along the longer side. Never larger than the micrograph.
    """
    longest = max(shape)
    if shrink == 0:
        wanted = 2.0 * round(longest * pixel_size / resolution)
    elif shrink <= 1:
        wanted = shrink * longest
    else:
        wanted = float(int(shrink) - int(shrink) % 2)
    if wanted >= longest - 1:
        return int(shape[0]), int(shape[1])
    rows, columns = (max(2, 2 * round(n * wanted / longest / 2)) for n in shape)
    return rows, columns


def search_pixel_size(shape: tuple[int, ...], pixel_size: float, resolution: float, shrink: float) -> float:
    """Return the pixel size in Å at which a micrograph is searched, the mean of both axes; see :func:`search_shape`."""
    small = search_shape(shape, pixel_size, resolution, shrink)
    return pixel_size * float(np.mean(np.array(shape) / np.array(small)))


def prepare(
    image: np.ndarray,
    pixel_size: float,
    resolution: float,
    *,
    white: bool,
    shrink: float = 0.0,
    highpass: float | None = None,
) -> Prepared:
    """Return a micrograph normalised, filtered and at the size of the search.

    Parameters
    ----------
    image : (y, x) array
    pixel_size : float
        Å.
    resolution : float
        Å; what is finer is removed.
    white : bool
        Particles are brighter than their surroundings.
    shrink : float
        See :func:`search_shape`.
    highpass : float, optional
        Å; what is coarser is removed.

    Raises
    ------
    EmtomoError
        If the image has no signal, or values that are no numbers.
    """
    values = np.array(image, np.float32)
    _normalise(values, "The micrograph")
    np.clip(values, -OUTLIER, OUTLIER, out=values)
    if not white:
        np.negative(values, out=values)
    shape = search_shape(values.shape, pixel_size, resolution, shrink)
    factor = np.array(values.shape) / np.array(shape)
    small = crop_frequencies(values, shape)
    step = search_pixel_size(values.shape, pixel_size, resolution, shrink)
    gain = _band(shape, pixel_size * factor, resolution, highpass)
    passed = 1.0
    if gain is not None:
        small = irfftn(rfftn(small, workers=threads()) * gain, shape, workers=threads())
        doubled = np.full(gain.shape, 2.0)
        doubled[:, 0] = 1.0
        if shape[1] % 2 == 0:
            doubled[:, -1] = 1.0
        passed = float((doubled * gain**2).sum() / (shape[0] * shape[1]))
    contaminated = _cut_contamination(small)
    _normalise(small, "The filtered micrograph")
    return Prepared(small, factor, step, passed, contaminated)


def crop_frequencies(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image on fewer pixels, by cropping its transform; both first pixels coincide, both periods too."""
    if tuple(image.shape) == tuple(shape):
        return np.asarray(image, np.float32)
    spectrum = rfftn(image, workers=threads())
    rows, columns = shape
    low, high = (rows + 1) // 2, rows // 2
    out = np.concatenate([spectrum[:low, : columns // 2 + 1], spectrum[image.shape[0] - high :, : columns // 2 + 1]])
    return np.asarray(irfftn(out, shape, workers=threads()) * (rows * columns / image.size), np.float32)


def _normalise(values: np.ndarray, what: str) -> None:
    """Make mean 0 and deviation 1, in place; the second pass without the share of outliers."""
    if values.ndim != 2:
        raise EmtomoError(f"{what} must be one image, got an array of {values.ndim} axes; movies are not picked on.")
    if values.size and not np.isfinite(values).all():
        raise EmtomoError(f"{what} holds {int((~np.isfinite(values)).sum())} values that are no finite numbers.")
    inner = values
    for _ in range(2):
        mean = float(inner.mean(dtype=np.float64)) if inner.size else 0.0
        values -= mean
        if inner is not values:
            inner -= mean
        spread = float(np.linalg.norm(inner.ravel())) / max(inner.size, 1) ** 0.5
        if spread <= 1e-6 * abs(mean) or spread == 0:
            raise EmtomoError(f"{what} holds no signal: its values are all the same.")
        values /= spread
        usual = np.abs(values) <= OUTLIER
        if usual.all():
            return
        inner = values[usual]


def _cut_contamination(values: np.ndarray) -> np.ndarray:
    """Cut, in place, what lies far outside of most pixels, so that nothing stands out within ice; return where."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))  # the standard deviation, of Gaussian noise
    if spread == 0:
        return np.zeros(values.shape, bool)
    beyond = np.abs(values - middle) > CONTAMINATED * spread
    np.clip(values, middle - CONTAMINATED * spread, middle + CONTAMINATED * spread, out=values)
    return np.asarray(beyond)


def _band(shape: tuple[int, int], steps: np.ndarray, resolution: float, highpass: float | None) -> np.ndarray | None:
    """Return the filter's gain in the order of ``rfft2``, or None where it passes everything."""
    nyquist = 2 * float(steps.min())
    if highpass is None and resolution <= nyquist * (1 + EDGE / 2):
        return None
    k = np.hypot(np.fft.fftfreq(shape[0], steps[0])[:, None], np.fft.rfftfreq(shape[1], steps[1])[None])
    gain = np.ones(k.shape)
    if resolution > nyquist * (1 + EDGE / 2):
        gain *= fall(k * resolution)
    if highpass is not None:
        gain *= 1 - fall(k * highpass)
    return gain.astype(np.float32)


def fall(ratio: np.ndarray) -> np.ndarray:
    """Return a raised cosine that falls from 1 to 0 about a ratio of 1."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((ratio - 1) / EDGE + 0.5, 0, 1))
