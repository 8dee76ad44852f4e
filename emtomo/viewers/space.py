"""Outputs in space: what the 3D view shows of each, and the same as a picture."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from emtomo.compute.geometry.models import ModelOptions
from emtomo.compute.positions import to_voxels
from emtomo.errors import EmtomoError
from emtomo.gui.core.live import fit_model
from emtomo.gui.core.opengl import load_vtk
from emtomo.gui.core.picking import Model, Point
from emtomo.gui.core.scene import Scene
from emtomo.gui.core.scenedata import SceneData
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.slices import neighbour_distance
from emtomo.gui.core.tomogram_particles import counts
from emtomo.gui.core.volume import VolumeSource
from emtomo.objects import SetOfMeshes, positions_of, rotations_of

PICTURE = (1000, 750)


def prepare_scene(shown: Shown) -> None:
    """Load what draws, and read what is drawn of a volume or of the only tomogram."""
    load_vtk()
    rows = counts(shown) if hasattr(shown.value, "tomogram_ids") else [("", "")]
    shown.prepared["rows"] = rows
    if len(rows) == 1:
        shown.prepared[f"scene {rows[0][0]}"] = scene_data(shown, rows[0][0])


def scene_data(shown: Shown, tomogram_id: str) -> SceneData:
    """Return what the 3D view shows of an output, in one of its tomograms.

    Raises
    ------
    EmtomoError
        If its tomogram is not known.
    """
    value = shown.value
    if hasattr(value, "file"):
        source = VolumeSource(shown.path(str(value.file.get())))
        return SceneData(source, source.shape, surface=True)
    found = shown.tomograms
    if found is None or tomogram_id not in found.tomogram_ids():
        raise EmtomoError(f"{shown.title}: the tomogram {tomogram_id} is not known, so its size is not either.")
    row = found.frame(tomogram_id=tomogram_id).iloc[0]
    source = VolumeSource(shown.path(row["file"]))
    size, frame = float(found.pixel_size.get()), value.frame(tomogram_id=tomogram_id)
    source.plane(0, source.shape[0] // 2)  # what is shown first
    data = SceneData(source, source.shape, white=bool(found.white.get()))
    data.points = to_voxels(positions_of(frame), source.shape, size)[:, ::-1].copy()
    data.normals = rotations_of(frame)[:, :, 2] if "r11" in frame else np.full(data.points.shape, np.nan)
    data.groups = frame["group"].to_numpy(int)
    data.scores = frame["score"].to_numpy(float) if "score" in frame else np.zeros(len(frame))
    data.tomograms = frame["tomogram_id"].to_numpy(object)
    data.box = float(value.box_size.get() or 16) * float(value.pixel_size.get() or size) / size
    data.length = min(data.box / 2, neighbour_distance(data.points))
    if isinstance(value, SetOfMeshes):
        data.box = 6.0
        data.meshes = _models(frame.reset_index(drop=True), data.points)
    return data


def _models(frame: pd.DataFrame, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Return the surfaces that picked models give; a model that cannot be built has none."""
    found = []
    for group, rows in frame.groupby("group", sort=True):
        picked = [
            Point(float(points[k, 0]), float(points[k, 1]), float(points[k, 2]), str(rows["role"][k]))
            for k in rows.index
        ]
        fit = fit_model(Model(str(rows["model"].iloc[0]), picked), ModelOptions())
        if len(fit.faces):
            found.append((fit.vertices[:, ::-1], fit.faces, int(str(group))))
    return found


def space_picture(shown: Shown, png: Path) -> None:
    """Draw an output, of the first tomogram, into a PNG file."""
    name = shown.value.tomogram_ids()[0] if hasattr(shown.value, "tomogram_ids") else ""
    scene = Scene(scene_data(shown, name))
    part = png.with_name(png.name + ".part.png")
    Image.fromarray(scene.render(*PICTURE)).save(part)
    scene.close()
    part.replace(png)
