"""Cut boxes around particles out of a tomogram."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.fourier.resampling import resample, size_after_resampling
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options

FARTHEST = 2**30  # voxels from the first one, beyond which no position can be
BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """How boxes are cut."""

    box_size: Annotated[
        int,
        Param(
            "Box size",
            "Edge of the box in voxels of the tomogram that is cut, before downsampling.",
            unit="voxel",
            ge=4,
            le=1024,
        ),
    ] = 32
    downsampling: Annotated[
        float,
        Param(
            "Downsampling factor",
            "The box shrinks by this factor, the pixel size grows; need not be a whole number.",
            ge=1,
            le=64,
        ),
    ] = 1.0
    invert: Annotated[
        bool,
        Param(
            "Invert contrast?",
            "Averaging and refinement want white particles; raw tomograms have dark ones, white ones stay.",
        ),
    ] = True
    normalize: Annotated[
        str,
        Param(
            "Normalize",
            "background: mean 0 and deviation 1 outside the background diameter; edge: on the "
            "faces of the box; none: grey values stay.",
            choices=("background", "edge", "none"),
        ),
    ] = "background"
    background_diameter: Annotated[
        float | None,
        Param(
            "Background diameter", "What lies outside counts as background. Empty: 75 % of the box.", unit="voxel", gt=0
        ),
    ] = None
    border: Annotated[
        str,
        Param(
            "At the border",
            "drop: particles whose box does not fit are left out and counted; pad: the tomogram's edge is repeated.",
            choices=("drop", "pad"),
        ),
    ] = "drop"

    @property
    def final_box(self) -> int:
        """Edge of the box after downsampling."""
        return size_after_resampling(self.box_size, self.downsampling)


def box_starts(centres: np.ndarray, box_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first voxels of boxes whose voxel ``box_size // 2`` is nearest to each centre, and the rest.

    Parameters
    ----------
    centres : (n, 3) array
        z, y, x in voxels.
    box_size : int

    Returns
    -------
    starts : (n, 3) int array
    rest : (n, 3) array
        Centre less centre voxel of the box, z, y, x; from -0.5 to 0.5.

    Raises
    ------
    EmtomoError
        If a centre is no finite number, or farther away than any tomogram reaches.
    """
    centres = np.asarray(centres, float)
    impossible = ~(np.abs(centres) < FARTHEST).all(axis=1)
    if impossible.any():
        row = int(np.argmax(impossible))
        listed = ", ".join(f"{v:g}" for v in centres[row, ::-1])
        raise EmtomoError(f"Particle {row + 1} lies at x, y, z {listed} voxels, where no tomogram can be.")
    nearest = np.floor(centres + 0.5).astype(np.int64)
    return nearest - box_size // 2, centres - nearest


def order_of_place(starts: np.ndarray, box_size: int) -> np.ndarray:
    """Return an order of boxes in which neighbours follow each other.

    Boxes cut in this order find most of their voxels in the processor's cache.
    """
    block = np.asarray(starts) // box_size
    return np.lexsort((starts[:, 2], block[:, 1], block[:, 0]))


def fits(starts: np.ndarray, box_size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return which boxes lie wholly within a volume of `shape`."""
    return np.all((starts >= 0) & (starts + box_size <= np.array(shape)), axis=1)


def touches(starts: np.ndarray, box_size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return which boxes have their centre voxel within a volume of `shape`."""
    middle = starts + box_size // 2
    return np.all((middle >= 0) & (middle < np.array(shape)), axis=1)


def extract(volume: np.ndarray, starts: np.ndarray, options: ExtractOptions, out: np.ndarray) -> None:
    """Fill `out` with the boxes that begin at `starts`.

    Parameters
    ----------
    volume : (z, y, x) array
        Any real type; a memory map is read where boxes lie.
    starts : (n, 3) int array
        z, y, x of the first voxels, as :func:`box_starts` returns.
    options : ExtractOptions
    out : (n, m, m, m) float32 array
        Written; ``m`` is ``options.final_box``.

    Raises
    ------
    EmtomoError
        If an option is out of bounds, `out` has another shape, or a box begins where no tomogram can be.
    """
    from emtomo.compute.kernels.boxes_cpu import crop_cpu, normalise_cpu

    check_options(options)
    m, b = options.final_box, options.box_size
    if out.shape != (len(starts), m, m, m):
        raise EmtomoError(f"The boxes need shape {(len(starts), m, m, m)}, got {out.shape}.")
    if not volume.dtype.isnative or volume.dtype == np.float16:
        volume = np.asarray(volume, np.float32)
    starts = np.ascontiguousarray(starts, np.int64)
    if len(starts) and not (np.abs(starts) <= FARTHEST).all():
        raise EmtomoError("Boxes begin where no tomogram can be.")
    sign = np.float32(-1.0 if options.invert else 1.0)
    radius = _background_radius(options)
    step = max(1, BATCH_BYTES // (4 * b**3))
    for first in range(0, len(starts), step):
        part = out[first : first + step]
        cut = part if m == b and options.downsampling == 1 else np.empty((len(part), b, b, b), np.float32)
        here = starts[first : first + step]
        crop_cpu(volume, here, order_of_place(here, b), sign, cut)
        if cut is not part:
            for k, box in enumerate(cut):
                part[k] = resample(box, (m, m, m), options.downsampling)
        if options.normalize != "none":
            normalise_cpu(part, radius, options.normalize == "edge")


def _background_radius(options: ExtractOptions) -> float:
    diameter = options.background_diameter or 0.75 * options.box_size
    radius = diameter / 2 / options.downsampling
    farthest = np.sqrt(3) * (options.final_box // 2)
    if options.normalize == "background" and radius >= farthest:
        raise EmtomoError(
            f"The background diameter of {diameter:g} voxels leaves no background in a box of {options.box_size}."
        )
    return float(radius)
