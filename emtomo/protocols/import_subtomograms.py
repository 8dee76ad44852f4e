"""Protocol: bring subtomograms that another program extracted into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam

from emtomo.engine.pixel_sizes import header_remarks
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import names
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.io.particles_star import Subtomograms, read_subtomograms
from emtomo.objects import SetOfSubtomograms, SetOfTiltSeries, SetOfTomograms, coordinates_frame
from emtomo.objects.exchange import add_counted_in, sizes_counted_in
from emtomo.objects.particle_source import open_boxes
from emtomo.objects.position_check import check_positions
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param

_COLUMNS = {"half", "class_number", "group", "score"}


@dataclass(frozen=True, kw_only=True)
class ImportSubtomogramsOptions:
    """How the boxes and their weights are meant."""

    pixel_size: Annotated[
        float | None,
        Param(
            "Pixel size of the boxes", "Empty: what the STAR file says.", unit="Å", ge=SMALLEST_PIXEL, le=LARGEST_PIXEL
        ),
    ] = None
    weights: Annotated[
        str,
        Param(
            "Weights",
            "What the files of rlnCtfImage are: Warp's 3D CTF (ctf), RELION's squared CTF (ctf_squared); "
            "none leaves them out. auto: what emtomo noted in the file, else ctf.",
            choices=("auto", "ctf", "ctf_squared", "none"),
        ),
    ] = "auto"
    premultiplied: Annotated[
        str,
        Param("Multiplied with the CTF?", "auto takes what the STAR file says.", choices=("auto", "yes", "no")),
    ] = "auto"
    white: Annotated[
        str,
        Param(
            "Particles white?",
            "Extracted boxes of RELION and Warp are white on dark. auto: what emtomo noted in the file, else yes.",
            choices=("auto", "yes", "no"),
        ),
    ] = "auto"


class ImportSubtomograms(EmtomoProtocol):
    """Import extracted subtomograms with their poses, 3D CTFs and halves from a RELION or Warp STAR file.

    The boxes stay where they are.
    """

    NAME = "import-subtomograms"
    _label = "import subtomograms"
    _possibleOutputs = {"subtomograms": SetOfSubtomograms}
    OPTIONS = (ImportSubtomogramsOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("files", PathParam, label="STAR file", help="Particles of RELION 3.0, 3.1, 4 or Warp.")
        self._add_input(
            form,
            "tomograms",
            "SetOfTomograms,SetOfTiltSeries",
            "Tomograms",
            "Where the particles come from: only with them do positions mean the same as those of other sets.",
            optional=True,
        )
        add_counted_in(self, form)

    def _check(self) -> list[str]:
        path = self.files.get()
        if not path:
            return ["STAR file must not be empty."]
        if self.input_tomograms.pointsNone() and not self.input_counted_in.pointsNone():
            return ["Positions count in tomograms: choose the tomograms themselves, too."]
        return [] if Path(path).is_file() else [f"There is no file {path}."]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Read the STAR file, check the boxes, convert positions, register."""
        self.forget_remarks()
        options = self.options(ImportSubtomogramsOptions)
        table = read_subtomograms(Path(self.files.get()))
        pixel_size = self._set_pixel_size(table, options.pixel_size)
        size = self._box_size(table)
        tags = table.particles.tags
        premultiplied = bool(tags.premultiplied) if options.premultiplied == "auto" else options.premultiplied == "yes"
        asked = (tags.weights or "ctf") if options.weights == "auto" else options.weights
        weights = asked if (table.ctf_files != "").all() else "none"
        white = tags.white is not False if options.white == "auto" else options.white == "yes"
        if weights == "none" and asked != "none":
            self.remark("The STAR file names no CTF volumes: the boxes are taken as measured everywhere.")
        particles = self._locate(table.particles)
        for note in particles.notes:
            self.remark(note)
        rotations = np.full((len(particles), 3, 3), np.nan) if particles.rotations is None else particles.rotations
        known = ~np.isnan(rotations).any(axis=(1, 2))
        frames = []
        for name in dict.fromkeys(particles.tomograms):
            mine = particles.tomograms == name
            frame = coordinates_frame(name, particles.positions[mine], rotations[mine] if known.all() else None)
            for k, axis in enumerate("xyz"):
                frame[f"shift_{axis}"] = particles.shifts[mine, k]
            for column in _COLUMNS & set(particles.columns):
                frame[column] = particles.columns[column][mine]
            frame["file"], frame["index"] = table.files[mine], table.index[mine]
            frame["ctf_file"] = table.ctf_files[mine] if weights != "none" else ""
            frames.append(frame)
        out = SetOfSubtomograms.create(
            self._getPath("subtomograms.sqlite"),
            pixel_size=pixel_size,
            box_size=size,
            white=white,
            weights=weights,
            premultiplied=premultiplied,
            **table.optics,
        )
        out.extend(pd.concat(frames, ignore_index=True))
        self._register(self.input_tomograms, subtomograms=out)
        self.remark(*header_remarks("subtomograms", self.subtomograms))

    # --- helpers ---

    @staticmethod
    def _box_size(table: Subtomograms) -> int:
        """Return the edge of the boxes; every file must hold boxes of it."""
        from emtomo.io import mrc

        first = mrc.read_header(table.files[0]).shape
        size = first[1]
        for file in dict.fromkeys(table.files):
            open_boxes(file, size)
        return size

    def _set_pixel_size(self, table: Subtomograms, given: float | None) -> float:
        """Return the pixel size of the boxes: the form's, the STAR file's, or that of the boxes' own headers."""
        from emtomo.io import mrc

        if given:
            table.particles.set_pixel_size(given, of="boxes")
        if table.pixel_size is None:
            headers = {round(mrc.read_header(file).pixel_size, 4) for file in dict.fromkeys(table.files)}
            if len(headers) != 1 or not max(headers) > 0:
                raise EmtomoError(f"{self.files.get()} does not say the pixel size of the boxes; give it.")
            table.particles.set_pixel_size(headers.pop(), of="boxes")
            self.remark(f"The pixel size of the boxes is that of their headers, {table.pixel_size:g} Å.")
        assert table.pixel_size is not None
        return table.pixel_size

    def _locate(self, particles: ParticleList) -> ParticleList:
        """Return the particles with the tomograms' ids, in Å from the tomograms' centres."""
        tomograms: SetOfTomograms | SetOfTiltSeries | None = None
        if not self.input_tomograms.pointsNone():
            tomograms = self.input_tomograms.get()
        alone = tomograms.tomogram_ids()[0] if tomograms is not None and len(tomograms) == 1 else "unknown"
        plain = [names.stem(str(name)) if name else alone for name in particles.tomograms]
        particles.tomograms = np.array(plain, object)
        if tomograms is None:
            if particles.unit != "angstrom":
                self.remark(
                    "Without tomograms, positions are from the first voxel instead of the centre: do not mix them "
                    "with other sets."
                )
            return convert_frame(particles, "angstrom", particles.origin)
        found, missing, _ = names.match_names(list(dict.fromkeys(particles.tomograms)), tomograms.tomogram_ids())
        if missing:
            raise EmtomoError(
                f"The project has no tomogram for the particles of {', '.join(missing)}; it has "
                f"{', '.join(tomograms.tomogram_ids())}."
            )
        particles.tomograms = np.array([found[name] for name in particles.tomograms], object)
        numbers = particles.positions.copy() if particles.origin == "corner" and particles.unit == "voxel" else None
        known = particles.pixel_size[np.isfinite(particles.pixel_size)]
        sizes = sizes_counted_in(
            self, particles.origin, float(known[0]) if particles.unit == "voxel" and len(known) else None
        )
        here = convert_frame(particles, "angstrom", "centre", volumes=sizes)
        frame = pd.DataFrame(here.centres, columns=list("xyz")).assign(tomogram_id=here.tomograms)
        length = float(known[0]) if len(known) else float(tomograms.pixel_size.get())
        source = Path(self.files.get()).name
        self.remark(*check_positions(frame, tomograms, numbers=numbers, pixel_size=length, source=source))
        return here
