"""The images of a tilt series as slices: by angle or in the order of acquisition, as they are or aligned."""

from pathlib import Path

import numpy as np

from emtomo.compute.tilt.aligned_images import align_image, find_aligned_shape
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.errors import EmtomoError
from emtomo.gui.core.volume import VolumeSource

ORDERS = ("angle", "acquisition")


class TiltSource(VolumeSource):
    """Slice by slice the images of one series; :meth:`arrange` says in which order and whether aligned.

    Parameters
    ----------
    path : Path
        The stack, or the first image where every tilt is a file of its own.
    index : (n,) int array
        The section of the stack, or the plane of `data`, that shows each tilt.
    angle : (n,) array
        Degrees.
    geometry : TiltGeometry
    data : (n, y, x) array, optional
        The images, where every tilt is a file of its own.

    Attributes
    ----------
    order : (n,) int array
        The tilt that is shown at each place.
    sorted_by : {"angle", "acquisition"}
    aligned : bool
    """

    def __init__(
        self, path: Path, index: np.ndarray, angle: np.ndarray, geometry: TiltGeometry, data: np.ndarray | None = None
    ) -> None:
        self.index, self.geometry = np.asarray(index, int), geometry
        self._orders = {
            "angle": np.argsort(angle, kind="stable"),
            "acquisition": np.argsort(geometry.order, kind="stable"),
        }
        self.sorted_by, self.order, self.aligned = "angle", self._orders["angle"], False
        super().__init__(path, data=data)

    def count_slices(self, data: np.ndarray) -> int:
        """Return the number of tilts, of which the stack may hold more."""
        last = int(self.index.max(initial=0))
        if last >= len(data):
            tilt = int(np.argmax(self.index)) + 1
            raise EmtomoError(f"{self.path}: tilt {tilt} should be image {last + 1}, and there are {len(data)}.")
        return len(self.index)

    @property
    def can_align(self) -> bool:
        """Whether the size of a pixel is known, without which shifts in Å say nothing."""
        return bool(np.isfinite(self.geometry.pixel_size) and self.geometry.pixel_size > 0)

    def arrange(self, sorted_by: str, *, aligned: bool) -> None:
        """Show the images in another order, or aligned; slices that were read are forgotten.

        Raises
        ------
        EmtomoError
            If there is no such order, or images cannot be aligned.
        """
        if sorted_by not in ORDERS:
            raise EmtomoError(f"Tilts are shown by {' or '.join(ORDERS)}, got {sorted_by!r}.")
        if aligned and not self.can_align:
            raise EmtomoError("The pixel size of the tilt series is not known: its images cannot be aligned.")
        rows, columns = int(self.data.shape[1]), int(self.data.shape[2])
        shape = find_aligned_shape((rows, columns), self.geometry) if aligned else (rows, columns)
        with self.change_arrangement():
            self.sorted_by, self.order, self.aligned = sorted_by, self._orders[sorted_by], aligned
            self.shape = (len(self.order), *shape)

    def place_of(self, tilt: int) -> int:
        """Return where a tilt is shown now."""
        return int(np.flatnonzero(self.order == tilt)[0])

    def grey(self, z: int, y: int, x: int) -> float | None:
        """Return the grey value of a pixel of the image that is shown."""
        with self._lock:
            plane = self._cache.get((0, z, 1, 0.0))
        return None if plane is None else float(plane[y, x])

    def slab(self, first: int, last: int) -> np.ndarray:
        """Return the images at the places from `first` to before `last`."""
        tilts, shape, aligned = self.order[first:last], self.shape[1:], self.aligned
        images = [super(TiltSource, self).slab(k, k + 1)[0] for k in self.index[tilts]]
        if aligned:
            images = [align_image(image, self.geometry, int(t), shape) for image, t in zip(images, tilts, strict=True)]
        return np.stack(images)
