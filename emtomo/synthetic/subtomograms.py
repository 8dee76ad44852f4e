"""Subtomograms of a known volume in known poses, with missing wedge and noise."""

import numpy as np

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded


def simulate_subtomograms(
    volume: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    noise: float,
    seed: int,
    tilt_range: tuple[float, float] = (-60.0, 60.0),
) -> np.ndarray:
    """Return boxes in which the volume stands in given poses, measured within a tilt range about y.

    Parameters
    ----------
    volume : (n, n, n) array
    rotations : (m, 3, 3) array
        tomogram = R @ reference.
    shifts : (m, 3) array
        x, y, z of the centre from voxel ``n // 2``, in voxels.
    noise : float
        Standard deviation of a voxel's noise before the wedge takes its part away.
    seed : int
    tilt_range : (float, float)
        Degrees.

    Returns
    -------
    (m, n, n, n) float32 array
    """

    from scipy.fft import irfftn, rfftn

    from emtomo.compute.kernels import fourier_cpu

    n = volume.shape[0]
    coefficients = FourierCoefficients(n, n / 2)
    transform = transform_padded(volume, n / 2)
    wedge = wedge_weights(n, np.eye(3)[None], np.array([tilt_range[0]]), np.array([tilt_range[1]]))
    rng = np.random.default_rng(seed)
    out = np.empty((len(rotations), n, n, n), np.float32)
    section = np.empty((1, 2 * len(coefficients)), np.float32)
    mean = float(volume.sum())
    for i, (rotation, shift) in enumerate(zip(rotations, shifts, strict=True)):
        fourier_cpu.sections(transform, np.float32(PAD), coefficients.k, rotation[None].astype(np.float32), section)
        turns = coefficients.k.astype(float) @ (np.asarray(shift) + n // 2) / n
        spectrum = np.zeros((n, n, n // 2 + 1), np.complex64)
        spectrum.reshape(-1)[coefficients.index] = section.view(np.complex64)[0] * np.exp(-2j * np.pi * turns)
        # what the packing leaves out of the plane x = 0 is the conjugate of what it holds
        plane = spectrum[:, :, 0]
        mirror = np.conj(np.roll(plane[::-1, ::-1], (1, 1), axis=(0, 1)))
        spectrum[:, :, 0] = np.where(plane == 0, mirror, plane)
        spectrum[0, 0, 0] = mean
        spectrum += rfftn(rng.normal(0, noise, (n, n, n)).astype(np.float32)) if noise else 0
        out[i] = irfftn(spectrum * wedge, (n, n, n))
    return out
