"""Amplitude of the references and noise of the images, shell by shell; what every tilt's scale and B factor are."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emtomo.compute.multiparticle.images import SpeciesImages
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import ImageModel, correlate
from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.tilt.geometry import TiltGeometry

SCALE_PRIOR = 0.3  # of the natural logarithm of a tilt's scale
B_FACTOR_PRIOR = 100.0  # Å²
B_FACTOR_SHARE = 0.2  # of a tilt's B factor, which its prior is wider by
LARGEST_FACTOR = 4.0  # of a particle's amplitude, and one over it the smallest
FACTOR_PRIOR = 0.3
SIGNIFICANT = 3.0  # standard deviations


def tilt_weights(images: SpeciesImages, geometry: TiltGeometry) -> np.ndarray:
    """Return (t, s): what dose and thickness leave of the amplitude in every shell."""
    shells = np.arange(int(images.coefficients.shell.max()) + 1)
    return geometry.weights(shells / (images.coefficients.size * images.pixel_size)).astype(float)


def calibrate(images: SpeciesImages, state: SeriesState, products: np.ndarray | None = None) -> ImageModel:
    """Return noise and amplitude of one species' images.

    The noise's power is what the references leave of every tilt's images; the amplitude of each half's reference is
    fitted to the images in every shell, weighted by noise. Without that, defocus makes up for what is wrong with it.

    Parameters
    ----------
    images : SpeciesImages
    state : SeriesState
    products : (p, t, s, 3) array, optional
        From :func:`.sweep.correlate`, where they are known.
    """
    products = correlate(images, state) if products is None else products
    weights = tilt_weights(images, state.geometry)
    shells = weights.shape[1]
    per_shell = np.bincount(images.coefficients.shell, minlength=shells)
    count = images.used.sum(axis=0)[:, None] * per_shell[None]
    halves = np.stack([products[images.half == half].sum(axis=0) for half in (1, 2)])
    noise = halves[..., 2].sum(axis=0) / np.maximum(count, 1)
    amplitude, precision = np.zeros((2, shells)), np.zeros(shells)
    for _ in range(2):
        safe = np.where(noise > 0, noise, np.inf)
        fitted = (halves[..., 0] * weights / safe).sum(axis=1), (halves[..., 1] * weights**2 / safe).sum(axis=1)
        amplitude = np.clip(np.where(fitted[1] > 0, fitted[0] / np.maximum(fitted[1], 1e-300), 0), 0, None)
        precision = 2 * fitted[1].sum(axis=0)
        model = amplitude[:, None] * weights[None]
        left = (halves[..., 2] - 2 * model * halves[..., 0] + model**2 * halves[..., 1]).sum(axis=0)
        noise = np.maximum(left / np.maximum(count, 1), 1e-3 * noise)
    inverse = np.where(noise > 0, 1 / np.sqrt(np.where(noise > 0, noise, 1)), 0.0)
    return ImageModel(inverse, amplitude, weights, np.ones(len(images)), precision)


def fit_particle_factors(model: ImageModel, images: SpeciesImages, products: np.ndarray) -> ImageModel:
    """Return the model with every particle's own amplitude, held to about 1."""
    per_half = model.amplitude[images.half - 1][:, None] * model.weights * model.inverse_noise
    cross = (products[..., 0] * per_half * model.inverse_noise).sum(axis=(1, 2))
    power = (products[..., 1] * per_half**2).sum(axis=(1, 2))
    factor = (cross + 1 / FACTOR_PRIOR**2) / (power + 1 / FACTOR_PRIOR**2)
    return replace(model, factor=np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR))


def agreement_shell(images: SpeciesImages, model: ImageModel, products: np.ndarray) -> int:
    """Return up to which shell the images agree with the references: all before it do, significantly.

    The sum over images of X V*, weighted, divided by its deviation from noise, must be above `SIGNIFICANT`, over every
    shell with its two neighbours: in a lattice, what lies beside the particle turns the sign of a single shell. Another
    molecule agrees in the coarsest shells alone, where all look alike, and disagrees as strongly in finer ones; the
    first eighth of the shells does not count, since images may have been high-passed.
    """
    weight = model.weights * model.inverse_noise**2
    cross = (products[..., 0].sum(axis=0) * weight).sum(axis=0)
    power = (products[..., 1].sum(axis=0) * model.weights * weight).sum(axis=0)
    deviation = np.sqrt(np.maximum(power, 1e-300))
    signal, noise = (np.convolve(part, np.ones(3), mode="same") for part in (cross / deviation, np.ones(len(power))))
    ratio = np.sqrt(2) * signal / np.sqrt(noise)
    first = 1 + len(ratio) // 8
    below = np.flatnonzero(ratio[first:] < SIGNIFICANT)
    return int(below[0]) + first - 1 if len(below) else len(ratio) - 1


def ring_correlation(images: SpeciesImages, products: np.ndarray) -> np.ndarray:
    """Return (t, s) correlations of every tilt's images with their sections, shell by shell (FRC)."""
    total = products.sum(axis=0)
    norm = np.sqrt(np.maximum(total[..., 1] * total[..., 2], 0))
    return np.asarray(np.where(norm > 0, total[..., 0] / np.maximum(norm, 1e-300), 0.0))


def fit_tilt_weights(
    geometry: TiltGeometry,
    models: Sequence[ImageModel],
    images: Sequence[SpeciesImages],
    products: Sequence[np.ndarray],
) -> TiltGeometry:
    """Return the geometry with the scale and the B factor that every tilt's images show against their references.

    A tilt's images have the amplitude scale exp(-B k²/4) of the reference, of which correlation and power in every
    shell are known; least squares weighted by the noise, held to what was before. The largest scale stays what it was,
    and so does the smallest B factor: what all tilts share is the reference's.

    Parameters
    ----------
    geometry : TiltGeometry
    models, images, products : sequences
        Of every species; products from :func:`.sweep.correlate`.

    References
    ----------
    Tegunov et al., Nature Methods 18 (2021), weights of M; here amplitudes are fitted, not correlations.
    """
    finest = max(
        (sums.shape[2] - 1) / (one.coefficients.size * one.pixel_size)
        for one, sums in zip(images, products, strict=True)
    )
    before = equivalent_b_factors(geometry, finest)
    changes = np.zeros((len(geometry), 2))
    for t in range(len(geometry)):
        rows = []
        for model, one, sums in zip(models, images, products, strict=True):
            square = (np.arange(sums.shape[2]) / (one.coefficients.size * one.pixel_size)) ** 2
            amplitude = model.amplitude[one.half - 1]
            cross, power = (sums[:, t, :, 0] * amplitude).sum(axis=0), (sums[:, t, :, 1] * amplitude**2).sum(axis=0)
            start = geometry.scale[t] * np.exp(-0.25 * before[t] * square)
            seen = np.where(power > 0, cross / np.maximum(power, 1e-300), 0)
            rows.append((square, start, seen, model.inverse_noise[t] * np.sqrt(np.maximum(power, 0))))
        changes[t] = _fit_decay(rows, B_FACTOR_PRIOR + B_FACTOR_SHARE * before[t])
    scale, b_factor = geometry.scale * np.exp(changes[:, 0]), before + changes[:, 1]
    return replace(
        geometry,
        scale=scale * (geometry.scale.max() / scale.max()),
        b_factor=b_factor - b_factor.min() + before.min(),
    )


def fit_series_weights(amplitudes: np.ndarray, precisions: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return (n, 2) scale (1 at most) and B factor (Å², 0 at least) of every series against all together.

    Parameters
    ----------
    amplitudes, precisions : (n, s) arrays
        Fitted amplitude of one reference in the images of each series, and 1 / variance of that, in shells.
    square : (s,) array
        Squared frequency of the shells in 1/Å².
    """
    weight = precisions.sum(axis=0)
    common = np.where(weight > 0, (amplitudes * precisions).sum(axis=0) / np.maximum(weight, 1e-300), 0)
    changes = np.array([
        _fit_decay([(square, common, amplitude, np.sqrt(precision))], B_FACTOR_PRIOR)
        for amplitude, precision in zip(amplitudes, precisions, strict=True)
    ])  # fmt: skip
    return np.stack([np.exp(changes[:, 0] - changes[:, 0].max()), changes[:, 1] - changes[:, 1].min()], axis=1)


def equivalent_b_factors(geometry: TiltGeometry, finest: float) -> np.ndarray:
    """Return (t,) B factors in Å² of the tilts; where they are not known, those that weaken as the dose does.

    Least squares up to the finest frequency (1/Å): of the logarithm, weighted by the square of what is left.
    """
    if geometry.b_factor is not None:
        return geometry.b_factor
    voltage = 300.0 if geometry.ctf is None else float(np.mean(geometry.ctf.voltage))
    k = np.linspace(0, finest, 50)[1:]
    left = np.maximum(dose_weights(k, geometry.dose, voltage).astype(float), 1e-30)
    return np.asarray(-4 * (left**2 * np.log(left)) @ k**2 / (left**2 @ k**4))


def _fit_decay(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], b_factor_prior: float
) -> np.ndarray:
    """Return the logarithm of a scale and a B factor; rows of squared frequency, start, what is seen, 1 / error."""

    from scipy.optimize import least_squares

    def residual(change: np.ndarray) -> np.ndarray:
        """Return deviations from the measured scales and from the priors, in standard deviations."""
        parts = [change / [SCALE_PRIOR, b_factor_prior]]
        parts += [
            (seen - start * np.exp(change[0] - 0.25 * change[1] * square)) * error
            for square, start, seen, error in rows
        ]
        return np.concatenate(parts)

    return np.asarray(least_squares(residual, np.zeros(2), x_scale=[0.1, 30.0]).x)
