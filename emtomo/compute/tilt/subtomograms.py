"""3D subtomograms and their CTF volumes from the images of a tilt series."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import margin
from emtomo.compute.fourier.transforms import rfft2
from emtomo.compute.tilt.cropping import crop_transfer, crop_window
from emtomo.compute.tilt.particle_images import PreparedSeries, TiltView
from emtomo.compute.tilt.pixel_order import PixelOrder, order_pixels
from emtomo.compute.tilt.subtomogram_inverse import invert_planes, shift_phases, work_array
from emtomo.errors import EmtomoError

MOST_BYTES = 8 * 2**30  # of all subtomograms that are reconstructed at the same time
NO_COUNT = np.empty((0, 0), np.float32)
SMALLEST = 1e-6  # of the sums of |CTF| that are divided by, as Warp has it


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
    from emtomo.compute.kernels.subtomogram_cpu import FIELDS

    n, premultiply = series.options.box_size, series.options.premultiply
    if not series.orders:
        series.orders.append(order_pixels(series.geometry.sections, n))
    order, m = series.orders[0], margin(n, 1)
    pixels = work_array("pixels", (*order.k.shape[:2], FIELDS), np.float32)
    mates = np.zeros((2 * m + 1, 2 * m + 1, FIELDS), np.float32)
    shown: list[int] = []
    for view in series.views(point, series.window_size(2 * n)):
        t = int(np.searchsorted(series.tilts, view.tilt))
        _collect(view, 2 * n, order, t, pixels[len(shown)], mates)
        shown.append(t)
    if not shown:
        raise EmtomoError("no tilt shows the particle.")
    tilts = np.array(shown)
    count = None if premultiply else _count_tilts(series, order, tilts)
    box, transfer = invert_planes(_sum_planes(order, tilts, pixels, mates, count), n)
    if series.options.normalise:
        radius = series.options.particle_diameter / 2 / series.options.pixel_size
        normalise_cpu(box[None], radius, False)
    if premultiply:  # cutting lets them swing below zero beside the wedge, and sums of data would be divided by that
        np.maximum(transfer, 0, out=transfer)
    return Subtomogram(box, transfer, len(tilts))


def count_at_once(box_size: int) -> int:
    """Return how many subtomograms threads may reconstruct at the same time, so that they fit into memory."""
    taken = 4 * 10 * box_size**2 * (box_size + 40)  # slabs, box and CTF volume; pixels of about 60 tilts
    return max(1, min(threads(), int(MOST_BYTES / taken)))


def _collect(view: TiltView, size: int, order: PixelOrder, tilt: int, pixels: np.ndarray, mates: np.ndarray) -> None:
    """Put a tilt's image, |CTF| and transfer into the order in which they are inserted."""
    from emtomo.compute.kernels.subtomogram_cpu import collect_tilt

    measured = view.ctf * view.dose
    values, absolute, transfer = view.values * measured, np.abs(measured), measured * measured
    if len(measured) != size:
        values = rfft2(crop_window(values, size))
        absolute, transfer = crop_transfer(absolute, size), crop_transfer(transfer, size)
    collect_tilt(values, absolute, transfer, order.k[tilt], order.rotations[tilt], pixels, mates)


def _sum_planes(
    order: PixelOrder, tilts: np.ndarray, pixels: np.ndarray, mates: np.ndarray, count: np.ndarray | None
) -> Callable[[int, np.ndarray, np.ndarray], None]:
    """Return what fills planes of the transforms of box and CTF volume, one after the other from the lowest on."""
    from emtomo.compute.kernels.subtomogram_cpu import FIELDS, divide_plane, sum_plane

    m = len(mates) // 2
    size, planes = m - 1, np.zeros((2, 2 * m + 1, m + 2, FIELDS), np.float32)
    phase = shift_phases(size)

    def fill(y: int, values: np.ndarray, transfer: np.ndarray) -> None:
        """Add all tilts to a plane and the one above it; the one below, which is done with, becomes that."""
        here, above = planes[y % 2], planes[(y + 1) % 2]
        above[:] = 0
        sum_plane(y, order.k, order.starts, order.rotations, tilts, pixels, here, above)
        reached = NO_COUNT if count is None else count[y + m]
        divide_plane(here, mates[y + m], reached, y, size**2, SMALLEST, phase, values, transfer)

    # the plane below the first one, of which nothing is kept
    sum_plane(-size, order.k, order.starts, order.rotations, tilts, pixels, planes[size % 2], planes[(size + 1) % 2])
    return fill


def _count_tilts(series: PreparedSeries, order: PixelOrder, tilts: np.ndarray) -> np.ndarray:
    """Return how many of some tilts reach every frequency, at most 1: the same for all particles that they show."""
    from emtomo.compute.kernels.subtomogram_cpu import insert_count

    key, m = tuple(tilts.tolist()), margin(series.options.box_size, 1)
    known = series.counts.get(key)
    if known is None:
        known = np.zeros((2 * m + 1, 2 * m + 1, m + 2), np.float32)
        for t in tilts:
            insert_count(order.k[t], order.rotations[t], known)
        known[:, :, 0] += known[::-1, ::-1, 0]
        np.minimum(known, 1, out=known)
        series.counts.clear()  # particles at the border have sets of tilts of their own
        series.counts[key] = known
    return known
