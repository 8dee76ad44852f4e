"""CUDA drivers: sections, the likelihood with its derivatives, insertion; the same bodies as on the CPU.

Where a sum is the nature of the thing there are two bodies: each thread of the likelihood keeps 28 sums of its own,
which the host adds up in a fixed order; insertion uses atomic additions, so that its last digits depend on their order.
"""

import math

import numpy as np
from numba import cuda, float32

from emtomo.compute.kernels.fourier import place, value, value_and_gradient

THREADS = 128
SUMS = 28  # log likelihood, six derivatives, 21 products
TWO = np.float32(2.0)
ONE = np.float32(1.0)


@cuda.jit
def sections_cuda(ref, pad, k, rotations, out):
    """Fill `out` (o, 2 n) with the transform at R.T k, one thread a point."""
    task = cuda.grid(1)
    n = k.shape[0]
    if task >= rotations.shape[0] * n:
        return
    o, i = task // n, task % n
    r = rotations[o]
    x, y, z = k[i, 0], k[i, 1], k[i, 2]
    re, im = value(
        ref,
        ref.shape[0] // 2,
        pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z),
        pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z),
        pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z),
    )
    out[o, 2 * i] = re
    out[o, 2 * i + 1] = im


@cuda.jit
def likelihood_cuda(ref, pad, k, data, weight, r, shift, turn, out):
    """Fill row t of `out` (threads, 28) with thread t's part of the log likelihood, its gradient and information."""
    t = cuda.grid(1)
    total = out.shape[0]
    if t >= total:
        return
    m = ref.shape[0] // 2
    g = cuda.local.array(12, float32)
    for s in range(SUMS):
        out[t, s] = 0.0
    i = t
    while i < k.shape[0]:
        x, y, z = k[i, 0], k[i, 1], k[i, 2]
        qx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
        qy = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
        qz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
        vr, vi, xr, xi, yr, yi, zr, zi = value_and_gradient(ref, m, qx, qy, qz)
        phase = turn * (x * shift[0] + y * shift[1] + z * shift[2])
        co, si = math.cos(phase), math.sin(phase)
        er = data[i].real * co - data[i].imag * si
        ei = data[i].imag * co + data[i].real * si
        w = weight[i]
        g[0], g[1] = yr * qz - zr * qy, yi * qz - zi * qy
        g[2], g[3] = zr * qx - xr * qz, zi * qx - xi * qz
        g[4], g[5] = xr * qy - yr * qx, xi * qy - yi * qx
        g[6], g[7] = turn * x * vi, -turn * x * vr
        g[8], g[9] = turn * y * vi, -turn * y * vr
        g[10], g[11] = turn * z * vi, -turn * z * vr
        out[t, 0] += TWO * (er * vr + ei * vi) - w * (vr * vr + vi * vi)
        p = 7
        for a in range(6):
            out[t, 1 + a] += TWO * ((er - w * vr) * g[2 * a] + (ei - w * vi) * g[2 * a + 1])
            for b in range(a + 1):
                out[t, p] += TWO * w * (g[2 * a] * g[2 * b] + g[2 * a + 1] * g[2 * b + 1])
                p += 1
        i += total


@cuda.jit
def insert_cuda(k, pad, data, weight, r, shift, turn, factor, sums):
    """Add a particle's data, moved by minus its shift, and its weights at R.T k; one thread a point."""
    i = cuda.grid(1)
    if i >= k.shape[0]:
        return
    x, y, z = k[i, 0], k[i, 1], k[i, 2]
    phase = turn * (x * shift[0] + y * shift[1] + z * shift[2])
    co, si = math.cos(phase), math.sin(phase)
    re = factor * (data[i].real * co - data[i].imag * si)
    im = factor * (data[i].imag * co + data[i].real * si)
    w = factor * weight[i]
    kx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
    ky = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
    kz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
    sign, px, py, pz, a, b, c = place(sums.shape[0] // 2, kx, ky, kz)
    im *= sign
    for dz in range(2):
        fz = c if dz else ONE - c
        for dy in range(2):
            fy = fz * (b if dy else ONE - b)
            for dx in range(2):
                f = fy * (a if dx else ONE - a)
                cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 0), f * re)
                cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 1), f * im)
                cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 2), f * w)
