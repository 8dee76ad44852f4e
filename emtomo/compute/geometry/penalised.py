"""Smooth curves and sheets through noisy points: penalised splines whose stiffness the points decide."""

from dataclasses import dataclass

import numpy as np

from emtomo.errors import ModelError

RATIOS = np.geomspace(1e-5, 1e5, 13)  # of the strength of the penalty to that of the points
WORTH = 1e-4  # of the best evidence; less likely strengths are left out
FLAT = 1e-13  # of the largest strength: what a penalty leaves free
EXPECTED = 10.0  # points that the expected noise counts for


@dataclass(frozen=True)
class PenalisedFit:
    """Coefficients of a spline, and how certain they are.

    Attributes
    ----------
    coefficients : (p, d) array
    covariance : (p, p) array
        Of each coordinate's coefficients, given the points.
    noise : float
        Standard deviation of the points about the spline, along each direction across it.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    noise: float

    def spread(self, basis: np.ndarray) -> np.ndarray:
        """Return the standard deviation of one coordinate for each row of a (n, p) `basis`."""
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", basis, self.covariance, basis), 0.0))


def spline_basis(at: np.ndarray, count: int, derivative: int = 0) -> np.ndarray:
    """Return the (n, count) values of `count` B-splines on even knots over [0, 1], cubic where there are 4.

    Parameters
    ----------
    at : (n,) array
        From 0 to 1.
    count : int
        At least 2.
    derivative : int
        Which derivative by `at`.
    """
    from scipy.interpolate import BSpline

    degree = min(3, count - 1)
    pieces = count - degree
    knots = np.arange(-degree, pieces + degree + 1) / pieces
    spline = BSpline(knots, np.eye(count), degree)
    return np.asarray((spline.derivative(derivative) if derivative else spline)(np.clip(at, 0, 1)))


def roughness(count: int, order: int = 2) -> np.ndarray:
    """Return the (count, count) penalty of squared differences of coefficients; at order 2 straight lines have none."""
    differences = np.diff(np.eye(count), order, axis=0) if count > order else np.zeros((0, count))
    return differences.T @ differences


def bending(count: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """Return two priors of curves that may be bent from end to end; straight lines cost nothing.

    With one penalty for all bending, what keeps a curve smooth also straightens a bend from end to end, which
    therefore has a strength of its own. All that differs from it costs second differences in the first prior, so that
    ends are rather straight, and third ones in the second, so that ends go on bending.
    """
    if count < 4:
        return ((roughness(count),),)
    place = np.linspace(-1, 1, count)
    even = np.linalg.qr(np.vander(place, 3, increasing=True))[0]
    bend = np.outer(even[:, 2], even[:, 2])
    rest = np.eye(count) - even @ even.T
    return (bend, rest @ roughness(count) @ rest), (bend, roughness(count, 3))


def fit_penalised(
    basis: np.ndarray,
    priors: tuple[tuple[np.ndarray, ...], ...],
    points: np.ndarray,
    across: int,
    expected_noise: float,
) -> PenalisedFit:
    """Return the mean over priors and over the strengths of their penalties, weighted as the points decide.

    A stiff spline is believed until the points say otherwise: strengths of one prior have the weight of their
    evidence, priors that of how well they predict each point from the others, which the evidence of a few points does
    not show at the ends. How certain the result is includes not knowing the stiffness.

    Parameters
    ----------
    basis : (n, p) array
        Of the spline, at the points.
    priors : tuple of tuples of (p, p) arrays
        The penalties of each prior, for instance one along each parameter; those of one prior commute.
    points : (n, d) array
        About their mean.
    across : int
        In how many directions points lie off the spline: 2 of a curve in space, 1 of a sheet.
    expected_noise : float
        Standard deviation of the points, > 0; it counts as much as a few points.

    References
    ----------
    Eilers & Marx, Flexible smoothing with B-splines and penalties, Statistical Science 11 (1996); the marginal
    likelihood is that of Wood, Fast stable restricted maximum likelihood, J. R. Statist. Soc. B 73 (2011), Eq. 4.
    Leaving one point out: Craven & Wahba, Smoothing noisy data with spline functions, Numer. Math. 31 (1979).
    """
    fits = [_fit_strengths(basis, penalties, points, across, expected_noise) for penalties in priors]
    predicted = [_log_prediction(basis, fit, points, across, expected_noise) for fit in fits]
    weights = _normalised(np.array(predicted))
    kept = [(w * v, one) for w, fit in zip(weights, fits, strict=True) for v, one in fit if w > 0]
    mean = np.asarray(sum(w * one.coefficients for w, one in kept))
    covariance = np.zeros((basis.shape[1],) * 2)
    for w, one in kept:
        off = one.coefficients - mean
        covariance += w * (one.noise**2 * np.linalg.inv(one.matrix) + off @ off.T / across)
    return PenalisedFit(mean, covariance, float(sum(w * one.noise for w, one in kept)))


def _normalised(logarithms: np.ndarray) -> np.ndarray:
    """Return weights of sum 1, without those that hardly count."""
    weights = np.exp(logarithms - logarithms.max())
    weights[weights < WORTH] = 0
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class _OneStiffness:
    coefficients: np.ndarray
    matrix: np.ndarray
    noise: float
    evidence: float


def _fit_strengths(
    basis: np.ndarray, penalties: tuple[np.ndarray, ...], points: np.ndarray, across: int, expected_noise: float
) -> list[tuple[float, _OneStiffness]]:
    """Return the likely fits of one prior, each with the weight of its evidence."""
    normal, right = basis.T @ basis, basis.T @ points
    penalties = tuple(np.trace(normal) / max(np.trace(one), 1e-12) * one for one in penalties)
    # penalties that commute share their eigenvectors
    _, vectors = np.linalg.eigh(sum((k + 1) * one for k, one in enumerate(penalties)))
    strengths = [np.maximum(np.einsum("ij,ik,kj->j", vectors, one, vectors), 0.0) for one in penalties]
    held = np.sum(strengths, axis=0) > FLAT * np.sum(strengths, axis=0).max(initial=0)
    free = across * max(len(points) - int((~held).sum()), 0) + EXPECTED
    found = []
    for ratios in np.stack(np.meshgrid(*[RATIOS] * len(penalties), indexing="ij"), -1).reshape(-1, len(penalties)):
        penalty = sum(r * one for r, one in zip(ratios, penalties, strict=True))
        volume = float(np.sum(np.log(sum(r * one[held] for r, one in zip(ratios, strengths, strict=True)))))
        found.append(_with_penalty(normal, right, points, penalty, (volume, free, across), expected_noise))
    weights = _normalised(np.array([one.evidence for one in found]))
    return [(float(w), one) for w, one in zip(weights, found, strict=True) if w > 0]


def _log_prediction(
    basis: np.ndarray,
    fit: list[tuple[float, _OneStiffness]],
    points: np.ndarray,
    across: int,
    expected_noise: float,
) -> float:
    """Return the logarithm, up to a constant, of how probable each point is given the others."""
    influence = np.asarray(sum(w * basis @ np.linalg.solve(one.matrix, basis.T) for w, one in fit))
    left = np.maximum(1 - np.diag(influence), 1e-6)[:, None]
    off = (points - influence @ points) / left
    count = across * len(points) + EXPECTED
    return float(-count / 2 * np.log((np.sum(off**2) + EXPECTED * expected_noise**2) / count))


def _with_penalty(
    normal: np.ndarray,
    right: np.ndarray,
    points: np.ndarray,
    penalty: np.ndarray,
    prior: tuple[float, float, int],
    expected_noise: float,
) -> _OneStiffness:
    """Return the fit for one penalty, with the logarithm of its evidence up to a constant.

    `prior` holds the logarithm of the penalty's volume, the degrees of freedom and the directions across.
    """
    from scipy.linalg import cho_factor, cho_solve

    matrix = normal + penalty + 1e-9 * np.trace(normal) / len(normal) * np.eye(len(normal))
    try:
        factor = cho_factor(matrix)
    except np.linalg.LinAlgError:
        raise ModelError("These points do not determine a smooth curve or sheet; are many the same?") from None
    coefficients = cho_solve(factor, right)
    log_penalty, free, across = prior
    # at its minimum, |points - fit|² + penalty is |points|² - right · coefficients
    cost = max(float(np.sum(points**2) - np.sum(right * coefficients)), 0.0)
    square = (cost + EXPECTED * expected_noise**2) / free
    log_volume = 2 * float(np.sum(np.log(np.diag(factor[0]))))
    evidence = -free / 2 * np.log(square) + across / 2 * (log_penalty - log_volume)
    return _OneStiffness(coefficients, matrix, float(np.sqrt(square)), float(evidence))
