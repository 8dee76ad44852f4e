"""Turn subtomograms into the frame of the reference and average them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.device import check_device, select_cuda, threads
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.compute.positions import check_finite
from emtomo.compute.rotations import zyx
from emtomo.options import Param

ROUNDING = np.float32(1e-6)
DEVICE_BYTES = 2**31  # of boxes that are on a GPU at a time, twice


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How subtomograms are turned and averaged."""

    interpolation: Annotated[
        str,
        Param(
            "Interpolation", "Between voxels: linear is faster, cubic keeps fine detail.", choices=("linear", "cubic")
        ),
    ] = "cubic"
    wedge: Annotated[
        bool,
        Param(
            "Missing-wedge-aware average",
            "Divide by how often each frequency was measured, instead of by the number of particles.",
        ),
    ] = True


def rotate_boxes(
    boxes: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, *, cubic: bool = True, device: str = "cpu"
) -> np.ndarray:
    """Return boxes turned so that every particle stands as the reference does.

    out(r) = box(R r + shift), with r from the centre voxel ``n // 2``; what lies
    beyond the box takes the mean of its first and last slice.

    Parameters
    ----------
    boxes : (n, m, m, m) float32 array
    rotations : (n, 3, 3) array
        tomogram = R @ reference, on x, y, z.
    shifts : (n, 3) array
        x, y, z of the particles' centres from the centre voxel, in voxels.
    cubic : bool
        Keys' cubic convolution instead of trilinear interpolation.
    device : {"cpu", "cuda", "cuda:N"}

    Raises
    ------
    EmtomoError
        If a rotation or shift is no finite number.

    References
    ----------
    Keys, Cubic convolution interpolation, IEEE TASSP 29 (1981), Eq. 15.
    """
    check_device(device)
    check_finite(rotations, "The rotation of box")
    check_finite(shifts, "The shift of box")
    boxes = np.ascontiguousarray(boxes, np.float32)
    matrices = np.ascontiguousarray(zyx(rotations), np.float32)
    offsets = np.ascontiguousarray(np.asarray(shifts)[:, ::-1], np.float32)
    out = np.empty_like(boxes)
    order = 3 if cubic else 1
    if device == "cpu":
        from emtomo.compute.kernels.boxes_cpu import rotate_cpu

        rotate_cpu(boxes, matrices, offsets, order, out)
        return out
    cuda = select_cuda(device)
    from emtomo.compute.kernels.boxes_cuda import THREADS, rotate_cuda

    at_once = max(1, DEVICE_BYTES // max(1, boxes[:1].nbytes))
    for first in range(0, len(boxes), at_once):
        some = slice(first, first + at_once)
        here = cuda.to_device(boxes[some])
        turned = cuda.device_array(here.shape, np.float32)
        outside = 0.5 * (boxes[some, 0].mean(axis=(1, 2)) + boxes[some, -1].mean(axis=(1, 2)))
        about = (cuda.to_device(a) for a in (matrices[some], offsets[some]))
        blocks = (here.size + THREADS - 1) // THREADS
        rotate_cuda[blocks, THREADS](here, *about, order, cuda.to_device(outside.astype(np.float32)), turned)
        turned.copy_to_host(out[some])
    return out


def wedge_weights(size: int, rotations: np.ndarray, tilt_min: np.ndarray, tilt_max: np.ndarray) -> np.ndarray:
    """Return how many particles measured each frequency, in the reference's frame.

    A frequency k of the tomogram is measured if atan(kz / kx) lies within the tilt
    range; the tilt axis is y, and an image at tilt t samples x cos t + z sin t.

    Parameters
    ----------
    size : int
        Edge of the box.
    rotations : (n, 3, 3) array
    tilt_min, tilt_max : (n,) arrays
        Degrees.

    Returns
    -------
    (size, size, size // 2 + 1) float32 array
        In the order of ``rfftn``.
    """
    full = np.fft.fftfreq(size)
    z, y, x = np.meshgrid(full, full, np.fft.rfftfreq(size), indexing="ij")
    k = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    total = np.zeros(len(k), np.float32)
    for rotation, low, high in zip(np.asarray(rotations, np.float32), tilt_min, tilt_max, strict=True):
        kx, kz = k @ rotation[0], k @ rotation[2]
        a, b = np.tan(np.deg2rad(low)), np.tan(np.deg2rad(high))
        # kz / kx between the tangents, for either sign of kx, without dividing; the tilt axis
        # itself, where both are zero but for rounding, is measured by every tilt
        positive = (kz >= a * kx - ROUNDING) & (kz <= b * kx + ROUNDING)
        negative = (kz <= a * kx + ROUNDING) & (kz >= b * kx - ROUNDING)
        total += positive | negative
    return total.reshape(size, size, size // 2 + 1)


def fourier_average(total: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """Return the average from a sum of turned boxes, divided by how often frequencies were measured.

    Frequencies that fewer than a tenth of the mean number of particles measured are
    divided by that tenth, so that noise there is not blown up.
    """
    floor = max(0.1 * float(weights.mean()), 1e-6)
    spectrum = rfftn(total, workers=threads())
    mean = spectrum.flat[0] / max(n, 1)
    spectrum /= np.maximum(weights, floor)
    spectrum.flat[0] = mean
    return irfftn(spectrum, total.shape, workers=threads()).astype(np.float32)
