"""Protocol: refine orientations and positions to gold standard."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.object import Object
from pyworkflow.protocol.params import Form

from emtomo.compute.device import check_device
from emtomo.compute.fourier.shell_correlation import resolution_text
from emtomo.compute.refinement.checkpoint import pack_state, unpack_state
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.refine import Refinement, RefinementMetrics, RefinementResult, RefinementState
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import FSC, Average, Mask, SetOfParticles, SetOfParticleSeries, SetOfSubtomograms
from emtomo.objects.particle_input import (
    OTHER_NAMES,
    ParticleInputOptions,
    Particles,
    add_particle_inputs,
    input_problem,
    open_particles,
    particle_sizes,
)
from emtomo.objects.particle_poses import DUPLICATE, count_in_both_halves
from emtomo.objects.volume_arrays import resample_inputs, unusable_for_refinement, write_curves
from emtomo.objects.whole_files import find_arrays, write_arrays, write_table
from emtomo.options import Param
from emtomo.wording import count_text

EXPECTED = 8  # iterations of a usual run, for the time left


@dataclass(frozen=True, kw_only=True)
class ContinueOptions:
    """Where to go on."""

    continue_from: Annotated[
        int,
        Param(
            "Continue from iteration",
            "Of this run, with the parameters as they are now. 0: from the start, or "
            "after an interruption from the last iteration.",
            ge=0,
            expert=True,
        ),
    ] = 0


class RefinePoses(EmtomoProtocol):
    """Refine orientations and positions of particles against their own average, in independent halves (gold standard).

    Particles are subtomograms, images of micrographs, or particles of tilt series, whose images are cut when they are
    needed. Two halves of the particles are refined independently; the agreement of their averages (FSC) says how far
    to trust them, filters them, and is the resolution. It stops by itself.
    """

    NAME = "refine-poses"
    _label = "3D auto-refine"
    _possibleOutputs = {
        "subtomograms": SetOfSubtomograms,
        "particles": SetOfParticles,
        "particle_series": SetOfParticleSeries,
        "average": Average,
        "fsc": FSC,
        "mask": Mask,
    }
    OPTIONS = (RefineOptions, ParticleInputOptions, ContinueOptions)
    OTHER_NAMES = OTHER_NAMES
    PIECES = True
    KEEPS_PARTS = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        add_particle_inputs(self, form, "With orientations for local searches.")
        self._add_input(
            form, "reference", "Average,Volume", "Reference", "White density; any pixel size, box and grey scale."
        )
        self._add_input(
            form,
            "mask",
            "Mask",
            "Mask",
            "Soft mask of the particle. Empty: a sphere of the mask diameter.",
            optional=True,
        )

        add_device(form)

    def _check(self) -> list[str]:
        options, reading = self.options(RefineOptions), self.options(ParticleInputOptions)
        unusable = input_problem(self, reading)
        if not unusable:
            unusable = unusable_for_refinement(particle_sizes(self, reading)[0], self.input_reference.get())
        if unusable:
            return [unusable]
        items, errors = self.input_subtomograms.get(), []
        unknown = len(items) - items.count("r11")
        if len(items) < 2:
            errors.append(f"Refinement needs at least two particles, one in each half; there is {len(items)}.")
        if unknown and options.needs_orientations:
            errors.append(
                f"{unknown} of {len(items)} {items.NOUN} have no orientation: local searches start from one. Choose an "
                f"initial angular sampling above {options.local_from:g}°."
            )
        try:
            check_device(self.device.get())
            parse_symmetry(options.symmetry)
        except EmtomoError as error:
            errors.append(str(error))
        k = self.options(ContinueOptions).continue_from
        if k and not self._state_path(k).exists():
            errors.append(f"Iteration {k} of this run is not there: {self._state_path(k)} is missing.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.refine_step)

    def refine_step(self) -> None:
        """Iterate until nothing changes; keep every iteration; register."""
        self.forget_remarks()
        options = self.options(RefineOptions)
        particles = open_particles(self, self.options(ParticleInputOptions))
        source, sentences = particles.source, list(particles.remarks)
        volumes = resample_inputs(self, source.size, source.pixel_size, sentences)
        refinement = Refinement(
            source,
            particles.poses(options.seed),
            volumes["reference"],
            options,
            volumes.get("mask"),
            self.device.get(),
            self.map_reduce,
        )
        self.remark(*sentences, *refinement.remarks)
        said = len(refinement.remarks)
        state, metrics = self._last_state(refinement)
        _check_halves(particles, refinement.start.half, state)
        while not refinement.has_ended(state):
            done = state.progress.iteration
            state, one, *_ = refinement.step(state, self._counter(done, len(particles)))
            metrics.append(one)
            self._keep(state, metrics)
        result = refinement.finish(state, metrics)
        self._write_metrics(result.metrics)
        self.remark(*result.remarks[said:])
        self._output(particles, result)

    # --- helpers ---

    def _counter(self, iterations: int, particles: int) -> Callable[[int], None]:
        total = max(EXPECTED, iterations + 2)
        return lambda done: self.progress(iterations + done / particles, total, f"iteration {iterations + 1}")

    def _output(self, particles: Particles, result: RefinementResult) -> None:
        options, n, size = self.options(RefineOptions), particles.source.size, particles.source.pixel_size
        paths = {name: self._getExtraPath(f"{name}.mrc") for name in ("average", "half1", "half2", "mask")}
        mrc.write_volume(paths["average"], result.average, size)
        for h, volume in result.halves.items():
            mrc.write_volume(paths[f"half{h}"], volume, size)
        mrc.write_volume(paths["mask"], result.mask, size)
        curve = self._getExtraPath("fsc.csv")
        write_curves(curve, result.curves, n, size)
        last = result.metrics[-1]
        self.remark(
            f"Resolution: {resolution_text(result.resolution, size)} after {count_text(last.iteration, 'iteration')}; "
            "orientations are certain to "
            f"{last.angle_spread:.1f}°, positions to {last.shift_spread * size:.1f} Å (median)."
        )
        refined = particles.create_set(self._getPath(f"{particles.output}.sqlite"))
        rows = particles.rows(result.poses)
        refined.extend(rows)
        if shared := count_in_both_halves(rows):
            self.remark(
                f"{shared} of {count_text(len(rows), 'particle')} lie within {DUPLICATE:g} Å of one in the other half "
                "set: the same density is in both half maps, so that the resolution looks better than it is. "
                "Leave duplicates out and refine again."
            )
        average = Average(
            file=paths["average"],
            pixel_size=size,
            box_size=n,
            half1_file=paths["half1"],
            half2_file=paths["half2"],
            symmetry=parse_symmetry(options.symmetry),
            resolution=result.resolution,
            particles=len(particles),
        )
        outputs: dict[str, Object] = {
            particles.output: refined,
            "average": average,
            "fsc": FSC(file=curve, pixel_size=size, resolution=result.resolution),
            "mask": Mask(file=paths["mask"], pixel_size=size, box_size=n),
        }
        self._register(self.input_subtomograms, **outputs)

    # --- the state between iterations ---

    def _state_path(self, iteration: int) -> Path:
        return Path(self._getExtraPath("iterations")) / f"it_{iteration:03d}.npz"

    def _stamp(self) -> str:
        """Return what a kept iteration depends on, as text."""
        record = self.fingerprint()
        record["parameters"] = {k: v for k, v in record["parameters"].items() if k != "continue_from"}
        return json.dumps(record, sort_keys=True)

    def _keep(self, state: RefinementState, metrics: list[RefinementMetrics]) -> None:
        """Write an iteration, whole or not at all, and the metrics of all so far."""
        write_arrays(self._state_path(state.progress.iteration), pack_state(state, metrics, self._stamp()))
        self._write_metrics(metrics)

    def _write_metrics(self, metrics: list[RefinementMetrics]) -> None:
        write_table(Path(self._getExtraPath("metrics.csv")), pd.DataFrame([asdict(m) for m in metrics]))

    def _last_state(self, refinement: Refinement) -> tuple[RefinementState, list[RefinementMetrics]]:
        """Return the iteration to go on from: the one asked for, else the last of these very inputs and parameters."""
        wanted = self.options(ContinueOptions).continue_from
        kept = sorted(self._state_path(1).parent.glob("it_*.npz"), reverse=True)
        found = find_arrays([self._state_path(wanted)] if wanted else kept, None if wanted else self._stamp())
        if found is None:
            return refinement.begin(), []
        path, arrays = found
        state, metrics = unpack_state(arrays)
        size, count = len(state.halves[1].reference), len(state.poses)
        if (size, count) != (refinement.source.size, len(refinement.source)):
            raise EmtomoError(
                f"{path}: {count_text(count, 'particle')} in boxes of {size} voxels cannot be continued as "
                f"{len(refinement.source)} in boxes of {refinement.source.size} voxels."
            )
        return state, metrics


def _check_halves(particles: Particles, start: np.ndarray, state: RefinementState) -> None:
    """Refuse an iteration in which particles were in another half set than the one that they came with."""
    given = particles.frame["half"].fillna(0).to_numpy(int) > 0
    other = int((state.poses.half != start)[given].sum())
    if other:
        raise EmtomoError(
            f"Iteration {state.progress.iteration} has {other} of {count_text(len(start), 'particle')} in the other "
            "half set than these particles: it was made with others, and cannot be continued with these."
        )
