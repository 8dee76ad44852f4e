"""Small particles with known truth."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from emtomo.compute.averaging import wedge_weights
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles, ImageParticles, ImageViews
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


def particles(volume: np.ndarray, count: int, noise: float, seed: int = 1) -> tuple[BoxParticles, Poses, np.ndarray]:
    """Return particles with missing wedge, their true poses, and the boxes themselves."""
    n = volume.shape[0]
    rotations = random_rotations(count, seed)
    shifts = np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 3))
    boxes = simulate_subtomograms(volume, rotations, shifts, noise, seed)
    weights = wedge(n)
    source = BoxParticles(n, PIXEL, lambda i: boxes[i], [0] * count, lambda key: weights, "wedge")
    return source, Poses(rotations, shifts, assign_halves(count, seed)), boxes


def ctf_of(n: int, defocus: float) -> np.ndarray:
    """Return a transfer function in the order of ``rfft2``, positive at low frequency, that changes its sign once."""
    y, x = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    return np.sin(0.5 + defocus * (x * x + y * y)).astype(np.float32)


def project(volume: np.ndarray, rotation: np.ndarray, shift: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """Return the projection along z of a volume turned by `rotation` and moved by `shift` (x, y), times a transfer."""
    n = volume.shape[0]
    coefficients = FourierCoefficients(n, n / 2, 2)
    section = np.empty((1, 2 * len(coefficients)), np.float32)
    reference = transform_padded(volume, n / 2)
    fourier_cpu.sections(reference, np.float32(PAD), coefficients.k, rotation[None].astype(np.float32), section)
    phase = np.exp(-2j * np.pi * (coefficients.k[:, :2] @ shift) / n) / coefficients.centre
    half = np.zeros(n * (n // 2 + 1), complex)
    half[coefficients.index] = section.view(np.complex64)[0] * phase
    half = half.reshape(n, n // 2 + 1)
    half[1:, 0] += np.conj(half[:0:-1, 0])  # the packed half of the line x = 0
    return np.fft.irfft2(half * transfer, (n, n))


class SimulatedSeries:
    """Images of particles in a tilt series (or untilted ones), with CTF, sub-pixel offsets and noise."""

    def __init__(self, volume: np.ndarray, poses: Poses, angles: np.ndarray, noise: float, seed: int) -> None:
        n, rng = volume.shape[0], np.random.default_rng(seed)
        self.tilts = Rotation.from_euler("y", np.asarray(angles, float)[:, None], degrees=True).as_matrix()
        self.tilts = self.tilts.reshape(-1, 3, 3)
        count = len(self.tilts)
        self.offsets = rng.uniform(-0.5, 0.5, (len(poses), count, 2))
        defocus = rng.uniform(14.0, 18.0, (len(poses), 1)) + np.linspace(-1, 1, count)
        self.weights = np.array([[ctf_of(n, d) for d in row] for row in defocus])
        self.images = np.empty((len(poses), count, n, n), np.float32)
        for i, (rotation, shift) in enumerate(zip(poses.rotations, poses.shifts, strict=True)):
            for t, tilt in enumerate(self.tilts):
                moved = (tilt @ shift)[:2] + self.offsets[i, t]
                self.images[i, t] = project(volume, tilt @ rotation, moved, self.weights[i, t])
        self.images += noise * self.images.std() * rng.normal(size=self.images.shape)

    def __call__(self, i: int) -> ImageViews:
        return ImageViews(self.images[i], self.tilts, self.weights[i], self.offsets[i])


class GroupedByTilt:
    """The images of particles, each tilt with a noise spectrum and a strength of its own."""

    def __init__(self, views: SimulatedSeries) -> None:
        self.views = views

    def __call__(self, i: int) -> ImageViews:
        one = self.views(i)
        return replace(one, noise_group=np.arange(len(one.images)))


def image_particles(
    volume: np.ndarray, count: int, noise: float, angles: np.ndarray, seed: int = 1
) -> tuple[ImageParticles, Poses]:
    """Return particles known from images at some tilt angles (degrees), and their true poses."""
    shifts = np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 3))
    poses = Poses(random_rotations(count, seed), shifts, assign_halves(count, seed))
    series = SimulatedSeries(volume, poses, angles, noise, seed)
    common = np.eye(3)[None] if len(series.tilts) == 1 else None
    n = volume.shape[0]
    source = ImageParticles(n, PIXEL, [len(series.tilts)] * count, series, common_rotations=common)
    return source, poses
