"""3D subtomograms and their CTF volumes from the images of a tilt series."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import margin
from emtomo.compute.fourier.transforms import rfft2, rfftn
from emtomo.compute.tilt.cropping import crop_transfer, crop_window
from emtomo.compute.tilt.particle_images import PreparedSeries, TiltView
from emtomo.compute.tilt.subtomogram_inverse import invert_sums, work_array
from emtomo.errors import EmtomoError

SUMS_BYTES = 8 * 2**30  # of all subtomograms that are reconstructed at the same time
NO_COUNT = np.empty((0, 0, 0), np.float32)


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
    tilts = []
    for view in series.views(point, series.window_size(size)):
        _insert(view, size, index, k, sums)
        tilts.append(view.tilt)
    if not tilts:
        raise EmtomoError("no tilt shows the particle.")
    box, spread = invert_sums(sums, NO_COUNT if premultiply else _count_tilts(series, tilts), n)
    if series.options.normalise:
        radius = series.options.particle_diameter / 2 / series.options.pixel_size
        normalise_cpu(box[None], radius, False)
    transfer_of_box = np.ascontiguousarray(rfftn(spread).real, np.float32)
    if premultiply:  # cutting lets them swing below zero beside the wedge, and sums of data would be divided by that
        np.maximum(transfer_of_box, 0, out=transfer_of_box)
    return Subtomogram(box, transfer_of_box, len(tilts))


def count_at_once(box_size: int) -> int:
    """Return how many subtomograms threads may reconstruct at the same time, so that their sums fit into memory."""
    from emtomo.compute.kernels.subtomogram_cpu import FIELDS

    m = margin(box_size, 1)
    # the sums themselves, and about half as much while they are inverted
    taken = 1.5 * 4 * FIELDS * (2 * m + 1) ** 2 * (m + 2)
    return max(1, min(threads(), int(SUMS_BYTES / taken)))


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


def _insert(view: TiltView, size: int, index: np.ndarray, k: np.ndarray, sums: np.ndarray) -> None:
    """Add one tilt: its image, |CTF| and transfer for every frequency."""
    from emtomo.compute.kernels.subtomogram_cpu import insert_tilt

    if view.ctf.shape[0] == size:  # nothing is cut off
        measured = view.ctf.ravel()[index] * view.dose.ravel()[index]
        values = view.values.ravel()[index] * measured
        absolute, transfer = np.abs(measured), measured * measured
    else:
        measured = view.ctf * view.dose
        values = rfft2(crop_window(view.values * measured, size)).ravel()[index]
        transfer = crop_transfer(measured * measured, size).ravel()[index]
        absolute = crop_transfer(np.abs(measured), size).ravel()[index]
    for array in (values, absolute, transfer):  # frequency zero is its own mate, and mates are added afterwards
        array[index == 0] *= np.float32(0.5)
    insert_tilt(k, values, absolute, transfer, np.asarray(view.rotation, np.float32), sums)


def _count_tilts(series: PreparedSeries, tilts: list[int]) -> np.ndarray:
    """Return how many of some tilts reach every frequency, at most 1: the same for all particles that they show."""
    from emtomo.compute.kernels.subtomogram_cpu import insert_count

    n, key = series.options.box_size, tuple(tilts)
    known = series.counts.get(key)
    if known is None:
        index, k = _half_disc(2 * n)
        once, m = np.where(index == 0, 0.5, 1.0).astype(np.float32), margin(n, 1)
        known = np.zeros((2 * m + 1, 2 * m + 1, m + 2), np.float32)
        for section in series.geometry.sections[np.isin(series.tilts, tilts)]:
            insert_count(k, once, section.astype(np.float32), known)
        known[:, :, 0] += known[::-1, ::-1, 0]
        np.minimum(known, 1, out=known)
        series.counts.clear()  # particles at the border have sets of tilts of their own
        series.counts[key] = known
    return known
