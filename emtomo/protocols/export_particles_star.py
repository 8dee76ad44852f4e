"""Protocol: write subtomograms as a STAR file for RELION."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.io.particles_star import write_particles
from emtomo.objects import rotations_of
from emtomo.objects.exchange import particles_of_set, sizes_of, volumes_behind
from emtomo.objects.particle_source import open_boxes
from emtomo.options import Param
from emtomo.wording import count_text, share_text


@dataclass(frozen=True, kw_only=True)
class StarOptions:
    """How boxes are written."""

    one_file_a_box: Annotated[
        bool,
        Param(
            "One file a box",
            "RELION reads no stacks of volumes: boxes of stacks are copied into files of their own.",
        ),
    ] = True


class ExportParticlesStar(EmtomoProtocol):
    """Write poses, halves and the places of boxes and weights as a RELION 3.1 STAR file.

    RELION takes the boxes only when they are white and one file each, and their weights only as files; wedges known by
    their tilt range alone are not written. Of squared CTFs it gets the roots, because it squares what the files hold.
    """

    NAME = "export-particles-star"
    _label = "export particles (STAR)"
    _possibleOutputs: dict[str, type] = {}
    THREADS = False
    OPTIONS = (StarOptions,)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "subtomograms", "SetOfSubtomograms", "Subtomograms", "With orientations.")
        add_optional_path(form, "file", "File", "Where to write. Empty: particles.star in the run.")

    def _check(self) -> list[str]:
        if self.file.get() and not Path(self.file.get()).parent.is_dir():
            return [f"There is no folder {Path(self.file.get()).parent} to write into."]
        known = self.input_subtomograms.get().frame(["r11"])["r11"].notna()
        return (
            []
            if known.all()
            else [f"{share_text(int((~known).sum()), len(known), 'subtomogram', 'has')} no orientation."]
        )

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.write_step)

    def write_step(self) -> None:
        """Write the STAR file."""
        self.forget_remarks()
        boxes = self.input_subtomograms.get()
        frame = boxes.frame()
        size = boxes.pixel_size.get()
        volumes = sizes_of(volumes_behind(self.input_subtomograms))
        middle = {name: [n // 2 * one.pixel_size for n in one.size] for name, one in volumes.items()}
        unknown = sorted(set(frame["tomogram_id"]) - set(middle))
        tags, places = particles_of_set(boxes).tags, {tuple(middle.get(t, ())) for t in frame["tomogram_id"]}
        if len(places) == 1 and (place := places.pop()):
            tags = replace(tags, centre=(place[0], place[1], place[2]))
        for k, axis in enumerate("xyz"):
            from_first = frame["tomogram_id"].map(lambda t, k=k: middle.get(t, [0.0] * 3)[k])
            frame[f"coordinate_{axis}"] = (frame[axis] + from_first) / size
        for column in ("file", "ctf_file"):
            frame[column] = [str(Path(f).resolve()) if f else "" for f in frame[column].fillna("")]
        if boxes.weights.get() == "ctf_squared":
            self._take_roots(frame, float(size))
            tags = replace(tags, weights="ctf")
        if self.options(StarOptions).one_file_a_box:
            self._separate(frame, float(size), int(boxes.box_size.get()))
        path = Path(self.file.get() or self._getExtraPath("particles.star"))
        optics = {name: getattr(boxes, name).get() for name in ("voltage", "cs", "amplitude_contrast")}
        write_particles(
            path,
            frame,
            rotations_of(frame),
            size,
            boxes.box_size.get(),
            optics=optics,
            premultiplied=bool(boxes.premultiplied.get()),
            tags=tags,
        )
        if unknown:
            self.remark(
                f"Positions of {', '.join(unknown)} are written as they are: no tomogram or tilt series says the size "
                "from which the first voxel could be found."
            )
        if not boxes.white.get():
            self.remark("The boxes are dark: RELION takes white ones only. Extract them with inverted contrast.")
        if boxes.weights.get() == "wedge":
            self.remark("The missing wedge is known by its tilt range alone and is not in the file.")
        self.remark(f"{count_text(len(frame), 'particle')} written to {path}.")

    def _take_roots(self, frame: pd.DataFrame, pixel_size: float) -> None:
        """Write the roots of squared CTFs and let the rows name these: RELION squares what the files hold."""
        folder = Path(self._getExtraPath("ctf"))
        folder.mkdir(parents=True, exist_ok=True)
        roots: dict[str, str] = {}
        for number, file in enumerate(f for f in frame["ctf_file"].drop_duplicates() if f):
            root = folder / f"{number + 1:06d}.mrc"
            mrc.write_volume(root, np.sqrt(np.maximum(mrc.read_volume(file), 0)), pixel_size)
            roots[file] = str(root.resolve())
        frame["ctf_file"] = [roots.get(file, "") for file in frame["ctf_file"]]

    def _separate(self, frame: pd.DataFrame, pixel_size: float, size: int) -> None:
        """Copy the boxes of stacks into files of their own and let the rows name these."""
        for number, (stack, rows) in enumerate(frame.groupby("file", sort=False), 1):
            if not stack:
                continue
            boxes = open_boxes(str(stack), size)
            if len(boxes) == 1:
                continue
            folder = Path(self._getExtraPath("boxes", f"{number:03d}"))
            folder.mkdir(parents=True, exist_ok=True)
            row: Any
            for row, place in zip(rows.index, rows["index"].astype(int), strict=True):
                file = folder / f"{place + 1:06d}.mrc"
                mrc.write_volume(file, boxes[place], pixel_size)
                frame.loc[row, "file"] = str(file.resolve())
                frame.loc[row, "index"] = 0
