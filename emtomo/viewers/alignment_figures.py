"""Pictures of check-alignment: mean images of the particles in every tilt, and positions on the images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.objects.tilt_images import TiltImages
from emtomo.wording import count_text

MEANS = 9
DRAWN, OUT = "#2a6fb0", "#c0392b"


def find_checks(folder: Path) -> list[str]:
    """Return the series of which a run's folder has a check."""
    return sorted(path.name.removesuffix("_alignment.json") for path in (folder / "extra").glob("*_alignment.json"))


def alignment(shown: Shown) -> Figure:
    """Return mean images, contrast and offsets by angle, scores of all geometries and positions on one image.

    Raises
    ------
    EmtomoError
        If the run has checked no series.
    """
    names = find_checks(shown.folder)
    if not names:
        raise EmtomoError("The run has checked no alignment; check-alignment does.")
    name, extra = names[0], shown.folder / "extra"
    found = json.loads((extra / f"{name}_alignment.json").read_text(encoding="utf8"))
    tilts = pd.read_csv(extra / f"{name}_alignment.csv").sort_values("angle", kind="stable")
    means = mrc.open_volume(extra / f"{name}_means.mrc")
    figure = Figure(figsize=(13, 7), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[0.6, 1])
    chosen = np.unique(np.linspace(0, len(tilts) - 1, min(MEANS, len(tilts))).astype(int))
    for axes, k in zip(upper.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        row = tilts.iloc[k]
        axes.imshow(means[int(tilts.index[k])], cmap="gray", origin="lower")
        axes.set_title(f"{row['angle']:.0f}°", fontsize=9)
        axes.set_axis_off()
    upper.suptitle(f"{name}: mean of the particles in {len(chosen)} of {count_text(len(tilts), 'tilt')}", fontsize=10)
    axes = lower.subplots(1, 3)
    _draw_contrast(axes[0], tilts)
    _draw_scores(axes[1], found["scores"])
    _draw_positions(axes[2], shown, name, tilts)
    return figure


def _draw_contrast(axes: Any, tilts: pd.DataFrame) -> None:
    axes.plot(tilts["angle"], tilts["contrast"], ".-", color=DRAWN, label="contrast")
    axes.set_xlabel("tilt angle (°)")
    axes.set_ylabel("contrast (standard deviations)")
    other = axes.twinx()
    other.plot(tilts["angle"], np.hypot(tilts["offset_x"], tilts["offset_y"]), "+", color=OUT)
    other.set_ylabel("offset of the mean image (Å)")
    axes.set_title("every tilt", fontsize=10)


def _draw_scores(axes: Any, scores: dict[str, float]) -> None:
    names = list(scores)[::-1]
    colours = [DRAWN if name == "as given" else "grey" for name in names]
    axes.barh([name.split(" (")[0] for name in names], [scores[name] for name in names], color=colours)
    axes.set_xlabel("standard deviations above chance")
    axes.set_title("geometries", fontsize=10)


def _draw_positions(axes: Any, shown: Shown, name: str, tilts: pd.DataFrame) -> None:
    tilt = int(tilts.iloc[int(tilts["angle"].abs().to_numpy().argmin())]["tilt"])
    image = TiltImages(shown.value.images(name), folder=shown.path(""))(tilt - 1)
    step = max(1, -(-max(image.shape) // 400))
    small = image[: image.shape[0] // step * step, : image.shape[1] // step * step]
    small = small.reshape(small.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    low, high = np.percentile(small, (1, 99))
    axes.imshow(small, cmap="gray", vmin=low, vmax=high, origin="lower")
    places = pd.read_csv(shown.folder / "extra" / f"{name}_positions.csv")
    places = places[places["tilt"] == tilt]
    scale = float(shown.value.pixel_size.get()) * step
    x, y = (places[a] / scale + n // 2 / step for a, n in (("x", image.shape[1]), ("y", image.shape[0])))
    axes.plot(x, y, "o", markerfacecolor="none", color=OUT, markersize=7)
    axes.set_xlim(0, small.shape[1])
    axes.set_ylim(0, small.shape[0])
    axes.set_title(f"positions on tilt {tilt}", fontsize=10)
    axes.set_axis_off()
