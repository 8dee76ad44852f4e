"""From the sums of a subtomogram to its box and the spread of its CTF volume, one axis after the other."""

import threading

import numpy as np

from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.fourier.transforms import ifft, irfft, rfft

SMALLEST = 1e-6  # of the sums of |CTF| that are divided by, as Warp has it
_of_thread = threading.local()


def work_array(name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
    """Return an array of a thread's own, with the values it was left with: new memory takes longer than its use."""
    array: np.ndarray | None = getattr(_of_thread, name, None)
    if array is None or array.shape != shape or array.dtype != kind:
        array = np.empty(shape, kind)
        setattr(_of_thread, name, array)
    return array


def invert_sums(sums: np.ndarray, size: int, premultiplied: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a subtomogram and what its CTF volume is in real space, both corrected for trilinear insertion.

    As :func:`emtomo.compute.fourier.reconstruction.invert_padded` of both, in a third of the time: frequencies that are
    zero and voxels that are not wanted take no transform, nothing is copied, and of the CTF volume, which is real and
    even, a half is transformed.

    Parameters
    ----------
    sums : (2 m + 1, 2 m + 1, m + 2, FIELDS) float32 array
        Of all tilts.
    size : int
        Edge of the box; the sums are those of a box of twice the edge.
    premultiplied : bool
        Sums are not divided by that of |CTF|.

    Returns
    -------
    box : (size, size, size) float32 array
        Its centre at ``size // 2``.
    spread : float32 array of that shape
        Its centre at 0.
    """
    from emtomo.compute.kernels.subtomogram_cpu import divide_plane

    wide, centre = PAD * size, size // 2
    reach = min(sums.shape[0] // 2, wide // 2 - 1)
    full, keep, both = np.arange(-reach, reach + 1), np.arange(size) - centre, np.arange(-centre, centre + 1)
    slabs = work_array("slabs", (size, len(full), reach + 1), np.complex64)
    halves = work_array("halves", (centre + 1, len(full), reach + 1), np.complex64)
    values, transfer = np.empty(wide * (reach + 1), np.complex64), np.empty(wide * (reach + 1), np.float32)
    for j, y in enumerate(full.tolist()):
        columns = min(reach + 1, int(np.ceil(np.sqrt(size**2 - y**2))))
        data, square = (a[: wide * columns].reshape(wide, columns) for a in (values, transfer))
        divide_plane(sums, y, size**2, SMALLEST, premultiplied, data, square)
        slabs[:, j, :columns] = ifft(data, axis=0)[keep]
        halves[:, j, :columns] = rfft(square, axis=0)[: centre + 1]
        slabs[:, j, columns:] = halves[:, j, columns:] = 0
    # the inverse of real values is the conjugate of their transform
    np.conjugate(halves, out=halves)
    halves *= np.float32(1 / wide)
    box, spread = np.empty((size, size, size), np.float32), np.empty((size, size, size), np.float32)
    plane, order = np.zeros((wide, reach + 1), np.complex64), np.fft.ifftshift(keep)

    def invert_plane(slab: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Return the kept voxels of a plane of frequencies along y and x."""
        plane[full % wide] = slab
        return irfft(ifft(plane, axis=0)[kept], wide, axis=1, overwrite_x=True)[:, kept]

    weak = np.sinc(both / wide) ** 2  # of trilinear insertion, see gridding_correction
    for k in range(size):
        inner = weak[keep + centre]
        box[k] = invert_plane(slabs[k], keep) / (inner[k] * inner[:, None] * inner)
    for z in range(centre + 1):
        half = invert_plane(halves[z], both) / (weak[z + centre] * weak[:, None] * weak)
        if z < size - centre:
            spread[z] = half[np.ix_(order + centre, order + centre)]
        if z:
            spread[-z] = half[np.ix_(centre - order, centre - order)]
    return box, spread
