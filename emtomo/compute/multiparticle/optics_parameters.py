"""Blocks of the microscope: magnification, and values of the CTF."""

from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.multiparticle.parameters import ParameterBlock, Slopes
from emtomo.compute.multiparticle.sweep import BASIC, DEFOCUS, OPTICS
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.tilt.geometry import TiltGeometry


@dataclass
class Magnifications(ParameterBlock):
    """One 2 x 2 magnification of all images.

    `mean` is the prior's width of what x and y share, where it is another than that of every term.
    """

    width: float
    mean: float | None = None
    name = "magnification"
    size = 4
    magnification = True

    def prepare(self, geometry: TiltGeometry) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        return geometry if geometry.magnification is not None else replace(geometry, magnification=np.eye(2))

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        return replace(geometry, magnification=geometry.magnification + values.reshape(2, 2))

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        return np.arange(4)

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out = at.empty(4)
        at.move(out, at.projection.magnification[0])
        first = BASIC + OPTICS * at.optics
        out[:, first : first + 4] = np.eye(4)
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        both = np.zeros((4, 4)) if self.mean is None else np.outer([1, 0, 0, 1], [1, 0, 0, 1]) / 2
        return (np.eye(4) - both) / self.width**2 + (0 if self.mean is None else both / 2 / self.mean**2)


@dataclass
class OpticsOfTilts(ParameterBlock):
    """Values of the CTF: `kind` defocus, astigmatism or phase, of every tilt, or cs, of the series.

    `mean` is the prior's width of the mean over all tilts, where it is another than that of every tilt.
    """

    tilts: int
    kind: str
    width: float
    mean: float | None = None

    _PLACES = {"defocus": [DEFOCUS], "astigmatism": [6, 7], "phase": [8], "cs": [9]}

    def __post_init__(self) -> None:
        self.name, self.optics = self.kind, self.kind != "defocus"
        self.places = self._PLACES[self.kind]
        self.size = len(self.places) * (1 if self.kind == "cs" else self.tilts)

    def apply(self, geometry: TiltGeometry, values: np.ndarray) -> TiltGeometry:
        """See :class:`ParameterBlock`."""
        old = geometry.ctf
        assert old is not None
        if self.kind == "defocus":
            return replace(geometry, ctf=old.with_defocus_added(values))
        if self.kind == "phase":
            return replace(geometry, ctf=replace(old, phase_shift=old.phase_shift + np.rad2deg(values)))
        if self.kind == "cs":
            return replace(geometry, ctf=replace(old, cs=old.cs + values[0]))
        return replace(geometry, ctf=add_astigmatism(old, values.reshape(-1, 2)))

    def columns(self, tilt: int) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        count = len(self.places)
        return np.arange(1) if self.kind == "cs" else np.arange(count * tilt, count * (tilt + 1))

    def slopes(self, at: Slopes) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        out = at.empty(len(self.places))
        out[:, self.places, np.arange(len(self.places))] = 1
        return out

    def precision(self) -> np.ndarray:
        """See :class:`ParameterBlock`."""
        if self.mean is None:
            return np.eye(self.size) / self.width**2
        mean = np.full((self.size, self.size), 1 / self.size)
        return mean / self.size / self.mean**2 + (np.eye(self.size) - mean) / self.width**2


def add_astigmatism(ctf: Ctf, values: np.ndarray) -> Ctf:
    """Return the CTF with (t, 2) values added to half of U - V times the cosine and sine of twice the angle."""
    half, angle = (np.asarray(ctf.defocus_u, float) - ctf.defocus_v) / 2, 2 * np.deg2rad(np.asarray(ctf.angle, float))
    x, y = half * np.cos(angle) + values[:, 0], half * np.sin(angle) + values[:, 1]
    length, mean = np.hypot(x, y), ctf.defocus
    return replace(ctf, defocus_u=mean + length, defocus_v=mean - length, angle=np.rad2deg(np.arctan2(y, x)) / 2)
