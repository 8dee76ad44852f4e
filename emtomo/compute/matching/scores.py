"""What scores are measured by: the deviation in noise, the contrast about a place, what must not be picked."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.transforms import irfftn, next_fast_len, rfftn
from emtomo.compute.matching.template import MatchingTemplate

MAD = 1.4826
FLATTEST = 0.5  # a place of less contrast than this part of the median counts as if it had it


def correlation(
    volume: np.ndarray, template: MatchingTemplate, rotation: np.ndarray, spectrum: np.ndarray
) -> np.ndarray:
    """Return the circular correlation of a volume, whose ``rfftn`` is given, with a turned template."""
    from emtomo.compute.kernels.matching_cpu import product

    nz, ny, nx = spectrum.shape
    k2 = [np.fft.fftfreq(n).astype(np.float32) ** 2 for n in volume.shape[:2]]
    kx = np.arange(nx) / volume.shape[2]
    room = np.sqrt(np.maximum(0.25 - 1e-6 - k2[0][:, None] - k2[1][None, :], 0))
    spans = np.zeros((nz, ny, 2), np.int32)
    spans[..., 1] = np.searchsorted(kx, room)
    out = np.empty_like(spectrum)
    scale = np.array([PAD * template.size / n for n in volume.shape[::-1]], np.float32)
    r = np.ascontiguousarray(rotation, np.float32)
    product(*template.flat, scale, r, spectrum.view(np.float32), spans, out.view(np.float32))
    return irfftn(out, volume.shape, workers=threads(), overwrite_x=True)


def probe(volume: np.ndarray, template: MatchingTemplate, rotations: np.ndarray) -> tuple[float, bool]:
    """Return the deviation of scores over what pure noise would give, and whether inverted contrast matches better.

    Parameters
    ----------
    volume : (z, y, x) array
        Multiplied by its matched filter.
    template : MatchingTemplate
    rotations : (n, 3, 3) array
        Some that are spread over all.
    """
    spectrum = rfftn(volume, workers=threads())
    norms = template.norms(rotations)
    spread, high, low = [], [], []
    for rotation, norm in zip(rotations, norms, strict=True):
        score = correlation(volume, template, rotation, spectrum) / max(norm, 1e-30)
        some = score[:: max(1, score.shape[0] // 32)]
        spread.append(MAD * np.median(np.abs(some - np.median(some))))
        high.append(score.max())
        low.append(-score.min())
    unit = max(float(np.median(spread)), 1e-6)
    above, below = np.mean(np.sort(high)[-5:]) / unit, np.mean(np.sort(low)[-5:]) / unit
    return unit, bool(below > 1.15 * above and below > 6)


def local_deviation(volume: np.ndarray, radius: float) -> np.ndarray:
    """Return the deviation of a volume within a ball about every voxel, over its median.

    Parameters
    ----------
    radius : float
        Voxels.
    """
    reach = int(np.ceil(radius)) + 1
    shape = tuple(next_fast_len(n + reach, real=True) for n in volume.shape)
    near = ball(2 * reach + 1, radius, 1.0)
    padded = np.zeros(shape, np.float32)
    padded[: near.shape[0], : near.shape[1], : near.shape[2]] = near
    kernel = rfftn(np.roll(padded, (-reach,) * 3, axis=(0, 1, 2)), workers=threads())

    def mean(values: np.ndarray) -> np.ndarray:
        """Return the mean of values under the mask around every voxel."""
        padded[...] = 0
        padded[tuple(slice(0, n) for n in values.shape)] = values
        spectrum = rfftn(padded, workers=threads())
        spectrum *= kernel
        return irfftn(spectrum, shape, workers=threads(), overwrite_x=True)[tuple(slice(0, n) for n in values.shape)]

    weight = np.maximum(mean(np.ones(volume.shape, np.float32)), 1e-3)
    first = mean(volume) / weight
    second = mean(volume * volume)
    second /= weight
    second -= first * first
    np.sqrt(np.maximum(second, 0, out=second), out=second)
    second /= max(float(np.median(second)), 1e-30)
    return np.maximum(second, FLATTEST, out=second)


def background(scores: np.ndarray, radius: float) -> np.ndarray:
    """Return by how much a template of random phases scores more about a place than elsewhere.

    References
    ----------
    Wan, Khavnekar & Wagner, STOPGAP, Acta Cryst. D80 (2024), section 3.2, for the idea of the noise template.
    """
    from scipy.ndimage import uniform_filter

    known = np.isfinite(scores)
    if not known.any():
        return np.zeros_like(scores)
    middle = float(np.median(scores[known]))
    near = uniform_filter(np.where(known, scores - np.float32(middle), np.float32(0)), 2 * int(radius) + 1)
    return near.astype(np.float32)


def gold_places(volume: np.ndarray, limit: float) -> np.ndarray:
    """Return z, y, x of the voxels beyond `limit` deviations of a volume of deviation 1, to either side: gold."""
    out = [np.zeros((0, 3))]
    for z, plane in enumerate(volume):
        if float(np.abs(plane).max()) >= limit:
            y, x = np.nonzero(np.abs(plane) >= limit)
            out.append(np.column_stack([np.full(len(y), z), y, x]))
    return np.concatenate(out).astype(float)


def forbid(scores: np.ndarray, places: np.ndarray, radius: float) -> None:
    """Set scores to -inf within `radius` voxels of some places."""
    from emtomo.compute.masks import distance

    there = np.zeros(scores.shape, bool)
    index = np.clip(np.rint(places).astype(int), 0, np.array(scores.shape) - 1)
    there[tuple(index.T)] = True
    scores[distance(there) <= radius] = -np.inf
