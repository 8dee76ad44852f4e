"""Tomograms with copies of a molecule in known places."""

import numpy as np
from scipy import fft
from scipy.spatial.transform import Rotation

from emtomo.compute.matching.weighting import frequencies, wedge_transfer
from emtomo.compute.rotations import random_rotations
from emtomo.synthetic.shapes import place
from tests.compute.refinement.data import blobs

MOLECULE = blobs(25, seed=5, count=16)
RADIUS = 9.5


def mask(n: int = 25, radius: float = RADIUS) -> np.ndarray:
    """Return a soft sphere."""
    off = np.indices((n,) * 3) - n // 2
    return np.clip(radius + 0.5 - np.sqrt((off**2).sum(axis=0)), 0, 1).astype(np.float32)


def tomogram(
    shape: tuple[int, int, int],
    places: np.ndarray,
    rotations: np.ndarray,
    snr: float,
    seed: int,
    molecule: np.ndarray = MOLECULE,
) -> np.ndarray:
    """Return copies at z, y, x with white noise, both measured from -60 to 60 degrees.

    `snr` is the ratio of the mean squares of a copy within its mask and of the noise there.
    """
    particle = (molecule - (molecule * mask(molecule.shape[0])).sum() / mask(molecule.shape[0]).sum()) * mask(
        molecule.shape[0]
    )
    clean = np.zeros(shape, np.float32)
    for at, rotation in zip(places, rotations, strict=True):
        place(clean, particle, at, rotation)
    kx, ky, kz = frequencies(shape)
    wedge = wedge_transfer(-60, 60)(kx, ky, kz)
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    power = float((particle[mask(molecule.shape[0]) > 0.5] ** 2).mean())
    return fft.irfftn(fft.rfftn(clean + noise * np.sqrt(power / snr)) * wedge, shape).astype(np.float32)


def spread(shape: tuple[int, int, int], count: int, seed: int, apart: float = 22) -> tuple[np.ndarray, np.ndarray]:
    """Return places (z, y, x, to a fraction of a voxel) apart from each other and from the border, and rotations."""
    rng = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    while len(found) < count:
        at = rng.uniform(12, np.array(shape) - 13)
        if all(np.linalg.norm(at - other) > apart for other in found):
            found.append(at)
    return np.array(found), random_rotations(count, seed)


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return degrees between rotations."""
    return np.rad2deg((Rotation.from_matrix(a).inv() * Rotation.from_matrix(b)).magnitude())
