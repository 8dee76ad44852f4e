"""Protocol: bring tomograms of any format into the project."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam, StringParam

from emtomo.engine.form import CopyFiles, VolumeInFile, add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc, names
from emtomo.io.acquisition import read_acquisition
from emtomo.objects import SetOfTomograms
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param
from emtomo.wording import count_text, list_text

PIXEL_TOLERANCE = 0.01

SAME_PLACE = 0.01  # voxels, by which the zeros of several headers may differ
SAME_SIZE = 1e-3  # headers hold lengths in single precision, of rounded pixel sizes
WARP_NAME = re.compile(r"_\d+\.\d\dApx\.mrc$")  # TS_01_10.00Apx.mrc


@dataclass(frozen=True, kw_only=True)
class ImportTomogramsOptions:
    """How tomograms were made and are taken over."""

    pixel_size: Annotated[
        float | None,
        Param(
            "Pixel size",
            "Of all the files. Empty: from their headers.",
            unit="Å/px",
            ge=SMALLEST_PIXEL,
            le=LARGEST_PIXEL,
        ),
    ] = None
    copy: CopyFiles = False
    dataset: VolumeInFile = ""
    exclude_words: Annotated[
        str,
        Param("Exclusion words", "Paths with one of these words (separated by spaces) are skipped.", expert=True),
    ] = ""
    tilt_min: Annotated[float, Param("Acquisition angle min", "Smallest tilt.", unit="°", ge=-90, le=90)] = -60.0
    tilt_max: Annotated[float, Param("Acquisition angle max", "Largest tilt.", unit="°", ge=-90, le=90)] = 60.0
    tilt_step: Annotated[float | None, Param("Step", "Between tilts. Empty: not known.", unit="°", gt=0)] = None
    tilt_axis_angle: Annotated[
        float | None, Param("Tilt axis angle", "From the vertical, counter-clockwise. Empty: not known.", unit="°")
    ] = None
    white: Annotated[
        str,
        Param(
            "Particles white?",
            "auto: what the program that wrote the files does (those of EMAN2 are white on dark), else dark.",
            choices=("auto", "yes", "no"),
        ),
    ] = "auto"
    voltage: Annotated[float, Param("Voltage", "Of the microscope.", unit="kV", gt=0, le=2000)] = 300.0
    cs: Annotated[float, Param("Spherical aberration", "Of the objective.", unit="mm", ge=0, le=100)] = 2.7
    amplitude_contrast: Annotated[float, Param("Amplitude contrast", "As a fraction.", ge=0, le=1)] = 0.1
    origin: Annotated[
        str,
        Param(
            "Set origin of coordinates",
            "centre: zero is the centre voxel n // 2; header: what the MRC header says; manual: the offset below.",
            choices=("centre", "header", "manual"),
        ),
    ] = "centre"
    origin_x: Annotated[
        float, Param("Offset x", "manual: zero of positions from the centre.", unit="Å", when=("origin", "manual"))
    ] = 0.0
    origin_y: Annotated[
        float, Param("Offset y", "manual: zero of positions from the centre.", unit="Å", when=("origin", "manual"))
    ] = 0.0
    origin_z: Annotated[
        float, Param("Offset z", "manual: zero of positions from the centre.", unit="Å", when=("origin", "manual"))
    ] = 0.0


class ImportTomograms(EmtomoProtocol):
    """Import tomograms into the project: MRC of every mode, also compressed, REC, EM and TIFF stacks.

    A file gives one tomogram; its id is the file's name without extensions, or
    the part that {TS} marks in the pattern. Where one of several volumes in a file was
    chosen, the id ends with it. MRC files are linked, others are converted once.
    """

    NAME = "import-tomograms"
    STEPS_PER = "tomogram"
    _label = "import tomograms"
    _possibleOutputs = {"tomograms": SetOfTomograms}
    OPTIONS = (ImportTomogramsOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("files", PathParam, label="Files directory", help="A folder, or a single file.")
        form.addParam(
            "pattern",
            StringParam,
            default="",
            label="Pattern",
            help="Names in the folder: * any text, ? one character, # one digit, {TS} the tomogram's id, which "
            "may be a folder's name ({TS}/tomogram.mrc). "
            "Empty for a single file.",
        )
        add_optional_path(
            form,
            "acquisition",
            "Acquisition parameters file",
            "One row per file: name, tilt_min, tilt_max, tilt_step, tilt_axis_angle. Empty: the angles below.",
        )

    def _check(self) -> list[str]:
        options = self.options(ImportTomogramsOptions)
        if options.tilt_min >= options.tilt_max:
            return [f"The smallest tilt ({options.tilt_min:g}°) must be below the largest ({options.tilt_max:g}°)."]
        files = self._found()
        infos = {name: self._describe(path) for name, path in files.items()}
        if not options.pixel_size:
            self._common_size(infos)
        self._tilts(list(files))
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        done = [
            self._insertFunctionStep(self.import_step, name, str(path), prerequisites=[])
            for name, path in self._found().items()
        ]
        self._insertFunctionStep(self.output_step, prerequisites=done)

    def import_step(self, tomogram_id: str, path: str) -> None:
        """Link, copy or convert one file, after a look at its voxels."""
        options, info = self.options(ImportTomogramsOptions), self._describe(Path(path))
        size = options.pixel_size or info.pixel_size
        if not size:
            raise EmtomoError(f"{path}: the file does not say its pixel size; give it in the form.")
        voxels = images.read_any(path, self._volume_in_file())
        if voxels.dtype.kind == "f":
            for z, plane in enumerate(voxels):  # slice by slice: a mapped file is never held as a whole
                if not np.isfinite(plane).all():
                    raise EmtomoError(f"{path}: slice {z} holds NaN or infinity; a tomogram must be finite everywhere.")
        target = Path(self._getExtraPath(f"{tomogram_id}.mrc"))
        if info.plain:
            mrc.link_or_copy(Path(path), target, copy=options.copy)
        else:
            mrc.write_volume(target, np.asarray(voxels, np.float32), size)

    def output_step(self) -> None:
        """Register the set, with what the headers say that the form does not."""
        self.forget_remarks()
        options, files = self.options(ImportTomogramsOptions), self._found()
        infos = {name: self._describe(path) for name, path in files.items()}
        self._remark_notes(infos)
        chosen = self._volume_in_file()
        ending = [name for name, path in files.items() if chosen and images.count_volumes(path) > 1]
        if ending:
            self.remark(f"Tomogram ids end with the volume that was chosen of several in a file: {list_text(ending)}.")
        size = options.pixel_size or self._common_size(infos)
        off = [n for n, i in infos.items() if i.pixel_size and abs(i.pixel_size / size - 1) > PIXEL_TOLERANCE]
        if off:
            sizes = ", ".join(f"{n} {infos[n].pixel_size:.3f}" for n in off[:5])
            self.remark(
                f"The headers of {count_text(len(off), 'file')} say another pixel size than {size:g} Å: {sizes}."
            )
        origin = self._origin(options, infos, size)
        out = SetOfTomograms.create(
            self._getPath("tomograms.sqlite"),
            pixel_size=size,
            voltage=options.voltage,
            cs=options.cs,
            amplitude_contrast=options.amplitude_contrast,
            white=self._white(options, infos, files),
            **{f"origin_{axis}": value for axis, value in zip("xyz", origin, strict=True)},
        )
        frame = pd.DataFrame(
            {
                "tomogram_id": list(files),
                "file": [self._getExtraPath(f"{name}.mrc") for name in files],
                "size_x": [i.shape[2] for i in infos.values()],
                "size_y": [i.shape[1] for i in infos.values()],
                "size_z": [i.shape[0] for i in infos.values()],
            }
        )
        out.extend(frame.join(self._tilts(list(files)).reset_index(drop=True)))
        self._register(None, tomograms=out)

    # --- helpers ---

    def _describe(self, path: Path) -> images.ImageInfo:
        options = self.options(ImportTomogramsOptions)
        return images.describe_volume(path, options.pixel_size, self._volume_in_file())

    def _volume_in_file(self) -> str:
        """Return which of several volumes is meant, which a single file's name may also say (FILE:VOLUME)."""
        return images.split_volume(self.files.get() or "", self.options(ImportTomogramsOptions).dataset)[1]

    def _found(self) -> dict[str, Path]:
        """Return the files to import by tomogram id."""
        folder, pattern = images.split_volume(self.files.get() or "")[0], self.pattern.get() or ""
        if not self.files.get():
            raise EmtomoError("Files directory must not be empty.")
        if images.is_image(folder):
            paths, finder = [folder], None
        elif not folder.is_dir():
            raise EmtomoError(f"{folder}: there is no such file or folder.")
        else:
            glob, finder = names.expand(pattern or "*")
            paths = sorted(p for p in folder.glob(glob) if images.is_image(p))
        words = (self.exclude_words.get() or "").split()
        paths = [p for p in paths if not any(word in str(p) for word in words)]
        if not paths:
            raise EmtomoError(f"No file in {folder} matches {pattern or '*'!r}.")
        found: dict[str, Path] = {}
        volume = self._volume_in_file()
        for path in paths:
            match = finder.match(path.relative_to(folder).as_posix()) if finder else None
            name = match.group(1) if match else names.stem(path.name)
            if volume and images.count_volumes(path) > 1:  # another import may take another one of them
                name = f"{name}_{names.as_part(volume)}"
            if name in found:
                raise EmtomoError(
                    f"Two files have the tomogram id {name!r}: {found[name]} and {path}. Mark what is different in "
                    "their names or folders by {TS} in the pattern, e.g. {TS}/tomogram.mrc."
                )
            found[name] = path
        return found

    def _tilts(self, tomogram_ids: list[str]) -> pd.DataFrame:
        """Return tilt_min, tilt_max, tilt_step and tilt_axis_angle, one row per tomogram."""
        options = self.options(ImportTomogramsOptions)
        columns = ["tilt_min", "tilt_max", "tilt_step", "tilt_axis_angle"]
        if self.acquisition.get():
            return read_acquisition(self.acquisition.get(), tomogram_ids)[columns]
        row = [np.nan if getattr(options, name) is None else getattr(options, name) for name in columns]
        return pd.DataFrame([row] * len(tomogram_ids), columns=columns, index=tomogram_ids)

    def _white(
        self, options: ImportTomogramsOptions, infos: dict[str, images.ImageInfo], files: dict[str, Path]
    ) -> bool:
        """Return whether particles are white: the form's word, else that of the program that wrote the files."""
        if options.white != "auto":
            return options.white == "yes"
        white = [name for name, info in infos.items() if info.white]
        if white and len(white) < len(infos):
            raise EmtomoError(
                f"Particles are white in {', '.join(white[:5])} (written by EMAN2), perhaps not in the others; "
                "say whether they are white, or import them separately."
            )
        if white:
            self.remark("The files were written by EMAN2: particles are taken as white.")
        elif any(WARP_NAME.search(path.name) for path in files.values()):
            self.remark(
                "The files are named as Warp names its tomograms, which inverts contrast by default: if "
                "particles are white in them, import them with white=yes. They are taken as dark."
            )
        return bool(white)

    def _remark_notes(self, infos: dict[str, images.ImageInfo]) -> None:
        """Say what had to be guessed about the files, once for all that share it."""
        notes: dict[str, list[str]] = {}
        for name, info in infos.items():
            for note in info.notes:
                notes.setdefault(note, []).append(name)
        for note, having in notes.items():
            self.remark(f"{', '.join(having[:5])}{' …' if len(having) > 5 else ''}: {note}")

    @staticmethod
    def _common_size(infos: dict[str, images.ImageInfo]) -> float:
        sizes = np.array([info.pixel_size for info in infos.values()])
        without = [name for name, info in infos.items() if not info.pixel_size > 0]
        if without:
            raise EmtomoError(
                f"{', '.join(without[:5])}{' …' if len(without) > 5 else ''}: the header does not say the pixel size; "
                "give it in the form."
            )
        if sizes.max() / sizes.min() - 1 > SAME_SIZE:
            listed = ", ".join(f"{n} {i.pixel_size:.6g}" for n, i in list(infos.items())[:5])
            raise EmtomoError(f"The headers do not agree on a pixel size ({listed} Å); give it in the form.")
        return float(np.median(sizes))

    @staticmethod
    def _origin(options: ImportTomogramsOptions, infos: dict[str, images.ImageInfo], size: float) -> tuple[float, ...]:
        if options.origin == "manual":
            return options.origin_x, options.origin_y, options.origin_z
        if options.origin == "centre":
            return 0.0, 0.0, 0.0
        places = {name: info.zero(size) for name, info in infos.items()}
        name, zero = next(iter(places.items()))
        for other, place in places.items():
            if np.abs(np.subtract(place, zero)).max() > SAME_PLACE * size:
                first, second = (", ".join(f"{v:.5g}" for v in one) for one in (zero, place))
                raise EmtomoError(
                    "The headers do not agree on where the zero of positions lies: from the centre it is at "
                    f"{first} Å in {name} and {second} Å in {other}. Import these apart, or choose another origin."
                )
        return zero
