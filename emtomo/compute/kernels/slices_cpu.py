"""Kernels that draw slices: grey values to 8 bits, at any zoom."""

import numpy as np
from numba import njit

ONE = np.float32(1)


@njit(cache=True, nogil=True)
def magnify(plane, top, left, step, gain, offset, background, out):
    """Bilinear: ``out[j, i] = plane(top + j step, left + i step) gain + offset``, at most one pixel a step."""
    ny, nx = plane.shape
    for j in range(out.shape[0]):
        y = top + j * step
        iy = int(np.floor(y))
        ty = np.float32(y - iy)
        for i in range(out.shape[1]):
            x = left + i * step
            ix = int(np.floor(x))
            tx = np.float32(x - ix)
            # a pixel reaches half a pixel beyond its centre
            if not (x >= -0.5 and y >= -0.5 and x <= nx - 0.5 and y <= ny - 0.5):
                out[j, i] = background
                continue
            xa, xb, ya, yb = max(ix, 0), min(ix + 1, nx - 1), max(iy, 0), min(iy + 1, ny - 1)
            low = np.float32(plane[ya, xa]) * (ONE - tx) + np.float32(plane[ya, xb]) * tx
            high = np.float32(plane[yb, xa]) * (ONE - tx) + np.float32(plane[yb, xb]) * tx
            v = (low * (ONE - ty) + high * ty) * gain + offset
            out[j, i] = 0 if v < 0 else 255 if v > 255 else np.uint8(v)


@njit(cache=True, nogil=True)
def reduce(plane, top, left, step, gain, offset, background, out):
    """Mean of the pixels that fall into each pixel of `out`, more than one a step: no aliasing."""
    ny, nx = plane.shape
    for j in range(out.shape[0]):
        ya = int(np.floor(top + (j - 0.5) * step + 0.5))
        yb = max(int(np.floor(top + (j + 0.5) * step + 0.5)), ya + 1)
        for i in range(out.shape[1]):
            xa = int(np.floor(left + (i - 0.5) * step + 0.5))
            xb = max(int(np.floor(left + (i + 0.5) * step + 0.5)), xa + 1)
            total, count = np.float32(0), 0
            for y in range(max(ya, 0), min(yb, ny)):
                for x in range(max(xa, 0), min(xb, nx)):
                    total += np.float32(plane[y, x])
                    count += 1
            if count == 0:
                out[j, i] = background
            else:
                v = total / np.float32(count) * gain + offset
                out[j, i] = 0 if v < 0 else 255 if v > 255 else np.uint8(v)


@njit(cache=True, nogil=True)
def quantise(plane, low, gain, out):
    """``out = (plane - low) gain``, cut to 0 and 255."""
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            v = (plane[j, i] - low) * gain
            out[j, i] = 0 if v < 0 else 255 if v > 255 else np.uint8(v + np.float32(0.5))
