"""CUDA driver of the fit of images; parameters and arguments as on the CPU (:mod:`.image_fit_cpu`), the same body.

Each thread adds up some frequencies of one image, in arrays of its own; the lanes are added up afterwards, in a fixed
order.
"""

import math

import numpy as np
from numba import cuda

from emtomo.compute.kernels.fourier import value
from emtomo.compute.kernels.image_fit import section_slopes, to_image_axes

THREADS = 128
MOST = 14  # parameters of an image
ZERO = np.float32(0.0)
TWO = np.float32(2.0)


@cuda.jit
def fit_images_cuda(
    images, tilts, references, pad, k, data, reference, rotations, magnification, shifts, turn, phase, optics, defocus,
    inverse_noise, amplitude, factor, magnify, q, out,
):  # fmt: skip
    """Fill `out` (v, lanes, 1 + q + q (q + 1) / 2) with log likelihood, gradient and lower triangle of information.

    Image v is one of particle ``images[v]`` in tilt ``tilts[v]``; data, rotations, shifts and defocus are the images'.
    """
    task = cuda.grid(1)
    lanes = out.shape[1]
    v, lane = task // lanes, task % lanes
    if v >= out.shape[0]:
        return
    p, t = images[v], tilts[v]
    ref, r, m = references[reference[p]], rotations[v], magnification
    gradient = cuda.local.array(MOST, np.float32)
    products = cuda.local.array(MOST * (MOST + 1) // 2, np.float32)
    re, im = cuda.local.array(MOST, np.float32), cuda.local.array(MOST, np.float32)
    for a in range(q):
        gradient[a] = ZERO
    for a in range(q * (q + 1) // 2):
        products[a] = ZERO
    total = ZERO
    half = ref.shape[0] // 2
    ax, ay, az, bx, by, bz = to_image_axes(r, pad, m)
    count = optics.shape[0]
    for i in range(lane, k.shape[0], lanes):
        kx, ky = k[i, 0], k[i, 1]
        x, y = m[0, 0] * kx + m[1, 0] * ky, m[0, 1] * kx + m[1, 1] * ky
        px, py, pz = ax * kx + bx * ky, ay * kx + by * ky, az * kx + bz * ky
        angle = phase[t, i] + defocus[v] * optics[0, i]
        w = factor[p] * amplitude[reference[p], t, i]
        c, d = w * math.sin(angle), w * math.cos(angle)
        move = turn * (kx * shifts[v, 0] + ky * shifts[v, 1])
        co, si = math.cos(move), math.sin(move)
        noise = inverse_noise[t, i]
        dr, di = noise * data[v, i].real, noise * data[v, i].imag
        er, ei = dr * co - di * si, di * co + dr * si
        if q == 0:
            vr, vi = value(ref, half, px, py, pz)
            total += TWO * c * (er * vr + ei * vi) - c * c * (vr * vr + vi * vi)
            continue
        vr, vi, xr, xi, yr, yi, zr, zi = section_slopes(
            ref, half, px, py, pz, pad * r[0, 0], pad * r[0, 1], pad * r[0, 2],
            pad * r[1, 0], pad * r[1, 1], pad * r[1, 2], pad * r[2, 0], pad * r[2, 1], pad * r[2, 2],
        )  # fmt: skip
        mr, mi = c * vr, c * vi
        total += TWO * (er * mr + ei * mi) - mr * mr - mi * mi
        er -= mr
        ei -= mi
        re[0], im[0] = -c * y * zr, -c * y * zi
        re[1], im[1] = c * x * zr, c * x * zi
        re[2], im[2] = c * (y * xr - x * yr), c * (y * xi - x * yi)
        re[3], im[3] = turn * kx * mi, -turn * kx * mr
        re[4], im[4] = turn * ky * mi, -turn * ky * mr
        for e in range(count):
            re[5 + e], im[5 + e] = optics[e, i] * d * vr, optics[e, i] * d * vi
        if magnify:
            a = 5 + count
            re[a], im[a] = c * kx * xr, c * kx * xi
            re[a + 1], im[a + 1] = c * kx * yr, c * kx * yi
            re[a + 2], im[a + 2] = c * ky * xr, c * ky * xi
            re[a + 3], im[a + 3] = c * ky * yr, c * ky * yi
        place = 0
        for a in range(q):
            gradient[a] += TWO * (er * re[a] + ei * im[a])
            for b in range(a + 1):
                products[place] += TWO * (re[a] * re[b] + im[a] * im[b])
                place += 1
    here = out[v, lane]
    here[0] = total
    for a in range(q):
        here[1 + a] = gradient[a]
    for a in range(q * (q + 1) // 2):
        here[1 + q + a] = products[a]
