"""Volumes of results as arrays at a wanted sampling, and curves as files."""

from pathlib import Path
from typing import Any

import numpy as np

from emtomo.compute.fourier.filters import fit_to_box
from emtomo.compute.fourier.shell_correlation import FscCurves
from emtomo.engine.pixel_sizes import header_remarks
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.mrc_header import SIZES_AGREE

SMALLEST_BOX = 4
SMALLEST_REFINED = 6  # voxels
LARGEST_VALUE = 1e15  # its square is far from the end of float32
CURVES = ("corrected", "unmasked", "masked", "randomised")


def volume_of(result: Any) -> np.ndarray:
    """Return the voxels of a volume, average or mask."""
    return mrc.read_volume(result.file.get())


def box_problem(result: Any) -> str:
    """Return in a sentence why the voxels of a volume are no box that can be turned; empty where they are.

    A box is a cube of at least ``SMALLEST_BOX`` voxels along each axis.
    """
    try:
        z, y, x = mrc.read_header(result.file.get()).shape
    except EmtomoError as error:
        return str(error)
    if x == y == z and x >= SMALLEST_BOX:
        return ""
    return f"A volume to be rotated must be a cube of at least {SMALLEST_BOX} voxels along each axis, got {x}×{y}×{z}."


def unusable_for_refinement(edge: int, reference: Any) -> str:
    """Return in a sentence why boxes of `edge` voxels cannot be refined against a reference; empty if they can."""
    if edge < SMALLEST_REFINED:
        return f"Boxes to be refined must have at least {SMALLEST_REFINED} voxels along an edge, got {edge}."
    volume = volume_of(reference)
    if not np.isfinite(volume).all() or float(np.abs(volume).max()) > LARGEST_VALUE:
        return f"The reference holds values that are no numbers, or larger than {LARGEST_VALUE:g}."
    return ""


def halves_of(average: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the half maps of an average.

    Raises
    ------
    EmtomoError
        If it has none, or their headers say another pixel size than the average's.
    """
    paths = average.half1_file.get(), average.half2_file.get()
    if not all(paths):
        raise EmtomoError("The average has no half maps; those of reconstruct-average and refine-poses have.")
    size = float(average.pixel_size.get())
    for path in paths:
        header = mrc.read_header(path).pixel_size
        if header > 0 and abs(header / size - 1) > SIZES_AGREE:
            raise EmtomoError(
                f"The half map {path} has a pixel size of {header:.4g} Å, the average {size:.4g} Å; import them again "
                "with the pixel size that is right."
            )
    return mrc.read_volume(paths[0]), mrc.read_volume(paths[1])


def resample_to_box(result: Any, size: int, pixel_size: float, what: str) -> tuple[np.ndarray, str]:
    """Return a volume at another box and pixel size, and in a sentence what changed.

    Raises
    ------
    EmtomoError
        If nothing of it is left.
    """
    own, n = float(result.pixel_size.get()), int(result.box_size.get())
    volume = fit_to_box(volume_of(result), own, size, pixel_size)
    if not np.any(volume):
        empty = f"The {what} is empty: every voxel of {result.file.get()} within the box is 0."
        raise EmtomoError(" ".join([empty, *header_remarks(what, result)]))
    if n != size or abs(own / pixel_size - 1) >= 1e-4:
        return volume, (
            f"The {what} was resampled from {n} voxels of {own:.4g} Å to {size} voxels of {pixel_size:.4g} Å."
        )
    return volume, ""


def resample_inputs(protocol: Any, size: int, pixel_size: float, sentences: list[str]) -> dict[str, np.ndarray]:
    """Return a protocol's reference and mask at another box and pixel size, those that are given.

    What changed is added to `sentences`; errors as of :func:`resample_to_box`.
    """
    out = {}
    for name in ("reference", "mask"):
        pointer = getattr(protocol, f"input_{name}")
        if not pointer.pointsNone():
            out[name], sentence = resample_to_box(pointer.get(), size, pixel_size, name)
            sentences += [sentence] if sentence else []
    return out


def write_curves(path: str | Path, curves: FscCurves, size: int, pixel_size: float) -> None:
    """Write FSC curves as CSV: frequency in 1/Å, then the corrected, unmasked, masked and randomised curve."""
    frequency = np.arange(len(curves.corrected)) / (size * pixel_size)
    table = np.column_stack([frequency, *(getattr(curves, name) for name in CURVES)])
    path = Path(path)
    part = path.with_name(path.name + ".part")
    np.savetxt(part, table, delimiter=",", header="frequency," + ",".join(CURVES), comments="", fmt="%.6f")
    part.replace(path)
