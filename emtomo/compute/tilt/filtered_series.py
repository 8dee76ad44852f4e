"""Images of a tilt series, filtered and sampled as back-projection needs them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.tilt import filtering
from emtomo.compute.tilt.aligned_sampling import AlignedSampling, find_aligned_sampling
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.compute.tilt.operators import (
    AlignedOperator,
    GeneralOperator,
    Grid,
    Heights,
    find_axes_in_images,
    is_aligned,
)
from emtomo.compute.tilt.reconstruction_options import (
    DECONVOLVE,
    FULL_CTF,
    NO_CTF,
    PHASE_FLIP,
    ReconstructTomogramOptions,
)

IMAGE_BYTES = 2**30  # of filtered images that are back-projected together
WORKING_BYTES = 2**30  # of images that are filtered side by side
WORKING_COPIES = 24  # bytes that filtering takes for every pixel of an image
TABLE = 1024  # entries of a table of weights
NODES = 16, 4  # samples between the nodes at which places in the images are worked out, without and with a warp
SLABS_TOGETHER = 4  # whose CTFs are worked out from one
KINDS = {PHASE_FLIP: filtering.FLIP, FULL_CTF: filtering.MULTIPLY, DECONVOLVE: filtering.WIENER}

Images = Callable[[int], np.ndarray]


class FilteredSeries:
    """Filtered images of a tilt series, sampled as back-projection needs them.

    Parameters
    ----------
    images : callable
    geometry : TiltGeometry
        None excluded.
    grid : Grid
    options : ReconstructTomogramOptions
    factor : float
        Of all images.
    """

    def __init__(
        self,
        images: Images,
        geometry: TiltGeometry,
        grid: Grid,
        options: ReconstructTomogramOptions,
        factor: float = 1.0,
    ) -> None:
        self.images, self.geometry, self.grid, self.options = images, geometry, grid, options
        self.factor = factor
        self.reading = threading.Lock()
        self.angles = tilt_angles(geometry.rotations)[:, 1]
        self.across, self.along = find_axes_in_images(geometry)
        self.ramp = options.method == "wbp"
        voltage = 300.0 if geometry.ctf is None else float(np.mean(geometry.ctf.voltage))
        step = 0.0
        if options.ctf != NO_CTF:
            step = options.slab_thickness or filtering.slab_step(grid.pixel_size, voltage)
        self.heights = Heights.of(geometry, grid, step)
        self.sample = grid.pixel_size / (filtering.OVERSAMPLING if self.ramp else 1)
        self.finest = 0.5 / grid.pixel_size * (1 + filtering.EDGE)
        self.aligned = is_aligned(geometry, grid)
        self.step = NODES[0 if geometry.image_warp is None else 1]
        self.power = self._power(np.linspace(0, self.finest, TABLE)) if options.ctf == FULL_CTF else None
        self.operator: AlignedOperator | GeneralOperator
        if self.aligned:
            reach = (np.abs(np.cos(np.deg2rad(self.angles))) * grid.shape[2] / 2).max(initial=0)
            reach += np.abs(np.sin(np.deg2rad(self.angles))).max(initial=0) * grid.shape[0] / 2
            self.columns = 2 * int(np.ceil((reach + 2) * grid.pixel_size / self.sample))
            self.operator = AlignedOperator(geometry, grid, self.sample, self.columns, self.heights)
        else:
            spectrum = filtering.transform_image(self.images(0), geometry.pixel_size, 0, normalise=options.normalise)
            self.shape, self.samples = filtering.sample_grid(spectrum, self.sample)
            centre = np.array(spectrum.centre) * spectrum.pixel_size / self.samples
            self.operator = GeneralOperator(geometry, grid, self.samples, centre, self.heights)

    def groups(self, parity: np.ndarray) -> list[np.ndarray]:
        """Return the tilts in groups of one parity whose filtered images fit into memory together."""
        size = self.columns * self.grid.shape[1] if self.aligned else self.shape[0] * self.shape[1]
        out = []
        for half in np.unique(parity):
            members = np.flatnonzero(parity == half)
            slabs = int(self.heights.count[members].max())
            # aligned images are sampled where a slab is looked up: about once in all, and at its borders
            most = 4 * size * (min(slabs, 2) if self.aligned else slabs)
            out += np.array_split(members, -(-len(members) // max(1, IMAGE_BYTES // most)))
        return out

    def stack(self, tilts: np.ndarray) -> np.ndarray:
        """Return the images of some tilts, (t, slab, u, y) where aligned, else (t, slab, v, u).

        What no voxel looks up is 0: slabs that a tilt does not have, and columns beyond those of a slab.
        """
        slabs = int(self.heights.count[tilts].max())
        size = (self.columns, self.grid.shape[1]) if self.aligned else self.shape
        out = np.zeros((len(tilts), slabs, *size), np.float32)

        def fill(place: int) -> int:
            t = int(tilts[place])
            with self.reading:
                image = self.images(t)
            sampling = self._find_sampling((image.shape[0], image.shape[1]), t)
            spectrum = filtering.transform_image(
                image,
                self.geometry.pixel_size,
                t,
                normalise=self.options.normalise,
                finest=self.finest,
                padded=None if sampling is None else sampling.padded,
                across=self.across[t],
            )
            self._sample(self._weigh(spectrum, t), t, sampling, out[place])
            return image.size

        # the first tells how large images are
        at_once = min(threads(), WORKING_BYTES // (WORKING_COPIES * fill(0)) + 1) if len(tilts) else 1
        with ThreadPoolExecutor(at_once) as pool:
            for _ in pool.map(fill, range(1, len(tilts))):
                pass
        return out

    def _weigh(self, spectrum: filtering.Spectrum, t: int) -> filtering.Spectrum:
        """Return a spectrum with what weighs it whatever the height: ramp, window, low-pass, dose, power of the CTF."""
        from emtomo.compute.kernels.tilt_filter_cpu import weigh_spectrum

        options, nyquist = self.options, 0.5 / self.grid.pixel_size
        frequency = np.linspace(0, self.finest, TABLE)
        radial: np.ndarray = self.factor * np.clip((1 - frequency / nyquist) / filtering.EDGE + 0.5, 0, 1)
        radial *= filtering.window_weights(frequency / nyquist, options.window)
        if options.dose_weights:
            radial *= self.geometry.take(np.array([t])).weights(frequency)[0] / self.geometry.scale[t]
        if options.ctf == FULL_CTF:
            radial /= self.power
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
        kx, ky = spectrum.kx.astype(np.float32), spectrum.ky.astype(np.float32)
        weigh_spectrum(spectrum.values, kx, ky, directions, *tables, step, spectrum.values)
        return spectrum

    def _power(self, frequency: np.ndarray) -> np.ndarray:
        """Return the power of the CTF over all tilts that full correction divides by."""
        wide = np.linspace(0, 0.55 / self.grid.pixel_size, 512)
        power = filtering.ctf_power(self.geometry, wide, self.options.dose_weights)
        floor = filtering.SNR_FLOOR * float(power[1:].mean())
        return np.interp(frequency, wide, power) + floor

    def _correction(self, t: int, slab: int) -> filtering.SlabCorrection:
        """Return how the CTF is corrected from a slab on; the particles stay as dark as they are in the images."""
        options = self.options
        if options.ctf == NO_CTF:
            return filtering.NO_CORRECTION
        assert self.geometry.ctf is not None
        hand, height = self.geometry.hand, self.heights.first[t] + slab * self.heights.step
        ctf = self.geometry.ctf[t].with_defocus_added(hand * height)
        frequency = np.linspace(0, self.finest, TABLE)
        noise = filtering.deconvolution_noise(
            frequency, options.deconvolution_strength, options.deconvolution_falloff, options.deconvolution_highpass
        )
        return filtering.SlabCorrection(KINDS[options.ctf], ctf, hand * self.heights.step, noise, float(frequency[1]))

    def _find_sampling(self, shape: tuple[int, int], t: int) -> AlignedSampling | None:
        """Return how an image whose rows or columns run along the tilt axis is sampled exactly; else None."""
        if not self.aligned or self.geometry.image_warp is not None:
            return None
        steps = (self.sample, self.grid.pixel_size)
        return find_aligned_sampling(shape, self.geometry.pixel_size, steps, self.across[t], self.along[t])

    def _sample(self, spectrum: filtering.Spectrum, t: int, sampling: AlignedSampling | None, out: np.ndarray) -> None:
        """Fill `out` with the filtered image of every slab, sampled across and along the tilt axis where aligned."""
        count = int(self.heights.count[t])
        if not self.aligned:
            out[:count] = filtering.filter_image(spectrum, self._correction(t, 0), count, self.shape)
            return
        from emtomo.compute.kernels.tilt_filter_cpu import sample_spline, take_samples

        assert isinstance(self.operator, AlignedOperator)
        if sampling is None:
            shape, samples = filtering.sample_grid(spectrum, self.grid.pixel_size / filtering.SPLINE_OVERSAMPLING)
            nodes = self._nodes(spectrum, t, samples)
        else:
            shape = sampling.sampled
            spectrum, taken = sampling.sample(spectrum, self.geometry.shifts[t], (self.columns, self.grid.shape[1]))
        for first in range(0, count, SLABS_TOGETHER):
            slabs = min(SLABS_TOGETHER, count - first)
            images = filtering.filter_image(spectrum, self._correction(t, first), slabs, shape, spline=sampling is None)
            for k, image in enumerate(images, first):
                columns = self.operator.find_columns(t, k, count, self.columns)
                if sampling is None:
                    sample_spline(image, nodes, self.step, *columns, out[k])
                else:
                    take_samples(image, *taken, sampling.order[0] == 0, *columns, out[k])

    def _nodes(self, spectrum: filtering.Spectrum, t: int, samples: np.ndarray) -> np.ndarray:
        """Return (u, y, 2) float32 places in an image of `samples` Å a pixel, every few columns and lines."""
        lines = self.grid.shape[1]
        u = (np.arange((self.columns - 1) // self.step + 2) * self.step - self.columns // 2) * self.sample
        y = (np.arange((lines - 1) // self.step + 2) * self.step - lines // 2) * self.grid.pixel_size
        places = u[:, None, None] * self.across[t] + y[None, :, None] * self.along[t] + self.geometry.shifts[t]
        if self.geometry.image_warp is not None:
            flat = places.reshape(1, -1, 2)
            node_weights, _ = self.geometry.image_warp.take(np.array([t]), len(self.geometry)).node_weights(flat)
            moved = node_weights @ self.geometry.image_warp.planes(len(self.geometry))[t][None]
            places = places - moved.reshape(places.shape)
        return np.ascontiguousarray((places + np.array(spectrum.centre) * spectrum.pixel_size) / samples, np.float32)
