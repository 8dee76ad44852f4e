"""Hexagonal lattices of ring-shaped units on spheres, as immature HIV has them."""

import numpy as np

from emtomo.compute.rotations import from_directions
from emtomo.synthetic.molecules import density_of_atoms
from emtomo.synthetic.shapes import BILAYER

CLOSEST = 0.85  # of the spacing; units of two patches that lie nearer are one too many
RISE, TURN, HELIX_RADIUS = 1.5, 100.0, 2.3  # Å and degrees a residue, Å: the alpha helix (Pauling et al. 1951)

# Start and end (x, y, z in Å) of the helices of one of the six proteins of a unit; z points to the membrane. The
# arrangement is made up; it has no mirror, so that a wrong hand can be seen.
HELICES = np.array(
    [
        [[10.0, 2.0, -38.0], [12.0, -4.0, -12.0]],
        [[14.0, 6.0, -8.0], [31.0, 14.0, -4.0]],
        [[33.0, 17.0, 1.0], [20.0, 6.0, 10.0]],
        [[18.0, -2.0, 1.0], [34.0, -7.0, 12.0]],
        [[31.0, -2.0, 21.0], [16.0, 4.0, 31.0]],
        [[14.0, 10.0, 37.0], [32.0, 14.0, 30.0]],
        [[35.0, 7.0, 26.0], [25.0, 20.0, 13.0]],
        [[25.0, 0.0, 40.0], [21.0, 15.0, 44.0]],
    ]
)


def ring_density(pixel_size: float, resolution: float, spacing: float = 73.0) -> np.ndarray:
    """Return the density of a ring of six equal proteins about z, as a cube about its centre.

    A lattice of such rings has over an area the density of a membrane: Gag's layer of capsid proteins, some 32 Da/Å²,
    is seen as well as the bilayer.

    Parameters
    ----------
    pixel_size, resolution : float
        Å, as in :func:`density_of_atoms`.
    spacing : float
        Of the rings in the lattice, Å.
    """
    residues = []
    for start, end in HELICES:
        length = float(np.linalg.norm(end - start))
        frame = from_directions(((end - start) / length)[None])[0]
        steps = np.arange(0.0, length, RISE)
        turns = np.deg2rad(TURN) * np.arange(len(steps))
        spiral = np.stack([HELIX_RADIUS * np.cos(turns), HELIX_RADIUS * np.sin(turns), steps], axis=1)
        residues.append(start + spiral @ frame.T)
    one = np.concatenate(residues)
    angles = np.deg2rad(60.0 * np.arange(6))
    turned = [one @ np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]]) for a in angles]
    atoms = np.concatenate(turned)
    density = density_of_atoms(atoms, np.ones(len(atoms)), pixel_size, resolution)
    over_area = float(density.sum()) * pixel_size**3 / (np.sqrt(0.75) * spacing**2)
    return density * np.float32(BILAYER / over_area)


def hexagonal_lattice(radius: float, spacing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places and orientations of units on a sphere about the origin.

    No hexagonal lattice covers a sphere: twelve patches about the corners of an icosahedron do, each in a direction of
    its own, with gaps between them. A patch is a flat lattice under an equal-area projection, so that distances
    within it differ by at most 5 %.

    Parameters
    ----------
    radius, spacing : float
        Of the sphere and between neighbours, Å.
    seed : int

    Returns
    -------
    (n, 3) array, (n, 3, 3) array
        x, y, z in Å; z of a unit points outward, x to a neighbour.

    References
    ----------
    Briggs et al., PNAS 106 (2009): patches of the immature HIV lattice. Snyder, Map projections (1987), Eq. 24-2.
    """
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    corners = Rotation.random(random_state=int(rng.integers(2**31))).apply(_icosahedron())
    reach = int(np.ceil(1.3 * radius / spacing)) + 1
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    flat = spacing * np.stack([i + 0.5 * j, np.sqrt(0.75) * j], axis=-1).reshape(-1, 2)
    places: list[np.ndarray] = []
    frames: list[np.ndarray] = []
    for k, corner in enumerate(corners):
        turn, move = rng.uniform(0, 2 * np.pi), spacing * rng.uniform(-0.5, 0.5, 2)
        across = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        plane = flat @ across.T + move
        plane = plane[np.hypot(*plane.T) < 0.8 * radius]
        frame = from_directions(corner[None])[0]
        here = _wrap(plane, radius) @ frame.T
        neighbour = _wrap(plane + 0.01 * spacing * across[:, 0], radius) @ frame.T
        mine = (here @ corners.T).argmax(axis=1) == k
        here, neighbour = here[mine], neighbour[mine]
        if places and len(here):
            distance, _ = cKDTree(np.concatenate(places)).query(here)
            here, neighbour = here[distance > CLOSEST * spacing], neighbour[distance > CLOSEST * spacing]
        places.append(here)
        frames.append(from_directions(here, neighbour - here))
    return np.concatenate(places), np.concatenate(frames)


def _icosahedron() -> np.ndarray:
    """Return (12, 3) directions of the corners."""
    golden = (1 + np.sqrt(5)) / 2
    signs = [(a, b) for a in (-1, 1) for b in (-golden, golden)]
    corners = np.array([np.roll([0, a, b], k) for k in range(3) for a, b in signs], float)
    return corners / np.linalg.norm(corners, axis=1, keepdims=True)


def _wrap(plane: np.ndarray, radius: float) -> np.ndarray:
    """Return (n, 3) points of a sphere about its pole z for (n, 2) points of a plane, areas kept."""
    far = np.hypot(*plane.T)
    angle = 2 * np.arcsin(np.clip(far / (2 * radius), 0, 1))
    along = plane / np.maximum(far, 1e-12)[:, None]
    return radius * np.concatenate([along * np.sin(angle)[:, None], np.cos(angle)[:, None]], axis=1)
