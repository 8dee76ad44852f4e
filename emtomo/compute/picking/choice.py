"""Which peaks of all micrographs are particles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emtomo.compute.blobs import LogOptions
from emtomo.compute.picking.options import TemplateChoice
from emtomo.compute.picking.peaks import Peaks, PeakStatistics, fit_peaks, keep_apart

USUAL_VARIATION = 2.0  # of the particles' own, up to which peaks describe noise and particles
STRONG = 5.0  # standard deviations, above which hardly any peak of noise is
FEWEST_STRONG = 2  # peaks, from which the particles' own variation is known
ALIKE = 0.2  # relative spread of the variations of strong peaks, up to which these are particles of one kind
UPPER = 5.0  # standard deviations of the particles' scores above their mean, beyond which blobs are ice
BLOB_DISTANCE = 0.7  # of the mean diameter
TEMPLATE_DISTANCE = 0.6  # of the mask diameter


@dataclass(frozen=True)
class Choice:
    """Peaks that are particles.

    Attributes
    ----------
    peaks : list of Peaks
        Of every micrograph.
    index : list of (n,) int arrays
        Which of the peaks that were given they are.
    threshold, upper : float
        Scores between which they lie; `upper` is infinite where there is no limit.
    statistics : PeakStatistics
        Of the peaks of all micrographs.
    scores : (n,) array
        Of all peaks that are apart from each other, of all micrographs, for a histogram.
    """

    peaks: list[Peaks]
    index: list[np.ndarray]
    threshold: float
    upper: float
    statistics: PeakStatistics
    scores: np.ndarray


def blob_distance(options: LogOptions) -> float:
    """Return the usual distance between blobs in Å."""
    return BLOB_DISTANCE * (options.min_diameter + options.max_diameter) / 2


def choose_blobs(found: Sequence[Peaks], pixel_size: float, options: LogOptions) -> Choice:
    """Return the blobs that are particles.

    The threshold is where a peak is as likely a particle as noise, moved by ``adjust_threshold`` standard deviations
    of the particles' scores. Blobs whose response is more than ``upper_threshold`` of them above the particles' mean
    are left out, together with what is near: scores are local, a response is a score times the local deviation over
    its median, and over that of the particles themselves where these are strong (negative stain).

    Parameters
    ----------
    found : sequence of Peaks
        One a micrograph.
    pixel_size : float
        Å, of the micrographs.
    options : LogOptions
    """
    apart = _keep_apart(found, (options.min_distance or blob_distance(options)) / pixel_size)
    near = [p.take(k) for p, k in zip(found, apart, strict=True)]
    own = _own_variation(near)
    scores, fit = _fit(near, own)
    spread = float(fit.spreads[1])
    most = UPPER if options.upper_threshold is None else options.upper_threshold
    lower, upper = fit.threshold + options.adjust_threshold * spread, own * (float(fit.means[1]) + most * spread)
    index = [k[_between(p, lower, upper)] for p, k in zip(near, apart, strict=True)]
    return Choice([p.take(k) for p, k in zip(found, index, strict=True)], index, lower, upper, fit, scores)


def choose_templates(
    found: Sequence[Peaks], pixel_size: float, distance: float, options: TemplateChoice, upper: float = np.inf
) -> Choice:
    """Return the peaks of template scores that are particles.

    Parameters
    ----------
    found : sequence of Peaks
        One a micrograph.
    pixel_size, distance : float
        Å, of the micrographs, and the usual distance between particles.
    options : TemplateChoice
    upper : float
        Highest response of a particle, as :func:`choose_blobs` found it.
    """
    quiet = [np.flatnonzero(_is_quiet(p, options)) for p in found]
    left = [p.take(k) for p, k in zip(found, quiet, strict=True)]
    apart = _keep_apart(left, (options.min_distance or distance) / pixel_size)
    near = [p.take(k) for p, k in zip(left, apart, strict=True)]
    scores, fit = _fit(near, _own_variation(near))
    threshold = fit.threshold if options.threshold is None else options.threshold
    inside = [k[_between(p, threshold, upper)] for p, k in zip(near, apart, strict=True)]
    index = [q[k] for q, k in zip(quiet, inside, strict=True)]
    return Choice([p.take(k) for p, k in zip(found, index, strict=True)], index, threshold, upper, fit, scores)


def _between(peaks: Peaks, lower: float, upper: float) -> np.ndarray:
    """Return which peaks have at least a score, and at most a response."""
    return (peaks.scores >= lower) & (peaks.scores * np.maximum(peaks.variations, 1) <= upper)


def _is_quiet(peaks: Peaks, options: TemplateChoice) -> np.ndarray:
    """Return which peaks lie on a background that is neither too noisy nor too dark."""
    keep = np.ones(len(peaks), bool)
    if options.max_stddev_noise is not None:
        keep &= peaks.deviations <= options.max_stddev_noise
    if options.min_average_noise is not None:
        keep &= peaks.averages >= options.min_average_noise
    return keep


def _keep_apart(found: Sequence[Peaks], distance: float) -> list[np.ndarray]:
    return [keep_apart(p.positions, distance) for p in found]


def _own_variation(found: Sequence[Peaks]) -> float:
    """Return the local deviation at particles over the median of their micrograph, at least 1.

    Particles of one kind are alike, ice and dirt are not: where variations of strong peaks differ, 1 is returned.
    """
    strong = np.concatenate([p.variations[p.scores > STRONG] for p in found]) if len(found) else np.zeros(0)
    if len(strong) < FEWEST_STRONG:
        return 1.0
    middle = float(np.median(strong))
    return max(1.0, middle) if np.median(np.abs(strong - middle)) <= ALIKE * middle else 1.0


def _fit(found: Sequence[Peaks], own: float) -> tuple[np.ndarray, PeakStatistics]:
    """Return the scores of all peaks, and the two Gaussians of those outside of ice and dirt."""
    scores = np.concatenate([p.scores for p in found]) if len(found) else np.zeros(0)
    variations = np.concatenate([p.variations for p in found]) if len(found) else np.zeros(0)
    return scores, fit_peaks(scores[variations <= USUAL_VARIATION * own])
