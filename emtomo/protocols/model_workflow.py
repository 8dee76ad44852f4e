"""Protocol: from the points of models to evenly spaced, oriented coordinates."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.geometry.models import MODELS, Built, ModelOptions, build
from emtomo.compute.rotations import from_directions, random_in_plane
from emtomo.engine.lineage import upstream
from emtomo.engine.protocol import EmtomoProtocol, write_json
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError, ModelError
from emtomo.io.meshes import write_obj
from emtomo.objects import SetOfCoordinates3D, SetOfMeshes, SetOfTomograms, coordinates_frame, positions_of
from emtomo.objects.position_check import check_positions
from emtomo.options import Param
from emtomo.wording import count_text

MOST_WARNINGS = 5
OUTSIDE = 0.9  # of the positions; more cannot be where the points were picked


@dataclass(frozen=True, kw_only=True)
class WorkflowOptions:
    """What is made of the meshes."""

    box_size: Annotated[
        int | None, Param("Box size", "Of the coordinates. Empty: that of the meshes.", unit="voxel", ge=1)
    ] = None
    model: Annotated[
        str,
        Param(
            "Model type",
            "as picked: each mesh is what it was picked as; else all are this.",
            choices=("as picked", *MODELS),
        ),
    ] = "as picked"


class ModelWorkflow(EmtomoProtocol):
    """Turn picked models into oriented coordinates, equally spaced on the membrane or along the filament.

    Normals point away from the inside marker, without one away from the centre of
    a closed model. The angle about the normal is random where the model does not
    tell it. Meshes that cannot be built are kept in failed_meshes with the reason.
    """

    NAME = "model-workflow"
    _label = "model workflow"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D, "failed_meshes": SetOfMeshes}
    OPTIONS = (WorkflowOptions, ModelOptions)
    STEPS_APART = ("model_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "meshes", "SetOfMeshes", "Input meshes", "Picked models.")
        self._add_input(
            form,
            "orientation_meshes",
            "SetOfMeshes",
            "Orientation meshes",
            "general: the nearest normal of these models orients each point.",
            optional=True,
        )

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.model_step, self.input_meshes.get().tomogram_ids(), self.output_step)

    def model_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Build all models of one tomogram."""
        meshes = self.input_meshes.get()
        frame = meshes.frame(tomogram_id=tomogram_id)
        made, failed, certain = [], [], []
        directions, largest = self._orientations(tomogram_id), self._diagonal(tomogram_id)
        for group, points in frame.groupby("group", sort=True):
            try:
                built = self._build(points, largest)
            except ModelError as error:
                failed.append(points.assign(reason=str(error)))
                continue
            if built.mesh is not None:
                write_obj(self._getExtraPath(f"{tomogram_id}_{group}.obj"), built.mesh.vertices, built.mesh.faces)
            if built.certainty is not None:
                certain.append({"group": int(group), **asdict(built.certainty), "warning": built.warning})
            rotations = self._nearest(built.positions, directions) if built.rotations is None else built.rotations
            made.append(
                coordinates_frame(tomogram_id, built.positions, rotations, group=int(group), picker="model-workflow")
            )
        for name, frames, kind in (("made", made, SetOfCoordinates3D), ("failed", failed, SetOfMeshes)):
            if frames:
                kind.save(self._part(tomogram_id, name), pd.concat(frames, ignore_index=True))
            else:
                Path(self._part(tomogram_id, name)).unlink(missing_ok=True)
        write_json(Path(self._certainty_path(tomogram_id)), certain)
        self.progress(number + 1, total)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Register the coordinates, and the meshes that failed."""
        self.forget_remarks()
        meshes, options = self.input_meshes.get(), self.options(WorkflowOptions)
        made = self._parts(tomogram_ids, "made", SetOfCoordinates3D)
        bad = pd.concat([pd.DataFrame(), *self._parts(tomogram_ids, "failed", SetOfMeshes)], ignore_index=True)
        reasons = []
        if len(bad):
            first = bad.drop_duplicates(["tomogram_id", "group"])
            reasons = [f"{r.tomogram_id} group {r.group}: {r.reason}" for r in first.itertuples()]
        if not made:
            raise EmtomoError("No model could be built. " + " ".join(reasons))
        box = options.box_size or meshes.box_size.get()
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"), pixel_size=meshes.pixel_size.get(), box_size=box
        )
        for frame in made:
            out.extend(frame)
        self.remark(*self._outside(pd.concat(made, ignore_index=True)))
        outputs = {"coordinates": out}
        if len(bad):
            self.remark(f"{count_text(len(reasons), 'model')} could not be built: {' '.join(reasons)}")
            kept = SetOfMeshes.create(self._getPath("failed_meshes.sqlite"))
            kept.copy_fields(meshes)
            kept.extend(bad)
            outputs["failed_meshes"] = kept
        self.remark(*self._certainties(tomogram_ids))
        self._register(self.input_meshes, **outputs)

    # --- helpers ---

    def _diagonal(self, tomogram_id: str) -> float:
        """Return the length of the tomogram's diagonal in Å, inf if the tomogram is not known."""
        tomograms = upstream(self.input_meshes, SetOfTomograms)
        if tomograms is None:
            return np.inf
        if tomogram_id not in set(tomograms.frame(["tomogram_id"])["tomogram_id"]):
            return np.inf
        return float(np.linalg.norm(tomograms.shape(tomogram_id)) * tomograms.pixel_size.get())

    def _outside(self, frame: pd.DataFrame) -> list[str]:
        """Return how many positions lie outside their tomograms; a model that a border cuts has some."""
        tomograms = upstream(self.input_meshes, SetOfTomograms)
        if tomograms is None:
            return []
        known = frame["tomogram_id"].isin(tomograms.tomogram_ids())
        return check_positions(frame[known], tomograms, tolerated=OUTSIDE)

    def _certainty_path(self, tomogram_id: str) -> str:
        return self._getExtraPath(f"{tomogram_id}_certainty.json")

    def _certainties(self, tomogram_ids: list[str]) -> list[str]:
        """Return how certain the fitted surfaces and curves are, and which should not be believed as they are."""
        rows = []
        for tomogram_id in tomogram_ids:
            path = Path(self._certainty_path(tomogram_id))
            found = json.loads(path.read_text(encoding="utf8")) if path.exists() else []
            rows += [{"name": f"{tomogram_id} group {one['group']}", **one} for one in found]
        if not rows:
            return []
        middle = {key: float(np.median([row[key] for row in rows])) for key in ("surface", "normals", "noise")}
        worst = max(rows, key=lambda row: row["worst"])
        remarks = [
            f"Standard deviations of {count_text(len(rows), 'fitted surface')} "
            f"and curves (median): {middle['surface']:.1f} Å off, "
            f"{middle['normals']:.1f}° in their normals or directions; the points scatter by {middle['noise']:.1f} Å. "
            f"Least certain: {worst['name']}, {worst['worst']:.1f} Å where it is farthest from its points."
        ]
        doubtful = [f"{row['name']}: {row['warning']}" for row in rows if row["warning"]]
        if len(doubtful) > MOST_WARNINGS:
            doubtful = [*doubtful[:MOST_WARNINGS], f"and {len(doubtful) - MOST_WARNINGS} more"]
        return [*remarks, *([f"Warning: {'; '.join(doubtful)}."] if doubtful else [])]

    def _build(self, points: pd.DataFrame, largest: float) -> Built:
        options = self.options(ModelOptions).to_angstrom(self.input_meshes.get().pixel_size.get())
        wanted = self.options(WorkflowOptions).model
        model = points["model"].iloc[0] if wanted == "as picked" else wanted
        return build(model, positions_of(points), points["role"].to_numpy(object), options, largest)

    def _orientations(self, tomogram_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return positions and normals of the orientation meshes of a tomogram."""
        if self.input_orientation_meshes.pointsNone():
            return None
        frame = self.input_orientation_meshes.get().frame(tomogram_id=tomogram_id)
        options = self.options(ModelOptions).to_angstrom(self.input_orientation_meshes.get().pixel_size.get())
        built = [
            build(points["model"].iloc[0], positions_of(points), points["role"].to_numpy(object), options)
            for _, points in frame.groupby("group", sort=True)
        ]
        oriented = [b for b in built if b.rotations is not None]
        if not oriented:
            return None
        rotations = np.concatenate([b.rotations for b in oriented if b.rotations is not None])
        return np.concatenate([b.positions for b in oriented]), rotations[:, :, 2]

    def _nearest(self, positions: np.ndarray, directions: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray | None:
        from scipy.spatial import cKDTree

        if directions is None:
            return None
        _, nearest = cKDTree(directions[0]).query(positions)
        return random_in_plane(from_directions(directions[1][nearest]), self.options(ModelOptions).seed)

    def _part(self, tomogram_id: str, name: str) -> str:
        return self._getExtraPath(f"{tomogram_id}_{name}.sqlite")

    def _parts(self, tomogram_ids: list[str], name: str, kind: type[TableSet]) -> list[pd.DataFrame]:
        """Return what the steps left for those tomograms that have any."""
        paths = [self._part(tomogram_id, name) for tomogram_id in tomogram_ids]
        return [kind.open(path).frame() for path in paths if Path(path).exists()]
