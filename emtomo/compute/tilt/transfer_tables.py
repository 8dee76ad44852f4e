"""CTF and dose weights of a tilt series' images; what does not depend on the particle is worked out once."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.optics.ctf import image_frequencies, wavelength
from emtomo.compute.tilt.geometry import TiltGeometry


@dataclass(frozen=True)
class TransferTables:
    """What gives the CTF of every tilt at any height, in the order of ``rfft2`` of square windows.

    Attributes
    ----------
    phase : (t, n, n // 2 + 1) float32 array
        Of the CTF at height 0, radians.
    by_height : (t, n, n // 2 + 1) or (1, n, n // 2 + 1) float32 array
        Its change for each Å of height.
    envelope : (t, n, n // 2 + 1) float32 array or None
        Scale and B factor of the CTF; None where they are 1 and 0.
    dose : (t, n, n // 2 + 1) float32 array
        What dose and thickness leave of the amplitude.
    """

    phase: np.ndarray
    by_height: np.ndarray
    envelope: np.ndarray | None
    dose: np.ndarray

    def ctf(self, tilt: int, height: float) -> np.ndarray:
        """Return the CTF of a tilt, from 0, at a height in Å."""
        turned = self.by_height[tilt if len(self.by_height) > 1 else 0] * np.float32(height)
        turned += self.phase[tilt]
        np.sin(turned, out=turned)
        if self.envelope is not None:
            turned *= self.envelope[tilt]
        return turned


def tabulate_transfer(geometry: TiltGeometry, size: int, pixel_size: float) -> TransferTables:
    """Return the tables of a geometry with CTF for windows of `size` pixels of `pixel_size` Å."""
    assert geometry.ctf is not None
    kx, ky = image_frequencies((size, size), pixel_size)
    length = np.unique(np.broadcast_to(wavelength(geometry.ctf.voltage), (len(geometry),)))
    length = length if len(length) == 1 else np.broadcast_to(wavelength(geometry.ctf.voltage), (len(geometry),))
    phases, envelopes = zip(*(geometry.ctf[t].phase(kx, ky) for t in range(len(geometry))), strict=True)
    by_height = geometry.hand * np.pi * length[:, None, None] * (kx**2 + ky**2)
    plain = all(np.all(envelope == 1) for envelope in envelopes)
    return TransferTables(
        np.stack(phases).astype(np.float32),
        by_height.astype(np.float32),
        None if plain else np.stack([np.broadcast_to(e, phases[0].shape) for e in envelopes]).astype(np.float32),
        np.asarray(geometry.weights(np.hypot(kx, ky)), np.float32),
    )
