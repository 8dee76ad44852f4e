"""One iteration for one half set: locate every particle, add it to the new volume, measure the noise."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.filters import ball
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.refinement.backend import backend_of
from emtomo.compute.refinement.expectation import Grid, Peaks, Prior, climb, spread_out, starts, waves
from emtomo.compute.refinement.maximisation import Sums
from emtomo.compute.refinement.packing import Packing
from emtomo.compute.refinement.particles import Particles, Poses
from emtomo.compute.refinement.reference import padded_transform
from emtomo.compute.spread import Spread, Told, in_threads
from emtomo.errors import EmtomoError

SMALLEST_MASS = 0.01
EDGE = 3.0  # voxels of a soft sphere's edge
BLOCK_BYTES = 2**29
MOST_WEIGHTS = 64  # kept at a time, beside their norms


@dataclass(frozen=True)
class Search:
    """How poses are searched in one iteration.

    Attributes
    ----------
    grid : Grid
    peaks : int
        Starts taken from the grid.
    stages : list of float
        Shells of the climbs, rising to all that take part.
    absolute : bool
        The grid covers all orientations, whatever the particle's pose.
    """

    grid: Grid
    peaks: int
    stages: list[float]
    absolute: bool


@dataclass(frozen=True)
class Setting:
    """What all particles of an iteration share.

    Attributes
    ----------
    packing : Packing
        Frequencies that are added to the volume.
    radius : float
        Shells in which poses are compared.
    searches : tuple of Search
        What :attr:`which` chooses from.
    which : (n,) int array
        Search of every particle.
    start : Poses
        The poses given at first, about which priors lie.
    prior_angle, prior_shift : float
        Standard deviations of the priors (degrees, voxels); 0 for none.
    mask_radius : float
        Voxels.
    frame : dict
        For each half the turn and shift that bring its reference onto the first one.
    group : (m, 3, 3) array
        The symmetry's rotations.
    device : str
        cpu, cuda or cuda:N.
    """

    packing: Packing
    radius: float
    searches: tuple[Search, ...]
    which: np.ndarray
    start: Poses
    prior_angle: float
    prior_shift: float
    mask_radius: float
    frame: dict[int, tuple[np.ndarray, np.ndarray]]
    group: np.ndarray
    device: str = "cpu"


@dataclass
class Half:
    """One half set's reference and noise.

    Attributes
    ----------
    reference : (n, n, n) array
    noise : array
        Variance of a frequency's noise, for every :attr:`Packing.band`.
    """

    reference: np.ndarray
    noise: np.ndarray


@dataclass
class Outcome:
    """What one block of particles gives."""

    sums: np.ndarray
    residual: np.ndarray
    measured: np.ndarray
    found: dict[int, tuple] = field(default_factory=dict)

    def joined(self, other: "Outcome") -> "Outcome":
        """Return what both blocks give together."""
        sums = np.add(self.sums, other.sums, dtype=float)  # one block is few enough for float32, all are not
        found = self.found | other.found
        return Outcome(sums, self.residual + other.residual, self.measured + other.measured, found)


@dataclass
class Total:
    """What a half set gives: sums, and per shell what the references leave and how much was measured."""

    sums: Sums
    residual: np.ndarray
    measured: np.ndarray


class Worker:
    """Locates particles against one half's reference."""

    def __init__(self, particles: Particles, half: Half, setting: Setting) -> None:
        self.particles, self.setting, self.packing = particles, setting, setting.packing
        packing = self.packing
        self.noise = half.noise[packing.band].astype(np.float32)
        self.backend = backend_of(padded_transform(half.reference, setting.radius), setting.device)
        self.used = packing.within(setting.radius)
        self.k_used = packing.k[self.used]
        self.searches = [self._prepared(search) for search in setting.searches]
        self.stages = [[(c, packing.k[c]) for c in map(packing.within, s.stages)] for s in setting.searches]
        self._norms: dict[object, np.ndarray] = {}
        self._weights: dict[object, np.ndarray] = {}
        outside = ball(packing.size, min(setting.mask_radius, packing.size / 2 - 1), 0.0) == 0
        self._outside = np.flatnonzero(outside)

    def _prepared(self, search: Search) -> Search:
        """Return a search of all orientations with the reference's sections in it."""
        if not search.absolute:
            return search
        grid = search.grid
        parts = np.array_split(grid.rotations, max(1, threads()) * 4)
        if self.backend.parallel:
            with ThreadPoolExecutor(threads()) as pool:
                sections = np.concatenate(list(pool.map(lambda r: self.backend.sections(grid.k, r), parts)))
        else:
            sections = self.backend.sections(grid.k, grid.rotations)
        return replace(search, grid=replace(grid, sections=sections))

    def weight(self, i: int) -> np.ndarray | None:
        """Return the packed weights of particle `i`."""
        if self.particles.kind == "none":
            return None
        key = self.particles.weight_key[i]
        weights = self._weights.get(key)
        if weights is None:
            weights = self.packing.pick(self.particles.weight(key)).astype(np.float32)
            if len(self._weights) >= MOST_WEIGHTS:
                self._weights.clear()  # every particle may have a file of its own
            self._weights[key] = weights
        return weights

    def norms(self, i: int, grid: Grid, w: np.ndarray) -> np.ndarray | None:
        """Return the weighted squares of the shared sections, once for all particles with the same weights."""
        if grid.sections is None:
            return None
        key = self.particles.weight_key[i]
        norms = self._norms.get(key)
        if norms is None:
            norms = np.empty(len(grid.sections), np.float32)
            fourier_cpu.norms(grid.sections, w[grid.chosen], norms)
            if len(self._norms) >= MOST_WEIGHTS:
                self._norms.clear()
            self._norms[key] = norms
        return norms

    def box(self, i: int) -> np.ndarray:
        """Return the box of particle `i` with mean 0 and deviation 1 outside the mask."""
        return normalised(self.particles.box(i), i, self.packing.size, self._outside)

    def measured(self, i: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return masked data, whole data and weights of particle `i`."""
        box = self.box(i)
        mask = ball(self.packing.size, self.setting.mask_radius, EDGE, shift)
        both = self.packing.transform(np.stack([box * mask, box]))
        weight = self.weight(i)
        masked, square = self.particles.statistics(both[0], weight)
        return masked, self.particles.statistics(both[1], weight)[0], square

    def prior(self, i: int) -> Prior:
        """Return what is known of the pose of particle `i` beforehand."""
        angle, shift = np.deg2rad(self.setting.prior_angle), self.setting.prior_shift
        return Prior(
            self.setting.start.rotations[i],
            self.setting.start.shifts[i],
            1 / angle**2 if angle else 0.0,
            1 / shift**2 if shift else 0.0,
        )

    def locate(self, i: int, poses: Poses) -> tuple[Peaks, np.ndarray, np.ndarray]:
        """Return the peaks of particle `i`, and its data and weights for the average."""
        setting = self.setting
        which = int(setting.which[i])
        search, grid = self.searches[which], self.searches[which].grid
        masked, data, square = self.measured(i, poses.shifts[i])
        d, w = masked / self.noise, square / self.noise
        here, prior, size = (poses.rotations[i], poses.shifts[i]), self.prior(i), self.packing.size
        candidates = starts(grid, self.backend, d, w, *here, prior, size, search.peaks, self.norms(i, grid, w))
        limits = np.deg2rad(grid.angle_step), max(1.0, size / (4 * search.stages[0]))
        peaks = climb(candidates, self.backend, self.stages[which], d, w, prior, size, limits, setting.group)
        return peaks, data, square

    def insert(self, peaks: Peaks, data: np.ndarray, weight: np.ndarray, h: int, out: Outcome) -> None:
        """Add the particle at its peaks to the sums, in the frame of the first reference."""
        packing, size = self.packing, self.packing.size
        d, w = (data / self.noise).astype(np.complex64), (weight / self.noise).astype(np.float32)
        # a turn that moves the rim by a twelfth of the finest wave
        least = size / (12 * self.setting.radius * self.setting.mask_radius)
        for mass, rotation, shift in spread_out(peaks, least, SMALLEST_MASS):
            turned, moved = in_frame(rotation, shift, self.setting.frame[h])
            self.backend.insert(out.sums, packing.k, d, w, size, turned, moved, mass)

    def leave(self, peaks: Peaks, data: np.ndarray, weight: np.ndarray, out: Outcome) -> None:
        """Add up, per shell, what the reference does not explain of the particle."""
        packing, k = self.packing, self.k_used
        section = self.backend.sections(k, peaks.rotations[:1])
        expected = section.view(np.complex64)[0] * waves(k, -peaks.shifts[:1], packing.size)[0]
        rest = data.copy()
        rest[self.used] -= weight[self.used] * expected
        power = rest.real**2 + rest.imag**2
        out.residual += np.bincount(packing.band, power, minlength=len(out.residual))
        out.measured += np.bincount(packing.band, weight, minlength=len(out.measured))


def normalised(box: np.ndarray, i: int, size: int, outside: np.ndarray) -> np.ndarray:
    """Return a box with mean 0 and deviation 1 in the flat indices `outside`.

    Raises
    ------
    EmtomoError
        If the box has another size, or a voxel is no number.
    """
    box = np.asarray(box, np.float32)
    if box.shape != (size,) * 3:
        raise EmtomoError(f"Particle {i + 1}: the box must be {size} voxels wide, got shape {box.shape}.")
    around = box.reshape(-1)[outside]
    mean, deviation = float(around.mean(dtype=float)), float(around.std(dtype=float))
    if not np.isfinite(mean + deviation) or not np.isfinite(box).all():
        raise EmtomoError(f"Particle {i + 1}: there are voxels that are no numbers (NaN or infinite).")
    return (box - np.float32(mean)) / np.float32(deviation if deviation > 1e-12 else 1.0)


def in_frame(
    rotation: np.ndarray, shift: np.ndarray, frame: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a pose for the reference as it stands after `frame`, a turn and a shift, moved it."""
    turned = rotation @ frame[0].T
    return turned, shift - turned @ frame[1]


def blocks_of(size: int) -> int:
    """Return in how many independent sums a half set's particles are added up; never depends on the threads."""
    one = 16 * (2 * size + 3) ** 2 * (size + 3)
    return int(np.clip(BLOCK_BYTES // (2 * one), 1, 8))


@dataclass(frozen=True)
class Block:
    """Particles of one half set that are added up together.

    Attributes
    ----------
    half : int
    members : int array
        Numbers of the particles.
    """

    half: int
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    def parts(self, n: int) -> list["Block"]:
        """Return at most `n` blocks of about the same length."""
        return [Block(self.half, part) for part in np.array_split(self.members, max(1, min(n, len(self))))]


class Iteration:
    """What all blocks of an iteration share; workers are made where and when they are first needed."""

    def __init__(self, particles: Particles, halves: dict[int, Half], poses: Poses, setting: Setting) -> None:
        self.particles, self.halves, self.poses, self.setting = particles, halves, poses, setting
        self._prepare()

    def _prepare(self) -> None:
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._workers: dict[int, Worker] = {}

    def __getstate__(self) -> tuple[Particles, dict[int, Half], Poses, Setting]:
        return self.particles, self.halves, self.poses, self.setting

    def __setstate__(self, state: tuple[Particles, dict[int, Half], Poses, Setting]) -> None:
        self.particles, self.halves, self.poses, self.setting = state
        self._prepare()

    @property
    def parallel(self) -> bool:
        """Whether blocks may be worked on side by side in one process: a CUDA device takes one at a time."""
        return self.setting.device == "cpu"

    def worker(self, h: int) -> Worker:
        """Return the one worker of half `h` in this process."""
        with self._lock:
            if h not in self._workers:
                self._workers[h] = Worker(self.particles, self.halves[h], self.setting)
            return self._workers[h]

    def turn(self) -> AbstractContextManager[object]:
        """Return what a block must hold while it is worked on."""
        return nullcontext() if self.parallel else self._one_at_a_time


def outcome_of(shared: Iteration, block: Block, told: Told) -> Outcome:
    """Locate the particles of a block and add them up."""
    with shared.turn():
        worker, setting = shared.worker(block.half), shared.setting
        shells = len(shared.halves[block.half].noise)
        out = Outcome(worker.backend.sums(setting.packing.radius), np.zeros(shells), np.zeros(shells))
        for i in block.members:
            peaks, data, weight = worker.locate(int(i), shared.poses)
            worker.insert(peaks, data, weight, block.half, out)
            worker.leave(peaks, data, weight, out)
            spread = peaks.covariance[0].diagonal()
            out.found[int(i)] = (
                *in_frame(peaks.rotations[0], peaks.shifts[0], setting.frame[block.half]),
                peaks.density,
                np.rad2deg(np.sqrt(spread[:3].mean())),
                np.sqrt(spread[3:].mean()),
                peaks.mass[0],
            )
            told(1)
        out.sums = worker.backend.collected(out.sums)
    return out


def run_iteration(
    particles: Particles,
    halves: dict[int, Half],
    poses: Poses,
    setting: Setting,
    progress: Callable[[int], None] = lambda done: None,
    spread: Spread = in_threads,
) -> tuple[Poses, dict[int, Total]]:
    """Locate all particles against their own half's reference.

    Returns the new poses and, for each half, the sums for its new volume. `spread` says where the blocks are
    worked on.
    """
    packing = setting.packing
    count = blocks_of(packing.size)
    blocks = [Block(h, np.flatnonzero(poses.half == h)).parts(count) for h in halves]
    done = [0]

    def told(more: int) -> None:
        done[0] += more
        progress(done[0])

    outcomes = spread(outcome_of, Iteration(particles, halves, poses, setting), blocks, told)
    new = poses.copy()
    results: dict[int, Total] = {}
    for h, outcome in zip(halves, outcomes, strict=True):
        for i, (rotation, shift, density, angle, move, mass) in outcome.found.items():
            new.rotations[i], new.shifts[i], new.score[i] = rotation, shift, density
            new.angle_spread[i], new.shift_spread[i], new.certainty[i] = angle, move, mass
        sums = Sums.of(packing.size, packing.radius, [outcome.sums])
        results[h] = Total(sums, outcome.residual, outcome.measured)
    return new, results
