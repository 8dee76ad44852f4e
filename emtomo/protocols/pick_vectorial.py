"""Protocol: points that define vesicles, sheets, filaments and other models."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.geometry.clusters import count_clusters
from emtomo.compute.geometry.models import KINDS, MODELS, ROLES
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import FormatError
from emtomo.objects import SetOfMeshes
from emtomo.objects.points_file import points_of_file
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class PickVectorialOptions:
    """What is picked."""

    box_size: Annotated[
        int, Param("Box size", "Of the particles to come; can be changed later.", unit="voxel", ge=1)
    ] = 64
    model: Annotated[str, Param("Model type", "What the points of one group are.", choices=MODELS)] = (
        "ellipsoidal_vesicle"
    )
    unit: Annotated[
        str,
        Param(
            "Unit of the points",
            "angstrom: Å from the tomogram's centre; voxel: 0-based voxels from the first one.",
            choices=("angstrom", "voxel"),
        ),
    ] = "angstrom"
    replace_previous: Annotated[
        bool,
        Param(
            "Points replace previous meshes",
            "The points are all there is, as after editing previous meshes in the picker; else they are added.",
            expert=True,
        ),
    ] = False


class PickVectorial(EmtomoProtocol):
    """Register the points that outline vesicles, membranes, filaments and other models.

    One group of points is one model. The points come from a file (columns
    tomogram_id, group, x, y, z, role), from earlier models, or from both.
    """

    NAME = "pick-vectorial"
    _label = "vectorial picking"
    _possibleOutputs = {"meshes": SetOfMeshes}
    OPTIONS = (PickVectorialOptions,)
    INTERACTIVE = "models"
    READS = ("points",)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Input tomograms", "Where to pick.")
        self._add_input(form, "meshes", "SetOfMeshes", "Previous meshes", "Models to keep and add to.", optional=True)
        add_optional_path(
            form,
            "points",
            "Points",
            "CSV with the columns tomogram_id, group, x, y, z, role (point, inside, north, south, west, "
            "center or marker) and, if they differ, model.",
        )

    def _check(self) -> list[str]:
        if not self.points.get() and self.input_meshes.pointsNone():
            return ["Give a file of points or previous meshes."]
        self._points()
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.register_step)

    def register_step(self) -> None:
        """Register previous models and new points; new groups get numbers after the previous ones."""
        options, tomograms = self.options(PickVectorialOptions), self.input_tomograms.get()
        frames = []
        if not self.input_meshes.pointsNone() and not (options.replace_previous and self.points.get()):
            frames.append(self.input_meshes.get().frame())
        if self.points.get():
            new = self._points()
            self.remark(*new.attrs.get("notes", []))
            if frames and len(frames[0]):
                new["group"] += int(frames[0]["group"].max())
            frames.append(new)
        out = SetOfMeshes.create(
            self._getPath("meshes.sqlite"), pixel_size=tomograms.pixel_size.get(), box_size=options.box_size
        )
        out.extend(pd.concat(frames, ignore_index=True))
        self._register(self.input_tomograms, meshes=out)

    # --- helpers ---

    def _points(self) -> pd.DataFrame:
        """Return the points of the file as rows of a mesh set.

        Raises
        ------
        EmtomoError
            If a role, model or tomogram is unknown.
        """
        path = self.points.get()
        if not path:
            return pd.DataFrame()
        options = self.options(PickVectorialOptions)
        places, picks = points_of_file(path, self.input_tomograms.get(), options.unit)
        n = len(places)
        frame = places.assign(
            group=picks.columns.get("group", np.ones(n)).astype(int),
            model=picks.columns.get("model", np.full(n, options.model, object)),
            role=picks.columns.get("role", np.full(n, "point", object)),
            set_name=picks.columns.get("set_name", np.full(n, "", object)),
        )
        frame["role"] = frame["role"].replace("", "point")
        notes = list(picks.notes)
        if "group" not in picks.columns:
            notes += _missing_groups(frame)
        for column, allowed in (("role", ROLES), ("model", KINDS)):
            wrong = sorted(set(frame[column]) - set(allowed))
            if wrong:
                raise FormatError(path, f"{column} must be one of {', '.join(allowed)}; got {', '.join(wrong)}.")
        frame.attrs["notes"] = notes
        return frame


def _missing_groups(frame: pd.DataFrame) -> list[str]:
    """Return what a file without groups is taken for, and where its points look like several models."""
    models = " and ".join(dict.fromkeys(frame["model"]))
    text = f"There is no column group: all points of a tomogram are one {models}."
    apart = []
    for name, mine in frame[frame["role"] == "point"].groupby("tomogram_id", sort=True):
        clusters = count_clusters(mine[["x", "y"]].to_numpy(float))  # slices of one model lie above each other
        if clusters > 1:
            apart.append(f"{name} ({clusters})")
    if not apart:
        return [text]
    return [f"{text} They lie in clusters apart in {', '.join(apart)}: give every model its number in a column group."]
