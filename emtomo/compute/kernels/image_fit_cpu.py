"""CPU drivers: images against sections of a reference, with gradient and Fisher information by what may be wrong.

The model of an image is amplitude(k) CTF(k) V(k), V the section, moved to where the particle is seen. Parameters, in
this order: a rotation about the image's axes x, y, z (radians), a shift along x, y (pixels), rows of `optics` (the
derivatives of the CTF's phase; the first is the defocus), and, where asked for, the magnification xx, xy, yx, yy.
"""

import math

import numpy as np
from numba import njit

from emtomo.compute.kernels.fourier import value
from emtomo.compute.kernels.fourier_cpu import apply_phase_shift, phases
from emtomo.compute.kernels.image_fit import section_slopes, to_image_axes

F = np.float32
# elementwise loops only, and no re-association: the reduction of an angle must stay in its three steps
CAREFUL = {"nnan", "ninf", "nsz", "contract"}


@njit(nogil=True, cache=True, fastmath=CAREFUL, forceinline=True)
def sines_and_cosines(angle, sine, cosine):
    """Fill `sine` and `cosine` with those of float32 angles of any size; right to 2e-7 times the angle.

    References
    ----------
    Reduction and polynomials: S. L. Moshier, Cephes (sinf, cosf).
    """
    for i in range(angle.shape[0]):
        q = F(math.floor(angle[i] * F(0.6366197723675814) + F(0.5)))
        y = ((angle[i] - q * F(1.5703125)) - q * F(4.837512969970703e-4)) - q * F(7.549790126404332e-8)
        z = y * y
        s = y + y * z * (F(-1.6666654611e-1) + z * (F(8.3321608736e-3) - z * F(1.9515295891e-4)))
        c = (
            F(1)
            - F(0.5) * z
            + z * z * (F(4.166664568298827e-2) + z * (F(-1.388731625493765e-3) + z * F(2.443315711e-5)))
        )
        quadrant = np.int32(q) & np.int32(3)
        odd = quadrant & np.int32(1)
        a = c if odd else s
        b = s if odd else c
        sine[i] = -a if quadrant >= 2 else a
        cosine[i] = -b if (quadrant == 1 or quadrant == 2) else b


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _phases_of_ctf(phase, defocus, by_defocus, angle):
    """Fill `angle` with the CTF's phase at a defocus."""
    for i in range(angle.shape[0]):
        angle[i] = phase[i] + defocus * by_defocus[i]


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _whiten(data, inverse_noise, amplitude, factor, out, weight):
    """Fill `out` with the data divided by the noise's deviation, and `weight` with the model's amplitude."""
    for i in range(weight.shape[0]):
        out[i] = complex(data[i].real * inverse_noise[i], data[i].imag * inverse_noise[i])
        weight[i] = factor * amplitude[i]


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _slopes(ref, pad, k, data, r, magnification, weight, sine, cosine, optics, magnify, phase_per_pixel, g):
    """Return the log likelihood of an image moved to its centre; fill its residual (rows 0, 1) and its derivatives."""
    total = F(0)
    half = ref.shape[0] // 2
    ax, ay, az, bx, by, bz = to_image_axes(r, pad, magnification)
    m00, m01, m10, m11 = magnification[0, 0], magnification[0, 1], magnification[1, 0], magnification[1, 1]
    r00, r01, r02 = pad * r[0, 0], pad * r[0, 1], pad * r[0, 2]
    r10, r11, r12 = pad * r[1, 0], pad * r[1, 1], pad * r[1, 2]
    r20, r21, r22 = pad * r[2, 0], pad * r[2, 1], pad * r[2, 2]
    rows = 12 + 2 * optics.shape[0]
    for i in range(k.shape[0]):
        kx, ky = k[i, 0], k[i, 1]
        vr, vi, xr, xi, yr, yi, zr, zi = section_slopes(
            ref, half, ax * kx + bx * ky, ay * kx + by * ky, az * kx + bz * ky,
            r00, r01, r02, r10, r11, r12, r20, r21, r22,
        )  # fmt: skip
        c, d = weight[i] * sine[i], weight[i] * cosine[i]
        mr, mi = c * vr, c * vi
        er, ei = data[i].real, data[i].imag
        total += F(2) * (er * mr + ei * mi) - mr * mr - mi * mi
        g[0, i], g[1, i] = er - mr, ei - mi
        # a rotation eta moves the point by k x eta
        cx, cy = c * (m00 * kx + m10 * ky), c * (m01 * kx + m11 * ky)
        g[2, i], g[3, i] = -cy * zr, -cy * zi
        g[4, i], g[5, i] = cx * zr, cx * zi
        g[6, i], g[7, i] = cy * xr - cx * yr, cy * xi - cx * yi
        # a shift multiplies the model by -2 pi i k / size
        tx, ty = phase_per_pixel * kx, phase_per_pixel * ky
        g[8, i], g[9, i] = tx * mi, -tx * mr
        g[10, i], g[11, i] = ty * mi, -ty * mr
        g[12, i], g[13, i] = d * vr, d * vi
        if magnify:
            g[rows, i], g[rows + 1, i] = c * kx * xr, c * kx * xi
            g[rows + 2, i], g[rows + 3, i] = c * kx * yr, c * kx * yi
            g[rows + 4, i], g[rows + 5, i] = c * ky * xr, c * ky * xi
            g[rows + 6, i], g[rows + 7, i] = c * ky * yr, c * ky * yi
    for e in range(optics.shape[0] - 1, -1, -1):
        for i in range(k.shape[0]):
            g[12 + 2 * e, i], g[13 + 2 * e, i] = optics[e, i] * g[12, i], optics[e, i] * g[13, i]
    return total


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _products(g, n, gradient, information):
    """Fill the gradient and the Fisher information of an image from its residual and derivatives."""
    for a in range(gradient.shape[0]):
        ar, ai = g[2 + 2 * a], g[3 + 2 * a]
        total = F(0)
        for i in range(n):
            total += g[0, i] * ar[i] + g[1, i] * ai[i]
        gradient[a] = 2.0 * total
        for b in range(a + 1):
            br, bi = g[2 + 2 * b], g[3 + 2 * b]
            total = F(0)
            for i in range(n):
                total += ar[i] * br[i] + ai[i] * bi[i]
            information[a, b] = information[b, a] = 2.0 * total


@njit(nogil=True, cache=True)
def fit_images(
    first, last, references, pad, k, data, used, reference, rotations, magnification, shifts, size, phase, optics,
    defocus, inverse_noise, amplitude, factor, magnify, score, gradient, information,
):  # fmt: skip
    """Fill log likelihoods, gradients and information of the images of particles `first` to `last` - 1.

    Parameters
    ----------
    first, last : int
    references : (h, ...) complex64 array
        Padded transforms.
    pad : float32
    k : (n, 3) float32 array
    data : (p, t, n) complex64 array
    used : (p, t) bool array
        Others are left as they are.
    reference : (p,) int array
        Of each particle.
    rotations : (p, t, 3, 3) float32 array
        From the reference to the image, before the magnification.
    magnification : (2, 2) float32 array
    shifts : (p, t, 3) array
        Pixels; z does not count.
    size : int
    phase : (t, n) float32 array
        Of the CTF without defocus.
    optics : (e, n) float32 array
        Derivatives of the phase; the first by the defocus.
    defocus : (p, t) float32 array
        In the unit of that derivative.
    inverse_noise : (t, n) float32 array
        1 / deviation of the noise.
    amplitude : (h, t, n) float32 array
        Of every reference in every tilt, divided by the noise's deviation.
    factor : (p,) float32 array
        Of each particle's amplitude.
    magnify : bool
    score : (p, t), gradient : (p, t, q), information : (p, t, q, q) arrays
        Filled; where q is 0, the score alone.
    """
    n = k.shape[0]
    q = gradient.shape[2]
    reach = max(int(k.max()), int(-k.min())) + 1
    table = np.empty((3, 2 * reach + 1), np.complex64)
    g = np.empty((2 + 2 * max(q, 1), n), np.float32)
    moved = np.empty(n, np.complex64)
    angle, sine, cosine, weight = np.empty(n, F), np.empty(n, F), np.empty(n, F), np.empty(n, F)
    turn = F(2 * math.pi / size)
    for p in range(first, last):
        ref = references[reference[p]]
        for t in range(data.shape[1]):
            if not used[p, t]:
                continue
            _phases_of_ctf(phase[t], defocus[p, t], optics[0], angle)
            _whiten(data[p, t], inverse_noise[t], amplitude[reference[p], t], factor[p], moved, weight)
            sines_and_cosines(angle, sine, cosine)
            phases(shifts[p, t], size, reach, table)
            apply_phase_shift(k, moved, table, moved)
            if q:
                score[p, t] = _slopes(
                    ref, pad, k, moved, rotations[p, t], magnification, weight, sine, cosine, optics, magnify, turn, g
                )
                _products(g, n, gradient[p, t], information[p, t])
            else:
                score[p, t] = _score(ref, pad, k, moved, rotations[p, t], magnification, weight, sine)


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _score(ref, pad, k, data, r, m, weight, sine):
    """Return the log likelihood of an image moved to its centre."""
    total = F(0)
    half = ref.shape[0] // 2
    ax, ay, az, bx, by, bz = to_image_axes(r, pad, m)
    for i in range(k.shape[0]):
        kx, ky = k[i, 0], k[i, 1]
        vr, vi = value(ref, half, ax * kx + bx * ky, ay * kx + by * ky, az * kx + bz * ky)
        c = weight[i] * sine[i]
        vr, vi = c * vr, c * vi
        total += F(2) * (data[i].real * vr + data[i].imag * vi) - vr * vr - vi * vi
    return total


@njit(nogil=True, cache=True)
def correlate_images(
    first, last, references, pad, k, data, used, reference, rotations, magnification, shifts, size, phase, optics,
    defocus, shell, products,
):  # fmt: skip
    """Fill `products` (p, t, s, 3) with the sums over shells of X V*, |V|^2 and |X|^2.

    X are the images as they are and V the sections times the CTF alone; other arguments as in :func:`fit_images`,
    `shell` (n) the shell of every frequency.
    """
    n = k.shape[0]
    reach = max(int(k.max()), int(-k.min())) + 1
    table = np.empty((3, 2 * reach + 1), np.complex64)
    moved = np.empty(n, np.complex64)
    angle, sine, cosine = np.empty(n, F), np.empty(n, F), np.empty(n, F)
    m = magnification
    for p in range(first, last):
        ref = references[reference[p]]
        for t in range(data.shape[1]):
            if not used[p, t]:
                continue
            _phases_of_ctf(phase[t], defocus[p, t], optics[0], angle)
            sines_and_cosines(angle, sine, cosine)
            phases(shifts[p, t], size, reach, table)
            apply_phase_shift(k, data[p, t], table, moved)
            out = products[p, t]
            half = ref.shape[0] // 2
            ax, ay, az, bx, by, bz = to_image_axes(rotations[p, t], pad, m)
            for i in range(n):
                kx, ky = k[i, 0], k[i, 1]
                vr, vi = value(ref, half, ax * kx + bx * ky, ay * kx + by * ky, az * kx + bz * ky)
                vr, vi = sine[i] * vr, sine[i] * vi
                s = shell[i]
                out[s, 0] += moved[i].real * vr + moved[i].imag * vi
                out[s, 1] += vr * vr + vi * vi
                out[s, 2] += moved[i].real ** 2 + moved[i].imag ** 2
