"""Protocol: bring picked positions of other programs into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam, StringParam

from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import dynamo, names
from emtomo.io.formats import FORMATS, read
from emtomo.io.particles import ParticleList, convert_frame
from emtomo.objects import SetOfCoordinates3D, coordinates_frame
from emtomo.objects.exchange import add_counted_in, origin_of, sizes_counted_in
from emtomo.objects.position_check import check_binning, check_positions
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param
from emtomo.wording import count_text, list_text


@dataclass(frozen=True, kw_only=True)
class ImportCoordinatesOptions:
    """How the numbers in the files are meant."""

    format: Annotated[
        str,
        Param("Format", "auto goes by content.", choices=("auto", *FORMATS)),
    ] = "auto"
    pixel_size: Annotated[
        float | None,
        Param(
            "Pixel size of the coordinates",
            "Empty: what the file says, else that of the tomograms. 1 when positions are in Å.",
            unit="Å",
            ge=SMALLEST_PIXEL,
            le=LARGEST_PIXEL,
        ),
    ] = None
    angles: Annotated[
        str,
        Param(
            "Angles in text",
            "What the last three of 6 or 7 columns without names are: the particle's z axis, or "
            "angles of RELION (rot, tilt, psi), Dynamo (tdrot, tilt, narot) or AV3 (phi, psi, theta).",
            choices=("normals", "relion", "dynamo", "motl"),
        ),
    ] = "normals"
    box_size: Annotated[int, Param("Box size", "For display and extraction.", unit="voxel", ge=1)] = 32
    origin_offset: Annotated[
        float,
        Param(
            "Origin offset",
            "Index of the first voxel in the files: 0, or 1 for programs that count from one.",
            unit="voxel",
        ),
    ] = 0.0
    centred: Annotated[
        bool,
        Param(
            "Positions from the origin?",
            "Text files: positions are from the origin that the tomograms were "
            "imported with (by default their centre) instead of from the first voxel.",
        ),
    ] = False


class ImportCoordinates(EmtomoProtocol):
    """Import positions, and orientations where there are any, from the files of any supported program.

    Tomograms are matched by name: the part that all programs keep. A file that
    names no tomogram belongs to the tomogram whose id its own name is, or to the
    only one there is.
    """

    NAME = "import-coordinates"
    _label = "import coordinates"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (ImportCoordinatesOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "tomograms",
            "SetOfTomograms,SetOfTiltSeries",
            "Tomograms or tilt series",
            "Where the particles are. Of tilt series, the tomograms that they give at the positions' pixel size.",
        )
        add_counted_in(self, form)
        form.addParam("files", PathParam, label="Files directory", help="A folder, or a single file.")
        form.addParam("pattern", StringParam, default="", label="Pattern", help="Names in the folder: * ? # {TS}.")
        add_optional_path(
            form,
            "table_map",
            "Table map",
            "Dynamo, AV3, STOPGAP: the .doc file that names the tomogram of each number.",
        )

    def _check(self) -> list[str]:
        self._paths()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Read all files, match the tomograms, convert positions, register."""
        self.forget_remarks()
        options, tomograms = self.options(ImportCoordinatesOptions), self.input_tomograms.get()
        known = tomograms.tomogram_ids()
        frames: list[pd.DataFrame] = []
        unmatched: dict[str, int] = {}
        unsaid: list[str] = []
        for path in self._paths():
            picks = read(path, options.format, sizes=sizes_counted_in(self, "corner"), angles=options.angles)
            for note in picks.notes:
                self.remark(f"{path.name}: {note}")
            tomogram_of = self._names(picks, path, known)
            found, missing, _ = names.match_names(list(dict.fromkeys(tomogram_of)), known)
            for name in missing:
                unmatched[name] = unmatched.get(name, 0) + int((tomogram_of == name).sum())
            first = len(frames)
            numbers: list[np.ndarray] = []
            lengths: list[float] = []
            for name, tomogram_id in found.items():
                mine = picks.select(tomogram_of == name)
                counted = mine.unit in ("voxel", "angstrom") and mine.origin == "corner"
                numbers.append(mine.positions.copy() if counted else np.full((len(mine), 3), np.nan))
                lengths += [] if mine.unit != "voxel" else mine.pixel_size[np.isfinite(mine.pixel_size)].tolist()[:1]
                frames.append(self._frame(mine, tomogram_id, options, path))
            if len(frames) > first:
                voxel = options.pixel_size or (lengths[0] if lengths else tomograms.pixel_size.get())
                given = not self.input_counted_in.pointsNone()
                if picks.unit == "voxel" and not (options.pixel_size or lengths or given):
                    unsaid.append(path.name)
                if picks.unit == "voxel" and picks.origin == "corner" and picks.tags.centre is None and not given:
                    self.remark(*(f"{one} Or name those as counted_in." for one in check_binning(voxel, tomograms)))
                self.remark(
                    *check_positions(
                        pd.concat(frames[first:], ignore_index=True),
                        tomograms,
                        numbers=np.concatenate(numbers),
                        pixel_size=voxel if picks.unit == "voxel" else None,
                        source=path.name,
                    )
                )
        if unsaid:
            taken = f"{tomograms.pixel_size.get():.4g} Å"
            self.remark(
                f"No pixel size is given: positions are taken as voxels of the tomograms ({taken}) in "
                f"{list_text(unsaid)}."
            )
        total = sum(len(frame) for frame in frames)
        if unmatched:
            listed = ", ".join(f"{name} ({n})" for name, n in unmatched.items())
            n = sum(unmatched.values())
            named = "names a tomogram that is" if n == 1 else "name tomograms that are"
            self.remark(f"{count_text(n, 'position')} {named} not in the project: {listed}.")
        if total == 0 and not unmatched:
            raise EmtomoError(f"There is no position in {', '.join(str(p) for p in self._paths())}.")
        if total == 0:
            raise EmtomoError(
                f"No position belongs to a tomogram of the project; the files name {', '.join(unmatched)}, "
                f"the project has {', '.join(known)}."
            )
        used = {frame["tomogram_id"].iloc[0] for frame in frames if len(frame)}
        empty = [name for name in known if name not in used]
        if empty:
            self.remark(f"No positions for {', '.join(empty)}.")
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"),
            pixel_size=tomograms.pixel_size.get(),
            box_size=options.box_size,
        )
        out.extend(pd.concat(frames, ignore_index=True))
        self._register(self.input_tomograms, coordinates=out)

    # --- helpers ---

    def _paths(self) -> list[Path]:
        folder = Path(self.files.get() or "")
        if not self.files.get():
            raise EmtomoError("Files directory must not be empty.")
        if folder.is_file():
            return [folder]
        pattern = self.pattern.get() or "*"
        paths = sorted(p for p in folder.glob(names.expand(pattern)[0]) if p.is_file())
        if not paths:
            raise EmtomoError(f"No file in {folder} matches {pattern!r}.")
        return paths

    def _names(self, picks: ParticleList, path: Path, known: list[str]) -> np.ndarray:
        """Return the tomogram's name of each position."""
        given = np.array(picks.tomograms, object)
        if self.table_map.get():
            table = dynamo.read_doc(Path(self.table_map.get()))
            given = np.array([table.get(name, name) for name in given], object)
        alone = known[0] if len(known) == 1 else names.stem(path.name)
        naming = FORMATS[picks.format].names_tomograms
        if naming == "by number" and not self.table_map.get() and len(known) == 1:
            return np.full(len(given), alone, object)
        if naming == "by file name" and alone in known:
            return np.full(len(given), alone, object)
        return np.array([name or alone for name in given], object)

    def _frame(
        self, picks: ParticleList, tomogram_id: str, options: ImportCoordinatesOptions, path: Path
    ) -> pd.DataFrame:
        """Return rows for the set of particles of one tomogram."""
        tomograms = self.input_tomograms.get()
        if not np.isfinite(picks.positions).all():
            raise EmtomoError(f"{path}: the positions have no z; particles of a tomogram need one.")
        picks.tomograms = np.full(len(picks), tomogram_id, object)
        if options.pixel_size:
            picks.set_pixel_size(options.pixel_size)
        if picks.unit == "voxel" and picks.origin == "corner":
            picks.positions = picks.positions - options.origin_offset
            if options.centred:
                picks.origin = "centre"
        known = picks.pixel_size[np.isfinite(picks.pixel_size)]
        sizes = sizes_counted_in(self, picks.origin, float(known[0]) if picks.unit == "voxel" and len(known) else None)
        if tomogram_id not in sizes:
            tomograms.shape(tomogram_id)  # says what is not known
            raise EmtomoError(f"The tomograms in which positions count do not hold {tomogram_id}.")
        if picks.unit == "voxel" and not np.isfinite(picks.pixel_size).all():
            picks.set_pixel_size(sizes[tomogram_id].pixel_size)
        here = convert_frame(picks, "angstrom", "centre", volumes={tomogram_id: sizes[tomogram_id]}).centres
        if options.centred and picks.origin == "centre":
            here = here + origin_of(tomograms)
        columns = {k: v for k, v in picks.columns.items() if k in ("group", "score", "set_name")}
        return coordinates_frame(tomogram_id, here, picks.rotations, picker="import", **columns)
