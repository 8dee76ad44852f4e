"""How much of a particle's amplitude a tilt series passes on: tilt by tilt, with dose and contrast transfer."""

import numpy as np

from emtomo.compute.matching.weighting import Transfer
from emtomo.compute.optics.ctf import Contrast
from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.tilt.geometry import TiltGeometry


def tilt_transfer(
    geometry: TiltGeometry, pixel_size: float, diameter: float, contrast: Contrast | None = "flipped"
) -> Transfer:
    """Return the transfer of a tomogram from its tilts.

    Each tilt measures a slab about its central section, as thick as the particle is small; where slabs overlap their
    transfers are averaged, as a weighted back-projection does. Excluded tilts are left out.

    Parameters
    ----------
    geometry : TiltGeometry
        A series without CTF is taken without, and so is a tilt with zero defocus.
    pixel_size : float
        Å of the tomogram.
    diameter : float
        Of the particle, in voxels.
    contrast : {"white", "dark", "flipped"}, optional
        What became of the CTF in the images; None: it is not taken into account.

    References
    ----------
    Bharat et al., Structure 23 (2015), for weights tilt by tilt; Grant & Grigorieff, eLife 4:e06980 (2015), Eq. 3
    and 5, for dose; Mindell & Grigorieff, J. Struct. Biol. 142 (2003), Eq. 1 to 3, for the CTF.
    """
    used = geometry.take(~geometry.excluded)
    ctf = used.ctf if contrast is not None else None
    voltage = 300.0 if used.ctf is None else float(np.mean(used.ctf.voltage))

    def of_image(tilt: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        u, v = u / pixel_size, v / pixel_size
        out = dose_weights(np.hypot(u, v), used.dose[tilt], voltage)
        if ctf is not None and contrast is not None and ctf.defocus[tilt]:
            out = out * ctf[tilt].values(u, v, contrast=contrast)
        return out

    def transfer(kx: np.ndarray, ky: np.ndarray, kz: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(kx.shape, ky.shape, kz.shape)
        total, cover = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for tilt, rotation in enumerate(used.sections):
            u, v, away = (np.broadcast_to(r[0] * kx + r[1] * ky + r[2] * kz, shape) for r in rotation)
            slab = np.maximum(0, 1 - np.abs(away) * diameter)
            inside = slab > 0
            total[inside] += slab[inside] * of_image(tilt, u[inside], v[inside])
            cover += slab
        return total / np.maximum(cover, 1)

    return transfer
