"""The poses of images in the plane: a coarse pass by matrix products, a finer one about what it finds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.classification.references import Rotations, Sections
from emtomo.compute.device import threads
from emtomo.compute.linear_algebra import multiply, one_blas_thread

DEEP = 9.0  # log units below a particle's best pose, which count for nothing
CELLS = 10  # pairs of class and coarse angle that are searched more finely, for every particle
PIECE = 32  # particles of one matrix product
CHUNK = 2048  # particles that are added up together, whose weighted transforms are held at once
ROW_PARTS = 16  # of the sums over particles; fixed, so that sums do not depend on the threads


@dataclass(frozen=True)
class ClassSearch:
    """What all images of an iteration are compared with, and where.

    Attributes
    ----------
    rotations : Rotations
    sections : Sections
        Of the references, at all frequencies in use.
    shifts : (s, 2) array
        Coarse shifts, pixels.
    near : (9, 2) array
        Shifts about a coarse one.
    coarse_count : int
        Frequencies of the coarse pass.
    shift_sigma : float
        Standard deviation of shifts, pixels.
    log_share : (K,) array
    fill : float
        Share of the frequencies that are independent: factor of log likelihoods.
    """

    rotations: Rotations
    sections: Sections
    shifts: np.ndarray
    near: np.ndarray
    coarse_count: int
    shift_sigma: float
    log_share: np.ndarray
    fill: float


@dataclass
class Assignments:
    """Where images were found, in the order in which they were given.

    Attributes
    ----------
    class_index : (m,) int array
        From 0.
    psi : (m,) array
        Degrees.
    shift : (m, 2) array
        x, y in pixels, from where the image was centred.
    certainty : (m,) array
        Probability of the class.
    gain : (m,) array
        Log likelihood over that of noise alone.
    """

    class_index: np.ndarray
    psi: np.ndarray
    shift: np.ndarray
    certainty: np.ndarray
    gain: np.ndarray

    def append(self, other: "Assignments") -> "Assignments":
        """Return these and then the `other` ones."""
        return Assignments(*(np.concatenate([mine, vars(other)[name]]) for name, mine in vars(self).items()))


class ImageClassSums:
    """What images add to their classes.

    Attributes
    ----------
    real, imag, weight : (K F, N) float32 arrays
        Sums of weighted images, and of their weights, by class and angle.
    mass : (K,) array
        Sums of probabilities.
    square_shift : float
        Sum of squared shifts, x and y together.
    cross, power : (groups, shells) arrays
        Products of images with what explains them, and of that with itself, over the noise.
    """

    def __init__(self, search: ClassSearch, groups: int, shells: int) -> None:
        classes, angles, count = search.sections.real.shape
        self.real, self.imag, self.weight = (np.zeros((classes * angles, count), np.float32) for _ in range(3))
        self.mass, self.square_shift = np.zeros(classes), 0.0
        self.cross, self.power = np.zeros((groups, shells)), np.zeros((groups, shells))

    def count_mass(self, entries: "Entries", tables: "Tables") -> None:
        """Add the probabilities and squared shifts of some entries."""
        classes, angles = tables.search.sections.real.shape[:2]
        self.mass += np.bincount(entries.row // angles, entries.weights.sum(1, dtype=float), classes)
        self.square_shift += float((entries.weights * tables.near_square[entries.shift]).sum(dtype=float))


def shift_grids(reach: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return coarse shifts within `reach` pixels, twice `step` apart, and nine shifts that divide their cells."""
    coarse = 2 * step
    along = np.arange(-np.floor(reach / coarse), np.floor(reach / coarse) + 1) * coarse
    grid = np.array([(x, y) for x in along for y in along])
    near = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]) * (coarse / 3)
    return grid[np.hypot(*grid.T) <= reach + 1e-6], near


def coarse_radius(size: int, shift_step: float, psi_step: float, diameter: float) -> float:
    """Return the shells that a coarse pass can tell apart: those not finer than its steps at half the radius."""
    turn = np.deg2rad(2 * psi_step) * diameter / 4
    return size / (2 * max(2 * shift_step, turn))


class Tables:
    """What all pieces of a search share, as the kernels take it."""

    def __init__(self, plane: HalfPlane, search: ClassSearch) -> None:
        count, some = search.sections.real.shape[2], search.coarse_count
        self.search = search
        self.cosine, self.sine = _apart(plane.phases(search.shifts, count))
        self.near_cosine, self.near_sine = _apart(plane.phases(search.near, count))
        coarse = slice(None, None, 3)
        classes = len(search.sections.real)
        flat = classes * search.rotations.coarse
        self.real, self.imag = (
            np.ascontiguousarray(a[:, coarse, :some]).reshape(flat, some)
            for a in (search.sections.real, search.sections.imag)
        )
        self.power = self.real**2 + self.imag**2
        variance = max(search.shift_sigma, 1e-3) ** 2
        at = search.shifts[:, None] + search.near
        self.near_square = (at**2).sum(2)
        self.near_prior = np.asarray(-self.near_square / (2 * variance), np.float32)
        self.prior = np.asarray(-(search.shifts**2).sum(1) / (2 * variance), np.float32)
        self.log_share = np.asarray(search.log_share, np.float32)


def _apart(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(values.real), np.ascontiguousarray(values.imag)


@dataclass
class Chunk:
    """Weighted transforms of some images, and what a search finds of them."""

    real: np.ndarray
    imag: np.ndarray
    square: np.ndarray
    group: np.ndarray

    def __post_init__(self) -> None:
        from emtomo.compute.kernels.classification_cpu import NEAR

        count = len(self.real)
        self.shift = np.zeros((count, CELLS), np.int32)
        self.row = np.zeros((count, CELLS, 3), np.int32)
        self.conjugate = np.zeros((count, CELLS, 3), bool)
        self.posterior = np.zeros((count, CELLS, 3, NEAR), np.float32)
        self.best = np.zeros((count, 4), np.int32)
        self.certainty = np.zeros(count, np.float32)
        self.gain = np.zeros(count)


def search_poses(chunk: Chunk, tables: Tables) -> None:
    """Fill in what is found of the images of a chunk, in the threads of this process."""
    pieces = [slice(first, first + PIECE) for first in range(0, len(chunk.real), PIECE)]
    with one_blas_thread(), ThreadPoolExecutor(threads()) as pool:
        list(pool.map(lambda piece: _search_piece(chunk, piece, tables), pieces))


def _search_piece(chunk: Chunk, piece: slice, tables: Tables) -> None:
    from emtomo.compute.kernels.classification_cpu import NOTHING, choose_cells, search_near, shift_images

    search, some = tables.search, tables.search.coarse_count
    real, imag, square = chunk.real[piece], chunk.imag[piece], chunk.square[piece]
    count, shifts, flat = len(real), len(search.shifts), len(tables.real)
    moved = np.empty((2, count, shifts, some), np.float32)
    shift_images(real, imag, tables.cosine, tables.sine, moved[0], moved[1])
    even = multiply(moved[0].reshape(-1, some), tables.real.T).reshape(count, shifts, flat)
    odd = multiply(moved[1].reshape(-1, some), tables.imag.T).reshape(count, shifts, flat)
    norm = multiply(square[:, :some], tables.power.T)
    value = np.full((count, CELLS), NOTHING, np.float32)
    cell = np.zeros((count, CELLS), np.int32)
    fill = np.float32(search.fill)
    choose_cells(
        even, odd, norm, tables.prior, tables.log_share, fill, np.float32(DEEP), value, cell, chunk.shift[piece]
    )
    search_near(
        real, imag, square, tables.cosine, tables.sine, tables.near_cosine, tables.near_sine,
        search.sections.real, search.sections.imag, tables.near_prior, tables.log_share, fill,
        value, cell, chunk.shift[piece], chunk.row[piece], chunk.conjugate[piece], chunk.posterior[piece],
        chunk.best[piece], chunk.certainty[piece], chunk.gain[piece],
    )  # fmt: skip


@dataclass(frozen=True)
class Entries:
    """What is added up: particles at an angle and about a coarse shift, sorted by class and angle.

    Attributes
    ----------
    row : (e,) int array
        Class times F plus angle.
    particle, shift : (e,) int arrays
    conjugate : (e,) bool array
        Half a turn on.
    weights : (e, 9) float32 array
        Probabilities of the shifts about the coarse one.
    """

    row: np.ndarray
    particle: np.ndarray
    shift: np.ndarray
    conjugate: np.ndarray
    weights: np.ndarray


def sort_entries(chunk: Chunk) -> Entries:
    """Return what the images of a chunk add to the sums."""
    particle, place, angle = np.nonzero(chunk.posterior.any(axis=3))
    order = np.argsort(chunk.row[particle, place, angle], kind="stable")
    particle, place, angle = particle[order], place[order], angle[order]
    return Entries(
        chunk.row[particle, place, angle],
        particle,
        chunk.shift[particle, place],
        chunk.conjugate[particle, place, angle],
        chunk.posterior[particle, place, angle],
    )


def add_chunk(chunk: Chunk, tables: Tables, shell: np.ndarray, sums: ImageClassSums) -> None:
    """Add the images of a chunk to the sums of their classes."""
    from emtomo.compute.kernels.classification_cpu import add_rows

    entries = sort_entries(chunk)
    rows = len(sums.real)
    starts = np.searchsorted(entries.row, np.arange(rows + 1))
    sections = tables.search.sections
    flat = (sections.real.reshape(rows, -1), sections.imag.reshape(rows, -1))
    cross, power = (np.zeros((ROW_PARTS, *sums.cross.shape)) for _ in range(2))
    # parts of about equally many entries
    edges = np.searchsorted(starts, np.linspace(0, len(entries.row), ROW_PARTS + 1))
    edges[0], edges[-1] = 0, rows

    def work(part: int) -> None:
        """Add the entries of a part of the rows."""
        add_rows(
            edges[part], edges[part + 1], starts, entries.particle, entries.shift, entries.conjugate, entries.weights,
            chunk.group, chunk.real, chunk.imag, chunk.square,
            tables.cosine, tables.sine, tables.near_cosine, tables.near_sine, *flat, shell,
            sums.real, sums.imag, sums.weight, cross[part], power[part],
        )  # fmt: skip

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(work, range(ROW_PARTS)))
    sums.cross += cross.sum(0)
    sums.power += power.sum(0)
    sums.count_mass(entries, tables)


def read_poses(chunk: Chunk, tables: Tables) -> Assignments:
    """Return the most probable class of every image of a chunk, and the best pose in it."""
    search = tables.search
    k, f, s, t = chunk.best.T
    shift = search.shifts[s] + search.near[t]
    return Assignments(k.astype(int), f * search.rotations.step, shift, chunk.certainty.astype(float), chunk.gain)
