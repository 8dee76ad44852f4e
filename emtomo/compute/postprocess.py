"""After refinement: masked resolution, sharpening, local resolution."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.box_faces import CUT_AT_FACES, REACHES_FACES, reaches_faces
from emtomo.compute.fourier.filters import lowpass_curve, radial_filter
from emtomo.compute.fourier.independence import find_dependence, find_too_few_samples
from emtomo.compute.fourier.shell_correlation import (
    FscCurves,
    resolution_at,
    resolution_text,
    shell_sums,
    shells_of,
    solvent_corrected_fsc,
)
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.errors import EmtomoError
from emtomo.options import Param

LEAST_SHELLS = 4  # a Guinier line is not laid through fewer points


@dataclass(frozen=True, kw_only=True)
class PostprocessOptions:
    """How the final map is weighted, sharpened and filtered."""

    bfactor: Annotated[
        float | None,
        Param(
            "B-factor",
            "Sharpening: negative sharpens, 0 leaves as is. Empty: from the Guinier plot, if the "
            "resolution is fine enough for one.",
            unit="Å²",
            ge=-2000,
            le=2000,
        ),
    ] = None
    fit_from: Annotated[
        float,
        Param(
            "Guinier fit from",
            "Coarser shells show the particle's shape, not the fall-off.",
            unit="Å",
            gt=0,
            expert=True,
        ),
    ] = 10.0
    randomize_at: Annotated[
        float,
        Param(
            "Randomise phases from",
            "Resolution from which phases are made random, to see what the mask adds. 0: "
            "where the unmasked FSC falls below 0.8.",
            unit="Å",
            ge=0,
            expert=True,
        ),
    ] = 0.0
    lowpass: Annotated[float, Param("Low-pass filter", "0: at the resolution found.", unit="Å", ge=0)] = 0.0
    local_resolution: Annotated[bool, Param("Local resolution", "Also measure the resolution voxel by voxel.")] = False
    local_window: Annotated[
        float,
        Param(
            "Local window",
            "Diameter of the sphere within which local resolution is measured. 0: five times the resolution.",
            unit="Å",
            ge=0,
            expert=True,
        ),
    ] = 0.0
    seed: Annotated[int, Param("Random seed", "Of the random phases.", ge=0, expert=True)] = 1


@dataclass(frozen=True)
class Guinier:
    """The plot of ln amplitude against 1 / d^2, and the line through it.

    Attributes
    ----------
    inverse_squared : (m,) array
        1 / d^2 in 1/Å^2.
    measured, weighted, sharpened : (m,) arrays
        ln of the mean amplitude of the mean map, of it after FSC weighting, and after sharpening.
    slope, intercept, correlation : float
        Of the line through `weighted`; nan where none was laid.
    """

    inverse_squared: np.ndarray
    measured: np.ndarray
    weighted: np.ndarray
    sharpened: np.ndarray
    slope: float
    intercept: float
    correlation: float


@dataclass(frozen=True)
class Postprocessed:
    """A sharpened map and how good it is.

    Attributes
    ----------
    volume, masked : (n, n, n) arrays
    curves : FscCurves
    resolution : float
        Å, corrected FSC at 0.143.
    bfactor : float
        Å^2, as used.
    guinier : Guinier
    remarks : list of str
    """

    volume: np.ndarray
    masked: np.ndarray
    curves: FscCurves
    resolution: float
    bfactor: float
    guinier: Guinier
    remarks: list[str]


def mean_amplitude(volume: np.ndarray) -> np.ndarray:
    """Return the mean Fourier amplitude in every shell up to Nyquist."""
    n = volume.shape[0]
    shell = shells_of(n)
    spectrum = np.abs(rfftn(np.asarray(volume, np.float32), workers=threads()))
    return shell_sums(spectrum, shell, n) / shell_sums(np.ones_like(spectrum), shell, n)


def postprocess(
    half1: np.ndarray,
    half2: np.ndarray,
    mask: np.ndarray,
    pixel_size: float,
    options: PostprocessOptions,
    mtf: np.ndarray | None = None,
) -> Postprocessed:
    """Return the mean of two half maps, weighted by their FSC, sharpened and low-passed.

    Parameters
    ----------
    half1, half2, mask : (n, n, n) arrays
    pixel_size : float
    options : PostprocessOptions
    mtf : (n // 2 + 1,) array, optional
        The detector's modulation transfer in every shell, by which is divided.

    Raises
    ------
    EmtomoError
        If there is nothing to compare: an empty mask, an empty half map, or the same half map twice.

    References
    ----------
    Rosenthal & Henderson, Optimal determination of particle orientation, JMB 333 (2003), Eq. 7 and 12.
    """
    n = half1.shape[0]
    if not np.any(mask):
        raise EmtomoError("The mask is empty: no voxel of the maps lies within it, so that there is no resolution.")
    curves = solvent_corrected_fsc(
        half1,
        half2,
        mask,
        seed=options.seed,
        start_at=(n * pixel_size / options.randomize_at if options.randomize_at else None),
    )
    if why := curves.why_no_resolution(n):
        raise EmtomoError(why)
    resolution = curves.resolution(n, pixel_size)
    found = find_dependence(half1, half2, curves.unmasked), find_too_few_samples(mask, n * pixel_size / resolution)
    remarks = [*filter(None, found), *_judge_resolution(curves, mask, resolution, pixel_size)]
    mean = (np.asarray(half1, np.float32) + half2) / 2
    correction = np.ones(n // 2 + 1) if mtf is None else 1 / np.clip(mtf, 0.01, None)
    first_low = np.flatnonzero(curves.corrected[1:] < 1e-4)
    last = int(first_low[0]) + 1 if len(first_low) else n // 2 + 1
    weight = np.sqrt(2 * np.clip(curves.corrected, 0, 1) / (1 + np.clip(curves.corrected, 0, 1)))
    weight[last:] = 0
    x = (np.arange(n // 2 + 1) / (n * pixel_size)) ** 2
    amplitude = mean_amplitude(mean * mask)
    logs = np.log(np.maximum(amplitude, 1e-30))
    weighted = np.log(np.maximum(amplitude * correction * weight, 1e-30))
    slope, intercept, fit = _line(x, weighted, n * pixel_size / options.fit_from, n * pixel_size / resolution)
    bfactor = options.bfactor
    if bfactor is None:
        bfactor = 4 * slope if np.isfinite(slope) else 0.0
        if not np.isfinite(slope):
            remarks.append(
                f"No sharpening: at {resolution:.1f} Å there are fewer than {LEAST_SHELLS} shells beyond "
                f"{options.fit_from:g} Å for a Guinier fit. Give a B-factor to sharpen."
            )
    sharpen = np.exp(-bfactor * x / 4)
    limit = options.lowpass or resolution
    curve = correction * weight * sharpen * lowpass_curve(n, pixel_size, limit)[: n // 2 + 1]
    volume = radial_filter(mean, np.append(curve, 0.0))
    guinier = Guinier(x, logs, weighted, weighted + np.log(sharpen), slope, intercept, fit)
    return Postprocessed(volume, volume * mask, curves, resolution, float(bfactor), guinier, remarks)


def _judge_resolution(curves: FscCurves, mask: np.ndarray, resolution: float, pixel_size: float) -> list[str]:
    """Return sentences about what makes a resolution look better or worse than it is."""
    n, remarks = mask.shape[0], []
    at = min(int(round(n * pixel_size / resolution)), n // 2)
    if curves.randomised[at] > 0.1 and at >= curves.randomised_from:
        remarks.append(
            f"Of the correlation at {resolution:.1f} Å, {curves.randomised[at]:.2f} comes from the mask: a wider or "
            "softer one is safer."
        )
    if reaches_faces(mask):
        remarks.append(REACHES_FACES)
    plain = resolution_at(curves.unmasked, n, pixel_size)
    if curves.cut:
        remarks.append(CUT_AT_FACES)
    elif plain < resolution:
        remarks.append(
            f"Without a mask the resolution is better "
            f"({resolution_text(plain, pixel_size)}): the mask cuts into the particle."
        )
    return remarks


def _line(x: np.ndarray, y: np.ndarray, first: float, last: float) -> tuple[float, float, float]:
    """Return slope, intercept and correlation of the line through the shells from `first` to `last`."""
    chosen = np.arange(int(np.ceil(first)), min(int(last), len(x) - 1) + 1)
    chosen = chosen[y[chosen] > -60]
    if len(chosen) < LEAST_SHELLS:
        return np.nan, np.nan, np.nan
    slope, intercept = np.polyfit(x[chosen], y[chosen], 1)
    return float(slope), float(intercept), float(np.corrcoef(x[chosen], y[chosen])[0, 1])


def local_resolution(
    half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, pixel_size: float, window: float, threshold: float = 0.5
) -> np.ndarray:
    """Return the resolution in Å about every voxel, 0 outside the mask.

    Both maps are split into bands of frequencies; within a Gaussian window about a voxel the bands'
    correlation is the local FSC, and the resolution where it first falls below `threshold`.

    Parameters
    ----------
    half1, half2, mask : (n, n, n) arrays
    pixel_size : float
    window : float
        Diameter of the window in Å: the full width of the Gaussian at half maximum.
    threshold : float

    Raises
    ------
    EmtomoError
        If the window is not more than 4 voxels.

    References
    ----------
    Cardone et al., One number does not fit all: mapping local variations in resolution in cryo-EM
    reconstructions, JSB 184 (2013), section 2; the window is Gaussian instead of a box.
    """
    n = half1.shape[0]
    if not window > 4 * pixel_size:
        raise EmtomoError(f"The local window must be more than 4 voxels ({4 * pixel_size:g} Å), got {window:g} Å.")
    shell = shells_of(n)
    spectra = [rfftn(np.asarray(h, np.float32), workers=threads()) for h in (half1, half2)]
    sigma = window / pixel_size / 2.355
    window_transform = np.exp(-2 * (np.pi * sigma * np.arange(int(n * 0.87) + 1) / n) ** 2).astype(np.float32)
    window_transform = window_transform[np.minimum(shell, len(window_transform) - 1)]
    width = max(1.0, n / (2.355 * sigma * np.pi))

    def blur(volume: np.ndarray) -> np.ndarray:
        """Return the mean of a volume within the window about every voxel."""
        return irfftn(rfftn(volume, workers=threads()) * window_transform, volume.shape, workers=threads())

    out = np.zeros(half1.shape, np.float32)
    open_ = mask > 0.5
    previous, previous_at = np.ones(half1.shape, np.float32), 0.0
    for at in np.arange(width, n / 2, width):
        t = np.clip(np.abs(shell - at) / width, 0, 1)
        band = (0.5 + 0.5 * np.cos(np.pi * t)).astype(np.float32)
        a, b = (irfftn(s * band, half1.shape, workers=threads()) for s in spectra)
        power = np.maximum(blur(a * a), 0) * np.maximum(blur(b * b), 0)
        now = blur(a * b) / np.sqrt(np.maximum(power, 1e-30))
        falls = open_ & (now < threshold)
        share = (previous - threshold) / np.maximum(previous - now, 1e-6)
        exact = previous_at + np.clip(share, 0, 1) * (at - previous_at)
        out[falls] = (n * pixel_size / np.maximum(exact, 0.5))[falls]
        open_ &= ~falls
        previous, previous_at = now, at
    out[open_] = 2 * pixel_size
    return out
