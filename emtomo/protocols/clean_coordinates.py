"""Protocol: remove duplicates and particles that do not fit their neighbours."""

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.cleaning import CleanOptions, clean
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D, SetOfSubtomograms, positions_of
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
        boxes = isinstance(source, SetOfSubtomograms)
        shifts = ["shift_x", "shift_y", "shift_z"] if boxes else []
        z_axis = ["r13", "r23", "r33"]
        frame = source.frame(["tomogram_id", "x", "y", "z", "score", *shifts, *z_axis])
        positions, score = positions_of(frame), frame["score"].fillna(0).to_numpy(float)
        if boxes:
            positions = positions + frame[shifts].to_numpy(float)
        rotations = np.zeros((len(frame), 3, 3))
        rotations[:, :, 2] = frame[z_axis].to_numpy(float)  # no other axis counts
        keep = np.zeros(len(frame), bool)
        for mine in frame.groupby("tomogram_id", sort=False).indices.values():
            keep[mine] = clean(positions[mine], rotations[mine], score[mine], options)
        name = "subtomograms" if boxes else "coordinates"
        out = type(source).create(self._getPath(f"{name}.sqlite"))
        out.copy_fields(source)
        out.extend_from(source, keep)
        self.remark(f"{int(keep.sum())} of {count_text(len(keep), 'particle')} stay.")
        self._register(self.input_coordinates, **{name: out})
