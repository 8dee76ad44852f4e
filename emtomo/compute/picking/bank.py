"""Hundreds of rotated templates as combinations of few images, and their scores on a micrograph."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.transforms import next_fast_len
from emtomo.compute.linear_algebra import multiply, one_blas_thread
from emtomo.compute.picking.correlation import CorrelatedImage, best_of, transform_kernels
from emtomo.errors import EmtomoError

ENERGY = 0.99  # of the templates' power that the basis holds
LOWEST_VARIANCE = 1e-3  # of the median, below which a place is taken for empty
BACKGROUND = np.sqrt(2)  # outer radius of the background's ring, in radii of the templates' disc


@dataclass(frozen=True)
class TemplateBank:
    """Templates on a disc, as combinations of an orthonormal basis.

    Their mean is kept: taking it away would draw an edge around the disc that no particle has, which the CTF makes
    stand out. Scores allow for it instead.

    Attributes
    ----------
    disc : (m, m) float32 array
        Ones where the templates count.
    basis : (b, m, m) float32 array
        The templates' principal components; orthonormal.
    coefficients : (t, b) float32 array
        Of each template in the basis; rows of norm 1.
    pixel_size : float
        Å.
    """

    disc: np.ndarray
    basis: np.ndarray
    coefficients: np.ndarray
    pixel_size: float

    def __len__(self) -> int:
        return len(self.coefficients)

    @classmethod
    @one_blas_thread()  # small products gain nothing from more
    def of(
        cls, templates: np.ndarray, pixel_size: float, radius: float | None = None, energy: float = ENERGY
    ) -> "TemplateBank":
        """Return the bank of templates.

        Parameters
        ----------
        templates : (t, m, m) array
            Centred on pixel ``m // 2``; zero is the background.
        pixel_size : float
            Å.
        radius : float, optional
            Of the disc in pixels; the largest that fits by default.
        energy : float
            Share of the templates' power that the basis must hold.

        Raises
        ------
        EmtomoError
            If a template is empty.
        """
        m = templates.shape[-1]
        r = np.hypot(*(np.indices((m, m)) - m // 2))
        disc = (r <= (radius or (m - 1) // 2)).astype(np.float32)
        inside = np.flatnonzero(disc)
        flat = np.asarray(templates, np.float32).reshape(len(templates), -1)[:, inside].copy()
        norm = np.linalg.norm(flat, axis=1)
        varies = np.ptp(flat, axis=1) > 1e-6 * norm
        if not np.isfinite(norm).all() or not varies.all():
            bad = int(np.argmin(varies)) + 1
            raise EmtomoError(f"Template {bad} is empty within the mask: its values are all the same or no numbers.")
        flat /= norm[:, None]
        values, vectors = np.linalg.eigh(flat.T.astype(np.float64) @ flat)
        order = np.argsort(values)[::-1]
        share = np.cumsum(values[order]) / values.sum()
        count = int(np.searchsorted(share, energy)) + 1
        kept = vectors[:, order[:count]].astype(np.float32)
        coefficients = flat @ kept
        coefficients /= np.linalg.norm(coefficients, axis=1, keepdims=True)
        basis = np.zeros((count, m * m), np.float32)
        basis[:, inside] = kept.T
        return cls(disc, basis.reshape(count, m, m), coefficients, pixel_size)


@dataclass(frozen=True)
class Scores:
    """What a search of a micrograph gives for every pixel.

    Attributes
    ----------
    best : (y, x) float32 array
        The highest score of all templates, in standard deviations of white noise.
    template : (y, x) int32 array
        Which template has it.
    variation : (y, x) float32 array
        Standard deviation of the image under the disc, over its median.
    deviation, average : (y, x) float32 arrays
        Of the normalised image in the ring around the disc; the deviation over its median.
    """

    best: np.ndarray
    template: np.ndarray
    variation: np.ndarray
    deviation: np.ndarray
    average: np.ndarray


@one_blas_thread()  # small products gain nothing from more
def score_templates(
    image: np.ndarray, bank: TemplateBank, passed: float = 1.0, ctf: np.ndarray | None = None
) -> Scores:
    """Return the best score of all templates, and which one has it, for every pixel.

    The score is the correlation coefficient of template and image under the disc, times the square root of the
    number of independent pixels there. The image is correlated with the basis alone; scores of all templates are then
    one matrix product.

    Parameters
    ----------
    image : (y, x) float32 array
        Mean 0.
    bank : TemplateBank
    passed : float
        Share of the frequencies that a filter has left in the image.
    ctf : array, optional
        In the order of ``rfft2`` for the shape :func:`shape_with_margin`; the templates are multiplied by it.

    References
    ----------
    Roseman, Ultramicroscopy 94 (2003), Eq. 6 (local correlation by transforms).
    """
    shape = shape_with_margin(image.shape, bank)
    whole = CorrelatedImage(image, shape)
    mean, variance = whole.moments(bank.disc)
    typical = max(float(np.median(variance)), 1e-12)
    local = np.sqrt(np.maximum(variance, LOWEST_VARIANCE * typical))
    seen = transform_kernels(bank.basis, shape)
    if ctf is not None:
        seen *= np.asarray(ctf, np.float32)
    sums = seen[:, 0, 0].real.copy()
    coefficients = _normalise_coefficients(bank, seen, sums, shape)
    maps = np.empty((len(seen) + 1, image.size), np.float32)
    for k, component in enumerate(seen):
        maps[k] = whole.correlate(component).ravel()
    maps[-1] = mean.ravel()
    # the template's sum times the local mean is taken away by one more row of the same product
    best, which = best_of(np.column_stack([coefficients, -coefficients @ sums]), maps)
    best *= (np.float32(np.sqrt(passed)) / local).ravel()
    average, around = whole.moments(background_ring(bank))
    deviation = np.sqrt(np.maximum(around, 0))
    deviation /= max(float(np.median(deviation)), 1e-12)
    variation = np.asarray(local / np.sqrt(typical), np.float32)
    return Scores(best.reshape(image.shape), which.reshape(image.shape), variation, deviation, average)


def shape_with_margin(shape: tuple[int, ...], bank: TemplateBank) -> tuple[int, int]:
    """Return the rows and columns of the transforms with which an image of `shape` is searched.

    Zeros beyond the image are as wide as the furthest that a disc or its ring reaches; both ends share them.
    """
    reach = max(bank.basis.shape[-1], background_ring(bank).shape[-1]) // 2 + 1
    rows, columns = (next_fast_len(n + reach, real=True) for n in shape)
    return rows, columns


def background_ring(bank: TemplateBank) -> np.ndarray:
    """Return ones in the ring around the disc that has the disc's area."""
    radius = np.sqrt(bank.disc.sum() / np.pi)
    m = 2 * int(np.ceil(radius * BACKGROUND)) + 1
    r = np.hypot(*(np.indices((m, m)) - m // 2))
    return ((r > radius) & (r <= radius * BACKGROUND)).astype(np.float32)


def _normalise_coefficients(
    bank: TemplateBank, seen: np.ndarray, sums: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return coefficients of templates whose deviation from their mean on the disc has norm 1.

    Parameters
    ----------
    bank : TemplateBank
    seen : (b, rows, columns // 2 + 1) complex64 array
        Transforms of the basis, multiplied with the CTF.
    sums : (b,) array
        Sums of its images.
    shape : (rows, columns)
        Of what was transformed.
    """
    flat = seen.reshape(len(seen), -1).view(np.float32)
    gram = 2.0 * multiply(flat, flat.T).astype(float)
    for alone in (seen[:, :, 0], seen[:, :, -1])[: 2 - shape[1] % 2]:  # columns that are their own conjugates
        gram -= (alone @ alone.conj().T).real
    gram = gram / (shape[0] * shape[1]) - np.outer(sums, sums) / bank.disc.sum()
    square = np.einsum("tb,tb->t", bank.coefficients @ gram, bank.coefficients)
    return np.asarray(bank.coefficients / np.sqrt(np.maximum(square, 1e-12))[:, None], np.float32)
