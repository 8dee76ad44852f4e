"""A classification between two iterations, what is kept of each, and what is left in the end."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class ClassificationState:
    """All that the next iteration needs; saving it is saving the classification.

    Attributes
    ----------
    iteration : int
        How many are done.
    references : (K, n, n) float32 array
    share : (K,) array
        Probability of each class.
    resolved : (K,) array
        Shells.
    radius : float
        Shells that are compared next.
    sigma : float
        Standard deviation of shifts, pixels.
    noise : (groups, shells) array
    contrast : (groups,) array
    class_index : (p,) int array
        From 0; -1 as long as a particle was in no iteration.
    psi : (p,) array
        Degrees, as RELION's rlnAnglePsi.
    centre : (p, 2) array
        x, y in pixels of the particle from pixel ``n // 2``.
    certainty, gain : (p,) arrays
    data, weights, mass : arrays
        Sums of earlier mini-batches; empty where there are none.
    """

    iteration: int
    references: np.ndarray
    share: np.ndarray
    resolved: np.ndarray
    radius: float
    sigma: float
    noise: np.ndarray
    contrast: np.ndarray
    class_index: np.ndarray
    psi: np.ndarray
    centre: np.ndarray
    certainty: np.ndarray
    gain: np.ndarray
    data: np.ndarray
    weights: np.ndarray
    mass: np.ndarray


@dataclass(frozen=True)
class ClassificationMetrics:
    """Per-iteration metrics; resolutions in Å, the best class's (optimistic), changes as a share of the particles."""

    iteration: int
    particles: int
    resolution: float
    compared_to: float
    classes: int
    changed: float
    log_likelihood: float
    certainty: float
    shift_sigma: float
    seconds: float


@dataclass(frozen=True)
class ClassificationResult:
    """A finished classification.

    Attributes
    ----------
    averages : (K, n, n) float32 array
    class_index : (p,) int array
        From 0.
    psi : (p,) array
        Degrees by which the average is turned into the particle, from x towards y (RELION's with the other sign).
    shift : (p, 2) array
        x, y in pixels of the particle from pixel ``n // 2``.
    certainty : (p,) array
        Probability of the class.
    gain : (p,) array
        Log likelihood over that of noise alone.
    members : (K,) int array
    class_gain : (K,) array
        Mean gain of the members; nan of a class without any.
    explained : (K,) array
        Share of the members' power above the noise that the average explains, 0 to 1: little of junk that looks alike
        only by its density. 1 where there is no such power.
    resolution : (K,) array
        Å, where the signal-to-noise ratio falls below 1: optimistic, it is no FSC.
    metrics : list of ClassificationMetrics
    remarks : list of str
    """

    averages: np.ndarray
    class_index: np.ndarray
    psi: np.ndarray
    shift: np.ndarray
    certainty: np.ndarray
    gain: np.ndarray
    members: np.ndarray
    class_gain: np.ndarray
    explained: np.ndarray
    resolution: np.ndarray
    metrics: list[ClassificationMetrics] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def share(self) -> np.ndarray:
        """Members of each class over all particles."""
        return self.members / max(1, self.members.sum())
