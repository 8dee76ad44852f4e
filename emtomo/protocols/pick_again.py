"""Protocol: choose again among what a search found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pyworkflow.protocol.params import Form

from emtomo.compute.matching.options import PeakOptions
from emtomo.compute.picking.options import TemplateChoice
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates2D, SetOfCoordinates3D
from emtomo.objects.candidates import choose, choose_above, has_candidates, has_network_candidates
from emtomo.objects.micrograph_picks import choose_again, read_notes
from emtomo.options import Param

NO_PEAKS = "These coordinates have no peaks beside them; those of pick-log and match-template-2d on micrographs have."


@dataclass(frozen=True, kw_only=True)
class PickAgainOptions:
    """The cut for a network's picks, and for those on micrographs."""

    threshold: Annotated[
        float | None,
        Param(
            "Threshold",
            "Only for picks of pick-convnet, which need it (outputs from 0 to about 1), and for picks on micrographs "
            "(lowest score; empty: found from the peaks).",
        ),
    ] = None
    max_stddev_noise: Annotated[
        float | None,
        Param("Maximum stddev noise", "On micrographs: as in match-template-2d. Empty: no limit.", gt=0, expert=True),
    ] = None
    min_average_noise: Annotated[
        float | None,
        Param("Minimum average noise", "On micrographs: as in match-template-2d. Empty: no limit.", expert=True),
    ] = None


class PickAgain(EmtomoProtocol):
    """Select again among the candidates of a search: another threshold, distance or number.

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
            form,
            "coordinates",
            "SetOfCoordinates3D,SetOfCoordinates2D",
            "Picks",
            "The output of match-template, pick-convnet, match-template-2d, or of pick-log on micrographs.",
        )

    def _check(self) -> list[str]:
        if isinstance(self.input_coordinates.get(), SetOfCoordinates2D):
            return [] if read_notes(self._folder()) is not None else [NO_PEAKS]
        if not has_candidates(self._folder()):
            return ["These coordinates have no candidates beside them; those of match-template and pick-convnet have."]
        peaks, threshold = self.options(PeakOptions), self.options(PickAgainOptions).threshold
        if has_network_candidates(self._folder()):
            if threshold is None:
                return ["For picks of a network the threshold must be given."]
            return [] if 0 <= threshold <= 2 else [f"For picks of a network it must be from 0 to 2, got {threshold:g}."]
        if threshold is not None:
            return ["A threshold is for picks of a network; those of match-template are cut by false alarms."]
        if not peaks.false_alarms and not peaks.number_of_particles:
            return ["Without a threshold (false alarms 0) the number of particles must be given."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        on_micrographs = isinstance(self.input_coordinates.get(), SetOfCoordinates2D)
        self._insertFunctionStep(self.choose_on_micrographs_step if on_micrographs else self.choose_step)

    def choose_on_micrographs_step(self) -> None:
        """Choose among the peaks of micrographs and register."""
        self.forget_remarks()
        options, distance = self.options(PickAgainOptions), self.options(PeakOptions).min_distance
        choice = TemplateChoice(
            threshold=options.threshold,
            min_distance=distance,
            max_stddev_noise=options.max_stddev_noise,
            min_average_noise=options.min_average_noise,
        )
        out = SetOfCoordinates2D.create(self._getPath("coordinates.sqlite"))
        out.copy_fields(self.input_coordinates.get())
        most = self.options(PeakOptions).number_of_particles
        self.remark(*choose_again(self._folder(), choice, out, most))
        self._register(self.input_coordinates, coordinates=out)

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
