"""What a tilt series passes on of a particle: tilt by tilt, with dose and contrast transfer."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.matching.weighting import Transfer
from emtomo.compute.optics.ctf import wavelength


@dataclass(frozen=True)
class TiltWeights:
    """The tilts of a tomogram.

    Attributes
    ----------
    angles : (n,) array
        Degrees about y; an image samples x cos t + z sin t.
    dose : (n,) array
        e/Å² before the image; zeros do not weigh.
    defocus : (n,) array
        Å, underfocus positive, the mean of both axes; zeros: no CTF.
    voltage, cs, amplitude_contrast : float
        kV, mm, fraction.
    """

    angles: np.ndarray
    dose: np.ndarray
    defocus: np.ndarray
    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1


def tilt_transfer(tilts: TiltWeights, pixel_size: float, diameter: float, flipped: bool) -> Transfer:
    """Return the transfer of a tomogram from its tilts.

    Each tilt measures a slab about its central section, as thick as the particle is small; where slabs overlap their
    transfers are averaged, as a weighted back-projection does.

    Parameters
    ----------
    tilts : TiltWeights
    pixel_size : float
        Å.
    diameter : float
        Of the particle, in voxels.
    flipped : bool
        The phases of the images were flipped, so that only the size of the CTF matters.

    References
    ----------
    Bharat et al., Structure 23 (2015), for weights tilt by tilt; Grant & Grigorieff, eLife 4:e06980 (2015), Eq. 3
    and 5, for dose; Mindell & Grigorieff, J. Struct. Biol. 142 (2003), Eq. 1 to 3, for the CTF.
    """
    length = wavelength(tilts.voltage)
    phase = np.arcsin(tilts.amplitude_contrast)

    def of_image(k: np.ndarray, dose: float, defocus: float) -> np.ndarray:
        per = np.maximum(k / pixel_size, 1e-6)
        out = np.exp(-dose / (2 * (0.245 * per**-1.665 + 2.81))) if dose > 0 else np.ones_like(k)
        if defocus:
            chi = np.pi * length * defocus * per**2 - 0.5 * np.pi * tilts.cs * 1e7 * length**3 * per**4
            ctf = np.sin(chi + phase)  # particles are bright here
            out = out * (np.abs(ctf) if flipped else ctf)
        return out

    def transfer(kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(kx.shape, ky.shape, kz.shape)
        total, cover = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for angle, dose, defocus in zip(np.deg2rad(tilts.angles), tilts.dose, tilts.defocus, strict=True):
            slab = np.maximum(0, 1 - np.abs(kz * np.cos(angle) - kx * np.sin(angle)) * diameter)
            slab = np.broadcast_to(slab, shape)
            there = slab > 0
            u = np.broadcast_to(kx * np.cos(angle) + kz * np.sin(angle), shape)[there]
            v = np.broadcast_to(ky, shape)[there]
            total[there] += slab[there] * of_image(np.sqrt(u**2 + v**2), float(dose), float(defocus))
            cover += slab
        return total / np.maximum(cover, 1)

    return transfer
