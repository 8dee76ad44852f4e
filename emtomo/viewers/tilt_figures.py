"""Pictures of tilt series: images by angle, raw and aligned, dose and defocus of every tilt, the CTF if known."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.tilt.aligned_images import align_image, find_aligned_shape
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.objects.tilt_images import TiltImages
from emtomo.viewers.sections import show
from emtomo.wording import count_text

IMAGES = 5
LARGEST = 256  # pixels of a drawn image along its longer side
USED, EXCLUDED = "#2a6fb0", "#c0392b"


def tilt_series(shown: Shown) -> Figure:
    """Return images of the first series by angle, as they are and aligned; dose, defocus and CTF below."""
    value = shown.value
    names = [str(name) for name in value.tomogram_ids()]
    if not names:
        raise EmtomoError("The set has no tilt series.")
    table, geometry = value.images(names[0]), value.geometry(names[0])
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[2, 1.15])
    _draw_images(upper, shown, names[0], table, geometry)
    axes = lower.subplots(1, 3)
    _draw_dose(axes[0], table, geometry)
    _draw_defocus(axes[1], {name: (value.images(name), value.geometry(name)) for name in names})
    _draw_ctf(axes[2], table, geometry)
    lower.suptitle(
        names[0] if len(names) == 1 else f"{names[0]} (1 of {count_text(len(names), 'tilt series')})", fontsize=10
    )
    return figure


def _draw_images(figure: Any, shown: Shown, name: str, table: pd.DataFrame, geometry: TiltGeometry) -> None:
    stack = TiltImages(table, folder=shown.path(""))
    angle = table["angle"].to_numpy(float)
    order = np.argsort(angle, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(IMAGES, len(order))).astype(int))]
    pixel = float(shown.value.pixel_size.get() or 0)
    axes = figure.subplots(2 if pixel else 1, len(chosen), squeeze=False)
    for column, k in zip(axes.T, chosen, strict=True):
        whole = stack(int(k))
        out = ", excluded" if geometry.excluded[k] else ""
        images = {f"tilt {k + 1}: {angle[k]:.1f}°{out}": whole}
        if pixel:
            rows, columns = whole.shape
            images["aligned"] = align_image(whole, geometry, int(k), find_aligned_shape((rows, columns), geometry))
        for a, (title, image) in zip(column, images.items(), strict=True):
            small = _binned(image)
            show(a, small, title, pixel * image.shape[1] / small.shape[1] or None)


def _binned(image: np.ndarray) -> np.ndarray:
    step = max(1, int(np.ceil(max(image.shape) / LARGEST)))
    y, x = (n // step * step for n in image.shape)
    return image[:y, :x].reshape(y // step, step, x // step, step).mean(axis=(1, 3))


def _draw_dose(axes: Any, table: pd.DataFrame, geometry: TiltGeometry) -> None:
    angle = table["angle"].to_numpy(float)
    width = 0.8 * float(np.median(np.diff(np.sort(angle)))) if len(angle) > 1 else 1.0
    colours = np.where(geometry.excluded, EXCLUDED, USED)
    if geometry.dose.any():
        axes.bar(angle, geometry.dose, max(width, 0.2), color=colours)
        axes.set_ylabel("dose before the tilt (e/Å²)")
    else:
        axes.bar(angle, geometry.order + 1, max(width, 0.2), color=colours)
        axes.set_ylabel("order of acquisition (no dose known)")
    gone = int(geometry.excluded.sum())
    axes.set_title(f"{count_text(len(angle), 'tilt')}" + (f", {gone} excluded (red)" if gone else ""), fontsize=10)
    axes.set_xlabel("tilt angle (°)")


def _draw_defocus(axes: Any, series: dict[str, tuple[pd.DataFrame, TiltGeometry]]) -> None:
    known = 0
    for name, (table, geometry) in series.items():
        if geometry.ctf is not None:
            known += 1
            place = np.argsort(table["angle"].to_numpy(float), kind="stable")
            label = name if len(series) <= 6 else None
            axes.plot(table["angle"].to_numpy(float)[place], geometry.ctf.defocus[place] / 1e4, ".-", label=label)
    axes.set_title(f"defocus of {count_text(known, 'series')}" if known else "no defocus known", fontsize=10)
    axes.set_xlabel("tilt angle (°)")
    axes.set_ylabel("mean defocus (µm)")
    if known and len(series) <= 6:
        axes.legend(fontsize=8)


def _draw_ctf(axes: Any, table: pd.DataFrame, geometry: TiltGeometry) -> None:
    """Draw CTF and dose weight of the used tilt nearest to zero, along the mean defocus."""
    used = np.flatnonzero(~geometry.excluded)
    pixel = geometry.pixel_size
    axes.set_xlabel("spatial frequency (1/Å)")
    if not len(used) or not np.isfinite(pixel):
        axes.set_title("no CTF known", fontsize=10)
        return
    k = int(used[np.argmin(np.abs(table["angle"].to_numpy(float)[used]))])
    frequency = np.linspace(0, 0.5 / pixel, 600)
    weight = dose_weights(frequency, geometry.dose[k])
    axes.plot(frequency, weight, color="grey", linewidth=1, label="dose")
    axes.plot(frequency, dose_weights(frequency, geometry.dose.max()), color="grey", linestyle=":", label="last dose")
    if geometry.ctf is None:
        axes.set_title("weights of the dose; no CTF known", fontsize=10)
    else:
        one = geometry.ctf[k].with_defocus_added(geometry.ctf[k].defocus - geometry.ctf[k].defocus_u)
        axes.plot(frequency, one.values(frequency, 0.0) * weight, color=USED, linewidth=1, label="CTF")
        axes.set_title(f"CTF of tilt {k + 1} at {one.defocus / 1e4:.2f} µm", fontsize=10)
    axes.legend(fontsize=8)
    axes.set_ylim(-1.05, 1.05)
