"""Rings in the spectra of all tiles of a tilt series, and their sums at equal phase for a plane of the specimen."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.optics.ctf import Ctf, wavelength
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.fit_pictures import flatten_power
from emtomo.compute.optics.power_spectra import RANGE, PolarGrid, background_projection, polar_grid, tile_spectra
from emtomo.compute.optics.ring_fit import RingSpectra
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.errors import EmtomoError

COARSEST = 12.0  # Å: rings must be seen at least to here, or their spacing does not tell the defocus
HEIGHTS = 15  # that stand for those of all tiles of an image where the norm of the model is computed

Images = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class TileRings:
    """Spectra of the tiles of n images.

    Attributes
    ----------
    grid : PolarGrid
    optics : Ctf
        Voltage, Cs, amplitude contrast and phase shift.
    tilts : (n,) int array
        Numbers of the images in the series.
    rings : list of (m, a, k) float32 arrays
        Power of every tile over its background, less 1.
    places : list of (m, 2) arrays
        x, y in Å of the tiles' centres from where the tomogram's centre is seen.
    backgrounds : list of (k,) arrays
    pictures : list of (s, s) float32 arrays
        Power without background, see :func:`flatten_power`.
    subtract : (k, k) array
        Takes a background off, see :func:`background_projection`.
    """

    grid: PolarGrid
    optics: Ctf
    tilts: np.ndarray
    rings: list[np.ndarray]
    places: list[np.ndarray]
    backgrounds: list[np.ndarray]
    pictures: list[np.ndarray]
    subtract: np.ndarray

    @property
    def phase_of_height(self) -> np.ndarray:
        """(k,) phase of the rings, in radians, for every Å of height."""
        return np.asarray(2 * np.pi * wavelength(self.optics.voltage) * self.grid.frequency**2)

    def combine(self, geometry: TiltGeometry) -> RingSpectra:
        """Return the sums of the tiles at equal phase; `geometry` takes the specimen's plane to every tilt.

        See :func:`incline`.
        """
        sums, heights, blurs = [], [], []
        for t, rings, places in zip(self.tilts, self.rings, self.places, strict=True):
            slope = section_slope(geometry, int(t))
            height = places @ slope
            phase = np.exp(1j * height[:, None] * self.phase_of_height)
            sums.append(np.einsum("nak,nk->ak", rings, phase) / len(rings))
            heights.append(np.quantile(height, (np.arange(HEIGHTS) + 0.5) / HEIGHTS))
            blurs.append(_slope_attenuation(self.grid, self.optics, float(np.hypot(*slope))))
        order = np.argsort(tilt_angles(geometry.rotations[self.tilts])[:, 1], kind="stable")
        return RingSpectra(
            self.grid, self.optics, np.stack(sums), np.stack(heights), np.stack(blurs), self.subtract, order
        )


def measure_tiles(
    images: Images,
    geometry: TiltGeometry,
    options: CtfEstimationOptions,
    optics: Ctf,
    on_progress: Callable[[int], None] | None = None,
) -> TileRings:
    """Return the rings in the spectra of all tiles of the images that are not excluded.

    Raises
    ------
    EmtomoError
        If an image is flat, not finite or of another size, or too few rings lie between the resolutions.
    """
    grid: PolarGrid | None = None
    shape: tuple[int, ...] = ()
    parts: list[tuple[np.ndarray, ...]] = []
    used = np.flatnonzero(~geometry.excluded)
    for count, t in enumerate(used.tolist(), 1):
        image = np.asarray(images(t))
        if grid is None:
            shape = image.shape
            grid = choose_rings(shape, geometry.pixel_size, options)
            subtract = background_projection(grid)
        if image.shape != shape:
            raise EmtomoError(
                f"tilt {t + 1}: the image has {image.shape[1]} × {image.shape[0]} pixels, "
                f"others have {shape[1]} × {shape[0]}."
            )
        turn = _phases_of_tiles(geometry, t, optics)
        power, centres, whole = tile_spectra(image, grid, t, turn)
        if not len(power):
            raise EmtomoError(f"tilt {t + 1}: the image has no signal in any tile; exclude this tilt.")
        profile = np.log(np.maximum(power.mean(axis=(0, 1)), 1e-12))
        background = np.exp(profile - profile @ subtract)
        rings = ((power / background - 1) @ subtract).astype(np.float32)
        phase = np.cos(turn(centres)[:, None] * grid.frequency**2).mean(axis=0)
        picture = flatten_power(whole, background, phase, grid).astype(np.float32)
        parts.append((rings, centres - geometry.shifts[t], background, picture))
        if on_progress:
            on_progress(count)
    assert grid is not None
    found = [list(column) for column in zip(*parts, strict=True)]
    return TileRings(grid, optics, used, found[0], found[1], found[2], found[3], subtract)


def draw_power(tiles: TileRings, images: Images, geometry: TiltGeometry) -> list[np.ndarray]:
    """Return the pictures of :class:`TileRings` for another plane of the specimen; images are read once more."""
    out = []
    for t, background in zip(tiles.tilts.tolist(), tiles.backgrounds, strict=True):
        turn = _phases_of_tiles(geometry, t, tiles.optics)
        _, centres, whole = tile_spectra(images(t), tiles.grid, t, turn)
        phase = np.cos(turn(centres)[:, None] * tiles.grid.frequency**2).mean(axis=0)
        out.append(flatten_power(whole, background, phase, tiles.grid).astype(np.float32))
    return out


def incline(geometry: TiltGeometry, plane: np.ndarray) -> TiltGeometry:
    """Return a geometry whose rotations take a plane of the specimen, in place of the tomogram's xy, to every tilt.

    Parameters
    ----------
    geometry : TiltGeometry
    plane : (2,) array
        Degrees about x and y: the plane is the tomogram's xy plane, turned about x and then about y. The angle about y
        acts as an offset of all tilt angles.
    """
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_euler("xy", plane, degrees=True).as_matrix()
    return replace(geometry, rotations=geometry.rotations @ turned)


def section_slope(geometry: TiltGeometry, tilt: int) -> np.ndarray:
    """Return (2,) height of the tomogram's middle plane for every Å along x and y of an image.

    Tilts beyond 84° count as 84°.
    """
    across = geometry.rotations[tilt][:2, :2]
    determinant = across[0, 0] * across[1, 1] - across[0, 1] * across[1, 0]
    limit = 0.1 if determinant >= 0 else -0.1
    safe = determinant if abs(determinant) > 0.1 else limit
    adjugate = np.array([[across[1, 1], -across[0, 1]], [-across[1, 0], across[0, 0]]])
    return np.asarray(geometry.rotations[tilt][2, :2] @ adjugate / safe)


def check_range(options: CtfEstimationOptions) -> None:
    """Raise an EmtomoError if the range of resolution of the options does not do for any image."""
    if options.low_resolution <= options.high_resolution:
        raise EmtomoError(
            f"Lowest resolution must be larger than the highest ({options.high_resolution:g} Å), "
            f"got {options.low_resolution:g} Å."
        )
    if options.high_resolution > COARSEST:
        raise EmtomoError(
            f"Highest resolution must be at most {COARSEST:g} Å, or rings do not tell the defocus; "
            f"got {options.high_resolution:g} Å."
        )


def choose_rings(shape: tuple[int, ...], pixel_size: float, options: CtfEstimationOptions) -> PolarGrid:
    """Return the rings that are fitted in images of `shape` (rows, columns).

    Raises
    ------
    EmtomoError
        If they do not reach far enough, or are fewer than 16; it names what must be changed.
    """
    check_range(options)
    if pixel_size / RANGE > COARSEST:
        raise EmtomoError(
            f"rings of the CTF must be seen to {COARSEST:g} Å or finer; images of {pixel_size:g} Å a pixel show them "
            f"to {pixel_size / RANGE:.1f} Å. Take images of at most {COARSEST * RANGE:g} Å a pixel."
        )
    tile = min(options.tile_size, *shape) // 2 * 2
    try:
        return polar_grid(tile, pixel_size, options.low_resolution, options.high_resolution)
    except EmtomoError as error:
        larger = "larger tiles" if tile >= options.tile_size // 2 * 2 else "larger images"
        finest = options.high_resolution
        finer = "a finer Highest resolution" if finest > pixel_size / RANGE else "images of finer pixels"
        raise EmtomoError(f"{error} Take {larger}, a coarser Lowest resolution or {finer}.") from None


def _phases_of_tiles(geometry: TiltGeometry, tilt: int, optics: Ctf) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives phases per 1/Å² of tiles at (m, 2) places in Å from the centre of an image."""
    slope = 2 * np.pi * float(wavelength(optics.voltage)) * section_slope(geometry, tilt)
    return lambda places: np.asarray((places - geometry.shifts[tilt]) @ slope)


def _slope_attenuation(grid: PolarGrid, optics: Ctf, slope: float) -> np.ndarray:
    """Return (k,) what is left of the rings of a tile whose section is inclined: the mean over its heights."""
    place = (np.arange(grid.tile) - (grid.tile - 1) / 2) * grid.pixel_size
    phase = 2 * np.pi * wavelength(optics.voltage) * slope * place[:, None] * grid.frequency**2
    weight = grid.window.astype(float) ** 2
    return np.asarray(weight @ np.cos(phase) / weight.sum())
