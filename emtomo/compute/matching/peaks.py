"""From scores to candidates: maxima, refinement of each, candidates apart from each other."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.likelihood.newton import ascend_box
from emtomo.compute.likelihood.posterior import phase_factors
from emtomo.compute.matching.template import MatchingTemplate

MAX_STEPS = 12  # of Newton's method, at most
LONGEST_STEP = (0.2, 1.0)  # radians and voxels
OFFSET_TRIED = 0.7  # voxels
DISTINCT_ANGLE = 25.0  # degrees between orientations that are refined apart
BATCH = 64  # places in one matrix product
_PAD = np.float32(PAD)


@dataclass(frozen=True)
class Candidates:
    """Where the template may be.

    Attributes
    ----------
    positions : (n, 3) array
        z, y, x in voxels of the volume they were found in.
    rotations : (n, 3, 3) array
    scores : (n,) array
        In deviations of pure noise.
    """

    positions: np.ndarray
    rotations: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: np.ndarray) -> "Candidates":
        """Return some of them."""
        return Candidates(self.positions[index], self.rotations[index], self.scores[index])


def find_maxima(
    scores: np.ndarray, which: np.ndarray, rotations: np.ndarray, least: float, most: int, radius: int
) -> Candidates:
    """Return the highest local maxima of a score volume, best first.

    Parameters
    ----------
    scores, which : (z, y, x) arrays
        Of :func:`~emtomo.compute.matching.scan.scan`.
    rotations : (n, 3, 3) array
    least : float
        Lowest score.
    most : int
    radius : int
        A maximum is the highest of the cube of this half width about it.
    """
    from scipy.ndimage import maximum_filter

    top = (scores >= maximum_filter(scores, 2 * radius + 1, mode="constant", cval=-np.inf)) & (scores > least)
    places = np.argwhere(top)
    values = scores[top]
    order = np.argsort(-values, kind="stable")[:most]
    places = places[order]
    turns = rotations[which[tuple(places.T)]].reshape(-1, 3, 3)
    return Candidates(places.astype(float), turns.astype(float), values[order].astype(float))


def refine_candidates(volume: np.ndarray, template: MatchingTemplate, places: Candidates) -> Candidates:
    """Return the nearest highest score of every place, by Newton's steps in position and orientation.

    Parameters
    ----------
    volume : (z, y, x) array
        Multiplied by its matched filter, at the template's sampling.
    template : MatchingTemplate
    places : Candidates
        In voxels of this volume.

    Notes
    -----
    At a score ``c / sqrt(n)`` of a correlation c and a norm n, the slopes of ``2 a c - a^2 n`` at ``a = c / n`` are
    those of ``c^2 / n``: the optimiser of refinement finds the maximum when the template is scaled by a.
    """
    from emtomo.compute.kernels import fourier_cpu

    coefficients = template.coefficients
    k, weight, n = coefficients.k, template.weight, template.size
    scale = 2.0 / n**3  # both halves of the transform, and its normalisation
    noise = np.sqrt(scale / template.factor**3)
    no_prior = np.eye(3), np.zeros(3), np.zeros(2)

    def score(data: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> tuple[float, float]:
        gradient, hessian = np.empty(6), np.empty((6, 6))
        reach = int(np.abs(k).max()) + 1
        table, here = np.empty((3, 2 * reach + 1), np.complex64), np.empty(len(k), np.complex64)
        fourier_cpu.phases(shift, n, reach, table)
        fourier_cpu.apply_phase_shift(k, data, table, here)
        r = rotation.astype(np.float32)
        total = fourier_cpu.likelihood(template.transform, _PAD, k, here, weight, r, n, gradient, hessian)
        none_left = fourier_cpu.likelihood(
            template.transform, _PAD, k, np.zeros_like(here), weight, r, n, gradient, hessian
        )
        return (total - none_left) / 2, -none_left  # correlation and norm of the packed half

    def work(i: int) -> tuple[np.ndarray, np.ndarray, float]:
        start = np.rint(places.positions[i]).astype(int)
        data = coefficients.transform(cut_box(volume, start, n))
        rotation, shift = places.rotations[i], (places.positions[i] - start)[::-1].copy()
        correlation, mass = score(data, rotation, shift)
        a = max(correlation, 1e-12) / mass
        rotation, shift = ascend_box(
            template.transform, k, (a * data).astype(np.complex64), (a * a * weight).astype(np.float32), n,
            (rotation, shift), no_prior, LONGEST_STEP, MAX_STEPS,
        )  # fmt: skip
        correlation, mass = score(data, rotation, shift)
        return start + shift[::-1], rotation, scale * correlation / (noise * np.sqrt(mass))

    with ThreadPoolExecutor(threads()) as pool:
        found = list(pool.map(work, range(len(places))))
    if not found:
        return places
    positions, rotations, scores = zip(*found, strict=True)
    return Candidates(np.array(positions), np.array(rotations), np.array(scores))


def reorient_candidates(
    volume: np.ndarray, template: MatchingTemplate, places: Candidates, rotations: np.ndarray, keep: int
) -> Candidates:
    """Return, for every place one after the other, its `keep` best orientations that differ clearly.

    All orientations are tried at the place and `OFFSET_TRIED` voxels about it, in one matrix product.

    Parameters
    ----------
    volume, template, places
        As for :func:`refine_candidates`.
    rotations : (m, 3, 3) array
        At least `keep`.
    keep : int

    Returns
    -------
    Candidates
        `keep` for each place; scores are relative.
    """
    from emtomo.compute.kernels import fourier_cpu

    coefficients = template.coefficients
    k, n = coefficients.k, template.size
    sections = np.empty((len(rotations), 2 * len(k)), np.float32)
    fourier_cpu.sections_parallel(template.transform, _PAD, k, np.ascontiguousarray(rotations, np.float32), sections)
    sections /= np.maximum(template.norms(rotations), 1e-30)[:, None].astype(np.float32)
    moves = OFFSET_TRIED * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    turns = phase_factors(k, moves, n)
    near = np.einsum("aij,bij->ab", rotations, rotations) > 1 + 2 * np.cos(np.deg2rad(DISTINCT_ANGLE))
    positions, found, scores = [], [], []
    for first in range(0, len(places), BATCH):
        part = places.positions[first : first + BATCH]
        starts = np.rint(part).astype(int)
        boxes = np.array([cut_box(volume, at, n) for at in starts])
        rest = phase_factors(k, (part - starts)[:, ::-1], n)
        data = (coefficients.transform(boxes) * rest)[:, None, :] * turns[None]
        flat = np.ascontiguousarray(data.reshape(-1, len(k)), np.complex64).view(np.float32)
        score = (sections @ flat.T).reshape(len(rotations), len(part), len(moves))
        move, top = score.argmax(axis=2), score.max(axis=2)
        for c in range(len(part)):
            left = top[:, c].copy()
            for _ in range(keep):
                o = int(left.argmax())
                positions.append(part[c] + moves[move[o, c]][::-1])
                found.append(rotations[o])
                scores.append(top[o, c])
                left[near[o]] = -np.inf
    return Candidates(np.array(positions).reshape(-1, 3), np.array(found).reshape(-1, 3, 3), np.array(scores))


def best_of(places: Candidates, groups: int, keep: int) -> Candidates:
    """Return the `keep` best of each of `groups` runs of equal length, run after run."""
    order = np.argsort(-places.scores.reshape(groups, -1), axis=1, kind="stable")[:, :keep]
    each = len(places) // max(groups, 1)
    return places.take((order + each * np.arange(groups)[:, None]).ravel())


def cut_box(volume: np.ndarray, centre: np.ndarray, size: int) -> np.ndarray:
    """Return a box about a voxel; zero beyond the volume."""
    out = np.zeros((size,) * 3, np.float32)
    first = centre - size // 2
    source = tuple(slice(max(0, a), max(0, min(n, a + size))) for a, n in zip(first, volume.shape, strict=True))
    target = tuple(slice(s.start - a, s.stop - a) for s, a in zip(source, first, strict=True))
    out[target] = volume[source]
    return out


def separate(places: Candidates, distance: float) -> np.ndarray:
    """Return the indices, best first, of places that have none better within a distance.

    Parameters
    ----------
    distance : float
        Voxels.
    """
    from scipy.spatial import cKDTree

    order = np.argsort(-places.scores, kind="stable")
    if len(order) == 0:
        return order
    near = cKDTree(places.positions).query_ball_point(places.positions, distance * (1 - 1e-9))
    gone = np.zeros(len(places), bool)
    kept = []
    for i in order:
        if not gone[i]:
            kept.append(i)
            gone[near[i]] = True
    return np.array(kept, int)
