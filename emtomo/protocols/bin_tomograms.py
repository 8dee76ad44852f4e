"""Protocol: bin tomograms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pyworkflow.protocol.params import Form

from emtomo.compute.fourier.resampling import bin_volume, size_after_resampling
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class BinOptions:
    """How much tomograms are binned."""

    factor: Annotated[
        float,
        Param(
            "Binning factor",
            "2 halves the size and doubles the pixel size; need not be a whole number or divide the size.",
            ge=1,
            le=64,
        ),
    ] = 2.0


class BinTomograms(EmtomoProtocol):
    """Bin tomograms by Fourier cropping about the centre.

    Positions in Å stay where they are: the centre voxel of the binned tomogram is
    the centre voxel of the original.
    """

    NAME = "bin-tomograms"
    _label = "bin tomograms"
    _possibleOutputs = {"tomograms": SetOfTomograms}
    OPTIONS = (BinOptions,)
    STEPS_APART = ("bin_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Tomograms", "What to bin.")

    def _check(self) -> list[str]:
        factor = self.options(BinOptions).factor
        sizes = self.input_tomograms.get().frame(["tomogram_id", "size_x", "size_y", "size_z"])
        small = sizes[sizes[["size_x", "size_y", "size_z"]].min(axis=1) < factor]
        return [f"{name} has fewer voxels along an axis than the factor {factor:g}." for name in small["tomogram_id"]]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.bin_step, self.input_tomograms.get().tomogram_ids(), self.output_step)

    def bin_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Bin one tomogram, and its halves where it has them."""
        tomograms = self.input_tomograms.get()
        row = tomograms.frame(tomogram_id=tomogram_id).iloc[0]
        factor = self.options(BinOptions).factor
        for column, target in self._files(tomogram_id).items():
            if row[column]:
                volume = mrc.open_volume(row[column])
                binned = bin_volume(volume, factor, progress=lambda a, b: self.progress(number + a / b, total))
                mrc.write_volume(target, binned, tomograms.pixel_size.get() * factor)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Register the binned tomograms."""
        tomograms, factor = self.input_tomograms.get(), self.options(BinOptions).factor
        frame = tomograms.frame()
        for column in ("file", "half1_file", "half2_file"):
            had = frame[column].notna() & (frame[column] != "")
            new = [self._files(name)[column] for name in frame["tomogram_id"]]
            frame[column] = [n if h else None for n, h in zip(new, had, strict=True)]
        for axis in "xyz":
            frame[f"size_{axis}"] = [size_after_resampling(int(n), factor) for n in frame[f"size_{axis}"]]
        out = SetOfTomograms.create(self._getPath("tomograms.sqlite"))
        out.copy_fields(tomograms)
        out.pixel_size.set(tomograms.pixel_size.get() * factor)
        out.extend(frame)
        self._register(self.input_tomograms, tomograms=out)

    def _files(self, tomogram_id: str) -> dict[str, str]:
        marks = {"file": "", "half1_file": "_half1", "half2_file": "_half2"}
        return {column: str(Path(self._getExtraPath(f"{tomogram_id}{m}.mrc"))) for column, m in marks.items()}
