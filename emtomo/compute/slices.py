"""Slices of volumes as pictures of 8 bits, at any zoom."""

import numpy as np

BACKGROUND = 24


def draw_slice(
    plane: np.ndarray, top: float, left: float, step: float, limits: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Return a part of a slice as a picture.

    Parameters
    ----------
    plane : (y, x) float32 or uint8 array
    top, left : float
        Row and column of the slice at the centre of the picture's first pixel.
    step : float
        Pixels of the slice to one of the picture: below 1 magnifies (bilinear), above 1 reduces (mean).
    limits : (low, high)
        Grey values that become 0 and 255.
    shape : (height, width)

    Returns
    -------
    (height, width) uint8 array
    """
    from emtomo.compute.kernels.slices_cpu import magnify, reduce

    out = np.empty(shape, np.uint8)
    low, high = limits
    gain = np.float32(255 / (high - low) if high > low else 0.0)
    kernel = magnify if step <= 1 else reduce
    ready = np.ascontiguousarray(plane) if plane.dtype == np.uint8 else np.ascontiguousarray(plane, np.float32)
    if not ready.flags.writeable:
        ready = ready.copy()
    kernel(ready, float(top), float(left), float(step), gain, np.float32(-low) * gain, np.uint8(BACKGROUND), out)
    return out


def to_bytes(plane: np.ndarray, limits: tuple[float, float], out: np.ndarray) -> None:
    """Write a slice as 8 bits, `limits` at 0 and 255, into `out`."""
    from emtomo.compute.kernels.slices_cpu import quantise

    ready = np.array(plane, np.float32, order="C")
    quantise(ready, np.float32(limits[0]), np.float32(255 / max(limits[1] - limits[0], 1e-30)), out)


def slab_mean(stack: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of `(n, y, x)` as float32."""
    return stack.mean(axis=0, dtype=np.float32) if len(stack) > 1 else np.asarray(stack[0], np.float32)


def smooth(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Return a slice after a Gaussian filter of `sigma` pixels."""
    if sigma <= 0:
        return plane
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.asarray(plane, np.float32), sigma, mode="nearest", truncate=3.0)


def contrast_limits(sample: np.ndarray) -> tuple[float, float]:
    """Return the grey values that are shown black and white: 0.5 and 99.5 percentiles of what is finite."""
    values = np.asarray(sample, np.float32).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def mesh_contour(vertices: np.ndarray, faces: np.ndarray, axis: int, at: float) -> np.ndarray:
    """Return where a plane cuts a triangle mesh.

    Parameters
    ----------
    vertices : (n, 3) array
        In the order of the axes of `axis`.
    faces : (m, 3) int array
    axis : int
        The coordinate that is constant on the plane.
    at : float
        Its value there.

    Returns
    -------
    (k, 2, 3) array
        Line segments.
    """
    height = vertices[:, axis] - at
    height = np.where(height == 0, 1e-9, height)  # a vertex on the plane would give segments without length
    side = height[faces] > 0
    cut = faces[side.any(axis=1) & ~side.all(axis=1)]
    if not len(cut):
        return np.zeros((0, 2, 3))
    above = height[cut] > 0
    # the vertex that is alone on its side, and the two others
    alone = np.where(above.sum(axis=1) == 1, above.argmax(axis=1), (~above).argmax(axis=1))
    rows = np.arange(len(cut))
    lone = cut[rows, alone]
    ends = []
    for other in (1, 2):
        far = cut[rows, (alone + other) % 3]
        share = height[lone] / (height[lone] - height[far])
        ends.append(vertices[lone] + share[:, None] * (vertices[far] - vertices[lone]))
    return np.stack(ends, axis=1)


def round_length(length: float) -> float:
    """Return 1, 2 or 5 times a power of ten at or below `length`: for scale bars."""
    power = 10 ** np.floor(np.log10(max(length, 1e-6)))
    return float(max(f for f in (1, 2, 5) if f * power <= length * 1.0001) * power)


def warm_up() -> None:
    """Load the compiled kernels, so that the first slice is as quick as the next."""
    for kind in (np.uint8, np.float32):
        for step in (0.5, 2.0):
            draw_slice(np.zeros((4, 4), kind), 0, 0, step, (0.0, 1.0), (2, 2))
    to_bytes(np.zeros((2, 2), np.float32), (0.0, 1.0), np.empty((2, 2), np.uint8))


def lowpass_image(image: np.ndarray, pixel_size: float, resolution: float, edge: float = 2.0) -> np.ndarray:
    """Return a picture without what is finer than `resolution`; its mean stays, however coarse that is.

    Parameters
    ----------
    image : (y, x) array
        Of any size.
    pixel_size, resolution : float
        Å.
    edge : float
        Width of the raised cosine about the limit, in shells of the longer edge.
    """
    from emtomo.compute.fourier.transforms import irfft2, rfft2

    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    frequency = np.hypot(rows[:, None], columns[None, :]) / pixel_size
    width = edge / (max(image.shape) * pixel_size)
    t = np.clip((frequency - 1 / resolution) / width + 0.5, 0, 1)
    kept = (0.5 + 0.5 * np.cos(np.pi * t)).astype(np.float32)
    kept[0, 0] = 1
    spectrum = rfft2(np.asarray(image, np.float32)) * kept
    return np.asarray(irfft2(spectrum, image.shape), np.float32)


def oblique_slice(
    volume: np.ndarray, centre: np.ndarray, across: np.ndarray, up: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return a slice of any direction, by linear interpolation.

    Parameters
    ----------
    volume : (z, y, x) array
    centre : (3,) array
        z, y, x of the middle of the picture, voxels; the centre of the first voxel is 0.
    across, up : (3,) arrays
        z, y, x of one pixel's step to the right and to the row above, voxels.
    shape : (height, width)

    Returns
    -------
    (height, width) float32 array
        The first row at the bottom, NaN outside the volume.
    """
    from scipy.ndimage import map_coordinates

    height, width = shape
    i = (np.arange(height) - (height - 1) / 2)[:, None, None]
    j = (np.arange(width) - (width - 1) / 2)[None, :, None]
    places = np.moveaxis(np.asarray(centre, float) + i * np.asarray(up) + j * np.asarray(across), -1, 0)
    values = map_coordinates(volume, places, np.float32, order=1, mode="nearest", prefilter=False)
    last = np.array(volume.shape)[:, None, None] - 0.5
    outside = ((places < -0.5) | (places > last)).any(axis=0)
    values[outside] = np.nan
    return np.asarray(values)
