"""A volume on disk as the slice viewers read it: memory map for xy, a copy in 8 bits for the other planes."""

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import psutil

from emtomo.compute.slices import contrast_limits, slab_mean, smoothed, to_bytes
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc

KEPT = 24  # slices
SMALL = 64 * 2**20  # bytes: an XZ slice of such a file is read at once
SHARE = 1 / 4  # of the free memory that the copies may take
ACROSS = {0: (1, 2), 1: (0, 2), 2: (1, 0)}  # plane's normal axis → (vertical, horizontal) axis, of z, y, x


class VolumeSource:
    """Slices of one volume.

    XY slices come from the memory map, in full precision. An XZ or YZ slice of a large file touches all of it, so a
    thread makes a copy in 8 bits, and one with x first if memory allows.

    Parameters
    ----------
    path : str or Path
        Any volume that :mod:`emtomo.io.images` reads; MRC files are mapped, others read whole.

    Raises
    ------
    EmtomoError
        If it is not a volume.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        info = images.describe(self.path)
        self.pixel_size = float(info.pixel_size or 0.0)
        try:
            data = mrc.open_volume(self.path)
        except EmtomoError:
            data = images.read_any(self.path)
        if data.ndim == 2:
            data = data[None]
        if data.ndim != 3 or not data.size:
            raise EmtomoError(f"{path}: a volume has three axes, this has {data.ndim}.")
        self.data = data
        self.shape: tuple[int, int, int] = (data.shape[0], data.shape[1], data.shape[2])
        self.limits = contrast_limits(self._sample())
        self._bytes: np.ndarray | None = None
        self._columns: np.ndarray | None = None
        self._cache: OrderedDict[tuple[int, int, int, float], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self.cached = 0.0
        self.settled = False  # no copy is being made, or will be
        self._stop = False

    def _sample(self) -> np.ndarray:
        nz, ny, nx = self.shape
        some = self.data[nz // 6 :: max(1, nz // 3)]  # few slices: a slow disk is asked while the window waits
        return np.asarray(some[:, :: max(1, ny // 200), :: max(1, nx // 200)], np.float32)

    # --- the copies ---

    def ready(self, axis: int) -> bool:
        """Return whether a slice across an axis is had without reading all of a large file."""
        return axis == 0 or self._bytes is not None or self.settled or self.data.nbytes <= SMALL

    def build(self) -> None:
        """Make the copies; to be called in a thread. Nothing is made where memory is short."""
        try:
            self._build()
        finally:
            self.settled = True

    def _build(self) -> None:
        free = psutil.virtual_memory().available * SHARE
        if self.data.size > free:
            return
        low, high = self._sample_range()
        made = np.empty(self.shape, np.uint8)
        for k in range(self.shape[0]):
            if self._stop:
                return
            to_bytes(self.data[k], (low, high), made[k])
            self.cached = (k + 1) / self.shape[0]
        self._range = (low, high)
        self._bytes = made
        if 2 * self.data.size < free:
            self._columns = np.ascontiguousarray(made.transpose(2, 1, 0))

    def _sample_range(self) -> tuple[float, float]:
        """Return the grey values that 8 bits span: well beyond what is shown, so that contrast can be changed."""
        low, high = self.limits
        return low - (high - low), high + (high - low)

    def close(self) -> None:
        """Stop making copies and forget them."""
        self._stop = True
        self._bytes = self._columns = None
        self._cache.clear()

    # --- slices ---

    def plane(self, axis: int, index: int, thickness: int = 1, sigma: float = 0.0) -> np.ndarray:
        """Return a slice as float32, in the units of the file.

        Parameters
        ----------
        axis : {0, 1, 2}
            What is constant: z (rows y, columns x), y (rows z, columns x) or x (rows y, columns z).
        index : int
        thickness : int
            Slices that are averaged about `index`.
        sigma : float
            Gaussian filter, pixels.
        """
        key = (axis, index, thickness, sigma)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        made = smoothed(self._mean(axis, index, thickness), sigma)
        with self._lock:
            self._cache[key] = made
            while len(self._cache) > KEPT:
                self._cache.popitem(last=False)
        return made

    def _mean(self, axis: int, index: int, thickness: int) -> np.ndarray:
        low = max(0, min(index - (thickness - 1) // 2, self.shape[axis] - 1))
        part = slice(low, max(low + 1, min(low + thickness, self.shape[axis])))
        if axis == 0:
            return slab_mean(self.data[part])
        if self._bytes is None:
            whole = self.data[:, part] if axis == 1 else self.data[:, :, part]
            return slab_mean(np.moveaxis(whole, axis, 0)) if axis == 1 else slab_mean(whole.transpose(2, 1, 0))
        if axis == 1:
            mean = slab_mean(self._bytes[:, part].swapaxes(0, 1))
        elif self._columns is not None:
            mean = slab_mean(self._columns[part])
        else:
            mean = slab_mean(self._bytes[:, :, part].transpose(2, 1, 0))
        low_grey, high_grey = self._range
        return mean * np.float32((high_grey - low_grey) / 255) + np.float32(low_grey)

    def thumbnail(self, z: float, y: float, x: float, size: int) -> np.ndarray:
        """Return the mean of the middle slices of a box about a voxel, `(size, size)`; edges are repeated."""
        z0, y0, x0 = (int(round(v)) for v in (z, y, x))
        half = max(0, size // 10)
        rows = np.clip(np.arange(y0 - size // 2, y0 - size // 2 + size), 0, self.shape[1] - 1)
        columns = np.clip(np.arange(x0 - size // 2, x0 - size // 2 + size), 0, self.shape[2] - 1)
        planes = np.clip(np.arange(z0 - half, z0 + half + 1), 0, self.shape[0] - 1)
        return np.mean([np.asarray(self.data[k][rows][:, columns], np.float32) for k in planes], axis=0)
