"""Tomograms from tilt series: weighted back-projection and SIRT, with dose and CTF, streamed tilt by tilt."""

from collections.abc import Callable

import numpy as np

from emtomo.compute.tilt.filtered_series import FilteredSeries, Images
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.operators import Grid
from emtomo.compute.tilt.reconstruction_options import NO_CTF, ReconstructTomogramOptions
from emtomo.errors import EmtomoError
from emtomo.options import check_options

Halves = Callable[[np.ndarray, np.ndarray], None]


def reconstruct_tomogram(
    images: Images,
    geometry: TiltGeometry,
    shape: tuple[int, int, int],
    pixel_size: float,
    options: ReconstructTomogramOptions,
    *,
    on_halves: Halves | None = None,
    device: str = "cpu",
    on_progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Return a tomogram, (z, y, x) float32.

    A point X Å from the tomogram's centre, voxel ``n // 2``, shows in it where the geometry projects it to.

    Parameters
    ----------
    images : callable
        Number of a tilt (from 0) to its (y, x) image; called once or, for SIRT, once as well.
    geometry : TiltGeometry
        Its excluded tilts are left out; needs the images' pixel size.
    shape : (3,) tuple
        Voxels along z, y, x.
    pixel_size : float
        Å of the tomogram; not finer than half the images'.
    options : ReconstructTomogramOptions
    on_halves : callable, optional
        Called with the tomograms of the even and of the odd tilts (by acquisition order) from the same filtered images,
        before the whole is formed in the memory of one of them.
    device : str
        cpu, cuda or cuda:N.
    on_progress : callable
        Called with the number of tilts that are done.

    Raises
    ------
    EmtomoError
        If all tilts are excluded, sizes are not possible, or the CTF is asked for and not known.
    """
    check_options(options)
    used = np.flatnonzero(~geometry.excluded)
    _check(geometry, used, shape, pixel_size, options)
    grid = Grid(shape, pixel_size)
    geometry = geometry.take(used)
    # of halves, which weigh twice what they do in the whole, the mean is taken: no half is gone through again
    factor = 2.0 if on_halves and options.method == "wbp" else 1.0
    series = FilteredSeries(lambda t: images(int(used[t])), geometry, grid, options, factor)
    parity = np.argsort(np.argsort(geometry.order, kind="stable")) % 2 if on_halves else np.zeros(len(used), int)
    if options.method == "sirt":
        if on_halves:
            by_parity = [np.flatnonzero(parity == h) for h in (0, 1)]
            on_halves(*(iterate_sirt(series, t) if len(t) else np.zeros(shape, np.float32) for t in by_parity))
        return iterate_sirt(series, np.arange(len(used)), on_progress)
    parts = _back_project(series, parity, device, on_progress)
    if not on_halves:
        return parts[0]
    if len(parts) == 1:  # a single tilt
        parts.append(np.zeros_like(parts[0]))
    on_halves(parts[0], parts[1])
    return _join(parts)


def _back_project(
    series: FilteredSeries, parity: np.ndarray, device: str, on_progress: Callable[[int], None]
) -> list[np.ndarray]:
    """Return the sums (z, y, x) of the back-projected tilts of every parity."""
    totals = [np.zeros(series.operator.shape, np.float32) for _ in range(int(parity.max()) + 1)]
    done = 0
    for tilts in series.groups(parity):
        series.operator.back(series.stack(tilts), totals[parity[tilts[0]]], tilts, device)
        done += len(tilts)
        on_progress(done)
    return totals


def _join(halves: list[np.ndarray]) -> np.ndarray:
    """Return the tomogram whose halves are given, their mean, in the memory of the first."""
    from emtomo.compute.kernels.backprojection_cpu import fill_mean

    fill_mean(halves[0], halves[1], halves[0])
    return halves[0]


def iterate_sirt(
    series: FilteredSeries, tilts: np.ndarray, on_progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Return the tomogram (z, y, x) after iterations of SIRT on some of the tilts.

    Each iteration adds C Pᵀ R (b - P x): the projections' differences to the images, divided by the lengths of the
    beams in the tomogram, and back-projected, divided by how often each voxel is seen.

    References
    ----------
    Gregor & Benson, Computational analysis and improvement of SIRT, IEEE TMI 27 (2008), Eq. 3.
    """
    operator, options = series.operator, series.options
    images = series.stack(tilts)[:, :1]
    volume = np.ones(operator.shape, np.float32)
    lengths = np.zeros_like(images)
    operator.forward(volume, lengths, tilts)
    seen = np.zeros_like(volume)
    operator.back(np.ones_like(images), seen, tilts)
    volume[...] = 0
    # beams that touch less than a tenth of a voxel say nothing
    inverse = np.where(lengths > 0.1, 1 / np.maximum(lengths, 0.1), 0).astype(np.float32)
    for iteration in range(options.iterations):
        projected = np.zeros_like(images)
        operator.forward(volume, projected, tilts)
        change = np.zeros_like(volume)
        operator.back((images - projected) * inverse, change, tilts)
        volume += change / np.maximum(seen, 1)
        if options.non_negative:
            np.maximum(volume, 0, out=volume)
        on_progress(round(len(tilts) * (iteration + 1) / options.iterations))
    return volume


def _check(
    geometry: TiltGeometry,
    used: np.ndarray,
    shape: tuple[int, int, int],
    pixel_size: float,
    options: ReconstructTomogramOptions,
) -> None:
    if not len(used):
        raise EmtomoError("All tilts are excluded; nothing is left to reconstruct from.")
    if not (np.isfinite(geometry.pixel_size) and geometry.pixel_size > 0):
        raise EmtomoError("The pixel size of the tilt images must be known and > 0 Å.")
    if min(shape) < 1:
        raise EmtomoError(f"The tomogram must have at least one voxel along every axis, got {shape} (z, y, x).")
    if not (np.isfinite(pixel_size) and pixel_size >= geometry.pixel_size / 2):
        raise EmtomoError(
            f"The tomogram's pixel size must be at least half that of the images ({geometry.pixel_size:g} Å), "
            f"got {pixel_size:g} Å."
        )
    if options.ctf != NO_CTF and geometry.ctf is None:
        raise EmtomoError("The tilt series has no defocus: estimate its CTF first, or choose no CTF correction.")
