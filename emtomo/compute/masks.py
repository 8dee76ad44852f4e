"""Masks: what of a box belongs to the particle."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.fourier.filters import lowpass
from emtomo.errors import EmtomoError
from emtomo.options import Param

BY_DENSITY = ("threshold", "threshold in sphere", "threshold in cylinder")
LEAST_VALUE = 0.5  # a mask that nowhere reaches this keeps nothing


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How a mask is made."""

    shape: Annotated[
        str,
        Param(
            "Shape",
            "From the density above a threshold; a sphere or a cylinder along z about the centre; or the density "
            "within one of these, which keeps the central unit of a lattice.",
            choices=(*BY_DENSITY, "sphere", "cylinder"),
        ),
    ] = "threshold"
    threshold: Annotated[
        float | None,
        Param(
            "Threshold",
            "Density above it is particle. Empty: the value that best parts the voxels in two (Otsu).",
            when=("shape", *BY_DENSITY),
        ),
    ] = None
    lowpass: Annotated[
        float,
        Param(
            "Low-pass filter",
            "Of the density, before the threshold. 0: none.",
            unit="Å",
            ge=0,
            when=("shape", *BY_DENSITY),
        ),
    ] = 0.0
    diameter: Annotated[
        float,
        Param(
            "Diameter",
            "Of a sphere or cylinder. 0: the box.",
            unit="Å",
            ge=0,
            when=("shape", "sphere", "cylinder", *BY_DENSITY[1:]),
        ),
    ] = 0.0
    height: Annotated[
        float,
        Param("Height", "Of a cylinder. 0: the box.", unit="Å", ge=0, when=("shape", "cylinder", BY_DENSITY[2])),
    ] = 0.0
    extend: Annotated[
        float,
        Param("Extend", "Grow what is inside by this; shrink it if negative.", unit="voxel", ge=-200, le=200),
    ] = 3.0
    soft_edge: Annotated[
        float,
        Param("Soft edge", "Width of the raised cosine outside. 0 gives a binary mask.", unit="voxel", ge=0, le=200),
    ] = 6.0
    invert: Annotated[bool, Param("Invert", "1 outside and 0 inside.")] = False


def distance(inside: np.ndarray) -> np.ndarray:
    """Return the distance in voxels of every voxel to the nearest one that is inside; inf if none is.

    Exact, in time proportional to the number of voxels.

    References
    ----------
    Felzenszwalb & Huttenlocher, Distance transforms of sampled functions, Theory of Computing 8 (2012), section 2.
    """
    from emtomo.compute.kernels.distance_cpu import along_next, along_x

    inside = np.ascontiguousarray(inside, bool)
    if not inside.any():
        return np.full(inside.shape, np.inf, np.float32)
    out = np.empty(inside.shape, np.float32)
    along_x(inside, out)
    along_next(out, False)
    along_next(out, True)
    return np.sqrt(out, out=out)


def soften(inside: np.ndarray, extend: float, soft_edge: float) -> np.ndarray:
    """Return 1 up to `extend` voxels from what is inside, falling to 0 over `soft_edge` voxels more.

    Parameters
    ----------
    inside : (z, y, x) bool array
    extend : float
        Voxels; negative takes away as many from what is inside.
    soft_edge : float
        Voxels.
    """
    signed = distance(inside)
    if extend < 0:
        # what lies exactly as deep as is taken away goes too
        signed = np.where(inside, np.float32(1e-3) - distance(~inside), signed)
    t = signed - np.float32(extend)
    if soft_edge <= 0:
        return (t <= 0).astype(np.float32)
    np.clip(t / np.float32(soft_edge), 0, 1, out=t)
    return (0.5 + 0.5 * np.cos(np.pi * t)).astype(np.float32)


def otsu(values: np.ndarray, bins: int = 512) -> float:
    """Return the threshold that parts values into two classes of least variance.

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, IEEE TSMC 9 (1979), Eq. 14.
    """
    counts, edges = np.histogram(values, bins)
    middle = (edges[:-1] + edges[1:]) / 2
    low = np.cumsum(counts)[:-1]
    high = counts.sum() - low
    sums = np.cumsum(counts * middle)
    between = low * high * (sums[:-1] / np.maximum(low, 1) - (sums[-1] - sums[:-1]) / np.maximum(high, 1)) ** 2
    return float(edges[1:-1][np.argmax(between)])


def create_mask(volume: np.ndarray, pixel_size: float, options: MaskOptions) -> np.ndarray:
    """Return a mask of the volume's size, from 0 to 1.

    Raises
    ------
    EmtomoError
        If nothing would be inside, or everything above a threshold.
    """
    by_density = options.shape in BY_DENSITY
    inside = _solid(volume.shape, pixel_size, options)
    if by_density:
        inside &= _dense(volume, inside, pixel_size, options)
    mask = soften(inside, options.extend if by_density else 0.0, options.soft_edge)
    if options.invert:
        mask = 1 - mask
    if not mask.max() > LEAST_VALUE:
        raise EmtomoError(
            f"The mask would be empty: no voxel lies within it (shape {options.shape}, "
            f"diameter {options.diameter:g} Å, height {options.height:g} Å, extend {options.extend:g} voxels; "
            f"voxels of {pixel_size:g} Å)."
        )
    return mask


def _solid(shape: tuple[int, ...], pixel_size: float, options: MaskOptions) -> np.ndarray:
    """Return which voxels lie within the sphere or cylinder; all where there is none."""
    z, y, x = (np.arange(n, dtype=np.float32) - n // 2 for n in shape)
    radius = options.diameter / 2 / pixel_size if options.diameter else min(shape[1:]) / 2
    across = y[:, None] ** 2 + x[None, :] ** 2
    if options.shape.endswith("sphere"):
        return np.asarray(z[:, None, None] ** 2 + across[None] <= radius**2)
    if options.shape.endswith("cylinder"):
        half = options.height / 2 / pixel_size if options.height else shape[0]
        return np.asarray((np.abs(z) <= half)[:, None, None] & (across <= radius**2)[None])
    return np.ones(shape, bool)


def _dense(volume: np.ndarray, within: np.ndarray, pixel_size: float, options: MaskOptions) -> np.ndarray:
    """Return which voxels have a density above the threshold, which parts those `within` in two if none is given."""
    density = np.asarray(volume, np.float32)
    if options.lowpass:
        if len(set(volume.shape)) != 1:
            raise EmtomoError(f"Only a cubic volume can be low-passed, this one has shape {volume.shape}.")
        density = lowpass(density, pixel_size, max(options.lowpass, 2 * pixel_size))
    mine = density[within]
    if not len(mine):
        return within
    threshold = otsu(mine) if options.threshold is None else options.threshold
    inside = density >= threshold
    if not inside[within].any() or inside[within].all():
        share = "no" if not inside[within].any() else "every"
        raise EmtomoError(
            f"A threshold of {threshold:g} has {share} voxel inside; the volume's values go from "
            f"{mine.min():g} to {mine.max():g}."
        )
    return np.asarray(inside)


@dataclass(frozen=True, kw_only=True)
class ApplyMaskOptions:
    """What stays of a volume, and what takes the place of the rest."""

    background: Annotated[
        str,
        Param(
            "Background",
            "What fills the rest: zero, or the mean of the density there, which leaves no step at the mask's edge.",
            choices=("zero", "mean"),
        ),
    ] = "zero"
    keep: Annotated[
        str,
        Param(
            "Keep",
            "inside: what lies within the mask; outside: everything else, e.g. to take a membrane away.",
            choices=("inside", "outside"),
        ),
    ] = "inside"


def apply_mask(volume: np.ndarray, mask: np.ndarray, options: ApplyMaskOptions) -> np.ndarray:
    """Return ``volume * mask + background * (1 - mask)``.

    Parameters
    ----------
    volume, mask : (z, y, x) arrays
        The mask from 0 to 1; values beyond are cut off.
    options : ApplyMaskOptions

    Raises
    ------
    EmtomoError
        If the sizes differ, a voxel is no number, or the mask leaves nothing.
    """
    if volume.shape != mask.shape:
        sizes = ["×".join(str(n) for n in one.shape[::-1]) for one in (volume, mask)]
        raise EmtomoError(f"The mask must have the volume's size {sizes[0]}, got {sizes[1]}.")
    for what, values in (("volume", volume), ("mask", mask)):
        if not np.isfinite(values).all():
            raise EmtomoError(f"The {what} holds values that are no numbers (NaN or infinite).")
    kept = np.clip(mask, 0, 1).astype(np.float32)
    if options.keep == "outside":
        kept = 1 - kept
    if not kept.any():
        raise EmtomoError("The mask leaves nothing of the volume.")
    rest = 1 - kept
    total = float(rest.sum(dtype=float))
    background = 0.0
    if options.background == "mean" and total > 0:
        background = float((volume.astype(float) * rest).sum() / total)
    return (volume * kept + np.float32(background) * rest).astype(np.float32)
