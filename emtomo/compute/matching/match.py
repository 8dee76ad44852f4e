"""Find copies of a reference in a tomogram: filter, scan, climb, cut."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.matching.guide import surface_guide
from emtomo.compute.matching.model import Model
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.others import weighed
from emtomo.compute.matching.peaks import Places, apart, climbed, maxima
from emtomo.compute.matching.scan import Guide, scan
from emtomo.compute.matching.scores import background, forbid, gold_places, local_deviation, probe
from emtomo.compute.matching.template import Template, coarser, cut_for, masked_template, random_phased
from emtomo.compute.matching.weighting import CLIP, Transfer, filtered, standardised
from emtomo.compute.orientations import orientation_grid
from emtomo.compute.resampling import bin_volume
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError

GRID = 1.3  # edge of a grid's cells over the distance to the nearest orientation
COARSE_RADIUS = 9.0  # voxels of the template's radius, at which it is scanned
COARSE_STEP = 15.0  # degrees: near enough at that radius for the climbs to start from; finer angles are theirs
LEAST = 3.5  # deviations: lower maxima are not looked at
MOST = 400  # maxima that are looked at in full, or
PER_PARTICLE = 10  # times the number of particles, or
VOLUME = 10.0  # one for so many cubes of the template's radius
PROBES = 24  # orientations that tell what noise does
SAME = 2.0  # voxels: tops nearer than this are one
TILE = 48 * 2**20  # voxels of a tile's transform at most

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Match:
    """What was found in one tomogram.

    Attributes
    ----------
    places : Places
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

    places: Places
    cells: float
    scores: np.ndarray
    which: np.ndarray
    rotations: np.ndarray
    binning: float
    inverted: bool


def chosen(places: Places, cells: float, distance: float, options: PeakOptions) -> np.ndarray:
    """Return which candidates are particles: above the cut, apart from each other, the best so many; best first.

    Parameters
    ----------
    cells : float
        Of :class:`Match`.
    distance : float
        In the unit of the positions.
    """
    cut = cut_for(options.false_alarms, cells) if options.false_alarms else -np.inf
    kept = apart(places, max(distance, 1e-3))
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
    model : Model
    transfer : Transfer
        How a particle's amplitudes reach the tomogram.
    options : ScanOptions
    tile : int
        Voxels of a transform; decides memory, not the result.

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
        self, volume: np.ndarray, pixel_size: float, white: bool, model: Model, transfer: Transfer,
        options: ScanOptions, tile: int = TILE,
    ) -> None:  # fmt: skip
        self.model, self.options, self.tile = model, options, tile
        extent = 2 * model.radius + 1
        if extent > min(volume.shape):
            size = " × ".join(str(n) for n in volume.shape[::-1])
            raise EmtomoError(f"The template, {extent:.0f} voxels across, does not fit into {size} voxels.")
        band = _band(options, pixel_size)
        bright, spread = standardised(volume, white)
        if not np.isfinite(spread) or spread <= 0:
            raise EmtomoError("The tomogram holds no signal: its values are all the same, or some are no numbers.")
        self.gold = gold_places(bright, options.gold) if options.gold else np.zeros((0, 3))
        bright.clip(-CLIP, CLIP, out=bright)
        self.fine, weighting = filtered(bright, transfer, band, options.whiten, 2 * int(model.radius) + 2)
        del bright
        self.full = Template(masked_template(model.reference, model.mask), 1.0, weighting)
        self.binning = 1.0 if options.exhaustive else max(1.0, model.radius / COARSE_RADIUS)
        self.small, self.template = self.fine, self.full
        if self.binning > 1:
            self.small, self.template = bin_volume(self.fine, self.binning), coarser(self.full, self.binning)
        step = options.angular_step if options.exhaustive else max(options.angular_step, COARSE_STEP)
        self.rotations = orientation_grid(step * GRID, options.symmetry)
        edge = model.radius / 2 if options.border is None else options.border / pixel_size
        self.edge, self.radius = int(np.ceil(edge / self.binning)), model.radius / self.binning
        some = self.rotations[:: max(1, len(self.rotations) // PROBES)]
        self.unit, self.inverted = probe(self.small, self.template, some)
        self.roughness = self.full.roughness(some)
        self.local = local_deviation(self.small, self.radius) if options.local_contrast else None

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
        places = np.asarray(points)[:, ::-1] / step + middle(self.small)
        return surface_guide(places, normals, self.small.shape, self.rotations, max(1.0, distance / step), cone)

    def scan(self, guide: Guide | None = None, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the best score of every voxel of the scan, in deviations of noise, and whose it is."""
        scores, which = self._scanned(self.template, guide, progress)
        if self.options.random_phases:
            scores -= background(self._scanned(random_phased(self.template), guide, None)[0], self.radius)
        if len(self.gold):
            forbid(scores, (self.gold - middle(self.fine)) / self.binning + middle(self.small), self.radius)
        return scores, which

    def _scanned(
        self, template: Template, guide: Guide | None, progress: Progress | None
    ) -> tuple[np.ndarray, np.ndarray]:
        reach = int(np.ceil(self.radius)) + 1
        most = max(self.tile, (3 * reach) ** 3)
        scores, which = scan(self.small, template, self.rotations, self.edge, reach, most, guide, progress)
        scores /= self.unit
        if self.local is not None:
            scores /= self.local
        return scores, which

    def locate(self, guide: Guide | None = None, wanted: int = 0, progress: Progress | None = None) -> Match:
        """Scan, and climb to the top of the best maxima.

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
        most = max(MOST, PER_PARTICLE * wanted, int(voxels / (VOLUME * self.model.radius**3)))
        places = self._climbed(maxima(scores, which, self.rotations, LEAST, most, 2), cells)
        return Match(places, cells, scores, which, self.rotations, self.binning, self.inverted)

    def _climbed(self, places: Places, cells: float) -> Places:
        """Return the tops near some maxima, in voxels of the tomogram, weighed against other objects."""
        if len(places) == 0:
            return places
        start = np.rint(places.positions).astype(int)
        local = np.ones(len(places)) if self.local is None else self.local[tuple(start.T)]
        if self.binning > 1:
            places = climbed(self.small, self.template, places)
        there = (places.positions - middle(self.small)) * self.binning + middle(self.fine)
        places = climbed(self.fine, self.full, Places(there, places.rotations, places.scores))
        places = Places(places.positions, places.rotations, places.scores / self.unit / local)
        inside = ((places.positions >= 0) & (places.positions <= np.array(self.fine.shape) - 1)).all(axis=1)
        places = places.take(np.flatnonzero(inside))
        places = places.take(apart(places, SAME))
        if self.options.other_objects:
            scores = weighed(self.fine, self.full, places, self.model.radius, cut_for(1.0, cells))
            places = Places(places.positions, places.rotations, scores)
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
