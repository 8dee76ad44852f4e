"""What refinement needs to know of particles: boxes read when needed, weights, poses."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.errors import EmtomoError

KINDS = ("none", "wedge", "ctf", "ctf_squared")


@dataclass(frozen=True)
class Particles:
    """Boxes of one size, with their weights in Fourier space.

    Attributes
    ----------
    size : int
        Edge of the boxes in voxels.
    pixel_size : float
        Å per voxel.
    box : callable
        Number of a particle to its `(size, size, size)` box, particles white.
    weight_key : sequence
        For every particle what its weights are known by; particles with one key share them.
    weight : callable
        Key to weights, `(size, size, size // 2 + 1)` in the order of ``rfftn``; not called for kind none.
    kind : {"none", "wedge", "ctf", "ctf_squared"}
        What the weights are: nothing, 1 where measured, the CTF, its square.
    premultiplied : bool
        The boxes were multiplied with their CTF.
    """

    size: int
    pixel_size: float
    box: Callable[[int], np.ndarray]
    weight_key: Sequence[Hashable]
    weight: Callable[[Hashable], np.ndarray]
    kind: str = "none"
    premultiplied: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise EmtomoError(f"Weights must be one of {', '.join(KINDS)}, got {self.kind!r}.")

    def __len__(self) -> int:
        return len(self.weight_key)

    def statistics(self, values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return data D and weights W of packed values X: X = C V + noise gives D = C X, W = C^2.

        Premultiplied values are D already, and squared weights W. The noise of D has W times the noise's variance.
        """
        if weight is None:
            return values, np.ones(values.shape[-1:], np.float32)
        square = weight if self.kind == "ctf_squared" else weight * weight
        if self.premultiplied:
            return values, square
        return values * (np.sqrt(weight) if self.kind == "ctf_squared" else weight), square


@dataclass(frozen=True)
class Poses:
    """Where particles are and how they stand.

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
