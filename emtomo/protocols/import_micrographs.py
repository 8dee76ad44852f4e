"""Protocol: bring micrographs into the project, with their CTF where it is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam, StringParam

from emtomo.engine.form import CopyFiles, add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc, names
from emtomo.io.micrographs import CTF_COLUMNS, MicrographTable, describe_micrograph, read_ctf, read_micrographs
from emtomo.objects import SetOfMicrographs
from emtomo.options import Param, pixel_size_unless
from emtomo.wording import count_text

TOLERANCE = 0.005  # of two pixel sizes that are called the same
TOGETHER = 32  # micrographs of one step
SHOWN = 5  # names in a sentence
USUAL = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}


@dataclass(frozen=True, kw_only=True)
class ImportMicrographsOptions:
    """How micrographs were taken and are taken over."""

    pixel_size: Annotated[
        float,
        Param(
            "Pixel size in micrographs (A)",
            "-1: from the STAR file or the headers.",
            unit="Å",
            ge=-1,
            le=1000,
            validate=pixel_size_unless(-1),
        ),
    ] = -1.0
    optics_group: Annotated[
        int, Param("Optics group", "Of a STAR file: only its micrographs; 0: all, of one pixel size.", ge=0)
    ] = 0
    voltage: Annotated[
        float | None, Param("Voltage", "Empty: from the STAR file, else 300.", unit="kV", gt=0, le=2000)
    ] = None
    cs: Annotated[
        float | None, Param("Spherical aberration", "Empty: from the STAR file, else 2.7.", unit="mm", ge=0, le=100)
    ] = None
    amplitude_contrast: Annotated[
        float | None, Param("Amplitude contrast", "As a fraction. Empty: from the STAR file, else 0.1.", ge=0, le=1)
    ] = None
    white: Annotated[bool, Param("Particles white?", "Micrographs from the camera show dark particles.")] = False
    copy: CopyFiles = False


class ImportMicrographs(EmtomoProtocol):
    """Import motion-corrected micrographs into the project: images by a pattern, or a list of RELION 3.0 to 5.

    A micrograph's id is its file's name without extension. CTF values come from the list, or from files of CTFFIND
    or Gctf. MRC files are linked, others are converted once.
    """

    NAME = "import-micrographs"
    _label = "import micrographs"
    _possibleOutputs = {"micrographs": SetOfMicrographs}
    OPTIONS = (ImportMicrographsOptions,)
    READS = ("ctf",)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam(
            "files",
            PathParam,
            label="Micrograph STAR file / files",
            help="A list of RELION (micrographs.star or micrographs_ctf.star), a folder, or a single image.",
        )
        form.addParam(
            "pattern",
            StringParam,
            default="",
            label="Pattern",
            help="Names in the folder: * any text, ? one character, # one digit. Empty: *.mrc.",
        )
        add_optional_path(
            form,
            "ctf",
            "CTF values",
            "Results of CTFFIND 4 or 5 (.txt) or Gctf (.star): a file, or a folder of them; they belong to the "
            "micrographs of the same name. Empty: those of the STAR file, if any.",
        )

    def _check(self) -> list[str]:
        table = self._table()
        self._pixel_size(table, {name: describe_micrograph(path) for name, path in self._paths(table).items()})
        self._ctf(table)
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        paths = [list(pair) for pair in self._paths(self._table()).items()]
        parts = [paths[k : k + TOGETHER] for k in range(0, len(paths), TOGETHER)]
        done = [
            self._insertFunctionStep(self.import_step, part, k * TOGETHER, len(paths), prerequisites=[])
            for k, part in enumerate(parts)
        ]
        self._insertFunctionStep(self.output_step, prerequisites=done)

    def import_step(self, files: list[list[str]], number: int, total: int) -> None:
        """Link, copy or convert files, after a look at their pixels."""
        given = self.options(ImportMicrographsOptions)
        for k, (name, path) in enumerate(files):
            info = describe_micrograph(path)
            pixels = images.read_any(path)
            if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
                raise EmtomoError(f"{path}: holds NaN or infinity; a micrograph must be finite everywhere.")
            target = Path(self._getExtraPath(f"{name}.mrc"))
            if info.plain:
                mrc.link_or_copy(Path(path), target, copy=given.copy)
            else:
                size = given.pixel_size if given.pixel_size > 0 else info.pixel_size
                mrc.write_volume(target, np.asarray(pixels, np.float32), size)
            self.progress(number + k + 1, total)

    def output_step(self) -> None:
        """Register the set, with what list and headers say."""
        self.forget_remarks()
        options, table = self.options(ImportMicrographsOptions), self._table()
        infos = {name: describe_micrograph(path) for name, path in self._paths(table).items()}
        optics = {}
        for key, usual in USUAL.items():
            given, there = getattr(options, key), table.optics.get(key)
            optics[key] = given if given is not None else there if there is not None else usual
            if given is not None and there is not None and abs(given - there) > TOLERANCE * max(abs(there), 1e-9):
                self.remark(f"The STAR file says {key} {there:g}; {given:g} is taken, as the form says.")
        out = SetOfMicrographs.create(
            self._getPath("micrographs.sqlite"),
            pixel_size=self._pixel_size(table, infos, say=True),
            white=options.white,
            **optics,
        )
        frame = self._ctf(table).drop(columns="path")
        frame["file"] = [self._getExtraPath(f"{name}.mrc") for name in frame["micrograph_id"]]
        frame["size_x"] = [info.shape[2] for info in infos.values()]
        frame["size_y"] = [info.shape[1] for info in infos.values()]
        out.extend(frame)
        missing = frame["micrograph_id"][~np.isfinite(frame["defocus_u"].to_numpy(float))]
        if 0 < len(missing) < len(frame):
            self.remark(f"The CTF of {count_text(len(missing), 'micrograph')} is not known ({_listed(list(missing))}).")
        self._register(None, micrographs=out)

    # --- helpers ---

    def _table(self) -> MicrographTable:
        """Return the micrographs: of the list, or the files found."""
        source, group = Path(self.files.get() or ""), self.options(ImportMicrographsOptions).optics_group
        if not self.files.get():
            raise EmtomoError("Micrograph STAR file / files must not be empty.")
        if source.suffix == ".star" and not source.is_dir():
            if not source.is_file():
                raise EmtomoError(f"There is no file {source}.")
            return read_micrographs(source, group)
        if group:
            raise EmtomoError(f"{source}: only a STAR file has optics groups; leave Optics group at 0.")
        if source.is_file():
            paths = [source]
        elif source.is_dir():
            pattern = self.pattern.get() or "*.mrc"
            paths = sorted(p for p in source.glob(names.expand(pattern)[0]) if p.is_file())
            if not paths:
                raise EmtomoError(f"No file in {source} matches {pattern!r}.")
        else:
            raise EmtomoError(f"{source}: there is no such file or folder.")
        found: dict[str, Path] = {}
        for path in paths:
            name = names.stem(path.name)
            if name in found:
                raise EmtomoError(f"Two files have the micrograph id {name!r}: {found[name]} and {path}.")
            found[name] = path
        return MicrographTable(
            pd.DataFrame({"micrograph_id": list(found), "path": [str(path) for path in found.values()]})
        )

    @staticmethod
    def _paths(table: MicrographTable) -> dict[str, str]:
        return dict(zip(table.frame["micrograph_id"], table.frame["path"], strict=True))

    def _pixel_size(self, table: MicrographTable, infos: dict[str, images.ImageInfo], *, say: bool = False) -> float:
        """Return the form's pixel size, else the list's, else that on which the headers agree."""
        given = self.options(ImportMicrographsOptions).pixel_size
        headers = np.array([info.pixel_size for info in infos.values()])
        size = given if given > 0 else table.pixel_size
        if not size:
            unknown = [name for name, header in zip(infos, headers, strict=True) if not header > 0]
            if unknown:
                raise EmtomoError(f"{_listed(unknown)}: the header does not say the pixel size; give it in the form.")
            if headers.max() / headers.min() - 1 > TOLERANCE:
                listed = ", ".join(f"{n} {i.pixel_size:.6g}" for n, i in list(infos.items())[:SHOWN])
                raise EmtomoError(f"The headers do not agree on a pixel size ({listed} Å); give it in the form.")
            return float(np.median(headers))
        if say and table.pixel_size and abs(table.pixel_size / size - 1) > TOLERANCE:
            self.remark(f"The STAR file says {table.pixel_size:g} Å a pixel; {size:g} Å is taken, as the form says.")
        off = [
            name
            for name, header in zip(infos, headers, strict=True)
            if header > 0 and abs(header / size - 1) > TOLERANCE
        ]
        if say and off:
            self.remark(
                f"The headers of {count_text(len(off), 'micrograph')} say another pixel size than {size:g} Å: "
                f"{', '.join(f'{n} {infos[n].pixel_size:.4g}' for n in off[:SHOWN])}."
            )
        return float(size)

    def _ctf(self, table: MicrographTable) -> pd.DataFrame:
        """Return the micrographs with all CTF columns, of the files given for them or of the list."""
        frame = table.frame.copy()
        if self.ctf.get():
            values = read_ctf(self.ctf.get()).set_index("micrograph_id")
            known = [name for name in frame["micrograph_id"] if name in values.index]
            if not known:
                raise EmtomoError(
                    f"{self.ctf.get()}: the CTF is of {_listed(list(values.index))}, of none of the micrographs "
                    f"({_listed(list(frame['micrograph_id']))})."
                )
            frame = frame.drop(columns=[c for c in CTF_COLUMNS if c in frame])
            for column in values:
                frame[column] = values[column].reindex(frame["micrograph_id"]).to_numpy(float)
        for column in CTF_COLUMNS:
            if column not in frame:
                frame[column] = 0.0 if column in ("defocus_angle", "phase_shift") else np.nan
        return frame


def _listed(found: list[str]) -> str:
    return ", ".join(str(name) for name in found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
