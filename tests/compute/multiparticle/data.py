"""A tiny tilt series of blobs with known geometry, simulated apart from the code under test."""

from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import transform_padded
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.multiparticle.images import References, SpeciesImages
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.rotations import random_rotations
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_rotations

IMAGE, VOLUME = (800.0, 700.0), (800.0, 700.0, 160.0)


def molecule(n, seed=0, count=14, pixel=8.0):
    """Return blobs without symmetry; deviation 1."""
    rng = np.random.default_rng(seed)
    centres, x = rng.normal(0, n / 9, (count, 3)), np.arange(n) - n // 2
    volume = np.zeros((n, n, n), np.float32)
    for centre in centres:
        d = [np.exp(-((x - c) ** 2) / (2 * (8.0 / pixel) ** 2)) for c in centre]
        volume += (rng.uniform(0.5, 1.5) * d[2][:, None, None] * d[1][None, :, None] * d[0]).astype(np.float32)
    return volume / volume.std()


def tilt_geometry(tilts=15, step=8.0, defocus=20000.0):
    """Return a geometry without errors; dose from the middle outwards."""
    angles = (np.arange(tilts) - tilts // 2) * step
    order = np.argsort(np.argsort(np.abs(angles), kind="stable"))
    ctf = Ctf(np.full(tilts, defocus), np.full(tilts, defocus), amplitude_contrast=0.07)
    return TiltGeometry(
        tilt_rotations(angles, np.full(tilts, 5.0)), np.zeros((tilts, 2)), ctf, 2.0 * order, order,
        np.zeros(tilts, bool), np.ones(tilts), pixel_size=8.0, image_size=IMAGE, volume_size=VOLUME,
    )  # fmt: skip


@dataclass
class Simulation:
    """Images of particles in the true state."""

    truth: SeriesState
    images: SpeciesImages
    molecule: np.ndarray
    deviation: float


def simulate(truth, start=None, n=32, pixel=8.0, radius=13.0, noise=3.0, seed=1, reference=None):
    """Return images of the true state in windows cut where `start` sees the particles.

    The noise's power is `noise` times that of the signal, a frequency.
    """
    rng = np.random.default_rng(seed)
    volume = molecule(n, pixel=pixel)
    coefficients = FourierCoefficients(n, radius, 2)
    fine = transform_padded(volume, radius + 1, 4)
    count, tilts = len(truth), len(truth.geometry)
    seen = truth.project()
    expected = (start or truth).project()[..., :2]
    corners = np.rint(expected / pixel) * pixel
    k = coefficients.k.astype(float)
    per = k[:, :2] / (n * pixel)
    weights = truth.geometry.weights(np.linalg.norm(per, axis=1))
    data = np.empty((count, tilts, len(k)), np.complex64)
    rotations = truth.image_rotations()
    if truth.geometry.magnification is not None:
        bigger = np.eye(3)
        bigger[:2, :2] = truth.geometry.magnification
        rotations = bigger @ rotations
    section = np.empty((1, 2 * len(k)), np.float32)
    for p in range(count):
        for t in range(tilts):
            fourier_cpu.sections(fine, np.float32(4), coefficients.k, rotations[p, t][None].astype(np.float32), section)
            height = truth.geometry.hand * seen[p, t, 2]
            ctf = truth.geometry.ctf[t].with_defocus_added(height).values(per[:, 0], per[:, 1], dtype=float)
            phase = np.exp(-2j * np.pi * per @ (seen[p, t, :2] - corners[p, t]))
            data[p, t] = section.view(np.complex64)[0] * ctf * weights[t] * phase
    deviation = float(np.sqrt(noise * (np.abs(data) ** 2).mean()))
    parts = rng.normal(0, deviation / np.sqrt(2), (*data.shape, 2))
    data += parts[..., 0] + 1j * parts[..., 1]
    half = np.arange(count) % 2 + 1
    reference = volume if reference is None else reference
    transforms = np.stack([transform_padded(reference, radius)] * 2)
    images = SpeciesImages(
        References(n, pixel, radius, transforms), coefficients, data.astype(np.complex64), corners,
        np.ones((count, tilts), bool), half,
    )  # fmt: skip
    return Simulation(truth, images, volume, deviation)


def true_state(particles=16, seed=3, geometry=None, knots=1):
    """Return particles at random places and orientations of a geometry."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-0.45, 0.45, (particles, 3)) * VOLUME
    return SeriesState.of(geometry or tilt_geometry(), random_rotations(particles, seed), positions, knots)


def with_geometry(state, **changes):
    """Return a state whose geometry has other values."""
    return replace(state, geometry=replace(state.geometry, **changes))
