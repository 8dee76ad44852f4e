"""Protocol: particles that a user picks one by one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.extraction import ExtractOptions, box_starts, extract
from emtomo.compute.positions import to_voxels
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import FormatError
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates2D, SetOfCoordinates3D, SetOfTomograms, coordinates_frame, positions_of
from emtomo.objects.micrograph_slices import MicrographSlices, SlicePicks
from emtomo.objects.points_file import UNITS, points_of_file
from emtomo.objects.position_check import outside
from emtomo.options import Param
from emtomo.wording import count_text

MOST_SAVES = 9
REMOVE = "remove"
SAVES = {"coordinates": SetOfCoordinates3D} | {f"coordinates_{k}": SetOfCoordinates3D for k in range(2, MOST_SAVES + 1)}


@dataclass(frozen=True, kw_only=True)
class PickManuallyOptions:
    """What is picked."""

    box_size: Annotated[int, Param("Box size", "For display and extraction.", unit="voxel", ge=2)] = 32
    group: Annotated[int, Param("Group", "Of points whose file names none.", ge=0)] = 1
    unit: Annotated[
        str,
        Param(
            "Unit of the points",
            "angstrom: Å from the tomogram's centre, or from the micrograph's first pixel; voxel: 0-based voxels or "
            "pixels from the first one.",
            choices=UNITS,
        ),
    ] = "angstrom"
    replace_previous: Annotated[
        bool,
        Param(
            "Points replace previous coordinates",
            "The points are all there is, as after editing previous coordinates in the picker; else they are added.",
            expert=True,
        ),
    ] = False
    thumbnails: Annotated[
        bool, Param("Thumbnails", "Keep a picture of every particle: the mean of the middle fifth of its box.")
    ] = True


class PickManually(EmtomoProtocol):
    """Register the particles that a user picked, from files of points, earlier coordinates, or both.

    Every file is one save and gives one output: coordinates, coordinates_2 and so on. Earlier coordinates are kept; a
    row labelled remove takes away the nearest of them. Groups keep kinds of particles apart.
    """

    NAME = "pick-manually"
    _label = "manual picking"
    _possibleOutputs = SAVES
    OPTIONS = (PickManuallyOptions,)
    INTERACTIVE = "particles"
    READS = ("points",)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Input tomograms", "Where to pick; or", optional=True)
        self._add_input(form, "micrographs", "SetOfMicrographs", "Micrographs", "where to pick.", optional=True)
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates3D,SetOfCoordinates2D",
            "Previous coordinates",
            "To keep and modify.",
            optional=True,
        )
        add_optional_path(
            form,
            "points",
            "Points",
            "CSV with the columns tomogram_id, x, y, z and, if wanted, group, label (remove) and an "
            "orientation; or a folder of such files, each of which is one save, in the order of their names.",
        )

    def plan_outputs(self) -> dict[str, type]:
        """See :meth:`EmtomoProtocol.plan_outputs`; picks on micrographs have two coordinates."""
        planned = super().plan_outputs()
        flat = not self.input_micrographs.pointsNone()
        return dict.fromkeys(planned, SetOfCoordinates2D) if flat else planned

    def _check(self) -> list[str]:
        if self.input_tomograms.pointsNone() == self.input_micrographs.pointsNone():
            return ["Give tomograms or micrographs, one of the two."]
        previous, flat = self.input_coordinates.get(), not self.input_micrographs.pointsNone()
        if previous is not None and isinstance(previous, SetOfCoordinates2D) != flat:
            return ["Previous coordinates must lie in what is picked: tomograms, or micrographs."]
        if not self.points.get() and self.input_coordinates.pointsNone():
            return ["Give a file of points or previous coordinates."]
        for path in self._files():
            self._picked(path)
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.register_step)

    def register_step(self) -> None:
        """Register one output for every save."""
        self.forget_remarks()
        outputs, kept = {}, self._previous()
        for number, path in enumerate(self._files() or [None], 1):
            picked = None if path is None else self._picked(path)
            self.remark(*(picked.attrs["notes"] if picked is not None else []))
            frame, removed = (kept, 0) if picked is None else self._modified(kept, picked)
            name = "coordinates" if number == 1 else f"coordinates_{number}"
            where = self._where()
            flat = isinstance(where, MicrographSlices)
            out = (SetOfCoordinates2D if flat else SetOfCoordinates3D).create(
                self._getPath(f"{name}.sqlite"),
                pixel_size=where.pixel_size.get(),
                box_size=self.options(PickManuallyOptions).box_size,
            )
            out.extend(where.to_2d(frame) if isinstance(where, MicrographSlices) else frame)
            number_outside = int(outside(frame, where).sum())
            if number_outside:
                self.remark(
                    f"{name}: {count_text(number_outside, 'particle lies', 'particles lie')} "
                    f"outside the {self._noun()}."
                )
            if removed:
                self.remark(
                    f"{name}: {count_text(removed, 'previous coordinate was', 'previous coordinates were')} removed."
                )
            if self.options(PickManuallyOptions).thumbnails and not flat:
                self._draw(name, frame)
            outputs[name] = out
            self.progress(number, max(1, len(self._files())))
        self._register(
            self.input_tomograms if self.input_micrographs.pointsNone() else self.input_micrographs, **outputs
        )

    # --- helpers ---

    def _where(self) -> SetOfTomograms | MicrographSlices:
        """Return the tomograms, or the micrographs as tomograms of one slice."""
        micrographs = self.input_micrographs.get()
        return self.input_tomograms.get() if micrographs is None else MicrographSlices(micrographs)

    def _noun(self) -> str:
        return "tomograms" if self.input_micrographs.pointsNone() else "micrographs"

    def _files(self) -> list[Path]:
        """Return the files of points, one for each save.

        Raises
        ------
        FormatError
            If there are none where there should be, or more than can be outputs.
        """
        if not self.points.get():
            return []
        path = Path(self.points.get())
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".csv", ".txt"))
        if not 0 < len(files) <= MOST_SAVES:
            raise FormatError(
                path, f"a folder of points must hold 1 to {MOST_SAVES} .csv or .txt files, it has {len(files)}."
            )
        return files

    def _previous(self) -> pd.DataFrame:
        replaced = self.options(PickManuallyOptions).replace_previous and self.points.get()
        if self.input_coordinates.pointsNone() or replaced:
            return coordinates_frame("", np.zeros((0, 3)), group=1, score=0.0, picker="manual")
        previous, where = self.input_coordinates.get(), self._where()
        return SlicePicks(previous, where).frame() if isinstance(where, MicrographSlices) else previous.frame()

    def _picked(self, path: Path) -> pd.DataFrame:
        """Return the rows of a file as coordinates, with their label."""
        options = self.options(PickManuallyOptions)
        places, picks = points_of_file(path, self._where(), options.unit)
        n = len(places)
        frame = coordinates_frame(
            "",
            positions_of(places),
            picks.rotations,
            picker="manual",
            group=picks.columns.get("group", np.full(n, options.group)).astype(int),
            score=picks.columns.get("score", np.zeros(n)).astype(float),
            set_name=picks.columns.get("set_name", np.full(n, "", object)),
        )
        label = picks.columns.get("label", np.full(n, "", object))
        wrong = sorted({str(text) for text in label} - {"", REMOVE})
        if wrong:
            raise FormatError(path, f"label must be empty or {REMOVE}; got {', '.join(wrong)}.")
        frame = frame.assign(tomogram_id=places["tomogram_id"].to_numpy(), label=label)
        frame.attrs["notes"] = picks.notes
        return frame

    def _modified(self, kept: pd.DataFrame, picked: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """Return earlier coordinates less those to be removed, with the new ones, and how many were removed."""
        reach = self.options(PickManuallyOptions).box_size / 2 * self._where().pixel_size.get()
        gone = np.zeros(len(kept), bool)
        where, names = positions_of(kept), kept["tomogram_id"].to_numpy()
        remove = (picked["label"] == REMOVE).to_numpy()
        for at, name in zip(positions_of(picked)[remove], picked["tomogram_id"].to_numpy()[remove], strict=True):
            distance = np.where((names == name) & ~gone, np.linalg.norm(where - at, axis=1), np.inf)
            if len(distance) and distance.min() <= reach:
                gone[int(distance.argmin())] = True
        new = picked[~remove].drop(columns="label")
        return pd.concat([part for part in (kept[~gone], new) if len(part)] or [new], ignore_index=True), int(
            gone.sum()
        )

    def _draw(self, output: str, frame: pd.DataFrame) -> None:
        """Write a stack of pictures for every tomogram: the mean of the middle slices of each box."""
        tomograms, box = self.input_tomograms.get(), self.options(PickManuallyOptions).box_size
        for name, mine in frame.groupby("tomogram_id", sort=False):
            volume = mrc.open_volume(tomograms.frame(tomogram_id=name).iloc[0]["file"])
            starts, _ = box_starts(to_voxels(positions_of(mine), volume.shape, tomograms.pixel_size.get()), box)
            options = ExtractOptions(box_size=box, border="pad", normalize="none", invert=False)
            pictures = np.empty((len(mine), box, box), np.float32)
            middle = slice(box // 2 - box // 10, box // 2 + box // 10 + 1)
            for k in range(len(mine)):
                cut = np.empty((1, box, box, box), np.float32)
                extract(volume, starts[k : k + 1], options, cut)
                pictures[k] = cut[0, middle].mean(axis=0)
            mrc.write_volume(
                self._getExtraPath(f"{output}_{name}_thumbnails.mrc"), pictures, tomograms.pixel_size.get()
            )
