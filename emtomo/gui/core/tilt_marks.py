"""Tilts of one series as its window shows them: which are left out, dose, CTF; and the list of those left out."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.selection import CtfFit
from emtomo.gui.core.shown import Shown
from emtomo.objects.tilt_images import TiltImages, fit_of_tilts

CURVE = 300  # points of a curve


@dataclass
class TiltMarks:
    """What is known of the tilts of a series, and which are marked as excluded.

    Attributes
    ----------
    name : str
    geometry : TiltGeometry
    angle : (n,) array
    marked : (n,) bool array
        Changed by :meth:`toggle`.
    others : list of (str, int)
        Excluded tilts of the set's other series, numbered from 1.
    images : TiltImages
    fit : CtfFit or None
        How well the CTF of every tilt was fitted, where it was.
    """

    name: str
    geometry: TiltGeometry
    angle: np.ndarray
    marked: np.ndarray
    images: TiltImages
    fit: CtfFit | None = None
    others: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, shown: Shown, name: str) -> "TiltMarks":
        """Return the marks of one series of a set."""
        others = []
        for other in map(str, shown.value.tomogram_ids()):
            if other != name:
                gone = np.flatnonzero(shown.value.images(other)["excluded"].to_numpy(bool))
                others += [(other, int(k) + 1) for k in gone]
        table = shown.value.images(name)
        marked, angle = table["excluded"].to_numpy(bool).copy(), table["angle"].to_numpy(float)
        images = TiltImages(table, folder=shown.path(""))
        return cls(name, shown.value.geometry(name), angle, marked, images, fit_of_tilts(table), others)

    @property
    def changed(self) -> bool:
        """Whether the marks are others than those of the set."""
        return bool((self.marked != self.geometry.excluded).any())

    def toggle(self, tilt: int) -> bool:
        """Mark a tilt, from 0, or take its mark away; return whether it is marked now."""
        self.marked[tilt] = not self.marked[tilt]
        return bool(self.marked[tilt])

    def bars(self) -> np.ndarray:
        """Return (n,) heights from 0 to 1: dose before each tilt, or its place in time where no dose is known."""
        dose = self.geometry.dose if self.geometry.dose.any() else self.geometry.order.astype(float)
        return np.asarray((dose + 0.04 * max(float(dose.max(initial=0)), 1e-9)) / max(float(dose.max(initial=0)), 1e-9))

    def curve(self, tilt: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return frequencies (1/Å) and the CTF times dose weights of a tilt; None where it is not known."""
        pixel = self.geometry.pixel_size
        if self.geometry.ctf is None or not np.isfinite(pixel):
            return None
        frequency = np.linspace(0, 0.5 / pixel, CURVE)
        one = self.geometry.ctf[tilt]
        mean = one.with_defocus_added(one.defocus - one.defocus_u)
        return frequency, mean.values(frequency, 0.0) * dose_weights(frequency, self.geometry.dose[tilt])

    def write(self, path: Path) -> int:
        """Write all excluded tilts of the set as select-tilts reads them; return how many there are."""
        rows = [*self.others, *((self.name, int(k) + 1) for k in np.flatnonzero(self.marked))]
        part = path.with_name(path.name + ".part")
        pd.DataFrame(rows, columns=["tomogram_id", "tilt"]).to_csv(part, index=False)
        part.replace(path)
        return len(rows)
