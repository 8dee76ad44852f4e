"""Protocol: the average of particles in known poses."""

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
from emtomo.objects.particle_input import (
    OTHER_NAMES,
    ParticleInputOptions,
    add_particle_inputs,
    input_problem,
    open_particles,
)
from emtomo.objects.volume_arrays import write_curves
from emtomo.wording import count_text


class ReconstructAverage(EmtomoProtocol):
    """Average particles in their given poses in Fourier space, each frequency weighted by how much of it was measured.

    Particles are subtomograms, images of micrographs, or particles of tilt series, whose images are cut when they are
    needed: at any pixel size, nothing is written. Missing wedge, 3D CTF or CTF and dose of every particle are taken
    into account; half maps are made too. For a first reference of low resolution a random part of them (500, say) is
    enough.
    """

    NAME = "reconstruct-average"
    _label = "reconstruct average"
    _possibleOutputs = {"average": Average, "fsc": FSC}
    OPTIONS = (ReconstructOptions, ParticleInputOptions)
    OTHER_NAMES = OTHER_NAMES
    PIECES = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        add_particle_inputs(self, form, "With orientations.")

    def _check(self) -> list[str]:
        items = self.input_subtomograms.get()
        unknown = len(items) - items.count("r11")
        errors = [f"{unknown} of {len(items)} {items.NOUN} have no orientation."] if unknown else []
        errors += [sentence for sentence in [input_problem(self, self.options(ParticleInputOptions))] if sentence]
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
        options = self.options(ReconstructOptions)
        particles = open_particles(self, self.options(ParticleInputOptions), number=options.number, seed=options.seed)
        self.remark(*particles.remarks)
        size, n = particles.source.pixel_size, particles.source.size
        radius = min(n / 2, n * size / options.max_resolution) if options.max_resolution else None
        group = parse_symmetry(options.symmetry)
        result = reconstruct(
            particles.source,
            particles.poses(options.seed),
            group,
            radius,
            lambda done: self.progress(done, len(particles)),
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
            self.remark(_one_half(len(particles), next(iter(result.halves))))
            values = {}
        average = Average(
            file=path,
            pixel_size=size,
            box_size=n,
            symmetry=group,
            resolution=resolution,
            particles=len(particles),
            **values,
        )
        self._register(self.input_subtomograms, average=average, **outputs)


def _one_half(particles: int, half: int) -> str:
    """Return why there is one half map only."""
    if particles == 1:
        return "There is one particle only: no half maps and no resolution."
    return (
        f"All {count_text(particles, 'particle is', 'particles are')} in half "
        f"set {half}, the other is empty: no half maps and no resolution."
    )
