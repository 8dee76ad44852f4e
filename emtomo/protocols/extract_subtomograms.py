"""Protocol: cut boxes around particles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.extraction import ExtractOptions, box_starts, extract, fits, order_of_place, touches
from emtomo.compute.positions import to_voxels
from emtomo.engine.lineage import upstream
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.state import write_json
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfSubtomograms, SetOfTomograms, positions_of
from emtomo.wording import count_text, no_match_text

BATCH_BYTES = 64 * 2**20


class ExtractSubtomograms(EmtomoProtocol):
    """Cut boxes around particles out of the tomograms they were picked in, or out of others.

    Other tomograms may have another binning: positions are in Å. Boxes keep whole
    voxels; what is left of the position stands as a shift. One stack per tomogram.
    """

    NAME = "extract-subtomograms"
    _label = "extract subtomograms"
    _possibleOutputs = {"subtomograms": SetOfSubtomograms}
    OPTIONS = (ExtractOptions,)
    STEPS_APART = ("extract_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates3D,SetOfSubtomograms",
            "Input coordinates",
            "Particles to cut; from subtomograms, their refined centres are taken.",
        )
        self._add_input(
            form,
            "tomograms",
            "SetOfTomograms",
            "Tomograms",
            "Where to cut. Empty: the tomograms in which the particles were picked.",
            optional=True,
        )

    def _check(self) -> list[str]:
        tomograms = self._tomograms()
        known, wanted = set(tomograms.tomogram_ids()), self.input_coordinates.get().tomogram_ids()
        if not known & set(wanted):
            return [no_match_text("tomogram", wanted, sorted(known))]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        known = set(self._tomograms().tomogram_ids())
        names = [name for name in self.input_coordinates.get().tomogram_ids() if name in known]
        self._insert_per_tomogram(self.extract_step, names, self.output_step)

    def extract_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Cut all boxes of one tomogram into one stack."""
        options, tomograms = self._cut_options(), self._tomograms()
        row = tomograms.frame(tomogram_id=tomogram_id).iloc[0]
        volume = mrc.open_volume(row["file"])
        size = tomograms.pixel_size.get()
        frame = self._particles(tomogram_id)
        starts, rest = box_starts(to_voxels(positions_of(frame), volume.shape, size), options.box_size)
        kept = touches(starts, options.box_size, volume.shape)  # a box of repeated edge alone has no particle
        blank = int((~kept).sum())
        if options.border == "drop":
            kept = fits(starts, options.box_size, volume.shape)
            blank = 0
        starts, rest, frame = starts[kept], rest[kept], frame[kept].reset_index(drop=True)
        order = order_of_place(starts, options.box_size)  # of the stack; rows keep the order of the particles
        if len(frame):
            m = options.final_box
            batch = max(1, BATCH_BYTES // (4 * m**3))
            pixel_size = size * options.downsampling
            with mrc.StackWriter(self._stack(tomogram_id), (len(frame), m, m, m), pixel_size, batch) as stack:
                for first in range(0, len(frame), batch):
                    part = starts[order[first : first + batch]]
                    extract(volume, part, options, stack.batch(len(part)))
                    self.progress(number + (first + len(part)) / len(frame), total)
        shift = rest[:, ::-1] * size
        for k, axis in enumerate("xyz"):
            frame[axis] = frame[axis] - shift[:, k]
            frame[f"shift_{axis}"] = shift[:, k]
        frame["file"], frame["index"] = self._stack(tomogram_id), np.argsort(order)
        frame["tilt_min"], frame["tilt_max"] = row["tilt_min"], row["tilt_max"]
        write_json(Path(f"{self._table(tomogram_id)}.json"), [int((~kept).sum()) - blank, blank])
        SetOfSubtomograms.save(self._table(tomogram_id), frame)

    def _cut_options(self) -> ExtractOptions:
        """Return the options; white tomograms are not inverted."""
        options = self.options(ExtractOptions)
        return replace(options, invert=options.invert and not self._tomograms().white.get())

    def output_step(self, names: list[str]) -> None:
        """Register the boxes of all tomograms."""
        self.forget_remarks()
        options, tomograms = self._cut_options(), self._tomograms()
        out = SetOfSubtomograms.create(self._getPath("subtomograms.sqlite"))
        out.copy_fields(tomograms)
        out.pixel_size.set(tomograms.pixel_size.get() * options.downsampling)
        out.box_size.set(options.final_box)
        out.white.set(bool(tomograms.white.get()) or options.invert)
        dropped = blank = 0
        for name in names:
            left_out = json.loads(Path(f"{self._table(name)}.json").read_text(encoding="utf8"))
            dropped, blank = dropped + left_out[0], blank + left_out[1]
            out.extend(SetOfSubtomograms.open(self._table(name)).frame())
        missing = [name for name in self.input_coordinates.get().tomogram_ids() if name not in names]
        if dropped:
            self.remark(
                f"{count_text(dropped, 'particle was', 'particles were')} "
                "left out: the box does not fit into the tomogram."
            )
        if blank:
            self.remark(
                f"{count_text(blank, 'particle was', 'particles were')} "
                "left out: the box lies wholly outside the tomogram."
            )
        if missing:
            self.remark(f"No tomogram for the particles of {', '.join(missing)}.")
        if len(out) == 0:
            raise EmtomoError(f"No box of {options.box_size} voxels fits into a tomogram; take pad or a smaller box.")
        self._register(self.input_coordinates, subtomograms=out)

    # --- helpers ---

    def _tomograms(self) -> SetOfTomograms:
        """Return the tomograms to cut: those chosen, else those in which the particles were picked."""
        if not self.input_tomograms.pointsNone():
            return self.input_tomograms.get()
        found = upstream(self.input_coordinates, SetOfTomograms)
        if found is None:
            raise EmtomoError("The tomograms in which the particles were picked are not known; choose tomograms.")
        return found

    def _particles(self, tomogram_id: str) -> pd.DataFrame:
        """Return the particles of a tomogram as columns of subtomograms, at their refined centres."""
        frame = self.input_coordinates.get().frame(tomogram_id=tomogram_id)
        if isinstance(self.input_coordinates.get(), SetOfSubtomograms):
            for axis in "xyz":
                frame[axis] = frame[axis] + frame[f"shift_{axis}"]
            return frame.drop(columns="ctf_file")
        return frame.drop(columns="picker")

    def _stack(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.mrc")

    def _table(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.sqlite")
