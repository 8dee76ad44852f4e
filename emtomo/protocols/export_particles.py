"""Protocol: cut subtomograms with CTF volumes, or series of images, out of tilt series."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.device import threads
from emtomo.compute.map_reduce import map_in_order
from emtomo.compute.positions import check_finite
from emtomo.compute.tilt.particle_images import (
    ParticleImageOptions,
    PreparedSeries,
    check_series,
    count_alias_free,
)
from emtomo.compute.tilt.subtomograms import count_at_once, reconstruct_subtomogram
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.state import write_json
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfParticleSeries, SetOfSubtomograms, positions_of
from emtomo.objects.series_exchange import write_relion5
from emtomo.objects.series_images import SeriesRecord
from emtomo.options import Param
from emtomo.wording import count_text, group_problems, no_match_text

READING = 0.2  # of a step's time
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What particles are written as."""

    dimensionality: Annotated[
        str,
        Param(
            "Dimensionality",
            "3d: a subtomogram and a CTF volume for every particle; 2d: a stack of its images, one a tilt that shows "
            "it, with STAR files for RELION 5.",
            choices={"3d": "3D subtomograms", "2d": "2D image series"},
        ),
    ] = "3d"


class ExportParticles(EmtomoProtocol):
    """Reconstruct particles out of the images of their tilt series, each with its 3D CTF, at any pixel size and box.

    No tomogram is needed. Every image is multiplied with the CTF at the particle's height and with the weights of dose
    and tilt, in a window that holds what the CTF spreads; box and CTF volume are cut afterwards and do not alias. One
    stack per tomogram; of 2D series one stack per particle.
    """

    NAME = "export-particles"
    _label = "export particles (tilt series)"
    _possibleOutputs = {"subtomograms": SetOfSubtomograms, "particle_series": SetOfParticleSeries}
    OPTIONS = (ExportOptions, ParticleImageOptions)
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
            return [no_match_text("tilt series", wanted, known)]
        problems = []
        for name in names:
            try:
                check_series(series.geometry(name), self.options(ParticleImageOptions))
            except EmtomoError as error:
                problems.append((name, error))
        return group_problems(problems)

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
        prepared = SeriesRecord(tomogram_id, table, geometry).prepare(
            options, lambda done: self.progress(number + READING * done / len(table), total)
        )
        kept = prepared.select_particles(points)
        dropped = frame.loc[~kept].assign(missing_tilts=(~prepared.visible(points)).sum(axis=0)[~kept])
        write_table(dropped[["tomogram_id", "x", "y", "z", "missing_tilts"]], self._dropped(tomogram_id))
        frame, points = frame[kept].reset_index(drop=True), points[kept]
        frame = frame.assign(shift_x=0.0, shift_y=0.0, shift_z=0.0)

        def progress(done: int) -> None:
            self.progress(number + READING + (1 - READING) * done / max(1, len(points)), total)

        if self._flat():
            frame = self._write_series(tomogram_id, frame, points, prepared, len(table), progress)
            SetOfParticleSeries.save(self._table(tomogram_id), frame)
        else:
            angles = table["angle"].to_numpy(float)[prepared.tilts]
            frame = self._write_boxes(tomogram_id, frame, points, prepared, progress)
            frame = frame.assign(tilt_min=angles.min(), tilt_max=angles.max())
            SetOfSubtomograms.save(self._table(tomogram_id), frame)
        write_json(Path(f"{self._table(tomogram_id)}.json"), int((~kept).sum()))

    def _write_boxes(
        self, tomogram_id: str, frame: pd.DataFrame, points: np.ndarray, prepared: PreparedSeries, progress: Progress
    ) -> pd.DataFrame:
        """Write the boxes into one stack and a file of weights for each; return the particles with their places."""
        files = [self._weights(tomogram_id, i) for i in range(len(frame))]
        if len(frame):
            n, pixel_size = prepared.options.box_size, prepared.options.pixel_size
            Path(self._getExtraPath("ctf")).mkdir(exist_ok=True)
            with mrc.StackWriter(self._stack(tomogram_id), (len(frame), n, n, n), pixel_size, 1) as stack:
                boxes = map_in_order(lambda point: reconstruct_subtomogram(prepared, point), points, count_at_once(n))
                for i, made in enumerate(boxes):
                    stack.batch(1)[0] = made.box
                    mrc.write_volume(files[i], made.weights, pixel_size)
                    progress(i + 1)
        return frame.assign(file=self._stack(tomogram_id), index=np.arange(len(frame)), ctf_file=files)

    def _write_series(
        self,
        tomogram_id: str,
        frame: pd.DataFrame,
        points: np.ndarray,
        prepared: PreparedSeries,
        tilts: int,
        progress: Progress,
    ) -> pd.DataFrame:
        """Write a stack of images for every particle; return the particles with their places and what shows them."""
        files, visible = [], []
        Path(self._getExtraPath("series", tomogram_id)).mkdir(parents=True, exist_ok=True)
        for i, made in enumerate(map_in_order(prepared.cut, points, threads())):
            files.append(self._getExtraPath("series", tomogram_id, f"{i + 1:06d}_stack2d.mrcs"))
            mrc.write_volume(files[-1], made.images, prepared.options.pixel_size, stack=True)
            shown = np.full(tilts, "0")
            shown[made.tilts] = "1"
            visible.append("".join(shown))
            progress(i + 1)
        return frame.assign(file=files, index=0, ctf_file=None, visible=visible)

    def output_step(self, names: list[str]) -> None:
        """Register the boxes of all tilt series."""
        self.forget_remarks()
        options, series = self.options(ParticleImageOptions), self.input_tilt_series.get()
        kind = SetOfParticleSeries if self._flat() else SetOfSubtomograms
        out = kind.create(self._getPath(f"{self._output()}.sqlite"))
        out.copy_fields(series)
        out.pixel_size.set(options.pixel_size or float(series.pixel_size.get()))
        out.box_size.set(options.box_size)
        out.white.set(options.invert)
        out.premultiplied.set(options.premultiply)
        if isinstance(out, SetOfSubtomograms):
            out.weights.set("ctf_squared" if options.premultiply else "ctf")
        dropped = {}
        for name in names:
            dropped[name] = json.loads(Path(f"{self._table(name)}.json").read_text(encoding="utf8"))
            out.extend(kind.open(self._table(name)).frame())
        missing = [name for name in self.input_coordinates.get().tomogram_ids() if name not in names]
        idle = [name for name in series.tomogram_ids() if name not in names]
        listed = ", ".join(f"{n} of {name}" for name, n in dropped.items() if n)
        if listed:
            self.remark(
                "Particles left out, which more than "
                f"{count_text(options.missing_tilts, 'image')} do not show whole: {listed}. "
                f"Listed in {', '.join(str(self._dropped(n)) for n, k in dropped.items() if k)}."
            )
        if self._flat() and not options.premultiply:
            self._say_what_is_lost(out, names)
        if missing:
            self.remark(f"No tilt series for the particles of {', '.join(missing)}.")
        if idle:
            self.remark(f"No particles in {', '.join(idle)}.")
        if len(out) == 0:
            raise EmtomoError(
                "No particle is shown whole by all but "
                f"{count_text(options.missing_tilts, 'image')} of its tilt series ({listed}): "
                "check that positions and tilt series belong together, or allow more missing tilts."
            )
        self._register(self.input_coordinates, **{self._output(): out})
        if isinstance(out, SetOfParticleSeries):
            try:
                self.remark(*write_relion5(out, series, Path(self._getExtraPath("relion5"))))
            except EmtomoError as error:
                self.remark(f"No STAR files for RELION 5: {error}")

    # --- helpers ---

    def _say_what_is_lost(self, out: SetOfParticleSeries, names: list[str]) -> None:
        """Say where images that are not multiplied by their CTF do not hold what the defocus spreads."""
        n, pixel, series = int(out.box_size.get()), float(out.pixel_size.get()), self.input_tilt_series.get()
        width = self.options(ParticleImageOptions).diameter or 0.75 * n * pixel
        ctfs = [ctf for name in names if (ctf := series.geometry(name).ctf) is not None]
        size = max((count_alias_free(ctf, pixel, width) for ctf in ctfs), default=0)
        if size > n:
            self.remark(
                f"The CTF spreads a particle over {size} pixels and the box has {n}: fine detail is lost at its edge. "
                "Premultiply with the CTF, which gathers it before the box is cut, or take a larger box."
            )

    def _flat(self) -> bool:
        return self.options(ExportOptions).dimensionality == "2d"

    def _output(self) -> str:
        return "particle_series" if self._flat() else "subtomograms"

    def _dropped(self, tomogram_id: str) -> Path:
        return Path(self._getExtraPath(f"{tomogram_id}_left_out.csv"))

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


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV under a temporary name, then rename it."""
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False)
    part.replace(path)
