"""From scores to particles: maxima, those apart from each other, and a threshold from the peaks of all micrographs."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.picking.bank import Scores

LOWEST_SCORE = 1.0  # standard deviations; fainter maxima are nobody's particles
NOISE_MEAN = (2.2, 4.2)  # standard deviations, between which the mean of noise peaks lies
NOISE_SPREAD = (0.3, 1.0)
FIT_ITERATIONS = 200
MORE_PARAMETERS = 3  # of a second Gaussian: mean, spread and share
MOST_FALSE = 0.3  # share of the picks that may be noise if there were nothing else


@dataclass(frozen=True)
class Peaks:
    """Maxima of the scores of one micrograph, the best first.

    Attributes
    ----------
    positions : (n, 2) array
        y, x in pixels of the micrograph from its first one, to a fraction.
    scores : (n,) array
    templates : (n,) int array
    variations : (n,) array
        Standard deviation of the micrograph there, over its median: ice and dirt have large ones.
    deviations, averages : (n,) arrays
        Of the background around each: its deviation over the median, and its mean in deviations of the micrograph,
        negative where that is darker.
    """

    positions: np.ndarray
    scores: np.ndarray
    templates: np.ndarray
    variations: np.ndarray
    deviations: np.ndarray
    averages: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: np.ndarray) -> "Peaks":
        """Return some of them."""
        return Peaks(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def find_peaks(scores: Scores, factor: np.ndarray, border: float, white: bool = True) -> Peaks:
    """Return all local maxima, the best first.

    Parameters
    ----------
    scores : Scores
    factor : (2,) array
        Pixels of the micrograph to one of the scores, along y and x.
    border : float
        Pixels of the scores from the edges where nothing is picked.
    white : bool
        The micrograph was not inverted for the search.
    """
    from scipy.ndimage import maximum_filter

    best = scores.best
    top = (best == maximum_filter(best, 3)) & (best > LOWEST_SCORE)
    edge = max(1, int(np.ceil(border)))
    top[:edge], top[-edge:], top[:, :edge], top[:, -edge:] = False, False, False, False
    at = np.argwhere(top)
    order = np.argsort(-best[top], kind="stable")
    at = at[order]
    places = at.astype(float)
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        left, middle, right = (best[tuple((at + s * step).T)].astype(float) for s in (-1, 0, 1))
        bend = np.maximum(2 * middle - left - right, 1e-9)
        places[:, axis] += np.clip(0.5 * (right - left) / bend, -0.5, 0.5)
    here = tuple(at.T)
    average = scores.average if white else -scores.average
    parts = (scores.best, scores.template, scores.variation, scores.deviation, average)
    return Peaks(places * factor, *(part[here] for part in parts))


def keep_apart(positions: np.ndarray, distance: float) -> np.ndarray:
    """Return the indices of positions, the best first, that have no better one within a distance.

    Parameters
    ----------
    positions : (n, 2) array
        The best first.
    distance : float
        In their unit.
    """
    from scipy.spatial import cKDTree

    if len(positions) == 0:
        return np.zeros(0, int)
    near = cKDTree(positions).query_pairs(distance, output_type="ndarray")
    near.sort(axis=1)
    near = near[np.lexsort((near[:, 1], near[:, 0]))]
    first = np.searchsorted(near[:, 0], np.arange(len(positions) + 1))
    alive = np.ones(len(positions), bool)
    for k in range(len(positions)):
        if alive[k]:
            alive[near[first[k] : first[k + 1], 1]] = False
    return np.flatnonzero(alive)


@dataclass(frozen=True)
class PeakStatistics:
    """Two Gaussians that describe the scores of peaks: of noise, and of particles.

    Attributes
    ----------
    means, spreads, shares : (2,) arrays
        Noise, then particles.
    threshold : float
        Score at which a peak is as likely a particle as noise.
    """

    means: np.ndarray
    spreads: np.ndarray
    shares: np.ndarray
    threshold: float


def fit_peaks(scores: np.ndarray) -> PeakStatistics:
    """Fit two Gaussians to the scores of peaks by expectation and maximisation.

    The threshold is where a peak is as likely a particle as noise, or higher: where there are few particles, the second
    Gaussian is but a tail of the noise, and so many peaks above the threshold are expected of noise alone. Where one
    Gaussian of noise describes the scores as well as two do, that one says how many.

    Scores are in standard deviations of white noise, whose peaks have a mean of about 3: the mean of the noise is held
    within `NOISE_MEAN`, or micrographs on which nearly every peak is a particle would be split in two.

    Parameters
    ----------
    scores : (n,) array
        Of the peaks of all micrographs.

    References
    ----------
    Dempster, Laird & Rubin, J. R. Stat. Soc. B 39 (1977), section 4.3.
    """
    from scipy.special import ndtr

    v = np.asarray(scores, float)
    if len(v) == 0:
        v = np.array([NOISE_MEAN[0]])
    means = np.array([3.0, max(float(np.percentile(v, 95)), 5.0)])
    spreads, shares = np.array([0.5, 1.5]), np.array([0.5, 0.5])
    for _ in range(FIT_ITERATIONS):
        p = _densities(v, means, spreads, shares)
        p /= p.sum(axis=1, keepdims=True) + 1e-300
        mass = p.sum(axis=0) + 1e-9
        shares = p.mean(axis=0) + 1e-4
        means = (p * v[:, None]).sum(axis=0) / mass
        means[0] = np.clip(means[0], *NOISE_MEAN)
        means[1] = max(means[1], means[0] + 0.5)
        spreads = np.sqrt((p * (v[:, None] - means) ** 2).sum(axis=0) / mass)
        spreads = np.clip(spreads, NOISE_SPREAD[0], [NOISE_SPREAD[1], 10.0])
    if _is_noise_alone(v, _densities(v, means, spreads, shares).sum(axis=1)):
        means[0], spreads[0] = np.clip(v.mean(), *NOISE_MEAN), np.clip(v.std(), *NOISE_SPREAD)
        means[1] = max(means[1], means[0] + 0.5)
    between = np.append(np.linspace(means[0], means[1], 500), np.linspace(means[1], max(means[1], v.max()), 500)[1:])
    noise, particle = _densities(between, means, spreads, shares).T
    expected = len(v) * ndtr((means[0] - between) / spreads[0])
    there = len(v) - np.searchsorted(np.sort(v), between)
    good = np.flatnonzero((particle > noise) & (expected <= MOST_FALSE * there))
    return PeakStatistics(means, spreads, shares, float(between[good[0]] if len(good) else between[-1] + spreads[0]))


def _is_noise_alone(v: np.ndarray, density: np.ndarray) -> bool:
    """Return whether one Gaussian of noise describes scores as well as two do (Bayesian information criterion).

    Parameters
    ----------
    v : (n,) array
    density : (n,) array
        Of both Gaussians together at each score, as :func:`_densities` gives it.

    References
    ----------
    Schwarz, Ann. Statist. 6 (1978).
    """
    mean, spread = np.clip(v.mean(), *NOISE_MEAN), np.clip(v.std(), *NOISE_SPREAD)
    one = -0.5 * ((v - mean) / spread) ** 2 - np.log(spread)
    return bool(np.log(density + 1e-300).sum() - one.sum() < 0.5 * MORE_PARAMETERS * np.log(len(v)))


def _densities(v: np.ndarray, means: np.ndarray, spreads: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return each Gaussian's density at each value, (n, 2), without the common factor."""
    return np.asarray(shares * np.exp(-0.5 * ((v[:, None] - means) / spreads) ** 2) / spreads)
