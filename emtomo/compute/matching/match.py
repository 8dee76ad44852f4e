"""Find copies of a reference in a tomogram: filter, scan, refine the best candidates, cut."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.device import check_device
from emtomo.compute.fourier.resampling import bin_volume
from emtomo.compute.matching.guide import surface_guide
from emtomo.compute.matching.model import MaskedReference
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.peaks import (
    Candidates,
    best_of,
    find_maxima,
    refine_candidates,
    reorient_candidates,
    separate,
)
from emtomo.compute.matching.scan import Guide, scan
from emtomo.compute.matching.scores import background, forbid, gold_places, local_deviation, probe
from emtomo.compute.matching.template import MatchingTemplate, coarsen, cut_for, mask_template, randomise_phases
from emtomo.compute.matching.unknown_object import rescore_against_unknown_object
from emtomo.compute.matching.weighting import CLIP, Transfer, apply_matched_filter, standardise
from emtomo.compute.orientations import orientation_grid
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError

GRID_SPACING = 1.3  # edge of a grid's cells over the distance to the nearest orientation
COARSE_RADIUS = 8.0  # voxels of the template's radius, at which it is scanned
MIN_BINNING = 1.2  # less is not worth it
COARSE_STEP = 18.0  # degrees: near enough at that radius; finer angles are found by refining candidates
STARTS, FINALISTS = 5, 2  # orientations refined at coarse sampling, and of those at full sampling
MIN_SCORE = 3.5  # deviations of noise: lower maxima are no candidates
MAX_CANDIDATES = 250  # maxima that are refined, or
CANDIDATES_PER_PARTICLE = 10  # times the number of particles, or
VOLUME_PER_CANDIDATE = 10.0  # one for so many cubes of the template's radius
PROBE_ORIENTATIONS = 24  # orientations that noise is measured with
SAME_POSITION = 2.0  # voxels: candidates nearer than this are one
TILE = 48 * 2**20  # voxels of a tile's transform at most

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Match:
    """What was found in one tomogram.

    Attributes
    ----------
    places : Candidates
        All candidates, the best first; positions z, y, x in voxels of the tomogram.
    cells : float
        Size of the search (:func:`cut_for`).
    scores, which : arrays
        Best score and number of its orientation at every voxel of the scan.
    rotations : (n, 3, 3) array
        That were scanned.
    binning : float
        Voxel of the scan in voxels of the tomogram.
    inverted : bool
        The tomogram with inverted contrast matches clearly better.
    """

    places: Candidates
    cells: float
    scores: np.ndarray
    which: np.ndarray
    rotations: np.ndarray
    binning: float
    inverted: bool


def select_candidates(places: Candidates, cells: float, distance: float, options: PeakOptions) -> np.ndarray:
    """Return which candidates are particles: above the cut, apart from each other, the best so many; best first.

    Parameters
    ----------
    places : Candidates
    cells : float
        Of :class:`Match`.
    distance : float
        In the unit of the positions.
    options : PeakOptions
    """
    cut = cut_for(options.false_alarms, cells) if options.false_alarms else -np.inf
    kept = separate(places, max(distance, 1e-3))
    kept = kept[places.scores[kept] > cut]
    return kept[: options.number_of_particles or None]


class Matcher:
    """A tomogram prepared for matching: filtered, at full and at coarse sampling, with the template of each.

    Parameters
    ----------
    volume : (z, y, x) array
    pixel_size : float
        Å.
    white : bool
        Particles of the tomogram are bright.
    model : MaskedReference
    transfer : Transfer
        How a particle's amplitudes reach the tomogram.
    options : ScanOptions
    tile : int
        Voxels of a transform; decides memory, not the result.
    device : {"cpu", "cuda", "cuda:N"}
        Where the scan runs.

    Raises
    ------
    EmtomoError
        If the reference does not fit into the tomogram, or the tomogram holds no signal.

    References
    ----------
    Roseman, Ultramicroscopy 94 (2003), Eq. 5 and 6, for the local normalisation; Rickgauer et al., eLife 6:e25648
    (2017), for the noise-weighted filter and the cut by expected false alarms, here of the continuous search.
    """

    def __init__(
        self, volume: np.ndarray, pixel_size: float, white: bool, model: MaskedReference, transfer: Transfer,
        options: ScanOptions, tile: int = TILE, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.model, self.options, self.tile, self.device = model, options, tile, check_device(device)
        extent = 2 * model.radius + 1
        if extent > min(volume.shape):
            size = " × ".join(str(n) for n in volume.shape[::-1])
            raise EmtomoError(f"The template, {extent:.0f} voxels across, does not fit into {size} voxels.")
        band = _band(options, pixel_size)
        bright, spread = standardise(volume, white)
        if not np.isfinite(spread) or spread <= 0:
            raise EmtomoError("The tomogram holds no signal: its values are all the same, or some are no numbers.")
        self.gold = gold_places(bright, options.gold) if options.gold else np.zeros((0, 3))
        bright.clip(-CLIP, CLIP, out=bright)
        self.fine, weighting = apply_matched_filter(bright, transfer, band, options.whiten, 2 * int(model.radius) + 2)
        del bright
        self.full = MatchingTemplate(mask_template(model.reference, model.mask), 1.0, weighting)
        coarse = model.radius / COARSE_RADIUS
        self.small, self.template, self.coarse = self.fine, self.full, 1.0
        if coarse >= MIN_BINNING:
            self.small, self.template = bin_volume(self.fine, coarse), coarsen(self.full, coarse)
            self.coarse = coarse
        self.scanned, self.scanning, self.binning = self.small, self.template, self.coarse
        if options.exhaustive:
            self.scanned, self.scanning, self.binning = self.fine, self.full, 1.0
        step = max(options.angular_step, COARSE_STEP)
        self.retried = orientation_grid(step * GRID_SPACING, options.symmetry)
        self.rotations = self.retried
        if options.exhaustive:
            self.rotations = orientation_grid(options.angular_step * GRID_SPACING, options.symmetry)
        edge = model.radius / 2 if options.border is None else options.border / pixel_size
        self.edge, self.radius = int(np.ceil(edge / self.binning)), model.radius / self.binning
        some = self.rotations[:: max(1, len(self.rotations) // PROBE_ORIENTATIONS)]
        self.unit, self.inverted = probe(self.small, self.template, some)
        self.roughness = self.full.roughness(some)
        self.local = local_deviation(self.small, model.radius / self.coarse) if options.local_contrast else None

    def guide(self, points: np.ndarray, normals: np.ndarray, distance: float, cone: float, pixel_size: float) -> Guide:
        """Return where and how to look near a surface.

        Parameters
        ----------
        points, normals : (n, 3) arrays
            x, y, z; points in Å from the tomogram's centre.
        distance : float
            Å.
        cone : float
            Degrees.
        pixel_size : float
            Å, of the tomogram.
        """
        step = pixel_size * self.binning
        places = np.asarray(points)[:, ::-1] / step + middle(self.scanned)
        return surface_guide(places, normals, self.scanned.shape, self.rotations, max(1.0, distance / step), cone)

    def scan(self, guide: Guide | None = None, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the best score of every voxel of the scan, in deviations of noise, and whose it is."""
        scores, which = self._scan(self.scanning, guide, progress)
        if self.options.random_phases:
            scores -= background(self._scan(randomise_phases(self.scanning), guide, None)[0], self.radius)
        if len(self.gold):
            forbid(scores, (self.gold - middle(self.fine)) / self.binning + middle(self.scanned), self.radius)
        return scores, which

    def _scan(
        self, template: MatchingTemplate, guide: Guide | None, progress: Progress | None
    ) -> tuple[np.ndarray, np.ndarray]:
        reach = int(np.ceil(self.radius)) + 1
        most = max(self.tile, (3 * reach) ** 3)
        scores, which = scan(
            self.scanned, template, self.rotations, self.edge, reach, most, guide, progress, self.device
        )
        scores /= self.unit
        if self.local is not None:
            to_small = [self._in_small(np.arange(n), axis) for axis, n in enumerate(scores.shape)]
            for plane, z in zip(scores, to_small[0], strict=True):
                plane /= self.local[z][np.ix_(*to_small[1:])]
        return scores, which

    def _in_small(self, index: np.ndarray, axis: int) -> np.ndarray:
        """Return the nearest index of the coarse volume to indices of the scanned one along an axis."""
        scanned, small = self.scanned.shape[axis], self.small.shape[axis]
        place = (index - scanned // 2) * (self.binning / self.coarse) + small // 2
        return np.clip(np.rint(place).astype(int), 0, small - 1)

    def locate(self, guide: Guide | None = None, wanted: int = 0, progress: Progress | None = None) -> Match:
        """Scan, and refine the highest maxima.

        Parameters
        ----------
        guide : Guide, optional
        wanted : int
            Particles that are wanted, if known: ten times as many maxima are looked at.
        """
        scores, which = self.scan(guide, progress)
        searched = np.isfinite(scores)
        voxels = float(searched.sum()) * self.binning**3
        turns = 8 * np.pi**2 / len(symmetry_rotations(self.options.symmetry))
        if guide is not None and searched.any():
            turns *= float(guide.allowed[:, np.unique(guide.kind[searched])].mean())
        cells = voxels * turns * self.roughness
        by_volume = int(voxels / (VOLUME_PER_CANDIDATE * self.model.radius**3))
        most = max(MAX_CANDIDATES, CANDIDATES_PER_PARTICLE * wanted, by_volume)
        places = self._refine(find_maxima(scores, which, self.rotations, MIN_SCORE, most, 2), cells, guide is None)
        return Match(places, cells, scores, which, self.rotations, self.binning, self.inverted)

    def _refine(self, places: Candidates, cells: float, free: bool) -> Candidates:
        """Return the highest scores near some maxima, in voxels of the tomogram, rescored against other objects.

        If `free`, orientations that the scan did not find best are tried too.
        """
        count = len(places)
        if count == 0:
            return places
        local = np.ones(count)
        if self.local is not None:
            local = self.local[tuple(self._in_small(places.positions[:, axis], axis) for axis in range(3))]
        there = (places.positions - middle(self.scanned)) * (self.binning / self.coarse) + middle(self.small)
        places = refine_candidates(self.small, self.template, Candidates(there, places.rotations, places.scores))
        if free:
            starts = min(STARTS, len(self.retried))
            turned = reorient_candidates(self.small, self.template, places, self.retried, starts)
            places = best_of(refine_candidates(self.small, self.template, turned), count, FINALISTS)
        if self.coarse > 1:
            there = (places.positions - middle(self.small)) * self.coarse + middle(self.fine)
            places = refine_candidates(self.fine, self.full, Candidates(there, places.rotations, places.scores))
        places = best_of(places, count, 1)
        # a whitened tomogram is in units of its noise; what its particles add to the deviation counts for the cut alone
        noise = 1.0 if self.options.whiten else self.unit
        places = Candidates(places.positions, places.rotations, places.scores / noise)
        inside = ((places.positions >= 0) & (places.positions <= np.array(self.fine.shape) - 1)).all(axis=1)
        kept = np.flatnonzero(inside & np.isfinite(places.scores))
        kept = kept[separate(places.take(kept), SAME_POSITION)]
        places, local = places.take(kept), local[kept]
        scores = places.scores
        if self.options.other_objects:
            scores = rescore_against_unknown_object(
                self.fine, self.full, places, self.model.radius, cut_for(1.0, cells), noise
            )
        places = Candidates(places.positions, places.rotations, scores * noise / self.unit / local)
        return places.take(np.argsort(-places.scores, kind="stable"))


def middle(volume: np.ndarray) -> np.ndarray:
    """Return z, y, x of the centre voxel."""
    return np.array([n // 2 for n in volume.shape])


def _band(options: ScanOptions, pixel_size: float) -> tuple[float, float]:
    low = pixel_size / options.highpass if options.highpass else 0.0
    high = min(0.5, pixel_size / options.lowpass) if options.lowpass else 0.5
    if low >= high:
        raise EmtomoError(
            f"The high-pass ({options.highpass:g} Å) must be coarser than the finest detail ({pixel_size / high:g} Å)."
        )
    return low, high
