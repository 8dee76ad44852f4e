"""Protocol: sort images of particles into classes, and average these."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.classification.checkpoint import pack_state, unpack_state
from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.classification.schedule import count_iterations
from emtomo.compute.classification.state import ClassificationMetrics, ClassificationResult, ClassificationState
from emtomo.compute.device import check_device
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfClasses2D, SetOfParticles
from emtomo.objects.image_particles import StackedParticleImages, StackedParticles
from emtomo.objects.optics_fields import without_ctf
from emtomo.objects.whole_files import find_arrays, write_arrays, write_table
from emtomo.options import Param
from emtomo.wording import count_text

SHOWN = 5  # names in a sentence
GAIN = "gain of a class: mean log likelihood per particle over that of noise alone"


@dataclass(frozen=True, kw_only=True)
class ContinueClassificationOptions:
    """Where to go on."""

    continue_from: Annotated[
        int,
        Param(
            "Continue from iteration",
            "Of this run, with the parameters as they are now: more iterations, or a finer sampling. 0: from the "
            "start, or after an interruption from the last iteration.",
            ge=0,
            expert=True,
        ),
    ] = 0


class Classify2D(EmtomoProtocol):
    """Sort images of particles into classes of similar views, and average each.

    Every particle gets a class, an angle, a shift and a gain: by how much its class explains it better than noise
    does. Classes of junk have the lowest gain.
    """

    NAME = "classify-2d"
    _label = "2D classification"
    _possibleOutputs = {"classes": SetOfClasses2D, "particles": SetOfParticles}
    OPTIONS = (ClassificationOptions, ContinueClassificationOptions)
    PIECES = True
    KEEPS_PARTS = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "particles", "SetOfParticles", "Input particles", "Images cut out of micrographs.")
        add_device(form)

    def _check(self) -> list[str]:
        particles, options = self.input_particles.get(), self.options(ClassificationOptions)
        errors, count = [], len(particles)
        if count == 0:
            return ["There are no particles to classify: the input is an empty set."]
        if options.mask_diameter is None:
            errors.append("Mask diameter must be given: that of a circle which holds the particle in every view.")
        if options.number_of_classes > count:
            errors.append(
                f"{count_text(count, 'particle')} cannot make {count_text(options.number_of_classes, 'class')}."
            )
        missing = without_ctf(particles.frame())
        if options.ctf_correction and missing:
            listed = ", ".join(missing[:SHOWN]) + (" …" if len(missing) > SHOWN else "")
            errors.append(
                f"The CTF of {count_text(len(missing), 'micrograph')} is "
                f"not known ({listed}): estimate it first, or switch CTF "
                "correction off."
            )
        if particles.premultiplied.get():
            errors.append("The images were multiplied with their CTF; classification takes images as they were cut.")
        try:
            check_device(self.device.get())
        except EmtomoError as error:
            errors.append(str(error))
        k = self.options(ContinueClassificationOptions).continue_from
        if k and not self._state_path(k).exists():
            errors.append(f"Iteration {k} of this run is not there: {self._state_path(k)} is missing.")
        elif k >= count_iterations(options):
            errors.append(f"To continue from iteration {k}, the number of iterations must be above it.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.classify_step)

    def classify_step(self) -> None:
        """Go through the iterations, keep each, and register classes and particles."""
        self.forget_remarks()
        particles, options = self.input_particles.get(), self.options(ClassificationOptions)
        frame = particles.frame()
        classification = self._classification(particles, frame, options)
        self.remark(*classification.remarks)
        state, metrics = self._last_state(classification)
        total = count_iterations(options)
        while not classification.has_ended(state):
            state, one = classification.step(state, self._counter(state.iteration, total, len(frame)))
            metrics.append(one)
            self._keep(state, metrics)
        result = classification.finish(state, metrics)
        self.remark(*result.remarks[len(classification.remarks) :])
        self._output(particles, frame, result)

    # --- helpers ---

    def _counter(self, iterations: int, total: int, particles: int) -> Callable[[int], None]:
        what = f"iteration {iterations + 1} of {total}"
        return lambda done: self.progress(iterations + done / particles, total, what)

    def _classification(
        self, particles: SetOfParticles, frame: pd.DataFrame, options: ClassificationOptions
    ) -> Classification:
        size, n = float(particles.pixel_size.get()), int(particles.box_size.get())
        sign = 1 if particles.white.get() else -1
        files = [str(name) for name in frame["file"]]
        stacks = StackedParticles(files, frame["index"].to_numpy(int), n, size, sign, None, False)
        stacks.check()
        ctf = particles.ctf(frame) if options.ctf_correction else None
        return Classification(
            StackedParticleImages(stacks), size, options, ctf, noise_groups(frame), self.map_reduce, self.device.get()
        )

    def _output(self, particles: SetOfParticles, frame: pd.DataFrame, result: ClassificationResult) -> None:
        size, n = float(particles.pixel_size.get()), int(particles.box_size.get())
        stack = self._getExtraPath("averages.mrcs")
        mrc.write_volume(stack, result.averages, size, stack=True)
        classes = SetOfClasses2D.create(
            self._getPath("classes.sqlite"), pixel_size=size, box_size=n, particles=len(frame)
        )
        count = len(result.averages)
        classes.extend(
            pd.DataFrame(
                {
                    "class_number": np.arange(1, count + 1),
                    "file": stack,
                    "index": np.arange(count),
                    "members": result.members,
                    "share": result.share,
                    "resolution": result.resolution,
                    "gain": result.class_gain,
                    "explained": result.explained,
                }
            )
        )
        assigned = SetOfParticles.create(self._getPath("particles.sqlite"))
        assigned.copy_fields(particles)
        shift = result.shift * size
        assigned.extend(
            frame.assign(
                class_number=result.class_index + 1,
                psi=result.psi,
                shift_x=shift[:, 0],
                shift_y=shift[:, 1],
                gain=result.gain,
                certainty=result.certainty,
            )
        )
        occupied = result.members > 0
        self.remark(
            f"{count_text(len(frame), 'particle')} in {int(occupied.sum())} "
            f"of {count_text(count, 'class')}, the largest with "
            f"{result.members.max()}; gain {np.nanmin(result.class_gain):.1f} to {np.nanmax(result.class_gain):.1f} "
            f"({GAIN}). Resolutions of classes are optimistic: they are no FSC."
        )
        self._register(self.input_particles, classes=classes, particles=assigned)

    # --- the state between iterations ---

    def _state_path(self, iteration: int) -> Path:
        return Path(self._getExtraPath("iterations")) / f"it_{iteration:03d}.npz"

    def _stamp(self) -> str:
        """Return what a kept iteration depends on, as text."""
        record = self.fingerprint()
        record["parameters"] = {k: v for k, v in record["parameters"].items() if k != "continue_from"}
        return json.dumps(record, sort_keys=True)

    def _keep(self, state: ClassificationState, metrics: list[ClassificationMetrics]) -> None:
        """Write an iteration, whole or not at all, and the metrics of all so far."""
        write_arrays(self._state_path(state.iteration), pack_state(state, metrics, self._stamp()))
        write_table(Path(self._getExtraPath("metrics.csv")), pd.DataFrame([asdict(m) for m in metrics]))

    def _last_state(self, classification: Classification) -> tuple[ClassificationState, list[ClassificationMetrics]]:
        """Return the iteration to go on from: the one asked for, else the last of these very inputs and parameters."""
        wanted = self.options(ContinueClassificationOptions).continue_from
        kept = sorted(self._state_path(1).parent.glob("it_*.npz"), reverse=True)
        found = find_arrays([self._state_path(wanted)] if wanted else kept, None if wanted else self._stamp())
        if found is None:
            return classification.begin(), []
        path, arrays = found
        state, metrics = unpack_state(arrays)
        same = len(state.class_index) == len(classification)
        same &= state.references.shape == (classification.options.number_of_classes, *classification.mask.shape)
        if not same:
            raise EmtomoError(
                f"{path}: {count_text(len(state.class_index), 'particle')} "
                f"in {count_text(len(state.references), 'class')} cannot be "
                f"continued as {len(classification)} in {classification.options.number_of_classes}."
            )
        return state, metrics


def noise_groups(frame: pd.DataFrame) -> np.ndarray:
    """Return the group, from 0, of every row: of its regrouping where there was one, else its micrograph."""
    column = "group" if frame["group"].nunique() > 1 else "micrograph_id"
    return np.unique(frame[column].to_numpy(), return_inverse=True)[1].astype(np.int32)
