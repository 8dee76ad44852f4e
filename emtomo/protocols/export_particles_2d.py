"""Protocol: write images of particles, or class averages, for RELION."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.engine.form import add_optional_path
from emtomo.engine.lineage import upstream
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.io.particles_2d_write import write_classes_2d, write_particles_2d
from emtomo.io.tags import Tags
from emtomo.objects import SetOfClasses2D, SetOfMicrographs, SetOfParticles, rotations_of
from emtomo.options import Param
from emtomo.wording import count_text

BATCH_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class ExportParticles2DOptions:
    """What is written beside the STAR file."""

    one_stack: Annotated[
        bool,
        Param(
            "One stack?",
            "All images, white, in one .mrcs file beside the STAR file, which RELION reads from their folder. Off: "
            "the STAR file names the project's own stacks.",
        ),
    ] = True


class ExportParticles2D(EmtomoProtocol):
    """Write images of particles, or class averages, as a RELION 3.1 STAR file with their stack."""

    NAME = "export-particles-2d"
    _label = "export 2D particles (STAR)"
    _possibleOutputs: dict[str, type] = {}
    OPTIONS = (ExportParticles2DOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form, "particles", "SetOfParticles,SetOfClasses2D", "Particles or classes", "Images with what is known."
        )
        add_optional_path(
            form, "file", "File", "Where to write. Empty: particles.star, or class_averages.star, in the run."
        )

    def _check(self) -> list[str]:
        path = Path(self.file.get() or "x.star")
        if self.file.get() and not path.parent.is_dir():
            return [f"There is no folder {path.parent} to write into."]
        if path.suffix != ".star":
            return [f"The file must end with .star, got {path.name}."]
        return ["There is nothing to export: the input is an empty set."] if not len(self.input_particles.get()) else []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.write_step)

    def write_step(self) -> None:
        """Write the stack and the STAR file."""
        self.forget_remarks()
        source = self.input_particles.get()
        of_classes = isinstance(source, SetOfClasses2D)
        usual = "class_averages.star" if of_classes else "particles.star"
        path = Path(self.file.get() or self._getExtraPath(usual))
        frame = source.frame()
        white = of_classes or bool(source.white.get())
        if self.options(ExportParticles2DOptions).one_stack:
            stack = path.with_suffix(".mrcs")
            self._join(frame, stack, source, white)
            frame["file"], frame["index"], white = stack.name, np.arange(len(frame)), True
        else:
            frame["file"] = [str(Path(file).resolve()) for file in frame["file"]]
        if not white:
            self.remark("The images are dark: RELION takes white ones only. Export them as one stack.")
        if of_classes:
            write_classes_2d(path, frame)
        else:
            self._write_particles(path, frame, source, white)
        self.remark(f"{count_text(len(frame), 'image')} written to {path}.")

    # --- helpers ---

    def _write_particles(self, path: Path, frame: pd.DataFrame, source: SetOfParticles, white: bool) -> None:
        micrographs = upstream(self.input_particles, SetOfMicrographs)
        size = float(source.pixel_size.get())
        step = float(micrographs.pixel_size.get()) if micrographs is not None else size
        for axis in "xy":
            frame[f"coordinate_{axis}"] = frame[axis] / step
        missing = int((~np.isfinite(frame["defocus_u"].to_numpy(float))).sum())
        if missing:
            self.remark(f"The CTF of {count_text(missing, 'particle')} is not known: the file has none.")
        write_particles_2d(
            path,
            frame,
            rotations_of(frame),
            pixel_size=size,
            micrograph_pixel_size=step,
            box_size=int(source.box_size.get()),
            optics={name: float(getattr(source, name).get()) for name in ("voltage", "cs", "amplitude_contrast")},
            tags=Tags(white=white, premultiplied=bool(source.premultiplied.get())),
        )

    def _join(self, frame: pd.DataFrame, stack: Path, source: Any, white: bool) -> None:
        """Write all images, white, into one stack."""
        size = int(source.box_size.get())
        batch = max(1, BATCH_BYTES // (4 * size * size))
        opened = {file: mrc.open_volume(file) for file in frame["file"].unique()}
        sign = np.float32(1 if white else -1)
        rows = list(zip(frame["file"], frame["index"].astype(int), strict=True))
        with mrc.StackWriter(stack, (len(rows), size, size), float(source.pixel_size.get()), batch) as writer:
            for first in range(0, len(rows), batch):
                part = rows[first : first + batch]
                out = writer.batch(len(part))
                for k, (file, index) in enumerate(part):
                    out[k] = sign * opened[file][index]
                self.progress(first + len(part), len(rows))
