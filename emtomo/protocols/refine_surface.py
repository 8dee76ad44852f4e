"""Protocol: move the surfaces of models onto the membrane's density."""

from dataclasses import replace

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.geometry.mesh import Mesh
from emtomo.compute.geometry.models import TRIANGLES, ModelOptions, build
from emtomo.compute.geometry.refine_surface import EDGES, RefinedSurface, SurfaceOptions, refine_surface
from emtomo.compute.positions import to_voxels
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, ModelError
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, SetOfMeshes, coordinates_frame, positions_of
from emtomo.wording import count_text


class RefineSurface(EmtomoProtocol):
    """Move the surfaces of models along their normals onto the membrane's density.

    Robust and smooth, within some voxels; the summary says how far each surface moved and where no membrane was
    seen. The coordinates follow the refined surface; the meshes hold its triangles, which are not fitted again.
    """

    NAME = "refine-surface"
    _label = "refine surface"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D, "meshes": SetOfMeshes}
    OPTIONS = (SurfaceOptions, ModelOptions)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "meshes", "SetOfMeshes", "Input meshes", "Picked models: vesicles, hulls or sheets.")
        self._add_input(
            form, "tomograms", "SetOfTomograms", "Tomograms", "Where the membrane is seen; any binning, not denoised."
        )

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.refine_step)

    def refine_step(self) -> None:
        """Refine every model and register the coordinates and meshes."""
        self.forget_remarks()
        meshes, tomograms = self.input_meshes.get(), self.input_tomograms.get()
        frame, size = meshes.frame(), float(tomograms.pixel_size.get())
        groups = list(frame.groupby(["tomogram_id", "group"], sort=True))
        known = dict(tomograms.frame(["tomogram_id", "file"]).itertuples(index=False))
        coordinates, points, remarks, failed = [], [], [], []
        own = self.options(ModelOptions).to_angstrom(float(meshes.pixel_size.get()))
        for number, ((tomogram_id, group), rows) in enumerate(groups):
            name = f"{tomogram_id} group {group}"
            try:
                if tomogram_id not in known:
                    raise ModelError("its tomogram is not among the tomograms.")
                volume = mrc.open_volume(known[tomogram_id])
                refined = self._refined(volume, rows, size)
            except ModelError as error:
                failed.append(f"{name}: {error}")
                continue
            surface = self._in_angstrom(refined.mesh, volume.shape, size)
            model = _triangles(str(tomogram_id), int(group), surface, rows)
            built = build(TRIANGLES, positions_of(model), model["role"].to_numpy(object), own)
            coordinates.append(
                coordinates_frame(
                    str(tomogram_id), built.positions, built.rotations, group=int(group), picker="refine-surface"
                )
            )
            points.append(model)
            remarks.append(_moved(name, refined, size))
            self.progress(number + 1, len(groups))
        if not coordinates:
            raise EmtomoError("No surface could be refined. " + " ".join(failed))
        self.remark(
            *remarks,
            *(
                [f"{count_text(len(failed), 'model was', 'models were')} not refined: {' '.join(failed)}"]
                if failed
                else []
            ),
        )
        self._output(coordinates, points)

    # --- helpers ---

    def _refined(self, volume: np.ndarray, rows: pd.DataFrame, size: float) -> RefinedSurface:
        """Build the model as a mesh in voxels of the tomogram and move it."""
        options = self.options(SurfaceOptions)
        options = replace(options, white=options.white or bool(self.input_tomograms.get().white.get()))
        own = self.options(ModelOptions).to_angstrom(float(self.input_meshes.get().pixel_size.get()))
        fine = ModelOptions(
            mesh_parameter=options.smoothing / EDGES, cropping=own.cropping, radius=own.radius, noise=own.noise,
            seed=own.seed,
        )  # fmt: skip
        roles = rows["role"].to_numpy(object)
        built = build(str(rows["model"].iloc[0]), positions_of(rows), roles, fine)
        if built.mesh is None:
            raise ModelError(f"a model of the kind {rows['model'].iloc[0]} has no surface.")
        vertices = to_voxels(built.mesh.vertices, volume.shape, size)[:, ::-1]
        return refine_surface(volume, Mesh(vertices, built.mesh.faces), size, options)

    @staticmethod
    def _in_angstrom(mesh: Mesh, shape: tuple[int, ...], size: float) -> Mesh:
        return Mesh((mesh.vertices - np.array(shape[::-1]) // 2) * size, mesh.faces)

    def _output(self, coordinates: list[pd.DataFrame], points: list[pd.DataFrame]) -> None:
        meshes = self.input_meshes.get()
        made = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"), pixel_size=meshes.pixel_size.get(), box_size=meshes.box_size.get()
        )
        for frame in coordinates:
            made.extend(frame)
        outputs: dict[str, object] = {"coordinates": made}
        if points:
            refined = SetOfMeshes.create(self._getPath("meshes.sqlite"))
            refined.copy_fields(meshes)
            refined.extend(pd.concat(points, ignore_index=True))
            outputs["meshes"] = refined
        self._register(self.input_meshes, **outputs)


def _triangles(tomogram_id: str, group: int, surface: Mesh, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the refined model: the corners of its triangles, and the markers that the user set."""
    corners = surface.corners.reshape(-1, 3)
    new = pd.DataFrame({"tomogram_id": tomogram_id, "x": corners[:, 0], "y": corners[:, 1], "z": corners[:, 2]})
    new = new.assign(group=group, model=TRIANGLES, role="point")
    markers = rows.loc[rows["role"] != "point", list(new.columns)].assign(model=TRIANGLES)
    return pd.concat([new, markers], ignore_index=True)


def _moved(name: str, refined: RefinedSurface, size: float) -> str:
    """Return how far a surface moved, in a sentence."""
    moved = refined.moved * size
    return (
        f"{name}: moved by {np.median(moved):+.1f} Å in the median, {np.sqrt(np.mean(moved**2)):.1f} Å root mean "
        f"square, {np.abs(moved).max():.1f} Å at most; the membrane was seen on {refined.supported.mean():.0%} of it."
    )
