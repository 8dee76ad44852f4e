"""Cut images of particles out of micrographs, rescale and normalise them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.extraction import FARTHEST
from emtomo.compute.fourier.resampling import resampling_matrix
from emtomo.compute.linear_algebra import multiply
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options

SMALLEST_DEVIATION = 1e-10  # a background that deviates less is constant


@dataclass(frozen=True, kw_only=True)
class ExtractParticlesOptions:
    """How images of particles are cut out of micrographs."""

    box_size: Annotated[
        int,
        Param(
            "Particle box size (pix)",
            "Edge of the box in pixels of the micrographs, even; 1.5 to 2 times the particle's diameter. "
            "0: the box of the coordinates.",
            unit="pixel",
            ge=0,
            le=4096,
        ),
    ] = 0
    rescale: Annotated[
        int,
        Param(
            "Re-scaled size (pixels)",
            "Edge of the images after Fourier cropping, even; the pixel size grows by box size over this. 0: as cut.",
            unit="pixel",
            ge=0,
            le=4096,
        ),
    ] = 0
    invert: Annotated[
        bool,
        Param(
            "Invert contrast?",
            "Classification wants white particles; micrographs have dark ones. What was imported as white stays.",
        ),
    ] = True
    normalize: Annotated[
        bool,
        Param("Normalize particles?", "A plane is subtracted, then the background has mean 0 and deviation 1."),
    ] = True
    background_diameter: Annotated[
        float,
        Param(
            "Diameter background circle (pix)",
            "In pixels before rescaling; what lies outside is background. -1: 75 % of the box.",
            unit="pixel",
            ge=-1,
        ),
    ] = -1.0
    white_dust: Annotated[
        float,
        Param(
            "Stddev for white dust removal",
            "Pixels brighter than the background by more than this many deviations get values of the background; "
            "5 is usual. -1: none.",
            ge=-1,
        ),
    ] = -1.0
    black_dust: Annotated[
        float,
        Param(
            "Stddev for black dust removal",
            "Pixels darker than the background by more than this many deviations get values of the background; "
            "5 is usual. -1: none.",
            ge=-1,
        ),
    ] = -1.0
    border: Annotated[
        str,
        Param(
            "At the border",
            "drop: particles whose box does not fit are left out, counted and listed; pad: the micrograph's edge is "
            "repeated.",
            choices=("drop", "pad"),
        ),
    ] = "drop"

    @property
    def final_box(self) -> int:
        """Edge of the images after rescaling."""
        return self.rescale or self.box_size

    @property
    def scale(self) -> float:
        """Ratio of the pixel sizes, images over micrographs."""
        return self.box_size / self.final_box

    @property
    def background_radius(self) -> float:
        """Radius of the circle outside which is background, in pixels of the images."""
        diameter = 0.75 * self.box_size if self.background_diameter <= 0 else self.background_diameter
        return diameter / 2 / self.scale


def size_errors(options: ExtractParticlesOptions) -> list[str]:
    """Return what is wrong with box, rescaled size and background circle, in sentences."""
    errors = []
    for label, size in (("Particle box size", options.box_size), ("Re-scaled size", options.rescale)):
        if size % 2:
            errors.append(f"{label} must be even, got {size}; take {size - 1} or {size + 1}.")
    if options.box_size and options.box_size < 8:
        errors.append(f"Particle box size must be at least 8 pixels, got {options.box_size}.")
    if options.rescale and options.rescale < 8:
        errors.append(f"Re-scaled size must be at least 8 pixels, got {options.rescale}.")
    if options.box_size and options.normalize and options.background_diameter > options.box_size:
        errors.append(
            f"Diameter background circle must not exceed the box of {options.box_size} pixels, "
            f"got {options.background_diameter:g}."
        )
    return errors


def nearest_pixels(positions: np.ndarray, pixel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels nearest to positions, and the rest.

    Parameters
    ----------
    positions : (n, 2) array
        x, y in Å from the centre of the first pixel.
    pixel_size : float
        Å.

    Returns
    -------
    nearest : (n, 2) int array
        x, y.
    rest : (n, 2) array
        Position less that pixel's centre in Å, at most half a pixel.

    Raises
    ------
    EmtomoError
        If a position is no finite number, or farther away than any micrograph reaches.
    """
    pixels = np.asarray(positions, float).reshape(-1, 2) / pixel_size
    impossible = ~(np.abs(pixels) < FARTHEST).all(axis=1)
    if impossible.any():
        row = int(np.argmax(impossible))
        where = ", ".join(f"{v:g}" for v in pixels[row])
        raise EmtomoError(f"Particle {row + 1} lies at x, y {where} pixels, where no micrograph can be.")
    nearest = np.floor(pixels + 0.5).astype(np.int64)
    return nearest, (pixels - nearest) * pixel_size


def boxes_inside(centres: np.ndarray, box_size: int, shape: tuple[int, int]) -> np.ndarray:
    """Return which boxes about centre pixels (n, 2; x, y) lie wholly within a micrograph of `shape` (y, x)."""
    start = np.asarray(centres) - box_size // 2
    return np.all((start >= 0) & (start + box_size <= np.array(shape)[::-1]), axis=1)


def boxes_touching(centres: np.ndarray, box_size: int, shape: tuple[int, int]) -> np.ndarray:
    """Return which boxes about centre pixels (n, 2; x, y) share a pixel with a micrograph of `shape` (y, x)."""
    start = np.asarray(centres) - box_size // 2
    return np.all((start + box_size > 0) & (start < np.array(shape)[::-1]), axis=1)


def crop_images(micrograph: np.ndarray, centres: np.ndarray, box_size: int) -> np.ndarray:
    """Return `(n, box, box)` float32 images whose pixel ``box // 2`` is a centre; what lies outside repeats the edge.

    Parameters
    ----------
    micrograph : (y, x) array
    centres : (n, 2) int array
        x, y in pixels.
    box_size : int
    """
    out = np.empty((len(centres), box_size, box_size), np.float32)
    along = np.arange(box_size) - box_size // 2
    rows, columns = micrograph.shape
    inside = boxes_inside(centres, box_size, (rows, columns))
    for k, (x, y) in enumerate(np.asarray(centres)):
        if inside[k]:
            top, left = y - box_size // 2, x - box_size // 2
            out[k] = micrograph[top : top + box_size, left : left + box_size]
        else:
            at = np.ix_(np.clip(y + along, 0, rows - 1), np.clip(x + along, 0, columns - 1))
            out[k] = micrograph[at]
    return out


def rescale_images(images: np.ndarray, size: int) -> np.ndarray:
    """Return `(n, size, size)` images of the same field, Fourier cropped (or padded) about the centre pixel."""
    n = images.shape[-1]
    if size == n:
        return images
    matrix = resampling_matrix(n, size, n / size)
    out = np.empty((len(images), size, size), np.float32)
    for k, image in enumerate(images):
        out[k] = multiply(multiply(matrix, np.asarray(image, np.float32)), matrix.T)
    return out


def outside_circle(size: int, radius: float) -> np.ndarray:
    """Return `(size, size)` bool, where an image is background: farther than `radius` pixels from pixel size // 2."""
    along = np.arange(size) - size // 2
    return np.asarray(along[:, None] ** 2 + along[None, :] ** 2 > radius**2)


def remove_dust(
    images: np.ndarray, background: np.ndarray, white: float, black: float, rng: np.random.Generator
) -> None:
    """Give outliers random values of their image's background, in place.

    Parameters
    ----------
    images : (n, m, m) float32 array
    background : (m, m) bool array
    white, black : float
        In deviations of the background above or below its mean; not positive: none.
    rng : Generator
    """
    for image in images:
        mean, deviation = float(image[background].mean()), float(image[background].std())
        dust = np.zeros(image.shape, bool)
        if white > 0:
            dust |= image > mean + white * deviation
        if black > 0:
            dust |= image < mean - black * deviation
        image[dust] = rng.normal(mean, deviation, int(dust.sum()))


def normalise_images(images: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Subtract the background's plane and give the background mean 0 and deviation 1, in place.

    Parameters
    ----------
    images : (n, m, m) float32 array
    background : (m, m) bool array
        At least four pixels.

    Returns
    -------
    (n,) bool array
        Which images had a constant background: they are not scaled.

    Raises
    ------
    EmtomoError
        If there is next to no background.
    """
    m = images.shape[-1]
    if background.sum() < 4:
        raise EmtomoError(f"The background circle leaves no background in an image of {m} pixels: make it smaller.")
    y, x = np.indices((m, m)) - m // 2
    plane = np.stack([np.ones(m * m), x.ravel(), y.ravel()], axis=1)
    outside = background.ravel()
    solve = np.zeros((m * m, 3))
    solve[outside] = np.linalg.pinv(plane[outside]).T
    flat = images.reshape(len(images), m * m)
    first = (
        flat[:, outside].mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    )  # so that large grey values lose no digits
    flat -= first
    flat -= ((flat @ solve) @ plane.T).astype(np.float32)
    values = flat[:, outside].astype(np.float64)
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    constant = ~(deviation > SMALLEST_DEVIATION * np.maximum(np.abs(first[:, 0]), 1))
    scale = np.where(constant, 1.0, deviation)
    flat -= mean[:, None].astype(np.float32)
    flat /= scale[:, None].astype(np.float32)
    return constant


def extract_particles(
    micrograph: np.ndarray, centres: np.ndarray, options: ExtractParticlesOptions, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return images of particles, and which of them have a constant background.

    Cut, inverted, rescaled, freed of dust and normalised, in this order.

    Parameters
    ----------
    micrograph : (y, x) array
    centres : (n, 2) int array
        x, y of the particles' pixels; see :func:`nearest_pixels`.
    options : ExtractParticlesOptions
    seed : int
        Of the values that replace dust.

    Returns
    -------
    images : (n, m, m) float32 array
        The centre is pixel ``m // 2``.
    constant : (n,) bool array

    Raises
    ------
    EmtomoError
        If an option is out of bounds, or a size is odd.
    """
    check_options(options)
    errors = size_errors(options)
    if errors or not options.box_size:
        raise EmtomoError(errors[0] if errors else "Particle box size must be given.")
    images = crop_images(micrograph, centres, options.box_size)
    if options.invert:
        images *= np.float32(-1)
    images = rescale_images(images, options.final_box)
    background = outside_circle(options.final_box, options.background_radius)
    if options.white_dust > 0 or options.black_dust > 0:
        remove_dust(images, background, options.white_dust, options.black_dust, np.random.default_rng(seed))
    if not options.normalize:
        return images, np.zeros(len(images), bool)
    return images, normalise_images(images, background)


def project_point(point: np.ndarray, rotations: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Return where a point of the reference lies in each image, from the particle's centre.

    Parameters
    ----------
    point : (3,) array
        x, y, z from the reference's centre.
    rotations : (n, 3, 3) array
        image = R @ reference; NaN where a particle has none: it stands in its class average, turned by `psi`.
    psi : (n,) array
        Degrees from x towards y.

    Returns
    -------
    (n, 2) array
        x, y in the unit of `point`.
    """
    angle = np.deg2rad(np.asarray(psi, float))
    c, s = np.cos(angle), np.sin(angle)
    x, y, _ = np.asarray(point, float)
    flat = np.stack([c * x - s * y, s * x + c * y], axis=1)
    solid = np.asarray(rotations, float)[:, :2] @ np.asarray(point, float)
    return np.where(np.isfinite(solid), solid, flat)
