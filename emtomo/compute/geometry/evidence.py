"""Least squares with a prior whose strength the points decide."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STRENGTHS = np.geomspace(0.005, 1.0, 15)
NEWTON_STEPS = 15
FINITE = 1e-6
DOUBT = 3.0  # points that the expected noise counts for


@dataclass(frozen=True)
class Regularised:
    """Parameters of least squares with a prior, and how certain they are.

    Attributes
    ----------
    values : (p,) array
    covariance : (p, p) array
        Of the values, given the points.
    noise : float
        Standard deviation of the residuals.
    strength : float
        Standard deviation of the prior, mean over the evidence.
    """

    values: np.ndarray
    covariance: np.ndarray
    noise: float
    strength: float


def with_evidence(
    residuals: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    held: np.ndarray,
    *,
    expected_noise: float = 0.0,
    least_noise: float = 1e-9,
) -> Regularised:
    """Return least squares in which some parameters have a normal prior about 0, whose width the points decide.

    For each width the noise is that of the residuals, freed of the parameters that the points determine. The result
    is the mean over all widths, each with the weight of its evidence (Laplace's approximation): how certain it is
    includes not knowing the width.

    Parameters
    ----------
    residuals : callable
        (k, p) sets of parameters to (k, n) residuals, all of one noise.
    start : (p,) array
    held : (p,) bool array
        Which parameters have the prior.
    expected_noise : float
        Standard deviation of the residuals that was expected; it counts as much as a few points. 0: none was.
    least_noise : float
        The noise is never below.

    References
    ----------
    MacKay, Bayesian interpolation, Neural Computation 4 (1992), Eq. 4.1-4.9.
    """
    found, evidence = [], []
    for strength in STRENGTHS[::-1]:
        one, likelihood = _with_strength(residuals, start, held, float(strength), expected_noise, least_noise)
        start = one.values
        found.append(one)
        evidence.append(likelihood)
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    values = sum(w * one.values for w, one in zip(weights, found, strict=True))
    covariance = sum(
        w * (one.covariance + np.outer(one.values - values, one.values - values))
        for w, one in zip(weights, found, strict=True)
    )
    noise, strength = (float(np.sum(weights * [getattr(one, n) for one in found])) for n in ("noise", "strength"))
    return Regularised(np.asarray(values), np.asarray(covariance), noise, strength)


def _with_strength(
    residuals: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    held: np.ndarray,
    strength: float,
    expected_noise: float,
    least_noise: float,
) -> tuple[Regularised, float]:
    values = np.array(start, float)
    values[held] = np.clip(values[held], -3 * strength, 3 * strength)
    off = residuals(values[None])[0]
    steps = FINITE * np.eye(len(values))
    n, prior = len(off), np.where(held, 1 / strength**2, 0.0)
    doubt = DOUBT if expected_noise > 0 else 0.0
    noise = max(float(np.sqrt(np.mean(off**2))), least_noise)
    damping = 1e-6

    def cost(here: np.ndarray, away: np.ndarray) -> float:
        return float(np.sum(away**2) / noise**2 + np.sum(prior * here**2))

    hessian = np.eye(len(values))
    for _ in range(NEWTON_STEPS):
        slope = ((residuals(values + steps) - residuals(values - steps)) / (2 * FINITE)).T
        curvature = slope.T @ slope
        hessian = curvature / noise**2 + np.diag(prior)
        gradient = slope.T @ off / noise**2 + prior * values
        before, change = cost(values, off), np.zeros_like(values)
        for _ in range(8):
            change = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            there = residuals((values + change)[None])[0]
            if cost(values + change, there) <= before:
                values, off, damping = values + change, there, max(damping / 10, 1e-9)
                break
            damping *= 10
        determined = len(values) - float(np.trace(np.linalg.pinv(hessian) @ np.diag(prior)))
        freedom = max(n + doubt - determined, 0.5)
        noise = max(float(np.sqrt((np.sum(off**2) + doubt * expected_noise**2) / freedom)), least_noise)
        if np.abs(change).max() < 1e-6:
            break
    covariance = np.linalg.pinv(hessian)
    _, log_volume = np.linalg.slogdet(hessian)
    evidence = (
        -(n + doubt) * np.log(noise)
        - (np.sum(off**2) + doubt * expected_noise**2) / (2 * noise**2)
        - np.sum(prior * values**2) / 2
        - held.sum() * np.log(strength)
        - log_volume / 2
    )
    return Regularised(values, covariance, noise, strength), float(evidence)
