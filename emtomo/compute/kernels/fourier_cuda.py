"""CUDA drivers: sections, the likelihood with its derivatives, insertion; the same bodies as on the CPU.

They work on many particles at a time. A particle's views are rows of the data, ``first[b]`` to ``first[b + 1]``; the
whole-numbered frequencies of a view are brought into the particle's frame, in which everything is computed. Where
a sum is the nature of the thing there are two bodies: each thread of the likelihood keeps 28 sums of its own in
registers, which are added up in a fixed order afterwards; insertion uses atomic additions, so that its last digits
depend on their order.
"""

import math

import numpy as np
from numba import cuda

from emtomo.compute.kernels.fourier import place, residual, to_particle, value, value_and_gradient

THREADS = 128
SUMS = 28  # log likelihood, six derivatives, 21 products
ZERO = np.float32(0.0)
ONE = np.float32(1.0)
TWO = np.float32(2.0)


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
def likelihoods_cuda(ref, pad, k, chosen, views, first, data, weight, owner, rotations, shifts, phase_per_voxel, out):  # noqa: PLR0915 each sum is a statement
    """Fill `out` (p, lanes, 28) with the log likelihoods of p poses, their gradients and information.

    Pose p is one of particle ``owner[p]``; only the frequencies `chosen` count. Every lane adds up some of them.
    """
    task = cuda.grid(1)
    lanes = out.shape[1]
    p, t = task // lanes, task % lanes
    if p >= out.shape[0]:
        return
    m = ref.shape[0] // 2
    r, b, shift = rotations[p], owner[p], shifts[p]
    count = chosen.shape[0]
    total, g0, g1, g2, g3, g4, g5 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    h00, h10, h11, h20, h21, h22, h30, h31, h32, h33 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    h40, h41, h42, h43, h44, h50, h51, h52, h53, h54 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    h55 = ZERO
    for j in range(t, (first[b + 1] - first[b]) * count, lanes):
        v = j // count
        i = chosen[j - v * count]
        v += first[b]
        x, y, z = to_particle(views[v], k[i, 0], k[i, 1], k[i, 2])
        qx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
        qy = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
        qz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
        vr, vi, xr, xi, yr, yi, zr, zi = value_and_gradient(ref, m, qx, qy, qz)
        phase = phase_per_voxel * (x * shift[0] + y * shift[1] + z * shift[2])
        co, si = math.cos(phase), math.sin(phase)
        d, w = data[v, i], weight[v, i]
        er = d.real * co - d.imag * si
        ei = d.imag * co + d.real * si
        total += TWO * (er * vr + ei * vi) - w * (vr * vr + vi * vi)
        er -= w * vr
        ei -= w * vi
        # by a rotation, which moves the point by q x omega, and by a shift, which multiplies by -2 pi i k / size
        ar, ai = yr * qz - zr * qy, yi * qz - zi * qy
        br, bi = zr * qx - xr * qz, zi * qx - xi * qz
        cr, ci = xr * qy - yr * qx, xi * qy - yi * qx
        tx, ty, tz = phase_per_voxel * x, phase_per_voxel * y, phase_per_voxel * z
        g0 += er * ar + ei * ai
        g1 += er * br + ei * bi
        g2 += er * cr + ei * ci
        cross = er * vi - ei * vr
        g3 += tx * cross
        g4 += ty * cross
        g5 += tz * cross
        h00 += w * (ar * ar + ai * ai)
        h10 += w * (br * ar + bi * ai)
        h11 += w * (br * br + bi * bi)
        h20 += w * (cr * ar + ci * ai)
        h21 += w * (cr * br + ci * bi)
        h22 += w * (cr * cr + ci * ci)
        wa, wb, wc = w * (vi * ar - vr * ai), w * (vi * br - vr * bi), w * (vi * cr - vr * ci)
        h30 += tx * wa
        h31 += tx * wb
        h32 += tx * wc
        h40 += ty * wa
        h41 += ty * wb
        h42 += ty * wc
        h50 += tz * wa
        h51 += tz * wb
        h52 += tz * wc
        power = w * (vr * vr + vi * vi)
        h33 += power * tx * tx
        h43 += power * ty * tx
        h44 += power * ty * ty
        h53 += power * tz * tx
        h54 += power * tz * ty
        h55 += power * tz * tz
    o = out[p, t]
    o[0], o[1], o[2], o[3], o[4], o[5], o[6] = total, TWO * g0, TWO * g1, TWO * g2, TWO * g3, TWO * g4, TWO * g5
    o[7], o[8], o[9], o[10], o[11], o[12] = TWO * h00, TWO * h10, TWO * h11, TWO * h20, TWO * h21, TWO * h22
    o[13], o[14], o[15], o[16] = TWO * h30, TWO * h31, TWO * h32, TWO * h33
    o[17], o[18], o[19], o[20], o[21] = TWO * h40, TWO * h41, TWO * h42, TWO * h43, TWO * h44
    o[22], o[23], o[24], o[25], o[26], o[27] = TWO * h50, TWO * h51, TWO * h52, TWO * h53, TWO * h54, TWO * h55


@cuda.jit
def inserts_cuda(k, pad, views, first, data, weight, owner, rotations, shifts, phase_per_voxel, factors, sums):
    """Add particles' data, moved by minus their shifts, and weights at R.T k; one thread a pose and frequency."""
    task = cuda.grid(1)
    n = k.shape[0]
    p, i = task // n, task % n
    if p >= owner.shape[0]:
        return
    r, b, shift, factor = rotations[p], owner[p], shifts[p], factors[p]
    for v in range(first[b], first[b + 1]):
        x, y, z = to_particle(views[v], k[i, 0], k[i, 1], k[i, 2])
        phase = phase_per_voxel * (x * shift[0] + y * shift[1] + z * shift[2])
        co, si = math.cos(phase), math.sin(phase)
        d = data[v, i]
        re = factor * (d.real * co - d.imag * si)
        im = factor * (d.imag * co + d.real * si)
        w = factor * weight[v, i]
        kx = pad * (r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
        ky = pad * (r[0, 1] * x + r[1, 1] * y + r[2, 1] * z)
        kz = pad * (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z)
        sign, px, py, pz, a, b1, c = place(sums.shape[0] // 2, kx, ky, kz)
        im *= sign
        for dz in range(2):
            fz = c if dz else ONE - c
            for dy in range(2):
                fy = fz * (b1 if dy else ONE - b1)
                for dx in range(2):
                    f = fy * (a if dx else ONE - a)
                    cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 0), f * re)
                    cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 1), f * im)
                    cuda.atomic.add(sums, (pz + dz, py + dy, px + dx, 2), f * w)


@cuda.jit
def residuals_cuda(
    ref, pad, k, explained, views, owner, group, data, weight, rotations, shifts, phase_per_voxel, power, measured
):
    """Add to `power` and `measured` (g, n) what the reference leaves of all views' data, and their weights.

    Rows of `data` and `weight` are views, of particle ``owner[v]`` in noise group ``group[v]``. Only frequencies that
    are `explained` are compared; one thread a frequency.
    """
    i = cuda.grid(1)
    if i >= k.shape[0]:
        return
    for v in range(data.shape[0]):
        b, g = owner[v], group[v]
        x, y, z = to_particle(views[v], k[i, 0], k[i, 1], k[i, 2])
        shift = shifts[b]
        phase = phase_per_voxel * (x * shift[0] + y * shift[1] + z * shift[2])
        co, si = math.cos(phase), math.sin(phase)
        d = data[v, i]
        re, im = d.real * co - d.imag * si, d.imag * co + d.real * si
        power[g, i] += residual(ref, pad, x, y, z, explained[i], re, im, weight[v, i], rotations[b])
        measured[g, i] += weight[v, i]
