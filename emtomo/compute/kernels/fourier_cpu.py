"""CPU drivers: sections of a reference, the likelihood with its derivatives, insertion."""

import math

import numpy as np
from numba import njit, prange

from emtomo.compute.kernels.fourier import place, residual, value, value_and_gradient
from emtomo.compute.kernels.newton_cpu import take_step

F = np.float32
U = np.uintp


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def sections(ref, pad, k, rotations, out):
    """Fill `out` (o, 2 n) with the transform at R.T k for every rotation: real, imaginary, real, ..."""
    m = ref.shape[0] // 2
    for o in range(rotations.shape[0]):
        r = rotations[o]
        a00, a01, a02 = r[0, 0] * pad, r[1, 0] * pad, r[2, 0] * pad
        a10, a11, a12 = r[0, 1] * pad, r[1, 1] * pad, r[2, 1] * pad
        a20, a21, a22 = r[0, 2] * pad, r[1, 2] * pad, r[2, 2] * pad
        for i in range(k.shape[0]):
            x, y, z = k[i, 0], k[i, 1], k[i, 2]
            re, im = value(
                ref,
                m,
                a00 * x + a01 * y + a02 * z,
                a10 * x + a11 * y + a12 * z,
                a20 * x + a21 * y + a22 * z,
            )
            out[o, 2 * i] = re
            out[o, 2 * i + 1] = im


@njit(parallel=True, cache=True)
def sections_parallel(ref, pad, k, rotations, out):
    """Fill `out` as :func:`sections` does, on all threads."""
    for o in prange(rotations.shape[0]):
        sections(ref, pad, k, rotations[o : o + 1], out[o : o + 1])


@njit(nogil=True, cache=True, fastmath=True)
def norms(section, weight, out):
    """Fill `out` (o) with the sums over k of weight |section|^2."""
    for o in range(section.shape[0]):
        total = F(0)
        for i in range(weight.shape[0]):
            total += weight[i] * (section[o, 2 * i] ** 2 + section[o, 2 * i + 1] ** 2)
        out[o] = total


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def phases(shift, size, reach, out):
    """Fill `out` (3, 2 reach + 1) with exp(2 pi i k shift / size) for k from -reach to reach along x, y, z."""
    for axis in range(3):
        for k in range(-reach, reach + 1):
            angle = 2.0 * math.pi * k * shift[axis] / size
            out[axis, k + reach] = complex(math.cos(angle), math.sin(angle))


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def apply_phase_shift(k, data, table, out):
    """Fill `out` with the data moved by minus the shift whose :func:`phases` are given."""
    reach = table.shape[1] // 2
    for i in range(k.shape[0]):
        x, y, z = int(k[i, 0]) + reach, int(k[i, 1]) + reach, int(k[i, 2]) + reach
        out[i] = data[i] * (table[0, x] * table[1, y] * table[2, z])


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _slopes(ref, pad, k, data, weight, r, phase_per_voxel, g):
    """Return the log likelihood of some points; fill their weighted residual (rows 0, 1) and six derivatives."""
    m = ref.shape[0] // 2
    total = F(0)
    for i in range(k.shape[0]):
        x, y, z = k[i, 0], k[i, 1], k[i, 2]
        qx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
        qy = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
        qz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
        vr, vi, xr, xi, yr, yi, zr, zi = value_and_gradient(ref, m, qx, qy, qz)
        w = weight[i]
        er, ei = data[i].real, data[i].imag
        total += F(2) * (er * vr + ei * vi) - w * (vr * vr + vi * vi)
        g[0, i], g[1, i] = er - w * vr, ei - w * vi
        # a rotation omega moves the point by q x omega
        g[2, i], g[3, i] = yr * qz - zr * qy, yi * qz - zi * qy
        g[4, i], g[5, i] = zr * qx - xr * qz, zi * qx - xi * qz
        g[6, i], g[7, i] = xr * qy - yr * qx, xi * qy - yi * qx
        # a shift multiplies the value by -2 pi i k / size
        g[8, i], g[9, i] = phase_per_voxel * x * vi, -phase_per_voxel * x * vr
        g[10, i], g[11, i] = phase_per_voxel * y * vi, -phase_per_voxel * y * vr
        g[12, i], g[13, i] = phase_per_voxel * z * vi, -phase_per_voxel * z * vr
    return total


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _products(g, weight, n, gradient, hessian):
    """Add the gradient and the Fisher information of `n` points to their sums."""
    for a in range(6):
        ar, ai = g[2 + 2 * a], g[3 + 2 * a]
        total = F(0)
        for i in range(n):
            total += g[0, i] * ar[i] + g[1, i] * ai[i]
        gradient[a] += 2.0 * total
        for b in range(a + 1):
            br, bi = g[2 + 2 * b], g[3 + 2 * b]
            total = F(0)
            for i in range(n):
                total += weight[i] * (ar[i] * br[i] + ai[i] * bi[i])
            hessian[a, b] += 2.0 * total


@njit(nogil=True, cache=True)
def likelihood(ref, pad, k, data, weight, rotation, size, gradient, hessian):
    """Return the log likelihood of an orientation for data already moved by minus the shift.

    Fills the gradient (6) and the Fisher information (6, 6) by a rotation about the reference's
    axes (radians) and a shift along the box's axes (voxels). Points go in runs, which float64 adds up.
    """
    run = 512
    g = np.empty((14, run), np.float32)
    gradient[:] = 0.0
    hessian[:, :] = 0.0
    total = 0.0
    phase_per_voxel = F(2 * math.pi / size)
    for start in range(0, k.shape[0], run):
        stop = min(start + run, k.shape[0])
        w = weight[start:stop]
        total += _slopes(ref, pad, k[start:stop], data[start:stop], w, rotation, phase_per_voxel, g)
        _products(g, w, stop - start, gradient, hessian)
    for a in range(6):
        for b in range(a):
            hessian[b, a] = hessian[a, b]
    return total


@njit(nogil=True, cache=True)
def shift_views(k, data, shifts, size, out):
    """Fill `out` (v, n) with views' data (v, n) moved by minus the views' shifts (v, 3).

    `k` (n, 3) are the whole-numbered frequencies of one view.
    """
    reach = max(int(k.max()), int(-k.min())) + 1
    table = np.empty((3, 2 * reach + 1), np.complex64)
    for v in range(len(data)):
        phases(shifts[v], size, reach, table)
        apply_phase_shift(k, data[v], table, out[v])


@njit(nogil=True, cache=True)
def newton_ascents(
    ref, pad, k, points, views, data, weight, size, centre_rotation, centre_shift, precision, limits, steps, ascents
):
    """Move one particle's poses to the posterior density's modes near them.

    Parameters
    ----------
    ref, pad
        The padded reference.
    k : (n, 3) float32 array
        Whole-numbered frequencies of a view.
    points : (v n, 3) float32 array
        The same of all views in the particle's frame, where they need not be whole numbers.
    views : (v, 3, 3) float64 array
        Rotations from the particle's frame into the views'.
    data, weight : (v, n) complex64 and float32 arrays
        Divided by the noise's variance.
    size : int
        Edge of the boxes or images.
    centre_rotation, centre_shift, precision, limits
        See :func:`.newton_cpu.take_step`.
    steps : int
        At most.
    """
    here, moved = np.empty(data.shape, np.complex64), np.empty((len(views), 3))
    flat, flat_weight = here.reshape(-1), weight.reshape(-1)
    gradient, information = np.empty(6), np.empty((6, 6))
    for p in range(len(ascents.density)):
        for _ in range(steps + 1):
            for v in range(len(views)):
                moved[v] = views[v] @ ascents.shift[p]
            shift_views(k, data, moved, size, here)
            rotation = ascents.rotation[p].astype(np.float32)
            value = likelihood(ref, pad, points, flat, flat_weight, rotation, size, gradient, information)
            if take_step(ascents, p, value, gradient, information, centre_rotation, centre_shift, precision, limits):
                break


@njit(nogil=True, cache=True, fastmath=True)
def residual_power(ref, pad, points, explained, data, weight, rotation, power):
    """Fill `power` (n) with what the reference leaves of a particle's data at points of its frame.

    Only points that are `explained` are compared with the reference. Data are moved by minus the particle's shift;
    neither they nor the weights are divided by the noise.
    """
    for i in range(points.shape[0]):
        d = data[i]
        power[i] = residual(
            ref, pad, points[i, 0], points[i, 1], points[i, 2], explained[i], d.real, d.imag, weight[i], rotation
        )


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _add(sums, k, j, i, f, re, im, w):
    """Add to real part, imaginary part and weight, which lie side by side."""
    sums[k, j, i, U(0)] += f * re
    sums[k, j, i, U(1)] += f * im
    sums[k, j, i, U(2)] += f * w


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def insert(k, pad, data, weight, rotation, factor, sums):
    """Add a view's data and weights at R.T k to the eight voxels about each point (the adjoint of a section)."""
    m = sums.shape[0] // 2
    r = rotation
    for i in range(k.shape[0]):
        x, y, z = k[i, 0], k[i, 1], k[i, 2]
        kx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
        ky = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
        kz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
        sign, px, py, pz, a, b, c = place(m, kx, ky, kz)
        re, im, w = factor * data[i].real, factor * sign * data[i].imag, factor * weight[i]
        x0, y0, z0, x1, y1, z1 = U(px), U(py), U(pz), U(px + 1), U(py + 1), U(pz + 1)
        a0, b0, c0 = F(1) - a, F(1) - b, F(1) - c
        _add(sums, z0, y0, x0, c0 * b0 * a0, re, im, w)
        _add(sums, z0, y0, x1, c0 * b0 * a, re, im, w)
        _add(sums, z0, y1, x0, c0 * b * a0, re, im, w)
        _add(sums, z0, y1, x1, c0 * b * a, re, im, w)
        _add(sums, z1, y0, x0, c * b0 * a0, re, im, w)
        _add(sums, z1, y0, x1, c * b0 * a, re, im, w)
        _add(sums, z1, y1, x0, c * b * a0, re, im, w)
        _add(sums, z1, y1, x1, c * b * a, re, im, w)


@njit(nogil=True, cache=True)
def insert_poses(k, pad, data, weight, views, size, factors, rotations, shifts, sums):
    """Add a particle's views (v, n) in every pose, each with its factor, as :func:`insert` does.

    `views` (v, 3, 3) are rotations from the particle's frame, `rotations` (p, 3, 3) and `shifts` (p, 3) the poses,
    float64.
    """
    moved, off = np.empty(data.shape, np.complex64), np.empty((len(views), 3))
    for p in range(len(factors)):
        for v in range(len(views)):
            off[v] = views[v] @ shifts[p]
        shift_views(k, data, off, size, moved)
        for v in range(len(views)):
            turned = (views[v] @ rotations[p]).astype(np.float32)
            insert(k, pad, moved[v], weight[v], turned, factors[p], sums)


@njit(nogil=True, cache=True)
def symmetrise(data, weights, group, slices, out_data, out_weights):
    """Fill slices of `out` with the sums over the group of the grids at S k, trilinear."""
    m = data.shape[0] // 2
    limit = float(m - 1) ** 2
    for z in slices:
        for y in range(data.shape[1]):
            for x in range(m + 1):
                kz, ky = float(z - m), float(y - m)
                if kz * kz + ky * ky + x * x > limit:
                    continue
                value, weight = 0j, 0.0
                for g in range(group.shape[0]):
                    s = group[g]
                    px = s[0, 0] * x + s[0, 1] * ky + s[0, 2] * kz
                    py = s[1, 0] * x + s[1, 1] * ky + s[1, 2] * kz
                    pz = s[2, 0] * x + s[2, 1] * ky + s[2, 2] * kz
                    conjugate = px < -1e-9
                    if conjugate:
                        px, py, pz = -px, -py, -pz
                    px = max(px, 0.0)
                    i, j, k = int(px), int(math.floor(py)), int(math.floor(pz))
                    a, b, c = px - i, py - j, pz - k
                    j, k = j + m, k + m
                    part, mass = 0j, 0.0
                    for dz in range(2):
                        fz = c if dz else 1.0 - c
                        for dy in range(2):
                            fy = fz * (b if dy else 1.0 - b)
                            for dx in range(2):
                                f = fy * (a if dx else 1.0 - a)
                                if f > 0.0:
                                    part += f * data[k + dz, j + dy, i + dx]
                                    mass += f * weights[k + dz, j + dy, i + dx]
                    value += part.conjugate() if conjugate else part
                    weight += mass
                out_data[z, y, x] = value
                out_weights[z, y, x] = weight
