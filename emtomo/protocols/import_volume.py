"""Protocol: bring a volume, a mask, or an average with its half maps into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pyworkflow.protocol.params import Form, PathParam

from emtomo.compute.statistics import is_dark
from emtomo.engine.form import VolumeInFile, add_optional_path
from emtomo.engine.pixel_sizes import DISAGREE
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import images, mrc
from emtomo.io.mrc_header import SIZES_AGREE
from emtomo.objects import Average, Mask, Volume
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param


@dataclass(frozen=True, kw_only=True)
class ImportVolumeOptions:
    """What the file holds."""

    kind: Annotated[
        str,
        Param("Kind", "An average may have half maps.", choices=("volume", "mask", "average")),
    ] = "volume"
    pixel_size: Annotated[
        float | None, Param("Pixel size", "Empty: what the file says.", unit="Å", ge=SMALLEST_PIXEL, le=LARGEST_PIXEL)
    ] = None
    dataset: VolumeInFile = ""
    white: Annotated[
        str,
        Param(
            "Density white?",
            "References and averages have white density; a dark one is inverted. auto: what the program that "
            "wrote the file does (EMAN2's are white), else the side on which the densities in the middle stand out. "
            "Masks stay.",
            choices=("auto", "yes", "no"),
        ),
    ] = "auto"


class ImportVolume(EmtomoProtocol):
    """Import a density map of any program: as reference, as mask, or as an average with half maps."""

    NAME = "import-volume"
    _label = "import volume"
    _possibleOutputs = {"volume": Volume, "mask": Mask, "average": Average}
    OPTIONS = (ImportVolumeOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("file", PathParam, label="File", help="MRC, EM, TIFF, HDF5 or OME-Zarr.")
        for h in (1, 2):
            add_optional_path(form, f"half{h}", f"Half map {h}", "Of kind average; both or none.")

    def _check(self) -> list[str]:
        self._volumes()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Copy the volumes as MRC and register them."""
        self.forget_remarks()
        options = self.options(ImportVolumeOptions)
        infos = self._volumes()
        self.remark(*self._differing_sizes(infos))
        size = infos["file"].shape[0]
        pixel_size = self._pixel_size()
        header = infos["file"].pixel_size
        if header > 0 and abs(header / pixel_size - 1) > DISAGREE:
            name = Path(self.file.get()).name
            self.remark(f"The header of {name} says a pixel size of {header:.4g} Å; {pixel_size:.4g} Å is taken.")
        paths, dark = {}, False
        for name, info in infos.items():
            paths[name] = self._getExtraPath({"file": f"{options.kind}.mrc"}.get(name, f"{name}.mrc"))
            source = getattr(self, name).get()
            volume = np.asarray(images.read_any(source, options.dataset), np.float32)
            if not np.isfinite(volume).all():
                raise FormatError(source, "there are voxels that are no numbers (NaN or infinite).")
            if options.kind == "mask" and (volume.min() < -1e-3 or volume.max() > 1 + 1e-3):
                raise FormatError(
                    source, f"a mask has values from 0 to 1, this one from {volume.min():g} to {volume.max():g}."
                )
            if options.kind == "mask" and not volume.max() > 0:
                raise FormatError(source, "the mask is empty: every voxel is 0.")
            if options.kind != "mask" and volume.min() == volume.max():
                self.remark(f"{Path(source).name} is empty: every voxel is {volume.max():g}.")
            if name == "file" and options.kind != "mask":
                dark = self._is_dark(volume, info)
            if dark:
                volume = -volume
            self.remark(*(f"{Path(source).name}: {note}" for note in info.notes))
            mrc.write_volume(paths[name], volume.reshape(info.shape), pixel_size)
        if dark:
            self.remark("Dark density was inverted to white.")
        values = {"file": paths["file"], "pixel_size": pixel_size, "box_size": size}
        if options.kind == "average":
            halves = {f"half{h}_file": paths[f"half{h}"] for h in (1, 2) if f"half{h}" in paths}
            self._register(None, average=Average(**values, **halves))
        elif options.kind == "mask":
            self._register(None, mask=Mask(**values))
        else:
            self._register(None, volume=Volume(**values))

    # --- helpers ---

    def _is_dark(self, volume: np.ndarray, info: images.ImageInfo) -> bool:
        """Return whether density is dark: the form's word, that of the program, or what the densities look like."""
        said = self.options(ImportVolumeOptions).white
        if said != "auto" or info.white is not None:
            return said == "no" if said != "auto" else not info.white
        dark = is_dark(volume)
        if dark:
            self.remark("The density looks dark, which the file does not say; set white=yes if it is white.")
        elif dark is None:
            self.remark("The densities do not show whether they are white or dark; they are taken as white.")
        return bool(dark)

    def _volumes(self) -> dict[str, images.ImageInfo]:
        """Return what the files are, by parameter."""
        if not self.file.get():
            raise EmtomoError("File must not be empty.")
        names = ["file"]
        if self.options(ImportVolumeOptions).kind == "average":
            given = [h for h in ("half1", "half2") if getattr(self, h).get()]
            if len(given) == 1:
                raise EmtomoError("Give both half maps or none.")
            names += given
        options = self.options(ImportVolumeOptions)
        given_size = options.pixel_size
        infos = {
            name: images.describe_volume(Path(getattr(self, name).get()), given_size, options.dataset) for name in names
        }
        for name, info in infos.items():
            if len(set(info.shape)) != 1:
                shape = "×".join(str(n) for n in info.shape[::-1])
                raise FormatError(getattr(self, name).get(), f"maps and masks must be cubes, this volume is {shape}.")
            if info.shape != infos["file"].shape:
                raise FormatError(getattr(self, name).get(), "a half map must have the average's size.")
        self._pixel_size()
        differing = self._differing_sizes(infos)
        if differing and given_size is None:
            raise EmtomoError(f"{differing[0]} Give the pixel size.")
        return infos

    def _differing_sizes(self, infos: dict[str, images.ImageInfo]) -> list[str]:
        """Return a sentence where the headers of average and half maps say different pixel sizes."""
        sizes = {name: info.pixel_size for name, info in infos.items() if info.pixel_size > 0}
        if len(sizes) < 2 or max(sizes.values()) <= min(sizes.values()) * (1 + SIZES_AGREE):
            return []
        listed = ", ".join(f"{Path(getattr(self, name).get()).name} {size:.4g} Å" for name, size in sizes.items())
        return [f"The headers say different pixel sizes: {listed}."]

    def _pixel_size(self) -> float:
        options = self.options(ImportVolumeOptions)
        said = images.describe(Path(self.file.get()), options.dataset).pixel_size
        if options.pixel_size:
            return options.pixel_size
        if not said > 0:
            raise EmtomoError(f"{self.file.get()} does not say its pixel size; give it.")
        return said
