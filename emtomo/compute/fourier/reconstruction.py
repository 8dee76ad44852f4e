"""From particles in known orientations to a volume: sums in Fourier space, symmetry, Wiener division."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.neighbour_share import neighbour_share
from emtomo.compute.fourier.padded_reference import PAD, margin
from emtomo.compute.fourier.transforms import ifft, irfft
from emtomo.compute.symmetry import symmetry_rotations

FLOOR = 1e-3  # of the shell's mean weight: what less than this measured is not blown up


@dataclass
class Sums:
    """Weighted data and weights on the padded grid of transforms.

    Attributes
    ----------
    size : int
        Edge of the box.
    radius : float
        Shells that are filled.
    data : (2 m + 1, 2 m + 1, m + 2) complex128 array
    weights : float64 array of that shape
    """

    size: int
    radius: float
    data: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, size: int, radius: float, partial: list[np.ndarray]) -> "Sums":
        """Return the total of partial sums, as :func:`empty_sums` makes them."""
        data = np.zeros(partial[0].shape[:3], np.complex128)
        weights = np.zeros(partial[0].shape[:3])
        for part in partial:
            data.real += part[..., 0]
            data.imag += part[..., 1]
            weights += part[..., 2]
        return cls(size, radius, data, weights)

    def complete(self, symmetry: str = "C1") -> "Sums":
        """Return the sums with both halves of the plane x = 0 added, and summed over the equivalents."""
        from emtomo.compute.kernels.fourier_cpu import symmetrise

        data, weights = self.data.copy(), self.weights.copy()
        data[:, :, 0] += np.conj(self.data[::-1, ::-1, 0])
        weights[:, :, 0] += self.weights[::-1, ::-1, 0]
        group = symmetry_rotations(symmetry)
        if len(group) == 1:
            return Sums(self.size, self.radius, data, weights)
        out = Sums(self.size, self.radius, np.zeros_like(data), np.zeros_like(weights))
        _in_slices(lambda z: symmetrise(data, weights, group, z, out.data, out.weights), len(data))
        return out

    def smooth(self) -> "Sums":
        """Return the sums smoothed by 1/4, 1/2, 1/4 along every axis, where they were completed.

        In space a factor of :func:`smoothing_window`. The padded grid is finer than what a box can change by, so that
        neighbours say of a frequency that few views reached, or only where their CTF is nearly zero, what it is itself
        too noisy for.
        """
        from emtomo.compute.kernels.neighbours_cpu import average_neighbours

        out = Sums(self.size, self.radius, np.empty_like(self.data), np.empty_like(self.weights))
        _in_slices(lambda z: average_neighbours(self.data, self.weights, z, out.data, out.weights), len(self.data))
        return out

    def shells(self) -> np.ndarray:
        """Return the shell of every voxel of the padded grid."""
        m = self.data.shape[0] // 2
        full, half = np.arange(-m, m + 1), np.arange(m + 2)
        k2 = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
        return np.rint(np.sqrt(k2) / PAD).astype(int)

    def mean_weight(self) -> np.ndarray:
        """Return the mean weight of a frequency in every shell, as if the grid were not padded."""
        shell = self.shells().ravel()
        count = np.bincount(shell)
        total = np.bincount(shell, self.weights.ravel())
        mean = PAD**3 * total / np.maximum(count, 1)
        out = np.zeros(self.size // 2 + 1)
        last = min(len(out), int(self.radius) + 1)
        out[:last] = mean[:last]
        return out


def empty_sums(radius: float) -> np.ndarray:
    """Return an empty array to insert particles into: real part, imaginary part and weight side by side, float32.

    Few enough particles go into one that float32 holds their sum; :meth:`Sums.of` adds them up in float64.
    """
    m = margin(radius)
    return np.zeros((2 * m + 1, 2 * m + 1, m + 2, 4), np.float32)


def solve(sums: Sums, inverse_prior: np.ndarray | None = None) -> np.ndarray:
    """Return the volume of which the sums are measurements.

    V(k) = (d + x D) / (w + x W + (1 + x) / tau^2): data d and weights w, their smoothed ones D and W, and x as
    :func:`~emtomo.compute.fourier.neighbour_share.neighbour_share` finds it for every shell. Where the weight is below
    a thousandth of its shell's mean, that thousandth instead.

    Parameters
    ----------
    sums : Sums
        Completed.
    inverse_prior : (size // 2 + 1,) array, optional
        1 / tau^2 of every shell, in units of the weights; inf leaves a shell out. None: no regularisation.

    Returns
    -------
    (n, n, n) float32 array

    References
    ----------
    Scheres, RELION: implementation of a Bayesian approach, JSB 180 (2012), Eq. 3.
    """
    from emtomo.compute.kernels.neighbours_cpu import divide, residual_moments, sum_shells

    n, count, near = sums.size, sums.size // 2 + 1, sums.smooth()
    grids = sums.data, sums.weights, near.data, near.weights
    shells = shells_by_square(len(sums.data) // 2)
    voxels, weight = _in_slices(lambda z: _table(count, 2, sum_shells, near.weights, shells, z), len(sums.data)).T
    mean = weight / np.maximum(voxels, 1)
    floor = np.maximum(FLOOR * mean, 1e-30)
    moments = _in_slices(lambda z: _table(count, 6, residual_moments, *grids, shells, floor, z), len(sums.data))
    share = neighbour_share(moments, mean)
    prior = np.zeros(count) if inverse_prior is None else np.asarray(inverse_prior, float) / PAD**3
    own, smooth = np.empty_like(sums.data, np.complex64), np.empty_like(sums.data, np.complex64)
    _in_slices(lambda z: divide(*grids, shells, floor, share, prior, z, own, smooth), len(sums.data))
    return invert_padded(own, n, sums.radius) + invert_padded(smooth, n, sums.radius) / smoothing_window(n)


def _in_slices(function: Callable[[np.ndarray], Any], count: int) -> Any:
    """Call a function of indices of slices on every thread; return the sum of what it returns, if anything."""
    slices = np.array_split(np.arange(count), max(1, threads()) * 4)
    with ThreadPoolExecutor(threads()) as pool:
        results = list(pool.map(function, slices))
    return None if results[0] is None else sum(results)


def _table(rows: int, columns: int, kernel: Callable[..., None], *arguments: Any) -> np.ndarray:
    """Return a table that a kernel adds to."""
    out = np.zeros((rows, columns))
    kernel(*arguments, out)
    return out


def shells_by_square(m: int) -> np.ndarray:
    """Return the shell of frequencies of the padded grid by their squared radius, up to the corners of its half."""
    return np.rint(np.sqrt(np.arange(2 * m * m + (m + 1) ** 2 + 1)) / PAD).astype(np.int32)


def smoothing_window(size: int) -> np.ndarray:
    """Return what :meth:`Sums.smooth` multiplies a volume with, `(size, size, size)` float32."""
    along = np.cos(np.pi * (np.arange(size) - size // 2) / (PAD * size)) ** 2
    return (along[:, None, None] * along[:, None] * along).astype(np.float32)


def invert_padded(values: np.ndarray, size: int, radius: float) -> np.ndarray:
    """Return the volume whose transform on the padded grid is given, corrected for trilinear insertion.

    Parameters
    ----------
    values : (2 m + 1, 2 m + 1, m + 2) complex or real array
        As in :class:`Sums`, completed.
    size : int
        Edge of the volume.
    radius : float
        In shells of the volume; what lies beyond is left out.

    Returns
    -------
    (size, size, size) float32 array
    """
    n, wide, m = size, PAD * size, values.shape[0] // 2
    r = min(m, wide // 2 - 1, int(PAD * radius))
    full, half, keep = np.arange(-r, r + 1), np.arange(r + 1), (np.arange(n) - n // 2) % wide
    limit = min((PAD * n / 2) ** 2, np.nextafter((PAD * radius) ** 2, np.inf))  # the radius itself belongs to it
    along = np.sinc((np.arange(n) - n // 2) / wide) ** 2  # see gridding_correction
    slabs, out = np.empty((n, len(full), len(half)), np.complex64), np.empty((n, n, n), np.float32)

    def invert_z(j: int) -> None:
        """Transform the columns along z of a row of frequencies along y."""
        plane = np.zeros((wide, len(half)), np.complex64)
        inside = full[:, None] ** 2 + full[j] ** 2 + half**2 < limit
        plane[full % wide] = np.where(inside, values[m - r : m + r + 1, m + full[j], : len(half)], 0)
        slabs[:, j] = ifft(plane, axis=0, overwrite_x=True)[keep]

    def invert_plane(z: int) -> None:
        """Transform a plane along y and x, without what the interpolation took."""
        plane = np.zeros((wide, len(half)), np.complex64)
        plane[full % wide] = slabs[z]
        rows = irfft(ifft(plane, axis=0, overwrite_x=True)[keep], wide, axis=1, overwrite_x=True)
        out[z] = rows[:, keep] / (along[z] * along[:, None] * along)

    # one axis after the other: frequencies that are zero and voxels that are not wanted take no transform
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(invert_z, range(len(full))))
        list(pool.map(invert_plane, range(n)))
    return out
