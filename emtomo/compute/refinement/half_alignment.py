"""Keep a half set's reference where the first reference stood, along the axes that nothing else fixes."""

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.likelihood.newton import ascend_box
from emtomo.compute.symmetry import drift_axes

LARGEST_DRIFT = 10.0  # degrees; a drift does not come in such leaps
STEPS = 12  # of the ascent, at most
IDENTITY = (np.eye(3), np.zeros(3))
# both volumes are compared in this orientation (exp of the rotation vector 0.4, 0.3, 0.2): in their own one, no
# frequency lies between voxels, interpolation does not weaken noise there, and any rotation away would look like a gain
OBLIQUE = np.array(
    [
        [0.9365557269934556, -0.13190859175670216, 0.32475143364814213],
        [0.24903648038416887, 0.9023934261437778, -0.35166309998400436],
        [-0.24666617456316434, 0.4102270442977377, 0.8779917826797222],
    ]
)


def align_half(reference: np.ndarray, first: np.ndarray, radius: float, symmetry: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation and the shift (voxels) that bring `reference` onto `first`.

    first(x) = reference(rotation.T (x - shift)). Identity where the symmetry fixes the frame, or
    where the volumes are too unlike to tell.

    Parameters
    ----------
    reference, first : (n, n, n) arrays
    radius : float
        Shells that are compared.
    symmetry : str
    """
    free = drift_axes(symmetry)
    if not free.any() or not reference.any():
        return IDENTITY
    size = first.shape[0]
    coefficients = FourierCoefficients(size, radius)
    transform = transform_padded(reference, radius)
    data, model = _section(transform_padded(first, radius), coefficients), _section(transform, coefficients)
    power = float((np.abs(model) ** 2).sum())
    scale = float((data * model.conj()).real.sum()) / max(power, 1e-30)
    if scale <= 0:
        return IDENTITY
    rest = np.abs(data - scale * model) ** 2
    noise = max(float(rest.mean()), 1e-6 * float((np.abs(data) ** 2).mean()), 1e-30)
    d = (scale * data / noise).astype(np.complex64)
    w = np.full(len(coefficients), scale**2 / noise, np.float32)
    prior = OBLIQUE, np.zeros(3), np.array([1 / np.deg2rad(LARGEST_DRIFT) ** 2, 1.0])
    pose = ascend_box(transform, coefficients.k, d, w, size, (OBLIQUE, np.zeros(3)), prior, (0.1, 1.0), STEPS)
    from scipy.spatial.transform import Rotation

    rotation, shift = OBLIQUE.T @ pose[0], OBLIQUE.T @ pose[1]
    vector = Rotation.from_matrix(rotation).as_rotvec() * free
    if np.rad2deg(np.linalg.norm(vector)) > LARGEST_DRIFT:
        return IDENTITY
    return Rotation.from_rotvec(vector).as_matrix(), shift * free


def _section(transform: np.ndarray, coefficients: FourierCoefficients) -> np.ndarray:
    from emtomo.compute.kernels import fourier_cpu

    out = np.empty((1, 2 * len(coefficients)), np.float32)
    fourier_cpu.sections(transform, np.float32(PAD), coefficients.k, OBLIQUE[None].astype(np.float32), out)
    return out.view(np.complex64)[0]
