"""One picture for every kind of output, without a window."""

from pathlib import Path

import matplotlib
import numpy as np
from pyworkflow.object import Object
from pyworkflow.protocol import Protocol

from emtomo.compute.positions import to_voxels
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import show_output, viewers_for
from emtomo.io import images
from emtomo.objects import SetOfTomograms, positions_of, rotations_of
from emtomo.viewers import figures
from emtomo.viewers.base import save

matplotlib.use("Agg")


def picture_of_file(path: Path, png: Path, index: int | None = None) -> None:
    """Draw the three central sections of a volume file, or the xy slice `index`, counted from 0.

    Raises
    ------
    EmtomoError
        If there is no such slice.
    """
    info = images.describe(path)
    images.check_one_volume(path, info)
    volume = images.read_any(path)
    if index is None:
        save(figures.sections(volume, info.pixel_size, path.name), png)
    else:
        save(figures.slice_with_points(volume, info.pixel_size, path.name, index), png)


def picture_of_slice(run: Protocol, name: str, png: Path, tomogram: str = "", index: int | None = None) -> None:
    """Draw an xy slice of a tomogram that an output of `run` belongs to, with the particles near it.

    Parameters
    ----------
    run : Protocol
    name : str
        An output that is tomograms, coordinates, models or subtomograms.
    png : Path
    tomogram : str
        Its id; the first by default.
    index : int, optional
        Of the slice, counted from 0; by default the middle of the particles, else of the tomogram.

    Raises
    ------
    EmtomoError
        If there is no such tomogram or slice.
    """
    output = show_output(run, name, Path(run.getProject().path if run.getProject() else Path.cwd()))
    value = output.value
    if not isinstance(value, TableSet) or output.tomograms is None:
        raise EmtomoError(f"{name} belongs to no tomogram, of which a slice could be shown.")
    known = output.tomograms.tomogram_ids()
    chosen = tomogram or next(iter([*value.tomogram_ids(), *known]), "")
    if chosen not in known:
        listed = ", ".join(known[:10]) + (" …" if len(known) > 10 else "")
        raise EmtomoError(f"{name} has no tomogram {chosen!r}; its tomograms are {listed}.")
    volume, size, shape = figures.tomogram_of(output, chosen)
    assert volume is not None
    if isinstance(value, SetOfTomograms):
        figure = figures.slice_with_points(volume, size, chosen, shape[0] // 2 if index is None else index)
    else:
        frame = value.frame(tomogram_id=chosen)
        voxels = to_voxels(positions_of(frame), shape, size)
        middle = int(np.clip(np.median(voxels[:, 0]), 0, shape[0] - 1)) if len(voxels) else shape[0] // 2
        normals = rotations_of(frame)[:, :, 2] if "r11" in frame else np.full((len(frame), 3), np.nan)
        groups = frame["group"].to_numpy() if "group" in frame else np.ones(len(frame), int)
        points = voxels, normals, groups
        figure = figures.slice_with_points(volume, size, chosen, middle if index is None else index, points)
    save(figure, png)


def picture_of_output(run: Protocol, name: str, png: Path, viewer: str = "") -> None:
    """Draw the output `name` of `run`.

    Parameters
    ----------
    run : Protocol
    name : str
    png : Path
    viewer : str
        Key of a viewer; the first that fits by default.

    Raises
    ------
    EmtomoError
        If the run has not made it, or nothing draws its kind.
    """
    value = dict(run.iterOutputAttributes()).get(name)
    if value is None:
        raise EmtomoError(f"Run {run.getObjLabel()} has not made {name}; it is {run.getStatus()}.")
    if isinstance(value, TableSet) and len(value) == 0:
        raise EmtomoError(f"{name} is an empty set: there is nothing to draw.")
    found = viewers_for(value)
    chosen = [one for one in found if viewer in ("", one.KEY)]
    if not chosen:
        known = ", ".join(one.KEY for one in found)
        other = f"those that fit: {known}" if found else "nor any other"
        raise EmtomoError(f"There is no viewer {viewer!r} for a {type(value).__name__}; {other}.")
    chosen[0].picture(show_output(run, name, Path(run.getProject().path if run.getProject() else Path.cwd())), png)


def has_picture(value: Object) -> bool:
    """Return whether :func:`picture_of_output` can draw `value`."""
    return bool(viewers_for(value))
