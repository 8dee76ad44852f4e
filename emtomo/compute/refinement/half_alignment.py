"""Keep a half set's reference where the first reference stood, along the axes that nothing else fixes."""

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.kernels.fourier_cpu import rotate
from emtomo.compute.symmetry import drift_axes

LARGEST_TURN = 10.0  # degrees; a drift does not come in such leaps
IDENTITY = (np.eye(3), np.zeros(3))
# both volumes are compared in this orientation: in their own one, no frequency lies between voxels,
# interpolation does not weaken noise there, and any turn away would look like a gain
OBLIQUE = rotate(np.eye(3), np.array([0.4, 0.3, 0.2]))


def align_half(reference: np.ndarray, first: np.ndarray, radius: float, symmetry: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the turn and the shift (voxels) that bring `reference` onto `first`.

    first(x) = reference(turn.T (x - shift)). Identity where the symmetry fixes the frame, or
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
    _, pose, apply_phase_shift, _ = fourier_cpu.newton_ascent(
        transform, np.float32(PAD), coefficients.k, d, w, size, OBLIQUE, np.zeros(3), OBLIQUE, np.zeros(3),
        np.array([1 / np.deg2rad(LARGEST_TURN) ** 2, 1.0]), np.array([0.1, 1.0]), 12,
    )  # fmt: skip
    from scipy.spatial.transform import Rotation

    turn, shift = OBLIQUE.T @ pose, OBLIQUE.T @ apply_phase_shift
    vector = Rotation.from_matrix(turn).as_rotvec() * free
    if np.rad2deg(np.linalg.norm(vector)) > LARGEST_TURN:
        return IDENTITY
    return Rotation.from_rotvec(vector).as_matrix(), shift * free


def _section(transform: np.ndarray, coefficients: FourierCoefficients) -> np.ndarray:
    out = np.empty((1, 2 * len(coefficients)), np.float32)
    fourier_cpu.sections(transform, np.float32(PAD), coefficients.k, OBLIQUE[None].astype(np.float32), out)
    return out.view(np.complex64)[0]
