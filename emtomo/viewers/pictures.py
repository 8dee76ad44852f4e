"""One picture for every kind of output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from pyworkflow.object import Object, Pointer
from pyworkflow.protocol import Protocol

from emtomo.compute.positions import to_voxels
from emtomo.engine.lineage import upstream
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc
from emtomo.objects import (
    FSC,
    Average,
    Mask,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfSubtomograms,
    SetOfTiltSeries,
    SetOfTomograms,
    Volume,
    positions_of,
    rotations_of,
)
from emtomo.viewers.sections import montage, show, slab, three_sections

matplotlib.use("Agg")
GALLERY = 24
ARROW = 0.06  # of the picture's width
NEAR = 3  # voxels from the slice within which particles are drawn


def picture_of_file(path: Path, png: Path) -> None:
    """Draw the three central sections of a volume file."""
    info = images.describe(path)
    _volume(images.read_any(path), info.pixel_size, path.name, png)


def picture_of_output(run: Protocol, name: str, png: Path) -> None:
    """Draw the output `name` of `run`.

    Raises
    ------
    EmtomoError
        If the run has not made it, or nothing draws its kind.
    """
    value = run.outputs().get(name)
    if value is None:
        raise EmtomoError(f"Run {run.getObjLabel()} has not made {name}; it is {run.getStatus()}.")
    if isinstance(value, TableSet) and len(value) == 0:
        raise EmtomoError(f"{name} is an empty set: there is nothing to draw.")
    pointer = Pointer(run, extended=name)
    for kind, draw in _PICTURES:
        if isinstance(value, kind):
            draw(value, pointer, png)
            return
    raise EmtomoError(f"There is no picture of a {type(value).__name__}.")


def has_picture(value: Object) -> bool:
    """Return whether :func:`picture_of_output` can draw `value`."""
    return any(isinstance(value, kind) for kind, _ in _PICTURES)


def _figure(columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [figure.add_subplot(1, columns, k + 1) for k in range(columns)]


def _save(figure: Any, png: Path) -> None:
    part = png.with_name(png.name + ".part.png")
    figure.savefig(part, dpi=110)
    part.replace(png)


def _volume(volume: np.ndarray, pixel_size: float, title: str, png: Path, thickness: int = 1) -> None:
    figure, axes = _figure(3, 12, 4.2)
    for a, image, plane in zip(axes, three_sections(volume, thickness), ("xy", "xz", "yz"), strict=True):
        show(a, image, f"{title} {plane}", pixel_size)
    _save(figure, png)


def _tomograms(value: SetOfTomograms, pointer: Pointer, png: Path) -> None:
    row = value.frame().iloc[0]
    volume = mrc.open_volume(row["file"])
    before = upstream(pointer, SetOfTomograms)
    title, size = row["tomogram_id"], value.pixel_size.get()
    old = before.frame(tomogram_id=row["tomogram_id"]) if before is not None and before is not value else None
    if before is None or old is None or len(old) == 0:
        _volume(volume, size, title, png, thickness=3)
        return
    former = mrc.open_volume(old.iloc[0]["file"])
    figure, axes = _figure(2, 12, 6.2)
    for a, data, what, p in (
        (axes[0], former, "before", before.pixel_size.get()),
        (axes[1], volume, "after", size),
    ):
        show(a, slab(data, 0, data.shape[0] // 2, 1), f"{title} {what}", p)
    _save(figure, png)


def _on_tomogram(tomogram_id: str, pointer: Pointer) -> tuple[np.ndarray | None, float, tuple[int, int, int]]:
    """Return the voxels, pixel size and shape of the tomogram that an output belongs to."""
    tomograms = upstream(pointer, SetOfTomograms)
    if tomograms is None or tomogram_id not in tomograms.tomogram_ids():
        return None, 1.0, (0, 0, 0)
    volume = mrc.open_volume(tomograms.frame(tomogram_id=tomogram_id).iloc[0]["file"])
    return volume, tomograms.pixel_size.get(), volume.shape  # type: ignore[return-value]


def _coordinates(value: SetOfCoordinates3D, pointer: Pointer, png: Path) -> None:
    name = value.tomogram_ids()[0]
    frame = value.frame(tomogram_id=name)
    volume, size, shape = _on_tomogram(name, pointer)
    voxels = to_voxels(positions_of(frame), shape, size)
    draw_points(voxels, rotations_of(frame)[:, :, 2], frame["group"].to_numpy(), volume, size, shape, name, png)


def draw_points(
    voxels: np.ndarray,
    normals: np.ndarray,
    groups: np.ndarray,
    volume: np.ndarray | None,
    size: float,
    shape: tuple[int, ...],
    name: str,
    png: Path,
) -> None:
    """Draw points near a slice, with their z axes, on an xy and an xz slice through the middle of them.

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
    png : Path
    """
    figure, axes = _figure(2, 12, 6)
    for a, axis, (h, v), plane in ((axes[0], 0, (2, 1), "xy"), (axes[1], 1, (2, 0), "xz")):
        at = int(np.median(voxels[:, axis]))
        if volume is not None:
            show(a, slab(volume, axis, min(max(at, 0), shape[axis] - 1)), f"{name} {plane} slice {at}", size)
        near = np.abs(voxels[:, axis] - at) <= NEAR
        x, y = voxels[near, h], voxels[near, v]
        a.scatter(x, y, s=10, c=_colours(groups[near]), zorder=3)
        across = {2: 0, 1: 1, 0: 2}  # zyx axis to xyz column
        known = ~np.isnan(normals[near, 0])
        length = ARROW * max(shape[h] or 100, 1)
        a.quiver(
            x[known], y[known], normals[near][known, across[h]], normals[near][known, across[v]],
            angles="xy", scale_units="xy", scale=1 / length, color="cyan", width=0.003, zorder=4,
        )  # fmt: skip
    _save(figure, png)


def _meshes(value: SetOfMeshes, pointer: Pointer, png: Path) -> None:
    name = value.tomogram_ids()[0]
    frame = value.frame(tomogram_id=name)
    volume, size, shape = _on_tomogram(name, pointer)
    voxels = to_voxels(positions_of(frame), shape, size)
    figure, axes = _figure(1, 7, 7)
    if volume is not None:
        show(axes[0], slab(volume, 0, shape[0] // 2), f"{name}: picked points, all slices", size)
    colours = _colours(frame["group"].to_numpy())
    for role, mark in (("point", "o"), ("inside", "*")):
        mine = (frame["role"] == role).to_numpy() if role == "inside" else (frame["role"] != "inside").to_numpy()
        axes[0].scatter(voxels[mine, 2], voxels[mine, 1], s=18 if mark == "o" else 90, c=colours[mine], marker=mark)
    _save(figure, png)


def _subtomograms(value: SetOfSubtomograms, pointer: Pointer, png: Path) -> None:
    frame = value.frame(["file", "index"])
    chosen = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(GALLERY, len(frame))).astype(int))]
    size = value.box_size.get()
    boxes = []
    for file, index in zip(chosen["file"], chosen["index"], strict=True):
        stack = mrc.open_volume(file).reshape(-1, size, size, size)
        boxes.append(slab(stack[int(index)], 0, size // 2, 3))
    rotations = rotations_of(value.frame([f"r{i}{j}" for i in "123" for j in "123"]))
    known = ~np.isnan(rotations).any(axis=(1, 2))
    figure, axes = _figure(2 if known.any() else 1, 15 if known.any() else 12, 4.5)
    show(axes[0], montage(boxes, 8), f"{len(boxes)} of {len(value)} subtomograms, central xy slab")
    if known.any():
        _directions(axes[1], rotations[known])
    _save(figure, png)


def _directions(axes: Any, rotations: np.ndarray) -> None:
    """Draw where in the tomogram the particles' z axes point: azimuth against elevation, equal areas."""
    x, y, z = rotations[:, :, 2].T
    axes.hexbin(np.rad2deg(np.arctan2(y, x)), z, gridsize=(24, 10), extent=(-180, 180, -1, 1), mincnt=1, cmap="viridis")
    axes.set_xlabel("azimuth of the z axis (°)")
    axes.set_ylabel("cosine of its angle to the beam")
    axes.set_title("directions of the particles' z axes", fontsize=9)


def _average(value: Any, pointer: Pointer, png: Path) -> None:
    volume = mrc.open_volume(value.file.get())
    n = volume.shape[0]
    figure, axes = _figure(4, 15, 4)
    for a, image, plane in zip(axes, three_sections(volume), ("xy", "xz", "yz"), strict=False):
        show(a, image, plane, value.pixel_size.get())
    chosen = np.linspace(n * 0.15, n * 0.85, 16).astype(int)
    show(
        axes[3],
        montage([np.asarray(volume[k], np.float32) for k in chosen], 4),
        "xy slices from low to high z",
    )
    _save(figure, png)


def _fsc(value: FSC, pointer: Pointer, png: Path) -> None:
    path = Path(value.file.get())
    names = path.read_text(encoding="utf8").split("\n", 1)[0].split(",")[1:]
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    figure, axes = _figure(1, 7, 4.5)
    for k, name in enumerate(names):
        axes[0].plot(table[:, 0], table[:, k + 1], linewidth=2.2 if k == 0 else 1.0, label=name)
    axes[0].axhline(0.143, color="grey", linewidth=0.8)
    if value.resolution.get():
        axes[0].axvline(1 / value.resolution.get(), color="grey", linestyle=":")
        axes[0].set_title(f"{value.resolution.get():.2f} Å at FSC 0.143", fontsize=10)
    axes[0].set_ylim(-0.1, 1.05)
    axes[0].legend(fontsize=8)
    axes[0].set_xlabel("spatial frequency (1/Å)")
    axes[0].set_ylabel("FSC")
    _save(figure, png)


def _tilt_series(value: SetOfTiltSeries, pointer: Pointer, png: Path) -> None:
    item = next(value.items())
    stack = mrc.open_volume(item.file.get())
    angles = item.table()["angle"].to_numpy(float)
    chosen = np.unique(np.linspace(0, len(angles) - 1, 3).astype(int))
    figure, axes = _figure(len(chosen), 12, 4.5)
    for a, k in zip(axes, chosen, strict=True):
        show(
            a,
            np.asarray(stack[k], np.float32),
            f"{item.tomogram_id.get()} at {angles[k]:g}°",
            value.pixel_size.get(),
        )
    _save(figure, png)


def _colours(groups: np.ndarray) -> np.ndarray:
    palette = matplotlib.colormaps["tab10"](np.arange(10))
    return palette[np.asarray(groups, int) % 10]


_PICTURES: list[tuple[type, Callable[[Any, Pointer, Path], None]]] = [
    (SetOfTomograms, _tomograms),
    (SetOfMeshes, _meshes),
    (SetOfCoordinates3D, _coordinates),
    (SetOfSubtomograms, _subtomograms),
    (SetOfTiltSeries, _tilt_series),
    (FSC, _fsc),
    (Average, _average),
    (Volume, _average),
    (Mask, _average),
]
