"""Tilt series of particles whose geometry is anything that metadata can say: warps, stage angles, defocus of tilts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.compute.optics.ctf import image_frequencies
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.synthetic.ice import image_ice
from emtomo.synthetic.shapes import LEAFLET_DISTANCE, LEAFLET_SIGMA, membrane_profile

SLAB = 100.0  # Å of height that share a defocus: off by at most half of it


class Kind(NamedTuple):
    """Particles of one kind: density (n, n, n) of one, positions (m, 3) in Å from the volume's centre, rotations."""

    density: np.ndarray
    positions: np.ndarray
    rotations: np.ndarray


class Shells(NamedTuple):
    """Membranes of vesicles: centres (m, 3) in Å from the volume's centre, radii (m,) in Å."""

    centres: np.ndarray
    radii: np.ndarray


def image_particles(
    kinds: Sequence[Kind],
    shells: Shells,
    geometry: TiltGeometry,
    shape: tuple[int, int],
    *,
    snr: float | None = None,
    structural_noise: float = 0.0,
    thickness: float = 0.0,
    seed: int = 0,
    progress: Callable[[float, float], None] | None = None,
) -> np.ndarray:
    """Return the images of particles and vesicles, dark where they are dense.

    Every particle is a central section of its density's transform at the place that the geometry gives it, with the
    CTF at its height and the weights of dose and tilt. A vesicle is a spherical bilayer, which looks the same from all
    sides; it has the defocus of its centre.

    Parameters
    ----------
    kinds : sequence of Kind
        Densities at the images' pixel size.
    shells : Shells
    geometry : TiltGeometry
        With CTF and pixel size; of all tilts.
    shape : (int, int)
        Rows and columns of the images.
    snr : float, optional
        Variance of signal over noise in the images; none: no noise. Without any signal the noise has deviation 1.
    structural_noise : float
        Fraction of the noise's variance that is the image of ice at 0°, see :func:`image_ice`; in tilted images less,
        as the square of the signal's amplitude times the path of the beam.
    thickness : float
        Å of the ice.
    seed : int
        Of the noise.

    Returns
    -------
    (tilts, rows, columns) float32 array
    """
    pixel, n = geometry.pixel_size, len(geometry)
    prepared = [(_Sections(kind.density), kind, geometry.project(kind.positions)) for kind in kinds]
    centres = geometry.project(shells.centres)
    images = np.zeros((n, *shape), np.float32)
    kx, ky = image_frequencies(shape, pixel)
    weights = geometry.weights(np.hypot(kx, ky))
    for t in range(n):
        slabs: dict[int, np.ndarray] = {}
        for sections, kind, seen in prepared:
            if len(kind.positions):
                sections.add(seen[t], geometry.sections[t] @ kind.rotations, pixel, shape, slabs)
        for (x, y, height), radius in zip(centres[t], shells.radii, strict=True):
            _slab(slabs, height, shape)[:] += _shell(shape, pixel, x, y, radius)
        spectrum = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
        for number, projection in slabs.items():
            local = geometry.take(np.array([t])).local_ctf(np.array([[(number + 0.5) * SLAB]]))
            spectrum += rfft2(projection) * local[0, 0].values(kx, ky, contrast="dark")
        images[t] = irfft2(spectrum * weights[t], shape)
        if progress:
            progress(t + 1, n)
    if snr is not None:
        deviation = np.sqrt(float(images.var()) / snr) or 1.0
        noise = np.random.default_rng(seed).normal(0, deviation, images.shape).astype(np.float32)
        rng = np.random.default_rng([seed, 1])
        for t in range(n if structural_noise else 0):
            of_ice = structural_noise * min(abs(float(geometry.scale[t])), 1.0)
            ice = image_ice(geometry, t, shape, thickness, rng)
            noise[t] = np.sqrt(1 - of_ice) * noise[t] + np.float32(np.sqrt(of_ice) * deviation) * ice
        images += noise
    return images


class _Sections:
    """Central sections of a density, placed in images."""

    def __init__(self, density: np.ndarray) -> None:
        n = 2 * density.shape[0]  # room for the interpolation and for what is cut off
        padded = np.zeros((n, n, n), np.float32)
        first = n // 2 - density.shape[0] // 2
        padded[(slice(first, first + density.shape[0]),) * 3] = density
        self.transform = transform_padded(padded, n / 2)
        x, y = np.arange(n // 2 + 1)[None, :], np.rint(np.fft.fftfreq(n) * n).astype(int)[:, None]
        self.index = np.flatnonzero(x * x + y * y < (n / 2) ** 2)
        rows, columns = np.unravel_index(self.index, (n, n // 2 + 1))
        self.k = np.stack([columns, y[rows, 0], np.zeros_like(rows)], axis=1).astype(np.float32)
        self.size = n

    def add(
        self,
        seen: np.ndarray,
        rotations: np.ndarray,
        pixel: float,
        shape: tuple[int, int],
        slabs: dict[int, np.ndarray],
    ) -> None:
        """Add particles to the projections of their slabs.

        Parameters
        ----------
        seen : (m, 3) array
            x, y from the image's centre, and height, in Å.
        rotations : (m, 3, 3) array
            Of the sections.
        """
        from emtomo.compute.kernels import fourier_cpu

        n = self.size
        places = seen[:, :2] / pixel + [shape[1] // 2, shape[0] // 2]
        nearest = np.floor(places + 0.5).astype(int)
        values = np.empty((len(seen), 2 * len(self.k)), np.float32)
        fourier_cpu.sections_parallel(self.transform, np.float32(PAD), self.k, rotations.astype(np.float32), values)
        turns = (places - nearest + n // 2) @ self.k[:, :2].T / n
        spectra = np.zeros((len(seen), n, n // 2 + 1), np.complex64)
        spectra.reshape(len(seen), -1)[:, self.index] = values.view(np.complex64) * np.exp(-2j * np.pi * turns)
        for window, (x, y), height in zip(irfft2(spectra, (n, n)), nearest - n // 2, seen[:, 2], strict=True):
            low, high = np.maximum([y, x], 0), np.minimum([y + n, x + n], shape)
            if (high > low).all():
                part = _slab(slabs, height, shape)[low[0] : high[0], low[1] : high[1]]
                part += window[low[0] - y : high[0] - y, low[1] - x : high[1] - x]


def _slab(slabs: dict[int, np.ndarray], height: float, shape: tuple[int, int]) -> np.ndarray:
    return slabs.setdefault(int(np.floor(height / SLAB)), np.zeros(shape, np.float32))


def _shell(shape: tuple[int, int], pixel: float, x: float, y: float, radius: float) -> np.ndarray:
    """Return the projection of a spherical bilayer whose centre is seen at x, y (Å from the image's centre)."""
    edge = radius + LEAFLET_DISTANCE + 6 * LEAFLET_SIGMA
    far = np.arange(0.0, edge + pixel, 0.5 * LEAFLET_SIGMA)
    along = np.arange(0.25 * LEAFLET_SIGMA, edge, 0.5 * LEAFLET_SIGMA)
    through = membrane_profile(np.hypot(far[:, None], along[None, :]) - radius).sum(axis=1) * LEAFLET_SIGMA / pixel
    rows, columns = ((np.arange(n) - n // 2) * pixel - c for n, c in zip(shape, (y, x), strict=True))
    return np.interp(np.hypot(rows[:, None], columns[None, :]), far, through, right=0.0).astype(np.float32)
