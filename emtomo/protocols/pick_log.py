"""Protocol: pick round particles of a range of diameters in tomograms or on micrographs."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.blobs import LogOptions, pick_blobs
from emtomo.compute.picking.choice import blob_distance, choose_blobs
from emtomo.compute.picking.options import BlobOptions
from emtomo.compute.picking.search import search_blobs
from emtomo.compute.positions import from_voxels
from emtomo.engine.form import add_options, option_errors
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.io.peak_files import read_peaks, write_search
from emtomo.objects import SetOfCoordinates2D, SetOfCoordinates3D, coordinates_frame
from emtomo.objects.micrograph_picks import (
    SearchNotes,
    add_picks,
    keep_best,
    leave_out_problems,
    noting_problem,
    read_all_peaks,
    read_micrograph,
    search_key,
    write_notes,
)
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class PickLogOptions:
    """What becomes of the picks."""

    box_size: Annotated[int, Param("Box size", "For display and extraction.", unit="voxel or pixel", ge=1)] = 32
    number_of_particles: Annotated[
        int,
        Param("Number of particles", "The best of each tomogram or micrograph; 0 takes all above the threshold.", ge=0),
    ] = 0


class PickLog(EmtomoProtocol):
    """Pick round particles without any template: a first look.

    In tomograms by the Laplacian of Gaussian; on micrographs by discs, ellipses and rings, with a threshold that is
    found from the peaks of all micrographs. Positions are centres of mass; there are no orientations.
    """

    NAME = "pick-log"
    _label = "pick by Laplacian of Gaussian"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (LogOptions, PickLogOptions)
    STEPS_APART = ("pick_step", "search_step")
    STEPS_PER = "image"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Tomograms", "Where to pick; or", optional=True)
        self._add_input(form, "micrographs", "SetOfMicrographs", "Micrographs", "where to pick.", optional=True)
        add_options(form, BlobOptions, condition="input_micrographs is not None")

    @classmethod
    def option_classes(cls) -> tuple[type, ...]:
        """Return the options, those of micrographs included."""
        return (BlobOptions, *super().option_classes())

    def plan_outputs(self) -> dict[str, type]:
        """See :meth:`EmtomoProtocol.plan_outputs`; picks on micrographs have two coordinates."""
        planned = super().plan_outputs()
        flat = not self.input_micrographs.pointsNone()
        return dict.fromkeys(planned, SetOfCoordinates2D) if flat else planned

    def _check(self) -> list[str]:
        tomograms, micrographs = self.input_tomograms.get(), self.input_micrographs.get()
        if (tomograms is None) == (micrographs is None):
            return ["Give tomograms or micrographs, one of the two."]
        options = self.options(LogOptions)
        errors = option_errors(self, BlobOptions)
        if options.min_diameter > options.max_diameter:
            errors.append(
                f"The minimum diameter ({options.min_diameter:g} Å) must not be above the maximum "
                f"({options.max_diameter:g} Å)."
            )
        if micrographs is not None and not len(micrographs):
            errors.append("There are no micrographs to pick on: the input is an empty set.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        if self.input_micrographs.get() is not None:
            names = self.input_micrographs.get().group_ids()
            self._insert_per_tomogram(self.search_step, names, self.choose_step)
        else:
            self._insert_per_tomogram(self.pick_step, self.input_tomograms.get().tomogram_ids(), self.output_step)

    def search_step(self, micrograph_id: str, number: int, total: int) -> None:
        """Search one micrograph, unless its peaks are there."""
        micrographs = self.input_micrographs.get()
        row = micrographs.frame(["micrograph_id", "file"], micrograph_id).iloc[0]
        size, options, blobs = float(micrographs.pixel_size.get()), self._options(), self.options(BlobOptions)
        searched = [options.min_diameter, options.max_diameter, asdict(blobs)]
        with noting_problem(self._getExtraPath(), micrograph_id):
            key = search_key(row, size, options.white, searched)
            if read_peaks(self._getExtraPath(), micrograph_id, key) is None:
                image = read_micrograph(row["file"])
                found, diameters = search_blobs(image, size, options.white, options, blobs)
                write_search(self._getExtraPath(), micrograph_id, found, diameters, key)
        self.progress(number + 1, total)

    def choose_step(self, micrograph_ids: list[str]) -> None:
        """Find the threshold from the peaks of all micrographs, choose and register."""
        self.forget_remarks()
        size, options = float(self.input_micrographs.get().pixel_size.get()), self._options()
        micrograph_ids, left_out = leave_out_problems(self._getExtraPath(), micrograph_ids)
        found, diameters = read_all_peaks(self._getExtraPath(), micrograph_ids)
        choice = keep_best(choose_blobs(found, size, options), self.options(PickLogOptions).number_of_particles)
        notes = SearchNotes("log", size, blob_distance(options), [], choice.threshold, choice.upper, micrograph_ids)
        write_notes(self._getExtraPath(), notes)
        out = SetOfCoordinates2D.create(
            self._getPath("coordinates.sqlite"), pixel_size=size, box_size=self.options(PickLogOptions).box_size
        )
        self.remark(*add_picks(out, micrograph_ids, choice, diameters, notes), *left_out)
        self._register(self.input_micrographs, coordinates=out)

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
        """Return how to pick: particles are white where the form says so or the input does."""
        options = self.options(LogOptions)
        given = self.input_micrographs.get() or self.input_tomograms.get()
        return replace(options, white=options.white or bool(given.white.get()))
