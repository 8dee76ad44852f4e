"""Protocol: denoise tomograms for picking."""

from pyworkflow.protocol.params import Form

from emtomo.compute.denoise import DenoiseOptions, denoise
from emtomo.compute.device import check_device
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms


class DenoiseTomograms(EmtomoProtocol):
    """Denoise tomograms and keep their edges: edge-enhancing diffusion or Beltrami flow.

    For picking and for the eye; average particles from the tomograms before
    denoising.
    """

    NAME = "denoise-tomograms"
    _label = "denoise tomograms"
    _possibleOutputs = {"tomograms": SetOfTomograms}
    OPTIONS = (DenoiseOptions,)
    STEPS_APART = ("denoise_step",)
    STEPS_PER = "tomogram"
    CITATIONS = ("Fernandez 2009, BMC Bioinformatics 10:178", "Moreno et al. 2018, Bioinformatics 34:3776")

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Tomograms", "What to denoise.")
        add_device(form)

    def _check(self) -> list[str]:
        check_device(self.device.get())
        return []

    def methods_sentence(self) -> str:
        """Return what was run, for a paper."""
        name = {"eed": "edge-enhancing anisotropic diffusion", "bflow": "Beltrami flow"}[self.method.get()]
        return f"Tomograms were denoised with {name}."

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.denoise_step, self.input_tomograms.get().tomogram_ids(), self.output_step)

    def denoise_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Denoise one tomogram."""
        tomograms = self.input_tomograms.get()
        row = tomograms.frame(tomogram_id=tomogram_id).iloc[0]
        denoised = denoise(
            mrc.open_volume(row["file"]),
            self.options(DenoiseOptions),
            device=self.device.get(),
            progress=lambda a, b: self.progress(number + a / b, total),
        )
        mrc.write_volume(self._file(tomogram_id), denoised, tomograms.pixel_size.get())

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Register the denoised tomograms."""
        tomograms = self.input_tomograms.get()
        frame = tomograms.frame()
        frame["file"] = [self._file(name) for name in frame["tomogram_id"]]
        frame[["half1_file", "half2_file"]] = None
        out = SetOfTomograms.create(self._getPath("tomograms.sqlite"))
        out.copy_fields(tomograms)
        out.extend(frame)
        self._register(self.input_tomograms, tomograms=out)

    def _file(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.mrc")
