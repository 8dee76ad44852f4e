"""Fourier shell correlation."""

import numpy as np

from emtomo.errors import EmtomoError


def fourier_shell_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of two cubic volumes in shells of their Fourier transforms.

    Parameters
    ----------
    a, b : (n, n, n) arrays

    Returns
    -------
    (n // 2 + 1,) array
        Entry ``s`` is the correlation at ``s / n`` cycles per voxel; 1 in shells without any signal.

    Raises
    ------
    EmtomoError
        If the shapes differ or are not cubic.

    References
    ----------
    Harauz & van Heel, Optik 73 (1986), Eq. 1.
    """
    if a.shape != b.shape or len(set(a.shape)) != 1:
        raise EmtomoError(f"FSC needs two cubic volumes of one size, got {a.shape} and {b.shape}.")
    n = a.shape[0]
    fa, fb = np.fft.rfftn(a), np.fft.rfftn(b)
    full = np.fft.fftfreq(n) * n
    half = np.arange(fa.shape[2])
    radius = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2)
    shell = np.rint(radius).astype(int).ravel()
    # the half transform holds every other frequency once for two
    weight = np.where((half == 0) | ((n % 2 == 0) & (half == n // 2)), 1.0, 2.0)
    weight = np.broadcast_to(weight, fa.shape).ravel()
    size = n // 2 + 1
    keep = shell < size

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell[keep], (values.ravel() * weight)[keep], minlength=size)

    power = sums(np.abs(fa) ** 2) * sums(np.abs(fb) ** 2)
    cross = sums((fa * fb.conj()).real)
    return np.where(power > 0, cross / np.sqrt(np.where(power > 0, power, 1)), 1.0)


def resolution_at(curve: np.ndarray, box_size: int, pixel_size: float, threshold: float = 0.143) -> float:
    """Return the resolution in Å where `curve` first falls below `threshold`, interpolated between shells.

    The Nyquist resolution is returned for a curve that never falls below it.
    """
    below = np.flatnonzero(curve[1:] < threshold)
    if len(below) == 0:
        return 2 * pixel_size
    shell = int(below[0]) + 1
    before, after = curve[shell - 1], curve[shell]
    exact = shell - 1 + (before - threshold) / (before - after) if before > after else shell
    return float(box_size * pixel_size / max(exact, 0.5))
