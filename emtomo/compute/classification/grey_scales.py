"""Noise spectra and contrasts of groups of particles."""

import numpy as np

SHRINK = 10.0  # particles that a group's spectrum must have to count as much as the spectrum of all
NARROW = (0.5, 2.0)  # limits of contrasts
LEAST_NOISE = 1e-3  # of the last estimate


class GreySums:
    """Sums over particles from which grey scales are estimated.

    Attributes
    ----------
    count : (groups,) int array
        Particles.
    total : (groups, shells) array
        Sum of their shells' mean power.
    cross, power : (groups, shells) arrays
        Products of images with what explains them, and of that with itself, over the noise.
    counts : (shells,) int array
        Frequencies in each shell.
    """

    def __init__(self, groups: int, counts: np.ndarray) -> None:
        self.count, self.counts = np.zeros(groups, int), counts
        self.total, self.cross, self.power = (np.zeros((groups, len(counts))) for _ in range(3))

    def add(self, group: np.ndarray, power: np.ndarray) -> None:
        """Add the shells' mean power (m, shells) of particles of some groups (m,)."""
        self.count += np.bincount(group, minlength=len(self.count))
        np.add.at(self.total, group, power)

    def combine(self, other: "GreySums") -> "GreySums":
        """Return the sums over the particles of both."""
        both = GreySums(len(self.count), self.counts)
        for name in ("count", "total", "cross", "power"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both


def new_noise(sums: GreySums, old: np.ndarray | None) -> np.ndarray:
    """Return noise spectra (groups, shells): what the averages do not explain; `old` are those used before."""
    explained = 0.0 if old is None else old * (2 * sums.cross - sums.power) / np.maximum(sums.counts, 1)
    left = sums.total - explained
    everything = left.sum(0) / max(1, sums.count.sum())
    noise = (left + SHRINK * everything) / (sums.count + SHRINK)[:, None]
    noise[:, 0] = noise[:, 1] if noise.shape[1] > 1 else 1.0  # the mean is never compared
    if old is None:
        return np.maximum(noise, 1e-12)
    return np.maximum(noise, LEAST_NOISE * old)


def new_contrast(sums: GreySums, old: np.ndarray) -> np.ndarray:
    """Return the contrast (groups,) that fits the averages best; their mean over particles is 1."""
    cross, power = sums.cross.sum(1), sums.power.sum(1)
    few = SHRINK * power.sum() / max(1, sums.count.sum())
    ratio = np.where(power > 0, (cross + few) / np.maximum(power + few, 1e-30), 1.0)
    contrast = np.clip(old * ratio, *NARROW)
    if sums.count.sum() == 0:
        return old
    return np.asarray(contrast / np.average(contrast, weights=np.maximum(sums.count, 1e-9)))
