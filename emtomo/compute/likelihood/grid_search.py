"""What particles are compared with on a grid of poses: views that all particles have in common, or their 3D sums.

A grid of orientations is searched with matrix products, for which all particles must be known at the same frequencies
of their own frames. Boxes are, and so are images whose views have the same rotations (single-particle images). The
views of a tilt series are first added up in the particle's frame, as in a back-projection; up to a shell
R < 3 T / 4 of T views that is also less to compare: 2 pi R^3 / 3 frequencies instead of T pi R^2 / 2.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, gridding_correction, margin, transform_padded
from emtomo.compute.likelihood.views import ParticleSource

_ONE = np.float32(1)


def searches_views(source: ParticleSource, radius: float) -> bool:
    """Return whether a grid within `radius` shells compares views as they are; else it compares their 3D sums."""
    if source.common_rotations is None:
        return False
    return source.dimension == 3 or radius >= 0.75 * len(source.common_rotations)


def grid_frequencies(source: ParticleSource, coefficients: FourierCoefficients, radius: float) -> np.ndarray:
    """Return the frequencies `(n, 3)` in particles' frames that a grid compares, float32.

    Parameters
    ----------
    source : ParticleSource
    coefficients : FourierCoefficients
        Of a view.
    radius : float
        Shells that are compared.
    """
    if not searches_views(source, radius):
        return FourierCoefficients(source.size, radius).k
    assert source.common_rotations is not None
    return points_in_particle(coefficients.k[coefficients.within(radius)], source.common_rotations)


def points_in_particle(k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return the frequencies of all views in the particle's frame, `(v n, 3)` float32; `k` (n, 3) are one view's."""
    return (k[None].astype(float) @ rotations).astype(np.float32).reshape(-1, 3)


def sum_views(k: np.ndarray, data: np.ndarray, weight: np.ndarray, rotations: np.ndarray, radius: float) -> np.ndarray:
    """Return sums of views' data and weights on the whole-numbered frequencies of the particle's frame.

    Parameters
    ----------
    k : (n, 3) array
        Frequencies of a view.
    data, weight : (v, n) arrays
    rotations : (v, 3, 3) array
    radius : float
        Shells.

    Returns
    -------
    (2 m + 1, 2 m + 1, m + 2, 4) float32 array
        As :func:`~emtomo.compute.fourier.reconstruction.empty_sums`, but not padded.
    """
    from emtomo.compute.kernels import fourier_cpu

    m = margin(radius, 1)
    sums = np.zeros((2 * m + 1, 2 * m + 1, m + 2, 4), np.float32)
    for one, values, weights in zip(rotations.astype(np.float32), data, weight, strict=True):
        fourier_cpu.insert(k, _ONE, values, weights, one, _ONE, sums)
    return sums


def pick_sums(sums: np.ndarray, k: np.ndarray, xp: ModuleType = np) -> tuple[np.ndarray, np.ndarray]:
    """Return data and weights of sums, `(..., 2 m + 1, 2 m + 1, m + 2, 4)`, at frequencies `k` (n, 3) with x >= 0.

    `xp` is the module of the arrays, numpy or cupy.
    """
    m = sums.shape[-2] - 2
    x, y, z = (xp.asarray(along) for along in np.rint(k).astype(int).T)
    own, opposite = sums[..., z + m, y + m, x, :], sums[..., m - z, m - y, x, :]
    # of a frequency on the plane x = 0 a part was added at the opposite point, conjugated
    plane = (x == 0).astype(np.float32)
    real, imaginary = own[..., 0] + plane * opposite[..., 0], own[..., 1] - plane * opposite[..., 1]
    data, weight = (real + 1j * imaginary).astype(np.complex64), own[..., 2] + plane * opposite[..., 2]
    return xp.ascontiguousarray(data), xp.ascontiguousarray(weight)


@dataclass(frozen=True)
class SearchReference:
    """The reference as a grid search compares it.

    Attributes
    ----------
    transform : complex64 array
        Padded, see :func:`~emtomo.compute.fourier.padded_reference.transform_padded`.
    weight_factor : (shells,) float32 array
        What weights are multiplied with, shell by shell.
    """

    transform: np.ndarray
    weight_factor: np.ndarray

    @classmethod
    def for_sums(cls, reference: np.ndarray, radius: float) -> "SearchReference":
        """Return the reference that sums of views are compared with.

        Sums take views' data to whole-numbered frequencies by trilinear weights, the adjoint of interpolation. That
        weakens the reference by a factor sinc^2 along each axis, by which the reference is divided beforehand (it is
        isotropic but for 1 % within two thirds of the box, so that the orientation does not matter). The expected
        power, which is interpolated itself, then is too large; the weights make up for it.
        """
        size = reference.shape[0]
        plain = transform_padded(reference, radius)
        corrected = transform_padded(np.asarray(reference, np.float32) / gridding_correction(size, 1), radius)
        m = plain.shape[0] // 2
        full, half = np.arange(-m, m + 1), np.arange(m + 2)
        k2 = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
        shell = np.rint(np.sqrt(k2) / PAD).astype(int).ravel()
        power = [np.bincount(shell, np.abs(one.ravel()) ** 2) for one in (plain, corrected)]
        return cls(corrected, (power[0] / np.maximum(power[1], 1e-30)).astype(np.float32))
