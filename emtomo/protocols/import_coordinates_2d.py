"""Protocol: bring picks on micrographs from other programs into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam, StringParam

from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import names
from emtomo.io.coordinates_2d import ENDINGS, read_picks
from emtomo.objects import SetOfCoordinates2D, SetOfMicrographs, coordinates_2d_frame
from emtomo.objects.position_check import check_picks
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param
from emtomo.wording import share_text

PIXEL_TOLERANCE = 0.01  # by which the pixel sizes of files and micrographs may differ unsaid
SHOWN = 5  # names in a sentence


@dataclass(frozen=True, kw_only=True)
class ImportCoordinates2DOptions:
    """How the numbers in the files are meant."""

    pixel_size: Annotated[
        float | None,
        Param(
            "Pixel size of the coordinates",
            "Of files that count in pixels. Empty: what the file says (rlnMicrographPixelSize), else that of the "
            "micrographs.",
            unit="Å",
            ge=SMALLEST_PIXEL,
            le=LARGEST_PIXEL,
        ),
    ] = None
    box_size: Annotated[
        int, Param("Box size", "For display and extraction, in pixels of the micrographs; 0: none.", unit="pixel", ge=0)
    ] = 0


class ImportCoordinates2D(EmtomoProtocol):
    """Import picks on micrographs from STAR files of RELION, .box files of EMAN, or tables.

    A file that names no micrograph belongs to the one whose id its own name is, less what pickers add to it
    (_autopick, _manualpick, …).
    """

    NAME = "import-coordinates-2d"
    _label = "import 2D coordinates"
    _possibleOutputs = {"coordinates": SetOfCoordinates2D}
    OPTIONS = (ImportCoordinates2DOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "micrographs", "SetOfMicrographs", "Micrographs", "Where the particles are.")
        form.addParam(
            "files",
            PathParam,
            label="Files",
            help="A file or a folder: STAR files of RELION 3.0 to 5, .box (corner, width, height), or .csv with "
            "micrograph_id, x, y (and score) in Å.",
        )
        form.addParam(
            "pattern", StringParam, default="", label="Pattern", help="Names in the folder, e.g. *_autopick.star."
        )

    def _check(self) -> list[str]:
        self._picks()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Read the files, match the names, register."""
        self.forget_remarks()
        options = self.options(ImportCoordinates2DOptions)
        micrographs: SetOfMicrographs = self.input_micrographs.get()
        picks, unknown = self._picks()
        size = float(micrographs.pixel_size.get())
        said = picks["pixel_size"].to_numpy(float)
        counted = np.full(len(picks), options.pixel_size) if options.pixel_size else np.where(said > 0, said, size)
        step = np.where(picks["angstrom"], 1.0, counted)
        self.remark(*check_picks(picks, micrographs, counted))
        positions = picks[["x", "y"]].to_numpy(float) * step[:, None]
        out = SetOfCoordinates2D.create(
            self._getPath("coordinates.sqlite"), pixel_size=size, box_size=options.box_size or None
        )
        for name in dict.fromkeys(picks["micrograph_id"]):
            mine = (picks["micrograph_id"] == name).to_numpy()
            score = picks["score"].to_numpy(float)[mine]
            out.extend(coordinates_2d_frame(name, positions[mine], score=score, picker="import"))
        if unknown:
            self.remark(f"No micrograph for the picks of {_listed(unknown)}.")
        other = sorted(set(said[(said > 0) & (np.abs(said / size - 1) > PIXEL_TOLERANCE)].tolist()))
        if other:
            listed = ", ".join(f"{one:g}" for one in other)
            taken = "" if not options.pixel_size else f"; {options.pixel_size:g} Å is taken"
            self.remark(f"The files say that positions count in pixels of {listed} Å{taken}.")
        empty = sorted(set(micrographs.group_ids()) - set(picks["micrograph_id"]))
        if empty:
            self.remark(f"{share_text(len(empty), len(micrographs), 'micrograph', 'has')} no picks ({_listed(empty)}).")
        self._register(self.input_micrographs, coordinates=out)

    # --- helpers ---

    def _picks(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the picks with the project's ids of micrographs, and names that are not in the project."""
        source = Path(self.files.get() or "")
        if not self.files.get():
            raise EmtomoError("Files must not be empty.")
        if source.is_file():
            paths = [source]
        elif source.is_dir():
            glob = names.expand(self.pattern.get() or "*")[0]
            paths = sorted(p for p in source.glob(glob) if p.is_file() and p.suffix in ENDINGS)
        else:
            raise EmtomoError(f"{source}: there is no such file or folder.")
        if not paths:
            raise EmtomoError(f"No file of picks ({', '.join(ENDINGS)}) in {source} matches the pattern.")
        picks = pd.concat([read_picks(path) for path in paths], ignore_index=True)
        given = list(dict.fromkeys(str(name) for name in picks["name"]))
        found, unknown, _ = names.match_names(given, self.input_micrographs.get().group_ids())
        if given and not found:
            raise EmtomoError(
                f"The picks are of {_listed(given)}, of none of the micrographs "
                f"({_listed(self.input_micrographs.get().group_ids())})."
            )
        picks = picks[picks["name"].isin(list(found))].reset_index(drop=True)
        return picks.assign(micrograph_id=picks["name"].map(found)), unknown


def _listed(found: list[str]) -> str:
    return ", ".join(found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
