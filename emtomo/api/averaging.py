"""Averages of subtomograms that are arrays: refined to gold standard, or reconstructed from known poses."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.api.keywords import accept_options, merge_options
from emtomo.checks import check_array, check_pixel_size, check_tilt_range, check_volume, check_whole_number
from emtomo.compute.averaging import wedge_weights
from emtomo.compute.likelihood.poses import Poses, assign_halves
from emtomo.compute.likelihood.views import BoxParticles
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import Reconstruction
from emtomo.compute.refinement.reconstruct import reconstruct as reconstruct_average
from emtomo.compute.refinement.refine import Refinement, RefinementMetrics, RefinementResult
from emtomo.compute.rotations import check_rotations
from emtomo.errors import EmtomoError
from emtomo.wording import count_text


@accept_options(RefineOptions)
def refine(
    boxes: np.ndarray,
    rotations: np.ndarray,
    reference: np.ndarray,
    pixel_size: float,
    options: RefineOptions | None = None,
    *,
    shifts: np.ndarray | None = None,
    half_sets: np.ndarray | None = None,
    tilt_range: tuple[float, float] | None = None,
    weights: np.ndarray | None = None,
    weights_kind: str = "ctf",
    premultiplied: bool = False,
    mask: np.ndarray | None = None,
    device: str = "cpu",
    on_progress: Callable[[RefinementMetrics], None] | None = None,
    **keywords: Any,
) -> RefinementResult:
    """Refine the poses of subtomograms: two independent half sets, until nothing changes (gold standard).

    Parameters
    ----------
    boxes : (m, n, n, n) array
        Bright particles; a memory map is read box by box.
    rotations : (m, 3, 3) array
        Where the search starts: tomogram = R @ reference, on x, y, z.
    reference : (n, n, n) array
        Any grey scale; low-passed at `initial_lowpass` before it is used.
    pixel_size : float
        Å per voxel.
    options : RefineOptions, optional
        Or give its fields as keywords.
    shifts : (m, 3) array, optional
        x, y, z of the particle's centre from the box's centre voxel ``n // 2``, in voxels.
    half_sets : (m,) array of 1 and 2, optional
        By default drawn with the seed.
    tilt_range : (float, float), optional
        Tilt angles in degrees about y, between which Fourier space was measured. By default no missing wedge.
    weights : (n, n, n // 2 + 1) or (m, n, n, n // 2 + 1) array, optional
        Weights in Fourier space instead, in the order of ``numpy.fft.rfftn``: one for all boxes, or one for each.
    weights_kind : {"ctf", "ctf_squared", "wedge"}
        What `weights` are.
    premultiplied : bool
        The boxes were multiplied by their CTF.
    mask : (n, n, n) array, optional
        From 0 to 1; by default a sphere of `mask_diameter`.
    device : {"cpu", "cuda", "cuda:N"}
    on_progress : callable, optional
        Called with the metrics of every iteration.

    Returns
    -------
    RefinementResult
        Refined ``poses``, ``average``, unfiltered ``halves``, FSC ``curves``, ``resolution`` in Å, ``mask``, and
        the metrics of every iteration.

    Raises
    ------
    EmtomoError
        If an option is unknown or out of bounds, arrays do not fit together, or a half set is empty.
    """
    merged = merge_options(RefineOptions, options, keywords)
    particles = _particles(boxes, pixel_size, tilt_range, weights, weights_kind, premultiplied)
    poses = _poses(len(particles), rotations, shifts, half_sets, merged.seed)
    given = None if mask is None else check_volume(mask, "mask")
    refinement = Refinement(particles, poses, check_volume(reference, "reference"), merged, given, device)
    if on_progress is None:
        return refinement.run()
    return refinement.run(lambda state, metrics: on_progress(metrics))


def reconstruct(
    boxes: np.ndarray,
    rotations: np.ndarray,
    *,
    shifts: np.ndarray | None = None,
    half_sets: np.ndarray | None = None,
    symmetry: str = "C1",
    tilt_range: tuple[float, float] | None = None,
    weights: np.ndarray | None = None,
    weights_kind: str = "ctf",
    premultiplied: bool = False,
    seed: int = 1,
) -> Reconstruction:
    """Average subtomograms in known poses; every frequency is divided by how much was measured of it.

    Parameters
    ----------
    boxes, rotations, shifts, half_sets, tilt_range, weights, weights_kind, premultiplied
        As in :func:`refine`.
    symmetry : str
        Point group: Cn, Dn, T, O, I1 or I2.
    seed : int
        Of the half sets, where none are given.

    Returns
    -------
    Reconstruction
        ``average``, the two ``halves`` and their ``fsc``.

    Raises
    ------
    EmtomoError
        If arrays do not fit together, or there is no such symmetry.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> boxes = np.random.default_rng(1).normal(size=(4, 16, 16, 16)).astype("float32")
    >>> average = emtomo.reconstruct(boxes, np.repeat(np.eye(3)[None], 4, axis=0)).average
    >>> average.shape
    (16, 16, 16)
    """
    particles = _particles(boxes, 1.0, tilt_range, weights, weights_kind, premultiplied)
    return reconstruct_average(particles, _poses(len(particles), rotations, shifts, half_sets, seed), symmetry)


def _particles(
    boxes: np.ndarray,
    pixel_size: float,
    tilt_range: tuple[float, float] | None,
    weights: np.ndarray | None,
    weights_kind: str,
    premultiplied: bool,
) -> BoxParticles:
    """Return boxes and weights as the refinement reads them."""
    boxes = boxes if hasattr(boxes, "shape") else np.asarray(boxes)
    if boxes.ndim != 4 or boxes.size == 0 or len(set(boxes.shape[1:])) != 1 or boxes.dtype.kind not in "biuf":
        raise EmtomoError(
            f"Boxes must be an array of numbers (m, n, n, n), at least one cube, got {boxes.dtype} {boxes.shape}."
        )
    if tilt_range is not None and weights is not None:
        raise EmtomoError("Give either a tilt range or weights, not both.")
    m, n = boxes.shape[:2]
    kind, each = "none", False
    if tilt_range is not None:
        low, high = np.array(check_tilt_range(tilt_range))[:, None]
        weights, weights_kind = wedge_weights(n, np.eye(3)[None], low, high), "wedge"
    if weights is not None:
        kind, each = weights_kind, np.ndim(weights) == 4
        expected = (m, n, n, n // 2 + 1) if each else (n, n, n // 2 + 1)
        weights = check_array(weights, f"Weights of boxes of {n} voxels", expected, finite=not each)
    keys, size = list(range(m)) if each else [0] * m, check_pixel_size(pixel_size)
    return BoxParticles(n, size, _Boxes(boxes), keys, _Weights(weights, each), kind, premultiplied)


class _Boxes:
    """Box by number; a class, so that it can be sent to other processes."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes

    def __call__(self, i: int) -> np.ndarray:
        return np.asarray(self.boxes[i], np.float32)


class _Weights:
    """Weights by number, or the same for all."""

    def __init__(self, weights: np.ndarray | None, each: bool) -> None:
        self.weights, self.each = weights, each

    def __call__(self, key: Any) -> np.ndarray:
        assert self.weights is not None, "boxes without weights have none to ask for"
        if not self.each:
            return self.weights
        return check_array(self.weights[key], f"Weights of box {key + 1}", self.weights.shape[1:])


def _poses(m: int, rotations: np.ndarray, shifts: np.ndarray | None, half_sets: np.ndarray | None, seed: int) -> Poses:
    """Return the given poses, checked."""
    many = count_text(m, "box")
    given = check_array(rotations, f"Rotations, one for each of {many},", (m, 3, 3))
    check_rotations(given)
    offsets = np.zeros((m, 3))
    if shifts is not None:
        offsets = check_array(shifts, f"Shifts (x, y, z), one for each of {many},", (m, 3))
    if half_sets is None:
        return Poses(given, offsets, assign_halves(m, check_whole_number(seed, "The seed")))
    halves = np.asarray(half_sets)
    if halves.shape != (m,) or not np.isin(halves, (1, 2)).all():
        raise EmtomoError(f"half_sets must hold 1 or 2 for each of {many}.")
    return Poses(given, offsets, halves.astype(int))
