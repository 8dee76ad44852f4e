"""Projections of a volume in any orientation, as sections of its padded transform."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.padded_reference import PAD, transform_padded
from emtomo.compute.fourier.transforms import irfft2
from emtomo.compute.positions import check_finite
from emtomo.errors import EmtomoError

BATCH_BYTES = 64 * 2**20


class Projector:
    """Projections of one volume along the beam, z, with the volume's centre voxel at pixel ``n // 2``.

    Parameters
    ----------
    volume : (n, n, n) array
        Its density should fall to zero towards the faces.
    pad : int
        The transform is sampled `pad` times finer before trilinear interpolation.

    Raises
    ------
    EmtomoError
        If the volume is no cube of at least 4 voxels, or holds what is no finite number.

    References
    ----------
    De Rosier & Klug, Nature 217 (1968): the central section theorem.
    """

    def __init__(self, volume: np.ndarray, pad: int = PAD) -> None:
        if volume.ndim != 3 or len(set(volume.shape)) != 1 or volume.shape[0] < 4:
            raise EmtomoError(f"A volume to be projected must be a cube of at least 4 voxels, got {volume.shape}.")
        check_finite(np.asarray(volume, np.float32).reshape(len(volume), -1), "Slice")
        self.size = int(volume.shape[0])
        self.pad = pad
        self.mean = float(np.asarray(volume, np.float64).sum()) / self.size**2
        self.coefficients = FourierCoefficients(self.size, self.size / 2, 2)
        self._reference = transform_padded(volume, self.size / 2, pad)

    def sections(self, rotations: np.ndarray) -> np.ndarray:
        """Return `(o, k)` complex64 sections at ``self.coefficients``, image = R @ volume, for rotations (o, 3, 3)."""
        from emtomo.compute.kernels.fourier_cpu import sections_parallel

        check_finite(rotations, "The rotation of projection")
        turned = np.ascontiguousarray(rotations, np.float32)
        out = np.empty((len(turned), 2 * len(self.coefficients)), np.float32)
        sections_parallel(self._reference, np.float32(self.pad), self.coefficients.k, turned, out)
        return out.view(np.complex64)

    def images(self, rotations: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
        """Return projections.

        Parameters
        ----------
        rotations : (o, 3, 3) array
            image = R @ volume, on x, y, z.
        shifts : (o, 2) array, optional
            x, y in pixels of the volume's centre from the pixel ``n // 2``.

        Returns
        -------
        (o, n, n) float32 array
        """
        n = self.size
        moved = np.zeros((len(rotations), 2)) if shifts is None else np.asarray(shifts, float)
        out = np.empty((len(rotations), n, n), np.float32)
        step = max(1, BATCH_BYTES // (16 * n * n))
        k = self.coefficients.k[:, :2].astype(float)
        for first in range(0, len(rotations), step):
            some = slice(first, first + step)
            values = self.sections(rotations[some]) * np.conj(self.coefficients.centre)
            values *= np.exp(-2j * np.pi / n * (moved[some] @ k.T)).astype(np.complex64)
            spectrum = np.zeros((len(values), n, n // 2 + 1), np.complex64)
            spectrum.reshape(len(values), -1)[:, self.coefficients.index] = values
            _complete(spectrum)
            out[some] = irfft2(spectrum, (n, n), workers=threads()) + np.float32(self.mean)
        return out


def _complete(spectrum: np.ndarray) -> None:
    """Fill the redundant half of column 0, which packed coefficients leave out, in place."""
    n = spectrum.shape[1]
    rows = np.arange(1, (n + 1) // 2)
    spectrum[:, n - rows, 0] = np.conj(spectrum[:, rows, 0])
