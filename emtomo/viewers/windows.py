"""The viewers: for each kind of output the windows that show it, and the same as pictures.

The order is that of the menu; the first that fits an output is its default.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emtomo.compute.positions import to_voxels
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
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
from emtomo.objects.volume import Result
from emtomo.viewers import external, figures
from emtomo.viewers.base import OutputViewer, opener
from emtomo.viewers.pictures import save

PARTICLES = [SetOfCoordinates3D, SetOfSubtomograms]
VOLUMES = [Average, Volume, Mask]


class _Figure(OutputViewer):
    """A viewer whose window and picture are one matplotlib figure."""

    draw: ClassVar[Callable[..., Any]]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        draw = cls.draw
        return opener("figurewindow:FigureWindow")(master, f"{shown.title} – {cls._name} – emtomo", lambda: draw(shown))

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(cls.draw(shown), png)


class ViewTomograms(OutputViewer):
    """Slices of tomograms, beside those they were made from."""

    KEY, _name = "slices", "Slices"
    _targets: ClassVar[list[type]] = [SetOfTomograms]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_tomograms")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.tomograms(shown), png)


class ViewTilts(OutputViewer):
    """The images of tilt series."""

    KEY, _name = "tilts", "Tilt images"
    _targets: ClassVar[list[type]] = [SetOfTiltSeries]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_tilts")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.tilt_series(shown), png)


class ViewMeshes(OutputViewer):
    """Picked points on slices of their tomograms."""

    KEY, _name = "points", "Points on slices"
    _targets: ClassVar[list[type]] = [SetOfMeshes]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_particles")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.meshes(shown), png)


class ViewCoordinates(OutputViewer):
    """Particles with their directions on slices of their tomograms."""

    KEY, _name = "coordinates", "Coordinates on slices"
    _targets: ClassVar[list[type]] = [SetOfCoordinates3D]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_particles")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.coordinates(shown), png)


class ViewSubtomograms(OutputViewer):
    """Boxes side by side, page by page."""

    KEY, _name = "gallery", "Gallery"
    _targets: ClassVar[list[type]] = [SetOfSubtomograms]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("gallery:GalleryWindow")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.gallery(shown), png)


class ViewVolume(OutputViewer):
    """Three sections of a volume."""

    KEY, _name = "slices", "Slices"
    _targets: ClassVar[list[type]] = [*VOLUMES]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_volume")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.average(shown), png)


class ViewFsc(_Figure):
    """Fourier shell correlations."""

    KEY, _name = "fsc", "FSC curves"
    _targets: ClassVar[list[type]] = [FSC]
    draw = staticmethod(figures.fsc)


class ViewPlaces(OutputViewer):
    """Where the boxes were cut, on slices."""

    KEY, _name = "coordinates", "Coordinates on slices"
    _targets: ClassVar[list[type]] = [SetOfSubtomograms]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_particles")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.coordinates(shown), png)


class ViewSpace(OutputViewer):
    """Particles, directions, models and a tomogram slice, or an isosurface, in space."""

    KEY, _name = "3d", "3D"
    _targets: ClassVar[list[type]] = [SetOfCoordinates3D, SetOfMeshes, SetOfSubtomograms, *VOLUMES]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("setslices:open_space")(master, shown, scene_data)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        from PIL import Image

        from emtomo.gui.core.scene import Scene

        name = shown.value.tomogram_ids()[0] if hasattr(shown.value, "tomogram_ids") else ""
        scene = Scene(scene_data(shown, name))
        part = png.with_name(png.name + ".part.png")
        Image.fromarray(scene.render(1000, 750)).save(part)
        scene.close()
        part.replace(png)


def scene_data(shown: Shown, tomogram_id: str) -> Any:
    """Return what the 3D view shows of an output, in one of its tomograms."""
    from emtomo.compute.geometry.models import ModelOptions
    from emtomo.gui.core.live import fit_model
    from emtomo.gui.core.picking import Model, Point
    from emtomo.gui.core.scene import SceneData
    from emtomo.gui.core.volume import VolumeSource

    value = shown.value
    if hasattr(value, "file"):
        source = VolumeSource(shown.path(str(value.file.get())))
        return SceneData(source, source.shape, surface=True)
    found = shown.tomograms
    if found is None or tomogram_id not in found.tomogram_ids():
        raise EmtomoError(f"{shown.title}: the tomogram {tomogram_id} is not known, so its size is not either.")
    row = found.frame(tomogram_id=tomogram_id).iloc[0]
    source = VolumeSource(shown.path(row["file"]))
    size, frame = float(found.pixel_size.get()), value.frame(tomogram_id=tomogram_id)
    data = SceneData(source, source.shape, white=bool(found.white.get()))
    data.points = to_voxels(positions_of(frame), source.shape, size)[:, ::-1].copy()
    data.normals = rotations_of(frame)[:, :, 2] if "r11" in frame else np.full(data.points.shape, np.nan)
    data.groups = frame["group"].to_numpy(int)
    data.scores = frame["score"].to_numpy(float) if "score" in frame else np.zeros(len(frame))
    data.tomograms = frame["tomogram_id"].to_numpy(object)
    box = value.box_size.get() or 16
    data.box = float(box) * float(value.pixel_size.get() or size) / size
    if isinstance(value, SetOfMeshes):
        data.box = 6.0
        for group, points in frame.reset_index(drop=True).groupby("group"):
            picked = [Point(*data.points[k], role=str(points["role"][k])) for k in points.index]
            fit = fit_model(Model(str(points["model"].iloc[0]), picked), ModelOptions())
            if len(fit.faces):
                data.meshes.append((fit.vertices[:, ::-1], fit.faces, int(group)))  # type: ignore[call-overload]
    return data


class ViewDirections(_Figure):
    """Where the particles point."""

    KEY, _name = "directions", "Angular distribution"
    _targets: ClassVar[list[type]] = [*PARTICLES]
    draw = staticmethod(figures.directions)


class ViewScores(_Figure):
    """Histogram of scores with a cut that can be moved and saved."""

    KEY, _name = "scores", "Histogram of scores"
    _targets: ClassVar[list[type]] = [*PARTICLES]
    draw = staticmethod(figures.scores)

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        values = shown.value.frame(["score"])["score"].to_numpy(float)
        return opener("figurewindow:CutWindow")(
            master, f"{shown.title} – {cls._name} – emtomo", lambda cut: figures.scores(shown, cut), values, shown
        )


class ViewConvergence(_Figure):
    """How a refinement, an initial model or a network converged."""

    KEY, _name = "curves", "Convergence"
    _targets: ClassVar[list[type]] = [Average, FSC, SetOfSubtomograms]
    draw = staticmethod(figures.curves)


class ViewMontage(_Figure):
    """Sections and a montage of slices of a volume."""

    KEY, _name = "montage", "Sections and montage"
    _targets: ClassVar[list[type]] = [*VOLUMES]
    draw = staticmethod(figures.average)


class ViewTable(OutputViewer):
    """All columns of a set, or all fields of a result."""

    KEY, _name = "table", "Table"
    _targets: ClassVar[list[type]] = [TableSet, Result]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("tablewindow:TableWindow")(master, shown)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        save(figures.table(shown), png)


class ViewOutside(OutputViewer):
    """Files and a command for ChimeraX, napari, IMOD or RELION."""

    KEY, _name = "open-in", "Open in ChimeraX, napari, IMOD, RELION …"
    _targets: ClassVar[list[type]] = [SetOfTomograms, *PARTICLES, SetOfMeshes, *VOLUMES]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        return opener("outside:OutsideWindow")(master, shown, external.PROGRAMS)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        raise EmtomoError("open-in writes files for other programs, no picture; take another viewer.")


for _place, _viewer in enumerate((
    ViewTomograms, ViewTilts, ViewMeshes, ViewCoordinates, ViewSubtomograms, ViewVolume, ViewFsc, ViewPlaces, ViewSpace,
    ViewMontage, ViewDirections, ViewScores, ViewConvergence, ViewTable, ViewOutside,
)):  # fmt: skip
    _viewer.ORDER = _place
