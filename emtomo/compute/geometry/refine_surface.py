"""Move a surface along its normals onto the membrane's density."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from emtomo.compute.geometry.mesh import Mesh
from emtomo.compute.rotations import unit
from emtomo.errors import ModelError
from emtomo.options import Param, check_options
from emtomo.wording import count_text

STEP = 0.5  # voxels between samples along a normal
ROUNDS = 6
REWEIGHTINGS = 3
SUPPORTED = 3.0  # peak of the averaged profile over its noise, from which on a place counts
LEAST_SCATTER = 0.2  # voxels
MOST_VERTICES = 20_000
LEAST_SEEN = 0.05  # of the surface; noise alone seems a layer on some hundredths
EDGES = 3.0  # edges of the triangles that the smoothing length holds


@dataclass(frozen=True, kw_only=True)
class SurfaceOptions:
    """How far, and how smoothly, a surface follows the density."""

    reach: Annotated[
        float, Param("Reach", "How far the surface may move along its normals, in and out.", unit="voxel", ge=1, le=50)
    ] = 5.0
    thickness: Annotated[
        float,
        Param("Membrane thickness", "Of the layer that is looked for; a bilayer has about 40 Å.", unit="Å", gt=0),
    ] = 40.0
    smoothing: Annotated[
        float,
        Param(
            "Smoothing length",
            "Bumps narrower than this are taken for noise; the density is averaged over it along the surface.",
            unit="Å",
            gt=0,
        ),
    ] = 100.0
    white: Annotated[
        bool, Param("White membranes", "The membrane is brighter than its surroundings, not darker.", expert=True)
    ] = False


@dataclass(frozen=True)
class RefinedSurface:
    """A surface on the membrane's density.

    Attributes
    ----------
    mesh : Mesh
        x, y, z in voxels.
    moved : (n,) array
        How far each vertex moved along its normal, voxels, positive outwards.
    supported : (n,) bool array
        Where the density shows a membrane; elsewhere the surface follows its neighbours.
    certainty : float
        Standard deviation of the supported places along the normal, voxels.
    """

    mesh: Mesh
    moved: np.ndarray
    supported: np.ndarray
    certainty: float


def refine_surface(volume: np.ndarray, mesh: Mesh, pixel_size: float, options: SurfaceOptions) -> RefinedSurface:
    """Return `mesh` moved along its normals onto the layer of extreme density.

    In every round density is sampled along the normals, filtered for a layer of the given thickness and averaged
    along the surface; the best place of each vertex is a measurement of how far it must move. The smooth
    displacement (penalised second derivatives) that most measurements agree on, weighted by their contrast and
    freed of outliers by reweighting, is applied, and the next round measures about the moved surface.

    Parameters
    ----------
    volume : (z, y, x) array
    mesh : Mesh
        Vertices x, y, z in voxels (0-based), at most a few voxels apart.
    pixel_size : float
        Å.
    options : SurfaceOptions

    Raises
    ------
    ModelError
        If the mesh has too many vertices, or a membrane is seen on hardly any of it.
    """
    check_options(options)
    if len(mesh.vertices) > MOST_VERTICES:
        raise ModelError(
            f"The surface has {count_text(len(mesh.vertices), 'vertex')}, more than {MOST_VERTICES}; use longer edges."
        )
    length = options.smoothing / pixel_size
    spread, bending = _averaging(mesh, length), _bending(mesh, length)
    moved = np.zeros(len(mesh.vertices))
    here, weight, scatter = mesh, np.zeros(len(moved)), np.inf
    for _ in range(ROUNDS):
        measured, weight = _measure(volume, here, moved, spread, pixel_size, options)
        seen = float((weight > 0).mean())
        if seen < LEAST_SEEN:
            where = f"On {seen:.0%} of the surface only" if seen else "Nowhere"
            raise ModelError(
                f"{where}, within {options.reach:g} voxels, is a layer that stands out of the noise; "
                "enlarge the reach or the smoothing length, or check the contrast."
            )
        change, scatter = _smooth_fit(measured, weight, bending)
        change = np.clip(moved + change, -options.reach, options.reach) - moved
        here = Mesh(here.vertices + change[:, None] * vertex_normals(here), here.faces)
        moved = moved + change
        if np.sqrt(np.mean(change**2)) < 0.02:
            break
    # as many places are independent as smoothing patches fit on the supported part
    edges = float(np.median(np.linalg.norm(here.vertices[here.faces[:, 0]] - here.vertices[here.faces[:, 1]], axis=1)))
    per_patch = max(1.0, np.pi * length**2 / (0.87 * max(edges, 1e-6) ** 2))
    return RefinedSurface(here, moved, weight > 0, float(scatter / np.sqrt(min(per_patch, max((weight > 0).sum(), 1)))))


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """Return unit normals of the vertices, means of those of the triangles about them by area."""
    total, doubled = np.zeros_like(mesh.vertices), mesh.doubled
    for k in range(3):
        np.add.at(total, mesh.faces[:, k], doubled)
    return unit(total)


def _measure(
    volume: np.ndarray,
    mesh: Mesh,
    moved: np.ndarray,
    spread: Any,
    pixel_size: float,
    options: SurfaceOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the layer lies from each vertex, and the weight of that: 0 where there is none."""
    from scipy.ndimage import convolve1d, map_coordinates

    sigma = options.thickness / pixel_size / 2
    margin = 3 * sigma
    along = (
        np.arange(-np.ceil((2 * options.reach + margin) / STEP), np.ceil((2 * options.reach + margin) / STEP) + 1)
        * STEP
    )
    places = mesh.vertices[:, None] + along[None, :, None] * vertex_normals(mesh)[:, None]
    inside = ((places >= 0) & (places <= np.array(volume.shape[::-1]) - 1)).all(axis=2)
    profile = map_coordinates(volume, places.transpose(2, 0, 1)[::-1], order=1, mode="nearest").astype(float)
    profile = np.where(inside, profile, np.median(profile))
    t = np.arange(-int(margin / STEP), int(margin / STEP) + 1) * STEP / sigma
    layer = (1 - t**2) * np.exp(-(t**2) / 2)
    layer -= layer.mean()
    likeness = convolve1d(profile, layer if options.white else -layer, axis=1, mode="nearest")
    averaged = spread @ likeness
    centre = 1.4826 * np.median(np.abs(averaged - np.median(averaged)))
    allowed = (np.abs(along[None] + moved[:, None]) <= options.reach) & inside
    scores = np.where(allowed, averaged, -np.inf)
    best = np.argmax(scores, axis=1)
    rows, edge = np.arange(len(best)), (best == 0) | (best == len(along) - 1)
    best = np.clip(best, 1, len(along) - 2)
    low, middle, high = (averaged[rows, best + k] for k in (-1, 0, 1))
    curvature = low - 2 * middle + high
    offset = np.where(curvature < 0, 0.5 * (low - high) / np.where(curvature < 0, curvature, -1), 0.0)
    # a maximum at the end of the reach is no layer, only the flank of one
    border = ~allowed[rows, best - 1] | ~allowed[rows, best + 1] | edge | ~allowed.any(axis=1)
    contrast = (middle - np.median(averaged)) / max(centre, 1e-12)
    weight = np.where(border | (contrast < SUPPORTED) | (curvature >= 0), 0.0, np.clip(contrast / SUPPORTED, 0, 3))
    return along[best] + np.clip(offset, -1, 1) * STEP, weight


def _smooth_fit(measured: np.ndarray, weight: np.ndarray, bending: Any) -> tuple[np.ndarray, float]:
    """Return the smooth displacement that most measurements agree on, and their scatter about it."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    trust, scatter = weight / weight[weight > 0].mean(), LEAST_SCATTER
    found = np.zeros_like(measured)
    for _ in range(REWEIGHTINGS):
        matrix = (diags(trust + 1e-6) + bending).tocsc()
        factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        found = factors.solve(trust * measured)
        off = measured - found
        scatter = max(1.4826 * float(np.median(np.abs(off[weight > 0]))), LEAST_SCATTER)
        trust = weight / weight[weight > 0].mean() / (1 + (off / (2 * scatter)) ** 2) ** 2
    return found, scatter


def _neighbours(mesh: Mesh) -> Any:
    """Return the (n, n) sparse matrix of which vertices share an edge."""
    from scipy.sparse import coo_matrix

    edges = np.concatenate([mesh.faces[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2))])
    n = len(mesh.vertices)
    adjacency = coo_matrix((np.ones(len(edges)), edges.T), shape=(n, n)).tocsr()
    adjacency.data[:] = 1.0
    return adjacency


def _bending(mesh: Mesh, length: float) -> Any:
    """Return the penalty of second derivatives, such that waves of 2 pi `length` are halved."""
    from scipy.sparse import diags, identity

    adjacency = _neighbours(mesh)
    counts = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    rows, columns = adjacency.nonzero()
    square = np.linalg.norm(mesh.vertices[rows] - mesh.vertices[columns], axis=1) ** 2
    about = np.bincount(rows, square, len(counts)) / counts
    laplacian = diags(4 / np.maximum(about, 1e-9)) @ (diags(1 / counts) @ adjacency - identity(len(counts)))
    return length**4 * (laplacian.T @ laplacian)


def _averaging(mesh: Mesh, length: float) -> Any:
    """Return the matrix that averages over vertices within about half of `length`, with Gaussian weights."""
    from scipy.sparse import coo_matrix, diags
    from scipy.spatial import cKDTree

    sigma = length / 2
    tree = cKDTree(mesh.vertices)
    pairs = tree.sparse_distance_matrix(tree, 2 * sigma, output_type="ndarray")
    normals = vertex_normals(mesh)
    facing = np.einsum("ij,ij->i", normals[pairs["i"]], normals[pairs["j"]])
    weights = np.exp(-((pairs["v"] / sigma) ** 2) / 2) * (facing > 0.5)
    n = len(mesh.vertices)
    matrix = coo_matrix((weights, (pairs["i"], pairs["j"])), shape=(n, n)).tocsr()
    return diags(1 / np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1e-12)) @ matrix
