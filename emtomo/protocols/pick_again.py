"""Protocol: choose again among what a search found."""

from pathlib import Path

from pyworkflow.protocol.params import Form

from emtomo.compute.matching.options import PeakOptions
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D
from emtomo.objects.candidates import choose, has_candidates


class PickAgain(EmtomoProtocol):
    """Choose again among the candidates of match-template: another cut, distance or number, in a second.

    Nothing is matched again: every maximum that was looked at is kept with its score and orientation.
    """

    NAME = "pick-again"
    _label = "choose picks again"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (PeakOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "coordinates", "SetOfCoordinates3D", "Picks", "The output of match-template.")

    def _check(self) -> list[str]:
        if not has_candidates(self._folder()):
            return ["These coordinates have no candidates beside them; those of match-template have."]
        peaks = self.options(PeakOptions)
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
        self.remark(*choose(self._folder(), names, self.options(PeakOptions), out, group))
        self._register(self.input_coordinates, coordinates=out)

    # --- helpers ---

    def _folder(self) -> Path:
        return Path(self.input_coordinates.get().getFileName()).parent / "extra"
