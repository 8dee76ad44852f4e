"""Protocol: remove duplicates and particles that do not fit their neighbours."""

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D, SetOfSubtomograms, positions_of, rotations_of
from emtomo.wording import count_text


class CleanCoordinates(EmtomoProtocol):
    """Remove duplicates (the better score stays) and particles whose neighbours are not as expected."""

    NAME = "clean-coordinates"
    _label = "clean coordinates"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D, "subtomograms": SetOfSubtomograms}
    OPTIONS = (CleanOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates3D,SetOfSubtomograms",
            "Input coordinates",
            "Coordinates or subtomograms.",
        )

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.clean_step)

    def clean_step(self) -> None:
        """Decide in every tomogram which particles stay."""
        self.forget_remarks()
        source, options = self.input_coordinates.get(), self.options(CleanOptions)
        frame = source.frame()
        boxes = isinstance(source, SetOfSubtomograms)
        positions = positions_of(frame)
        if boxes:
            positions = positions + frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
        keep = np.zeros(len(frame), bool)
        for mine in frame.groupby("tomogram_id", sort=False).indices.values():
            rows = frame.iloc[mine]
            score = rows["score"].fillna(0).to_numpy(float)
            keep[mine] = clean(positions[mine], rotations_of(rows), score, options)
        name = "subtomograms" if boxes else "coordinates"
        out = type(source).create(self._getPath(f"{name}.sqlite"))
        out.copy_fields(source)
        out.extend(frame[keep])
        self.remark(f"{int(keep.sum())} of {count_text(len(keep), 'particle')} stay.")
        self._register(self.input_coordinates, **{name: out})
