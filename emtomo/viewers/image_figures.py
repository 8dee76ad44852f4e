"""Figures of what lies in micrographs: picks, particles, class averages."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.objects import rotations_of
from emtomo.objects.rotation import ROTATION_COLUMNS
from emtomo.viewers.figures import draw_directions, figure_of
from emtomo.viewers.sections import montage, show
from emtomo.viewers.sheet import Panel, Sheet
from emtomo.wording import count_text

GALLERY = 48
CLASSES = 60
DIAMETER = 100.0  # Å, of circles about picks of no known size
LONGEST = 1024  # pixels of a drawn micrograph along an edge


def bin_image(image: np.ndarray, longest: int = LONGEST) -> tuple[np.ndarray, int]:
    """Return the means of square blocks of an image so that it has at most `longest` pixels a row, and their edge."""
    factor = max(1, -(-max(image.shape) // longest))
    rows, columns = (max(1, n // factor) for n in image.shape)
    cut = np.asarray(image[: rows * factor, : columns * factor], np.float32)
    if cut.shape != (rows * factor, columns * factor):
        return cut, 1
    return cut.reshape(rows, factor, columns, factor).mean(axis=(1, 3)), factor


def read_plane(path: Any) -> np.ndarray:
    """Return the only plane of a micrograph's file."""
    return np.asarray(mrc.open_volume(path)[0], np.float32)


def micrographs(shown: Shown) -> Sheet:
    """Return the first micrographs of a set, side by side."""
    panels = []
    for row in shown.value.frame().iloc[:3].itertuples():
        image, factor = bin_image(read_plane(shown.path(str(row.file))))
        title = str(row.micrograph_id)
        if np.isfinite(row.defocus_u):
            title += f", defocus {(row.defocus_u + row.defocus_v) / 2e4:.2f} µm"
        panels.append(Panel(image, title, factor * float(shown.value.pixel_size.get())))
    return Sheet([panels], 5.2 * len(panels), 5.6)


def picks(shown: Shown) -> Figure:
    """Return the picks of the first micrograph on it, coloured by score."""
    value = shown.value
    name = value.group_ids()[0]
    columns = ["x", "y", "score"]
    frame = value.frame([*columns, "diameter"] if "diameter" in columns_of(value) else columns, name)
    found = shown.micrographs
    figure, axes = figure_of(1, 7.4, 7)
    size = float(value.pixel_size.get() or 1.0)
    factor = 1
    if found is not None and name in found.group_ids():
        size = float(found.pixel_size.get())
        image, factor = bin_image(read_plane(shown.path(str(found.frame(["file"], name)["file"].iloc[0]))))
        show(axes[0], image, f"{name}: {len(frame)} of {count_text(len(value), 'particle')}", factor * size)
    places = (frame[["x", "y"]].to_numpy(float) / size - (factor - 1) / 2) / factor
    box = float(value.box_size.get() or 0) * float(value.pixel_size.get() or size)
    usual = box or DIAMETER
    diameters = frame.get("diameter", pd.Series(np.nan, index=frame.index)).fillna(usual).to_numpy(float)
    _draw_picks(axes[0], places, diameters / size / factor, frame["score"].to_numpy(float))
    return figure


def columns_of(value: Any) -> set[str]:
    """Return the names of the fields of a set's items."""
    return {field.name for field in value.ITEM_TYPE.FIELDS}


def _draw_picks(axes: Any, places: np.ndarray, diameters: np.ndarray, scores: np.ndarray) -> None:
    """Draw circles, blue where the score is high and red where it is low."""
    circles = EllipseCollection(
        diameters, diameters, np.zeros(len(diameters)), units="xy", offsets=places, transOffset=axes.transData,
        facecolors="none", linewidths=1.4, cmap="coolwarm_r",
    )  # fmt: skip
    circles.set_array(scores)
    circles.set_facecolor("none")
    axes.add_collection(circles)
    if len(scores) and np.ptp(scores) > 0:
        axes.figure.colorbar(circles, ax=axes, shrink=0.6, label="score (figure of merit)")
    circles.set_edgecolor(circles.to_rgba(scores))
    circles.set_array(None)


def read_images(shown: Shown, frame: pd.DataFrame) -> list[np.ndarray]:
    """Return the images of the rows of `frame`."""
    stacks = {file: mrc.open_volume(shown.path(str(file))) for file in frame["file"].unique()}
    return [np.asarray(stacks[f][int(k)], np.float32) for f, k in zip(frame["file"], frame["index"], strict=True)]


def particles(shown: Shown) -> Figure:
    """Return some particles, their mean, and their directions where they are known."""
    value = shown.value
    frame = value.frame(["file", "index", *ROTATION_COLUMNS])
    chosen = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(GALLERY, len(frame))).astype(int))]
    rotations = rotations_of(frame)
    known = np.isfinite(rotations).all(axis=(1, 2))
    figure, axes = figure_of(2 if known.any() else 1, 15 if known.any() else 11, 6)
    title = f"{len(chosen)} of {count_text(len(value), 'particle')}"
    show(axes[0], montage(read_images(shown, chosen), 8), title, float(value.pixel_size.get()))
    if known.any():
        draw_directions(axes[1], rotations[known])
    return figure


def classes(shown: Shown) -> Sheet:
    """Return the class averages, the largest class first, with members and resolution."""
    frame = shown.value.frame().sort_values("share", ascending=False, kind="stable").iloc[:CLASSES]
    columns = min(10, int(np.ceil(np.sqrt(2.5 * len(frame)))))
    panels = []
    for row, image in zip(frame.itertuples(), read_images(shown, frame), strict=True):
        resolution = f", {row.resolution:.1f} Å" if np.isfinite(row.resolution) else ""
        gain = f", gain {row.gain:.0f}" if np.isfinite(row.gain) else ""
        panels.append(Panel(image, f"{row.class_number}: {row.members} ({row.share:.1%}{resolution}{gain})"))
    rows = [panels[k : k + columns] for k in range(0, len(panels), columns)]
    return Sheet(rows, 1.6 * columns, 1.9 * len(rows), title_size=6.5)
