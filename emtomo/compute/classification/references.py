"""Class averages as transforms: sections at all in-plane angles, and averages from sums of rotated images."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from emtomo.compute.classification.half_plane import PAD, HalfPlane
from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfft2, rfft2

LEAST_WEIGHT = 1e-3  # of a shell's mean: what hardly any image measured stays small


def soft_disc(size: int, radius: float, edge: float) -> np.ndarray:
    """Return a disc about pixel ``n // 2``: 1 within `radius` pixels, falling to 0 over `edge` pixels more."""
    r = np.hypot(*(np.indices((size, size)) - size // 2))
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip((r - radius) / edge, 0, 1)), np.float32)


def gridding_correction(size: int) -> np.ndarray:
    """Return by what bilinear interpolation in a padded transform weakens each pixel of an image."""
    along = np.sinc((np.arange(size) - size // 2) / (size * PAD)) ** 2
    return np.asarray(along[:, None] * along, np.float32)


def pad_transform(image: np.ndarray) -> np.ndarray:
    """Return the transform (2 m + 1, m + 1) at ``1 / PAD`` of a shell of an image, its origin at [m, 0]."""
    n = image.shape[0]
    wide = PAD * n
    place = (np.arange(n) - n // 2) % wide
    padded = np.zeros((wide, wide), np.float32)
    padded[np.ix_(place, place)] = image / gridding_correction(n)
    spectrum = rfft2(padded) / np.float32(n)
    rows, columns = _places(n)
    return np.asarray(spectrum[np.ix_(rows % wide, columns)], np.complex64)


def _places(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies of rows and columns of a padded transform, both to its Nyquist frequency."""
    m = PAD * n // 2
    return np.arange(-m, m + 1), np.arange(m + 1)


@dataclass(frozen=True)
class Sections:
    """References at all in-plane angles of half a turn.

    Attributes
    ----------
    real, imag : (K, F, N) float32 arrays
    """

    real: np.ndarray
    imag: np.ndarray

    @property
    def power(self) -> np.ndarray:
        """Squared amplitudes, (K, F, N)."""
        return self.real**2 + self.imag**2


class Rotations:
    """In-plane angles at which references are taken, and back.

    Parameters
    ----------
    plane : HalfPlane
    psi_step : float
        Degrees; the first pass takes at most twice as much.
    """

    def __init__(self, plane: HalfPlane, psi_step: float) -> None:
        self.plane = plane
        self.coarse = max(2, int(np.ceil(90 / psi_step - 1e-6)))  # in half a turn
        self.fine = 3 * self.coarse
        self.angles = np.arange(self.fine) * (np.pi / self.fine)
        self.cosine, self.sine = np.cos(self.angles), np.sin(self.angles)

    @property
    def step(self) -> float:
        """The finer step in degrees."""
        return 180.0 / self.fine

    def sections(self, references: np.ndarray, count: int) -> Sections:
        """Return the first `count` frequencies of references (K, n, n) at all angles."""
        from emtomo.compute.kernels.classification_cpu import take_sections

        out = Sections(*(np.empty((len(references), self.fine, count), np.float32) for _ in range(2)))
        kx, ky = self.plane.kx[:count], self.plane.ky[:count]

        def take(k: int) -> None:
            """Take those of one reference."""
            padded = pad_transform(references[k])
            take_sections(padded, PAD, self.cosine, self.sine, kx, ky, out.real[k], out.imag[k])

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(take, range(len(references))))
        return out

    def empty_sums(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return zero data and weights of padded transforms."""
        rows, columns = _places(self.plane.size)
        shape = classes, len(rows), len(columns)
        return np.zeros(shape, np.complex128), np.zeros(shape)

    def insert(self, real: np.ndarray, imag: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return data and weights of padded transforms from sums (K, F, N) at all angles."""
        from emtomo.compute.kernels.classification_cpu import insert_sections

        data, weights = self.empty_sums(len(real))
        count = real.shape[2]
        kx, ky = self.plane.kx[:count], self.plane.ky[:count]

        def insert(k: int) -> None:
            """Insert the sums of one class."""
            insert_sections(real[k], imag[k], weight[k], PAD, self.cosine, self.sine, kx, ky, data[k], weights[k])
            # what was added at one of two equal frequencies of the first column counts for both
            data[k, :, 0] += np.conj(data[k, ::-1, 0])
            weights[k, :, 0] += weights[k, ::-1, 0]

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(insert, range(len(real))))
        return data, weights


def solve_average(
    data: np.ndarray, weights: np.ndarray, tau2: np.ndarray, size: int, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return an average by Wiener's filter, and the signal-to-noise ratio of its shells.

    Parameters
    ----------
    data, weights : (2 m + 1, m + 1) arrays
        Sums of CTF times image, and of squared CTF, over the noise; padded transforms.
    tau2 : (shells,) array
        Expected power of the average.
    size : int
        Of the average, pixels.
    radius : float
        Shells within which there is data.

    Returns
    -------
    average : (n, n) float32 array
    ratio : (shells,) array
        Power over noise; optimistic, since the same images made both (no FSC).

    References
    ----------
    Scheres, J. Mol. Biol. 415 (2012), Eq. 3; shells as there.
    """
    rows, columns = _places(size)
    length = np.hypot(rows[:, None], columns[None, :]) / PAD
    shell = np.rint(length).astype(int)
    inside = (length <= radius) & (shell >= 1) & (shell < len(tau2))
    index = shell[inside]
    counts = np.maximum(np.bincount(index, minlength=len(tau2)), 1)
    # a frequency of the image is PAD squared ones of the padded transform, which share its weight
    mean = np.bincount(index, weights[inside], len(tau2)) / counts * PAD**2
    inverse = 1 / np.maximum(tau2, 1e-30)
    lowest = LEAST_WEIGHT * mean + 1e-30
    value = np.zeros(data.shape, complex)
    value[inside] = data[inside] / np.maximum(weights[inside] * PAD**2 + inverse[index], lowest[index]) * PAD**2
    return crop_average(value, size), mean * tau2


def crop_average(value: np.ndarray, size: int) -> np.ndarray:
    """Return the image of a padded transform; the inverse of :func:`pad_transform`."""
    wide = PAD * size
    rows, columns = _places(size)
    spectrum = np.zeros((wide, wide // 2 + 1), np.complex64)
    spectrum[np.ix_(rows % wide, columns)] = value
    image = irfft2(spectrum, (wide, wide)) * np.float32(size)
    place = (np.arange(size) - size // 2) % wide
    return np.asarray(image[np.ix_(place, place)] / gridding_correction(size), np.float32)
