"""Power spectra of overlapping tiles of an image, on rings and sectors between two resolutions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import rfft2
from emtomo.errors import EmtomoError

SECTORS = 18  # of half a turn
SAMPLES = 16  # along the arc of a ring in one sector
NOISE_FLOOR = 0.03  # of the variance of a spectrum's noise, left at every lag
RANGE = 0.475  # cycles a pixel up to which rings are taken: 0.95 of the Nyquist frequency
DEGREE = 6  # of the polynomial that is the background of a spectrum


@dataclass(frozen=True)
class PolarGrid:
    """Rings and sectors of the spectra of square tiles.

    Attributes
    ----------
    tile : int
        Pixels along the side of a tile.
    pixel_size : float
        Å.
    rings : (k,) int array
        Radii in Fourier pixels.
    """

    tile: int
    pixel_size: float
    rings: np.ndarray

    @property
    def frequency(self) -> np.ndarray:
        """(k,) frequencies of the rings in 1/Å."""
        return self.rings / (self.tile * self.pixel_size)

    @property
    def angle(self) -> np.ndarray:
        """(SECTORS,) angles of the sectors' centres in radians, from x towards y."""
        return (np.arange(SECTORS) + 0.5) * np.pi / SECTORS - np.pi / 2

    @cached_property
    def window(self) -> np.ndarray:
        """(tile,) Hann window."""
        return np.hanning(self.tile + 2)[1:-1].astype(np.float32)

    @cached_property
    def _gather(self) -> Any:
        """Sparse matrix from the half spectrum to sectors and rings, by bilinear interpolation."""
        from scipy.sparse import coo_array

        fine = (np.arange(SECTORS * SAMPLES) + 0.5) * np.pi / (SECTORS * SAMPLES) - np.pi / 2
        row = (np.arange(SECTORS * SAMPLES) // SAMPLES)[:, None] * len(self.rings) + np.arange(len(self.rings))
        x, y = np.cos(fine)[:, None] * self.rings, np.sin(fine)[:, None] * self.rings
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        wide = self.tile // 2 + 1
        parts = []
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = np.abs(1 - dx - (x - x0)) * np.abs(1 - dy - (y - y0)) / SAMPLES
            column = (y0 + dy) % self.tile * wide + np.minimum(x0 + dx, wide - 1)
            parts.append((weight.ravel(), row.ravel(), column.ravel()))
        weight, row, column = (np.concatenate(p) for p in zip(*parts, strict=True))
        shape = (SECTORS * len(self.rings), self.tile * wide)
        return coo_array((weight.astype(np.float32), (row, column)), shape=shape).tocsr()

    def sample(self, power: np.ndarray) -> np.ndarray:
        """Return (n, SECTORS, k) means of (n, tile, tile // 2 + 1) power in the order of ``rfft2``."""
        flat = power.reshape(len(power), -1).T
        return np.asarray(self._gather @ flat).T.reshape(len(power), SECTORS, len(self.rings))

    def window_factors(self, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the window leaves of oscillations of the spectrum whose correlation lies at `lag` Å.

        The spectrum of a windowed tile is blurred: the signal's inverse transform is multiplied by the autocorrelation
        of the window, and the variance of the noise's by that of the window's square.

        Returns
        -------
        signal, noise : arrays of the shape of `lag`
            1 at lag 0; the noise at least ``NOISE_FLOOR``.
        """
        window, place = self.window.astype(float), lag / self.pixel_size
        signal, noise = (np.correlate(w, w, "full")[self.tile - 1 :] for w in (window, window**2))
        whole = np.arange(self.tile)
        left = np.interp(place, whole, noise / noise[0], right=0.0)
        return np.interp(place, whole, signal / signal[0], right=0.0), NOISE_FLOOR + (1 - NOISE_FLOOR) * left


Turn = Callable[[np.ndarray], np.ndarray]


def tile_spectra(
    image: np.ndarray, grid: PolarGrid, tilt: int, turn: Turn | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the power spectra of tiles of an image that overlap by half or more.

    Parameters
    ----------
    image : (y, x) array
        At least a tile large.
    grid : PolarGrid
    tilt : int
        Its number from 0, for messages.
    turn : callable, optional
        From (m, 2) centres of tiles in Å to (m,) phases by which the rings of each are turned back in `whole`, per
        1/Å²; they are not turned without it.

    Returns
    -------
    spectra : (n, SECTORS, k) float32 array
        Each divided by its mean.
    centres : (n, 2) array
        x, y of the tiles' centres in Å from the image's centre, pixel ``n // 2``.
    whole : (tile, tile // 2 + 1) float32 array
        In the order of ``rfft2``: the mean over tiles of power times cos(turn k²).

    Raises
    ------
    EmtomoError
        If a pixel is no finite number, or all are equal.
    """
    image = np.asarray(image, np.float32)
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise EmtomoError(f"tilt {tilt + 1}: the image has pixels that are no finite numbers; exclude this tilt.")
    if low == high:
        raise EmtomoError(f"tilt {tilt + 1}: all pixels of the image are equal; exclude this tilt.")
    image = image - np.float32(image.mean(dtype=float))
    image /= max(float(image.std(dtype=float)), 1e-30)
    rows, columns = (_starts(n, grid.tile) for n in image.shape)
    window = grid.window[:, None] * grid.window
    spectra, centres = [], []
    half = (grid.tile - 1) / 2
    k2 = (np.fft.fftfreq(grid.tile)[:, None] ** 2 + np.fft.rfftfreq(grid.tile) ** 2) / grid.pixel_size**2
    k2, whole = k2.astype(np.float32), np.zeros(k2.shape, np.float32)
    for y in rows:
        tiles = np.stack([image[y : y + grid.tile, x : x + grid.tile] for x in columns])
        tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window
        transforms = rfft2(tiles, workers=threads())
        power = transforms.real**2 + transforms.imag**2
        spectra.append(grid.sample(power))
        places = np.array([(x + half - image.shape[1] // 2, y + half - image.shape[0] // 2) for x in columns])
        centres.append(places)
        means = np.maximum(spectra[-1].mean(axis=(1, 2)), 1e-30)
        phases = turn(places * grid.pixel_size) if turn else np.zeros(len(places))
        for one, phase, mean in zip(power, phases, means, strict=True):
            whole += one / np.float32(mean) * np.cos(np.float32(phase) * k2)
    power = np.concatenate(spectra)
    mean = power.mean(axis=(1, 2), keepdims=True)
    usable = mean[:, 0, 0] > 0  # a corner without any data has no spectrum
    whole /= max(1, int(usable.sum()))
    return power[usable] / mean[usable], np.concatenate(centres)[usable] * grid.pixel_size, whole


def _starts(n: int, tile: int) -> np.ndarray:
    count = max(1, -(-2 * (n - tile) // tile) + 1)
    return np.round(np.linspace(0, n - tile, count)).astype(int)


def polar_grid(tile: int, pixel_size: float, low_resolution: float, high_resolution: float) -> PolarGrid:
    """Return the rings between two resolutions in Å, the finer at most 0.95 of the Nyquist frequency.

    Raises
    ------
    EmtomoError
        If fewer than 16 rings lie between them.
    """
    scale = tile * pixel_size
    first = int(np.ceil(scale / low_resolution))
    last = int(np.floor(min(scale / high_resolution, RANGE * tile)))
    if last - first < 15:
        raise EmtomoError(
            f"Between {low_resolution:g} Å and {max(high_resolution, pixel_size / RANGE):.3g} Å lie "
            f"{max(0, last - first + 1)} rings of tiles of {tile} pixels of {pixel_size:g} Å, at least 16 are needed."
        )
    return PolarGrid(tile, pixel_size, np.arange(max(first, 1), last + 1))


def background_projection(grid: PolarGrid) -> np.ndarray:
    """Return the (k, k) matrix that takes a smooth background off profiles over the rings: ``profile @ matrix``.

    The background is the polynomial of the frequency, of degree ``DEGREE``, that fits best where every ring counts as
    many times as it has pixels.
    """
    place = np.linspace(-1, 1, len(grid.rings))
    basis, weight = np.polynomial.legendre.legvander(place, DEGREE), grid.rings[:, None].astype(float)
    solved = np.linalg.solve(basis.T @ (weight * basis), (weight * basis).T)
    return np.asarray(np.eye(len(place)) - (basis @ solved).T)
