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


def invert_sums(sums: np.ndarray, count: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
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
    count : (2 m + 1, 2 m + 1, m + 2) float32 array
        How many tilts reach every frequency, at most 1; empty: sums are not divided by that of |CTF|.

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
    lines = 2 * reach + 1
    slabs = work_array("slabs", (size, lines, reach + 1), np.complex64)
    halves = work_array("halves", (centre + 1, lines, reach + 1), np.complex64)
    values, transfer = np.empty(wide * (reach + 1), np.complex64), np.empty(wide * (reach + 1), np.float32)
    for j, y in enumerate(range(-reach, reach + 1)):
        columns = min(reach + 1, int(np.ceil(np.sqrt(size**2 - y**2))))
        data, square = (a[: wide * columns].reshape(wide, columns) for a in (values, transfer))
        divide_plane(sums, count, y, size**2, SMALLEST, data, square)
        inverse = ifft(data, axis=0)
        slabs[:centre, j, :columns], slabs[centre:, j, :columns] = inverse[-centre:], inverse[: size - centre]
        # the inverse of real values is the conjugate of their transform
        np.conjugate(rfft(square, axis=0)[: centre + 1], out=halves[:, j, :columns])
        slabs[:, j, columns:] = halves[:, j, columns:] = 0
    box, spread = np.empty((size, size, size), np.float32), np.empty((size, size, size), np.float32)
    plane = np.zeros((wide, reach + 1), np.complex64)

    def invert_plane(slab: np.ndarray, after: int) -> np.ndarray:
        """Return the voxels of a plane of frequencies from -centre to `after` along y and x, the latter excluded."""
        plane[: reach + 1], plane[-reach:] = slab[reach:], slab[:reach]
        inverse = ifft(plane, axis=0)
        rows = np.concatenate([inverse[-centre:], inverse[:after]])
        voxels = irfft(rows, wide, axis=1, overwrite_x=True)
        return np.concatenate([voxels[:, -centre:], voxels[:, :after]], axis=1)

    # trilinear insertion weakens what lies away from the centre, see gridding_correction
    weak = (1 / np.sinc(np.arange(-centre, centre + 1) / wide) ** 2).astype(np.float32)
    across, order = weak[:, None] * weak, np.fft.ifftshift(np.arange(size))
    for k in range(size):
        np.multiply(invert_plane(slabs[k], size - centre), weak[k] * across[:size, :size], out=box[k])
    for z in range(centre + 1):
        half = invert_plane(halves[z], centre + 1) * (weak[z + centre] / np.float32(wide) * across)
        if z < size - centre:
            spread[z] = half[np.ix_(order, order)]
        if z:  # the CTF volume is even
            spread[-z] = half[::-1, ::-1][np.ix_(order, order)]
    return box, spread
