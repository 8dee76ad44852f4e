"""Poses of particles, and their two halves."""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Poses:
    """Positions and orientations of particles, with what is known of their certainty.

    Attributes
    ----------
    rotations : (n, 3, 3) array
        tomogram = R @ reference, on x, y, z.
    shifts : (n, 3) array
        x, y, z of the particle's centre from the box's centre voxel, in voxels.
    half : (n,) array of 1 and 2
    score : (n,) array
        Log likelihood ratio of the particle against noise alone, per measured frequency.
    angle_spread, shift_spread : (n,) arrays
        Standard deviation of the posterior: degrees (about any axis, the root mean square), voxels.
    certainty : (n,) array
        Posterior probability of the best pose's peak.
    """

    rotations: np.ndarray
    shifts: np.ndarray
    half: np.ndarray
    score: np.ndarray = field(default_factory=lambda: np.zeros(0))
    angle_spread: np.ndarray = field(default_factory=lambda: np.zeros(0))
    shift_spread: np.ndarray = field(default_factory=lambda: np.zeros(0))
    certainty: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        n = len(self.rotations)
        for name in ("score", "angle_spread", "shift_spread", "certainty"):
            if len(getattr(self, name)) != n:
                object.__setattr__(self, name, np.zeros(n))

    def __len__(self) -> int:
        return len(self.rotations)

    def copy(self) -> "Poses":
        """Return poses with arrays of their own."""
        return replace(self, **{name: np.array(value) for name, value in vars(self).items()})


def assign_halves(n: int, seed: int, given: np.ndarray | None = None, together: np.ndarray | None = None) -> np.ndarray:
    """Return 1 or 2 for every particle: kept where given, else at random in halves of equal size.

    Parameters
    ----------
    n : int
    seed : int
    given : (n,) array, optional
        1 and 2 stay; 0 is assigned.
    together : (n,) int array, optional
        Particles with one label (duplicates) come into one half.
    """
    label = np.arange(n) if together is None else np.unique(together, return_inverse=True)[1]
    groups = int(label.max()) + 1 if n else 0
    chosen = np.zeros(groups, int)
    if given is not None:
        chosen[label[given > 0]] = np.asarray(given)[given > 0]
    free = np.flatnonzero(chosen == 0)
    order = np.random.default_rng(seed).permutation(len(free))
    # the smaller half first, so that both end equal
    first = 1 if (chosen == 1).sum() <= (chosen == 2).sum() else 2
    chosen[free[order]] = np.where(np.arange(len(free)) % 2 == 0, first, 3 - first)
    return chosen[label]
