"""3D subtomograms and their CTF volumes from the images of a tilt series."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.padded_reference import margin
from emtomo.compute.fourier.transforms import rfft2, rfftn
from emtomo.compute.tilt.particle_images import PreparedSeries, TiltView, crop_transfer, crop_window
from emtomo.compute.tilt.subtomogram_inverse import invert_sums, work_array
from emtomo.errors import EmtomoError


@dataclass(frozen=True)
class Subtomogram:
    """A particle's box with the weights that belong to it.

    Attributes
    ----------
    box : (n, n, n) float32 array
        Axes of the tomogram; the particle's centre at voxel ``n // 2``.
    weights : (n, n, n // 2 + 1) float32 array
        In the order of ``rfftn``: the CTF, or its square of premultiplied boxes.
    tilts : int
        Images that show the particle.
    """

    box: np.ndarray
    weights: np.ndarray
    tilts: int


def reconstruct_subtomogram(series: PreparedSeries, point: np.ndarray) -> Subtomogram:
    """Return the subtomogram of a particle at a point in Å from the volume's centre.

    Images are multiplied with CTF and dose weights in windows that hold what the CTF spreads, cut to twice the box and
    inserted into its transform; box and weights are cut in real space, so that the CTF does not alias. Premultiplied:
    the sum of the images times their CTF, and the sum of the squared CTF. Else both are divided by the sum of |CTF|,
    which is what Warp does. Where images are normalised, the box gets mean 0 and deviation 1 outside the particle.

    Raises
    ------
    EmtomoError
        If no tilt shows the particle.

    References
    ----------
    Tegunov et al., Nat. Methods 18 (2021), subtomograms with a 3D CTF; Zivanov et al., eLife 11:e83724 (2022), Eq. 2,
    for the sums.
    """
    from emtomo.compute.kernels.boxes_cpu import normalise_cpu

    n, premultiply = series.options.box_size, series.options.premultiply
    size = 2 * n
    index, k = _half_disc(size)
    sums = _zero_sums(n)
    tilts = 0
    for view in series.views(point, series.window_size(size)):
        _insert(view, size, index, k, sums)
        tilts += 1
    if not tilts:
        raise EmtomoError("no tilt shows the particle.")
    box, spread = invert_sums(sums, n, premultiply)
    if series.options.normalise:
        radius = series.options.particle_diameter / 2 / series.options.pixel_size
        normalise_cpu(box[None], radius, False)
    transfer_of_box = np.ascontiguousarray(rfftn(spread).real, np.float32)
    if premultiply:  # cutting lets them swing below zero beside the wedge, and sums of data would be divided by that
        np.maximum(transfer_of_box, 0, out=transfer_of_box)
    return Subtomogram(box, transfer_of_box, tilts)


def _zero_sums(radius: int) -> np.ndarray:
    """Return the sums of one subtomogram, zero wherever frequencies within a radius reach."""
    from emtomo.compute.kernels.subtomogram_cpu import FIELDS, clear_sums

    m = margin(radius, 1)
    sums = work_array("sums", (2 * m + 1, 2 * m + 1, m + 2, FIELDS), np.float32)
    clear_sums(sums, radius)
    return sums


def _half_disc(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places in the flattened ``rfft2`` and (n, 3) frequencies of half of a disc, zero included."""
    x, y = np.arange(size // 2 + 1)[None, :], np.rint(np.fft.fftfreq(size) * size).astype(int)[:, None]
    index = np.flatnonzero((x * x + y * y < (size / 2) ** 2) & ((x > 0) | (y >= 0)))
    rows, columns = np.unravel_index(index, (size, size // 2 + 1))
    return index, np.stack([columns, y[rows, 0], np.zeros_like(rows)], axis=1).astype(np.float32)


def _insert(
    view: TiltView,
    size: int,
    index: np.ndarray,
    k: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add one tilt: its images, |CTF|, its transfer, and 1 for every frequency."""
    from emtomo.compute.kernels.subtomogram_cpu import insert_tilt

    measured = view.ctf * view.dose
    # frequency zero is its own mate, and mates are added afterwards
    once = np.where(index == 0, 0.5, 1.0).astype(np.float32)
    values = rfft2(crop_window(view.values * measured, size)).ravel()[index] * once
    transfer = crop_transfer(measured * measured, size).ravel()[index] * once
    absolute = crop_transfer(np.abs(measured), size).ravel()[index] * once
    insert_tilt(k, values, absolute, transfer, once, np.asarray(view.rotation, np.float32), sums)
