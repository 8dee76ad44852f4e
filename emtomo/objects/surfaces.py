"""Surfaces that guide a search: points and normals, from models or from oriented coordinates."""

import numpy as np

from emtomo.compute.geometry.models import ModelOptions, build
from emtomo.compute.positions import check_finite
from emtomo.errors import EmtomoError
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.mesh import SetOfMeshes
from emtomo.objects.rotation import positions_of, rotations_of


def surface_of(
    source: SetOfMeshes | SetOfCoordinates3D, tomogram_id: str, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and normals of a surface, both `(n, 3)` x, y, z; points in Å from the tomogram's centre.

    Parameters
    ----------
    source : SetOfMeshes or SetOfCoordinates3D
        Models are built with points `spacing` apart; coordinates are taken as they are.
    tomogram_id : str
    spacing : float
        Å.

    Raises
    ------
    EmtomoError
        If a coordinate has no orientation, or is no finite number.
    ModelError
        If a model cannot be built.
    """
    frame = source.frame(tomogram_id=tomogram_id)
    if isinstance(source, SetOfCoordinates3D):
        rotations = rotations_of(frame)
        if np.isnan(rotations).any():
            raise EmtomoError(f"{tomogram_id}: coordinates without orientation make no surface; take model-workflow's.")
        check_finite(positions_of(frame))
        return positions_of(frame), rotations[:, :, 2]
    size = float(source.pixel_size.get())
    options = ModelOptions(cropping=spacing / size).to_angstrom(size)
    points, normals = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for _, group in frame.groupby("group", sort=True):
        built = build(group["model"].iloc[0], positions_of(group), group["role"].to_numpy(object), options)
        if built.rotations is not None:
            points.append(built.positions)
            normals.append(built.rotations[:, :, 2])
    return np.concatenate(points), np.concatenate(normals)
