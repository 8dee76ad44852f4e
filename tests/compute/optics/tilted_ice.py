"""Images of ice in a tilted section whose CTF is known: every strip with the defocus of its height."""

import numpy as np

from emtomo.compute.optics.ctf import Ctf, image_frequencies
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_geometry

PIXEL, STEP, B_FACTOR = 2.5, 250.0, 80.0
AMPLITUDE_CONTRAST = 0.07


def simulate_tilts(
    angles: np.ndarray,
    defocus: np.ndarray,
    shape: tuple[int, int],
    *,
    hand: int = 1,
    astigmatism: float = 600.0,
    phase_shift: float = 0.0,
    snr: float = 0.15,
    empty: tuple[int, ...] = (),
    axis: float = -84.5,
    x_tilt: float = 3.0,
    shift: float = 20.0,
    plane: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> tuple[np.ndarray, TiltGeometry]:
    """Return (n, y, x) images and their geometry; those of `empty` are noise. The astigmatism's angle is 32°.

    The ice lies in the tomogram's xy plane, turned by the angles of `plane` about x and then y.
    """
    rng, n = np.random.default_rng(seed), len(angles)
    columns = {"angle": angles, "tilt_axis_angle": np.full(n, axis), "x_tilt": np.full(n, x_tilt)}
    shifts = {f"shift_{axis}": rng.normal(0, shift, n) for axis in "xy"}
    geometry = tilt_geometry({**columns, **shifts}, pixel_size=PIXEL, hand=1)
    kx, ky = image_frequencies(shape, PIXEL)
    envelope = np.exp(-B_FACTOR / 4 * (kx**2 + ky**2))
    a, b = np.deg2rad(plane)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    lies = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]) @ about_x
    y, x = ((np.arange(m) - m // 2) * PIXEL for m in shape)
    images = np.zeros((n, *shape), np.float32)
    for t in range(n):
        rotation, shift = geometry.rotations[t] @ lies, geometry.shifts[t]
        slope = rotation[2, :2] @ np.linalg.inv(rotation[:2, :2])
        height = slope[0] * (x - shift[0])[None] + slope[1] * (y - shift[1])[:, None]
        scatterers, total = rng.normal(0, 1, shape), np.zeros((shape[0], shape[1] // 2 + 1), complex)
        for level in np.arange(np.floor(height.min() / STEP) * STEP, height.max() + STEP, STEP):
            strip = np.clip(1 - np.abs(height - level) / STEP, 0, 1)
            local = defocus[t] + hand * level + np.array([0.5, -0.5]) * astigmatism
            ctf = Ctf(*local, angle=32.0, phase_shift=phase_shift, amplitude_contrast=AMPLITUDE_CONTRAST)
            total += np.fft.rfft2(strip * scatterers) * ctf.values(kx, ky)
        image = np.fft.irfft2(total * envelope, shape)
        noise = rng.normal(0, 1 / np.sqrt(snr * np.cos(np.deg2rad(angles[t]))), shape)
        images[t] = image / image.std() * (t not in empty) + noise
    return images, geometry
