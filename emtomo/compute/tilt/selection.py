"""Which tilts of a series to leave out: by dose, angle and order, and those whose images are out of line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.options import Param

SIZE = 128  # pixels to which images are binned for their statistics
NEIGHBOURS = 3  # tilts on either side that a tilt is compared with
DEVIATIONS = 6.0  # robust standard deviations that are out of line
LEAST_MEAN = 0.5  # of the images' deviation, below which a difference of means is none
LEAST_DEVIATION = 0.25  # relative
LEAST_CORRELATION = 0.2
LEAST_SCORE = 0.2  # of the fit of the CTF
LEAST_DEFOCUS = 3000.0  # Å


@dataclass(frozen=True, kw_only=True)
class TiltSelectionOptions:
    """Which tilts are kept."""

    max_dose: Annotated[
        float | None, Param("Maximum dose", "Tilts with more dose before them are excluded.", unit="e/Å²", ge=0)
    ] = None
    max_angle: Annotated[
        float | None, Param("Maximum angle", "Tilts farther from zero are excluded.", unit="°", ge=0, le=90)
    ] = None
    first_tilts: Annotated[
        int | None, Param("First tilts", "Only this many, in the order of acquisition, are kept. Empty: all.", ge=1)
    ] = None
    keep_excluded: Annotated[bool, Param("Keep what is excluded already", "No: tilts excluded before count again.")] = (
        True
    )
    suggest: Annotated[
        bool,
        Param(
            "Suggest tilts to exclude",
            "Look for images whose mean, standard deviation or correlation with their neighbours is out of line. They "
            "are listed, and never excluded without being asked for.",
        ),
    ] = True


@dataclass(frozen=True)
class TiltStatistics:
    """Statistics of the images of one series, in the order of its table.

    Attributes
    ----------
    mean, deviation : (n,) arrays
        Of the pixels.
    correlation : (n,) array
        The better of those with the neighbours in angle, at the best shift.
    """

    mean: np.ndarray
    deviation: np.ndarray
    correlation: np.ndarray


@dataclass(frozen=True)
class CtfFit:
    """How the CTF of the images of one series was fitted, in the order of its table.

    Attributes
    ----------
    score : (n,) array or None
        Agreement of fit and power spectrum, 1 at best.
    defocus : (n,) array or None
        Å, the mean of both axes.
    """

    score: np.ndarray | None = None
    defocus: np.ndarray | None = None


def find_excluded(angle: np.ndarray, dose: np.ndarray, order: np.ndarray, options: TiltSelectionOptions) -> np.ndarray:
    """Return (n,) bool: the tilts that dose, angle and order exclude.

    Parameters
    ----------
    angle, dose, order : (n,) arrays
        Degrees, e/Å² before the image, place in time.
    """
    out = np.zeros(len(angle), bool)
    if options.max_dose is not None:
        out |= np.asarray(dose) > options.max_dose
    if options.max_angle is not None:
        out |= np.abs(angle) > options.max_angle
    if options.first_tilts is not None:
        out |= np.argsort(np.argsort(order, kind="stable"), kind="stable") >= options.first_tilts
    return out


def tilt_statistics(
    images: Iterable[np.ndarray], angle: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> TiltStatistics:
    """Return the statistics of images, which are read one after the other.

    Parameters
    ----------
    images : iterable of n (y, x) arrays
    angle : (n,) array
        Degrees.
    progress : callable, optional
        Called with the images done and the images in all.
    """
    n = len(angle)
    mean, deviation = np.zeros(n), np.zeros(n)
    spectra: list[np.ndarray] = []
    for k, image in enumerate(images):
        mean[k], deviation[k] = float(np.mean(image, dtype=np.float64)), float(np.std(image, dtype=np.float64))
        spectra.append(_small_spectrum(np.asarray(image, np.float32)))
        if progress:
            progress(k + 1, n)
    correlation = np.full(n, -1.0)
    place = np.argsort(angle, kind="stable")
    for a, b in zip(place[:-1], place[1:], strict=True):
        found = float(irfft2(spectra[a] * spectra[b].conj(), (SIZE, SIZE)).max())
        correlation[a], correlation[b] = max(correlation[a], found), max(correlation[b], found)
    return TiltStatistics(mean, deviation, correlation if n > 1 else np.ones(n))


def suggest_exclusions(
    found: TiltStatistics, angle: np.ndarray, excluded: np.ndarray, fit: CtfFit | None = None
) -> dict[int, str]:
    """Return tilts whose images are out of line with their neighbours in angle, each with the reason.

    Parameters
    ----------
    found : TiltStatistics
    angle : (n,) array
        Degrees.
    excluded : (n,) bool array
        Tilts that take no part.
    fit : CtfFit, optional
        Where the CTF was fitted.

    Returns
    -------
    dict
        Number of the tilt, from 0, to a sentence's end such as ``mean 3.2, neighbours 10.1``.
    """
    used = np.flatnonzero(~np.asarray(excluded, bool))
    used = used[np.argsort(angle[used], kind="stable")]
    out: dict[int, list[str]] = {}
    scale = float(np.median(found.deviation[used])) if len(used) else 0.0
    checks = [
        ("mean", found.mean, LEAST_MEAN * scale, False),
        ("standard deviation", found.deviation, LEAST_DEVIATION * scale, False),
        ("correlation with the neighbours", found.correlation, LEAST_CORRELATION, True),
    ]
    if fit is not None and fit.score is not None:
        checks.append(("score of the CTF fit", fit.score, LEAST_SCORE, True))
    if fit is not None and fit.defocus is not None:
        checks.append(("defocus in Å", fit.defocus, LEAST_DEFOCUS, False))
    for name, values, least, only_below in checks:
        expected = _neighbours(values[used])
        away = values[used] - expected
        spread = 1.4826 * float(np.median(np.abs(away - np.median(away)))) if len(used) else 0.0
        limit = max(DEVIATIONS * spread, least)
        for k, difference, near in zip(used, away, expected, strict=True):
            if (difference < -limit) if only_below else (abs(difference) > limit):
                out.setdefault(int(k), []).append(f"{name} {_text(values[k])}, its neighbours' {_text(near)}")
    return {k: "; ".join(out[k]) for k in sorted(out)}


def _text(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _neighbours(values: np.ndarray) -> np.ndarray:
    """Return the median of the neighbours of every value, itself left out."""
    n = len(values)
    out = np.array(values, float)
    for k in range(n):
        near = [j for j in range(max(0, k - NEIGHBOURS), min(n, k + NEIGHBOURS + 1)) if j != k]
        if near:
            out[k] = np.median(values[near])
    return out


def _small_spectrum(image: np.ndarray) -> np.ndarray:
    """Return the transform of a binned image, without mean, scaled so that a correlation with itself is 1."""
    y, x = (np.linspace(0, n, SIZE + 1).astype(int)[:-1] for n in image.shape)
    small = np.add.reduceat(np.add.reduceat(image, y, axis=0), x, axis=1)
    small = small - small.mean()
    window = np.hanning(SIZE + 2)[1:-1]
    small = small * window[:, None] * window[None, :]
    small -= small.mean()
    return rfft2(small / max(float(np.linalg.norm(small)), 1e-30))
