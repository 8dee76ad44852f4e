"""Protocol: keep some 2D classes and their particles."""

from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.classification.selection import (
    FEWEST_IN_GROUP,
    SelectClassesOptions,
    choose_classes,
    move_members,
    recenter_averages,
    regroup,
)
from emtomo.compute.subset import whole_numbers
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfClasses2D, SetOfParticles
from emtomo.objects.selection import read_selection
from emtomo.wording import count_text


class SelectClasses(EmtomoProtocol):
    """Keep classes chosen in the window, by number, by rank or by a rule; the other particles are a set of their own.

    Averages are centred, and the origins of their members move with them.
    """

    NAME = "select-classes"
    _label = "subset selection of 2D classes"
    _possibleOutputs = {"class_averages": SetOfClasses2D, "particles": SetOfParticles, "rejected": SetOfParticles}
    OPTIONS = (SelectClassesOptions,)
    READS = ("selection",)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "classes", "SetOfClasses2D", "Select classes from", "Of a 2D classification.")
        self._add_input(
            form,
            "particles",
            "SetOfParticles",
            "Particles",
            "With their class. Empty: those of the run that made the classes.",
            optional=True,
        )
        add_optional_path(
            form,
            "selection",
            "Selection",
            "Text file with the places of the chosen classes in their set, one in a line; the first is 1. The "
            "window of class averages writes it, with a first line that says of which set: for another set it is "
            "refused.",
        )

    def _check(self) -> list[str]:
        self._particles()
        self._chosen()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.select_step)

    def select_step(self) -> None:
        """Write the chosen averages, their particles, and the others."""
        self.forget_remarks()
        options, classes, particles = self.options(SelectClassesOptions), self.input_classes.get(), self._particles()
        table, frame = classes.frame(), particles.frame()
        keep = self._chosen()
        averages = _read_averages(table[keep], classes)
        frame, moved = frame.copy(), ""
        if options.recenter:
            averages, centre = recenter_averages(averages)
            frame = _with_moved_members(frame, table[keep], centre * float(classes.pixel_size.get()))
            furthest = np.hypot(*centre.T).max() * float(classes.pixel_size.get())
            moved = f" Averages and the origins of their members were moved by up to {furthest:.1f} Å."
        chosen = frame["class_number"].isin(table["class_number"][keep]).to_numpy()
        if options.regroup:
            frame = self._regrouped(frame, chosen, options.groups)
        stack = self._getExtraPath("class_averages.mrcs")
        mrc.write_volume(stack, averages, float(classes.pixel_size.get()), stack=True)
        kept = SetOfClasses2D.create(self._getPath("class_averages.sqlite"))
        kept.copy_fields(classes)
        kept.extend(table[keep].assign(file=stack, index=np.arange(int(keep.sum()))))
        outputs: dict[str, SetOfClasses2D | SetOfParticles] = {"class_averages": kept}
        for name, rows in (("particles", chosen), ("rejected", ~chosen)):
            if rows.any():
                out = SetOfParticles.create(self._getPath(f"{name}.sqlite"))
                out.copy_fields(particles)
                out.extend(frame[rows])
                outputs[name] = out
        self.remark(
            f"{int(keep.sum())} of {count_text(len(table), 'class')} with "
            f"{int(chosen.sum())} of {count_text(len(frame), 'particle')}.{moved}"
        )
        self._register(self.input_classes, **outputs)

    # --- helpers ---

    def _particles(self) -> SetOfParticles:
        """Return the classified particles."""
        if not self.input_particles.pointsNone():
            return self.input_particles.get()
        run = self.input_classes.getObjValue()
        outputs = [] if run is None else [v for _, v in run.iterOutputAttributes() if isinstance(v, SetOfParticles)]
        if not outputs:
            raise EmtomoError("The run that made the classes has no particles; choose particles with their classes.")
        return outputs[0]

    def _chosen(self) -> np.ndarray:
        """Return which rows of the classes are kept."""
        classes, options = self.input_classes.get(), self.options(SelectClassesOptions)
        table = classes.frame()
        numbers = table["class_number"].to_numpy()
        picked: np.ndarray | None = None
        path = str(self.selection.get() or "")
        if path:
            rows = read_selection(Path(path), classes) - 1
            picked = np.isin(np.arange(len(table)), rows)
        if options.numbers.strip():
            wanted = whole_numbers(options.numbers, "Classes")
            missing = sorted(set(wanted) - set(numbers.tolist()))
            if missing:
                raise EmtomoError(f"There is no class {missing[0]}; classes are {_listed(numbers)}.")
            named = np.isin(numbers, wanted)
            picked = named if picked is None else picked & named
        names = ("gain", "members", "resolution", "explained")
        gain, members, resolution, explained = (table[name].to_numpy(float) for name in names)
        keep = choose_classes(options, gain, members, resolution, picked, explained)
        if not keep.any():
            raise EmtomoError(f"None of {count_text(len(table), 'class')} fulfils all criteria; loosen them.")
        return keep

    def _regrouped(self, frame: pd.DataFrame, chosen: np.ndarray, groups: int) -> pd.DataFrame:
        mine = frame[chosen]
        if not len(mine):
            return frame
        micrograph = np.unique(mine["micrograph_id"].to_numpy(), return_inverse=True)[1]
        numbers = regroup(micrograph, mine["defocus_u"].to_numpy(float), groups)
        group = frame["group"].to_numpy().copy()
        group[chosen] = numbers
        smallest = int(np.bincount(numbers)[1:].min())
        self.remark(
            f"{count_text(len(np.unique(micrograph)), 'micrograph makes', 'micrographs make')} "
            f"{count_text(numbers.max(), 'group')}."
        )
        if smallest < FEWEST_IN_GROUP:
            self.remark(
                f"The smallest group has {count_text(smallest, 'particle')}; "
                f"below {FEWEST_IN_GROUP} noise is hard to tell."
            )
        return frame.assign(group=group)


def _listed(numbers: np.ndarray) -> str:
    return ", ".join(str(k) for k in numbers[:10]) + (" …" if len(numbers) > 10 else "")


def _read_averages(table: pd.DataFrame, classes: SetOfClasses2D) -> np.ndarray:
    """Return the averages (K, n, n) of rows of the classes."""
    stacks = {str(file): mrc.open_volume(str(file)) for file in table["file"].unique()}
    out = []
    for file, index in zip(table["file"], table["index"], strict=True):
        stack = stacks[str(file)]
        if not 0 <= index < len(stack):
            raise EmtomoError(f"{file}: image {index + 1} is asked for, there are {len(stack)}.")
        out.append(np.asarray(stack[int(index)], np.float32))
    return np.stack(out)


def _with_moved_members(frame: pd.DataFrame, table: pd.DataFrame, centre: np.ndarray) -> pd.DataFrame:
    """Return the particles with shifts to their average's centre (x, y in Å from the average's middle)."""
    row = {number: k for k, number in enumerate(table["class_number"])}
    place = frame["class_number"].map(row)
    mine = place.notna().to_numpy()
    by = move_members(centre[place[mine].astype(int)], frame["psi"].to_numpy(float)[mine])
    shift = frame[["shift_x", "shift_y"]].to_numpy(float).copy()
    shift[mine] += by
    return frame.assign(shift_x=shift[:, 0], shift_y=shift[:, 1])
