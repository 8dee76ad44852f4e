"""Protocol: the average of subtomograms in known poses."""

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.fourier.shell_correlation import (
    FscCurves,
    resolution_at,
    resolution_text,
    why_no_resolution,
)
from emtomo.compute.refinement.options import ReconstructOptions
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import FSC, Average
from emtomo.objects.particle_poses import poses_of
from emtomo.objects.particle_source import particles_of, stack_remarks
from emtomo.objects.volume_arrays import write_curves


class ReconstructAverage(EmtomoProtocol):
    """Average subtomograms in their given poses in Fourier space, each frequency weighted by what was measured of it.

    Missing wedge or 3D CTF of every particle are taken into account; half maps are made too. For a
    first reference of low resolution a random part of them (500, say) is enough.
    """

    NAME = "reconstruct-average"
    _label = "reconstruct average"
    _possibleOutputs = {"average": Average, "fsc": FSC}
    OPTIONS = (ReconstructOptions,)
    PIECES = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "subtomograms", "SetOfSubtomograms", "Subtomograms", "With orientations.")

    def _check(self) -> list[str]:
        known = self.input_subtomograms.get().frame(["r11"])["r11"].notna()
        errors = [] if known.all() else [f"{int((~known).sum())} of {len(known)} subtomograms have no orientation."]
        if not len(known):
            errors.append("There is no subtomogram.")
        try:
            parse_symmetry(self.options(ReconstructOptions).symmetry)
        except EmtomoError as error:
            errors.append(str(error))
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.reconstruct_step)

    def reconstruct_step(self) -> None:
        """Insert all particles, divide by their weights, register."""
        self.forget_remarks()
        options, boxes = self.options(ReconstructOptions), self.input_subtomograms.get()
        self.remark(*stack_remarks(boxes))
        frame = boxes.frame()
        if 0 < options.number < len(frame):
            chosen = np.random.default_rng(options.seed).choice(len(frame), options.number, replace=False)
            frame = frame.iloc[np.sort(chosen)].reset_index(drop=True)
        size, n = float(boxes.pixel_size.get()), int(boxes.box_size.get())
        poses = poses_of(frame, size, options.seed)
        radius = min(n / 2, n * size / options.max_resolution) if options.max_resolution else None
        group = parse_symmetry(options.symmetry)
        result = reconstruct(
            particles_of(boxes, frame),
            poses,
            group,
            radius,
            lambda done: self.progress(done, len(frame)),
            self.map_reduce,
        )
        path = self._getExtraPath("average.mrc")
        mrc.write_volume(path, result.average, size)
        values = {}
        for h, volume in result.halves.items():
            values[f"half{h}_file"] = self._getExtraPath(f"half{h}.mrc")
            mrc.write_volume(values[f"half{h}_file"], volume, size)
        resolution = 0.0
        outputs = {}
        if len(result.halves) == 2:
            resolution = resolution_at(result.fsc, n, size)
            curve = self._getExtraPath("fsc.csv")
            none = np.zeros_like(result.fsc)
            write_curves(curve, FscCurves(result.fsc, result.fsc, none, result.fsc, n), n, size)
            outputs["fsc"] = FSC(file=curve, pixel_size=size, resolution=resolution)
            agreement = f"Resolution of the half maps: {resolution_text(resolution, size)} (FSC 0.143, unmasked)."
            self.remark(why_no_resolution(result.fsc, n) or agreement)
        else:
            self.remark(_one_half(len(frame), next(iter(result.halves))))
            values = {}
        average = Average(
            file=path,
            pixel_size=size,
            box_size=n,
            symmetry=group,
            resolution=resolution,
            particles=len(frame),
            **values,
        )
        self._register(self.input_subtomograms, average=average, **outputs)


def _one_half(particles: int, half: int) -> str:
    """Return why there is one half map only."""
    if particles == 1:
        return "There is one particle only: no half maps and no resolution."
    return f"All {particles} particles are in half set {half}, the other is empty: no half maps and no resolution."
