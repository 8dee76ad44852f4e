"""Figures of outputs, one function for each way to look at them."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from emtomo.compute.positions import to_voxels
from emtomo.errors import EmtomoError
from emtomo.gui.core.chart import Chart
from emtomo.gui.core.chart_export import chart_figure
from emtomo.gui.core.plots import convergence
from emtomo.gui.core.run_charts import fsc_chart, metrics_file
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms, positions_of, rotations_of
from emtomo.viewers.sections import montage, show, slab, three_sections
from emtomo.viewers.sheet import Panel, Sheet
from emtomo.wording import count_text

GALLERY = 24
ARROW = 0.06  # of the picture's width
NEAR = 3  # voxels from the slice within which particles are drawn
BINS = 60
ROWS = 24
CLASS_ROWS = 8


def figure_of(columns: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """Return a figure and its axes, side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [figure.add_subplot(1, columns, k + 1) for k in range(columns)]


def sections(volume: np.ndarray, pixel_size: float, title: str, thickness: int = 1) -> Sheet:
    """Return the three central sections of a volume."""
    planes = zip(three_sections(volume, thickness), ("xy", "xz", "yz"), strict=True)
    return Sheet([[Panel(image, f"{title} {plane}", pixel_size) for image, plane in planes]], 12, 4.2)


def tomograms(shown: Shown) -> Sheet:
    """Return sections of the first tomogram, or slices before and after where it was made from another."""
    value, before = shown.value, shown.before
    row = value.frame().iloc[0]
    volume = mrc.open_volume(shown.path(row["file"]))
    title, size = row["tomogram_id"], value.pixel_size.get()
    old = before.frame(tomogram_id=title) if before is not None else None
    if before is None or old is None or len(old) == 0:
        return sections(volume, size, title, thickness=3)
    former = mrc.open_volume(shown.path(old.iloc[0]["file"]))
    both = ((former, "before", before.pixel_size.get()), (volume, "after", size))
    panels = [Panel(slab(data, 0, data.shape[0] // 2, 1), f"{title} {what}", p) for data, what, p in both]
    return Sheet([panels], 12, 6.2)


def tomogram_of(shown: Shown, tomogram_id: str) -> tuple[np.ndarray | None, float, tuple[int, int, int]]:
    """Return the voxels, pixel size and shape of the tomogram that an output belongs to."""
    found: SetOfTomograms | None = shown.tomograms
    if found is None or tomogram_id not in found.tomogram_ids():
        return None, 1.0, (0, 0, 0)
    volume = mrc.open_volume(shown.path(found.frame(tomogram_id=tomogram_id).iloc[0]["file"]))
    return volume, found.pixel_size.get(), volume.shape  # type: ignore[return-value]


def coordinates(shown: Shown) -> Figure:
    """Return the particles of the first tomogram on slices of it."""
    name = shown.value.tomogram_ids()[0]
    frame = shown.value.frame(tomogram_id=name)
    volume, size, shape = tomogram_of(shown, name)
    voxels = to_voxels(positions_of(frame), shape, size)
    return points_on(voxels, rotations_of(frame)[:, :, 2], frame["group"].to_numpy(), volume, size, shape, name)


def points_on(
    voxels: np.ndarray,
    normals: np.ndarray,
    groups: np.ndarray,
    volume: np.ndarray | None,
    size: float,
    shape: tuple[int, ...],
    name: str,
) -> Figure:
    """Return points near a slice, with their z axes, on an xy and an xz slice through the middle of them.

    Parameters
    ----------
    voxels : (n, 3) array
        z, y, x.
    normals : (n, 3) array
        x, y, z of the z axes; NaN where unknown.
    groups : (n,) int array
        Colours.
    volume : (z, y, x) array, optional
    size : float
        Å per voxel.
    shape : tuple
        Of the tomogram.
    name : str
    """
    figure, axes = figure_of(2, 12, 6)
    for a, axis, (h, v), plane in ((axes[0], 0, (2, 1), "xy"), (axes[1], 1, (2, 0), "xz")):
        at = int(np.median(voxels[:, axis]))
        if volume is not None:
            show(a, slab(volume, axis, min(max(at, 0), shape[axis] - 1)), f"{name} {plane} slice {at}", size)
        near = np.abs(voxels[:, axis] - at) <= NEAR
        _draw_points(a, voxels[near], normals[near], groups[near], (h, v), shape)
    return figure


def slice_with_points(
    volume: np.ndarray,
    size: float,
    name: str,
    index: int,
    points: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> Figure | Sheet:
    """Return one xy slice of a volume, with the points within a few voxels of it and their z axes.

    Parameters
    ----------
    volume : (z, y, x) array
    size : float
        Å per voxel; 0 where it is not known.
    name : str
    index : int
        Of the slice, counted from 0.
    points : tuple, optional
        Positions (z, y, x in voxels), z axes (x, y, z; NaN where unknown) and groups.

    Raises
    ------
    EmtomoError
        If there is no such slice.
    """
    if not 0 <= index < volume.shape[0]:
        raise EmtomoError(f"The slice of {name} must be from 0 to {volume.shape[0] - 1}, got {index}.")
    title = f"{name} slice {index}"
    if points is None:
        return Sheet([[Panel(np.asarray(volume[index], np.float32), title, size)]], 7, 7)
    figure, axes = figure_of(1, 7, 7)
    voxels, normals, groups = points
    near = np.abs(voxels[:, 0] - index) <= NEAR
    show(
        axes[0],
        np.asarray(volume[index], np.float32),
        f"{title}: {int(near.sum())} of {count_text(len(voxels), 'particle')}",
        size,
    )
    _draw_points(axes[0], voxels[near], normals[near], groups[near], (2, 1), volume.shape)
    return figure


def _draw_points(
    axes: Any,
    voxels: np.ndarray,
    normals: np.ndarray,
    groups: np.ndarray,
    across: tuple[int, int],
    shape: tuple[int, ...],
) -> None:
    """Draw points and their z axes on a slice; `across` are the axes (of z, y, x) of the picture."""
    h, v = across
    axes.scatter(voxels[:, h], voxels[:, v], s=10, c=group_colours(groups), zorder=3)
    column = {2: 0, 1: 1, 0: 2}  # zyx axis to xyz column
    known = ~np.isnan(normals[:, 0])
    length = ARROW * max(shape[h] or 100, 1)
    axes.quiver(
        voxels[known, h], voxels[known, v], normals[known, column[h]], normals[known, column[v]],
        angles="xy", scale_units="xy", scale=1 / length, color="cyan", width=0.003, zorder=4,
    )  # fmt: skip


def meshes(shown: Shown) -> Figure:
    """Return the picked points of the first tomogram on its middle slice."""
    value = shown.value
    name = value.tomogram_ids()[0]
    frame = value.frame(tomogram_id=name)
    volume, size, shape = tomogram_of(shown, name)
    voxels = to_voxels(positions_of(frame), shape, size)
    figure, axes = figure_of(1, 7, 7)
    if volume is not None:
        show(axes[0], slab(volume, 0, shape[0] // 2), f"{name}: picked points, all slices", size)
    colours = group_colours(frame["group"].to_numpy())
    for role, mark in (("point", "o"), ("inside", "*")):
        mine = (frame["role"] == role).to_numpy() if role == "inside" else (frame["role"] != "inside").to_numpy()
        axes[0].scatter(voxels[mine, 2], voxels[mine, 1], s=18 if mark == "o" else 90, c=colours[mine], marker=mark)
    return figure


def gallery(shown: Shown) -> Figure:
    """Return some boxes, and where the particles point."""
    value = shown.value
    frame = value.frame(["file", "index"])
    chosen = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(GALLERY, len(frame))).astype(int))]
    size = value.box_size.get()
    boxes = []
    for file, index in zip(chosen["file"], chosen["index"], strict=True):
        stack = mrc.open_volume(shown.path(file)).reshape(-1, size, size, size)
        boxes.append(slab(stack[int(index)], 0, size // 2, 3))
    rotations = rotations_of(value.frame([f"r{i}{j}" for i in "123" for j in "123"]))
    known = ~np.isnan(rotations).any(axis=(1, 2))
    figure, axes = figure_of(2 if known.any() else 1, 15 if known.any() else 12, 4.5)
    show(axes[0], montage(boxes, 8), f"{len(boxes)} of {count_text(len(value), 'subtomogram')}, central xy slab")
    if known.any():
        draw_directions(axes[1], rotations[known])
    return figure


def draw_directions(axes: Any, rotations: np.ndarray) -> None:
    """Draw where in the tomogram the particles' z axes point: azimuth against elevation, equal areas."""
    x, y, z = rotations[:, :, 2].T
    axes.hexbin(np.rad2deg(np.arctan2(y, x)), z, gridsize=(24, 10), extent=(-180, 180, -1, 1), mincnt=1, cmap="viridis")
    axes.set_xlabel("azimuth of the z axis (°)")
    axes.set_ylabel("cosine of its angle to the beam")
    axes.set_title("directions of the particles' z axes", fontsize=9)


def average(shown: Shown) -> Sheet:
    """Return three sections and a montage of a volume."""
    value = shown.value
    volume = mrc.open_volume(shown.path(value.file.get()))
    n = volume.shape[0]
    planes = zip(three_sections(volume), ("xy", "xz", "yz"), strict=True)
    panels = [Panel(image, plane, value.pixel_size.get()) for image, plane in planes]
    chosen = np.linspace(n * 0.15, n * 0.85, 16).astype(int)
    slices = montage([np.asarray(volume[k], np.float32) for k in chosen], 4)
    return Sheet([[*panels, Panel(slices, "xy slices from low to high z")]], 15, 4)


def class_maps(shown: Shown) -> Sheet:
    """Return sections of the maps of the largest classes, one row a class, and how each differs from the first."""
    frame = shown.value.frame().sort_values("class_number").iloc[:CLASS_ROWS]
    maps = [np.asarray(mrc.open_volume(shown.path(file)), np.float32) for file in frame["file"]]
    rows, size = [], shown.value.pixel_size.get()
    for k, (row, volume) in enumerate(zip(frame.itertuples(), maps, strict=True)):
        members = count_text(row.members, "particle")
        title = f"class {row.class_number}: {members} ({row.share:.0%}), {row.resolution:.1f} Å"
        planes = zip(three_sections(volume), (title, "xz", "yz"), strict=True)
        rest = volume - maps[0] if k else volume * 0
        last = Panel(three_sections(rest)[0], "xy less class 1" if k else "")
        rows.append([*(Panel(image, text, size) for image, text in planes), last])
    return Sheet(rows, 10, 2.6 * len(maps))


def fsc(shown: Shown) -> Figure:
    """Return Fourier shell correlations."""
    return chart_figure([fsc_of(shown)])


def fsc_of(shown: Shown, run: str = "") -> Chart:
    """Return the chart of an FSC."""
    value = shown.value
    return fsc_chart(
        shown.path(value.file.get()), run, float(value.resolution.get() or 0), float(value.pixel_size.get() or 0)
    )


def directions(shown: Shown) -> Figure:
    """Return where the particles point.

    Raises
    ------
    EmtomoError
        If none has an orientation.
    """
    rotations = rotations_of(shown.value.frame([f"r{i}{j}" for i in "123" for j in "123"]))
    known = ~np.isnan(rotations).any(axis=(1, 2))
    if not known.any():
        raise EmtomoError(f"{shown.title}: no particle has an orientation.")
    figure, axes = figure_of(1, 8, 5)
    draw_directions(axes[0], rotations[known])
    return figure


def scores(shown: Shown) -> Figure:
    """Return the histogram of scores.

    Raises
    ------
    EmtomoError
        If all scores are the same.
    """
    values = shown.value.frame(["score"])["score"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        raise EmtomoError(f"{shown.title}: the particles have no scores, or all the same.")
    figure, axes = figure_of(1, 8, 5)
    axes[0].hist(values, bins=BINS, color="#56b4e9")
    axes[0].set_xlabel("score")
    axes[0].set_ylabel("particles")
    axes[0].set_title(f"{count_text(len(values), 'particle')}", fontsize=10)
    return figure


def curves(shown: Shown) -> Figure:
    """Return how the run that made an output converged.

    Raises
    ------
    EmtomoError
        If that run does not iterate.
    """
    if metrics_file(shown.folder) is None:
        raise EmtomoError(f"{shown.label} keeps no curves: it does not iterate.")
    return convergence(shown.folder)


def table(shown: Shown) -> Figure:
    """Return the first rows of a set, or the fields of a result, as a table."""
    if hasattr(shown.value, "frame"):
        frame = shown.value.frame().iloc[:ROWS]
        cells = [[_cell(v) for v in row] for row in frame.itertuples(index=False)]
        names = [str(c) for c in frame.columns]
    else:
        cells = [
            [f.name, _cell(v), f.unit] for f, v in zip(shown.value.FIELDS, shown.value.values().values(), strict=True)
        ]
        names = ["field", "value", "unit"]
    figure, axes = figure_of(1, min(24.0, 1.2 * len(names) + 2), 0.25 * len(cells) + 1)
    axes[0].axis("off")
    made = axes[0].table(cellText=cells, colLabels=names, loc="center", cellLoc="left")
    made.auto_set_font_size(False)
    made.set_fontsize(7)
    return figure


def _cell(value: Any) -> str:
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else "…" + text[-23:]


def group_colours(groups: np.ndarray) -> np.ndarray:
    """Return a colour for each group."""
    palette = matplotlib.colormaps["tab10"](np.arange(10))
    return palette[np.asarray(groups, int) % 10]
