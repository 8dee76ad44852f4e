"""From the transforms of a subtomogram and its CTF volume to both, cut in real space: one axis after the other."""

import threading
from collections.abc import Callable

import numpy as np

from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.transforms import ifft, irfft, rfft2

_of_thread = threading.local()


def work_array(name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
    """Return an array of a thread's own, at first zero, then as it was left: new memory takes longer than its use."""
    array: np.ndarray | None = getattr(_of_thread, name, None)
    if array is None or array.shape != shape or array.dtype != kind:
        array = np.zeros(shape, kind)
        setattr(_of_thread, name, array)
    return array


def invert_planes(fill: Callable[[int, np.ndarray, np.ndarray], None], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a subtomogram and its CTF volume from their transforms at twice the edge.

    Both are corrected for trilinear insertion and cut in real space. As
    :func:`emtomo.compute.fourier.reconstruction.invert_padded` does it, but plane by plane as they are filled, and of
    the CTF volume, which is real and even in both spaces, a half is transformed there and back.

    Parameters
    ----------
    fill : callable
        Fills a plane (z, x) of both transforms: its frequency y, from 1 - size to size - 1, and (2 size, columns)
        complex64 and float32 arrays, frequency zero first. The phases of :func:`shift_phases` along all three axes are
        in the first; what lies beyond the columns, of which there is an even number, is zero.
    size : int
        Edge of the box.

    Returns
    -------
    box : (size, size, size) float32 array
        Its centre at ``size // 2``.
    transfer : (size, size, size // 2 + 1) float32 array
        In the order of ``rfftn``.
    """
    from emtomo.compute.kernels.subtomogram_cpu import separate_pairs

    wide, centre, phase = PAD * size, size // 2, shift_phases(size)
    # what lies beyond the columns of a row is never written: it stays zero while a thread goes through particles
    slabs = work_array("slabs", (size, wide, size + 1), np.complex64)
    halves = work_array("halves", (centre + 1, wide, size + 1), np.complex64)
    # transforms in place of planes that stay in the processor's cache take half the time of those into new memory
    values, transfer = np.empty(wide * (size + 1), np.complex64), np.empty(wide * (size + 1), np.float32)
    for y in range(1 - size, size):
        columns = int(np.ceil(np.sqrt(size**2 - y**2) / 2)) * 2
        data, square = (a[: wide * columns].reshape(wide, columns) for a in (values, transfer))
        fill(y, data, square)
        slabs[:, y % wide, :columns] = ifft(data, axis=0, overwrite_x=True)[:size]
        pairs = ifft(square.view(np.complex64), axis=0, overwrite_x=True)
        separate_pairs(pairs, phase[y + size - 1], phase[size - 1 :], y % wide, halves)
    # trilinear insertion weakens what lies away from the centre, see gridding_correction
    weak = (1 / np.sinc(np.arange(-centre, centre + 1) / wide) ** 2).astype(np.float32)
    return _invert_box(slabs, weak), _transform_spread(halves, weak, size)


def shift_phases(size: int) -> np.ndarray:
    """Return by which frequencies 1 - size to size - 1 along an axis of twice the edge shift a box to voxel 0."""
    return np.exp(-2j * np.pi * (size // 2) * np.arange(1 - size, size) / (PAD * size)).astype(np.complex64)


def _invert_box(slabs: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """Return a box from planes that are transforms along y and x."""
    size, wide = slabs.shape[:2]
    box, across, plane = np.empty((size, size, size), np.float32), weak[:size, None] * weak[:size], slabs[0].copy()
    for z in range(size):
        plane[:] = slabs[z]
        voxels = irfft(ifft(plane, axis=0, overwrite_x=True)[:size], wide, axis=1)
        np.multiply(voxels[:, :size], weak[z] * across, out=box[z])
    return box


def _transform_spread(halves: np.ndarray, weak: np.ndarray, size: int) -> np.ndarray:
    """Return a CTF volume from planes at z = 0, -1 ... of its inverse, that are transforms along y and x."""
    from emtomo.compute.kernels.subtomogram_cpu import fold_plane

    wide, centre = halves.shape[1], size // 2
    plane, folded = halves[0].copy(), np.empty((size, size), np.float32)
    planes = np.empty((len(halves), size, size // 2 + 1), np.complex64)
    for z in range(len(halves)):
        plane[:] = halves[z]
        voxels = irfft(ifft(plane, axis=0, overwrite_x=True)[: 2 * centre + 1], wide, axis=1)
        # the last plane of an even size stands for z = -centre and centre; irfft takes the even part of it
        fold_plane(voxels, weak, weak[z + centre] * np.float32(size), 2 * z != size, folded)
        planes[z] = rfft2(folded)
    return irfft(planes, size, axis=0, overwrite_x=True)
