"""Images of the particles of a tilt series, packed in Fourier space, and the references that they are compared with."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.filters import soft_masks
from emtomo.compute.tilt.particle_images import PreparedSeries
from emtomo.errors import EmtomoError

EDGE = 3.0  # pixels of the soft edge of an image's disc


@dataclass(frozen=True)
class References:
    """The half maps of a species as padded transforms, with the shells that take part.

    Attributes
    ----------
    size : int
        Edge of the box in voxels.
    pixel_size : float
        Å.
    radius : float
        Shells that are compared.
    transforms : (2, ...) complex64 array
        Of half 1 and 2, as :func:`~emtomo.compute.fourier.padded_reference.transform_padded` returns them.
    """

    size: int
    pixel_size: float
    radius: float
    transforms: np.ndarray

    @property
    def resolution(self) -> float:
        """Å of the last shell that is compared."""
        return self.size * self.pixel_size / max(self.radius, 1e-6)


@dataclass(frozen=True)
class SpeciesImages:
    """The images of one species' particles in one tilt series.

    Attributes
    ----------
    references : References
    coefficients : FourierCoefficients
    data : (p, t, n) complex64 array
        Packed transforms of windows of the raw images, their origin at the centre pixel.
    corners : (p, t, 2) array
        Å from the image's centre: where the windows' centre pixels lie.
    used : (p, t) bool array
        Which images take part.
    half : (p,) array of 1 and 2
    """

    references: References
    coefficients: FourierCoefficients
    data: np.ndarray
    corners: np.ndarray
    used: np.ndarray
    half: np.ndarray

    def __len__(self) -> int:
        return len(self.data)

    @property
    def pixel_size(self) -> float:
        """Å of the windows' pixels."""
        return self.references.pixel_size


def cut_images(prepared: PreparedSeries, points: np.ndarray, half: np.ndarray, references: References) -> SpeciesImages:
    """Return the images of particles at (p, 3) points in Å from the volume's centre.

    Parameters
    ----------
    prepared : PreparedSeries
        At the pixel size of the references.
    points : (p, 3) array
    half : (p,) array of 1 and 2
    references : References

    Raises
    ------
    EmtomoError
        If the series has another pixel size than the references, or the box no shell to compare.
    """
    if abs(prepared.options.pixel_size / references.pixel_size - 1) > 1e-3:
        raise EmtomoError(
            f"the images must have the pixel size of the reference, {references.pixel_size:g} Å, "
            f"got {prepared.options.pixel_size:g} Å."
        )
    size = references.size
    coefficients = FourierCoefficients(size, references.radius, 2)
    if not len(coefficients):
        raise EmtomoError(f"A box of {size} voxels has no shell to compare within {references.radius:g}.")
    points = np.asarray(points, float)
    count, tilts = len(points), len(prepared.geometry)
    seen = prepared.geometry.project(points)[:, :, :2].transpose(1, 0, 2)
    used = prepared.visible(points).T
    data = np.zeros((count, tilts, len(coefficients)), np.complex64)
    corners = np.zeros((count, tilts, 2))
    disc = soft_masks(size, np.zeros((1, 3)), size / 2 - 1 - EDGE, EDGE, 2)[0]
    around = disc < 0.5
    for t, image in enumerate(prepared.images):
        members = np.flatnonzero(used[:, t])
        if not len(members):
            continue
        windows = np.empty((len(members), size, size), np.float32)
        for row, i in enumerate(members):
            windows[row], rest = image.window(seen[i, t], size)
            corners[i, t] = seen[i, t] - rest * image.pixel_size
        windows -= windows[:, around].mean(axis=1)[:, None, None]
        data[members, t] = coefficients.transform(windows * disc)
    return SpeciesImages(references, coefficients, data, corners, used, np.asarray(half))
