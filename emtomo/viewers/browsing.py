"""Viewers that are parts of the particle browser: each opens it with another tab."""

from pathlib import Path
from typing import Any, ClassVar

from emtomo.engine.table import TableSet
from emtomo.gui.core.browser_images import prepare_browser
from emtomo.gui.core.shown import Shown
from emtomo.objects import (
    SetOfCoordinates2D,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfParticles,
    SetOfParticleSeries,
    SetOfSubtomograms,
)
from emtomo.viewers import figures, image_figures
from emtomo.viewers.base import OutputViewer, opener
from emtomo.viewers.space import space_picture


class InBrowser(OutputViewer):
    """A viewer that is a part of the particle browser.

    Attributes
    ----------
    TAB : str
        What is open at first: gallery, slices, 3d, plot or table.
    """

    TAB: ClassVar[str] = "gallery"

    @classmethod
    def prepare(cls, shown: Shown) -> None:
        """Read the set."""
        prepare_browser(shown)

    @classmethod
    def open_window(cls, master: Any, shown: Shown) -> Any:
        """Open the browser."""
        return opener("browser:open_browser")(master, shown, cls.TAB)


class ViewMeshes(InBrowser):
    """Picked points on slices of their tomograms."""

    KEY, ORDER, _name, TAB = "points", 1, "Points on slices", "slices"
    _targets: ClassVar[list[type]] = [SetOfMeshes]
    FIGURE = staticmethod(figures.meshes)


class ViewCoordinates(InBrowser):
    """Particles with their directions on slices of their tomograms."""

    KEY, ORDER, _name, TAB = "coordinates", 2, "Coordinates on slices", "slices"
    _targets: ClassVar[list[type]] = [SetOfCoordinates3D, SetOfSubtomograms, SetOfParticleSeries]
    FIGURE = staticmethod(figures.coordinates)


class ViewSubtomograms(InBrowser):
    """Boxes side by side, page by page."""

    KEY, ORDER, _name = "gallery", 1, "Gallery"
    _targets: ClassVar[list[type]] = [SetOfSubtomograms]
    FIGURE = staticmethod(figures.gallery)


class ViewPicks(InBrowser):
    """Picks on their micrograph."""

    KEY, ORDER, _name, TAB = "picks", 1, "Picks on micrographs", "slices"
    _targets: ClassVar[list[type]] = [SetOfCoordinates2D, SetOfParticles]
    FIGURE = staticmethod(image_figures.picks)


class ViewParticles(InBrowser):
    """Images of particles side by side."""

    KEY, ORDER, _name = "particles", 0, "Particles"
    _targets: ClassVar[list[type]] = [SetOfParticles]
    FIGURE = staticmethod(image_figures.particles)


class ViewParticlesInSpace(InBrowser):
    """Particles and their directions with a tomogram slice, in space."""

    KEY, ORDER, _name, TAB = "3d", 3, "3D", "3d"
    _targets: ClassVar[list[type]] = [SetOfCoordinates3D, SetOfSubtomograms, SetOfParticleSeries]

    @classmethod
    def picture(cls, shown: Shown, png: Path) -> None:
        """Draw the scene off-screen."""
        space_picture(shown, png)


class ViewScores(InBrowser):
    """Histogram of scores, or any columns against each other; what is dragged over is selected and can be saved."""

    KEY, ORDER, _name, TAB = "scores", 6, "Histogram and plot", "plot"
    _targets: ClassVar[list[type]] = [
        SetOfCoordinates3D,
        SetOfSubtomograms,
        SetOfCoordinates2D,
        SetOfParticles,
        SetOfParticleSeries,
    ]
    FIGURE = staticmethod(figures.scores)


class ViewTable(InBrowser):
    """All columns of a set, with a plot and pictures beside them."""

    KEY, ORDER, _name, TAB = "table", 8, "Table", "table"
    _targets: ClassVar[list[type]] = [TableSet]
    FIGURE = staticmethod(figures.table)
