"""Protocol: bring a volume, a mask, or an average with its half maps into the project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pyworkflow.protocol.params import Form, PathParam

from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import images, mrc
from emtomo.objects import Average, Mask, Volume
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class ImportVolumeOptions:
    """What the file holds."""

    kind: Annotated[
        str,
        Param("Kind", "An average may bring its half maps.", choices=("volume", "mask", "average")),
    ] = "volume"
    pixel_size: Annotated[float | None, Param("Pixel size", "Empty: what the file says.", unit="Å", gt=0)] = None


class ImportVolume(EmtomoProtocol):
    """Bring a density map of any program: as reference, as mask, or as an average with half maps."""

    NAME = "import-volume"
    _label = "import volume"
    _possibleOutputs = {"volume": Volume, "mask": Mask, "average": Average}
    OPTIONS = (ImportVolumeOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("file", PathParam, label="File", help="MRC, EM or TIFF; white density.")
        for h in (1, 2):
            form.addParam(
                f"half{h}",
                PathParam,
                default="",
                allowsNull=True,
                label=f"Half map {h}",
                help="Of kind average; both or none.",
            )

    def _check(self) -> list[str]:
        try:
            self._volumes()
        except (EmtomoError, FormatError) as error:
            return [str(error)]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Copy the volumes as MRC and register them."""
        options = self.options(ImportVolumeOptions)
        infos = self._volumes()
        size = infos["file"].shape[0]
        pixel_size = self._pixel_size()
        paths = {}
        for name, info in infos.items():
            paths[name] = self._getExtraPath({"file": f"{options.kind}.mrc"}.get(name, f"{name}.mrc"))
            source = getattr(self, name).get()
            volume = np.asarray(images.read_any(source), np.float32)
            if not np.isfinite(volume).all():
                raise FormatError(source, "there are voxels that are no numbers (NaN or infinite).")
            if options.kind == "mask" and (volume.min() < -1e-3 or volume.max() > 1 + 1e-3):
                raise FormatError(
                    source, f"a mask has values from 0 to 1, this one from {volume.min():g} to {volume.max():g}."
                )
            mrc.write_volume(paths[name], volume.reshape(info.shape), pixel_size)
        values = {"file": paths["file"], "pixel_size": pixel_size, "box_size": size}
        if options.kind == "average":
            halves = {f"half{h}_file": paths[f"half{h}"] for h in (1, 2) if f"half{h}" in paths}
            self._register(None, average=Average(**values, **halves))
        elif options.kind == "mask":
            self._register(None, mask=Mask(**values))
        else:
            self._register(None, volume=Volume(**values))

    # --- helpers ---

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
        infos = {name: images.describe(Path(getattr(self, name).get())) for name in names}
        for name, info in infos.items():
            if len(set(info.shape)) != 1:
                shape = "×".join(str(n) for n in info.shape[::-1])
                raise FormatError(getattr(self, name).get(), f"a reference must be a cube, this volume is {shape}.")
            if info.shape != infos["file"].shape:
                raise FormatError(getattr(self, name).get(), "a half map must have the average's size.")
        self._pixel_size()
        return infos

    def _pixel_size(self) -> float:
        given = self.options(ImportVolumeOptions).pixel_size
        said = images.describe(Path(self.file.get())).pixel_size
        if given:
            return given
        if not said > 0:
            raise EmtomoError(f"{self.file.get()} does not say its pixel size; give it.")
        return said
