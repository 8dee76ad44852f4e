"""Protocol: choose a part of a set."""

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.subset import SubsetOptions, choose
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError


class SelectSubset(EmtomoProtocol):
    """Choose items of any set by number, group, class or score."""

    NAME = "select-subset"
    _label = "select subset"
    _possibleOutputs = {"subset": TableSet}
    OPTIONS = (SubsetOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "items", "TableSet", "Input set", "Any set.")

    def _check(self) -> list[str]:
        try:
            self._chosen()
        except EmtomoError as error:
            return [str(error)]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.select_step)

    def select_step(self) -> None:
        """Write the chosen items as a set of the same kind."""
        self.forget_remarks()
        source = self.input_items.get()
        frame, chosen = source.frame(), self._chosen()
        out = type(source).create(self._getPath("subset.sqlite"))
        out.copy_fields(source)
        out.extend(frame.iloc[chosen])
        self.remark(f"{len(chosen)} of {len(frame)} items.")
        self._register(self.input_items, subset=out)

    def _chosen(self) -> np.ndarray:
        frame = self.input_items.get().frame()
        columns = {name: frame[name].to_numpy() for name in ("group", "class_number", "score") if name in frame.columns}
        return choose(len(frame), self.options(SubsetOptions), **columns)
