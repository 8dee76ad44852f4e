"""Images of a few known shapes, with CTF and noise, and what is known of each."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.classification.references import Rotations, soft_disc
from emtomo.compute.optics.ctf import Ctf

PIXEL = 5.0
DIAMETER = 110.0


@dataclass(frozen=True)
class Images:
    """Simulated images; `label` is -1 of noise alone, `psi` RELION's, `shift` in pixels."""

    values: np.ndarray
    shapes: np.ndarray
    label: np.ndarray
    psi: np.ndarray
    shift: np.ndarray
    ctf: Ctf
    group: np.ndarray


def shapes(n: int, count: int) -> np.ndarray:
    """Return `count` shapes without symmetry, centred by mass."""
    rng = np.random.default_rng(5)
    y, x = np.indices((n, n)) - n // 2
    out = []
    for _ in range(count):
        centres, widths = rng.uniform(-7, 7, (6, 2)), rng.uniform(1.3, 2.0, 6)
        weights = rng.uniform(0.5, 1.5, 6)
        centres -= np.average(centres, axis=0, weights=weights * widths**2)
        parts = [
            w * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s * s))
            for w, (cx, cy), s in zip(weights, centres, widths, strict=True)
        ]
        image = sum(parts)
        out.append(image / np.sqrt(np.mean(image**2)))
    return np.array(out, np.float32)


def simulate(
    n: int, particles: int, kinds: int, snr: float, *, junk: int = 0, seed: int = 1, groups: int = 1
) -> Images:
    """Return images; `snr` is the shapes' mean power in the mask's disc over the noise's."""
    rng = np.random.default_rng(seed)
    plane = HalfPlane(n)
    rotations = Rotations(plane, 2.0)
    truth = shapes(n, kinds) * soft_disc(n, DIAMETER / 2 / PIXEL, 3)
    sections = rotations.sections(truth, len(plane))
    label = np.append(rng.integers(0, kinds, particles), np.full(junk, -1))
    total = len(label)
    angle = rng.integers(0, rotations.fine, total)
    shift = np.clip(rng.normal(0, 1.3, (total, 2)), -3, 3)
    defocus = rng.uniform(12000, 26000, total)
    ctf = Ctf(defocus + 150, defocus - 150, rng.uniform(0, 180, total))
    step = 1 / (n * PIXEL)
    spectra = (sections.real + 1j * sections.imag)[label, angle] * plane.phases(-shift)
    spectra[label < 0] = 0
    signal = plane.image(spectra * ctf.values(plane.kx * step, plane.ky * step))
    disc = soft_disc(n, DIAMETER / 2 / PIXEL, 1) > 0.5
    sigma = np.sqrt((signal[: max(particles, 1)][:, disc] ** 2).mean() / snr)
    values = signal + rng.normal(0, sigma, signal.shape)
    psi = np.rad2deg(rotations.angles[angle])
    return Images(
        values.astype(np.float32), truth, label, psi, shift, ctf, rng.integers(0, groups, total).astype(np.int32)
    )


def purity(label: np.ndarray, found: np.ndarray) -> float:
    """Return the share of particles that are of the commonest kind in their class."""
    return sum(np.bincount(label[found == k]).max() for k in np.unique(found)) / len(label)


def best_correlation(average: np.ndarray, shape: np.ndarray) -> float:
    """Return the highest correlation of an average with a shape at any rotation and shift."""
    n = len(average)
    plane = HalfPlane(n)
    rotations = Rotations(plane, 3.0)
    both = rotations.sections(np.stack([shape, shape[::-1, ::-1]]), len(plane))  # the other half of the turn
    sections = (both.real + 1j * both.imag).reshape(-1, len(plane))
    spectrum = plane.transform(average[None])[0]
    scores = np.fft.fftshift(plane.image(np.conj(sections) * spectrum), axes=(1, 2))
    norm = np.linalg.norm(sections, axis=1) * np.linalg.norm(spectrum)
    return float((scores.max((1, 2)) / norm).max() * n / 2)
