"""Images of particles cut out of a tilt series at any pixel size, with their CTF and dose weights, free of aliasing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np

from emtomo.compute.fourier.transforms import next_fast_len, rfft2
from emtomo.compute.optics.ctf import Ctf, image_frequencies, wavelength
from emtomo.compute.tilt.cropping import crop_weights, crop_window
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.image_sampling import SampledImage, sample_image
from emtomo.compute.tilt.pixel_order import PixelOrder
from emtomo.compute.tilt.transfer_tables import TransferTables, tabulate_transfer
from emtomo.errors import EmtomoError
from emtomo.options import LARGEST_PIXEL, Param, check_options, pixel_size_unless

MARGIN = 1.1  # of the distance to which the CTF spreads a particle


@dataclass(frozen=True, kw_only=True)
class ParticleImageOptions:
    """How images of particles are cut out of tilt series."""

    pixel_size: Annotated[
        float,
        Param(
            "Pixel size", "Of the particles; need not be a multiple of the images'. 0: that of the images.",
            unit="Å", ge=0, le=LARGEST_PIXEL, validate=pixel_size_unless(0),
        ),
    ] = 0.0  # fmt: skip
    box_size: Annotated[
        int, Param("Box size", "Edge of the box at the particles' pixel size.", unit="voxel", ge=8, le=1024)
    ] = 64
    diameter: Annotated[
        float,
        Param(
            "Particle diameter",
            "What lies outside counts as background; images that do not show all of it are left out. "
            "0: 75 % of the box.",
            unit="Å",
            ge=0,
        ),
    ] = 0.0
    first_tilts: Annotated[
        int, Param("First tilts only", "The tilts with the least dose; 0: all that are not excluded.", ge=0)
    ] = 0
    missing_tilts: Annotated[
        int,
        Param(
            "Missing tilts at most",
            "Particles that lie outside more images than this are left out and counted.",
            ge=0,
            expert=True,
        ),
    ] = 5
    invert: Annotated[
        bool, Param("Invert contrast?", "Averaging and refinement want white particles; raw images have dark ones.")
    ] = True
    normalise: Annotated[
        bool,
        Param(
            "Normalise",
            "Every tilt image to mean 0 (a plane is subtracted) and deviation 1, and every box by what lies outside "
            "the particle's diameter.",
        ),
    ] = True
    premultiply: Annotated[
        bool,
        Param(
            "Premultiply with the CTF",
            "3d: on, boxes are sums of the images times their CTF, and weights sums of the squared CTF; off, both are "
            "divided by the sum of |CTF|, as Warp writes them. 2d: on, as RELION 5 takes them; off, as cryoDRGN does.",
        ),
    ] = False

    @property
    def particle_diameter(self) -> float:
        """Diameter in Å for a pixel size that is known."""
        return self.diameter or 0.75 * self.box_size * self.pixel_size


def count_alias_free(ctf: Ctf, pixel_size: float, width: float) -> int:
    """Return how many pixels an image needs, so that its CTF does not alias within `width` Å about its centre.

    The phase of the CTF may advance by at most half a turn for every pixel of the transform; 10 % are added.

    Parameters
    ----------
    ctf : Ctf
        Of any number of images; the one that spreads farthest counts.
    pixel_size : float
        Å.
    width : float
        Of the particle in Å.
    """
    length = np.asarray(wavelength(ctf.voltage), float)[..., None]
    k = np.linspace(0, 0.5 / pixel_size, 1001)
    steps = 0.0
    for defocus in (ctf.defocus_u, ctf.defocus_v):
        turns = length * np.asarray(defocus, float)[..., None] * k**2
        turns = turns - 0.5e7 * np.asarray(ctf.cs, float)[..., None] * length**3 * k**4
        steps = max(steps, float(np.abs(np.diff(turns, axis=-1)).max(initial=0)) * 1000)
    return int(np.ceil(2 * MARGIN * steps + width / pixel_size))


@dataclass(frozen=True)
class TiltView:
    """One tilt's window of a particle in Fourier space, its centre at pixel 0.

    Attributes
    ----------
    tilt : int
        Its number in the series, from 0.
    rotation : (3, 3) array
        From the tomogram to the section that it measures.
    values : (s, s // 2 + 1) complex64 array
        In the order of ``rfft2``.
    ctf : float32 array of that shape
        At the particle's height, positive at low frequency where particles are white.
    dose : float32 array of that shape
        What dose and thickness leave.
    """

    tilt: int
    rotation: np.ndarray
    values: np.ndarray
    ctf: np.ndarray
    dose: np.ndarray


@dataclass(frozen=True)
class ParticleImages:
    """Images of a particle, one for every tilt that shows it.

    Attributes
    ----------
    images : (t, n, n) float32 array
        The particle's centre at pixel ``n // 2``.
    weights : (t, n, n // 2 + 1) float32 array
        In the order of ``rfft2``: CTF times dose weights, or their square of premultiplied images.
    rotations : (t, 3, 3) array
        From the tomogram to the sections that the images measure.
    tilts : (t,) int array
        Numbers of the tilts, from 0.
    """

    images: np.ndarray
    weights: np.ndarray
    rotations: np.ndarray
    tilts: np.ndarray


@dataclass(frozen=True)
class SeriesView:
    """What particles of a tilt series are seen through: its tilts, without their images.

    Attributes
    ----------
    geometry : TiltGeometry
        Of the tilts that take part.
    tilts : (t,) int array
        Their numbers in the series.
    reach : (t, 2, 2) array
        x, y in Å of the first and last pixel from the image's centre.
    options : ParticleImageOptions
        Its pixel size is known.
    """

    geometry: TiltGeometry
    tilts: np.ndarray
    reach: np.ndarray
    options: ParticleImageOptions
    _tables: dict[int, TransferTables] = field(init=False, default_factory=dict, repr=False, compare=False)

    def visible(self, points: np.ndarray) -> np.ndarray:
        """Return (t, p): which tilts show all of the particles at (p, 3) points in Å from the volume's centre."""
        seen, radius = self.geometry.project(points)[:, :, :2], self.options.particle_diameter / 2
        low, high = self.reach[:, None, 0], self.reach[:, None, 1]
        return np.asarray(((seen - radius >= low) & (seen + radius <= high)).all(axis=2))

    def select_particles(self, points: np.ndarray) -> np.ndarray:
        """Return (p,): which particles enough tilts show."""
        visible = self.visible(points)
        missing = len(visible) - visible.sum(axis=0)
        return np.asarray((missing <= self.options.missing_tilts) & (missing < len(visible)))

    def window_size(self, at_least: int) -> int:
        """Return the edge of windows in pixels in which the CTF does not alias within the box."""
        assert self.geometry.ctf is not None
        pixel, depth = self.options.pixel_size, np.linalg.norm(self.geometry.volume_size or (0.0, 0.0, 0.0)) / 2
        ctf = self.geometry.ctf
        sign = np.where(ctf.defocus < 0, -1, 1)
        width = max(self.options.box_size * pixel, self.options.particle_diameter)
        height = min(depth, 5000.0)
        size = max(at_least, count_alias_free(ctf.with_defocus_added(sign * height), pixel, width))
        size = next_fast_len(size + size % 2, real=True)
        while size % 2:
            size = next_fast_len(size + 1, real=True)
        return size

    def tables(self, size: int) -> TransferTables:
        """Return the tables of CTF and dose weights for windows of `size` pixels, worked out once."""
        if size not in self._tables:
            self._tables[size] = tabulate_transfer(self.geometry, size, self.options.pixel_size)
        return self._tables[size]

    def weights(self, point: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Return the weights `(s, n, n // 2 + 1)` of the images of a particle in some of :attr:`tilts`.

        As :meth:`PreparedSeries.cut` gives them: worked out in windows that hold what the CTF spreads.
        """
        n, squared = self.options.box_size, self.options.premultiply
        tables = self.tables(self.window_size(n))
        heights = self.geometry.project(np.asarray(point, float)[None])[:, 0, 2]
        out = np.empty((len(shown), n, n // 2 + 1), np.float32)
        for k, t in enumerate(shown):
            out[k] = crop_weights(tables.ctf(int(t), heights[t]) * tables.dose[t], n, squared)
        return out


@dataclass(frozen=True)
class PreparedSeries(SeriesView):
    """A tilt series from which particles are cut.

    Attributes
    ----------
    images : list of SampledImage
        Of its tilts that take part.
    counts : dict
        Of the tilts that show a particle, how many reach every frequency of a subtomogram; worked out once.
    orders : list of PixelOrder
        Of all its tilts, as soon as a subtomogram was reconstructed.
    """

    images: list[SampledImage]
    counts: dict[tuple[int, ...], np.ndarray] = field(init=False, default_factory=dict, repr=False, compare=False)
    orders: list[PixelOrder] = field(init=False, default_factory=list, repr=False, compare=False)

    def views(self, point: np.ndarray, size: int, moved: np.ndarray | None = None) -> Iterator[TiltView]:
        """Yield windows of `size` pixels about a particle at a point, of the tilts that show it; see :meth:`cut`."""
        pixel = self.options.pixel_size
        seen = self.geometry.project(np.asarray(point, float)[None])[:, 0]
        visible = self.visible(np.asarray(point, float)[None])[:, 0]
        if moved is not None:
            seen[:, :2] += moved
        kx, ky = image_frequencies((size, size), pixel)
        sections, tables = self.geometry.sections, self.tables(size)
        for t in np.flatnonzero(visible):
            window, rest = self.images[t].window(seen[t, :2], size)
            values = rfft2(window)
            for k, place in zip((kx, ky), size // 2 + rest, strict=True):
                values *= np.exp(2j * np.pi * pixel * place * k).astype(np.complex64)
            yield TiltView(int(self.tilts[t]), sections[t], values, tables.ctf(int(t), seen[t, 2]), tables.dose[t])

    def cut(self, point: np.ndarray, moved: np.ndarray | None = None) -> ParticleImages:
        """Return the images of a particle at a point (Å from the volume's centre), moved by (t, 2) Å in the images.

        Premultiplied images are multiplied in windows that hold what the CTF spreads, and cut afterwards.

        Raises
        ------
        EmtomoError
            If no tilt shows the particle.
        """
        n, premultiply = self.options.box_size, self.options.premultiply
        views = list(self.views(point, self.window_size(n), moved))
        if not views:
            raise EmtomoError("no tilt shows the particle.")
        transfer = np.stack([view.ctf * view.dose for view in views])
        values = np.stack([view.values for view in views])
        if premultiply:
            values *= transfer
        images = np.fft.fftshift(crop_window(values, n), axes=(-2, -1))
        weights, rotations = crop_weights(transfer, n, premultiply), np.stack([view.rotation for view in views])
        return ParticleImages(images, weights, rotations, np.array([view.tilt for view in views]))


def prepare_series(
    images: Callable[[int], np.ndarray],
    geometry: TiltGeometry,
    options: ParticleImageOptions,
    on_progress: Callable[[int], None] = lambda done: None,
) -> PreparedSeries:
    """Return a tilt series with the images that take part, sampled at the particles' pixel size.

    Parameters
    ----------
    images : callable
        Number of a tilt from 0 to its (y, x) image.
    geometry : TiltGeometry
        Of all tilts, with pixel size and CTF.
    options : ParticleImageOptions
    on_progress : callable
        Called with the number of images done.

    Raises
    ------
    EmtomoError
        If the series has no defocus or pixel size, all its tilts are excluded, the pixel size is too fine, the
        particle is wider than the box, or an image cannot be used.
    """
    view = view_series(geometry, options, lambda t: (0, 0))
    sampled, reach = [], []
    for done, t in enumerate(view.tilts):
        image = images(int(t))
        reach.append(_reach((image.shape[0], image.shape[1]), geometry.pixel_size))
        try:
            one = sample_image(
                image, geometry.pixel_size, view.options.pixel_size, normalise=options.normalise, invert=options.invert
            )
        except EmtomoError as error:
            raise EmtomoError(f"tilt {t + 1}: {error}") from None
        sampled.append(one)
        on_progress(done + 1)
    return PreparedSeries(view.geometry, view.tilts, np.stack(reach), view.options, sampled)


def view_series(
    geometry: TiltGeometry, options: ParticleImageOptions, shape: Callable[[int], tuple[int, int]]
) -> SeriesView:
    """Return what particles are seen through, without reading an image.

    Parameters
    ----------
    geometry : TiltGeometry
        Of all tilts, with pixel size and CTF.
    options : ParticleImageOptions
    shape : callable
        Number of a tilt from 0 to the rows and columns of its image.

    Raises
    ------
    EmtomoError
        As :func:`check_series` does.
    """
    wanted = check_series(geometry, options)
    tilts = choose_tilts(geometry, options.first_tilts)
    reach = np.stack([_reach(shape(int(t)), geometry.pixel_size) for t in tilts])
    return SeriesView(geometry.take(tilts), tilts, reach, replace(options, pixel_size=wanted))


def _reach(shape: tuple[int, int], pixel_size: float) -> np.ndarray:
    n = np.array([shape[1], shape[0]])
    return np.stack([-(n // 2), n - 1 - n // 2]) * pixel_size


def check_series(geometry: TiltGeometry, options: ParticleImageOptions) -> float:
    """Return the particles' pixel size in Å.

    Raises
    ------
    EmtomoError
        If the series has no defocus or pixel size, all its tilts are excluded, the pixel size is too fine, or the
        particle is wider than the box.
    """
    check_options(options)
    if geometry.ctf is None:
        raise EmtomoError("the tilt series has no defocus: estimate its CTF, or import it with its CTF files.")
    if not geometry.pixel_size > 0:
        raise EmtomoError("the pixel size of the tilt images is not known.")
    choose_tilts(geometry)
    wanted = options.pixel_size or geometry.pixel_size
    if wanted < geometry.pixel_size / 2:
        raise EmtomoError(
            f"Pixel size must be at least half that of the images ({geometry.pixel_size:g} Å), got {wanted:g} Å."
        )
    if options.diameter > options.box_size * wanted:
        raise EmtomoError(
            f"Particle diameter must be at most the box, {options.box_size} × {wanted:g} Å, got {options.diameter:g} Å."
        )
    return wanted


def choose_tilts(geometry: TiltGeometry, first: int = 0) -> np.ndarray:
    """Return the numbers of the tilts that take part: those that are not excluded, or the `first` of them by dose.

    Raises
    ------
    EmtomoError
        If none is left.
    """
    left = np.flatnonzero(~geometry.excluded)
    if not len(left):
        raise EmtomoError("all tilts are excluded; no image is left.")
    if first:
        left = np.sort(left[np.lexsort((geometry.order[left], geometry.dose[left]))[:first]])
    return left
