"""Particles' views as they are compared with a reference: normalised, packed, weighted."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.likelihood.views import ParticleSource, Views
from emtomo.errors import EmtomoError


@dataclass
class Measurement:
    """The views of some particles, packed; of a particle, rows ``first[b]`` to ``first[b + 1]``.

    Attributes
    ----------
    members : (b,) int array
        Numbers of the particles.
    first : (b + 1,) int array
    rotations : (v, 3, 3) array
        From the particle's frame into the view's.
    group : (v,) int array
        Noise groups.
    masked, data : (v, n) complex64 arrays
        Of the particle alone and of the whole box or image, multiplied with the weights' root.
    square : (v, n) float32 array
        Weights.
    d, w : (v, n) arrays
        Masked data and weights, divided by the noise's variance.
    """

    members: np.ndarray
    first: np.ndarray
    rotations: np.ndarray
    group: np.ndarray
    masked: Any
    data: Any
    square: Any
    d: Any
    w: Any

    def __len__(self) -> int:
        return len(self.members)


def normalise(views: Views, i: int, source: ParticleSource, outside: np.ndarray) -> Views:
    """Return views whose grey values in the flat indices `outside` have mean 0 each and deviation 1 all together.

    Raises
    ------
    EmtomoError
        If a view has another size, or a voxel is no number.
    """
    values, size = views.values, source.size
    if values.shape[1:] != (size,) * source.dimension:
        what = "box" if source.dimension == 3 else "image"
        raise EmtomoError(f"Particle {i + 1}: the {what} must be {size} voxels wide, got shape {values.shape[1:]}.")
    around = values.reshape(len(values), -1)[:, outside]
    mean, deviation = around.mean(axis=1, dtype=float), around.std(axis=1, dtype=float)
    if not np.isfinite(mean + deviation).all() or not np.isfinite(values).all():
        raise EmtomoError(f"Particle {i + 1}: there are voxels that are no numbers (NaN or infinite).")
    # one factor for all views of a particle, so that it does not change how strong they are beside each other
    whole = float(np.sqrt((deviation**2).mean()))
    expanded = mean.astype(np.float32).reshape(-1, *(1,) * source.dimension)
    return replace(views, values=(values - expanded) / np.float32(whole if whole > 1e-12 else 1.0))


def pack_weights(views: Views, i: int, source: ParticleSource, coefficients: FourierCoefficients) -> np.ndarray | None:
    """Return the packed weights of particle `i`, `(v, n)` or `(1, n)` float32; None where it has none."""
    if source.kind == "none":
        return None
    if views.weights is not None:
        return coefficients.pick(views.weights)
    return coefficients.pick(source.weights_of_key(source.weight_key(i))).astype(np.float32)[None]


def centre_views(values: np.ndarray, views: Views, coefficients: FourierCoefficients) -> np.ndarray:
    """Return packed views `(v, n)` with their origin at the particle's projected centre as it was read."""
    from emtomo.compute.kernels.fourier_cpu import shift_views

    if not views.offsets.any():
        return values
    moved = np.empty(values.shape, np.complex64)
    shift_views(coefficients.k, values, views.offsets, coefficients.size, moved)
    return moved
