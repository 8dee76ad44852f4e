"""Protocol: impose a point group on a volume."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.refinement.options import SYMMETRY
from emtomo.compute.symmetrisation import describe_operators, symmetrise, symmetry_score
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import Volume
from emtomo.objects.volume_arrays import box_problem, volume_of

LOW = 0.5


@dataclass(frozen=True, kw_only=True)
class SymmetrizeOptions:
    """Which symmetry."""

    symmetry: Annotated[str, SYMMETRY] = "C1"


class Symmetrize(EmtomoProtocol):
    """Average a volume over the rotations of a point group whose axes are in the standard orientation."""

    NAME = "symmetrize"
    _label = "symmetrize volume"
    _possibleOutputs = {"volume": Volume}
    OPTIONS = (SymmetrizeOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "volume", "Volume,Average", "Volume", "Its axes aligned (align-symmetry).")

    def _check(self) -> list[str]:
        parse_symmetry(self.options(SymmetrizeOptions).symmetry)
        return [sentence for sentence in [box_problem(self.input_volume.get())] if sentence]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.symmetrize_step)

    def symmetrize_step(self) -> None:
        """Average over the group and register."""
        self.forget_remarks()
        source, group = self.input_volume.get(), self.options(SymmetrizeOptions).symmetry
        volume = volume_of(source)
        score = symmetry_score(volume, group)
        if np.isfinite(score):
            self.remark(f"The volume correlated {score:.2f} with its copies under {group.upper()}.")
        else:
            self.remark("The volume has no finite power in any shell: it cannot be compared with its copies.")
        operators = describe_operators(volume, group)
        made = symmetrise(volume, group)
        if volume.std() > 0 and made.std() > 0:
            both = float(np.corrcoef(volume.ravel(), made.ravel())[0, 1])
            self.remark(f"Correlation of the volume with the symmetrized one: {both:.3f}.")
        if operators:
            self.remark(f"Correlation with the copy of every operator: {operators}.")
        if score < LOW:
            self.remark("That is little: are the axes aligned, and is this its symmetry?")
        path = self._getExtraPath("symmetrized.mrc")
        mrc.write_volume(path, made, source.pixel_size.get())
        out = Volume(file=path, pixel_size=source.pixel_size.get(), box_size=source.box_size.get())
        self._register(self.input_volume, volume=out)
