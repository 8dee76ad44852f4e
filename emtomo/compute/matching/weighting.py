"""Which frequencies of a tomogram tell something of a particle, and how much."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.averaging import ROUNDING
from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfftn, rfftn

# (kx, ky, kz) in cycles per voxel, any shape -> how a particle's amplitude is passed on, 0 where nothing was measured
Transfer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SHELLS = 64  # of the power spectrum, up to Nyquist
CLIP = 5.0  # standard deviations, beyond which a voxel tells no more
PATCHES = 8  # along an axis at most


def wedge_transfer(tilt_min: float, tilt_max: float) -> Transfer:
    """Return 1 where a tilt range about y measured, else 0; degrees."""
    a, b = np.tan(np.deg2rad(tilt_min)), np.tan(np.deg2rad(tilt_max))

    def transfer(kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> np.ndarray:
        """Return 1 where frequencies lie between the first and the last tilt."""
        positive = (kz >= a * kx - ROUNDING) & (kz <= b * kx + ROUNDING)
        negative = (kz <= a * kx + ROUNDING) & (kz >= b * kx - ROUNDING)
        return (positive | negative | np.zeros_like(ky, bool)).astype(np.float32)

    return transfer


@dataclass(frozen=True)
class Weighting:
    """The matched filter of a tomogram: a particle's transfer over the noise's amplitude.

    Attributes
    ----------
    transfer : Transfer
    power : (SHELLS + 1,) array
        Of the noise, at 0 to 0.5 cycles per voxel.
    low, high : float
        The band that takes part, in cycles per voxel.
    """

    transfer: Transfer
    power: np.ndarray
    low: float
    high: float

    def _parts(self, kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = np.sqrt(kx**2 + ky**2 + kz**2)
        band = (k < self.high) & (k > max(self.low, 1e-6))
        noise = np.interp(k, np.linspace(0, 0.5, SHELLS + 1), np.sqrt(self.power)).astype(np.float32)
        return self.transfer(kx, ky, kz) * band, noise

    def template(self, kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> np.ndarray:
        """Return by what the template's amplitude counts against white noise: transfer / noise."""
        transfer, noise = self._parts(kx, ky, kz)
        return (transfer / noise).astype(np.float32)

    def tomogram(self, kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> np.ndarray:
        """Return by what the tomogram is multiplied so that a bare template correlates as a matched filter."""
        transfer, noise = self._parts(kx, ky, kz)
        return (transfer / noise**2).astype(np.float32)


def frequencies(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return kx, ky, kz of an ``rfftn`` in cycles per voxel, to broadcast."""
    kz, ky, kx = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    return (
        kx.astype(np.float32)[None, None, :],
        ky.astype(np.float32)[None, :, None],
        kz.astype(np.float32)[:, None, None],
    )


def noise_spectrum(volume: np.ndarray, transfer: Transfer, patch: int) -> np.ndarray:
    """Return the power of a tomogram's noise in shells, of the frequencies that were measured.

    The median over patches: particles, gold and membranes, which lie in some of them, do not count.

    Parameters
    ----------
    volume : (z, y, x) array
    transfer : callable
        What the tilts measured of a frequency.
    patch : int
        Voxels along its edge: about the particle's diameter, so that many patches lie between particles.

    Returns
    -------
    (SHELLS + 1,) array
        At 0 to 0.5 cycles per voxel, per voxel; never zero.

    References
    ----------
    Welch, The use of fast Fourier transform for the estimation of power spectra, IEEE Trans. AU-15 (1967).
    """
    shape = tuple(min(patch, n) for n in volume.shape)
    kx, ky, kz = frequencies(shape)
    shell = np.rint(np.sqrt(kx**2 + ky**2 + kz**2) * 2 * SHELLS).astype(int)
    inside = (shell <= SHELLS) & (np.abs(transfer(kx, ky, kz)) > 0.1)
    count = np.bincount(shell[inside], minlength=SHELLS + 1)
    window = [np.hanning(n + 2)[1:-1].astype(np.float32) for n in shape]
    taper = window[0][:, None, None] * window[1][None, :, None] * window[2][None, None, :]
    starts = [
        np.linspace(0, n - m, max(1, min(PATCHES, 2 * n // m - 1))).astype(int)
        for n, m in zip(volume.shape, shape, strict=True)
    ]
    found = []
    for z, y, x in itertools.product(*starts):
        part = volume[z : z + shape[0], y : y + shape[1], x : x + shape[2]]
        spectrum = rfftn((part - part.mean()) * taper)
        power = spectrum.real[inside] ** 2 + spectrum.imag[inside] ** 2
        found.append(np.bincount(shell[inside], power, SHELLS + 1))
    total = np.median(found, axis=0) / float((taper**2).sum())
    known = (count > 0) & (total > 0) & (np.arange(SHELLS + 1) > 2)  # the taper mixes the mean into the first shells
    if not known.any():
        return np.ones(SHELLS + 1)
    return np.interp(np.arange(SHELLS + 1), np.flatnonzero(known), total[known] / count[known])


def standardise(volume: np.ndarray, white: bool) -> tuple[np.ndarray, float]:
    """Return the volume with mean 0, deviation 1 and particles bright; and its deviation before."""
    out = np.array(volume, np.float32)
    mean = np.mean([plane.mean(dtype=np.float64) for plane in out])
    spread = float(np.sqrt(np.mean([np.square(plane - mean).mean(dtype=np.float64) for plane in out])))
    for plane in out:
        plane -= mean
        plane /= max(spread, 1e-30) if white else -max(spread, 1e-30)
    return out, spread


def apply_matched_filter(
    volume: np.ndarray, transfer: Transfer, band: tuple[float, float], whiten: bool, patch: int
) -> tuple[np.ndarray, Weighting]:
    """Return a tomogram multiplied by its matched filter, and the filter.

    The correlation of the result with a bare template is the likelihood's part that depends on the template's place,
    the noise taken to be stationary with the tomogram's own power spectrum.

    Parameters
    ----------
    volume : (z, y, x) float32 array
    transfer : Transfer
    band : (low, high)
        Cycles per voxel.
    whiten : bool
        Otherwise the noise is taken to be white.
    patch : int
        See :func:`noise_spectrum`.

    References
    ----------
    Rickgauer, Grigorieff & Denk, eLife 6:e25648 (2017), Eq. 1 and 2.
    """
    power = noise_spectrum(volume, transfer, patch)
    spectrum = rfftn(volume, workers=threads())
    if not whiten:
        power = np.full_like(power, np.median(power))
    weighting = Weighting(transfer, power, *band)
    kx, ky, kz = frequencies(volume.shape)
    for plane, z in zip(spectrum, kz, strict=True):
        plane *= weighting.tomogram(kx[0], ky[0], z)
    return irfftn(spectrum, volume.shape, workers=threads(), overwrite_x=True), weighting
