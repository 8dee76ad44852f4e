"""The contrast transfer function of the microscope."""

import numpy as np

ELECTRON_REST_ENERGY = 511.0  # keV


def wavelength(voltage: float) -> float:
    """Return the relativistic wavelength of electrons in Å at `voltage` kV.

    References
    ----------
    Reimer & Kohl, Transmission electron microscopy (2008), Eq. 2.12.
    """
    return 12.2643 / np.sqrt(voltage * 1e3 * (1 + 0.978466e-3 * voltage))


def ctf_2d(
    shape: tuple[int, int],
    pixel_size: float,
    defocus: float,
    *,
    voltage: float = 300.0,
    cs: float = 2.7,
    amplitude_contrast: float = 0.1,
) -> np.ndarray:
    """Return the CTF in the order of ``rfft2``; protein is dark: negative at low frequency.

    CTF(k) = -sin(π λ Δf k² - π/2 Cs λ³ k⁴ + asin(A)), with underfocus Δf positive.

    Parameters
    ----------
    shape : (2,) tuple
        Rows and columns of the image.
    pixel_size : float
        Å.
    defocus : float
        Å, underfocus positive.
    voltage, cs, amplitude_contrast : float
        kV, mm, fraction.

    References
    ----------
    Mindell & Grigorieff, J. Struct. Biol. 142 (2003), Eq. 1 to 3.
    """
    ky = np.fft.fftfreq(shape[0], pixel_size)[:, None]
    kx = np.fft.rfftfreq(shape[1], pixel_size)[None, :]
    k2 = kx**2 + ky**2
    length = wavelength(voltage)
    chi = np.pi * length * defocus * k2 - 0.5 * np.pi * cs * 1e7 * length**3 * k2**2
    return -np.sin(chi + np.arcsin(amplitude_contrast)).astype(np.float32)


def dose_weights(shape: tuple[int, int], pixel_size: float, dose: float) -> np.ndarray:
    """Return how much of each frequency is left after `dose` e/Å², in the order of ``rfft2``.

    exp(-dose / (2 Nc)), Nc = 0.245 k^-1.665 + 2.81.

    References
    ----------
    Grant & Grigorieff, eLife 4:e06980 (2015), Eq. 3 and 5.
    """
    ky = np.fft.fftfreq(shape[0], pixel_size)[:, None]
    kx = np.fft.rfftfreq(shape[1], pixel_size)[None, :]
    k = np.maximum(np.sqrt(kx**2 + ky**2), 1e-6)
    critical = 0.245 * k**-1.665 + 2.81
    return np.exp(-dose / (2 * critical)).astype(np.float32)
