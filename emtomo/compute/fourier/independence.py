"""Whether two half maps can be independent of each other: what only copies show."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfftn, rfftn

EQUAL_VOXELS = 0.01  # of those that are not 0, exactly the same in both: chance has none in 32-bit numbers
DISTINCT = 0.5  # of the equal voxels that differ among themselves: fewer are constants, or bytes
SHIFTED_COPY = 0.999  # correlation at the best shift
ALL_SHELLS = 0.99  # correlation that noise does not leave in nearly all shells up to Nyquist
NEARLY_ALL = 0.9
SAMPLES = 10.0  # independent Fourier coefficients in the shell of the resolution, below which noise agrees by chance


def find_dependence(a: np.ndarray, b: np.ndarray, unmasked: np.ndarray) -> str:
    """Return a sentence if two maps cannot be independent half maps, empty if they may be.

    Parameters
    ----------
    a, b : (n, n, n) arrays
    unmasked : (n // 2 + 1,) array
        Their Fourier shell correlation.
    """
    held = np.count_nonzero((a != 0) | (b != 0))
    equal = a[(a == b) & (a != 0)]
    if held and len(equal) > EQUAL_VOXELS * held and len(np.unique(equal)) > DISTINCT * len(equal):
        return (
            f"{100 * len(equal) / held:.0f} % of the voxels are exactly the same in both maps: they are no independent "
            "half maps, and their correlation is no resolution."
        )
    shift = _shift_of_copy(a, b)
    if any(shift):
        shown = ", ".join(f"{v:g}" for v in shift)
        return f"One map is the other, shifted by {shown} voxels along x, y, z: they are no independent half maps."
    if (unmasked[1:] > ALL_SHELLS).mean() > NEARLY_ALL:
        return (
            f"The maps agree by more than {ALL_SHELLS:g} up to Nyquist, as filtered copies of one map do: if they are "
            "half maps, they are not independent."
        )
    return ""


def _shift_of_copy(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int]:
    """Return the shift in whole voxels (x, y, z) that makes a map the other one; 0 if none does."""
    fa, fb = (rfftn(np.asarray(one - one.mean(), np.float32), workers=threads()) for one in (a, b))
    power = float(a.size) * float(a.std()) * float(b.std())
    if not power > 0:
        return 0, 0, 0
    correlation = irfftn(fb * fa.conj(), a.shape, workers=threads())
    best = np.unravel_index(int(np.argmax(correlation)), a.shape)
    if correlation[best] < SHIFTED_COPY * power:
        return 0, 0, 0
    z, y, x = (int(k) if k <= n // 2 else int(k) - n for k, n in zip(best, a.shape, strict=True))
    return x, y, z


def find_too_few_samples(mask: np.ndarray, shell: float) -> str:
    """Return a sentence if a mask is so small that the noise within it agrees by chance, empty if it is not.

    A shell of radius s has about 2 π s² independent coefficients, of which a mask leaves its share of the box.

    Parameters
    ----------
    mask : (n, n, n) array
    shell : float
        Of the resolution.
    """
    weight = np.asarray(mask, float)
    share = float(weight.sum()) ** 2 / max(float((weight**2).sum()), 1e-30) / weight.size
    if 2 * np.pi * shell**2 * share >= SAMPLES:
        return ""
    return (
        f"The mask holds {share * weight.size:.0f} voxels, too few for a resolution: what lies within agrees by chance."
    )
