"""A tomogram's worth of vesicles and proteins, with everything known about them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.compute.positions import to_voxels
from emtomo.compute.rotations import from_directions, random_in_plane, random_rotations
from emtomo.errors import EmtomoError
from emtomo.options import SMALLEST_PIXEL, Param, check_options
from emtomo.synthetic.lattice import hexagonal_lattice, ring_density
from emtomo.synthetic.shapes import (
    MEMBRANE_PROTEIN,
    SOLUBLE_PROTEIN,
    add_vesicle,
    place,
    protein_density,
)

TRIES = 20000
BORDER = 120.0  # Å of the sample's side in which no protein is placed


@dataclass(frozen=True, kw_only=True)
class PhantomOptions:
    """What a synthetic sample holds and how it is imaged."""

    size_x: Annotated[int, Param("Columns", "Voxels along x.", ge=32, le=2048)] = 256
    size_y: Annotated[int, Param("Rows", "Voxels along y.", ge=32, le=2048)] = 256
    size_z: Annotated[int, Param("Slices", "Voxels along z.", ge=16, le=1024)] = 128
    pixel_size: Annotated[float, Param("Pixel size", "Edge of a voxel.", unit="Å", ge=SMALLEST_PIXEL, le=100)] = 10.0
    vesicles: Annotated[int, Param("Vesicles", "Spherical vesicles per tomogram.", ge=0, le=100)] = 3
    vesicle_radius: Annotated[
        float, Param("Vesicle radius", "Mean radius; single ones differ by up to a quarter.", unit="Å", gt=50)
    ] = 400.0
    membrane_proteins: Annotated[int, Param("Membrane proteins", "Per vesicle, pointing outward.", ge=0, le=10000)] = 60
    arrangement: Annotated[
        str,
        Param(
            "Arrangement",
            "random: membrane proteins stand anywhere on the vesicles. hexagonal: rings of six proteins form a lattice "
            "under the membrane, as in immature HIV; it decides how many there are.",
            choices=("random", "hexagonal"),
        ),
    ] = "random"
    spacing: Annotated[
        float, Param("Spacing of the lattice", "Between neighbours.", unit="Å", ge=20, le=1000, expert=True)
    ] = 73.0
    lattice_depth: Annotated[
        float,
        Param(
            "Depth of the lattice",
            "How far its rings lie under the middle of the membrane.",
            unit="Å",
            ge=-500,
            le=500,
            expert=True,
        ),
    ] = 100.0
    soluble_proteins: Annotated[int, Param("Soluble proteins", "Per tomogram, in any orientation.", ge=0, le=10000)] = (
        20
    )
    tilt_max: Annotated[float, Param("Tilt range", "Tilts from minus to plus this.", unit="°", gt=0, le=90)] = 60.0
    tilt_step: Annotated[float, Param("Tilt step", "Between tilts.", unit="°", gt=0, le=30)] = 3.0
    defocus: Annotated[float, Param("Defocus", "Underfocus of all tilts.", unit="Å", ge=0)] = 30000.0
    dose: Annotated[float, Param("Dose", "Per tilt.", unit="e/Å²", ge=0)] = 3.0
    snr: Annotated[float, Param("Signal-to-noise ratio", "Variance of signal over noise in the tilt images.", gt=0)] = (
        0.3
    )
    structural_noise: Annotated[
        float,
        Param(
            "Structural noise",
            "Fraction of the noise's variance that comes from the ice, so that the CTF shapes it: Thon rings, which "
            "the estimation of the CTF needs.",
            ge=0,
            le=1,
        ),
    ] = 0.0
    seed: Annotated[int, Param("Seed", "The same seed gives the same sample.", ge=0)] = 1


@dataclass(frozen=True)
class SimulatedParticles:
    """Proteins of one kind: x, y, z in Å from the tomogram's centre, rotations, and their vesicle (or 0)."""

    positions: np.ndarray
    rotations: np.ndarray
    vesicle: np.ndarray


@dataclass(frozen=True)
class Arrangement:
    """Where everything in a sample is.

    Attributes
    ----------
    centres : (n, 3) array
        Of the vesicles, x, y, z in Å from the tomogram's centre.
    radii : (n,) array
        Å.
    particles : dict of str to SimulatedParticles
        ``membrane`` and ``soluble``.
    templates : dict of str to array
        The molecules in their own frame.
    """

    centres: np.ndarray
    radii: np.ndarray
    particles: dict[str, SimulatedParticles]
    templates: dict[str, np.ndarray]


@dataclass(frozen=True)
class Phantom(Arrangement):
    """A sample and the truth about it.

    Attributes
    ----------
    density : (z, y, x) array
        Protein and lipid are positive.
    """

    density: np.ndarray


def arrange_particles(options: PhantomOptions, molecules: dict[str, np.ndarray] | None = None) -> Arrangement:
    """Return where vesicles and proteins of a sample are; arguments as of :func:`make_phantom`."""
    check_options(options)
    rng = np.random.default_rng(options.seed)
    shape = (options.size_z, options.size_y, options.size_x)
    extent = np.array(shape[::-1]) * options.pixel_size
    centres, radii = _vesicles(options, extent, rng)
    box = int(np.ceil(300 / options.pixel_size / 2)) * 2
    on_lattice = options.arrangement == "hexagonal"
    templates = dict(molecules or {})
    if "membrane" not in templates:
        templates["membrane"] = (
            ring_density(options.pixel_size, 2 * options.pixel_size, options.spacing)
            if on_lattice
            else protein_density(MEMBRANE_PROTEIN, box, options.pixel_size)
        )
    if "soluble" not in templates:
        templates["soluble"] = protein_density(SOLUBLE_PROTEIN, box, options.pixel_size)
    arrange = _lattices if on_lattice else _on_vesicles
    particles = {
        "membrane": arrange(options, centres, radii, extent, rng),
        "soluble": _between(options, centres, radii, extent, rng),
    }
    return Arrangement(centres, radii, particles, templates)


def make_phantom(options: PhantomOptions, molecules: dict[str, np.ndarray] | None = None) -> Phantom:
    """Return a sample with vesicles that carry membrane proteins, and soluble proteins between them.

    Parameters
    ----------
    options : PhantomOptions
    molecules : dict of str to cubic array, optional
        Densities in the places of the built-in ``membrane`` and ``soluble`` ones, at the
        sample's pixel size; the centre voxel of the first lies in the middle of the membrane,
        or in the middle of a lattice's ring.
    """
    sample = arrange_particles(options, molecules)
    shape = (options.size_z, options.size_y, options.size_x)
    density = np.zeros(shape, np.float32)
    for middle, radius in zip(to_voxels(sample.centres, shape, options.pixel_size), sample.radii, strict=True):
        add_vesicle(density, middle, radius, options.pixel_size)
    for kind, some in sample.particles.items():
        for c, r in zip(to_voxels(some.positions, shape, options.pixel_size), some.rotations, strict=True):
            place(density, sample.templates[kind], c, r)
    return Phantom(**vars(sample), density=density)


def _vesicles(options: PhantomOptions, extent: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return centres and radii of vesicles that neither touch each other nor lie mostly outside."""
    centres: list[np.ndarray] = []
    radii: list[float] = []
    for _ in range(TRIES):
        if len(radii) == options.vesicles:
            break
        radius = options.vesicle_radius * rng.uniform(0.75, 1.25)
        room = np.maximum(extent / 2 - radius - 160, 0.05 * extent)
        centre = rng.uniform(-room, room)
        gaps = [np.linalg.norm(centre - c) - radius - r for c, r in zip(centres, radii, strict=True)]
        if all(gap > 300 for gap in gaps):
            centres.append(centre)
            radii.append(radius)
    return np.array(centres).reshape(-1, 3), np.array(radii)


def _on_vesicles(
    options: PhantomOptions,
    centres: np.ndarray,
    radii: np.ndarray,
    extent: np.ndarray,
    rng: np.random.Generator,
) -> SimulatedParticles:
    positions, normals, vesicle = [], [], []
    for number, (centre, radius) in enumerate(zip(centres, radii, strict=True), 1):
        mine: list[np.ndarray] = []
        for _ in range(TRIES):
            if len(mine) == options.membrane_proteins:
                break
            normal = rng.normal(size=3)
            normal /= np.linalg.norm(normal)
            where = centre + radius * normal
            inside = (np.abs(where) < extent / 2 - BORDER).all()
            if inside and all(np.linalg.norm(where - other) > 110 for other in mine):
                mine.append(where)
                normals.append(normal)
        positions += mine
        vesicle += [number] * len(mine)
    rotations = from_directions(np.array(normals).reshape(-1, 3))
    rotations = random_in_plane(rotations, int(rng.integers(2**31)))
    return SimulatedParticles(np.array(positions).reshape(-1, 3), rotations, np.array(vesicle, int))


def _lattices(
    options: PhantomOptions,
    centres: np.ndarray,
    radii: np.ndarray,
    extent: np.ndarray,
    rng: np.random.Generator,
) -> SimulatedParticles:
    """Return the units of a hexagonal lattice on every vesicle, without those at the sample's border."""
    positions, rotations, vesicle = [], [], []
    for number, (centre, radius) in enumerate(zip(centres, radii, strict=True), 1):
        if radius <= options.lattice_depth + options.spacing:
            raise EmtomoError(
                f"The lattice of a vesicle of {radius:.0f} Å has no room at a depth of {options.lattice_depth:g} Å: "
                "choose wider vesicles or a smaller depth."
            )
        places, frames = hexagonal_lattice(radius - options.lattice_depth, options.spacing, int(rng.integers(2**31)))
        where = centre + places
        inside = (np.abs(where) < extent / 2 - BORDER).all(axis=1)
        positions.append(where[inside])
        rotations.append(frames[inside])
        vesicle.append(np.full(int(inside.sum()), number))
    if not positions:
        return SimulatedParticles(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0, int))
    return SimulatedParticles(np.concatenate(positions), np.concatenate(rotations), np.concatenate(vesicle))


def _between(
    options: PhantomOptions,
    centres: np.ndarray,
    radii: np.ndarray,
    extent: np.ndarray,
    rng: np.random.Generator,
) -> SimulatedParticles:
    found: list[np.ndarray] = []
    room = np.maximum(extent / 2 - BORDER, 1)
    for _ in range(TRIES):
        if len(found) == options.soluble_proteins:
            break
        where = rng.uniform(-room, room)
        gaps = [abs(np.linalg.norm(where - c) - r) for c, r in zip(centres, radii, strict=True)]
        if all(gap > 230 for gap in gaps) and all(np.linalg.norm(where - o) > 240 for o in found):
            found.append(where)
    rotations = random_rotations(len(found), int(rng.integers(2**31)))
    return SimulatedParticles(np.array(found).reshape(-1, 3), rotations, np.zeros(len(found), int))


def user_points(
    sample: Arrangement, shape: tuple[int, ...], pixel_size: float, *, per_vesicle: int, noise: float, seed: int
) -> list[tuple[int, str, np.ndarray]]:
    """Return what a user would click: points on each vesicle with `noise` voxels of error, and one inside.

    Returns
    -------
    list of (group, role, position)
        Positions x, y, z in Å from the centre, of points that lie within the tomogram.
    """
    rng = np.random.default_rng(seed)
    picked: list[tuple[int, str, np.ndarray]] = []
    for group, (centre, radius) in enumerate(zip(sample.centres, sample.radii, strict=True), 1):
        made = 0
        for _ in range(TRIES):
            if made == per_vesicle:
                break
            # users pick where membranes are seen: not near the poles that the wedge hides
            height = rng.uniform(-0.7, 0.7)
            turn = rng.uniform(0, 2 * np.pi)
            flat = np.sqrt(1 - height**2)
            normal = np.array([flat * np.cos(turn), flat * np.sin(turn), height])
            where = centre + radius * normal + rng.normal(0, noise * pixel_size / np.sqrt(3), 3)
            voxel = to_voxels(where[None], shape, pixel_size)[0]
            if ((voxel >= 0) & (voxel <= np.array(shape) - 1)).all():
                picked.append((group, "point", where))
                made += 1
        picked.append((group, "inside", centre))
    return picked


__all__ = [
    "Arrangement",
    "SimulatedParticles",
    "Phantom",
    "PhantomOptions",
    "arrange_particles",
    "make_phantom",
    "user_points",
]
