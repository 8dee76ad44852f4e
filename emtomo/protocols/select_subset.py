"""Protocol: choose a part of a set."""

from pathlib import Path

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.subset import SubsetOptions, choose
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.table import TableSet
from emtomo.objects.selection import read_selection
from emtomo.wording import count_text


class SelectSubset(EmtomoProtocol):
    """Choose items of any set by number, name, group, class or score, or leave out those of a list."""

    NAME = "select-subset"
    _label = "select subset"
    _possibleOutputs = {"subset": TableSet}
    OPTIONS = (SubsetOptions,)
    READS = ("left_out",)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "items", "TableSet", "Input set", "Any set.")
        add_optional_path(
            form,
            "left_out",
            "Left out",
            "Text file with the numbers of items to leave out, one in a line; the first item of the set is 1. "
            "The gallery and the 3D view write it, with a first line that says in which set they were chosen: "
            "for another set it is refused.",
        )

    def _check(self) -> list[str]:
        self._chosen()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.select_step)

    def select_step(self) -> None:
        """Write the chosen items as a set of the same kind."""
        self.forget_remarks()
        source = self.input_items.get()
        keep = self._chosen()
        out = type(source).create(self._getPath("subset.sqlite"))
        out.copy_fields(source)
        out.extend_from(source, keep)
        self.remark(f"{int(keep.sum())} of {count_text(len(keep), 'item')}.")
        self._register(self.input_items, subset=out)

    def _chosen(self) -> np.ndarray:
        """Return which items are chosen, (n,) bool."""
        items = self.input_items.get()
        known = {field.name for field in items.ITEM_TYPE.FIELDS}
        names = [name for name in ("group", "class_number", "score") if name in known]
        frame = items.frame([*names, *filter(None, [items.GROUP])])
        columns = {name: frame[name].to_numpy() for name in names}
        if items.GROUP:
            columns["name"] = frame[items.GROUP].astype(object).to_numpy()
        path = str(self.left_out.get() or "")
        left_out = read_selection(Path(path), items) - 1 if path else None
        keep = np.zeros(len(frame), bool)
        keep[choose(len(frame), self.options(SubsetOptions), **columns, left_out=left_out)] = True
        return keep
