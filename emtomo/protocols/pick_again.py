"""Protocol: choose again among what a search found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pyworkflow.protocol.params import Form

from emtomo.compute.matching.options import PeakOptions
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D
from emtomo.objects.candidates import choose, choose_above, has_candidates, has_network_candidates
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class PickAgainOptions:
    """The cut for a network's picks."""

    threshold: Annotated[
        float | None,
        Param("Threshold", "Only for picks of pick-convnet, which need it: answers from 0 to about 1.", ge=0, le=2),
    ] = None


class PickAgain(EmtomoProtocol):
    """Choose again among the candidates of match-template or pick-convnet: another cut, distance or number.

    Nothing is searched again: every maximum that was looked at is kept with its score.
    """

    NAME = "pick-again"
    _label = "choose picks again"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (PickAgainOptions, PeakOptions)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form, "coordinates", "SetOfCoordinates3D", "Picks", "The output of match-template or pick-convnet."
        )

    def _check(self) -> list[str]:
        if not has_candidates(self._folder()):
            return ["These coordinates have no candidates beside them; those of match-template and pick-convnet have."]
        peaks, threshold = self.options(PeakOptions), self.options(PickAgainOptions).threshold
        if has_network_candidates(self._folder()):
            return [] if threshold is not None else ["For picks of a network the threshold must be given."]
        if threshold is not None:
            return ["A threshold is for picks of a network; those of match-template are cut by false alarms."]
        if not peaks.false_alarms and not peaks.number_of_particles:
            return ["Without a cut (false alarms 0) the number of particles must be given."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.choose_step)

    def choose_step(self) -> None:
        """Choose and register."""
        self.forget_remarks()
        picks = self.input_coordinates.get()
        names = sorted(path.name.removesuffix(".candidates.json") for path in self._folder().glob("*.candidates.json"))
        out = SetOfCoordinates3D.create(self._getPath("coordinates.sqlite"))
        out.copy_fields(picks)
        first = picks.frame(["group"])["group"]
        group = int(first.iloc[0]) if len(first) else 1
        peaks, threshold = self.options(PeakOptions), self.options(PickAgainOptions).threshold
        if threshold is None:
            self.remark(*choose(self._folder(), names, peaks, out, group))
        else:
            self.remark(*choose_above(self._folder(), names, threshold, peaks, out, group))
        self._register(self.input_coordinates, coordinates=out)

    # --- helpers ---

    def _folder(self) -> Path:
        return Path(self.input_coordinates.get().getFileName()).parent / "extra"
