"""What a microscope does and its metadata do not say: errors of geometry, defocus and poses of a known size."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options

VOLUME_NODES = (4, 2, 3, 3)  # dose, z, y, x


@dataclass(frozen=True, kw_only=True)
class ErrorOptions:
    """How far what the metadata say is from what the images show: standard deviations, 0 for none."""

    stage_error: Annotated[
        float,
        Param("Stage angle error", "Of every tilt, about each of the image's axes.", unit="°", ge=0, le=10),
    ] = 0.0
    shift_error: Annotated[
        float, Param("Image shift error", "Of every tilt, along x and y.", unit="Å", ge=0, le=1000)
    ] = 0.0
    image_warp: Annotated[
        float,
        Param(
            "Image warp",
            "Movement of the sample within every tilt image, at each node of a grid, along x and y; the mean over the "
            "nodes is 0.",
            unit="Å",
            ge=0,
            le=1000,
        ),
    ] = 0.0
    image_warp_nodes: Annotated[
        int, Param("Nodes of the image warp", "Along each side of the image.", ge=2, le=20, expert=True)
    ] = 3
    volume_warp: Annotated[
        float,
        Param(
            "Volume warp",
            "Deformation of the volume at the full dose, at each node of a grid of 3 × 3 × 2, along x, y and z. It "
            "grows with the dose from 0.",
            unit="Å",
            ge=0,
            le=1000,
        ),
    ] = 0.0
    doming: Annotated[
        float,
        Param(
            "Doming",
            "How far the middle of the volume rises over its sides by the full dose; it grows with the dose from 0.",
            unit="Å",
            ge=-1000,
            le=1000,
        ),
    ] = 0.0
    defocus_error: Annotated[float, Param("Defocus error", "Of every tilt.", unit="Å", ge=0, le=50000)] = 0.0
    rotation_error: Annotated[
        float, Param("Orientation error", "Of every particle, about each of its axes.", unit="°", ge=0, le=180)
    ] = 0.0
    position_error: Annotated[
        float, Param("Position error", "Of every particle, along x, y and z.", unit="Å", ge=0, le=1000)
    ] = 0.0
    error_seed: Annotated[int, Param("Seed of the errors", "The same seed gives the same errors.", ge=0)] = 1

    @property
    def of_series(self) -> bool:
        """Whether the metadata of the tilt series are in error."""
        return any(
            getattr(self, name)
            for name in ("stage_error", "shift_error", "image_warp", "volume_warp", "doming", "defocus_error")
        )

    @property
    def of_poses(self) -> bool:
        """Whether the poses of the particles are in error."""
        return bool(self.rotation_error or self.position_error)


def disturb_geometry(given: TiltGeometry, options: ErrorOptions, number: int = 0) -> TiltGeometry:
    """Return the geometry that images have whose metadata say `given`.

    Parameters
    ----------
    given : TiltGeometry
        With defocus, image size and volume size, without warps.
    options : ErrorOptions
    number : int
        Of the tilt series: each has errors of its own.

    Raises
    ------
    EmtomoError
        If a defocus, a size of images or volume is not known.
    """
    from scipy.spatial.transform import Rotation

    check_options(options)
    if given.ctf is None or given.image_size is None or given.volume_size is None:
        raise EmtomoError("Errors need a geometry with defocus, size of the images and size of the volume.")
    n = len(given)
    stage, shift, image, volume, defocus = (np.random.default_rng([options.error_seed, number, k]) for k in range(5))
    turns = Rotation.from_rotvec(stage.normal(0, np.deg2rad(options.stage_error), (n, 3))).as_matrix()
    rotations = turns @ given.rotations
    out = replace(
        given,
        rotations=rotations,
        scale=rotations[:, 2, 2].copy(),
        shifts=given.shifts + shift.normal(0, options.shift_error, (n, 2)),
        ctf=given.ctf.with_defocus_added(defocus.normal(0, options.defocus_error, n)),
    )
    if options.image_warp:
        side = options.image_warp_nodes
        nodes = image.normal(0, 1, (2, n, side, side))
        nodes -= nodes.mean(axis=(2, 3), keepdims=True)
        nodes *= options.image_warp * side / np.sqrt(side * side - 1)  # the mean took its part
        out = replace(out, image_warp=ImageWarp(nodes[0], nodes[1], given.image_size))
    if options.volume_warp or options.doming:
        doses = (float(given.dose.min()), float(given.dose.max()))
        out = replace(out, volume_warp=VolumeWarp(_volume_nodes(options, volume), given.volume_size, doses))
    return out


def _volume_nodes(options: ErrorOptions, rng: np.random.Generator) -> np.ndarray:
    """Return (d, z, y, x, 3) displacements in Å: a random walk with the dose, and doming."""
    planes = VOLUME_NODES[0]
    steps = rng.normal(0, options.volume_warp / np.sqrt(planes - 1), (planes - 1, *VOLUME_NODES[1:], 3))
    nodes = np.concatenate([np.zeros((1, *VOLUME_NODES[1:], 3)), np.cumsum(steps, axis=0)])
    y, x = np.meshgrid(np.linspace(-1, 1, VOLUME_NODES[2]), np.linspace(-1, 1, VOLUME_NODES[3]), indexing="ij")
    dome = 1 - np.minimum(x * x + y * y, 1.0)
    nodes[..., 2] += options.doming * np.linspace(0, 1, planes)[:, None, None, None] * dome
    return nodes


def disturb_poses(
    positions: np.ndarray, rotations: np.ndarray, options: ErrorOptions, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 3) positions in Å and (n, 3, 3) rotations with the errors of a picker."""
    from scipy.spatial.transform import Rotation

    check_options(options)
    rng = np.random.default_rng([options.error_seed, number, 5])
    moved = positions + rng.normal(0, options.position_error, positions.shape)
    turns = Rotation.from_rotvec(rng.normal(0, np.deg2rad(options.rotation_error), (len(rotations), 3)))
    return moved, rotations @ turns.as_matrix().reshape(-1, 3, 3)
