"""Protocol: bring images of particles that another program extracted into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pyworkflow.protocol.params import Form, PathParam

from emtomo.engine.pixel_sizes import header_remarks
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import names
from emtomo.io.particles_2d import ParticleTable, read_particles_2d
from emtomo.objects import SetOfMicrographs, SetOfParticles, rotation_columns
from emtomo.options import Param, pixel_size_unless

SHOWN = 5  # names in a sentence
USUAL = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
_TAKEN = ("micrograph_id", "file", "index", "shift_x", "shift_y", "psi", "score", "class_number", "half", "group",
          "defocus_u", "defocus_v", "defocus_angle", "phase_shift")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ImportParticlesOptions:
    """How images are meant that a STAR file names."""

    pixel_size: Annotated[
        float,
        Param(
            "Pixel size of the images",
            "-1: what the STAR file says.",
            unit="Å",
            ge=-1,
            le=1000,
            validate=pixel_size_unless(-1),
        ),
    ] = -1.0
    micrograph_pixel_size: Annotated[
        float,
        Param(
            "Pixel size of the micrographs",
            "To which the coordinates refer. -1: that of the micrographs chosen above, else what the STAR file says.",
            unit="Å",
            ge=-1,
            le=1000,
            validate=pixel_size_unless(-1),
        ),
    ] = -1.0
    optics_group: Annotated[int, Param("Optics group", "Only its particles; 0: all.", ge=0)] = 0
    voltage: Annotated[
        float | None, Param("Voltage", "Empty: from the STAR file, else 300.", unit="kV", gt=0, le=2000)
    ] = None
    cs: Annotated[
        float | None, Param("Spherical aberration", "Empty: from the STAR file, else 2.7.", unit="mm", ge=0, le=100)
    ] = None
    amplitude_contrast: Annotated[
        float | None, Param("Amplitude contrast", "As a fraction. Empty: from the STAR file, else 0.1.", ge=0, le=1)
    ] = None
    white: Annotated[
        str,
        Param(
            "Particles white?",
            "Extracted particles of RELION are white. auto: what emtomo noted in the file, else yes.",
            choices=("auto", "yes", "no"),
        ),
    ] = "auto"
    premultiplied: Annotated[
        str, Param("Multiplied with the CTF?", "auto takes what the STAR file says.", choices=("auto", "yes", "no"))
    ] = "auto"


class ImportParticles(EmtomoProtocol):
    """Import images of particles with their poses, classes and CTF from a STAR file of RELION 3.0 to 5.

    The stacks stay where they are.
    """

    NAME = "import-particles"
    _label = "import particles"
    _possibleOutputs = {"particles": SetOfParticles}
    OPTIONS = (ImportParticlesOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("files", PathParam, label="STAR file", help="Particles of RELION 3.0, 3.1, 4 or 5.")
        self._add_input(
            form,
            "micrographs",
            "SetOfMicrographs",
            "Micrographs",
            "Where the particles come from: their ids, and the pixel size in which coordinates count.",
            optional=True,
        )

    def _check(self) -> list[str]:
        if not self.files.get():
            return ["STAR file must not be empty."]
        self._pixel_size(self._table())
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Read the STAR file and register the particles."""
        self.forget_remarks()
        options, table = self.options(ImportParticlesOptions), self._table()
        self.remark(*table.notes)
        frame = table.frame[[c for c in _TAKEN if c in table.frame]].copy()
        frame["micrograph_id"] = self._identify(frame["micrograph_id"].to_numpy(object))
        size = self._pixel_size(table)
        frame["x"], frame["y"] = (table.frame[["coordinate_x", "coordinate_y"]].to_numpy(float) * self._step(table)).T
        for name, values in rotation_columns(table.rotations, len(frame)).items():
            frame[name] = values
        frame["particle_id"] = np.arange(1, len(frame) + 1)
        if "defocus_u" not in frame:
            self.remark("The STAR file has no CTF.")
        optics = {}
        for key, usual in USUAL.items():
            given, there = getattr(options, key), table.optics.get(key)
            optics[key] = given if given is not None else there if there is not None else usual
        tags = table.tags
        out = SetOfParticles.create(
            self._getPath("particles.sqlite"),
            pixel_size=size,
            box_size=table.box_size,
            white=tags.white is not False if options.white == "auto" else options.white == "yes",
            premultiplied=bool(tags.premultiplied)
            if options.premultiplied == "auto"
            else options.premultiplied == "yes",
            **optics,
        )
        out.extend(frame)
        self._register(self.input_micrographs, particles=out)
        self.remark(*header_remarks("particles", self.particles))

    # --- helpers ---

    def _table(self) -> ParticleTable:
        return read_particles_2d(Path(self.files.get()), self.options(ImportParticlesOptions).optics_group)

    def _micrographs(self) -> SetOfMicrographs | None:
        return None if self.input_micrographs.pointsNone() else self.input_micrographs.get()

    def _pixel_size(self, table: ParticleTable) -> float:
        """Return the pixel size of the images: the form's, or that of the STAR file."""
        given = self.options(ImportParticlesOptions).pixel_size
        size = given if given > 0 else table.pixel_size
        if not size:
            raise EmtomoError(f"{self.files.get()} does not say the pixel size of the images; give it.")
        return float(size)

    def _step(self, table: ParticleTable) -> float:
        """Return the pixel size in which coordinates count."""
        given, micrographs = self.options(ImportParticlesOptions).micrograph_pixel_size, self._micrographs()
        if given > 0:
            return given
        if micrographs is not None:
            return float(micrographs.pixel_size.get())
        if table.micrograph_pixel_size:
            return table.micrograph_pixel_size
        if table.frame["coordinate_x"].notna().any():
            self.remark(
                "The STAR file does not say the pixel size of the micrographs: coordinates are taken in pixels of the "
                "images. Choose the micrographs, or give it, before particles are extracted again."
            )
        return self._pixel_size(table)

    def _identify(self, ids: np.ndarray) -> np.ndarray:
        """Return the ids that the project's micrographs have."""
        micrographs = self._micrographs()
        if micrographs is None:
            return ids
        found, missing, _ = names.match_names(list(dict.fromkeys(ids)), micrographs.group_ids())
        if missing:
            listed = ", ".join(missing[:SHOWN]) + (" …" if len(missing) > SHOWN else "")
            raise EmtomoError(f"The project has no micrograph for the particles of {listed}.")
        return np.array([found[name] for name in ids], object)
