"""Protocol: cut subtomograms with CTF volumes out of tilt series."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.positions import check_finite
from emtomo.compute.tilt.particle_images import ParticleImageOptions, check_series, prepare_series
from emtomo.compute.tilt.subtomograms import reconstruct_subtomogram
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.state import write_json
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfSubtomograms, positions_of
from emtomo.objects.tilt_images import TiltImages

READING = 0.2  # of a step's time


class ExportParticles(EmtomoProtocol):
    """Reconstruct particles out of the images of their tilt series, each with its 3D CTF, at any pixel size and box.

    No tomogram is needed. Every image is multiplied with the CTF at the particle's height and with the weights of dose
    and tilt, in a window that holds what the CTF spreads; box and CTF volume are cut afterwards and do not alias. One
    stack per tomogram.
    """

    NAME = "export-particles"
    _label = "export particles (tilt series)"
    _possibleOutputs = {"subtomograms": SetOfSubtomograms}
    OPTIONS = (ParticleImageOptions,)
    STEPS_APART = ("export_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tilt_series", "SetOfTiltSeries", "Tilt series", "Aligned tilt series with defocus.")
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates3D,SetOfSubtomograms",
            "Particles",
            "Where the particles are; from subtomograms, their refined centres are taken.",
        )

    def _check(self) -> list[str]:
        series, names = self.input_tilt_series.get(), self._names()
        if not names:
            known, wanted = series.tomogram_ids(), self.input_coordinates.get().tomogram_ids()
            if not wanted:
                return ["There is no particle."]
            return [f"No tilt series of the particles ({', '.join(wanted)}) is among {', '.join(known) or 'none'}."]
        errors = []
        for name in names:
            try:
                check_series(series.geometry(name), self.options(ParticleImageOptions))
            except EmtomoError as error:
                errors.append(f"{name}: {error}")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.export_step, self._names(), self.output_step)

    def export_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Write the boxes of one tilt series into one stack, and a file of weights for each."""
        series, options = self.input_tilt_series.get(), self.options(ParticleImageOptions)
        table, geometry = series.images(tomogram_id), series.geometry(tomogram_id)
        frame = self._particles(tomogram_id)
        points = positions_of(frame)
        check_finite(points, f"{tomogram_id}: the position of particle")
        try:
            prepared = prepare_series(
                TiltImages(table),
                geometry,
                options,
                lambda done: self.progress(number + READING * done / len(table), total),
            )
        except EmtomoError as error:
            raise EmtomoError(f"{tomogram_id}: {error}") from None
        kept = prepared.select_particles(points)
        frame, points = frame[kept].reset_index(drop=True), points[kept]
        files = [self._weights(tomogram_id, i) for i in range(len(frame))]
        if len(frame):
            n, pixel_size = options.box_size, prepared.options.pixel_size
            Path(self._getExtraPath("ctf")).mkdir(exist_ok=True)
            with mrc.StackWriter(self._stack(tomogram_id), (len(frame), n, n, n), pixel_size, 1) as stack:
                for i, point in enumerate(points):
                    made = reconstruct_subtomogram(prepared, point)
                    stack.batch(1)[0] = made.box
                    mrc.write_volume(files[i], made.weights, pixel_size)
                    self.progress(number + READING + (1 - READING) * (i + 1) / len(points), total)
        angles = table["angle"].to_numpy(float)[prepared.tilts]
        frame = frame.assign(
            shift_x=0.0, shift_y=0.0, shift_z=0.0, file=self._stack(tomogram_id), index=np.arange(len(frame)),
            ctf_file=files, tilt_min=angles.min(), tilt_max=angles.max(),
        )  # fmt: skip
        write_json(Path(f"{self._table(tomogram_id)}.json"), int((~kept).sum()))
        SetOfSubtomograms.save(self._table(tomogram_id), frame)

    def output_step(self, names: list[str]) -> None:
        """Register the boxes of all tilt series."""
        self.forget_remarks()
        options, series = self.options(ParticleImageOptions), self.input_tilt_series.get()
        out = SetOfSubtomograms.create(self._getPath("subtomograms.sqlite"))
        out.copy_fields(series)
        out.pixel_size.set(options.pixel_size or float(series.pixel_size.get()))
        out.box_size.set(options.box_size)
        out.white.set(options.invert)
        out.weights.set("ctf_squared" if options.premultiply else "ctf")
        out.premultiplied.set(options.premultiply)
        dropped = {}
        for name in names:
            dropped[name] = json.loads(Path(f"{self._table(name)}.json").read_text(encoding="utf8"))
            out.extend(SetOfSubtomograms.open(self._table(name)).frame())
        missing = [name for name in self.input_coordinates.get().tomogram_ids() if name not in names]
        idle = [name for name in series.tomogram_ids() if name not in names]
        told = ", ".join(f"{n} of {name}" for name, n in dropped.items() if n)
        if told:
            self.remark(
                f"Particles left out, which more than {options.missing_tilts} images do not show whole: {told}."
            )
        if missing:
            self.remark(f"No tilt series for the particles of {', '.join(missing)}.")
        if idle:
            self.remark(f"No particles in {', '.join(idle)}.")
        if len(out) == 0:
            raise EmtomoError(
                f"No particle is shown whole by all but {options.missing_tilts} images of its tilt series ({told}): "
                "check that positions and tilt series belong together, or allow more missing tilts."
            )
        self._register(self.input_coordinates, subtomograms=out)

    # --- helpers ---

    def _names(self) -> list[str]:
        """Return the tilt series that have particles."""
        known = set(self.input_tilt_series.get().tomogram_ids())
        return [name for name in self.input_coordinates.get().tomogram_ids() if name in known]

    def _particles(self, tomogram_id: str) -> pd.DataFrame:
        """Return the particles of a tomogram as columns of subtomograms, at their refined centres."""
        frame = self.input_coordinates.get().frame(tomogram_id=tomogram_id)
        if isinstance(self.input_coordinates.get(), SetOfSubtomograms):
            for axis in "xyz":
                frame[axis] = frame[axis] + frame[f"shift_{axis}"]
            return frame
        return frame.drop(columns="picker")

    def _stack(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.mrc")

    def _weights(self, tomogram_id: str, i: int) -> str:
        return self._getExtraPath("ctf", f"{tomogram_id}_{i + 1:06d}.mrc")

    def _table(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}.sqlite")
