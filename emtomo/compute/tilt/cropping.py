"""Cut images, and what they are multiplied with in Fourier space, to fewer pixels about pixel 0."""

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, rfft2


def crop_window(spectrum: np.ndarray, size: int) -> np.ndarray:
    """Return the `size` pixels about pixel 0 of (..., y, x) images whose transforms are given, pixel 0 first."""
    whole = spectrum.shape[-2]
    image = irfft2(np.asarray(spectrum, np.complex64), (whole, whole))
    if whole == size:
        return image
    after, before = (size + 1) // 2, size // 2
    out = np.empty((*image.shape[:-2], size, size), image.dtype)
    parts = ((slice(0, after), slice(0, after)), (slice(after, size), slice(whole - before, whole)))
    for to_y, from_y in parts:
        for to_x, from_x in parts:
            out[..., to_y, to_x] = image[..., from_y, from_x]
    return out


def crop_weights(transfer: np.ndarray, size: int, squared: bool) -> np.ndarray:
    """Return the transfer of cropped images, or its square, which cropping must not let swing below zero."""
    return np.maximum(crop_transfer(transfer * transfer, size), 0) if squared else crop_transfer(transfer, size)


def crop_transfer(transfer: np.ndarray, size: int) -> np.ndarray:
    """Return transfer functions, in the order of ``rfft2``, at `size` pixels: what they are after cropping images."""
    if transfer.shape[-2] == size:
        return np.asarray(transfer, np.float32)
    return np.ascontiguousarray(rfft2(crop_window(transfer, size)).real, np.float32)
