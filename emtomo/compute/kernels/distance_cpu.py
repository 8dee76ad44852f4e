"""Exact Euclidean distances to a set of voxels, axis by axis."""

import numpy as np
from numba import njit, prange

FAR = np.float32(1e12)


@njit(parallel=True, cache=True)
def along_x(inside, out):
    """Fill `out` with the squared distance along x to the nearest voxel of the set."""
    nz, ny, nx = inside.shape
    for task in prange(nz * ny):
        z, y = task // ny, task % ny
        last = -1
        for x in range(nx):
            if inside[z, y, x]:
                last = x
            out[z, y, x] = FAR if last < 0 else np.float32((x - last) * (x - last))
        last = -1
        for x in range(nx - 1, -1, -1):
            if inside[z, y, x]:
                last = x
            if last >= 0:
                out[z, y, x] = min(out[z, y, x], np.float32((last - x) * (last - x)))


@njit(cache=True)
def _lower_envelope(f, n, v, z, d):
    """Fill `d` with min over q of f[q] + (p - q)^2 (Felzenszwalb & Huttenlocher, Theory of Computing 8 (2012))."""
    k = 0
    v[0] = 0
    z[0], z[1] = -1e20, 1e20
    for q in range(1, n):
        while True:
            r = v[k]
            s = ((f[q] + float(q) * q) - (f[r] + float(r) * r)) / (2.0 * (q - r))
            if s > z[k]:
                break
            k -= 1
        k += 1
        v[k] = q
        z[k], z[k + 1] = s, 1e20
    k = 0
    for p in range(n):
        while z[k + 1] < p:
            k += 1
        d[p] = np.float32(f[v[k]] + float(p - v[k]) ** 2)


@njit(parallel=True, cache=True)
def along_next(out, turn):
    """Widen squared distances along y (`turn` False) or z (True), in place."""
    nz, ny, nx = out.shape
    n = nz if turn else ny
    count = ny if turn else nz
    for task in prange(count):
        lines = np.empty((n, nx))
        f, z, d = np.empty(n), np.empty(n + 1), np.empty(n, np.float32)
        v = np.empty(n, np.int64)
        for i in range(n):
            for x in range(nx):
                lines[i, x] = out[i, task, x] if turn else out[task, i, x]
        for x in range(nx):
            for i in range(n):
                f[i] = lines[i, x]
            _lower_envelope(f, n, v, z, d)
            for i in range(n):
                lines[i, x] = d[i]
        for i in range(n):
            for x in range(nx):
                if turn:
                    out[i, task, x] = lines[i, x]
                else:
                    out[task, i, x] = lines[i, x]
