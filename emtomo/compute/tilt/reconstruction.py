"""Tomograms from tilt series: weighted back-projection and SIRT, with dose and CTF, streamed tilt by tilt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from emtomo.compute.tilt import filtering
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.compute.tilt.operators import (
    AlignedOperator,
    GeneralOperator,
    Grid,
    Heights,
    find_axes_in_images,
    is_aligned,
)
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options

IMAGE_BYTES = 2**30  # of filtered images that are back-projected together
TABLE = 1024  # entries of a table of weights
NODES = 4  # samples between the nodes at which places in the images are worked out
NO_CTF, PHASE_FLIP, FULL_CTF = "none", "phase_flip", "full"

Images = Callable[[int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ReconstructTomogramOptions:
    """How a tomogram is made from a tilt series."""

    method: Annotated[
        str,
        Param(
            "Method",
            "Weighted back-projection, or SIRT: iterations that bring the tomogram's projections closer to the images.",
            choices={"wbp": "weighted back-projection", "sirt": "SIRT"},
        ),
    ] = "wbp"
    weighting: Annotated[
        str,
        Param(
            "Weighting",
            "Ramp: |k| times the angle that each tilt stands for. Exact: one over the number of tilts that measure a "
            "frequency, for uneven angles and thin slabs.",
            choices={"ramp": "ramp", "exact": "exact"},
            when=("method", "wbp"),
        ),
    ] = "ramp"
    window: Annotated[
        str,
        Param(
            "Window",
            "Lets the weights fall towards the Nyquist frequency, where noise outweighs the signal.",
            choices={"none": "none", "hann": "Hann", "hamming": "Hamming", "cosine": "cosine"},
        ),
    ] = "none"
    sirt_like: Annotated[
        int,
        Param(
            "SIRT-like filter",
            "Weights as so many iterations of SIRT would leave them; smoother than the ramp. 0: off.",
            ge=0,
            le=1000,
            when=("method", "wbp"),
        ),
    ] = 0
    iterations: Annotated[
        int,
        Param("Iterations", "Of SIRT.", ge=1, le=500, when=("method", "sirt")),
    ] = 15
    non_negative: Annotated[
        bool,
        Param("Non-negative", "Set negative voxels to zero after every iteration of SIRT.", when=("method", "sirt")),
    ] = False
    dose_weights: Annotated[bool, Param("Dose weights", "Damp what radiation has destroyed, tilt by tilt.")] = True
    ctf: Annotated[
        str,
        Param(
            "CTF correction",
            "None, phase flip, or full: multiplied with the CTF and divided by its mean square over the tilts. Both in "
            "slabs of equal defocus, at the height of every voxel.",
            choices={NO_CTF: "none", PHASE_FLIP: "phase flip", FULL_CTF: "full"},
        ),
    ] = NO_CTF
    slab_thickness: Annotated[
        float,
        Param(
            "Slab thickness",
            "Of slabs of equal defocus; 0: as thick as the tomogram's Nyquist frequency allows (0.5 rad).",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    normalise: Annotated[bool, Param("Normalise tilts", "Bring every image to standard deviation 1 first.")] = True


@dataclass(frozen=True)
class Reconstruction:
    """A tomogram, and the tomograms of the even and the odd tilts where they were asked for; (z, y, x) float32."""

    volume: np.ndarray
    halves: tuple[np.ndarray, np.ndarray] | None


def reconstruct_tomogram(
    images: Images,
    geometry: TiltGeometry,
    shape: tuple[int, int, int],
    pixel_size: float,
    options: ReconstructTomogramOptions,
    *,
    halves: bool = False,
    device: str = "cpu",
    on_progress: Callable[[int], None] = lambda done: None,
) -> Reconstruction:
    """Reconstruct a tomogram.

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
    halves : bool
        Also return tomograms of every other tilt (by acquisition order), from the same filtered images.
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
    series = FilteredSeries(lambda t: images(int(used[t])), geometry, grid, options)
    parity = np.argsort(np.argsort(geometry.order, kind="stable")) % 2 if halves else np.zeros(len(used), int)
    if options.method == "sirt":
        total = iterate_sirt(series, np.arange(len(used)), on_progress)
        parts = [iterate_sirt(series, np.flatnonzero(parity == h)) for h in (0, 1)] if halves else []
    else:
        sums = _back_project(series, parity, device, on_progress)
        total, parts = (sums[0] + sums[1], [2 * sums[0], 2 * sums[1]]) if halves else (sums[0], [])
    volumes = [np.ascontiguousarray(part.transpose(0, 2, 1)) for part in (total, *parts)]
    return Reconstruction(volumes[0], (volumes[1], volumes[2]) if halves else None)


def _back_project(
    series: "FilteredSeries", parity: np.ndarray, device: str, on_progress: Callable[[int], None]
) -> list[np.ndarray]:
    """Return the sums (z, x, y) of the back-projected tilts of every parity."""
    totals = [np.zeros(series.operator.shape, np.float32) for _ in range(int(parity.max()) + 1)]
    done = 0
    for tilts in series.groups(parity):
        series.operator.back(series.stack(tilts), totals[parity[tilts[0]]], tilts, device)
        done += len(tilts)
        on_progress(done)
    return totals


def iterate_sirt(
    series: "FilteredSeries", tilts: np.ndarray, on_progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Return the tomogram (z, x, y) after iterations of SIRT on some of the tilts.

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


class FilteredSeries:
    """Filtered images of a tilt series, sampled as back-projection needs them.

    Parameters
    ----------
    images : callable
    geometry : TiltGeometry
        None excluded.
    grid : Grid
    options : ReconstructTomogramOptions
    """

    def __init__(self, images: Images, geometry: TiltGeometry, grid: Grid, options: ReconstructTomogramOptions) -> None:
        self.images, self.geometry, self.grid, self.options = images, geometry, grid, options
        self.angles = tilt_angles(geometry.rotations)[:, 1]
        self.across, self.along = find_axes_in_images(geometry)
        self.ramp = options.method == "wbp"
        voltage = 300.0 if geometry.ctf is None else float(np.mean(geometry.ctf.voltage))
        step = 0.0
        if options.ctf != NO_CTF:
            step = options.slab_thickness or filtering.slab_step(grid.pixel_size, voltage)
        self.heights = Heights.of(geometry, grid, step)
        self.sample = grid.pixel_size / (filtering.OVERSAMPLING if self.ramp else 1)
        self.aligned = is_aligned(geometry, grid)
        self.operator: AlignedOperator | GeneralOperator
        if self.aligned:
            reach = (np.abs(np.cos(np.deg2rad(self.angles))) * grid.shape[2] / 2).max(initial=0)
            reach += np.abs(np.sin(np.deg2rad(self.angles))).max(initial=0) * grid.shape[0] / 2
            self.columns = 2 * int(np.ceil((reach + 2) * grid.pixel_size / self.sample))
            self.operator = AlignedOperator(geometry, grid, self.sample, self.columns, self.heights)
        else:
            spectrum = self._spectrum(0)
            self.shape, self.samples = filtering.sample_grid(spectrum, self.sample)
            centre = np.array(spectrum.centre) * spectrum.pixel_size / self.samples
            self.operator = GeneralOperator(geometry, grid, self.samples, centre, self.heights)

    def groups(self, parity: np.ndarray) -> list[np.ndarray]:
        """Return the tilts in groups of one parity whose filtered images fit into memory together."""
        size = self.columns * self.grid.shape[1] if self.aligned else self.shape[0] * self.shape[1]
        out = []
        for half in np.unique(parity):
            members = np.flatnonzero(parity == half)
            most = int(self.heights.count[members].max()) * 4 * size
            out += np.array_split(members, -(-len(members) // max(1, IMAGE_BYTES // most)))
        return out

    def stack(self, tilts: np.ndarray) -> np.ndarray:
        """Return the images of some tilts, (t, slab, u, y) where aligned, else (t, slab, v, u); missing slabs are 0."""
        slabs = int(self.heights.count[tilts].max())
        size = (self.columns, self.grid.shape[1]) if self.aligned else self.shape
        out = np.zeros((len(tilts), slabs, *size), np.float32)
        for place, t in enumerate(tilts):
            spectrum = self._weigh(self._spectrum(int(t)), int(t))
            for k in range(int(self.heights.count[t])):
                self._sample(spectrum, self._ctf(spectrum, int(t), k), int(t), out[place, k])
        return out

    def _spectrum(self, t: int) -> filtering.Spectrum:
        return filtering.transform_image(self.images(t), self.geometry.pixel_size, t, normalise=self.options.normalise)

    def _weigh(self, spectrum: filtering.Spectrum, t: int) -> filtering.Spectrum:
        """Return a spectrum with what weighs it whatever the height: ramp, window, low-pass, dose."""
        from emtomo.compute.kernels.backprojection_cpu import weigh_spectrum

        options, nyquist = self.options, 0.5 / self.grid.pixel_size
        frequency = np.linspace(0, nyquist * (1 + filtering.EDGE), TABLE)
        radial = np.clip((1 - frequency / nyquist) / filtering.EDGE + 0.5, 0, 1)
        radial *= filtering.window_weights(frequency / nyquist, options.window)
        if options.dose_weights:
            radial *= self.geometry.take(np.array([t])).weights(frequency)[0] / self.geometry.scale[t]
        directional = np.ones((2, TABLE))
        if self.ramp:
            cycles, depth = frequency * self.grid.pixel_size, float(self.grid.depth or self.grid.shape[0])
            directional[0] = filtering.ramp_weights(cycles, self.angles, t, depth, options.weighting)
            if options.sirt_like:
                directional[0] *= filtering.sirt_like_weights(cycles, options.sirt_like, depth)
            # linear interpolation between columns (or pixels) weakens the finest
            interpolation = np.sinc(np.minimum(frequency * self.sample, 0.5)) ** 2
            directional[: 1 if self.aligned else 2] /= interpolation
        step = np.full(2, frequency[1], np.float32)
        tables = radial.astype(np.float32), directional.astype(np.float32)
        directions = np.stack([self.across[t], self.along[t]]).astype(np.float32)
        kx, ky = spectrum.kx[0].astype(np.float32), spectrum.ky[:, 0].astype(np.float32)
        out = np.empty_like(spectrum.values)
        weigh_spectrum(spectrum.values, kx, ky, directions, *tables, step, out)
        return replace(spectrum, values=out)

    def _ctf(self, spectrum: filtering.Spectrum, t: int, k: int) -> np.ndarray | float:
        """Return what corrects the CTF of a slab; the particles stay as dark as they are in the images."""
        if self.options.ctf == NO_CTF:
            return 1.0
        assert self.geometry.ctf is not None
        height = self.heights.first[t] + k * self.heights.step
        ctf = self.geometry.ctf[t].with_defocus_added(self.geometry.hand * height)
        values = ctf.values(spectrum.kx, spectrum.ky)
        if self.options.ctf == PHASE_FLIP:
            return np.where(values < 0, np.float32(-1), np.float32(1))
        frequency = np.linspace(0, 0.55 / self.grid.pixel_size, 512)
        power = filtering.ctf_power(self.geometry, frequency, self.options.dose_weights)
        radius = np.sqrt(spectrum.kx**2 + spectrum.ky**2)
        floor = filtering.SNR_FLOOR * float(power[1:].mean())
        return values / (np.interp(radius, frequency, power) + floor).astype(np.float32)

    def _sample(self, spectrum: filtering.Spectrum, weights: np.ndarray | float, t: int, out: np.ndarray) -> None:
        """Fill `out` with the filtered image, sampled across and along the tilt axis where aligned."""
        if not self.aligned:
            out[...] = filtering.filter_image(spectrum, weights, self.shape)
            return
        from emtomo.compute.kernels.backprojection_cpu import sample_spline

        shape, samples = filtering.sample_grid(spectrum, self.sample)
        spline = filtering.filter_image(spectrum, weights, shape, spline=True)
        lines = self.grid.shape[1]
        u = (np.arange((self.columns - 1) // NODES + 2) * NODES - self.columns // 2) * self.sample
        y = (np.arange((lines - 1) // NODES + 2) * NODES - lines // 2) * self.grid.pixel_size
        places = u[:, None, None] * self.across[t] + y[None, :, None] * self.along[t] + self.geometry.shifts[t]
        if self.geometry.image_warp is not None:
            flat = places.reshape(1, -1, 2)
            node_weights, _ = self.geometry.image_warp.take(np.array([t]), len(self.geometry)).node_weights(flat)
            moved = node_weights @ self.geometry.image_warp.planes(len(self.geometry))[t][None]
            places = places - moved.reshape(places.shape)
        nodes = (places + np.array(spectrum.centre) * spectrum.pixel_size) / samples
        sample_spline(spline, np.ascontiguousarray(nodes, np.float32), NODES, out)
