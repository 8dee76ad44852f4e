"""Search one micrograph for blobs or for templates."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.blobs import LogOptions
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.picking.bank import Scores, TemplateBank, score_templates, shape_with_margin
from emtomo.compute.picking.options import BlobOptions, TemplateOptions
from emtomo.compute.picking.peaks import Peaks, find_peaks
from emtomo.compute.picking.preparation import Prepared, prepare
from emtomo.compute.picking.references import RotatedTemplates
from emtomo.compute.picking.shapes import draw_blobs
from emtomo.errors import EmtomoError

BLOB_ENERGY = 0.999  # of the blobs' power that the basis holds; they are few and alike
ICE = 0.35  # of the square of twice the diameter: where more was cut from the image is ice, and nothing is picked
BORDER = 0.25  # of the diameter: centres nearer to the edges are not picked


@dataclass(frozen=True)
class PickingSearch:
    """What the search of one micrograph found.

    Attributes
    ----------
    peaks : Peaks
        All of them, the best first; templates by their number from 0.
    scores : Scores
        Maps at the pixel size of the search.
    pixel_size : float
        Å of the search.
    """

    peaks: Peaks
    scores: Scores
    pixel_size: float


def search_blobs(
    image: np.ndarray, pixel_size: float, white: bool, diameters: LogOptions, options: BlobOptions
) -> tuple[PickingSearch, np.ndarray]:
    """Search a micrograph for discs, ellipses and rings.

    Parameters
    ----------
    image : (y, x) array
    pixel_size : float
        Å.
    white : bool
        Particles are brighter than their surroundings.
    diameters : LogOptions
        Its diameters count.
    options : BlobOptions

    Returns
    -------
    search : PickingSearch
    diameters : (n,) array
        Å, of each peak's best blob.

    Raises
    ------
    EmtomoError
        If diameters are the wrong way round or do not fit, or the image has no signal.
    """
    low, high = diameters.min_diameter, diameters.max_diameter
    _check_fits(image, pixel_size, high)
    prepared = prepare(image, pixel_size, options.max_resolution, white=white, shrink=options.shrink)
    blobs, sizes = draw_blobs(prepared.pixel_size, low, high, options.shapes)
    bank = TemplateBank.of(blobs, prepared.pixel_size, energy=BLOB_ENERGY)
    found = _search(prepared, bank, None, BORDER * low, high, white)
    return found, sizes[found.peaks.templates]


def search_templates(
    image: np.ndarray,
    pixel_size: float,
    white: bool,
    templates: RotatedTemplates,
    options: TemplateOptions,
    ctf: Ctf | None = None,
) -> PickingSearch:
    """Search a micrograph for templates at the pixel size of :func:`search_pixel_size`.

    Parameters
    ----------
    image : (y, x) array
    pixel_size : float
        Å.
    white : bool
        Particles are brighter than their surroundings.
    templates : RotatedTemplates
    options : TemplateOptions
    ctf : Ctf, optional
        Of the micrograph, by which the templates are multiplied.

    Raises
    ------
    EmtomoError
        If the templates do not fit, or the image has no signal.
    """
    _check_fits(image, pixel_size, templates.diameter)
    prepared = prepare(
        image, pixel_size, options.lowpass, white=white, shrink=options.shrink, highpass=options.highpass
    )
    seen = None
    if ctf is not None:
        rows, columns = shape_with_margin(prepared.image.shape, templates.bank)
        steps = pixel_size * prepared.factor
        ky, kx = np.fft.fftfreq(rows, steps[0])[:, None], np.fft.rfftfreq(columns, steps[1])[None]
        seen = ctf.values(kx, ky, ignore_first_peak=options.ignore_first_peak)
    return _search(prepared, templates.bank, seen, BORDER * templates.diameter, templates.diameter, white)


def _search(
    prepared: Prepared, bank: TemplateBank, ctf: np.ndarray | None, border: float, diameter: float, white: bool
) -> PickingSearch:
    scores = score_templates(prepared.image, bank, prepared.passed, ctf)
    peaks = find_peaks(scores, prepared.factor, border / prepared.pixel_size, white)
    return PickingSearch(peaks.take(_outside_ice(peaks, prepared, diameter)), scores, prepared.pixel_size)


def _outside_ice(peaks: Peaks, prepared: Prepared, diameter: float) -> np.ndarray:
    """Return which peaks do not lie in, or on the edge of, ice and dirt that are larger than particles."""
    from scipy.ndimage import uniform_filter

    if not prepared.contaminated.any() or not len(peaks):
        return np.arange(len(peaks))
    side = max(3, round(2 * diameter / prepared.pixel_size))
    share = uniform_filter(prepared.contaminated.astype(np.float32), side, mode="nearest")
    last = np.array(share.shape) - 1
    at = np.clip(np.rint(peaks.positions / prepared.factor).astype(int), 0, last)
    return np.flatnonzero(share[tuple(at.T)] <= ICE)


def _check_fits(image: np.ndarray, pixel_size: float, diameter: float) -> None:
    if image.ndim != 2:
        raise EmtomoError(
            f"A micrograph must be one image, got an array of {image.ndim} axes; movies are not picked on."
        )
    if diameter > min(image.shape) * pixel_size:
        size = " × ".join(f"{n * pixel_size:g}" for n in image.shape[::-1])
        raise EmtomoError(f"Particles of {diameter:g} Å do not fit into a micrograph of {size} Å.")
