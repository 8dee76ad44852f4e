"""One picture for every kind of output, without a window."""

from pathlib import Path

import matplotlib
from pyworkflow.object import Object
from pyworkflow.protocol import Protocol

from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import shown, viewers_for
from emtomo.io import images
from emtomo.viewers import figures
from emtomo.viewers.base import save

matplotlib.use("Agg")


def picture_of_file(path: Path, png: Path) -> None:
    """Draw the three central sections of a volume file."""
    info = images.describe(path)
    save(figures.sections(images.read_any(path), info.pixel_size, path.name), png)


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
        known = ", ".join(one.KEY for one in found) or "none"
        raise EmtomoError(f"There is no viewer {viewer!r} for a {type(value).__name__}; those that fit: {known}.")
    chosen[0].picture(shown(run, name, Path(run.getProject().path if run.getProject() else Path.cwd())), png)


def has_picture(value: Object) -> bool:
    """Return whether :func:`picture_of_output` can draw `value`."""
    return bool(viewers_for(value))
