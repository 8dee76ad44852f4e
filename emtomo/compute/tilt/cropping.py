"""Cut images, and what they are multiplied with in Fourier space, to fewer pixels about pixel 0."""

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, rfft2


def crop_window(spectrum: np.ndarray, size: int) -> np.ndarray:
    """Return the `size` pixels about pixel 0 of an image whose transform is given, pixel 0 first."""
    whole = spectrum.shape[0]
    image = irfft2(np.asarray(spectrum, np.complex64), (whole, whole))
    if whole == size:
        return image
    place = np.rint(np.fft.fftfreq(size) * size).astype(int) % whole
    return np.ascontiguousarray(image[np.ix_(place, place)])


def crop_weights(transfer: np.ndarray, size: int, squared: bool) -> np.ndarray:
    """Return the transfer of cropped images, or its square, which cropping must not let swing below zero."""
    return np.maximum(crop_transfer(transfer * transfer, size), 0) if squared else crop_transfer(transfer, size)


def crop_transfer(transfer: np.ndarray, size: int) -> np.ndarray:
    """Return a transfer function, in the order of ``rfft2``, at `size` pixels: what it is after cropping images."""
    if transfer.shape[0] == size:
        return np.asarray(transfer, np.float32)
    return np.ascontiguousarray(rfft2(crop_window(transfer, size)).real, np.float32)
