"""Small particles with known truth."""

import numpy as np
from scipy.spatial.transform import Rotation

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.likelihood.views import Particles, Poses, assign_halves
from emtomo.compute.rotations import random_rotations
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.synthetic.subtomograms import simulate_subtomograms

PIXEL = 10.0


def blobs(n: int, symmetry: str = "C1", seed: int = 3, count: int = 14) -> np.ndarray:
    """Return Gaussian blobs at random places within a ball, with all their equivalents; deviation 1."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(count, 3))
    place *= (0.3 * n * rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(place, axis=1, keepdims=True)
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), axis=-1)[..., ::-1]
    out = np.zeros((n, n, n))
    width = rng.uniform(1.0, 1.6, count)
    for s in symmetry_rotations(symmetry):
        for p, w in zip(place @ s.T, width, strict=True):
            out += np.exp(-((grid - p) ** 2).sum(axis=-1) / (2 * w * w))
    return (out / out.std()).astype(np.float32)


def turned_by(rotations: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """Return rotations turned about random axes by an angle."""
    axes = np.random.default_rng(seed).normal(size=(len(rotations), 3))
    axes *= np.deg2rad(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    return rotations @ Rotation.from_rotvec(axes).as_matrix()


def wedge(n: int) -> np.ndarray:
    """Return the frequencies that tilts from -60 to 60 degrees measure."""
    return wedge_weights(n, np.eye(3)[None], np.array([-60.0]), np.array([60.0]))


def particles(volume: np.ndarray, count: int, noise: float, seed: int = 1) -> tuple[Particles, Poses, np.ndarray]:
    """Return particles with missing wedge, their true poses, and the boxes themselves."""
    n = volume.shape[0]
    rotations = random_rotations(count, seed)
    shifts = np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 3))
    boxes = simulate_subtomograms(volume, rotations, shifts, noise, seed)
    weights = wedge(n)
    source = Particles(n, PIXEL, lambda i: boxes[i], [0] * count, lambda key: weights, "wedge")
    return source, Poses(rotations, shifts, assign_halves(count, seed)), boxes
