"""Newton ascents: of many poses in step with each other, for a device that takes them in one launch; of one box."""

from collections.abc import Callable

import numpy as np

from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.likelihood.ascents import Ascents, begin_ascents

MAX_STEPS = 8

Likelihoods = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def newton_ascents(
    likelihoods: Likelihoods,
    owner: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    centres: tuple[np.ndarray, np.ndarray],
    precision: np.ndarray,
    limits: tuple[float, float],
    steps: int = MAX_STEPS,
) -> Ascents:
    """Return the ends of ascents: the posterior density's modes nearest to the poses.

    Parameters
    ----------
    likelihoods : callable
        Owners, rotations and shifts to log likelihoods (p), gradients (p, 6) and information (p, 6, 6).
    owner : (p,) int array
        Whose pose it is.
    rotations, shifts : (p, 3, 3) and (p, 3) arrays
    centres : (b, 3, 3) and (b, 3) arrays
        Of every owner's prior.
    precision : (2,) array
        1 / variance of a rotation (radians) and of a shift (voxels).
    limits : (float, float)
        Longest rotation (radians) and shift (voxels) of one step.
    steps : int
        At most.
    """
    from emtomo.compute.kernels.newton_cpu import take_steps

    ascents = begin_ascents(rotations, shifts)
    active = np.arange(len(owner))
    centre_rotations, centre_shifts = (np.ascontiguousarray(centre, np.float64) for centre in centres)
    for _ in range(steps + 1):
        found = likelihoods(owner[active], ascents.rotation[active], ascents.shift[active])
        ended = np.empty(len(active), np.bool_)
        take_steps(
            ascents, active, owner, *map(np.ascontiguousarray, found), centre_rotations, centre_shifts,
            np.asarray(precision, float), np.array(limits), ended,
        )  # fmt: skip
        active = active[~ended]
        if not len(active):
            break
    return ascents


def ascend_box(
    reference: np.ndarray,
    k: np.ndarray,
    data: np.ndarray,
    weight: np.ndarray,
    size: int,
    start: tuple[np.ndarray, np.ndarray],
    prior: tuple[np.ndarray, np.ndarray, np.ndarray],
    limits: tuple[float, float],
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation and shift of largest posterior density near a start, of one box on the CPU.

    Parameters
    ----------
    reference : array
        As :func:`~emtomo.compute.fourier.padded_reference.transform_padded` returns it.
    k : (n, 3) array
        Whole-numbered frequencies.
    data, weight : (n,) complex64 and float32 arrays
        Divided by the noise's variance.
    size : int
        Edge of the box.
    start : (3, 3) and (3,) arrays
    prior : (3, 3), (3,) and (2,) arrays
        Centre, and precisions of a rotation (radians) and a shift (voxels).
    limits : (float, float)
        Longest rotation (radians) and shift (voxels) of one step.
    steps : int
        At most.
    """
    from emtomo.compute.kernels import fourier_cpu

    ascents = begin_ascents(start[0][None], start[1][None])
    fourier_cpu.newton_ascents(
        reference, np.float32(PAD), k, k, np.eye(3)[None], data[None], weight[None], size, *prior, np.array(limits),
        steps, ascents,
    )  # fmt: skip
    return ascents.best_rotation[0], ascents.best_shift[0]
