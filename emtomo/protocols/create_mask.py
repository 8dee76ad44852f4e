"""Protocol: make a mask."""

from pyworkflow.protocol.params import Form

from emtomo.compute.fourier.box_faces import reaches_faces
from emtomo.compute.masks import MaskOptions, create_mask
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import Mask
from emtomo.objects.volume_arrays import volume_of


class CreateMask(EmtomoProtocol):
    """Make a mask from a density, or a sphere or cylinder of its size, with a soft edge or binary.

    A cylinder of the diameter of one unit keeps the central unit of a lattice.
    """

    NAME = "create-mask"
    _label = "create 3D mask"
    _possibleOutputs = {"mask": Mask}
    OPTIONS = (MaskOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "volume", "Volume,Average,Mask", "Volume", "Gives the density, the box and pixel size.")

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.mask_step)

    def mask_step(self) -> None:
        """Make the mask and register it."""
        self.forget_remarks()
        source, options = self.input_volume.get(), self.options(MaskOptions)
        mask = create_mask(volume_of(source), source.pixel_size.get(), options)
        path = self._getExtraPath("mask.mrc")
        mrc.write_volume(path, mask, source.pixel_size.get())
        self.remark(f"{100 * float(mask.mean()):.1f} % of the box lie within the mask.")
        if not options.invert and reaches_faces(mask):
            self.remark(
                "The mask reaches the border of the box: the particle or its soft edge is cut there. Take larger boxes "
                "or a narrower mask."
            )
        out = Mask(file=path, pixel_size=source.pixel_size.get(), box_size=source.box_size.get())
        self._register(self.input_volume, mask=out)
