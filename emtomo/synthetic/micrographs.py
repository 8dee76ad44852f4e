"""Micrographs of single particles with everything known about them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.fourier.projections import Projector
from emtomo.compute.fourier.transforms import irfft2, next_fast_len, rfft2
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.rotations import random_rotations
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.options import SMALLEST_PIXEL, Param, check_options
from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, protein_density

# x, y, z, radius in Å, and weight of the balls of one asymmetric unit; the group makes the rest
UNITS: dict[str, np.ndarray] = {
    "C1": SOLUBLE_PROTEIN,
    "D2": np.array(
        [
            [28.0, 22.0, 20.0, 34.0, 1.0],
            [56.0, 8.0, 14.0, 24.0, 1.1],
            [16.0, 44.0, 30.0, 22.0, 1.2],
            [62.0, 30.0, -6.0, 16.0, 1.3],
        ]
    ),
    "D7": np.array(
        [
            [40.0, 0.0, 18.0, 21.0, 1.0],
            [30.0, 8.0, 25.0, 14.0, 1.1],
            [40.0, 9.0, 53.0, 21.0, 1.0],
            [25.0, -2.0, 64.0, 13.0, 1.2],
            [50.0, 16.0, 47.0, 12.0, 1.2],
        ]
    ),
}
PAD, LARGE = 3, 128  # of the transform that projections are taken from; edge of densities that get less
SAMPLE = 60  # projections from which the level of noise is found
TRIES = 20000
CARBON_DEVIATION, CARBON_MEAN = 1.6, -1.5  # of carbon film, in deviations of the noise of ice
CRYSTAL_MEAN = -4.0  # of ice crystals, in the same unit


@dataclass(frozen=True, kw_only=True)
class MicrographOptions:
    """What a simulated micrograph shows and how it is taken."""

    size_x: Annotated[int, Param("Columns", "Pixels along x.", unit="pixel", ge=64, le=8192)] = 512
    size_y: Annotated[int, Param("Rows", "Pixels along y.", unit="pixel", ge=64, le=8192)] = 512
    pixel_size: Annotated[float, Param("Pixel size", "Edge of a pixel.", unit="Å", ge=SMALLEST_PIXEL, le=50)] = 3.5
    shape: Annotated[
        str,
        Param(
            "Particle", "D7: a barrel of 28 subunits; D2: a tetramer; C1: without symmetry.", choices=("D7", "D2", "C1")
        ),
    ] = "D7"
    per_micrograph: Annotated[
        int, Param("Particles", "In one micrograph, in any orientation; fewer where there is no room.", ge=0, le=10000)
    ] = 20
    separation: Annotated[
        float, Param("Separation", "Of neighbours at least, in diameters of the particle.", ge=0.2, le=10)
    ] = 1.1
    snr: Annotated[
        float,
        Param(
            "Signal-to-noise ratio",
            "Variance of the signal, as the CTF leaves it, over that of the noise, within the particle's diameter.",
            gt=0,
        ),
    ] = 0.1
    structural_noise: Annotated[
        float,
        Param(
            "Structural noise",
            "Fraction of the noise's variance that comes from the sample, so that the CTF shapes it: Thon rings.",
            ge=0,
            le=1,
        ),
    ] = 0.1
    min_defocus: Annotated[float, Param("Smallest defocus", "Of the micrographs.", unit="Å", ge=0)] = 12000.0
    max_defocus: Annotated[float, Param("Largest defocus", "Of the micrographs.", unit="Å", ge=0)] = 24000.0
    astigmatism: Annotated[float, Param("Astigmatism", "Defocus U less V.", unit="Å", ge=0)] = 200.0
    b_factor: Annotated[float, Param("B-factor", "Of the signal.", unit="Å²", ge=0)] = 50.0
    voltage: Annotated[float, Param("Voltage", "Of the microscope.", unit="kV", gt=0, le=2000)] = 300.0
    cs: Annotated[float, Param("Spherical aberration", "Of the objective.", unit="mm", ge=0, le=100)] = 2.7
    amplitude_contrast: Annotated[float, Param("Amplitude contrast", "As a fraction.", ge=0, le=1)] = 0.1
    junk: Annotated[int, Param("Junk", "Aggregates and broken particles in one micrograph.", ge=0, le=10000)] = 0
    ice: Annotated[int, Param("Ice", "Crystals of ice in one micrograph, larger and darker.", ge=0, le=1000)] = 0
    gradient: Annotated[
        float, Param("Gradient", "Of the grey value from edge to edge, in deviations of the noise.", ge=0, le=100)
    ] = 0.0
    carbon: Annotated[bool, Param("Carbon", "A part of every micrograph is carbon film, without particles.")] = False
    white: Annotated[bool, Param("Particles white?", "Micrographs from the camera show dark particles.")] = False
    seed: Annotated[int, Param("Seed", "The same seed gives the same micrographs.", ge=0)] = 1


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A micrograph and the truth about it.

    Attributes
    ----------
    image : (y, x) float32 array
        Noise has deviation 1 about 10.
    positions : (n, 2) array
        x, y of the particles' centres in Å from the first pixel's.
    rotations : (n, 3, 3) array
        image = R @ map.
    ctf : Ctf
    junk, ice : (m, 2) arrays
        x, y in Å of what is no particle.
    carbon : (y, x) bool array
        Where the film is.
    """

    image: np.ndarray
    positions: np.ndarray
    rotations: np.ndarray
    ctf: Ctf
    junk: np.ndarray
    ice: np.ndarray
    carbon: np.ndarray


def particle_density(shape: str, pixel_size: float) -> np.ndarray:
    """Return the density of a particle of :data:`UNITS` as a cube of an even edge with room about it."""
    unit = UNITS[shape]
    group = symmetry_rotations(shape)
    balls = np.concatenate([np.column_stack([unit[:, :3] @ s.T, unit[:, 3:]]) for s in group])
    reach = float((np.linalg.norm(balls[:, :3], axis=1) + balls[:, 3]).max()) + 2 * pixel_size
    return protein_density(balls, 2 * int(np.ceil(1.25 * reach / pixel_size)), pixel_size)


def particle_diameter(density: np.ndarray, pixel_size: float) -> float:
    """Return the diameter in Å of the sphere about the centre that holds all voxels above a tenth of the highest."""
    where = np.argwhere(density > 0.1 * density.max()) - np.array(density.shape) // 2
    return 2 * pixel_size * float(np.linalg.norm(where, axis=1).max(initial=0.0))


class MicrographSimulator:
    """Makes micrographs of one kind of particle; each depends on the options and its number alone.

    Parameters
    ----------
    options : MicrographOptions
    density : (n, n, n) array, optional
        The particle at the options' pixel size, in place of a built-in one.

    Raises
    ------
    EmtomoError
        If an option is out of bounds.
    """

    def __init__(self, options: MicrographOptions, density: np.ndarray | None = None) -> None:
        check_options(options)
        self.options = options
        self.density = particle_density(options.shape, options.pixel_size) if density is None else density
        self.diameter = particle_diameter(self.density, options.pixel_size)
        self._projector = Projector(self.density, PAD if len(self.density) <= LARGE else 2)
        self._margin = self._projector.size  # pixels about the micrograph, so that its edge cuts particles
        shape = options.size_y + 2 * self._margin, options.size_x + 2 * self._margin
        self._canvas = next_fast_len(shape[0]), next_fast_len(shape[1], True)
        images = self._projector.images(random_rotations(SAMPLE, options.seed))
        self.peak = float(np.median(images.max(axis=(1, 2))))  # brightest pixel of a projection
        self.noise = self._noise_deviation(images)

    def ctf(self, number: int) -> Ctf:
        """Return the CTF of micrograph `number`, from 0."""
        o, rng = self.options, np.random.default_rng([self.options.seed, number, 1])
        low, high = sorted((o.min_defocus, o.max_defocus))
        defocus, angle = rng.uniform(low, high), rng.uniform(0, 180)
        half = o.astigmatism / 2
        return Ctf(
            defocus + half,
            defocus - half,
            angle,
            cs=o.cs,
            amplitude_contrast=o.amplitude_contrast,
            voltage=o.voltage,
            b_factor=o.b_factor,
        )

    def make(self, number: int) -> SimulatedMicrograph:
        """Return micrograph `number`, from 0."""
        o = self.options
        rng = np.random.default_rng([o.seed, number])
        ctf, carbon = self.ctf(number), self._carbon(rng)
        taken: list[np.ndarray] = []
        ice = self._scatter(o.ice, 200.0, carbon, taken, rng)
        places = self._scatter(o.per_micrograph, o.separation * self.diameter, carbon, taken, rng)
        junk = self._scatter(o.junk, o.separation * self.diameter, carbon, taken, rng)
        rotations = random_rotations(len(places), int(rng.integers(2**31)))
        canvas = np.zeros(self._canvas, np.float32)
        nearest = np.rint(places).astype(int)
        for corner, image in zip(nearest, self._projector.images(rotations, places - nearest), strict=True):
            self._add(canvas, corner, image)
        for place in junk:
            self._add(canvas, np.rint(place).astype(int), self._aggregate(rng))
        crystals = self._crystals(ice, rng)
        contrast = ctf.image(self._canvas, o.pixel_size, contrast="white" if o.white else "dark")
        signal = irfft2(rfft2(canvas) * contrast, self._canvas)
        image = (signal / np.float32(self.noise) + self._make_noise(contrast, carbon, rng))[self._inside]
        image += self._ramp(rng) + np.float32(CRYSTAL_MEAN) * crystals + np.float32(10)
        image[carbon] += np.float32(CARBON_MEAN)
        size = o.pixel_size
        return SimulatedMicrograph(
            image.astype(np.float32), places * size, rotations, ctf, junk * size, ice * size, carbon
        )

    # --- parts ---

    @property
    def _inside(self) -> tuple[slice, slice]:
        m = self._margin
        return slice(m, m + self.options.size_y), slice(m, m + self.options.size_x)

    def _noise_deviation(self, images: np.ndarray) -> float:
        """Return the deviation of noise that gives the signal-to-noise ratio, of projections at the mean defocus."""
        o = self.options
        n = self._projector.size
        wide = next_fast_len(2 * n, True)
        ctf = Ctf.of_defocus(
            (o.min_defocus + o.max_defocus) / 2,
            cs=o.cs,
            amplitude_contrast=o.amplitude_contrast,
            voltage=o.voltage,
            b_factor=o.b_factor,
        ).image((wide, wide), o.pixel_size)
        seen = irfft2(rfft2(images, (wide, wide)) * ctf, (wide, wide))[:, :n, :n]
        y, x = np.indices((n, n)) - n // 2
        disc = np.hypot(y, x) * o.pixel_size <= self.diameter / 2
        return float(np.sqrt(seen[:, disc].var(axis=1).mean() / o.snr)) or 1.0

    def _scatter(
        self, count: int, separation: float, carbon: np.ndarray, taken: list[np.ndarray], rng: np.random.Generator
    ) -> np.ndarray:
        """Return x, y in pixels of up to `count` things, apart from each other and what is `taken` already."""
        o = self.options
        mine: list[np.ndarray] = []
        apart = separation / o.pixel_size
        reach = min(0.55 * separation / o.pixel_size, 0.45 * min(o.size_x, o.size_y))
        for _ in range(TRIES if count else 0):
            if len(mine) == count:
                break
            place = rng.uniform((reach, reach), (o.size_x - 1 - reach, o.size_y - 1 - reach))
            column, row = (int(v) for v in np.rint(place))
            if carbon[row, column]:
                continue
            if taken and np.hypot(*(np.array(taken) - place).T).min() < apart:
                continue
            mine.append(place)
            taken.append(place)
        return np.array(mine, float).reshape(-1, 2)

    def _add(self, canvas: np.ndarray, centre: np.ndarray, image: np.ndarray) -> None:
        """Add an image with its centre pixel at x, y of the micrograph."""
        n = len(image)
        x, y = centre + self._margin - n // 2
        canvas[y : y + n, x : x + n] += image

    def _aggregate(self, rng: np.random.Generator) -> np.ndarray:
        """Return the projection of a heap of protein, or of a fragment: irregular, at most as bright as a particle."""
        n, size = self._projector.size, self.options.pixel_size
        count = int(rng.integers(2, 10))
        radius = rng.uniform(0.1, 0.2) * self.diameter
        walk = np.cumsum(rng.normal(0, radius, (count, 2)), axis=0)
        walk -= walk.mean(axis=0)
        walk *= np.minimum(1.0, 0.45 * self.diameter / np.maximum(np.linalg.norm(walk, axis=1, keepdims=True), 1e-9))
        axis = (np.arange(n) - n // 2) * size
        image = np.zeros((n, n))
        for x, y in walk:
            image += np.exp(-2 * ((axis - y) / radius) ** 2)[:, None] * np.exp(-2 * ((axis - x) / radius) ** 2)[None]
        return (image * (self.peak * rng.uniform(0.4, 1.0) / image.max())).astype(np.float32)

    def _crystals(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return where crystals of ice are, from 0 to 1: discs of 150 to 400 Å."""
        o = self.options
        y, x = np.indices((o.size_y, o.size_x))
        crystals = np.zeros((o.size_y, o.size_x), np.float32)
        for place in places:
            radius = rng.uniform(75, 200) / o.pixel_size
            np.maximum(crystals, np.clip(radius - np.hypot(x - place[0], y - place[1]), 0, 1), out=crystals)
        return crystals

    def _carbon(self, rng: np.random.Generator) -> np.ndarray:
        """Return where carbon film is: beyond a straight edge that leaves about three quarters free."""
        o = self.options
        y, x = np.indices((o.size_y, o.size_x))
        angle = rng.uniform(0, 2 * np.pi)
        along = (x / o.size_x - 0.5) * np.cos(angle) + (y / o.size_y - 0.5) * np.sin(angle)
        return along > 0.22 if o.carbon else np.zeros((o.size_y, o.size_x), bool)

    def _make_noise(self, contrast: np.ndarray, carbon: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return noise of deviation 1: of the camera, white, and of the sample, as the CTF leaves it."""
        o = self.options
        camera = rng.standard_normal(self._canvas, np.float32)
        sample = irfft2(rfft2(rng.standard_normal(self._canvas, np.float32)) * contrast, self._canvas)
        sample /= max(float(sample.std()), 1e-12)
        noise: np.ndarray = np.sqrt(1 - o.structural_noise) * camera + np.sqrt(o.structural_noise) * sample
        if carbon.any():  # the film scatters as well
            noise[self._inside][carbon] += np.float32(np.sqrt(CARBON_DEVIATION**2 - 1)) * sample[self._inside][carbon]
        return noise

    def _ramp(self, rng: np.random.Generator) -> np.ndarray:
        """Return a plane that rises by the gradient across the micrograph."""
        o = self.options
        angle = rng.uniform(0, 2 * np.pi)
        x, y = np.linspace(-0.5, 0.5, o.size_x), np.linspace(-0.5, 0.5, o.size_y)
        plane = o.gradient * (np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None])
        return plane.astype(np.float32)
