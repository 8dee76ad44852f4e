"""Protocol: apply a mask to a volume."""

from pyworkflow.protocol.params import Form

from emtomo.compute.masks import ApplyMaskOptions, apply_mask
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import Volume
from emtomo.objects.volume_arrays import box_problem, resample_to_box, volume_of


class ApplyMask(EmtomoProtocol):
    """Keep the density of a volume within a mask, or outside it, and fill the rest with zero or its mean."""

    NAME = "apply-mask"
    _label = "apply mask"
    _possibleOutputs = {"volume": Volume}
    OPTIONS = (ApplyMaskOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "volume", "Volume,Average", "Volume", "The density.")
        self._add_input(form, "mask", "Mask", "Mask", "Resampled where its box or pixel size is another.")

    def _check(self) -> list[str]:
        problems = [box_problem(self.input_volume.get()), box_problem(self.input_mask.get())]
        return [sentence for sentence in problems if sentence][:1]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.mask_step)

    def mask_step(self) -> None:
        """Apply the mask and register the volume."""
        self.forget_remarks()
        source, size = self.input_volume.get(), float(self.input_volume.get().pixel_size.get())
        volume = volume_of(source)
        mask, change = resample_to_box(self.input_mask.get(), volume.shape[0], size, "mask")
        masked = apply_mask(volume, mask, self.options(ApplyMaskOptions))
        self.remark(*([change] if change else []))
        power = float((volume.astype(float) ** 2).sum())
        if power > 0:
            share = 100 * float((masked.astype(float) ** 2).sum()) / power
            self.remark(f"The mean of the mask is {float(mask.mean()):.3f}; the result has {share:.1f} % of the power.")
        path = self._getExtraPath("masked.mrc")
        mrc.write_volume(path, masked, size)
        self._register(self.input_volume, volume=Volume(file=path, pixel_size=size, box_size=source.box_size.get()))
