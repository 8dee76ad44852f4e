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


def bending(count: int) -> tuple[np.ndarray, ...]:
    """Return the penalties of one bend from end to end, and of all that differs from it; straight lines have none.

    With one penalty for both, what keeps a curve smooth also straightens its bend.
    """
    if count < 4:
        return (roughness(count),)
    place = np.linspace(-1, 1, count)
    bend = np.linalg.qr(np.vander(place, 3, increasing=True))[0][:, 2]
    return np.outer(bend, bend), roughness(count, 3)


def fit_penalised(
    basis: np.ndarray,
    penalties: tuple[np.ndarray, ...],
    points: np.ndarray,
    across: int,
    expected_noise: float,
) -> PenalisedFit:
    """Return the mean over strengths of the penalties, each with the weight of its evidence.

    A stiff spline is believed until the points say otherwise. How certain the result is includes not knowing the
    stiffness.

    Parameters
    ----------
    basis : (n, p) array
        Of the spline, at the points.
    penalties : tuple of (p, p) arrays
        Along each parameter; they commute.
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
    """
    normal, right = basis.T @ basis, basis.T @ points
    penalties = tuple(np.trace(normal) / max(np.trace(one), 1e-12) * one for one in penalties)
    # penalties that commute share their eigenvectors
    _, vectors = np.linalg.eigh(sum((k + 1) * one for k, one in enumerate(penalties)))
    strengths = [np.maximum(np.einsum("ij,ik,kj->j", vectors, one, vectors), 0.0) for one in penalties]
    held = np.sum(strengths, axis=0) > FLAT * np.sum(strengths, axis=0).max(initial=0)
    choices = np.stack(np.meshgrid(*[RATIOS] * len(penalties), indexing="ij"), -1).reshape(-1, len(penalties))
    found = []
    for ratios in choices:
        penalty = sum(r * one for r, one in zip(ratios, penalties, strict=True))
        volume = float(np.sum(np.log(sum(r * one[held] for r, one in zip(ratios, strengths, strict=True)))))
        free = across * max(len(points) - int((~held).sum()), 0) + EXPECTED
        found.append(_with_penalty(normal, right, points, penalty, (volume, free, across), expected_noise))
    evidence = np.array([one.evidence for one in found])
    weights = np.exp(evidence - evidence.max())
    weights[weights < WORTH] = 0
    weights /= weights.sum()
    kept = [(w, one) for w, one in zip(weights, found, strict=True) if w > 0]
    mean = np.asarray(sum(w * one.coefficients for w, one in kept))
    covariance = np.zeros_like(normal)
    for w, one in kept:
        off = one.coefficients - mean
        covariance += w * (one.noise**2 * np.linalg.inv(one.matrix) + off @ off.T / across)
    return PenalisedFit(mean, covariance, float(sum(w * one.noise for w, one in kept)))


@dataclass(frozen=True)
class _OneStiffness:
    coefficients: np.ndarray
    matrix: np.ndarray
    noise: float
    evidence: float


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
