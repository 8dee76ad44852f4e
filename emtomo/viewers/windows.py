"""The viewers: for each kind of output the windows that show it, and the same as pictures."""

from pathlib import Path
from typing import Any, ClassVar

from emtomo.gui.core.chart_export import chart_figure
from emtomo.gui.core.ctf_charts import ctf_charts
from emtomo.gui.core.output_volumes import (
    load_tilts,
    load_tomogram,
    load_volume,
    prepare_slices,
    tilt_tables,
    tomogram_rows,
)
from emtomo.gui.core.run_charts import fsc_of_folder, metrics_file
from emtomo.gui.core.shown import Shown
from emtomo.objects import (
    FSC,
    Average,
    Mask,
    SetOfClasses2D,
    SetOfClasses3D,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfMicrographs,
    SetOfParticles,
    SetOfParticleSeries,
    SetOfSubtomograms,
    SetOfTiltSeries,
    SetOfTomograms,
    Volume,
)
from emtomo.objects.population import Population
from emtomo.objects.volume import Result
from emtomo.viewers import (
    alignment_figures,
    ctf_figures,
    external,
    figures,
    image_figures,
    population_figures,
    tilt_figures,
)
from emtomo.viewers.base import OutputViewer, opener, save
from emtomo.viewers.space import prepare_scene, scene_data, space_picture


class ViewTomograms(OutputViewer):
    """Slices of tomograms, beside those they were made from."""

    KEY, ORDER, _name, WINDOW = "slices", 1, "Slices", "setslices:open_tomograms"
    _targets: ClassVar[list[type]] = [SetOfTomograms]
    FIGURE = staticmethod(figures.tomograms)

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Read the list, and open what is shown at once."""
        shown.prepared["rows"] = tomogram_rows(shown)
        prepare_slices(shown, load_tomogram)


class ViewTilts(OutputViewer):
    """The images of tilt series."""

    KEY, ORDER, _name, WINDOW = "tilts", 1, "Tilt images", "setslices:open_tilts"
    _targets: ClassVar[list[type]] = [SetOfTiltSeries]
    FIGURE = staticmethod(tilt_figures.tilt_series)

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Read the angles, and open what is shown at once."""
        shown.prepared["tables"] = tilt_tables(shown)
        prepare_slices(shown, load_tilts)


class ViewCtfFit(OutputViewer):
    """Power spectra beside the fitted CTF, tilt by tilt."""

    KEY, ORDER, _name = "ctf-fit", 2, "Fit of the CTF"
    _targets: ClassVar[list[type]] = [SetOfTiltSeries, SetOfMicrographs]
    FIGURE, IN_REPORT = staticmethod(ctf_figures.ctf_fit), True

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run has estimated CTFs."""
        return bool(ctf_figures.find_fits(folder))

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the fit of one image after the other."""
        return opener("ctfwindow:FitWindow")(
            master,
            shown,
            ctf_figures.require_fits(shown.folder),
            lambda name: ctf_figures.read_fit(shown.folder, name),
            ctf_figures.fit_figure,
            cls._name,
        )


class ViewCtfCharts(OutputViewer):
    """Defocus, agreement and resolution of the fitted CTFs, image by image, and those of another run over them."""

    KEY, ORDER, _name = "ctf-charts", 2, "CTF by tilt"
    _targets: ClassVar[list[type]] = [SetOfTiltSeries]

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run has estimated CTFs."""
        return bool(ctf_figures.find_fits(folder))

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the charts of one series after the other."""
        names = ctf_figures.require_fits(shown.folder)
        return opener("runcharts:open_ctf_charts")(master, shown.run, shown.label, shown.folder, names)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        """Draw the charts of the first series."""
        names = ctf_figures.require_fits(shown.folder)
        save(chart_figure(ctf_charts(shown.folder, names[0]), names[0]), png)


class ViewAlignment(OutputViewer):
    """Whether tilt series show particles where their geometry says."""

    KEY, ORDER, _name = "alignment", 3, "Check of the alignment"
    _targets: ClassVar[list[type]] = [SetOfTiltSeries]
    FIGURE, IN_REPORT = staticmethod(alignment_figures.alignment), True

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run has checked an alignment."""
        return bool(alignment_figures.find_checks(folder))


class ViewMicrographs(OutputViewer):
    """The first micrographs of a set."""

    KEY, ORDER, _name = "micrographs", 1, "Micrographs"
    _targets: ClassVar[list[type]] = [SetOfMicrographs]
    FIGURE = staticmethod(image_figures.micrographs)


class ViewClasses(OutputViewer):
    """Class averages side by side."""

    KEY, ORDER, _name, WINDOW = "classes", 1, "Class averages", "classes:ClassesWindow"
    _targets: ClassVar[list[type]] = [SetOfClasses2D]
    FIGURE = staticmethod(image_figures.classes)


class ViewClasses3D(OutputViewer):
    """Sections of the maps of classes, one row a class."""

    KEY, ORDER, _name = "maps", 1, "Maps of the classes"
    _targets: ClassVar[list[type]] = [SetOfClasses3D]
    FIGURE = staticmethod(figures.class_maps)


class ViewVolume(OutputViewer):
    """Three sections of a volume."""

    KEY, ORDER, _name, WINDOW = "slices", 1, "Slices", "setslices:open_volume"
    _targets: ClassVar[list[type]] = [Average, Volume, Mask]
    FIGURE = staticmethod(figures.average)

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Open what is shown at once."""
        prepare_slices(shown, load_volume)


class ViewFsc(OutputViewer):
    """Fourier shell correlations."""

    KEY, ORDER, _name = "fsc", 1, "FSC curves"
    _targets: ClassVar[list[type]] = [FSC]
    FIGURE = staticmethod(figures.fsc)

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the curves, those of another run over them if wanted."""
        return opener("runcharts:open_charts_beside")(
            master,
            shown.run,
            shown.title,
            lambda run, _: [figures.fsc_of(shown, run)],
            fsc_of_folder,
        )


class ViewSpace(OutputViewer):
    """Particles, directions, models and a tomogram slice, or an isosurface, in space."""

    KEY, ORDER, _name = "3d", 3, "3D"
    _targets: ClassVar[list[type]] = [SetOfMeshes, Average, Volume, Mask]

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Read the scene, if there is OpenGL."""
        prepare_scene(shown)

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the 3D view; without OpenGL a sentence says so."""
        return opener("setslices:open_space")(master, shown, scene_data)

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        """Draw the scene off-screen."""
        space_picture(shown, png)


class ViewMontage(OutputViewer):
    """Sections and a montage of slices of a volume."""

    KEY, ORDER, _name = "montage", 4, "Sections and montage"
    _targets: ClassVar[list[type]] = [Average, Volume, Mask]
    FIGURE = staticmethod(figures.average)


class ViewDirections(OutputViewer):
    """Where the particles point."""

    KEY, ORDER, _name = "directions", 5, "Angular distribution"
    _targets: ClassVar[list[type]] = [SetOfCoordinates3D, SetOfSubtomograms, SetOfParticles, SetOfParticleSeries]
    FIGURE = staticmethod(figures.directions)


class ViewConvergence(OutputViewer):
    """How a refinement, an initial model or a network converged."""

    KEY, ORDER, _name = "curves", 7, "Convergence"
    _targets: ClassVar[list[type]] = [
        Average,
        FSC,
        SetOfSubtomograms,
        SetOfCoordinates3D,
        SetOfParticles,
        SetOfParticleSeries,
        SetOfClasses2D,
        SetOfClasses3D,
        Population,
    ]
    FIGURE = staticmethod(figures.curves)

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run iterates."""
        return metrics_file(folder) is not None

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the charts of the run, read again while it goes on."""
        return opener("runcharts:open_run_charts")(master, shown.run, shown.label, shown.folder)


class ViewRefinement(OutputViewer):
    """What multi-particle refinement changed: resolution, movements, defocus and weights of tilts, held-out scores."""

    KEY, ORDER, _name = "refinement", 1, "Refinement"
    _targets: ClassVar[list[type]] = [Population]
    FIGURE = staticmethod(population_figures.refinement)

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the charts of the run, with those of the tilts of a series."""
        return opener("runcharts:open_run_charts")(master, shown.run, shown.label, shown.folder)

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run refined a population."""
        return (folder / "extra" / "tilts.csv").exists()


class ViewMovements(OutputViewer):
    """How far the images of tilt series moved and were warped in a refinement, as arrows on each tilt."""

    KEY, ORDER, _name = "movements", 2, "Movements in the images"
    _targets: ClassVar[list[type]] = [Population]
    FIGURE = staticmethod(population_figures.movements)

    @classmethod
    def suits(cls, folder: Path) -> bool:
        """Return whether the run refined a population."""
        return (folder / "extra" / "movements.csv").exists()

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the arrows of one tilt after the other."""
        return opener("ctfwindow:FitWindow")(
            master,
            shown,
            population_figures.series_names(shown.folder),
            lambda name: population_figures.read_movements(shown.folder, name),
            population_figures.movement_figure,
            cls._name,
        )


class ViewFields(OutputViewer):
    """All fields of a result."""

    KEY, ORDER, _name, WINDOW = "table", 8, "Table", "fields:open_fields"
    _targets: ClassVar[list[type]] = [Result]
    FIGURE = staticmethod(figures.table)


class ViewOutside(OutputViewer):
    """Files and a command for ChimeraX, napari, IMOD or RELION."""

    KEY, ORDER, _name = "open-in", 9, "Open in ChimeraX, napari, IMOD, RELION …"
    _targets: ClassVar[list[type]] = [
        SetOfTomograms,
        SetOfCoordinates3D,
        SetOfSubtomograms,
        SetOfMeshes,
        Average,
        Volume,
        Mask,
    ]

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the choice of programs."""
        return opener("outside:OutsideWindow")(master, shown, external.PROGRAMS)
