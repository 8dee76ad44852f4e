"""Laplacian-of-Gaussian picking: bright balls (3D) or discs (2D) of a range of diameters, without a template."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfftn, next_fast_len, rfftn
from emtomo.errors import EmtomoError
from emtomo.options import Param

OUTLIER = 8.0  # standard deviations
VOXELS = 12.0  # of the smallest diameter, at which volumes are searched


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What a particle is for the Laplacian of Gaussian."""

    min_diameter: Annotated[
        float, Param("Minimum diameter", "Of the particles; elongated ones: the shorter.", unit="Å", gt=0)
    ] = 150.0
    max_diameter: Annotated[float, Param("Maximum diameter", "What is larger is not picked.", unit="Å", gt=0)] = 180.0
    adjust_threshold: Annotated[
        float,
        Param(
            "Adjust threshold",
            "Added to the threshold: more finds fewer particles. In tomograms zero is the mean of the responses that "
            "have a diameter within the range, on micrographs where a peak is as likely a particle as noise.",
            unit="standard deviations",
        ),
    ] = 0.0
    upper_threshold: Annotated[
        float | None,
        Param(
            "Upper threshold",
            "Stronger responses are not picked (gold, ice); counted as the threshold is. Empty: no limit in tomograms, "
            "5 above the particles' mean on micrographs.",
            unit="standard deviations",
        ),
    ] = None
    min_distance: Annotated[
        float | None,
        Param(
            "Minimum distance",
            "Between particles. Empty: in tomograms the mean of the particle's and the minimum diameter, "
            "on micrographs 0.7 of the mean of both diameters.",
            unit="Å",
            gt=0,
        ),
    ] = None
    white: Annotated[
        bool,
        Param(
            "Particles white?",
            "Brighter than their surroundings; raw tomograms have dark ones. Those imported as white are taken so.",
        ),
    ] = False


@dataclass(frozen=True)
class Blobs:
    """What was found, best first.

    Attributes
    ----------
    places : (n, d) array
        Indices along the axes of the array (z, y, x or y, x), to a fraction of a voxel.
    scores : (n,) array
        Response in standard deviations of the valid responses above their mean.
    diameters : (n,) array
        Å.
    threshold : float
        That was applied to `scores`.
    """

    places: np.ndarray
    scores: np.ndarray
    diameters: np.ndarray
    threshold: float


def pick_blobs(image: np.ndarray, pixel_size: float, options: LogOptions) -> Blobs:
    """Find balls or discs by the Laplacian of Gaussian over diameters.

    Responses to neighbouring diameters outside the range reject what is too small or too large. In two dimensions the
    filter is RELION's; in three, that of greatest response to a ball of the diameter (sigma = radius / √3).

    Parameters
    ----------
    image : (z, y, x) or (y, x) array
    pixel_size : float
        Å.
    options : LogOptions

    Raises
    ------
    EmtomoError
        If diameters are the wrong way round, or do not fit the image.

    References
    ----------
    Lindeberg, Feature detection with automatic scale selection, IJCV 30 (1998), section 4; RELION 3.1,
    autopicker.cpp (autoPickLoGOneMicrograph).
    """
    low, high = options.min_diameter, options.max_diameter
    if low > high:
        raise EmtomoError(f"The minimum diameter ({low:g} Å) must not be above the maximum ({high:g} Å).")
    size = [n * pixel_size for n in image.shape]
    if high > min(size):
        raise EmtomoError(f"Particles of {high:g} Å do not fit into {' × '.join(f'{s:g}' for s in size[::-1])} Å.")
    shrink = max(1.0, low / pixel_size / VOXELS)
    small, step = _shrink(_normalise(image, options.white), shrink), pixel_size * shrink
    best, diameter = _responses(small, step, low, high)
    valid = diameter > 0
    if not valid.any():
        return Blobs(np.zeros((0, image.ndim)), np.zeros(0), np.zeros(0), options.adjust_threshold)
    mean, spread = float(best[valid].mean()), float(best[valid].std()) or 1.0
    scores = (best - mean) / spread
    scores[~valid] = -np.inf
    places, values, sizes = _peaks(scores, diameter, step, options)
    middle_in, middle_out = (np.array([n // 2 for n in shape]) for shape in (small.shape, image.shape))
    return Blobs((places - middle_in) * shrink + middle_out, values, sizes, options.adjust_threshold)


def _shrink(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image binned about its centre voxel."""
    from emtomo.compute.fourier.resampling import bin_volume, resample, size_after_resampling

    if factor == 1:
        return np.asarray(image, np.float32)
    if image.ndim == 3:
        return bin_volume(image, factor)
    return resample(np.asarray(image, np.float32), tuple(size_after_resampling(n, factor) for n in image.shape), factor)


def _normalise(image: np.ndarray, white: bool) -> np.ndarray:
    """Return the image with mean 0, deviation 1, outliers set to the mean, and particles bright."""
    out = np.array(image, np.float32)
    if image.ndim == 2:
        out = out[None]
    for _ in range(2):  # the second time without the outliers' share
        mean = np.mean([plane.mean(dtype=np.float64) for plane in out])
        spread = np.sqrt(np.mean([np.square(plane - mean).mean(dtype=np.float64) for plane in out]))
        if not np.isfinite(spread) or spread <= 1e-6 * abs(mean):
            raise EmtomoError("The image holds no signal: its values are all the same, or some are no numbers.")
        for plane in out:
            plane -= mean
            plane /= spread if white else -spread
            plane[np.abs(plane) > OUTLIER] = 0
        white = True  # turned round once
    return out if image.ndim == 3 else out[0]


def diameters_tested(low: float, high: float) -> list[float]:
    """Return the diameters that are tested, in Å: the range, its middle, and those that reject (RELION's choice)."""
    inside = [low, (low + high) / 2, high] if high > low else [low]
    return [low / i for i in (5, 4, 3, 2)] + inside + [high * i for i in (2, 3, 4, 5)]


def _responses(image: np.ndarray, pixel_size: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest response of every voxel and its diameter in Å; 0 where that is out of the range."""
    widest = high * 2
    pad = [next_fast_len(n + int(widest / pixel_size), real=True) for n in image.shape]
    workers = threads()
    spectrum = rfftn(image, pad, workers=workers)
    square = np.zeros(spectrum.shape, np.float32)
    for axis, n in enumerate(pad):
        frequency = np.fft.rfftfreq(n) if axis == image.ndim - 1 else np.fft.fftfreq(n)
        shape = [1] * image.ndim
        shape[axis] = len(frequency)
        square += (frequency.reshape(shape) / pixel_size).astype(np.float32) ** 2
    best = np.full(image.shape, -np.inf, np.float32)
    diameter = np.zeros(image.shape, np.float32)
    window = tuple(slice(0, n) for n in image.shape)
    for tested in diameters_tested(low, high):
        scaled = square * (2 * (np.pi * _sigma(tested, image.ndim)) ** 2)  # (2 π k σ)² / 2
        found = irfftn(spectrum * (scaled * np.exp(-scaled)), pad, workers=workers, overwrite_x=True)[window]
        better = found > best
        best[better] = found[better]
        diameter[better] = tested
    outside = (diameter < low * (1 - 1e-6)) | (diameter > high * (1 + 1e-6))
    diameter[outside] = 0
    return best, diameter


def _sigma(diameter: float, axes: int) -> float:
    """Return the deviation of the Gaussian, in the unit of `diameter`."""
    return diameter / np.pi if axes == 2 else diameter / (2 * np.sqrt(3))


def _peaks(
    scores: np.ndarray, diameter: np.ndarray, pixel_size: float, options: LogOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places, scores and diameters of the peaks above the threshold, none near a better one or the border."""
    from scipy.ndimage import maximum_filter
    from scipy.spatial import cKDTree

    wanted = (scores > options.adjust_threshold) & (scores == maximum_filter(scores, 3))
    border = int(np.ceil(options.min_diameter / 2 / pixel_size))
    inner = tuple(slice(border, n - border) for n in scores.shape)
    kept = np.zeros_like(wanted)
    kept[inner] = wanted[inner]
    places = np.argwhere(kept)
    values = scores[kept]
    order = np.argsort(-values, kind="stable")
    places, values = places[order], values[order]
    sizes = diameter[tuple(places.T)]
    tree = cKDTree(places) if len(places) else None
    alive = np.ones(len(places), bool)
    for k in range(len(places)):
        if not alive[k] or tree is None:
            continue
        radius = options.min_distance or (sizes[k] + options.min_diameter) / 2
        near = np.array(tree.query_ball_point(places[k], radius / pixel_size), int)
        alive[near[near > k]] = False
    if options.upper_threshold is not None:
        alive &= values <= options.upper_threshold
    return _refine(scores, places[alive]), values[alive], sizes[alive]


def _refine(scores: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return peaks to a fraction of a voxel: the top of the parabola through three values along each axis."""
    out = places.astype(float)
    for axis in range(scores.ndim):
        step = np.zeros(scores.ndim, int)
        step[axis] = 1
        inside = (places[:, axis] > 0) & (places[:, axis] < scores.shape[axis] - 1)
        at = places[inside]
        values = np.stack([scores[tuple((at + s * step).T)] for s in (-1, 0, 1)])
        left, middle, right = np.where(np.isfinite(values).all(axis=0), values, [[0.0], [1.0], [0.0]])
        bend = 2 * middle - left - right
        shift = np.where(bend > 0, 0.5 * (right - left) / np.where(bend > 0, bend, 1.0), 0.0)
        out[inside, axis] += np.clip(shift, -0.5, 0.5)
    return out
