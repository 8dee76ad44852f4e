"""The sweep over images on a CUDA device, as many images at a time as its memory is set aside for."""

import math
from typing import Any

import numpy as np

from emtomo.compute.device import device_arrays

BATCH_BYTES = 2**30
LANES = 64  # at most, that add up one image


def fit_on_device(device: str, everything: tuple[Any, ...], out: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Do on a device what :func:`~emtomo.compute.kernels.image_fit_cpu.fit_images` does for all particles.

    `everything` are its arguments from the references on, `out` the score, gradient and information to be filled.
    """
    from emtomo.compute.kernels.image_fit_cuda import THREADS, fit_images_cuda

    (references, pad, k, data, used, reference, rotations, magnification, shifts, size, phase, optics, defocus,
     inverse_noise, amplitude, factor, magnify) = everything  # fmt: skip
    score, gradient, information = out
    xp = device_arrays(device)
    q = gradient.shape[2]
    lanes = int(np.clip(len(k) // 8, 1, LANES))
    width = 1 + q + q * (q + 1) // 2
    fixed = [xp.asarray(a) for a in (references, k, reference, magnification, phase, optics, inverse_noise)]
    transforms, frequencies, owner, magnified, phases, slopes, inverse = fixed
    amplitudes, factors = xp.asarray(amplitude), xp.asarray(factor)
    particles, tilts = np.nonzero(used)
    batch = max(1, BATCH_BYTES // (8 * len(k) + 4 * lanes * width))
    lower = np.tril_indices(q)
    for first in range(0, len(particles), batch):
        p, t = particles[first : first + batch], tilts[first : first + batch]
        lanes_out = xp.zeros((len(p), lanes, width), np.float32)
        own = [
            xp.asarray(np.ascontiguousarray(a))
            for a in (data[p, t], rotations[p, t], shifts[p, t].astype(np.float32), defocus[p, t])
        ]
        fit_images_cuda[-(-len(p) * lanes // THREADS), THREADS](
            xp.asarray(p, np.int32), xp.asarray(t, np.int32), transforms, pad, frequencies, own[0], owner, own[1],
            magnified, own[2], np.float32(2 * math.pi / size), phases, slopes, own[3], inverse, amplitudes, factors,
            magnify, q, lanes_out,
        )  # fmt: skip
        sums = lanes_out.sum(axis=1, dtype=np.float64)
        sums = sums if xp is np else xp.asnumpy(sums)
        score[p, t], gradient[p, t] = sums[:, 0], sums[:, 1 : 1 + q]
        products = np.zeros((len(p), q, q))
        products[:, lower[0], lower[1]] = products[:, lower[1], lower[0]] = sums[:, 1 + q :]
        information[p, t] = products
