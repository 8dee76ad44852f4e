"""Protocol: bring tilt series of any program into the project."""

import re
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
from emtomo.io.recognise import recognise
from emtomo.io.text import read_text
from emtomo.io.tilt_metadata import metadata_kinds, series_name
from emtomo.io.tilt_sources import Image, SourceSeries, find_series, series_of_names
from emtomo.objects import SetOfTiltSeries
from emtomo.objects.tilt_exchange import image_rows, series_row
from emtomo.objects.tilt_import import DEFAULTS, TiltSeriesOptions, common_value, complete_series
from emtomo.options import Param
from emtomo.wording import count_text, share_text

FORMATS = {
    "auto": metadata_kinds(),
    "imod": ("xf", "tlt", "xtilt", "mdoc", "defocus", "ctffind", "gctf"),
    "aretomo": ("aln", "mdoc", "ctffind"),
    "warp": ("warp-xml", "tomostar", "mdoc"),
    "relion": ("tomograms", "tilts-relion"),
    "mdoc": ("mdoc",),
    "scipion": ("scipion-tilts", "scipion-ctf"),
}
LISTED = 5  # files named in a remark


@dataclass(frozen=True, kw_only=True)
class ImportFilesOptions:
    """Which files count and how images are taken over."""

    format: Annotated[
        str,
        Param(
            "Format",
            "Of the metadata; auto takes all that are found, the best source of every value first.",
            choices=tuple(FORMATS),
        ),
    ] = "auto"
    copy: CopyFiles = False


class ImportTiltSeries(EmtomoProtocol):
    """Import tilt series into the project: images with angles, alignment, dose and CTF, whichever program wrote them.

    Stacks or one image per tilt, with SerialEM's .mdoc, IMOD's .rawtlt, .tlt, .xf, .xtilt and tilt.com, AreTomo's
    .aln, Warp's .tomostar and .xml, STAR files of RELION 4 and 5, CTFs of CTFFIND, Gctf or ctfphaseflip. Files of one
    name are one series. Images are linked; odd and even images are found by their names.
    """

    NAME = "import-tilt-series"
    STEPS_PER = "tilt series"
    _label = "import tilt series"
    _possibleOutputs = {"tilt_series": SetOfTiltSeries}
    OPTIONS = (TiltSeriesOptions, ImportFilesOptions)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam(
            "files",
            PathParam,
            label="Files",
            help="A folder, one file of a series, a STAR file with many series, or a text file with one path a line.",
        )
        form.addParam(
            "pattern",
            StringParam,
            default="",
            label="Pattern",
            help="Names in the folder: * any text, ? one character, # one digit. Images that say their tilt in their "
            "name: {TS} the series, {TA} the angle, {TO} the order, e.g. {TS}_{TO}_{TA}.mrc. Empty: all files.",
        )
        add_optional_path(
            form,
            "images_folder",
            "Folder of the images",
            "Where stacks or images lie that are not beside their metadata. Empty: beside them.",
        )
        add_optional_path(form, "gain", "Gain reference", "Kept with the series; the images are taken as they are.")

    def _check(self) -> list[str]:
        found = self._found()[0]
        for series in found:
            self._complete(series)
        _common_values(found)
        gain = str(self.gain.get() or "")
        if gain and not Path(gain).is_file():
            return [f"{gain}: there is no such file."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        series = [one.name for one in self._found()[0]]
        done = [
            self._insertFunctionStep(self.import_step, name, k, len(series), prerequisites=[])
            for k, name in enumerate(series)
        ]
        self._insertFunctionStep(self.output_step, prerequisites=done)

    def import_step(self, name: str, number: int, total: int) -> None:
        """Link or convert the images of one series, after a look at their pixels."""
        series = next(s for s in self._found()[0] if s.name == name)
        for path, target in self._targets(series).items():
            voxels = images.read_any(path)
            if voxels.dtype.kind == "f":
                for k, plane in enumerate(voxels):
                    if not np.isfinite(plane).all():
                        raise EmtomoError(
                            f"{path}: image {k + 1} holds NaN or infinity; images must be finite everywhere."
                        )
            target.parent.mkdir(exist_ok=True)
            if images.describe(path).plain:
                mrc.link_or_copy(path, target, copy=self.options(ImportFilesOptions).copy)
            else:
                self._complete(series)
                mrc.write_volume(target, np.asarray(voxels, np.float32), series.tilts.pixel_size, stack=True)
        self.progress(number + 1, total)

    def output_step(self) -> None:
        """Register the set, and say what did not fit."""
        self.forget_remarks()
        found, unused = self._found()
        for series in found:
            sentences = self._complete(series)
            self.remark(*sentences, *(f"{series.name}: {note}" for note in series.tilts.notes))
        pixel, optics = _common_values(found)
        optics["cs"] = float(np.median([series.tilts.optics["cs"] for series in found]))
        out = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"), pixel_size=pixel, **optics)
        gain = str(self.gain.get() or "") or None
        rows, tables = [], []
        for series in found:
            targets = self._targets(series)
            stack = str(targets[series.stack]) if series.stack is not None else None
            cs = series.tilts.optics["cs"]  # of its own where a refinement changed it
            own = None if np.isclose(cs, optics["cs"], rtol=1e-6) else cs
            rows.append(series_row(series.tilts, series.name, own, file=stack, gain_file=gain))
            files = {
                "file": _names(series.images, targets),
                "index": [k for _, k in series.images],
                **{f"{h}_file": _names(getattr(series, h), targets) for h in ("odd", "even") if getattr(series, h)},
            }
            tables.append(image_rows(series.tilts, series.name, **files))
        out.extend(pd.DataFrame(rows), pd.concat(tables, ignore_index=True))
        halves = sum(bool(series.odd) for series in found)
        if halves:
            self.remark(f"{share_text(halves, len(found), 'tilt series', 'has')} odd and even images.")
        if unused:
            listed = ", ".join(path.name for path in unused[:LISTED]) + (", …" if len(unused) > LISTED else "")
            self.remark(f"{count_text(len(unused), 'file belongs', 'files belong')} to no series: {listed}.")
        self._register(None, tilt_series=out)

    # --- helpers ---

    def _found(self) -> tuple[list[SourceSeries], list[Path]]:
        """Return the series, and the files that belong to none."""
        pattern = str(self.pattern.get() or "")
        paths = self._paths(pattern)
        folder = Path(self.images_folder.get()) if self.images_folder.get() else None
        if folder is not None and not folder.is_dir():
            raise EmtomoError(f"{folder}: there is no such folder of images.")
        unused: list[Path] = []
        if "{TA}" in pattern:
            found = series_of_names(paths, pattern)
        else:
            wanted = FORMATS[self.options(ImportFilesOptions).format]
            paths = [p for p in paths if (kind := recognise(p)) in wanted or kind not in FORMATS["auto"]]
            found, unused = find_series(paths, folder, self.options(TiltSeriesOptions).pixel_size)
        if not found:
            raise EmtomoError(
                f"No tilt series in {self.files.get()}: angles are needed (.mdoc, .tlt, .aln, .xml, .star …)."
            )
        names.check_identifiers([s.name for s in found], "the name of a tilt series", self.files.get())
        twice = next((s.name for k, s in enumerate(found) if s.name in {t.name for t in found[:k]}), None)
        if twice is not None:
            raise EmtomoError(
                f"Two tilt series are called {twice}: import them apart, or give a pattern for one of them."
            )
        return found, unused

    def _paths(self, pattern: str) -> list[Path]:
        """Return the files to look at."""
        given = Path(self.files.get() or "")
        if not self.files.get():
            raise EmtomoError("Files must not be empty.")
        if given.is_dir():
            glob = names.expand(re.sub(r"\{T[AO]\}", "*", pattern) or "*")[0]
            found = sorted(p for p in given.glob(glob) if p.is_file())
            if not found:
                raise EmtomoError(f"No file in {given} matches {pattern or '*'!r}.")
            return found
        if not given.is_file():
            raise EmtomoError(f"{given}: there is no such file or folder.")
        if given.suffix.lower() == ".edf":
            raise EmtomoError(
                f"{given} holds Etomo's settings and no alignment: give its folder, {given.absolute().parent}, where "
                ".tlt, .xf, .xtilt and tilt.com are read beside the stack."
            )
        if given.suffix.lower() in (".txt", ".lst") and recognise(given) not in FORMATS["auto"]:
            return self._listed(given)
        return _of_one_name(given)

    @staticmethod
    def _listed(path: Path) -> list[Path]:
        """Return the files of a list, one path a line, with those of the same name beside them."""
        out: list[Path] = []
        for n, line in enumerate(read_text(path).split("\n"), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            one = path.parent / line.strip()
            if not names.is_file(one):
                raise EmtomoError(f"{path}: line {n}: there is no file {line.strip()[:120]}.")
            out += [p for p in _of_one_name(one) if p not in out]
        return out

    def _complete(self, series: SourceSeries) -> list[str]:
        """Fill the series from the form; return what is said of it."""
        sizes = {}
        for path in dict.fromkeys(path for path, _ in [*series.images, *series.odd, *series.even]):
            _, y, x = images.describe(path).shape
            sizes[path] = (x, y)
        first, size = next(iter(sizes.items()))
        other = next((path for path, here in sizes.items() if here != size), None)
        if other is not None:
            a, b = sizes[other]
            raise EmtomoError(f"{other}: the image has {a}×{b} pixels, and {first.name} has {size[0]}×{size[1]}.")
        header = images.describe(first).pixel_size
        return complete_series(series.tilts, size, header, self.options(TiltSeriesOptions))

    def _targets(self, series: SourceSeries) -> dict[Path, Path]:
        """Return where the project keeps every file of images."""
        out: dict[Path, Path] = {}
        for label, part in (("", series.images), ("_odd", series.odd), ("_even", series.even)):
            paths = list(dict.fromkeys(path for path, _ in part))
            for k, path in enumerate(paths, 1):
                name = f"{series.name}{label}" + (".mrc" if len(paths) == 1 else f"/{k:03d}.mrc")
                out.setdefault(path, Path(self._getExtraPath(name)))
        return out


def _common_values(found: list[SourceSeries]) -> tuple[float, dict[str, float]]:
    """Return the pixel size, voltage and amplitude contrast of all series."""
    pixel = common_value("The pixel size", {s.name: s.tilts.pixel_size for s in found}, "Å")
    keys = [key for key in DEFAULTS if key != "cs"]
    return pixel, {key: common_value(key, {s.name: s.tilts.optics[key] for s in found}, "") for key in keys}


def _names(listed: list[Image], targets: dict[Path, Path]) -> list[str]:
    return [str(targets[path]) for path, _ in listed]


def _of_one_name(path: Path) -> list[Path]:
    """Return a file and those beside it that belong to the same series."""
    name = series_name(path)
    return [p for p in sorted(path.parent.iterdir()) if p.is_file() and series_name(p) == name]
