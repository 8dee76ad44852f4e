"""Protocol: masked resolution, sharpening and local resolution of a refined average."""

from pathlib import Path

import numpy as np
from pyworkflow.protocol.params import FloatParam, Form

from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.shell_correlation import resolution_at, resolution_text
from emtomo.compute.postprocess import Guinier, PostprocessOptions, local_resolution, postprocess
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import mrc
from emtomo.io.star import read_blocks
from emtomo.objects import FSC, Average, Volume
from emtomo.objects.volume_arrays import halves_of, resample_to_box, write_curves
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL

EDGE = 3.0
WINDOWS = 5.0  # resolutions in the local window
NARROWEST = 7.0  # voxels of the local window


class PostProcess(EmtomoProtocol):
    """Measure the resolution of two half maps within a mask, and sharpen and filter their mean accordingly."""

    NAME = "postprocess"
    _label = "post-processing"
    _possibleOutputs = {"average": Average, "fsc": FSC, "resolution_map": Volume}
    OPTIONS = (PostprocessOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "average", "Average", "Average", "With half maps.")
        self._add_input(
            form, "mask", "Mask", "Mask", "Soft, of the particle. Empty: a sphere as wide as the box.", optional=True
        )
        add_optional_path(
            form,
            "mtf",
            "MTF of the detector",
            "STAR file with rlnResolutionInversePixel and rlnMtfValue; the map's transform is divided by it.",
        )
        form.addParam(
            "mtf_pixel_size",
            FloatParam,
            default=None,
            allowsNull=True,
            label="Pixel size of the MTF (Å)",
            help="Of the detector's unbinned pixels; empty: that of the average.",
        )

    def _check(self) -> list[str]:
        halves_of(self.input_average.get())
        self._mtf()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.process_step)

    def process_step(self) -> None:
        """Compute map, curves and local resolution; register."""
        self.forget_remarks()
        options, source = self.options(PostprocessOptions), self.input_average.get()
        half1, half2 = halves_of(source)
        n, size = half1.shape[0], float(source.pixel_size.get())
        mask = ball(n, n / 2 - EDGE, EDGE)
        if not self.input_mask.pointsNone():
            mask, change = resample_to_box(self.input_mask.get(), n, size, "mask")
            self.remark(*([change] if change else []))
        done = postprocess(half1, half2, np.clip(mask, 0, 1), size, options, self._mtf())
        self.remark(*done.remarks)
        plain = resolution_text(resolution_at(done.curves.unmasked, n, size), size, 2)
        without = "" if done.curves.cut else f", {plain} without"
        self.remark(
            f"Resolution at FSC 0.143: {resolution_text(done.resolution, size, 2)} within the mask{without}; B-factor "
            f"{done.bfactor:.0f} Å²."
        )
        path = self._getExtraPath("average.mrc")
        mrc.write_volume(path, done.volume, size)
        mrc.write_volume(self._getExtraPath("average_masked.mrc"), done.masked, size)
        curve = self._getExtraPath("fsc.csv")
        write_curves(curve, done.curves, n, size)
        _write_guinier(Path(self._getExtraPath("guinier.csv")), done.guinier)
        outputs = {
            "average": Average(
                file=path,
                pixel_size=size,
                box_size=n,
                half1_file=source.half1_file.get(),
                half2_file=source.half2_file.get(),
                symmetry=source.symmetry.get(),
                resolution=done.resolution,
                particles=source.particles.get(),
            ),
            "fsc": FSC(file=curve, pixel_size=size, resolution=done.resolution),
        }
        if options.local_resolution:
            window = options.local_window or max(WINDOWS * done.resolution, NARROWEST * size)
            local = local_resolution(half1, half2, mask, size, window)
            local_path = self._getExtraPath("local_resolution.mrc")
            mrc.write_volume(local_path, local, size)
            inside = local[local > 0]
            low, middle, high = np.percentile(inside, [10, 50, 90]) if len(inside) else (0, 0, 0)
            self.remark(
                f"Local resolution in the mask: median {middle:.1f} Å, {low:.1f} to {high:.1f} Å (10 and 90 %)."
            )
            outputs["resolution_map"] = Volume(file=local_path, pixel_size=size, box_size=n)
        self._register(self.input_average, **outputs)

    # --- helpers ---

    def _mtf(self) -> np.ndarray | None:
        """Return the modulation transfer in every shell of the average, None where no file is given."""
        path = self.mtf.get()
        if not path:
            return None
        blocks = read_blocks(path)
        columns = {"rlnResolutionInversePixel", "rlnMtfValue"}
        table = next((b for b in blocks.values() if columns <= set(b)), None)
        if table is None:
            raise FormatError(path, "no block has rlnResolutionInversePixel and rlnMtfValue.")
        source = self.input_average.get()
        size, n = float(source.pixel_size.get()), int(source.box_size.get())
        own = float(self.mtf_pixel_size.get() or size)
        if not SMALLEST_PIXEL <= own <= LARGEST_PIXEL:
            raise EmtomoError(
                f"Pixel size of the MTF must be from {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g} Å, got {own:g} Å."
            )
        x, y = (table[c].to_numpy(float) for c in ("rlnResolutionInversePixel", "rlnMtfValue"))
        order = np.argsort(x)
        return np.interp(np.arange(n // 2 + 1) / n * own / size, x[order], y[order])


def _write_guinier(path: Path, plot: Guinier) -> None:
    table = np.column_stack([plot.inverse_squared, plot.measured, plot.weighted, plot.sharpened])
    part = path.with_name(path.name + ".part")
    header = "inverse_squared,measured,weighted,sharpened"
    np.savetxt(part, table, delimiter=",", header=header, comments="", fmt="%.6g")
    part.replace(path)
