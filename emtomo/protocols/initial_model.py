"""Protocol: an initial model from particles alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.object import Object
from pyworkflow.protocol.params import Form

from emtomo.compute.device import check_device
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.shrinking import ShrunkParticles
from emtomo.compute.refinement.model_agreement import correlate_models
from emtomo.compute.refinement.stochastic_gradient import SMALLEST_BOX, InitialModelOptions, StochasticModel
from emtomo.compute.refinement.symmetric_model import impose_symmetry
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import Average, SetOfParticles, SetOfParticleSeries, SetOfSubtomograms
from emtomo.objects.particle_input import (
    OTHER_NAMES,
    ParticleInputOptions,
    Particles,
    add_particle_inputs,
    input_problem,
    open_particles,
    particle_sizes,
)
from emtomo.objects.volume_arrays import resample_inputs
from emtomo.objects.whole_files import write_table
from emtomo.options import Param
from emtomo.wording import count_text

LOW = 0.5  # mean correlation of shells with their turned copies, below which a symmetry is doubtful


@dataclass(frozen=True, kw_only=True)
class ShrinkOptions:
    """What goes in and comes out."""

    shrink: Annotated[
        int, Param("Shrink factor", "Bin the boxes first: faster, and enough where the filter is coarse.", ge=1, le=16)
    ] = 1
    seeds: Annotated[
        int,
        Param(
            "Number of seeds",
            "This many models are made, from successive random seeds; the likeliest is kept, and its agreement with "
            "the others is reported.",
            ge=1,
            le=20,
        ),
    ] = 1
    return_aligned: Annotated[
        bool, Param("Return aligned subtomograms", "Those that were in a batch, with their poses.")
    ] = True


class InitialModel(EmtomoProtocol):
    """Estimate a model of low resolution from particles, without any reference.

    Batches of particles are aligned to the model and the model learns from each; it begins as a batch in random
    orientations. The missing wedge or CTF of every particle is taken into account.
    """

    NAME = "initial-model"
    _label = "initial model"
    _possibleOutputs = {
        "average": Average,
        "subtomograms": SetOfSubtomograms,
        "particles": SetOfParticles,
        "particle_series": SetOfParticleSeries,
    }
    OPTIONS = (InitialModelOptions, ShrinkOptions, ParticleInputOptions)
    OTHER_NAMES = OTHER_NAMES
    PIECES = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        add_particle_inputs(self, form, "Orientations are not needed.")
        self._add_input(
            form,
            "reference",
            "Volume,Average",
            "Reference",
            "The first model. Empty: random orientations.",
            optional=True,
        )
        self._add_input(form, "mask", "Mask,Volume", "Mask", "Empty: a sphere.", optional=True)
        add_device(form)

    def _check(self) -> list[str]:
        options, reading, errors = self.options(ShrinkOptions), self.options(ParticleInputOptions), []
        problem = input_problem(self, reading)
        if problem:
            return [problem]
        n, pixel = particle_sizes(self, reading)
        try:
            check_device(self.device.get())
            parse_symmetry(self.options(InitialModelOptions).symmetry)
        except EmtomoError as error:
            errors.append(str(error))
        if n // options.shrink < SMALLEST_BOX:
            errors.append(
                f"Boxes of {n} voxels shrunk by {options.shrink} have {n // options.shrink}; {SMALLEST_BOX} are needed."
            )
        finest = 2 * pixel * options.shrink
        if self.options(InitialModelOptions).filter_to < finest:
            errors.append(f"Filter to must be at least {finest:g} Å, two pixels of the boxes as they are shrunk.")
        if n % options.shrink:
            errors.append(f"The box of {n} voxels cannot be divided by the shrink factor {options.shrink}.")
        count = len(self.input_subtomograms.get())
        classes = self.options(InitialModelOptions).number_of_classes
        if classes > count:
            errors.append(f"The number of classes ({classes}) must not be above that of the particles ({count}).")
        if count < 2:
            errors.append(f"An initial model needs at least two particles, there is {count}.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.model_step)

    def model_step(self) -> None:
        """Go through the batches and register the model."""
        self.forget_remarks()
        factor = self.options(ShrinkOptions).shrink
        particles = open_particles(self, self.options(ParticleInputOptions))
        pixel, n = particles.source.pixel_size * factor, particles.source.size // factor
        sentences = list(particles.remarks)
        volumes = resample_inputs(self, n, pixel, sentences)
        model = self._grow(particles, volumes, sentences)
        self.remark(*sentences)
        self._output(particles, model, pixel)

    # --- helpers ---

    def _grow(self, particles: Particles, volumes: dict[str, np.ndarray], sentences: list[str]) -> StochasticModel:
        """Grow a model from every seed and return the likeliest; add to `sentences` how they agree."""
        options, shrinking = self.options(InitialModelOptions), self.options(ShrinkOptions)
        source = ShrunkParticles(particles.source, shrinking.shrink)
        grown: list[StochasticModel] = []
        self._changes: list[dict[str, float]] = []
        later = parse_symmetry(options.symmetry) != "C1" and not options.apply_symmetry
        whole = options.iterations * options.batches * (shrinking.seeds + (0.5 if later else 0.0))
        for k in range(shrinking.seeds):
            model = StochasticModel(
                source,
                particles.poses(options.seed, source.pixel_size),
                replace(options, seed=options.seed + k),
                volumes.get("reference"),
                volumes.get("mask"),
                self.device.get(),
                self.map_reduce,
            )

            self._run_batches(model, f"seed {options.seed + k}", whole)
            grown.append(model)
        best = int(np.argmax([model.likelihood for model in grown]))
        model = grown[best]
        agreement = _agreement(grown, best, source.pixel_size, options)
        if later:
            model, axes = impose_symmetry(model)
            sentences.append(
                f"Shells of the model without symmetry correlate by {axes.score:.2f} on average with its copies under "
                f"{model.symmetry}{'' if axes.score >= LOW else ', which is little: this may not be the symmetry'}; "
                f"symmetrized, it went on for {model.total} batches."
            )
            self._run_batches(model, f"symmetry {model.symmetry}", whole)
        last = [row["change"] for row in self._changes[-options.batches :]]
        sentences.append(
            f"{int(model.touched.sum())} of {count_text(len(particles), 'particle')} "
            "were in a batch; in the last iteration a batch "
            f"changed the model by {100 * np.mean(last):.2f} % (1 - correlation)."
        )
        if len(model.shares) > 1:
            shares = ", ".join(f"{share:.0%}" for share in np.sort(model.shares)[::-1])
            sentences.append(f"Shares of the classes: {shares}; the first is the model.")
        sentences += agreement
        return model

    def _run_batches(self, model: StochasticModel, what: str, whole: float) -> None:
        """Run a model through its batches, of `whole` in all."""
        before = len(self._changes)

        def keep_change(done: int, total: int, change: float) -> None:
            self._changes.append({"batch": before + done, "change": change})
            self._write_changes(self._changes)
            self.progress(min(before + done, whole), whole, f"{what}, batch {done} of {total}")

        model.run(keep_change)

    def _write_changes(self, changes: list[dict[str, float]]) -> None:
        write_table(Path(self._getExtraPath("changes.csv")), pd.DataFrame(changes))

    def _output(self, particles: Particles, model: StochasticModel, pixel: float) -> None:
        options, average = self.options(InitialModelOptions), model.half.reference
        path = self._getExtraPath("average.mrc")
        mrc.write_volume(path, average, pixel)
        outputs: dict[str, Object] = {
            "average": Average(
                file=path,
                pixel_size=pixel,
                box_size=average.shape[0],
                symmetry=model.symmetry,
                resolution=options.filter_to,
                particles=int(model.touched.sum()),
            )
        }
        if self.options(ShrinkOptions).return_aligned:
            chosen, poses = model.align_all()
            kept = Poses(**{name: values[chosen] for name, values in vars(poses).items()})
            aligned = particles.create_set(self._getPath(f"{particles.output}.sqlite"))
            some = particles.take(chosen)
            half = some.frame["half"].sort_index().reset_index(drop=True)
            aligned.extend(some.rows(kept, pixel).assign(half=half))
            outputs[particles.output] = aligned
        self._register(self.input_subtomograms, **outputs)


def _agreement(grown: list[StochasticModel], best: int, pixel_size: float, options: InitialModelOptions) -> list[str]:
    """Return in sentences how the models of other seeds agree with the likeliest."""
    if len(grown) == 1:
        return []
    words = []
    for k, model in enumerate(grown):
        text = f"seed {options.seed + k}: log likelihood {model.likelihood:.1f}"
        if k != best:
            mean, mirrored = correlate_models(
                grown[best].half.reference, model.half.reference, pixel_size, options.filter_to
            )
            text += f", mean FSC {mean:.2f}{' (mirrored)' if mirrored else ''}"
        words.append(text)
    return [
        f"The model of seed {options.seed + best} is the likeliest and kept. {'; '.join(words)}. Models that agree are "
        "likely right; images of single views do not tell the hand."
    ]
