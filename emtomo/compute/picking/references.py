"""References as templates: class averages, or projections of a map, filtered and turned."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.resampling import resample, resampling_matrix
from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.compute.picking.bank import TemplateBank
from emtomo.compute.picking.options import TemplateOptions
from emtomo.compute.picking.preparation import fall
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError

OVERSAMPLING = 2  # of images that are turned, so that interpolation costs nothing
SHARE_WITHIN = 0.98  # of a reference's power over its rim, by which its diameter is measured
ROOM = 1.15  # of a mask about the diameter that was measured


@dataclass(frozen=True)
class RotatedTemplates:
    """References at all in-plane angles, as a bank.

    Attributes
    ----------
    bank : TemplateBank
        Reference after reference, angle after angle.
    angles : (a,) array
        Degrees, from x towards y.
    diameter : float
        Of the mask, Å.
    """

    bank: TemplateBank
    angles: np.ndarray
    diameter: float

    def source(self, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which reference (from 0) and which angle in degrees templates of the bank are."""
        return template // len(self.angles), self.angles[template % len(self.angles)]


def rotate_templates(
    images: np.ndarray, image_pixel_size: float, pixel_size: float, options: TemplateOptions
) -> RotatedTemplates:
    """Return references, filtered, at the search's pixel size and at all angles in the plane.

    Parameters
    ----------
    images : (t, n, n) array
        White particles, centred on pixel ``n // 2``.
    image_pixel_size, pixel_size : float
        Å, of the images and of the search.
    options : TemplateOptions

    Raises
    ------
    EmtomoError
        If an image is empty or no number, or the mask too small for the pixels.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 3 or images.shape[1] != images.shape[2] or not len(images):
        raise EmtomoError(f"References must be square images, got an array of shape {images.shape}.")
    for k, image in enumerate(images):
        if not np.isfinite(image).all():
            raise EmtomoError(f"Reference {k + 1} holds values that are no finite numbers.")
        if np.ptp(image) == 0:
            raise EmtomoError(f"Reference {k + 1} is empty: its values are all the same.")
    widest = (images.shape[1] - 1) * image_pixel_size
    diameter = min(options.mask_diameter or ROOM * measure_diameter(images) * image_pixel_size, widest)
    if diameter < 4 * pixel_size:
        raise EmtomoError(
            f"A mask of {diameter:.3g} Å is smaller than four pixels of the search ({pixel_size:.3g} Å each): lower "
            "the low-pass filter or enlarge the mask."
        )
    size = 2 * (int(np.ceil(diameter / pixel_size / 2)) + 1)
    wide = OVERSAMPLING * size
    fine = pixel_size / OVERSAMPLING
    reduce = resampling_matrix(wide, size, OVERSAMPLING)
    number = max(1, round(360 / options.angular_step))
    angles = np.arange(number) * 360.0 / number
    quarters = 4 if number % 4 == 0 else 1  # a quarter turn is a change of rows and columns
    templates = np.zeros((len(images), number, size, size), np.float32)  # the first row and column lie off the disc
    for k, image in enumerate(images):
        smooth = _filter_image(image - _rim(image, widest / 2 / image_pixel_size), image_pixel_size, options)
        turn = ImageRotator(_place(smooth, image_pixel_size, wide, fine))
        for a in range(number // quarters):
            templates[k, a] = reduce @ turn.by(angles[a]) @ reduce.T
            for q in range(1, quarters):
                templates[k, a + q * number // quarters, 1:, 1:] = np.rot90(templates[k, a, 1:, 1:], -q)
    bank = TemplateBank.of(templates.reshape(-1, size, size), pixel_size, diameter / 2 / pixel_size)
    return RotatedTemplates(bank, angles, diameter)


def measure_diameter(images: np.ndarray) -> float:
    """Return the diameter in pixels of the circle that holds nearly all power of images over that at their rim.

    Parameters
    ----------
    images : (t, n, n) array
        Centred on pixel ``n // 2``.
    """
    n = images.shape[-1]
    shell = np.rint(np.hypot(*(np.indices((n, n)) - n // 2))).astype(int)
    last = max(1, (n - 1) // 2)
    inside = shell <= last
    count = np.bincount(shell[inside])
    power = np.zeros(last + 1)
    for image in images:
        centred = image - _rim(image, last)
        profile = np.bincount(shell[inside], np.square(centred[inside], dtype=np.float64)) / count
        power += np.maximum(profile - profile[-1], 0) / max(float(profile.max()), 1e-30)
    mass = np.cumsum(power * count)
    return 2.0 * float(np.searchsorted(mass, SHARE_WITHIN * mass[-1]) + 1) if mass[-1] > 0 else 2.0 * last


def _rim(image: np.ndarray, radius: float) -> float:
    """Return the mean of an image at the rim of the disc of `radius` pixels."""
    r = np.hypot(*(np.indices(image.shape) - image.shape[0] // 2))
    return float(image[(r <= radius) & (r > radius - 1.5)].mean())


def _filter_image(image: np.ndarray, pixel_size: float, options: TemplateOptions) -> np.ndarray:
    """Return an image without what is finer than the low-pass and coarser than the high-pass filter."""
    n = image.shape[0]
    wide = 2 * n  # so that nothing comes back in from the other side
    k = np.hypot(np.fft.fftfreq(wide, pixel_size)[:, None], np.fft.rfftfreq(wide, pixel_size)[None])
    gain = fall(k * options.lowpass)
    if options.highpass is not None:
        gain = gain * (1 - fall(k * options.highpass))
    padded = rfft2(image, (wide, wide)) * gain.astype(np.float32)
    return irfft2(padded, (wide, wide))[:n, :n]


def _place(image: np.ndarray, pixel_size: float, size: int, new_pixel_size: float) -> np.ndarray:
    """Return an image on `size` pixels of another length about the same centre; zero where it does not reach."""
    n, factor = image.shape[0], new_pixel_size / pixel_size
    out = resample(image, (size, size), factor)
    place = n // 2 + (np.arange(size) - size // 2) * factor
    inside = (place > -0.5) & (place < n - 0.5)
    return np.asarray(out * inside[:, None] * inside, np.float32)


def view_rotations(step: float, symmetry: str = "C1") -> np.ndarray:
    """Return views of a map that differ, evenly over all directions, one of those that the symmetry makes alike.

    Opposite views are mirror images, which turns in the plane do not give: both count unless the symmetry joins them.

    Parameters
    ----------
    step : float
        Degrees between neighbours, about.
    symmetry : str

    Returns
    -------
    (n, 3, 3) array
        Rotations, image frame = R @ map frame, without in-plane turns.
    """
    from scipy.spatial import cKDTree

    count = max(2, int(round(4 * np.pi / np.deg2rad(step) ** 2)))
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, k * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - height**2)
    points = np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
    copies = np.einsum("sij,nj->nsi", symmetry_rotations(symmetry), points)
    near = cKDTree(points)
    kept, covered = [], np.zeros(count, bool)
    for n in range(count):
        if not covered[n]:
            kept.append(n)
            for point in copies[n]:
                covered[near.query_ball_point(point, 0.6 * np.deg2rad(step))] = True
    return np.stack([_facing(points[n]) for n in kept])


def _facing(direction: np.ndarray) -> np.ndarray:
    """Return the rotation without turn in the plane that moves `direction` to z."""
    x, y, z = direction
    azimuth, tilt = np.arctan2(y, x), np.arccos(np.clip(z, -1, 1))
    c, s, ct, st = np.cos(azimuth), np.sin(azimuth), np.cos(tilt), np.sin(tilt)
    return np.array([[c * ct, s * ct, -st], [-s, c, 0], [c * st, s * st, ct]])


class ImageRotator:
    """An image that is turned by many angles about its pixel ``n // 2``, by cubic splines.

    :func:`scipy.ndimage.rotate` turns about ``(n - 1) / 2``, which puts picks off the centre.
    """

    def __init__(self, image: np.ndarray) -> None:
        from scipy.ndimage import spline_filter

        self.splines = spline_filter(image, order=3, output=np.float64, mode="mirror")

    def by(self, degrees: float) -> np.ndarray:
        """Return the image turned from x towards y; zero where it does not reach."""
        from scipy.ndimage import affine_transform

        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        back = np.array([[c, -s], [s, c]])  # from y, x of the result to y, x of the image
        middle = np.array(self.splines.shape) // 2
        turned = affine_transform(self.splines, back, middle - back @ middle, order=3, prefilter=False)
        return np.asarray(turned, np.float32)


def rotate_image(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return an image turned from x towards y about its pixel ``n // 2``."""
    return ImageRotator(image).by(degrees)
