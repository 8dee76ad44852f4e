"""A volume on disk as the slice viewers read it: memory map for xy, a copy in 8 bits for the other planes."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import psutil

from emtomo.compute.slices import contrast_limits, slab_mean, smooth, to_bytes
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc

KEPT = 24  # slices
SMALL = 64 * 2**20  # bytes: an XZ slice of such a file is read at once
SHARE = 1 / 4  # of the free memory that the copies may take
ACROSS = {0: (1, 2), 1: (0, 2), 2: (1, 0)}  # plane's normal axis → (vertical, horizontal) axis, of z, y, x


def open_voxels(path: Path) -> np.ndarray:
    """Return the voxels of any volume or stack that :mod:`emtomo.io.images` reads; MRC files are mapped.

    Raises
    ------
    EmtomoError
        If it is neither.
    """
    try:
        return mrc.open_volume(path)
    except EmtomoError:
        return images.read_any(path)


class VolumeSource:
    """Slices of one volume.

    XY slices come from the memory map, in full precision. An XZ or YZ slice of a large file touches all of it, so a
    thread makes a copy in 8 bits, and one with x first if memory allows.

    Parameters
    ----------
    path : str or Path
        Any volume that :mod:`emtomo.io.images` reads; MRC files are mapped, others read whole.
    first, count : int
        Take so many slices from this one on: one box of a stack. 0 takes all.
    data : (z, y, x) array, optional
        Its slices, where several files make it up.

    Raises
    ------
    EmtomoError
        If it is not a volume.
    """

    def __init__(self, path: str | Path, first: int = 0, count: int = 0, data: np.ndarray | None = None) -> None:
        self.path = Path(path)
        info = images.describe(self.path)
        self.pixel_size = float(info.pixel_size or 0.0)
        if data is None:
            data = open_voxels(self.path)
        if data.ndim == 2:
            data = data[None]
        if count:
            data = data[first : first + count]
        if data.ndim != 3 or not data.size:
            message = f"it ends before slice {first + 1}" if count else f"this has {data.ndim}"
            raise EmtomoError(f"{path}: a volume has three axes, {message}.")
        self.data = data
        # page faults of a mapped file would stop the other threads, the window's among them, on a slow disk
        mapped = isinstance(data, np.memmap)
        self._file: FileIO | None = self.path.open("rb", buffering=0) if mapped else None
        self._offset = int(getattr(data, "offset", 0)) + first * data[:1].nbytes
        self.shape: tuple[int, int, int] = (self.count_slices(data), data.shape[1], data.shape[2])
        self.limits = contrast_limits(self._sample())
        self._bytes: np.ndarray | None = None
        self._columns: np.ndarray | None = None
        self._cache: OrderedDict[tuple[int, int, int, float], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        # XY slices that were read once: the system keeps them, a disk is not asked again
        self._read = np.full(self.shape[0], not isinstance(data, np.memmap))
        self.cached = 0.0
        self.settled = False  # no copy is being made, or will be
        self._stop = False
        self._arrangement = 0  # changes when other slices are shown

    def count_slices(self, data: np.ndarray) -> int:
        """Return how many XY slices of the data are shown: all."""
        return int(data.shape[0])

    @contextmanager
    def change_arrangement(self) -> Iterator[None]:
        """Forget slices and copies; within it, what is shown changes. Copies are made by :meth:`build` again."""
        with self._lock:
            self._arrangement += 1
            yield
            self._bytes = self._columns = None
            self._cache.clear()
            self._read = np.zeros(self.shape[0], bool)
            self.cached, self.settled = 0.0, False

    def _sample(self) -> np.ndarray:
        nz, ny, nx = self.shape
        few = range(nz // 6, nz, max(1, nz // 3))
        rows, columns = slice(None, None, max(1, ny // 200)), slice(None, None, max(1, nx // 200))
        return np.array([self.slab(k, k + 1)[0, rows, columns] for k in few], np.float32)

    def slab(self, first: int, last: int) -> np.ndarray:
        """Return the XY slices from `first` to before `last`, read from the file.

        Raises
        ------
        EmtomoError
            If the file has become shorter.
        """
        part = self.data[first:last]
        if self._file is None:
            return part
        out = np.empty(part.shape, part.dtype)
        into = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        at = self._offset + first * part[:1].nbytes
        while len(into):
            count = os.preadv(self._file.fileno(), [into], at)
            if not count:
                raise EmtomoError(f"{self.path}: the file ends before slice {last}.")
            into, at = into[count:], at + count
        return out

    # --- the copies ---

    def ready(self, axis: int) -> bool:
        """Return whether a slice across an axis is had without reading all of a large file."""
        return axis == 0 or self._bytes is not None or self.settled or self.data.nbytes <= SMALL

    def at_hand(self, axis: int, index: int, thickness: int = 1, sigma: float = 0.0) -> np.ndarray | None:
        """Return a slice (see :meth:`plane`) if no disk must be waited for; ask :meth:`plane` in a thread otherwise."""
        with self._lock:
            if (axis, index, thickness, sigma) in self._cache:
                return self._cache[axis, index, thickness, sigma]
        there = self._read[self._part(axis, index, thickness)] if axis == 0 else self._read
        if not there.all() and (axis == 0 or self._bytes is None):
            return None
        return self.plane(axis, index, thickness, sigma)

    def voxels_at_hand(self, limits: tuple[float, float]) -> tuple[np.ndarray, float, float] | None:
        """Return all voxels, and which of their values are black and white, if no disk must be waited for.

        They are those of the copy in 8 bits where there is one.
        """
        if self._bytes is None:
            return (self.data, *limits) if self._read.all() or self.settled or self.data.nbytes <= SMALL else None
        low, high = self._range
        black, white = ((value - low) * 255 / max(high - low, 1e-30) for value in limits)
        return self._bytes, black, white

    def grey(self, z: int, y: int, x: int) -> float | None:
        """Return the grey value of a voxel, if no disk must be waited for."""
        return float(self.data[z, y, x]) if self._read[z] else None

    def build(self) -> None:
        """Make the copies; to be called in a thread. Nothing is made where memory is short."""
        arrangement = self._arrangement
        try:
            self._build(arrangement)
        finally:
            self.settled = self.settled or arrangement == self._arrangement

    def _build(self, arrangement: int) -> None:
        free = psutil.virtual_memory().available * SHARE
        if self.data.size > free:
            return
        low, high = self._sample_range()
        made = np.empty(self.shape, np.uint8)
        for k in range(self.shape[0]):
            plane = self.slab(k, k + 1)[0]
            if self._stop or arrangement != self._arrangement:
                return
            to_bytes(plane, (low, high), made[k])
            self._read[k] = True
            self.cached = (k + 1) / self.shape[0]
        columns = np.ascontiguousarray(made.transpose(2, 1, 0)) if 2 * self.data.size < free else None
        with self._lock:
            if arrangement == self._arrangement:
                self._range, self._bytes, self._columns = (low, high), made, columns

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
            arrangement = self._arrangement
        made = smooth(self._mean(axis, index, thickness), sigma)
        with self._lock:
            if arrangement != self._arrangement:
                return made
            self._cache[key] = made
            while len(self._cache) > KEPT:
                self._cache.popitem(last=False)
        return made

    def _mean(self, axis: int, index: int, thickness: int) -> np.ndarray:
        part = self._part(axis, index, thickness)
        if axis == 0:
            mean = slab_mean(self.slab(part.start, part.stop))
            self._read[part] = True
            return mean
        if self._bytes is None:
            slabs = (self.slab(k, k + 1)[0] for k in range(self.shape[0]))
            if axis == 1:
                return np.array([slab_mean(s[part]) for s in slabs])
            return np.array([slab_mean(s[:, part].T) for s in slabs]).T
        if axis == 1:
            mean = slab_mean(self._bytes[:, part].swapaxes(0, 1))
        elif self._columns is not None:
            mean = slab_mean(self._columns[part])
        else:
            mean = slab_mean(self._bytes[:, :, part].transpose(2, 1, 0))
        low_grey, high_grey = self._range
        return mean * np.float32((high_grey - low_grey) / 255) + np.float32(low_grey)

    def _part(self, axis: int, index: int, thickness: int) -> slice:
        """Return the slices that are averaged."""
        low = max(0, min(index - (thickness - 1) // 2, self.shape[axis] - 1))
        return slice(low, max(low + 1, min(low + thickness, self.shape[axis])))

    def thumbnail(self, z: float, y: float, x: float, size: int) -> np.ndarray:
        """Return the mean of the middle slices of a box about a voxel, `(size, size)`; edges are repeated."""
        z0, y0, x0 = (int(round(v)) for v in (z, y, x))
        half = max(0, size // 10)
        rows = np.clip(np.arange(y0 - size // 2, y0 - size // 2 + size), 0, self.shape[1] - 1)
        columns = np.clip(np.arange(x0 - size // 2, x0 - size // 2 + size), 0, self.shape[2] - 1)
        planes = np.clip(np.arange(z0 - half, z0 + half + 1), 0, self.shape[0] - 1)
        cut = [self.slab(k, k + 1)[0][rows][:, columns] for k in planes]
        return np.mean(np.asarray(cut, np.float32), axis=0)
