"""Protocol: sort particles into 3D classes."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pyworkflow.object import Object
from pyworkflow.protocol.params import Form

from emtomo.compute.classification.classify_3d import Classification3D
from emtomo.compute.classification.options_3d import Classification3DOptions
from emtomo.compute.classification.state_3d import ClassState, pack_classes, unpack_classes
from emtomo.compute.device import check_device
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import Average, SetOfClasses3D, SetOfParticles, SetOfParticleSeries, SetOfSubtomograms
from emtomo.objects.particle_input import (
    OTHER_NAMES,
    ParticleInputOptions,
    Particles,
    add_particle_inputs,
    input_problem,
    open_particles,
    particle_sizes,
)
from emtomo.objects.volume_arrays import resample_inputs, unusable_for_refinement
from emtomo.objects.whole_files import find_arrays, write_arrays, write_table
from emtomo.wording import count_text

COLUMNS = ["iteration", "likelihood", "changed", "compared_to"]


class Classify3D(EmtomoProtocol):
    """Sort particles into classes of different structure: states of a molecule, empty sites of a lattice, junk.

    As many maps as classes compete for the particles: subtomograms, images of micrographs, or particles of tilt series.
    Each particle belongs to every class with its probability. Particles that were refined together are best sorted
    without alignment.
    """

    NAME = "classify-3d"
    _label = "3D classification"
    _possibleOutputs = {
        "classes": SetOfClasses3D,
        "subtomograms": SetOfSubtomograms,
        "particles": SetOfParticles,
        "particle_series": SetOfParticleSeries,
        "average": Average,
    }
    OPTIONS = (Classification3DOptions, ParticleInputOptions)
    OTHER_NAMES: ClassVar[dict[str, str]] = {**OTHER_NAMES, "classes": "number_of_classes"}
    PIECES = True
    KEEPS_PARTS = True

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        add_particle_inputs(self, form, "With orientations, unless all are searched.")
        self._add_input(
            form,
            "reference",
            "Average,Volume",
            "Reference",
            "White density; any pixel size, box and grey scale. Empty: the average of the particles as they are.",
            optional=True,
        )
        self._add_input(
            form, "mask", "Mask", "Mask", "Where the particles differ; soft. Empty: a sphere.", optional=True
        )
        add_device(form)

    def _check(self) -> list[str]:
        options, reading = self.options(Classification3DOptions), self.options(ParticleInputOptions)
        problem = input_problem(self, reading)
        if not problem and not self.input_reference.pointsNone():
            problem = unusable_for_refinement(particle_sizes(self, reading)[0], self.input_reference.get())
        if problem:
            return [problem]
        items, errors = self.input_subtomograms.get(), []
        unknown = len(items) - items.count("r11")
        searched = options.align and options.angular_step > options.local_from
        if unknown and not searched:
            errors.append(
                f"{unknown} of {len(items)} {items.NOUN} have no orientation: they can only be sorted with alignment, "
                f"and an angular sampling interval above {options.local_from:g}°."
            )
        if unknown and self.input_reference.pointsNone():
            errors.append("Particles without orientations need a reference; initial-model makes one.")
        k = options.number_of_classes
        if len(items) < 2 * k:
            errors.append(
                f"{count_text(k, 'class needs', 'classes need')} at least "
                f"{count_text(2 * k, 'particle')}, there are {len(items)}."
            )
        try:
            check_device(self.device.get())
            parse_symmetry(options.symmetry)
        except EmtomoError as error:
            errors.append(str(error))
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.classify_step)

    def classify_step(self) -> None:
        """Iterate, keep every iteration, register."""
        self.forget_remarks()
        options = self.options(Classification3DOptions)
        particles = open_particles(self, self.options(ParticleInputOptions))
        source, sentences = particles.source, list(particles.remarks)
        volumes = resample_inputs(self, source.size, source.pixel_size, sentences)
        self.remark(*sentences)
        start = particles.poses(options.seed)
        model = Classification3D(
            source, start, options, volumes.get("reference"), volumes.get("mask"), self.device.get(), self.map_reduce
        )
        state = self._last_state()
        total = options.iterations + 2
        if state is None:
            state = model.begin(lambda done: self.progress(done / len(particles), total, "random starts"))
            Path(self._getExtraPath("classes.csv")).unlink(missing_ok=True)
        while state.iteration < options.iterations:
            k = state.iteration
            state = model.step(
                state,
                lambda done, k=k: self.progress(1 + k + done / len(particles), total, f"iteration {k + 1}"),  # type: ignore[misc]
                last=k == options.iterations - 1,
            )
            self._keep(state, source.size * source.pixel_size / state.shell)
        self._output(particles, state)

    # --- helpers ---

    def _output(self, particles: Particles, state: ClassState) -> None:
        options, n, pixel = self.options(Classification3DOptions), particles.source.size, particles.source.pixel_size
        order = np.argsort(-np.bincount(state.numbers, minlength=options.number_of_classes), kind="stable")
        group, rows = parse_symmetry(options.symmetry), []
        for number, c in enumerate(order, 1):
            path = self._getExtraPath(f"class_{number:03d}.mrc")
            mrc.write_volume(path, state.references[c].astype(np.float32), pixel)
            members = int((state.numbers == c).sum())
            rows.append((number, path, members, float(state.shares[c]), float(state.resolutions[c])))
        classes = SetOfClasses3D.create(
            self._getPath("classes.sqlite"), pixel_size=pixel, box_size=n, particles=len(particles), symmetry=group
        )
        frame = pd.DataFrame(rows, columns=["class_number", "file", "members", "share", "resolution"])
        classes.extend(frame)
        number_of = np.empty(options.number_of_classes, int)
        number_of[order] = np.arange(options.number_of_classes) + 1
        out = particles.create_set(self._getPath(f"{particles.output}.sqlite"))
        sorted_rows = particles.with_classes(number_of[state.numbers], state.probability.max(axis=1))
        out.extend(sorted_rows.rows(state.poses) if options.align else sorted_rows.rows_with_own_poses())
        largest = frame.iloc[0]
        average = Average(
            file=largest["file"], pixel_size=pixel, box_size=n, symmetry=group,
            resolution=float(largest["resolution"]), particles=int(largest["members"]),
        )  # fmt: skip
        shares = ", ".join(f"{row.members} in class {row.class_number} ({row.resolution:.0f} Å)" for row in
                           frame.itertuples())  # fmt: skip
        self.remark(
            f"{shares}. Resolutions are optimistic: halves of a class share their reference.",
            f"In the last iteration {100 * state.changed:.1f} % of the particles changed their class; a particle's "
            f"likeliest class has a probability of {state.probability.max(axis=1).mean():.2f} on average.",
        )
        empty = [str(row.class_number) for row in frame.itertuples() if row.members == 0]
        if empty:
            self.remark(f"No particle is in class {', '.join(empty)}: fewer classes explain these particles as well.")
        outputs: dict[str, Object] = {"classes": classes, particles.output: out, "average": average}
        self._register(self.input_subtomograms, **outputs)

    def _stamp(self) -> str:
        return json.dumps(self.fingerprint(), sort_keys=True)

    def _keep(self, state: ClassState, compared_to: float) -> None:
        """Write an iteration, whole or not at all, and a line of the table of all."""
        write_arrays(Path(self._getExtraPath("iteration.npz")), pack_classes(state, self._stamp()))
        table = Path(self._getExtraPath("classes.csv"))
        old = pd.read_csv(table) if table.exists() else pd.DataFrame()
        row = {"iteration": state.iteration, "likelihood": state.likelihood, "changed": state.changed,
               "compared_to": compared_to}  # fmt: skip
        row |= {f"share_{c + 1}": share for c, share in enumerate(state.shares)}
        write_table(table, pd.concat([old, pd.DataFrame([row])]))

    def _last_state(self) -> ClassState | None:
        """Return the last iteration of these very inputs and parameters; None where there is none."""
        found = find_arrays([Path(self._getExtraPath("iteration.npz"))], self._stamp())
        return unpack_classes(found[1])[0] if found else None
