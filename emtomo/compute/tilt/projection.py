"""Tilt series from volumes and volumes from tilt series."""

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.transforms import irfft, rfft
from emtomo.compute.positions import check_finite


def _angles(tilt_angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    check_finite(tilt_angles, "Tilt angle")
    radians = np.deg2rad(np.asarray(tilt_angles, float))
    return np.cos(radians), np.sin(radians)


def project(volume: np.ndarray, tilt_angles: np.ndarray) -> np.ndarray:
    """Return the projections of a volume tilted about y.

    The image at tilt t shows at x' = x cos t + z sin t what lies at (x, z), all
    from the centre voxels ``n // 2``.

    Parameters
    ----------
    volume : (z, y, x) array
    tilt_angles : (n,) array
        Degrees.

    Returns
    -------
    (n, y, x) float32 array
    """
    from emtomo.compute.kernels.projection_cpu import project_cpu

    cosines, sines = _angles(tilt_angles)
    out = np.empty((len(cosines), volume.shape[1], volume.shape[2]), np.float32)
    project_cpu(np.ascontiguousarray(volume, np.float32), cosines, sines, out)
    return out


def filter_ramp(images: np.ndarray) -> np.ndarray:
    """Return images with the ramp filter along x that makes back-projection an inverse, Hann-windowed.

    References
    ----------
    Radermacher, Weighted back-projection methods, in Electron Tomography (2006), section 2.
    """
    n = images.shape[2]
    frequency = np.fft.rfftfreq(2 * n)
    window = frequency * (0.5 + 0.5 * np.cos(2 * np.pi * frequency)) * np.pi
    window[0] = 0.25 * window[1]  # what the sampled ramp has at zero, so that the mean survives
    spectrum = rfft(np.asarray(images, np.float32), 2 * n, axis=2, workers=threads())
    spectrum *= window.astype(np.float32)
    return irfft(spectrum, 2 * n, axis=2, workers=threads())[:, :, :n].astype(np.float32)


def back_project(images: np.ndarray, tilt_angles: np.ndarray, depth: int) -> np.ndarray:
    """Return the back-projection of images: for every voxel the mean over tilts.

    Parameters
    ----------
    images : (n, y, x) array
        Filtered with :func:`filter_ramp` for a weighted back-projection.
    tilt_angles : (n,) array
        Degrees.
    depth : int
        Slices of the result.
    """
    from emtomo.compute.kernels.projection_cpu import backproject_cpu

    cosines, sines = _angles(tilt_angles)
    out = np.empty((depth, images.shape[1], images.shape[2]), np.float32)
    backproject_cpu(np.ascontiguousarray(images, np.float32), cosines, sines, out)
    return out
