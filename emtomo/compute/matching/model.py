"""What is looked for: a reference and its mask."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.filters import ball
from emtomo.compute.masks import otsu
from emtomo.errors import EmtomoError


@dataclass(frozen=True)
class MaskedReference:
    """What is looked for.

    Attributes
    ----------
    reference : (n, n, n) float32 array
        White, at the tomogram's sampling, centre at ``n // 2``.
    mask : (n, n, n) float32 array
    radius : float
        Of the mask, in voxels.
    """

    reference: np.ndarray
    mask: np.ndarray
    radius: float

    @classmethod
    def of(cls, reference: np.ndarray, mask: np.ndarray) -> "MaskedReference":
        """Check a reference and its mask and crop both to what the mask leaves.

        Raises
        ------
        EmtomoError
            If the mask is empty or the reference has no contrast within it.
        """
        n = reference.shape[0]
        if mask.shape != reference.shape:
            raise EmtomoError(f"The mask must have the reference's size {reference.shape}, got {mask.shape}.")
        if not np.isfinite(reference).all() or not np.isfinite(mask).all():
            raise EmtomoError("The reference or the mask holds values that are no numbers.")
        off = np.indices(mask.shape, np.float32) - n // 2
        distance = np.sqrt((off**2).sum(axis=0))
        inside = mask > 1e-3
        if not inside.any() or float(mask.max()) <= 0:
            raise EmtomoError("The mask is empty: none of its values is above zero.")
        radius = float(distance[mask > 0.5].max()) if (mask > 0.5).any() else float(distance[inside].max())
        within = reference[mask > 0.5] if (mask > 0.5).any() else reference[inside]
        if float(within.std()) <= 1e-6 * max(float(np.abs(within).max()), 1e-30):
            raise EmtomoError("The reference has no contrast within the mask: its values there are all the same.")
        half = min(n // 2, int(np.ceil(distance[inside].max())) + 1)
        cut = (slice(n // 2 - half, min(n, n // 2 + half + 1)),) * 3
        return cls(np.ascontiguousarray(reference[cut], np.float32), np.ascontiguousarray(mask[cut]), radius)


def automatic_mask(reference: np.ndarray) -> np.ndarray:
    """Return a sphere about the centre that holds the reference's density, with a soft edge of two voxels."""
    n = reference.shape[0]
    off = np.indices(reference.shape, np.float32) - n // 2
    distance = np.sqrt((off**2).sum(axis=0))
    inside = (reference >= otsu(reference)) & (distance <= n // 2)
    radius = float(np.quantile(distance[inside], 0.995)) + 2 if inside.any() else n / 2
    return ball(n, min(radius, n // 2 - 2), 2.0)
