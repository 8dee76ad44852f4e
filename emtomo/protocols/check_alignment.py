"""Protocol: check whether the geometry of tilt series fits positions of particles."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.positions import check_finite
from emtomo.compute.tilt.alignment_check import AlignmentCheck, check_alignment
from emtomo.compute.tilt.geometry import tilt_angles
from emtomo.compute.tilt.particle_images import ParticleImageOptions
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.state import write_json
from emtomo.io import mrc
from emtomo.objects import SetOfSubtomograms, SetOfTiltSeries, positions_of
from emtomo.objects.series_images import SeriesRecord
from emtomo.objects.whole_files import write_table
from emtomo.options import LARGEST_PIXEL, Param, pixel_size_unless
from emtomo.wording import count_text, no_match_text

BOX = 2.0  # diameters
READING = 0.7  # of a step's time


@dataclass(frozen=True, kw_only=True)
class CheckAlignmentOptions:
    """What is looked for in the images."""

    diameter: Annotated[float, Param("Particle diameter", "Of what is dense in the images.", unit="Å", ge=20)] = 200.0
    pixel_size: Annotated[
        float,
        Param(
            "Pixel size",
            "At which images are compared; 0: a twelfth of the diameter.",
            unit="Å",
            ge=0,
            le=LARGEST_PIXEL,
            validate=pixel_size_unless(0),
            expert=True,
        ),
    ] = 0.0
    invert: Annotated[bool, Param("Invert contrast?", "Raw images show dark particles.")] = True


class CheckAlignment(EmtomoProtocol):
    """Check whether tilt series show particles where their geometry says, before hours are spent.

    The density at the particles' positions is compared with that at shuffled positions, for the geometry as it is and
    for the usual mistakes: tilt angles of the opposite sign, an axis at minus its angle or turned by 90° or 180°, x and
    y exchanged, mirrored images. The mean image of the particles in every tilt, and where it is densest, show tilts out
    of place.
    """

    NAME = "check-alignment"
    _label = "check alignment"
    _possibleOutputs = {"tilt_series": SetOfTiltSeries}
    OPTIONS = (CheckAlignmentOptions,)
    STEPS_APART = ("check_step",)
    STEPS_PER = "tilt series"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tilt_series", "SetOfTiltSeries", "Tilt series", "Aligned tilt series.")
        self._add_input(
            form, "coordinates", "SetOfCoordinates3D,SetOfSubtomograms", "Particles", "Some tens in every series."
        )

    def _check(self) -> list[str]:
        if not self._names():
            wanted, known = self.input_coordinates.get().tomogram_ids(), self.input_tilt_series.get().tomogram_ids()
            return [no_match_text("tilt series", wanted, known)]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.check_step, self._names(), self.output_step)

    def check_step(self, name: str, number: int, total: int) -> None:
        """Check one series; write its mean images and what is found of every tilt."""
        series, options = self.input_tilt_series.get(), self.options(CheckAlignmentOptions)
        table, geometry = series.images(name), series.geometry(name)
        if geometry.ctf is None:  # images are looked at as they are
            geometry = replace(geometry, ctf=Ctf.of_defocus(np.zeros(len(geometry))))
        frame = self.input_coordinates.get().frame(tomogram_id=name)
        points = positions_of(frame)
        if isinstance(self.input_coordinates.get(), SetOfSubtomograms):
            points = points + frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
        check_finite(points, f"{name}: the position of particle")
        pixel = max(options.pixel_size or options.diameter / 12, geometry.pixel_size)
        cut = ParticleImageOptions(
            pixel_size=pixel,
            box_size=max(8, 2 * round(BOX * options.diameter / pixel / 2)),
            diameter=options.diameter,
            invert=options.invert,
        )
        prepared = SeriesRecord(name, table, geometry).prepare(
            cut, lambda done: self.progress(number + READING * done / len(table), total)
        )
        found = check_alignment(prepared, points)
        mrc.write_volume(self._getExtraPath(f"{name}_means.mrc"), found.means, pixel, stack=True)
        angles = tilt_angles(prepared.geometry.rotations)[:, 1]
        write_table(
            Path(self._getExtraPath(f"{name}_alignment.csv")), _tilt_table(found, prepared.tilts, angles), digits=6
        )
        write_table(Path(self._getExtraPath(f"{name}_positions.csv")), _position_table(found, prepared.tilts), digits=6)
        outside = int((~prepared.visible(points).any(axis=0)).sum())
        lost = f"{name}: no image shows {outside} of {count_text(len(points), 'position')} whole."
        sentences = [*found.sentences(name), *([lost] if outside else [])]
        said = {"scores": found.scores, "sentences": sentences, "hand": found.hand_certainty}
        write_json(Path(self._getExtraPath(f"{name}_alignment.json")), said)

    def output_step(self, names: list[str]) -> None:
        """Say what was found, and register the series as they are."""
        self.forget_remarks()
        source = self.input_tilt_series.get()
        for name in names:
            path = Path(self._getExtraPath(f"{name}_alignment.json"))
            self.remark(*json.loads(path.read_text(encoding="utf8"))["sentences"])
        out = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"))
        out.copy_fields(source)
        out.extend(source.frame())
        self._register(self.input_tilt_series, tilt_series=out)

    # --- helpers ---

    def _names(self) -> list[str]:
        known = set(self.input_tilt_series.get().tomogram_ids())
        return [name for name in self.input_coordinates.get().tomogram_ids() if name in known]


def _tilt_table(found: AlignmentCheck, tilts: np.ndarray, angles: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "tilt": tilts + 1,
            "angle": angles,
            "contrast": found.contrast,
            "offset_x": found.offsets[:, 0],
            "offset_y": found.offsets[:, 1],
        }
    )


def _position_table(found: AlignmentCheck, tilts: np.ndarray) -> pd.DataFrame:
    n, p = found.positions.shape[:2]
    return pd.DataFrame(
        {
            "tilt": np.repeat(tilts + 1, p),
            "particle": np.tile(np.arange(1, p + 1), n),
            "x": found.positions[:, :, 0].ravel(),
            "y": found.positions[:, :, 1].ravel(),
        }
    )
