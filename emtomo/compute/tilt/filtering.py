"""Filters of tilt images for back-projection: ramp, window, dose and CTF; images as splines to sample anywhere."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.transforms import fft, ifft, irfft, next_fast_len, rfft
from emtomo.compute.optics.ctf import Ctf, wavelength
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.errors import EmtomoError

MARGIN = 1.15  # of the images' size, so that filters do not wrap around
TAPER = 0.04  # of the images' size, over which borders across the tilt axis fade to zero: the ramp makes rims of steps
OVERSAMPLING = 2  # samples of a filtered image for every voxel of the tomogram, where it is interpolated linearly
SPLINE_OVERSAMPLING = 1.5  # where it is interpolated by cubic splines
EDGE = 0.04  # of the Nyquist frequency, the width of the low-pass filter's edge
SNR_FLOOR = 0.1  # of the mean squared CTF over tilts: what less than this measured is not amplified
NONE, MULTIPLY, FLIP, WIENER = range(4)  # what the CTF is corrected by


@dataclass(frozen=True)
class Spectrum:
    """The transform of an image, tapered and padded.

    Attributes
    ----------
    values : (rows, columns) complex64 array
        In the order of ``rfft2``, with the first of its columns; the image's centre ``n // 2`` is at `centre` of the
        padded image.
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
        """(columns,) frequencies in 1/Å."""
        return np.fft.rfftfreq(self.shape[1], self.pixel_size)[: self.values.shape[1]]

    @property
    def ky(self) -> np.ndarray:
        """(rows,) frequencies in 1/Å."""
        return np.fft.fftfreq(self.shape[0], self.pixel_size)


@dataclass(frozen=True)
class SlabCorrection:
    """How the CTF is corrected in slabs of equal defocus.

    Attributes
    ----------
    kind : int
        NONE, MULTIPLY, FLIP or WIENER.
    ctf : Ctf
        Of the first slab.
    step : float
        Å of defocus from one slab to the next.
    noise : (k,) array
        One over the signal-to-noise ratio of power, for WIENER.
    spacing : float
        1/Å between the entries of `noise`, the first of which is at 0.
    """

    kind: int
    ctf: Ctf
    step: float
    noise: np.ndarray
    spacing: float


BOTH = np.ones(2)  # where the tilt axis is not known
NO_CORRECTION = SlabCorrection(NONE, Ctf.of_defocus(0.0), 0.0, np.zeros(1), 1.0)


def transform_image(
    image: np.ndarray,
    pixel_size: float,
    tilt: int,
    *,
    normalise: bool = True,
    finest: float = np.inf,
    padded: tuple[int, int] | None = None,
    across: np.ndarray = BOTH,
) -> Spectrum:
    """Return the spectrum of an image whose mean was taken off and whose borders across the tilt axis fade to zero.

    Parameters
    ----------
    image : (y, x) array
    pixel_size : float
        Å.
    tilt : int
        Its number from 0, for messages.
    normalise : bool
        Divide by the standard deviation.
    finest : float
        1/Å; columns of higher frequencies are left out.
    padded : (2,) tuple, optional
        Rows and columns of the padded image.
    across : (2,) array
        x, y of the unit vector across the tilt axis.

    Raises
    ------
    EmtomoError
        If a pixel is no finite number, or all are equal where they are to be normalised.
    """
    from emtomo.compute.kernels.tilt_filter_cpu import fade_borders

    image = np.ascontiguousarray(image, None if image.dtype.kind in "iu" else np.float32)
    mean, deviation = measure_image(image)
    if not np.isfinite(mean + deviation):
        raise EmtomoError(
            f"tilt {tilt + 1}: the image has pixels that are no finite numbers, or whose squares are none."
        )
    if normalise and deviation == 0:
        raise EmtomoError(f"tilt {tilt + 1}: all pixels of the image are equal; exclude this tilt.")
    rows, columns = image.shape
    shape = padded or (next_fast_len(int(rows * MARGIN), real=True), next_fast_len(int(columns * MARGIN), real=True))
    faded = np.empty(image.shape, np.float32)
    factor = np.float32(1 / deviation if normalise else 1)
    fade_borders(image, np.float32(mean), factor, _taper(rows, across[1]), _taper(columns, across[0]), faded)
    most = shape[1] // 2 + 1
    if np.isfinite(finest):
        most = min(most, int(np.ceil(finest * shape[1] * pixel_size)) + 1)
    values = np.ascontiguousarray(rfft(faded, shape[1], axis=1)[:, :most])
    values = fft(values, shape[0], axis=0)
    return Spectrum(values, shape, (columns // 2, rows // 2), pixel_size)


def measure_image(image: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of an image; not finite where a pixel is not."""
    from emtomo.compute.kernels.tilt_filter_cpu import sum_rows

    around = np.float32(image[image.shape[0] // 2].mean(dtype=float))
    sums = np.empty((len(image), 2))
    sum_rows(image, around, sums)
    first, second = sums.sum(axis=0) / image.size
    return float(around + first), float(np.sqrt(max(second - first * first, 0.0)) if second == second else np.nan)


def _taper(n: int, share: float) -> np.ndarray:
    width = max(1, round(n * TAPER * abs(share)))
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


def deconvolution_noise(frequency: np.ndarray, strength: float, falloff: float, highpass: float) -> np.ndarray:
    """Return one over the signal-to-noise ratio that Warp's deconvolution takes at frequencies in 1/Å.

    SNR(k) = 1000^strength exp(-200 falloff k) (1 - cos(π min(1, k highpass))), k in 1/Å; the CTF is then corrected with
    CTF / (CTF² + 1 / SNR).

    Parameters
    ----------
    frequency : array
        1/Å, not negative.
    strength, falloff : float
        Warp's deconvolution strength and fall-off of the signal-to-noise ratio.
    highpass : float
        Å; spacings larger than this are damped.

    References
    ----------
    Tegunov & Cramer, Nat. Methods 16 (2019), and D. Tegunov's tom_deconv_tomo, where the exponent is 100 falloff
    k / k_Nyquist over the pixel size in Å.
    """
    rise = 1 - np.cos(np.pi * np.minimum(1.0, frequency * highpass))
    snr = 1000.0**strength * np.exp(-200.0 * falloff * frequency) * rise
    return np.asarray(1 / np.maximum(snr, 1e-12))


def sample_grid(spectrum: Spectrum, pixel_size: float) -> tuple[tuple[int, int], np.ndarray]:
    """Return rows and columns of an image with about `pixel_size` Å a sample, and its exact Å per sample along x, y."""
    wide = [n * spectrum.pixel_size / pixel_size for n in spectrum.shape]
    rows, columns = (2 * next_fast_len(int(np.ceil(n / 2)), real=True) for n in wide)
    sizes = np.array([spectrum.shape[1] / columns, spectrum.shape[0] / rows]) * spectrum.pixel_size
    return (rows, columns), sizes


def filter_image(
    spectrum: Spectrum, correction: SlabCorrection, slabs: int, shape: tuple[int, int], *, spline: bool = False
) -> np.ndarray:
    """Return an image at another sampling, corrected for the CTF of each slab, or coefficients of cubic B-splines.

    The spline of the coefficients has the image's amplitudes at all its frequencies.

    Parameters
    ----------
    spectrum : Spectrum
    correction : SlabCorrection
    slabs : int
    shape : (2,) tuple
        Rows and columns, both even, of :func:`sample_grid`.
    spline : bool
        Return coefficients.

    Returns
    -------
    (slabs, \\*shape) float32 array

    References
    ----------
    Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Process. Mag. 16 (1999): the transform
    of the cubic B-spline is sinc⁴.
    """
    from emtomo.compute.kernels.tilt_filter_cpu import resample_spectrum

    rows, columns = shape
    power = -4 if spline else 0
    down = np.sinc(np.fft.fftfreq(rows)) ** power * (rows * columns / (spectrum.shape[0] * spectrum.shape[1]))
    across = np.sinc(np.fft.rfftfreq(columns)) ** power
    phase, step = phase_terms(correction)
    out = np.empty((slabs, rows, min(columns // 2 + 1, spectrum.values.shape[1])), np.complex64)
    have, half = spectrum.shape[0], min(rows, spectrum.shape[0]) // 2
    places = np.full(rows, -1)
    places[:half], places[rows - half + 1 :] = np.arange(half), np.arange(have - half + 1, have)
    resample_spectrum(
        spectrum.values, places, spectrum.kx, spectrum.ky, down.astype(np.float32), across.astype(np.float32),
        phase, step, correction.kind, correction.noise.astype(np.float32), np.float32(correction.spacing), out,
    )  # fmt: skip
    # columns that are zero are left out of the transforms along them
    lines = ifft(out, axis=1, overwrite_x=True)
    return irfft(lines, columns, axis=2)


def phase_terms(correction: SlabCorrection) -> tuple[np.ndarray, float]:
    """Return factors of x² + y², x² - y², x y, (x² + y²)² and 1 in the CTF's phase, and that of x² + y² in a step."""
    ctf = correction.ctf
    half = np.pi * float(wavelength(ctf.voltage))
    turn, difference = 2 * np.deg2rad(float(ctf.angle)), (float(ctf.defocus_u) - float(ctf.defocus_v)) / 2
    fourth = 0.5e7 * np.pi * float(ctf.cs) * float(wavelength(ctf.voltage)) ** 3
    constant = np.arcsin(float(ctf.amplitude_contrast)) + np.deg2rad(float(ctf.phase_shift))
    terms = [half * float(ctf.defocus), half * difference * np.cos(turn), 2 * half * difference * np.sin(turn)]
    return np.array([*terms, fourth, constant]), half * correction.step
