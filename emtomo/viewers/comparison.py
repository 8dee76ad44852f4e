"""Maps against maps: their Fourier shell correlation, curves of several runs on one plot, histograms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emtomo.compute.fourier.box_faces import CUT_AT_FACES
from emtomo.compute.fourier.independence import find_dependence, find_too_few_samples
from emtomo.compute.fourier.shell_correlation import (
    fourier_shell_correlation,
    resolution_at,
    resolution_text,
    solvent_corrected_fsc,
    why_no_resolution,
)
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import images
from emtomo.io.mrc_header import SIZES_AGREE

BINS = 100
THRESHOLDS = (0.143, 0.5)


@dataclass
class CorrelationCurve:
    """One Fourier shell correlation.

    Attributes
    ----------
    name : str
    frequency : (n,) array
        1/Å.
    values : (n,) array
    pixel_size : float
        Å; 0 where it is not known.
    """

    name: str
    frequency: np.ndarray
    values: np.ndarray
    pixel_size: float = 0.0

    @property
    def box_size(self) -> int:
        """Edge of the box in voxels, from the distance of the shells."""
        step = float(self.frequency[1] - self.frequency[0]) if len(self.frequency) > 1 else 0.0
        return round(1 / (step * self.pixel_size)) if step * self.pixel_size > 0 else 0

    def lines(self) -> list[str]:
        """Return the resolutions at 0.143 (half maps) and 0.5 (a map against another), or why there is none."""
        problem = why_no_resolution(self.values, self.box_size)
        if problem:
            return [f"{self.name}: {problem}"]
        found = [(t, resolution_at(self.values, self.box_size, self.pixel_size, t)) for t in THRESHOLDS]
        texts = [f"{resolution_text(resolution, self.pixel_size, 2)} at {t}" for t, resolution in found]
        return [f"{self.name}: {', '.join(texts)}"]


def correlate_maps(
    first: Path, second: Path, mask: Path | None = None, pixel_size: float | None = None
) -> tuple[list[CorrelationCurve], list[str]]:
    """Return the correlation of two map files, within a mask also freed of what the mask adds.

    Parameters
    ----------
    first, second : Path
        Cubes of one size and pixel size.
    mask : Path, optional
        From 0 to 1, of the same size.
    pixel_size : float, optional
        Å; by default what the headers say.

    Returns
    -------
    curves : list of CorrelationCurve
    notes : list of str

    Raises
    ------
    EmtomoError
        If sizes or pixel sizes differ, or none is known.
    """
    paths = [first, second] + ([mask] if mask is not None else [])
    infos = [images.describe_volume(path, pixel_size) for path in paths]
    for path, info in zip(paths[1:], infos[1:], strict=True):
        if info.shape != infos[0].shape:
            sizes = ["×".join(str(n) for n in one.shape[::-1]) for one in (infos[0], info)]
            raise EmtomoError(f"{first} is of {sizes[0]} voxels, {path} of {sizes[1]}; they must have one size.")
        known = [one.pixel_size for one in (infos[0], info) if one.pixel_size > 0]
        if pixel_size is None and known and max(known) > min(known) * (1 + SIZES_AGREE):
            raise EmtomoError(
                f"{first} has a pixel size of {infos[0].pixel_size:.4g} Å, {path} {info.pixel_size:.4g} Å; "
                "give the one that is right (--pixel-size)."
            )
    size = pixel_size or max(info.pixel_size for info in infos)
    if not size > 0:
        raise EmtomoError(f"{first} does not say its pixel size; give it (--pixel-size).")
    a, b = (np.asarray(images.read_any(path), np.float32) for path in (first, second))
    for path, volume in ((first, a), (second, b)):
        if not np.isfinite(volume).all():
            raise FormatError(path, "there are voxels that are no numbers (NaN or infinite).")
    n = a.shape[0]
    frequency = np.arange(n // 2 + 1) / (n * size)
    if mask is None:
        curve = CorrelationCurve("unmasked", frequency, fourier_shell_correlation(a, b), size)
        comparable = not why_no_resolution(curve.values, n)
        return [curve], [*filter(None, [find_dependence(a, b, curve.values)])] if comparable else []
    inside = np.asarray(images.read_any(mask), np.float32)
    if not np.isfinite(inside).all() or inside.min() < -1e-3 or inside.max() > 1 + 1e-3:
        raise FormatError(mask, f"a mask has values from 0 to 1, this one from {inside.min():g} to {inside.max():g}.")
    if not inside.max() > 0:
        raise FormatError(mask, "the mask is empty: there is no voxel above 0.")
    found = solvent_corrected_fsc(a, b, inside)
    curves = [
        CorrelationCurve(name, frequency, getattr(found, name), size) for name in ("unmasked", "masked", "corrected")
    ]
    remarks = [f"Phases were made random from {n * size / found.randomised_from:.1f} Å for the correction."]
    if np.isfinite(resolution := found.resolution(n, size)):
        warned = find_dependence(a, b, found.unmasked), find_too_few_samples(inside, n * size / resolution)
        remarks += [one for one in warned if one]
    return curves, [*remarks, *([CUT_AT_FACES] if found.cut else [])]


def read_curve(name: str, path: Path, pixel_size: float) -> CorrelationCurve:
    """Return the first curve of a run's file of curves, which is the one that its resolution is of.

    Raises
    ------
    FormatError
        If it is no table of numbers.
    """
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    except (OSError, ValueError):
        raise FormatError(path, "is no table of Fourier shell correlations.") from None
    if table.shape[1] < 2:
        raise FormatError(path, "a table of Fourier shell correlations has a frequency and a correlation in each row.")
    return CorrelationCurve(name, table[:, 0], table[:, 1], pixel_size)


def draw_curves(curves: list[CorrelationCurve]) -> Figure:
    """Return a figure with all curves over the spatial frequency."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        axes.plot(curve.frequency, curve.values, label=curve.lines()[0])
    for threshold in THRESHOLDS:
        axes.axhline(threshold, color="grey", linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.1, 1.05)
    axes.set_xlim(0, max(float(curve.frequency[-1]) for curve in curves))
    axes.set_xlabel("spatial frequency (1/Å)")
    axes.set_ylabel("FSC")
    axes.legend(fontsize=7)
    return figure


def write_table(path: Path, curves: list[CorrelationCurve]) -> None:
    """Write curves as CSV in long form: curve, frequency (1/Å), correlation; boxes may differ."""
    import pandas as pd

    parts = [pd.DataFrame({"curve": c.name, "frequency": c.frequency, "correlation": c.values}) for c in curves]
    part = path.with_name(path.name + ".part")
    pd.concat(parts).to_csv(part, index=False, float_format="%.6f")
    part.replace(path)


def draw_histograms(columns: dict[str, np.ndarray]) -> Figure:
    """Return a histogram of each of some named values, side by side in rows of four."""
    wide = min(4, len(columns))
    high = -(-len(columns) // wide)
    figure = Figure(figsize=(3.4 * wide, 2.6 * high), layout="constrained")
    for k, (name, values) in enumerate(columns.items(), 1):
        axes = figure.add_subplot(high, wide, k)
        axes.hist(np.asarray(values, float), bins=BINS, color="#56b4e9")
        axes.set_title(name, fontsize=9)
        axes.set_yticks([])
    return figure
