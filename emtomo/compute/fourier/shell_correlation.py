"""Fourier shell correlation, with and without a mask, and what a mask alone adds to it."""

from dataclasses import dataclass

import numpy as np

from emtomo.checks import check_number, check_pixel_size, check_volume, check_whole_number
from emtomo.compute.device import threads
from emtomo.compute.fourier.box_faces import (
    comes_near_faces,
    correlate_bands,
    ends_before_faces,
    fade_at_faces,
    wide_window,
)
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.errors import EmtomoError

LEAST_BOX = 6  # voxels: smaller boxes have two shells at most, too few for a curve
AT_NYQUIST = 1.001  # times the Nyquist limit
SAME = 1e-5  # correlations this close to 1 in every shell are those of one map with itself
RANDOMISE_BELOW = 0.8  # unmasked correlation from which on phases are randomised
CUT_THRESHOLD = 0.1  # correlation below which shells of maps that are cut at the faces are not looked at any more
GUARD = 2  # shells beyond it before the correction begins


@dataclass(frozen=True)
class FscCurves:
    """Correlations of two half maps in shells; entry ``s`` is at ``s / n`` cycles per voxel.

    Attributes
    ----------
    unmasked, masked : (n // 2 + 1,) arrays
    randomised : array
        Of the masked maps after their phases beyond `randomised_from` were made random: what the mask alone adds.
    corrected : array
        What is left of `masked` without that.
    randomised_from : int
        Shell.
    cut : bool
        Whether the maps' density goes on to the faces of their box. The unmasked curve is too good then; `corrected` is
        no better than the correlation of shells that were parted before they were masked.
    """

    unmasked: np.ndarray
    masked: np.ndarray
    randomised: np.ndarray
    corrected: np.ndarray
    randomised_from: int
    cut: bool = False

    def why_no_resolution(self, box_size: int, threshold: float = 0.143, first: int = 1) -> str:
        """Return a sentence if the maps, or what the mask leaves of them, give no resolution."""
        problems = (_find_nothing_to_compare(curve, box_size) for curve in (self.unmasked, self.masked))
        return next(filter(None, problems), "") or why_no_resolution(self.corrected, box_size, threshold, first)

    def resolution(self, box_size: int, pixel_size: float, threshold: float = 0.143, first: int = 1) -> float:
        """Return the resolution of the corrected curve in Å, nan where there is none; see :func:`resolution_at`."""
        if self.why_no_resolution(box_size, threshold, first):
            return np.nan
        return resolution_at(self.corrected, box_size, pixel_size, threshold, first)


def shells_of(size: int) -> np.ndarray:
    """Return the shell (rounded distance from zero) of every voxel of an ``rfftn`` of a cube."""
    full, half = np.fft.fftfreq(size) * size, np.arange(size // 2 + 1)
    k2 = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
    return np.rint(np.sqrt(k2)).astype(np.int32)


def shell_sums(values: np.ndarray, shell: np.ndarray, size: int) -> np.ndarray:
    """Return sums in shells of a real array in the order of ``rfftn``, both halves counted."""
    half = np.arange(size // 2 + 1)
    twice = np.where((half == 0) | ((size % 2 == 0) & (half == size // 2)), 1.0, 2.0)
    flat = (values * twice).ravel()
    return np.bincount(shell.ravel(), flat)[: size // 2 + 1]


def _spectra_correlation(fa: np.ndarray, fb: np.ndarray, shell: np.ndarray, size: int) -> np.ndarray:
    def total(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the real parts of products, summed in shells."""
        return shell_sums(x.real * y.real + x.imag * y.imag, shell, size)

    powers = total(fa, fa), total(fb, fb)
    # what is weaker than the rounding of the whole spectrum is no signal; nan stays nan
    rounding = np.finfo(fa.real.dtype).eps ** 2
    holds = ~np.logical_or(*(p <= rounding * p.sum() for p in powers))
    with np.errstate(invalid="ignore"):
        return np.where(holds, total(fa, fb) / np.sqrt(np.where(holds, powers[0] * powers[1], 1)), 0.0)


def _transform(volume: np.ndarray) -> np.ndarray:
    wide = volume.dtype == np.float64
    return rfftn(np.asarray(volume, np.float64 if wide else np.float32), workers=threads())


def fourier_shell_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of two cubic volumes in shells of their Fourier transforms.

    Parameters
    ----------
    a, b : (n, n, n) arrays

    Returns
    -------
    (n // 2 + 1,) array
        Entry ``s`` is the correlation at ``s / n`` cycles per voxel; exactly 0 in shells where a volume has no
        signal, since there is nothing to compare; nan where a volume holds values that are not finite.

    Raises
    ------
    EmtomoError
        If they are no volumes, not cubic or of two sizes.

    References
    ----------
    Harauz & van Heel, Optik 73 (1986), Eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> map1, map2 = np.random.default_rng(1).normal(size=(2, 32, 32, 32))
    >>> curve = emtomo.fourier_shell_correlation(map1, map1 + 2 * map2)
    >>> len(curve), round(float(curve[4:].mean()), 1)
    (17, 0.4)
    """
    a, b = (check_volume(one, "map", finite=False) for one in (a, b))
    if a.shape != b.shape or len(set(a.shape)) != 1:
        raise EmtomoError(f"FSC needs two cubic volumes of one size, got {a.shape} and {b.shape}.")
    return _spectra_correlation(_transform(a), _transform(b), shells_of(a.shape[0]), a.shape[0])


def solvent_corrected_fsc(
    a: np.ndarray, b: np.ndarray, mask: np.ndarray, *, seed: int = 0, start_at: float | None = None
) -> FscCurves:
    """Return the FSC of two half maps within a mask, freed of what the mask itself correlates.

    Phases are made random where the unmasked maps correlate less than 0.8; what
    correlates then within the mask is the mask's own doing:
    corrected = (masked - randomised) / (1 - randomised).

    Random phases do not tell what the faces of the box cut, since they cut before the phases were made random. Where
    density goes on to the faces, shells are therefore also compared one by one: see
    :func:`~emtomo.compute.fourier.box_faces.correlate_bands`.

    Parameters
    ----------
    a, b, mask : (n, n, n) arrays
        A mask that reaches the faces of the box falls to 0 before them: see
        :func:`~emtomo.compute.fourier.box_faces.fade_at_faces`.
    seed : int
        Of the random phases.
    start_at : float, optional
        Shell from which phases are randomised instead.

    Returns
    -------
    FscCurves

    Raises
    ------
    EmtomoError
        If they are no volumes, not cubic or of two sizes.

    References
    ----------
    Chen et al., High-resolution noise substitution to measure overfitting and validate
    resolution in 3D structure determination, Ultramicroscopy 135 (2013), Eq. 4.
    """
    a, b, mask = (check_volume(one, what, finite=False) for one, what in ((a, "map"), (b, "map"), (mask, "mask")))
    if mask.shape != a.shape:
        raise EmtomoError(f"The mask must have the maps' size {a.shape}, got {mask.shape}.")
    unmasked = fourier_shell_correlation(a, b)
    n, mask = a.shape[0], fade_at_faces(mask)
    shell = shells_of(n)
    fa, fb = _transform(a), _transform(b)
    masked = _spectra_correlation(_transform(a * mask), _transform(b * mask), shell, n)
    near, agreeing = comes_near_faces(a, b, mask), unmasked
    cut = near and not ends_before_faces(a, b)
    window = wide_window(a.shape) if cut else np.float32(1)
    if cut:
        faded = _spectra_correlation(_transform(a * window), _transform(b * window), shell, n)
        agreeing = np.minimum(unmasked, faded)
    below = np.flatnonzero(agreeing[1:] < RANDOMISE_BELOW)
    start = int(below[0]) + 1 if len(below) else n // 2 + 1
    if start_at is not None:
        start = max(1, min(int(round(start_at)), n // 2 + 1))
    rng = np.random.default_rng(seed)
    beyond = shell >= start

    def randomise_phases(spectrum: np.ndarray) -> np.ndarray:
        """Return the map of a spectrum whose phases beyond a shell are random."""
        turn = np.exp(2j * np.pi * rng.random(spectrum.shape)).astype(spectrum.dtype)
        mixed = np.where(beyond, np.abs(spectrum) * turn, spectrum)
        return irfftn(mixed, a.shape, workers=threads())

    randomised = _spectra_correlation(
        _transform(randomise_phases(fa) * mask), _transform(randomise_phases(fb) * mask), shell, n
    )
    first = start + GUARD
    corrected = masked.copy()
    # a negative correlation of random phases is chance, not a loss to be made up for
    noise = np.clip(randomised[first:], 0, 0.999)
    corrected[first:] = (masked[first:] - noise) / (1 - noise)
    if near:  # a particle that ends before the faces needs it only where its random phases do not correct
        bands = correlate_bands(a * window, b * window, mask, shell, start, CUT_THRESHOLD)
        compared = slice(start, None if cut else first)
        corrected[compared] = np.minimum(corrected, bands)[compared]
    return FscCurves(unmasked, masked, randomised, corrected, start, cut)


def first_shell_below(curve: np.ndarray, threshold: float, first: int = 1) -> float:
    """Return the shell at which `curve` first falls below `threshold`, interpolated; inf if it never does."""
    below = np.flatnonzero(curve[first:] < threshold)
    if len(below) == 0:
        return np.inf
    shell = int(below[0]) + first
    before, after = curve[shell - 1], curve[shell]
    exact = shell - 1 + (before - threshold) / (before - after) if before > after else shell
    return max(float(exact), 0.5)


def why_no_resolution(curve: np.ndarray, box_size: int, threshold: float = 0.143, first: int = 1) -> str:
    """Return a sentence if an FSC curve gives no resolution, empty if it does.

    Parameters
    ----------
    curve : (n // 2 + 1,) array
        From :func:`fourier_shell_correlation` or :func:`solvent_corrected_fsc`.
    box_size : int
        Edge of the volumes in voxels.
    threshold, first
        See :func:`resolution_at`.
    """
    curve, first = _check_curve(curve, first), int(first)
    problem = _find_nothing_to_compare(curve, box_size)
    if not problem and curve[_first_filled(curve, first)] < threshold:
        problem = f"The maps correlate by less than {threshold:g} in their coarsest shell: they show no resolution."
    return problem


def _check_curve(curve: np.ndarray, first: int) -> np.ndarray:
    """Return a curve that has shells from `first` on."""
    values = np.asarray(curve)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or len(values) < 2:
        raise EmtomoError(f"An FSC curve must be numbers in at least two shells, got {values.dtype} {values.shape}.")
    if check_whole_number(first, "The first shell") >= len(values):
        raise EmtomoError(f"The first shell must be one of the {len(values)} of the curve, got {first}.")
    return values


def _first_filled(curve: np.ndarray, first: int) -> int:
    """Return the first shell from `first` on, or a later one, with something to compare."""
    return max(first, int(np.flatnonzero(curve[1:])[0]) + 1)


def _find_nothing_to_compare(curve: np.ndarray, box_size: int) -> str:
    if box_size < LEAST_BOX:
        return f"Boxes of {box_size} voxels have too few shells for a resolution; {LEAST_BOX} voxels are the least."
    values = np.asarray(curve, float)[1:]
    if not np.isfinite(values).all():
        return "The maps hold values that are not finite numbers: there is no resolution."
    measured = values[values != 0]
    if len(measured) == 0:
        return "A half map is empty (within the mask): there is nothing to compare and no resolution."
    if (measured > 1 - SAME).all():
        return "The half maps are the same map (or one is a multiple of the other): they show no resolution."
    return ""


def resolution_at(
    curve: np.ndarray, box_size: int, pixel_size: float, threshold: float = 0.143, first: int = 1
) -> float:
    """Return the resolution in Å where `curve` first falls below `threshold`, interpolated between shells.

    Parameters
    ----------
    curve : (n,) array
        Correlation in shells, as :func:`fourier_shell_correlation` returns it.
    box_size : int
        Edge of the volumes in voxels.
    pixel_size : float
        Å per voxel.
    threshold : float
        0.143 for two independent half maps.
    first : int
        Shells before it do not count: where images were high-passed they hold nothing that could agree;
        nor do coarser shells in which there is no signal at all.

    Returns
    -------
    float
        The Nyquist resolution for a curve that never falls below the threshold; nan where there is nothing to
        compare, or the first shell that counts lies below it: :func:`why_no_resolution` says why.

    Raises
    ------
    EmtomoError
        If the curve is not a row of numbers with shells from `first` on, or a size is not above 0.

    Examples
    --------
    >>> import emtomo
    >>> curve = [1.0, 0.9, 0.5, 0.2, 0.1, 0.0]
    >>> round(emtomo.resolution_at(curve, box_size=10, pixel_size=2.0), 1)
    5.6
    """
    box_size, pixel_size = check_whole_number(box_size, "The box size", 1), check_pixel_size(pixel_size)
    threshold, curve, first = check_number(threshold, "The threshold"), _check_curve(curve, first), int(first)
    if why_no_resolution(curve, box_size, threshold, first):
        return np.nan
    shell = first_shell_below(curve, threshold, _first_filled(curve, first))
    return float(max(box_size * pixel_size / shell, 2 * pixel_size))


def reaches_nyquist(resolution: float, pixel_size: float) -> bool:
    """Return whether a resolution is the limit of its sampling alone: the curve ended above the threshold."""
    return 0 < resolution <= 2 * pixel_size * AT_NYQUIST


def resolution_text(resolution: float, pixel_size: float, digits: int = 1) -> str:
    """Return a resolution in Å as text that claims no more than its sampling.

    ``"8.3 Å"``, ``"reaches Nyquist (40.0 Å)"`` where the curve ended above the threshold, ``"none"`` for 0 and nan.
    """
    if not resolution > 0:
        return "none"
    text = f"{resolution:.{digits}f} Å"
    return f"reaches Nyquist ({text})" if reaches_nyquist(resolution, pixel_size) else text
