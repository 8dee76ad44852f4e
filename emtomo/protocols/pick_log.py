"""Protocol: pick balls of a range of diameters."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.blobs import LogOptions, pick_blobs
from emtomo.compute.positions import from_voxels
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, coordinates_frame
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class PickLogOptions:
    """What becomes of the picks."""

    box_size: Annotated[int, Param("Box size", "For display and extraction.", unit="voxel", ge=1)] = 32
    number_of_particles: Annotated[
        int, Param("Number of particles", "The best of each tomogram; 0 takes all above the threshold.", ge=0)
    ] = 0


class PickLog(EmtomoProtocol):
    """Pick round particles by the Laplacian of Gaussian, without any template: a first look.

    Positions are centres of mass; there are no orientations.
    """

    NAME = "pick-log"
    _label = "pick by Laplacian of Gaussian"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (LogOptions, PickLogOptions)
    STEPS_APART = ("pick_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Tomograms", "Where to pick.")

    def _check(self) -> list[str]:
        options = self.options(LogOptions)
        if options.min_diameter > options.max_diameter:
            return [
                f"The minimum diameter ({options.min_diameter:g} Å) must not be above the maximum "
                f"({options.max_diameter:g} Å)."
            ]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.pick_step, self.input_tomograms.get().tomogram_ids(), self.output_step)

    def pick_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Pick in one tomogram."""
        tomograms = self.input_tomograms.get()
        row = tomograms.frame(tomogram_id=tomogram_id).iloc[0]
        size = tomograms.pixel_size.get()
        volume = mrc.open_volume(row["file"])
        found = pick_blobs(volume, size, self._options())
        most = self.options(PickLogOptions).number_of_particles or len(found.scores)
        positions = from_voxels(found.places[:most], volume.shape, size)
        frame = coordinates_frame(tomogram_id, positions, score=found.scores[:most], picker="log")
        SetOfCoordinates3D.save(self._part(tomogram_id), frame)
        self.progress(number + 1, total)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Join the tomograms and register."""
        self.forget_remarks()
        tomograms = self.input_tomograms.get()
        frames = [SetOfCoordinates3D.open(self._part(name)).frame() for name in tomogram_ids]
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"),
            pixel_size=tomograms.pixel_size.get(),
            box_size=self.options(PickLogOptions).box_size,
        )
        out.extend(pd.concat(frames, ignore_index=True))
        empty = [name for name, frame in zip(tomogram_ids, frames, strict=True) if len(frame) == 0]
        if empty:
            self.remark(f"Nothing was found in {', '.join(empty)}: check threshold, diameters and contrast.")
        scores = np.concatenate([frame["score"].to_numpy(float) for frame in frames])
        if len(scores):
            self.remark(f"Scores from {scores.min():.1f} to {scores.max():.1f} standard deviations.")
        self._register(self.input_tomograms, coordinates=out)

    def _part(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.sqlite")

    def _options(self) -> LogOptions:
        """Return how to pick: particles are white where the form says so or the tomograms do."""
        options = self.options(LogOptions)
        return replace(options, white=options.white or bool(self.input_tomograms.get().white.get()))
