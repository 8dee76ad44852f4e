"""Protocol: write particles as a file of another program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pyworkflow.protocol.params import Form

from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io.formats import FORMATS, WRITTEN
from emtomo.objects.exchange import export_set, find_unbinned, volumes_behind
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class ExportCoordinatesOptions:
    """Which program's format."""

    format: Annotated[str, Param("Format", "Of which program; what it cannot hold is reported.", choices=WRITTEN)] = (
        "relion3.1"
    )


class ExportCoordinates(EmtomoProtocol):
    """Write particles with all that a format can hold: Dynamo, RELION, Warp, M, IMOD, EMAN2, AV3, STOPGAP, Scipion.

    Formats of one tomogram a file (IMOD, EMAN2, copick) get a folder of files where there are several tomograms.
    """

    NAME = "export-coordinates"
    _label = "export coordinates"
    _possibleOutputs: dict[str, type] = {}
    OPTIONS = (ExportCoordinatesOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        kinds = "SetOfCoordinates3D, SetOfSubtomograms, SetOfParticleSeries, SetOfMeshes"
        self._add_input(form, "particles", kinds, "Particles", "Coordinates, refined particles or points of models.")
        add_optional_path(
            form,
            "file",
            "File",
            "Where to write; a folder where the format holds one tomogram and there are several. Empty: "
            "particles in the run, with the format's ending.",
        )

    def _check(self) -> list[str]:
        if self.file.get() and not Path(self.file.get()).parent.is_dir():
            return [f"There is no folder {Path(self.file.get()).parent} to write into."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.write_step)

    def write_step(self) -> None:
        """Write the file."""
        self.forget_remarks()
        kind = self.options(ExportCoordinatesOptions).format
        found = self.input_particles.get()
        several = FORMATS[kind].one_tomogram and found.frame(["tomogram_id"])["tomogram_id"].nunique() > 1
        own = "particles" if several else f"particles{FORMATS[kind].suffix}"
        path = Path(self.file.get() or self._getExtraPath(own))
        unbinned = find_unbinned(self.input_particles)
        done = export_set(found, volumes_behind(self.input_particles), path, kind, unbinned)
        for line in done.lines:
            self.remark(line)
        self.remark(f"Files: {', '.join(str(file) for file in done.files)}.")
