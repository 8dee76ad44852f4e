"""The kinds of models that users pick, and what each becomes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from emtomo.compute.geometry.certainty import Certainty, warn_of_open
from emtomo.compute.geometry.curve import Path, helix_rotations, subunits, trace
from emtomo.compute.geometry.ellipsoid import Ellipsoid, Fitted, fit_ellipsoid, fit_sphere
from emtomo.compute.geometry.mesh import Mesh, convex_hull, sphere_mesh
from emtomo.compute.geometry.sheet import loft, sheet_mesh
from emtomo.compute.rotations import from_directions, random_in_plane, unit
from emtomo.errors import ModelError
from emtomo.options import Param
from emtomo.wording import count_text

MODELS = (
    "general", "general_boxes", "surface", "hull", "vesicle", "ellipsoidal_vesicle",
    "marked_ellipsoidal_vesicle", "dipole_set", "filament", "filament_torsion", "filament_helix",
    "filament_rings", "lattice",
)  # fmt: skip
TRIANGLES = "triangles"  # not picked: what refine-surface makes
KINDS = (*MODELS, TRIANGLES)
ROLES = ("point", "inside", "north", "south", "west", "center", "marker")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model becomes oriented positions; lengths in voxels of the tomogram that was picked."""

    mesh_parameter: Annotated[
        float,
        Param("Mesh parameter", "Longest edge of the triangles that depict the model.", unit="voxel", gt=0),
    ] = 5.0
    max_triangles: Annotated[
        int,
        Param("Maximum number of triangles", "The depicted mesh is not refined beyond this.", ge=20, le=10**8),
    ] = 100000
    cropping: Annotated[
        float,
        Param(
            "Cropping parameter",
            "Distance between neighbouring oriented coordinates (along a filament: between its points).",
            unit="voxel",
            gt=0,
        ),
    ] = 10.0
    refine_mesh: Annotated[
        bool, Param("Refine mesh?", "Cut each triangle into 4, as often as the next field says.", expert=True)
    ] = False
    subdivisions: Annotated[
        int, Param("Subdivision iterations", "Refine mesh: how often.", ge=0, le=8, expert=True)
    ] = 2
    radius: Annotated[
        float,
        Param(
            "Radius",
            "filament_helix and filament_rings: distance of the subunits from the path; "
            "marked_ellipsoidal_vesicle: size of the zone around each marker.",
            unit="voxel",
            ge=0,
        ),
    ] = 10.0
    step_angle: Annotated[
        float,
        Param(
            "Step angle",
            "filament_torsion, filament_helix, filament_rings: rotation from one point of the path to the next.",
            unit="°",
        ),
    ] = 0.0
    subunits: Annotated[int, Param("Subunits per ring", "filament_rings: positions on each ring.", ge=1, le=1000)] = 12
    exclude_marked: Annotated[
        bool,
        Param(
            "Exclude the marked zone",
            "marked_ellipsoidal_vesicle: drop what is near a marker instead of keeping only that.",
            expert=True,
        ),
    ] = False
    noise: Annotated[
        float,
        Param(
            "Precision of the points",
            "Expected standard deviation of the picked points about the true curve or surface. Curves and sheets are "
            "as straight and flat as the points allow; at 0 they go through every point.",
            unit="voxel",
            ge=0,
            expert=True,
        ),
    ] = 1.0
    seed: Annotated[
        int,
        Param("Seed", "Of the random in-plane angles, which a surface does not determine.", ge=0, expert=True),
    ] = 1

    def to_angstrom(self, pixel_size: float) -> "ModelOptions":
        """Return the options with lengths in Å."""
        lengths = {n: getattr(self, n) * pixel_size for n in ("mesh_parameter", "cropping", "radius", "noise")}
        return replace(self, **lengths)


@dataclass(frozen=True)
class Built:
    """What a model became.

    Attributes
    ----------
    positions : (n, 3) array
    rotations : (n, 3, 3) array or None
    mesh : Mesh or None
        For the eye.
    note : str
        What was found, e.g. the radius.
    certainty : Certainty or None
        Standard deviations of a fitted surface or curve.
    warning : str
        Why the model should not be believed as it is; empty where it can.
    """

    positions: np.ndarray
    rotations: np.ndarray | None
    mesh: Mesh | None = None
    note: str = ""
    certainty: Certainty | None = None
    warning: str = ""


@dataclass(frozen=True)
class UserPoints:
    """The points of one model, by role, in the order picked; lengths as in the options, none beyond `largest`."""

    points: np.ndarray
    roles: np.ndarray
    largest: float = np.inf

    def of(self, *roles: str) -> np.ndarray:
        """Return the points with one of these roles."""
        return self.points[np.isin(self.roles, roles)]

    @property
    def inside(self) -> np.ndarray | None:
        """The mean of the inside markers, ``None`` without."""
        marked = self.of("inside")
        return marked.mean(axis=0) if len(marked) else None


def build(model: str, points: np.ndarray, roles: np.ndarray, options: ModelOptions, largest: float = np.inf) -> Built:
    """Turn a user's points into evenly spaced, oriented positions.

    Parameters
    ----------
    model : str
        One of :data:`KINDS`.
    points : (n, 3) array
        x, y, z; the unit of the lengths in `options`.
    roles : (n,) array of str
        One of :data:`ROLES` for each point.
    options : ModelOptions
    largest : float
        Radius that no model exceeds, e.g. the tomogram's diagonal.

    Raises
    ------
    ModelError
        If the model is unknown, or these points do not determine it, with the reason.
    """
    if model not in _BUILDERS:
        raise ModelError(f"There is no model {model!r}; the models are {', '.join(KINDS)}.")
    points = np.asarray(points, float).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise ModelError("A point is not finite.")
    return _BUILDERS[model](UserPoints(points, np.asarray(roles, object), largest), options)


def _general(user: UserPoints, options: ModelOptions) -> Built:
    points = user.of("point", "center")
    if len(points) == 0:
        raise ModelError("There is no point.")
    return Built(points, None, note=f"{count_text(len(points), 'point')}")


def _on_mesh(mesh: Mesh, options: ModelOptions, note: str) -> Built:
    positions, normals = mesh.points(options.cropping)
    shown = mesh.refine_to(options.mesh_parameter, options.max_triangles)
    for _ in range(options.subdivisions if options.refine_mesh else 0):
        shown = shown.refine() if 4 * len(shown.faces) <= options.max_triangles else shown
    return Built(positions, random_in_plane(from_directions(normals), options.seed), shown, note)


def _surface(user: UserPoints, options: ModelOptions) -> Built:
    grid, certainty = loft(user.of("point"), slice_tolerance=max(options.noise, 1e-6), noise=options.noise)
    mesh = sheet_mesh(grid, user.inside)
    note = f"sheet of {mesh.area:.4g} square units"
    if certainty is not None:
        note += f" (± {certainty.surface:.2g}, normals ± {certainty.normals:.2g}°)"
    warning = warn_of_open(certainty, float(np.sqrt(mesh.area)), "pick its contour on more slices")
    return replace(_on_mesh(mesh, options, note), certainty=certainty, warning=warning)


def _hull(user: UserPoints, options: ModelOptions) -> Built:
    mesh = convex_hull(user.of("point"))
    return _on_mesh(mesh, options, f"hull of area {mesh.area:.6g} and volume {mesh.volume:.6g}")


def _closed(surface: Fitted, options: ModelOptions) -> Built:
    positions = surface.points(options.cropping)
    edge = options.mesh_parameter / surface.radii.max()
    ball = sphere_mesh(edge, options.max_triangles)
    for _ in range(options.subdivisions if options.refine_mesh else 0):
        ball = sphere_mesh(ball.longest_edge() / 1.99, options.max_triangles)
    mesh = Mesh(surface.centre + (ball.vertices * surface.radii) @ surface.axes.T, ball.faces)
    rotations = random_in_plane(from_directions(surface.normals(positions)), options.seed)
    radii = " × ".join(f"{r:.4g}" for r in dict.fromkeys(np.round(surface.radii, 6)))
    note = f"radius {radii} (± {surface.certainty.surface:.2g}, normals ± {surface.certainty.normals:.2g}°)"
    return Built(positions, rotations, mesh, note, surface.certainty, surface.warning)


def _outward(ellipsoid: Ellipsoid, user: UserPoints, built: Built) -> Built:
    """Return `built` turned inside out if the inside marker lies outside the closed surface."""
    if user.inside is None or ellipsoid.distance(user.inside[None])[0] <= 0 or built.rotations is None:
        return built
    flipped = built.rotations @ np.diag([1.0, -1.0, -1.0])
    mesh = built.mesh.flip() if built.mesh is not None else None
    note = built.note + ", inside marker outside: normals point inward"
    return replace(built, rotations=flipped, mesh=mesh, note=note)


def _vesicle(user: UserPoints, options: ModelOptions) -> Built:
    sphere = fit_sphere(user.of("point"), seed=options.seed, noise=options.noise, largest=user.largest)
    return _outward(sphere, user, _closed(sphere, options))


def _ellipsoidal(user: UserPoints, options: ModelOptions) -> Built:
    ellipsoid = fit_ellipsoid(user.of("point"), seed=options.seed, noise=options.noise, largest=user.largest)
    return _outward(ellipsoid, user, _closed(ellipsoid, options))


def _marked(user: UserPoints, options: ModelOptions) -> Built:
    markers = user.of("marker")
    if len(markers) == 0:
        raise ModelError("A marked ellipsoidal vesicle needs at least one point with the role marker.")
    return _in_marked_zone(_ellipsoidal(user, options), markers, options)


def _in_marked_zone(built: Built, markers: np.ndarray, options: ModelOptions) -> Built:
    away = np.linalg.norm(built.positions[:, None] - markers[None], axis=2).min(axis=1)
    keep = (away <= options.radius) != options.exclude_marked
    if not keep.any():
        raise ModelError("No position of the vesicle lies in the marked zone; enlarge the radius.")
    rotations = built.rotations[keep] if built.rotations is not None else None
    return replace(built, positions=built.positions[keep], rotations=rotations)


def _triangles(user: UserPoints, options: ModelOptions) -> Built:
    """Return the surface whose triangles' corners are the points, three by three, counter-clockwise from outside."""
    corners = user.of("point")
    if len(corners) < 3 or len(corners) % 3:
        raise ModelError(f"Triangles needs three points for each, got {count_text(len(corners), 'point')}.")
    vertices, place = np.unique(corners, axis=0, return_inverse=True)
    mesh = Mesh(vertices, place.reshape(-1, 3))
    if not mesh.area > 0:
        raise ModelError("These triangles have no area: there is no surface; the model needs others.")
    positions, normals = mesh.points(options.cropping)
    rotations = random_in_plane(from_directions(normals), options.seed)
    built = Built(positions, rotations, mesh, f"{count_text(len(mesh.faces), 'triangle')} of area {mesh.area:.4g}")
    markers = user.of("marker")
    return _in_marked_zone(built, markers, options) if len(markers) else built


def _dipoles(user: UserPoints, options: ModelOptions) -> Built:
    """Each center starts a dipole; north gives z, west gives x (south and east are the other ends)."""
    centres: list[np.ndarray] = []
    z: list[np.ndarray | None] = []
    x: list[np.ndarray | None] = []
    for point, role in zip(user.points, user.roles, strict=True):
        if role == "center":
            centres.append(point)
            z.append(None)
            x.append(None)
        elif role in ("north", "south", "west") and centres:
            vector = point - centres[-1]
            if role == "west":
                x[-1] = vector
            else:
                z[-1] = vector if role == "north" else (-vector if z[-1] is None else z[-1])
    if not centres:
        raise ModelError("A dipole set needs points with the role center, each followed by its north.")
    if any(v is None for v in z):
        raise ModelError(f"Dipole {[v is None for v in z].index(True) + 1} has no north.")
    north = np.array(z, float)
    rotations = from_directions(north)
    has_x = np.array([v is not None for v in x])
    if has_x.any():
        along = np.array([v if v is not None else np.zeros(3) for v in x])
        rotations[has_x] = from_directions(north[has_x], along[has_x])
    rotations[~has_x] = random_in_plane(rotations[~has_x], options.seed)
    return Built(np.array(centres), rotations, note=f"{count_text(len(centres), 'dipole')}")


def _traced(user: UserPoints, options: ModelOptions) -> Path:
    return trace(user.of("point"), options.cropping, noise=options.noise)


def _on_path(path: Path, positions: np.ndarray, rotations: np.ndarray) -> Built:
    note = f"length {path.length:.4g}"
    if path.certainty is not None:
        note += f" (± {path.certainty.surface:.2g} across, direction ± {path.certainty.normals:.2g}°)"
    warning = warn_of_open(path.certainty, path.length, "pick more points along it")
    return Built(positions, rotations, note=note, certainty=path.certainty, warning=warning)


def _filament(user: UserPoints, options: ModelOptions) -> Built:
    path = _traced(user, options)
    return _on_path(path, path.points, random_in_plane(from_directions(path.tangents), options.seed))


def _torsion(user: UserPoints, options: ModelOptions) -> Built:
    path = _traced(user, options)
    return _on_path(path, path.points, helix_rotations(path, options.step_angle))


def _helix(user: UserPoints, options: ModelOptions) -> Built:
    path = _traced(user, options)
    angles = options.step_angle * np.arange(len(path.points))[:, None]
    return _on_path(path, *subunits(path, options.radius, angles))


def _rings(user: UserPoints, options: ModelOptions) -> Built:
    path = _traced(user, options)
    ring = 360.0 * np.arange(options.subunits) / options.subunits
    angles = options.step_angle * np.arange(len(path.points))[:, None] + ring[None]
    return _on_path(path, *subunits(path, options.radius, angles))


def _lattice(user: UserPoints, options: ModelOptions) -> Built:
    """Cubic nodes a cropping parameter apart from the center, within the extent of the points."""
    centre, north, west = user.of("center"), user.of("north"), user.of("west")
    points = user.of("point")
    if len(centre) != 1 or len(points) < 2:
        raise ModelError("A lattice needs one point with the role center and two or more that bound it.")
    z = north[0] - centre[0] if len(north) else np.array([0.0, 0.0, 1.0])
    x = west[0] - centre[0] if len(west) else np.array([1.0, 0.0, 0.0])
    frame = from_directions(unit(z), unit(x))[0]
    local = (points - centre[0]) @ frame / options.cropping
    low, high = np.ceil(local.min(axis=0) - 1e-9), np.floor(local.max(axis=0) + 1e-9)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    if not 0 < len(nodes) <= 10**7:
        raise ModelError(
            f"The lattice would have {count_text(len(nodes), 'node')}; check the points and the cropping parameter."
        )
    positions = centre[0] + (nodes * options.cropping) @ frame.T
    return Built(positions, np.repeat(frame[None], len(nodes), axis=0), note=f"{count_text(len(nodes), 'node')}")


_BUILDERS: dict[str, Callable[[UserPoints, ModelOptions], Built]] = {
    "general": _general,
    "general_boxes": _general,
    "surface": _surface,
    "hull": _hull,
    "vesicle": _vesicle,
    "ellipsoidal_vesicle": _ellipsoidal,
    "marked_ellipsoidal_vesicle": _marked,
    "dipole_set": _dipoles,
    "filament": _filament,
    "filament_torsion": _torsion,
    "filament_helix": _helix,
    "filament_rings": _rings,
    "lattice": _lattice,
    TRIANGLES: _triangles,
}
