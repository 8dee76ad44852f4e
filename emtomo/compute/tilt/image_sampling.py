"""Tilt images at another pixel size, and windows of them."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, next_fast_len, rfft2
from emtomo.errors import EmtomoError

PADDING = (1.05, 1.3)  # of an image's size, within which a padded size is looked for


@dataclass(frozen=True)
class SampledImage:
    """A tilt image at the particles' pixel size.

    Attributes
    ----------
    values : (y, x) float32 array
    centre : (2,) array
        x, y of the measured image's centre in `values`; need not be whole numbers.
    pixel_size : (2,) array
        Exact Å per pixel along x, y.
    """

    values: np.ndarray
    centre: np.ndarray
    pixel_size: np.ndarray

    def window(self, position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a window about a position, 0 outside the image, and where in it the position lies beyond `size // 2`.

        Parameters
        ----------
        position : (2,) array
            x, y in Å from the image's centre.
        size : int

        Returns
        -------
        window : (size, size) float32 array
        rest : (2,) array
            x, y in pixels, -0.5 to 0.5.
        """
        place = self.centre + position / self.pixel_size
        nearest = np.floor(place + 0.5).astype(int)
        out = np.zeros((size, size), np.float32)
        slices = []
        for axis, n in ((1, self.values.shape[0]), (0, self.values.shape[1])):
            first = int(nearest[axis]) - size // 2
            low, high = max(first, 0), min(first + size, n)
            if high <= low:
                return out, place - nearest
            slices.append((slice(low - first, high - first), slice(low, high)))
        out[slices[0][0], slices[1][0]] = self.values[slices[0][1], slices[1][1]]
        return out, place - nearest


def sample_image(
    image: np.ndarray, pixel_size: float, wanted: float, *, normalise: bool = True, invert: bool = True
) -> SampledImage:
    """Return a tilt image at another pixel size, without what that cannot hold.

    Parameters
    ----------
    image : (y, x) array
    pixel_size, wanted : float
        Å.
    normalise : bool
        Subtract a plane and divide by the standard deviation; otherwise only the mean is subtracted.
    invert : bool

    Raises
    ------
    EmtomoError
        If a pixel is no finite number, or all are equal where they are to be normalised.
    """
    image = np.asarray(image, np.float32)
    if not np.isfinite(image).all():
        raise EmtomoError("the image has pixels that are no finite numbers.")
    image = image - (_plane(image) if normalise else np.float32(image.mean(dtype=float)))
    centre = np.array([image.shape[1] // 2, image.shape[0] // 2], float)
    sizes = np.array([pixel_size, pixel_size])
    values, inner = image, (slice(None), slice(None))
    if abs(wanted / pixel_size - 1) > 1e-6:
        (rows, to_rows), (columns, to_columns) = (_padded_sizes(n, wanted / pixel_size) for n in image.shape)
        before = np.array([(columns - image.shape[1]) // 2, (rows - image.shape[0]) // 2])
        after = np.array([columns - image.shape[1], rows - image.shape[0]]) - before
        padded = np.pad(image, [(before[1], after[1]), (before[0], after[0])], mode="linear_ramp")
        values = _resample(padded, (to_rows, to_columns))
        sizes = np.array([columns / to_columns, rows / to_rows]) * pixel_size
        centre = (before + centre) * pixel_size / sizes
        low = np.ceil(before * pixel_size / sizes).astype(int)
        high = np.floor((before + [image.shape[1], image.shape[0]]) * pixel_size / sizes).astype(int)
        inner = (slice(low[1], high[1]), slice(low[0], high[0]))
    if normalise:
        deviation = float(values[inner].std(dtype=float))
        if deviation == 0:
            raise EmtomoError("all pixels of the image are equal; exclude this tilt.")
        values = values / np.float32(deviation)
    return SampledImage(-values if invert else values, centre, sizes)


def _plane(image: np.ndarray) -> np.ndarray:
    """Return the plane fitted to an image."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in image.shape)
    along = [
        float((image.mean(axis=1 - axis, dtype=float) * c).mean() / max(float((c * c).mean()), 1e-12))
        for axis, c in enumerate((y, x))
    ]
    plane = np.float32(image.mean(dtype=float)) + np.float32(along[0]) * y[:, None] + np.float32(along[1]) * x[None, :]
    return np.asarray(plane, np.float32)


def _padded_sizes(n: int, factor: float) -> tuple[int, int]:
    """Return a padded size and the size that it is resampled to, whose ratio is nearest to `factor`; both even."""
    sizes = np.arange(int(np.ceil(n * PADDING[0] / 2)) * 2, max(int(n * PADDING[1]), n + 64), 2)
    fast = np.array([size for size in sizes if next_fast_len(int(size), real=True) == size] or [int(sizes[0])])
    to = np.maximum(2, 2 * np.rint(fast / factor / 2).astype(int))
    best = int(np.argmin(np.abs(fast / to / factor - 1)))
    return int(fast[best]), int(to[best])


def _resample(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of even size at another even size, cut or filled up in Fourier space."""
    spectrum = rfft2(image)
    out = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
    half, most = min(image.shape[0], shape[0]) // 2, min(image.shape[1], shape[1]) // 2
    out[:half, :most] = spectrum[:half, :most]
    out[shape[0] - half + 1 :, :most] = spectrum[image.shape[0] - half + 1 :, :most]
    out *= np.float32(shape[0] * shape[1] / image.size)
    return irfft2(out, shape)
