"""Filters of tilt images for back-projection: ramp, window, dose and CTF; images as splines to sample anywhere."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfft2, next_fast_len, rfft2
from emtomo.compute.optics.ctf import wavelength
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.errors import EmtomoError

MARGIN = 1.15  # of the images' size, so that filters do not wrap around
TAPER = 0.04  # of the images' size, over which borders fade to zero
OVERSAMPLING = 2  # samples of a filtered image for every pixel of the tomogram
EDGE = 0.04  # of the Nyquist frequency, the width of the low-pass filter's edge
SNR_FLOOR = 0.1  # of the mean squared CTF over tilts: what less than this measured is not amplified


@dataclass(frozen=True)
class Spectrum:
    """The transform of an image, tapered and padded.

    Attributes
    ----------
    values : (rows, columns // 2 + 1) complex64 array
        In the order of ``rfft2``; the image's centre ``n // 2`` is at `centre` of the padded image.
    shape : (2,) tuple
        Rows and columns of the padded image.
    centre : (2,) tuple
        x, y in pixels.
    pixel_size : float
        Å.
    """

    values: np.ndarray
    shape: tuple[int, int]
    centre: tuple[float, float]
    pixel_size: float

    @property
    def kx(self) -> np.ndarray:
        """(1, columns // 2 + 1) frequencies in 1/Å."""
        return np.fft.rfftfreq(self.shape[1], self.pixel_size)[None, :]

    @property
    def ky(self) -> np.ndarray:
        """(rows, 1) frequencies in 1/Å."""
        return np.fft.fftfreq(self.shape[0], self.pixel_size)[:, None]


def transform_image(image: np.ndarray, pixel_size: float, tilt: int, *, normalise: bool = True) -> Spectrum:
    """Return the spectrum of an image whose mean was taken off and whose borders fade to zero.

    Parameters
    ----------
    image : (y, x) array
    pixel_size : float
        Å.
    tilt : int
        Its number from 0, for messages.
    normalise : bool
        Divide by the standard deviation.

    Raises
    ------
    EmtomoError
        If a pixel is no finite number, or all are equal where they are to be normalised.
    """
    image = np.asarray(image, np.float32)
    mean, deviation = float(image.mean(dtype=float)), float(image.std(dtype=float))
    if not np.isfinite(mean + deviation):
        raise EmtomoError(f"tilt {tilt + 1}: the image has pixels that are no finite numbers.")
    if normalise and deviation == 0:
        raise EmtomoError(f"tilt {tilt + 1}: all pixels of the image are equal; exclude this tilt.")
    rows, columns = image.shape
    shape = (next_fast_len(int(rows * MARGIN), real=True), next_fast_len(int(columns * MARGIN), real=True))
    padded = np.zeros(shape, np.float32)
    fade = _taper(rows)[:, None] * _taper(columns)[None, :]
    padded[:rows, :columns] = (image - np.float32(mean)) * fade
    if normalise:
        padded /= np.float32(deviation)
    return Spectrum(rfft2(padded, workers=threads()), shape, (columns // 2, rows // 2), pixel_size)


def _taper(n: int) -> np.ndarray:
    width = max(1, round(n * TAPER))
    distance = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
    return (0.5 - 0.5 * np.cos(np.pi * np.clip(distance / width, 0, 1))).astype(np.float32)


def tilt_spacing(angles: np.ndarray) -> np.ndarray:
    """Return the angle in radians that each tilt stands for: half the way to its neighbours on both sides.

    Parameters
    ----------
    angles : (n,) array
        Degrees. The first and the last stand for the whole way to their neighbour; equal angles share theirs.
    """
    angles = np.deg2rad(np.asarray(angles, float))
    distinct, which, count = np.unique(np.round(angles, 6), return_inverse=True, return_counts=True)
    if len(distinct) == 1:
        return np.full(len(angles), np.pi / len(angles))
    spacing = np.gradient(distinct)
    return spacing[which] / count[which]


def ramp_weights(frequency: np.ndarray, angles: np.ndarray, tilt: int, thickness: float, kind: str) -> np.ndarray:
    """Return the weights that make back-projection an inverse of projection.

    Parameters
    ----------
    frequency : array
        Across the tilt axis, cycles per voxel, not negative.
    angles : (n,) array
        Degrees, of all tilts.
    tilt : int
        Which of them is weighted.
    thickness : float
        Of the reconstructed slab in voxels.
    kind : str
        ``ramp``: |k| times the angle that the tilt stands for. ``exact``: one over the number of tilts that measure a
        frequency, from the overlap of central sections as thick as the slab's transform.

    References
    ----------
    Radermacher, Weighted back-projection methods, in Electron Tomography (2006); Harauz & van Heel, Exact filters for
    general geometry three dimensional reconstruction, Optik 73 (1986), for the overlap.
    """
    k = np.abs(frequency)
    if kind == "exact":
        apart = np.abs(np.sin(np.deg2rad(np.asarray(angles, float) - angles[tilt])))
        overlap = np.zeros(k.shape)
        for sine in apart:
            overlap += np.maximum(0.0, 1.0 - k * thickness * sine)
        return 1.0 / (thickness * overlap)
    spacing = tilt_spacing(angles)
    # what the ramp, sampled over the slab, has at zero
    return np.maximum(k, 0.25 / max(thickness, 1.0)) * spacing[tilt]


def window_weights(frequency: np.ndarray, window: str) -> np.ndarray:
    """Return a window that falls from 1 at zero; `frequency` is a fraction of the Nyquist frequency.

    Raises
    ------
    EmtomoError
        If the window is none of none, hann, hamming, cosine.
    """
    x = np.minimum(np.abs(frequency), 1.0)
    if window == "none":
        return np.ones(x.shape)
    if window == "hann":
        return 0.5 + 0.5 * np.cos(np.pi * x)
    if window == "hamming":
        return 0.54 + 0.46 * np.cos(np.pi * x)
    if window == "cosine":
        return np.cos(np.pi * x / 2)
    raise EmtomoError(f"The window must be none, hann, hamming or cosine, got {window!r}.")


def sirt_like_weights(frequency: np.ndarray, iterations: int, thickness: float) -> np.ndarray:
    """Return by how much `iterations` steps of SIRT would fall short of the ramp filter.

    Each frequency converges by itself: after n iterations 1 - (1 - λ)^n is reached, where λ = 1 / (1 + thickness k) is
    how strongly back-projection weighs it.

    References
    ----------
    Zeng, A filtered backprojection algorithm with characteristics of the iterative Landweber algorithm, Medical
    Physics 39 (2012), Eq. 14.
    """
    eigenvalue = 1.0 / (1.0 + thickness * np.abs(frequency))
    return 1.0 - (1.0 - eigenvalue) ** iterations


def slab_step(pixel_size: float, voltage: float, phase: float = 0.5) -> float:
    """Return the thickness in Å of slabs whose CTF is off by at most `phase` radians at the Nyquist frequency.

    The phase of the CTF changes by π λ k² for each Å of defocus; a slab's border is half its thickness away.
    """
    nyquist = 0.5 / pixel_size
    return float(2 * phase / (np.pi * wavelength(voltage) * nyquist**2))


def ctf_power(geometry: TiltGeometry, frequency: np.ndarray, dose: bool) -> np.ndarray:
    """Return the mean over tilts of (CTF dose weight)², rotationally averaged, at radial frequencies in 1/Å."""
    assert geometry.ctf is not None
    angles = np.deg2rad(np.arange(0, 180, 15.0))
    kx, ky = frequency[:, None] * np.cos(angles), frequency[:, None] * np.sin(angles)
    squares = (geometry.ctf.values(kx, ky, dtype=float) ** 2).mean(axis=2)
    if dose:
        squares = squares * geometry.weights(frequency).astype(float) ** 2
    return squares.mean(axis=0)


def sample_grid(spectrum: Spectrum, pixel_size: float) -> tuple[tuple[int, int], np.ndarray]:
    """Return rows and columns of a spline with about `pixel_size` Å a sample, and its exact Å per sample along x, y."""
    wide = [n * spectrum.pixel_size / pixel_size for n in spectrum.shape]
    rows, columns = (next_fast_len(int(np.ceil(n)), real=True) for n in wide)
    columns += columns % 2
    rows += rows % 2
    sizes = np.array([spectrum.shape[1] / columns, spectrum.shape[0] / rows]) * spectrum.pixel_size
    return (rows, columns), sizes


def filter_image(
    spectrum: Spectrum, weights: np.ndarray | float, shape: tuple[int, int], *, spline: bool = False
) -> np.ndarray:
    """Return a filtered image at another sampling, or the coefficients of the cubic B-spline through it.

    Parameters
    ----------
    spectrum : Spectrum
    weights : array or float
        Broadcast against the spectrum's values.
    shape : (2,) tuple
        Rows and columns, both even, of :func:`sample_grid`.
    spline : bool
        Return coefficients.

    Returns
    -------
    shape float32 array

    References
    ----------
    Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Process. Mag. 16 (1999), Box 1.
    """
    rows, columns = shape
    out = np.zeros((rows, columns // 2 + 1), np.complex64)
    have_rows, have_columns = spectrum.values.shape
    half, most = min(rows, have_rows) // 2, min(columns // 2, have_columns - 1)
    weights = np.broadcast_to(weights, spectrum.values.shape)
    for to, here in ((slice(half), slice(half)), (slice(rows - half + 1, None), slice(have_rows - half + 1, None))):
        np.multiply(spectrum.values[here, :most], weights[here, :most], out=out[to, :most], casting="same_kind")
    factor = rows * columns / (spectrum.shape[0] * spectrum.shape[1])
    out *= np.float32(factor)
    if spline:
        along = [(2 + np.cos(2 * np.pi * f)) / 3 for f in (np.fft.fftfreq(rows), np.fft.rfftfreq(columns))]
        out /= (along[0][:, None] * along[1][None, :]).astype(np.float32)
    return irfft2(out, shape, workers=threads(), overwrite_x=True)
