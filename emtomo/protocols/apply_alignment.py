"""Protocol: turn subtomograms into the frame of the reference and average them."""

from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.averaging import AlignOptions, fourier_average, rotate_boxes, wedge_weights
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import Average, SetOfSubtomograms, rotation_columns, rotations_of
from emtomo.objects.particle_source import open_boxes
from emtomo.objects.whole_files import write_arrays
from emtomo.wording import share_text

BATCH = 256


class ApplyAlignment(EmtomoProtocol):
    """Rotate every subtomogram by its orientation into the common frame, and average them.

    For particles picked on membranes the turn about the normal is random: the
    average is then smeared about its z axis.
    """

    NAME = "apply-alignment"
    _label = "apply alignment to subtomograms"
    _possibleOutputs = {"average": Average, "subtomograms": SetOfSubtomograms}
    OPTIONS = (AlignOptions,)
    STEPS_APART = ("turn_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "subtomograms", "SetOfSubtomograms", "Set of subtomograms", "With orientations.")

    def _check(self) -> list[str]:
        known = self.input_subtomograms.get().frame(["r11"])["r11"].notna()
        if not known.all():
            return [f"{share_text(int((~known).sum()), len(known), 'subtomogram', 'has')} no orientation."]
        return [] if len(known) else ["There is no subtomogram."]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.turn_step, self.input_subtomograms.get().tomogram_ids(), self.output_step)

    def turn_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Turn the boxes of one tomogram; keep their sum and how often frequencies were measured."""
        boxes = self.input_subtomograms.get()
        options = self.options(AlignOptions)
        frame = boxes.frame(tomogram_id=tomogram_id)
        size = boxes.box_size.get()
        shifts = frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float) / boxes.pixel_size.get()
        rotations = rotations_of(frame)
        sums = np.zeros((size, size, size))
        weights = np.zeros((size, size, size // 2 + 1))
        stacks = {file: open_boxes(file, size) for file in frame["file"].unique()}
        shape = (len(frame), size, size, size)
        with mrc.StackWriter(self._file(tomogram_id), shape, boxes.pixel_size.get(), BATCH) as stack:
            for first in range(0, len(frame), BATCH):
                part = slice(first, min(first + BATCH, len(frame)))
                rows = frame.iloc[part]
                cut = np.stack([stacks[f][i] for f, i in zip(rows["file"], rows["index"], strict=True)])
                turned = rotate_boxes(cut, rotations[part], shifts[part], cubic=options.interpolation == "cubic")
                stack.batch(len(rows))[:] = turned
                sums += turned.sum(axis=0, dtype=float)
                if options.wedge:
                    low, high = rows["tilt_min"].to_numpy(float), rows["tilt_max"].to_numpy(float)
                    weights += wedge_weights(size, rotations[part], low, high)
                self.progress(number + part.stop / len(frame), total)
        write_arrays(Path(self._sums(tomogram_id)), {"sums": sums, "weights": weights, "n": len(frame)})

    def output_step(self, names: list[str]) -> None:
        """Divide the sums of all tomograms and register average and turned boxes."""
        self.forget_remarks()
        boxes, options = self.input_subtomograms.get(), self.options(AlignOptions)
        parts = [np.load(self._sums(name)) for name in names]
        n = int(sum(part["n"] for part in parts))
        sums = np.sum([part["sums"] for part in parts], axis=0)
        if options.wedge:
            average = fourier_average(sums, np.sum([part["weights"] for part in parts], axis=0), n)
        else:
            average = (sums / n).astype(np.float32)
        path = self._getExtraPath("average.mrc")
        mrc.write_volume(path, average, boxes.pixel_size.get())
        result = Average(file=path, pixel_size=boxes.pixel_size.get(), box_size=boxes.box_size.get(), particles=n)
        aligned = SetOfSubtomograms.create(self._getPath("subtomograms.sqlite"))
        aligned.copy_fields(boxes)
        aligned.weights.set("none")
        for name in names:
            aligned.extend(self._rotate_rows(boxes.frame(tomogram_id=name), name))
        self._register(self.input_subtomograms, average=result, subtomograms=aligned)

    # --- helpers ---

    def _rotate_rows(self, frame: pd.DataFrame, tomogram_id: str) -> pd.DataFrame:
        """Return the rows of the turned boxes: they stand as the reference does, without shift."""
        identity = np.broadcast_to(np.eye(3), (len(frame), 3, 3))
        for axis in "xyz":
            frame[axis] += frame[f"shift_{axis}"]
            frame[f"shift_{axis}"] = 0.0
        return frame.assign(
            file=self._file(tomogram_id),
            index=np.arange(len(frame)),
            **rotation_columns(identity, len(frame)),
        )

    def _file(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.mrc")

    def _sums(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}_sums.npz")
