"""Projection along a tilted beam and back-projection; the tilt axis is y."""

import math

import numpy as np
from numba import njit, prange


@njit(parallel=True, cache=True)
def project_cpu(volume, cosines, sines, out):
    """Fill `out` (tilt, y, x): sums along the beam, an image at tilt t samples x cos t + z sin t."""
    nz, ny, nx = volume.shape
    nt, _, mx = out.shape
    cz, cx, c = nz // 2, nx // 2, mx // 2
    reach = int(math.ceil(math.sqrt(nz * nz + nx * nx) / 2)) + 1
    for task in prange(nt * ny):
        t, y = task // ny, task % ny
        co, si = cosines[t], sines[t]
        for i in range(mx):
            u = i - c
            total = 0.0
            for w in range(-reach, reach + 1):
                x = u * co - w * si + cx
                z = u * si + w * co + cz
                if not (x >= 0 and z >= 0 and x <= nx - 1 and z <= nz - 1):
                    continue
                x0, z0 = int(x), int(z)
                x1, z1 = min(x0 + 1, nx - 1), min(z0 + 1, nz - 1)
                a, b = x - x0, z - z0
                total += (1 - b) * ((1 - a) * volume[z0, y, x0] + a * volume[z0, y, x1]) + b * (
                    (1 - a) * volume[z1, y, x0] + a * volume[z1, y, x1]
                )
            out[t, y, i] = total


@njit(parallel=True, cache=True, fastmath=True)
def backproject_cpu(images, cosines, sines, out):
    """Fill `out` (z, y, x) with the mean over tilts of the images at x cos t + z sin t."""
    nt, ny, mx = images.shape
    nz, _, nx = out.shape
    cz, cx, c = nz // 2, nx // 2, mx // 2
    for task in prange(nz * ny):
        z, y = task // ny, task % ny
        row = np.zeros(nx, np.float32)
        for t in range(nt):
            start = np.float32(c - cx * cosines[t] + (z - cz) * sines[t])
            step = np.float32(cosines[t])
            for x in range(nx):
                u = start + np.float32(x) * step
                if u >= 0 and u <= mx - 1:
                    i = int(u)
                    a = u - np.float32(i)
                    row[x] += (np.float32(1) - a) * images[t, y, i] + a * images[t, y, min(i + 1, mx - 1)]
        for x in range(nx):
            out[z, y, x] = row[x] / np.float32(nt)
