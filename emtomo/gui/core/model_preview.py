"""The coordinates that models will give, drawn on their tomogram before anything runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from pyworkflow.object import Pointer
from scipy.spatial import cKDTree

from emtomo.compute.geometry.models import ModelOptions, build
from emtomo.engine.lineage import upstream
from emtomo.engine.parameters import output_target
from emtomo.engine.project import EmtomoProject
from emtomo.errors import ModelError
from emtomo.gui.core.preview import Preview, grey, options_of
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.core.wizards import Texts, input_of
from emtomo.objects import SetOfTomograms, positions_of
from emtomo.wording import count_text

SIDE = 480  # pixels of the longer side of a picture
HERE, AWAY = (255, 196, 0), (120, 110, 60)  # in the slice, and before or behind it
AS_PICKED = "as picked"
ARROW = 0.6  # of the cropping parameter


def preview_models(project: EmtomoProject, texts: Texts, name: str, folder: Path) -> Preview:
    """Return the coordinates that a cropping parameter gives in the first tomogram.

    Raises
    ------
    EmtomoError
        If there are no meshes yet.
    """
    meshes = input_of(project, texts, "meshes", "the input meshes")
    run, output = output_target(project, texts["meshes"].split(",")[0].strip())
    tomograms: Any = upstream(Pointer(run, extended=output), SetOfTomograms)
    tomogram_id, size = str(meshes.tomogram_ids()[0]), float(meshes.pixel_size.get())
    frame, options = meshes.frame(tomogram_id=tomogram_id), options_of(ModelOptions, texts)
    wanted = texts.get("model") or AS_PICKED
    planes = _Planes(Path(project.path), tomograms, tomogram_id, positions_of(frame) / size)

    def draw(cropping: float) -> tuple[np.ndarray, np.ndarray, str]:
        """Draw the coordinates of a spacing on the middle slice."""
        places, normals, failed = _build_all(
            frame, ModelOptions(**{**vars(options), "cropping": cropping}), wanted, size
        )
        count = count_text(len(places), "coordinate")
        sentence = f"{tomogram_id}: {count} at a cropping parameter of {cropping:.3g} voxels"
        if len(places) > 1:
            away = np.median(cKDTree(places).query(places, 2)[0][:, 1]) * size
            sentence += f", neighbours {away:.0f} Å apart (median)"
        sentence += f". {failed}" if failed else ""
        across, along = (planes.draw(axis, places, normals, cropping) for axis in (2, 1))
        return across, along, sentence

    titles = ("xy, through the middle of the models", "xz")
    return Preview("Coordinates of the models", "voxel", 1.0, 50.0, options.cropping, draw, titles)


def _build_all(
    frame: pd.DataFrame, options: ModelOptions, wanted: str, size: float
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return places and normals of all models in voxels from the centre, x, y, z, and why the first failed."""
    places, normals, failed = [np.zeros((0, 3))], [np.zeros((0, 3))], ""
    for _, points in frame.groupby("group", sort=True):
        kind = str(points["model"].iloc[0]) if wanted == AS_PICKED else wanted
        try:
            built = build(kind, positions_of(points), points["role"].to_numpy(object), options.to_angstrom(size))
        except ModelError as error:
            failed = failed or str(error)
            continue
        places.append(built.positions / size)
        normals.append(built.rotations[:, :, 2] if built.rotations is not None else np.zeros(built.positions.shape))
    return np.concatenate(places), np.concatenate(normals), failed


class _Planes:
    """Two slices of a tomogram through the middle of the models, dark where the tomogram is not known."""

    def __init__(self, project: Path, tomograms: Any, tomogram_id: str, points: np.ndarray) -> None:
        self.middle = np.median(points, axis=0)
        reach = 2 * np.abs(points).max(axis=0).astype(int) + 20
        self.shape = tuple(int(n) for n in reach)  # x, y, z
        self.slices: dict[int, np.ndarray] = {}
        files = dict(tomograms.frame()[["tomogram_id", "file"]].to_numpy()) if tomograms is not None else {}
        if tomogram_id not in files:
            return
        source = VolumeSource(project / str(files[tomogram_id]))
        self.shape = source.shape[::-1]
        try:
            z, y = (min(max(int(round(self.middle[a] + self.shape[a] // 2)), 0), self.shape[a] - 1) for a in (2, 1))
            self.slices = {
                2: np.asarray(source.slab(z, z + 1)[0], np.float32),
                1: np.asarray(source.data[:, y], np.float32),
            }
        finally:
            source.close()

    def draw(self, axis: int, places: np.ndarray, normals: np.ndarray, cropping: float) -> np.ndarray:
        """Return a slice across `axis` (1 or 2 of x, y, z) with coordinates and normals, `(y, x, 3)` uint8."""
        up = 3 - axis  # the vertical axis: y of xy, z of xz
        wide, high = self.shape[0], self.shape[up]
        scale = SIDE / max(wide, high)
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        plane = grey(self.slices[axis]) if self.slices else np.full((high, wide), 24, np.uint8)
        picture = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
        pencil = ImageDraw.Draw(picture)
        near = np.abs(places[:, axis] - self.middle[axis]) <= cropping / 2
        for here in (False, True):
            colour = HERE if here else AWAY
            for place, normal in zip(places[near == here], normals[near == here], strict=True):
                x, y = (place[0] + wide // 2) * scale, size[1] - (place[up] + high // 2) * scale
                if here:
                    length = ARROW * cropping * scale
                    pencil.line((x, y, x + normal[0] * length, y - normal[up] * length), fill=colour)
                pencil.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        return np.asarray(picture)
