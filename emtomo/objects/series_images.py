"""The tilt images of particles as refinement reads them: cut from their tilt series when needed, or from stacks."""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from emtomo.compute.device import threads
from emtomo.compute.likelihood.views import ImageParticles, ImageViews
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.compute.tilt.particle_images import (
    ParticleImageOptions,
    PreparedSeries,
    SeriesView,
    prepare_series,
    view_series,
)
from emtomo.compute.tilt.particle_motion import ParticleMotions
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects.tilt_images import TiltImages
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.wording import count_text

KEPT_BYTES = 2 * 2**30  # of particles' images and weights that are kept between iterations
FEW_TILTS, NARROW = 5, 30.0  # images of a particle, and degrees between the outermost tilts
SERIES_BYTES = 2**30  # of tilt images that are kept at a time, though never less than a series for every thread


@dataclass
class SeriesRecord:
    """A tilt series by its table; it may travel to other processes.

    Attributes
    ----------
    name : str
    table : DataFrame
    geometry : TiltGeometry
    folder : str
        What the images' names are relative to.
    """

    name: str
    table: pd.DataFrame
    geometry: TiltGeometry
    folder: str = ""

    @classmethod
    def of(cls, series: SetOfTiltSeries, name: str) -> "SeriesRecord":
        """Return one series of a set."""
        return cls(name, series.images(name), series.geometry(name), str(Path.cwd()))

    def view(self, options: ParticleImageOptions, *, images: bool = True) -> SeriesView:
        """Return what particles are seen through; without `images` all of them are taken to be visible."""
        try:
            size = TiltImages(self.table, folder=Path(self.folder)).size() if images else (2**30, 2**30)
            return view_series(self.geometry, options, lambda t: size)
        except EmtomoError as error:
            raise EmtomoError(f"{self.name}: {error}") from None

    def prepare(
        self, options: ParticleImageOptions, on_progress: Callable[[int], None] = lambda done: None
    ) -> PreparedSeries:
        """Return the series with its images at the particles' pixel size; see :func:`.prepare_series`."""
        images = TiltImages(self.table, folder=Path(self.folder))
        try:
            return prepare_series(images, self.geometry, options, on_progress)
        except EmtomoError as error:
            raise EmtomoError(f"{self.name}: {error}") from None

    def order(self) -> np.ndarray:
        """Return the place of every tilt in time, from 0: tilts of one place share a noise spectrum."""
        return np.argsort(np.argsort(self.geometry.order, kind="stable"), kind="stable")


class SeriesImages(ABC):
    """Called with the number of a particle it returns its images; those of the first particles are kept.

    Parameters
    ----------
    records : list of SeriesRecord
    which : (n,) int array
        Series of every particle.
    points : (n, 3) array
        x, y, z in Å from the tomogram's centre.
    options : ParticleImageOptions
    """

    PER_PARTICLE: ClassVar[tuple[str, ...]] = ("which", "points", "orientations", "turns", "moves")

    def __init__(
        self, records: list[SeriesRecord], which: np.ndarray, points: np.ndarray, options: ParticleImageOptions
    ) -> None:
        self.records, self.which, self.points, self.options = records, which, points, options
        self.orientations, self.turns = np.zeros((len(points), 0, 3)), np.zeros((len(points), 0, 3))
        self.moves = self.turns
        self._reset()

    def set_motions(self, motions: ParticleMotions | None, orientations: np.ndarray) -> None:
        """Let particles of (n, 3, 3) orientations move over the dose."""
        if motions is not None:
            self.orientations, self.turns, self.moves = orientations, motions.rotations, motions.shifts

    def _movement(self, i: int, view: SeriesView) -> tuple[np.ndarray, np.ndarray] | None:
        """Return how far particle `i` moved (Å) and rotated in all of a view's tilts; None if it stays."""
        if not self.turns.shape[1]:
            return None
        motions = ParticleMotions(self.turns[i][None], self.moves[i][None])
        return motions.in_images(0, self.orientations[i], self.points[i], view.geometry)

    def _reset(self) -> None:
        self._kept: dict[int, ImageViews] = {}
        self._kept_bytes, self._lock = 0, threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is kept, and locks."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    @abstractmethod
    def make(self, i: int) -> ImageViews:
        """Return the images of particle `i`, read anew."""

    def take(self, chosen: np.ndarray) -> Self:
        """Return the images of some of the particles, by a mask."""
        new = type(self).__new__(type(self))
        state = self.__getstate__()
        for name in self.PER_PARTICLE:
            values = state[name]
            state[name] = values[chosen] if isinstance(values, np.ndarray) else list(compress(values, chosen))
        new.__setstate__(state)
        return new

    def __call__(self, i: int) -> ImageViews:
        """Return the images of particle `i`."""
        kept = self._kept.get(i)
        if kept is not None:
            return kept
        made = self.make(i)
        assert made.weights is not None
        size = made.images.nbytes + made.weights.nbytes
        with self._lock:
            if i not in self._kept and self._kept_bytes + size <= KEPT_BYTES:
                self._kept[i] = made
                self._kept_bytes += size
        return made

    @property
    def noise_groups(self) -> int:
        """Return the largest number of tilts."""
        return max(len(record.table) for record in self.records)

    def source(self, counts: Sequence[int], pixel_size: float) -> ImageParticles:
        """Return the particles, which have so many images each."""
        size, squared = self.options.box_size, self.options.premultiply
        coarsest = max(record.geometry.pixel_size for record in self.records)
        return ImageParticles(
            size, pixel_size, list(counts), self, "ctf_squared" if squared else "ctf", squared, self.noise_groups,
            measured_radius=max(3.0, size * pixel_size / (2 * coarsest)),
        )  # fmt: skip


class CutImages(SeriesImages):
    """Images that are cut from their tilt series; of these at most some are in memory."""

    def _reset(self) -> None:
        super()._reset()
        self._series: OrderedDict[int, PreparedSeries] = OrderedDict()
        self._busy = [threading.Lock() for _ in self.records]

    def count_visible(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how many tilts show every particle, and which particles take part."""
        counts, kept = np.zeros(len(self.which), int), np.zeros(len(self.which), bool)
        for s, record in enumerate(self.records):
            mine = np.flatnonzero(self.which == s)
            view = record.view(self.options)
            counts[mine] = view.visible(self.points[mine]).sum(axis=0)
            kept[mine] = view.select_particles(self.points[mine])
        return counts, kept

    def prepare(self, s: int) -> PreparedSeries:
        """Return a series with its images; those used longest ago make place for others."""
        with self._busy[s]:
            with self._lock:
                if s in self._series:
                    self._series.move_to_end(s)
                    return self._series[s]
            made = self.records[s].prepare(self.options)
            with self._lock:
                self._series[s] = made
                while len(self._series) > threads() and sum(map(_bytes, self._series.values())) > SERIES_BYTES:
                    self._series.popitem(last=False)
            return made

    def make(self, i: int) -> ImageViews:
        """See :class:`SeriesImages`."""
        s = int(self.which[i])
        prepared = self.prepare(s)
        movement = self._movement(i, prepared)
        cut = prepared.cut(self.points[i], movement[0] if movement else None)
        rotations = cut.rotations
        if movement is not None:
            rotations = rotations @ movement[1][np.searchsorted(prepared.tilts, cut.tilts)]
        groups = self.records[s].order()[cut.tilts]
        return ImageViews(cut.images, rotations, cut.weights, np.zeros((len(cut.tilts), 2)), groups)


def few_tilts_text(counts: np.ndarray, which: np.ndarray, views: Sequence[SeriesView]) -> str:
    """Return what to say of particles that too few tilts show, or tilts of too few angles; empty: nothing.

    Parameters
    ----------
    counts : (n,) int array
        Images of every particle.
    which : (n,) int array
        Its series.
    views : sequence of SeriesView
        What particles of every series are seen through.
    """
    spread = np.array([np.ptp(tilt_angles(view.geometry.rotations)[:, 1]) for view in views])[which]
    affected = (counts < FEW_TILTS) | (spread < NARROW)
    if not affected.any():
        return ""
    counts, widest = counts[affected], spread[affected].max()
    least, most = int(counts.min()), int(counts.max())
    images = count_text(most, "tilt") if least == most else f"{least} to {most} tilts"
    return (
        f"{count_text(len(counts), 'particle is', 'particles are')} shown by few tilts or within a narrow range of "
        f"angles: each by {images}, within {widest:.0f}° at most. Fewer than {FEW_TILTS} tilts, or less than "
        f"{NARROW:.0f}°, hardly tell positions along the beam; orientations are uncertain and the resolution may be "
        "overestimated."
    )


def _bytes(series: PreparedSeries) -> int:
    return sum(image.values.nbytes for image in series.images)


class StackedImages(SeriesImages):
    """Images of particle series that lie in stacks; their CTF and dose weights are worked out from the tilt series.

    Parameters
    ----------
    records, which, points, options
        See :class:`SeriesImages`.
    files : list of str
        Stack of every particle.
    index : (n,) int array
        Its first image there.
    visible : list of (t,) bool array
        Tilts of the series that an image shows.
    every_tilt : bool
        There is an image for every tilt, visible or not.
    sign : int
        -1 where particles are dark.
    """

    PER_PARTICLE: ClassVar[tuple[str, ...]] = (*SeriesImages.PER_PARTICLE, "files", "index", "visible")

    def __init__(
        self,
        records: list[SeriesRecord],
        which: np.ndarray,
        points: np.ndarray,
        options: ParticleImageOptions,
        files: list[str],
        index: np.ndarray,
        visible: list[np.ndarray],
        every_tilt: bool,
        sign: int,
    ) -> None:
        super().__init__(records, which, points, options)
        self.files, self.index, self.visible = [str(Path(name).absolute()) for name in files], index, visible
        self.every_tilt, self.sign = every_tilt, np.float32(sign)
        self.views = [record.view(options, images=False) for record in records]

    def list_visible(self, i: int) -> np.ndarray:
        """Return which of its view's tilts have an image of particle `i`."""
        return np.flatnonzero(self.visible[i][self.views[int(self.which[i])].tilts])

    def make(self, i: int) -> ImageViews:
        """See :class:`SeriesImages`."""
        s, n = int(self.which[i]), self.options.box_size
        view, shown = self.views[s], self.list_visible(i)
        tilts = view.tilts[shown]
        rank = np.arange(len(self.visible[i])) if self.every_tilt else np.cumsum(self.visible[i]) - 1
        place, stack = self.index[i] + rank[tilts], mrc.open_volume(self.files[i])
        if stack.shape[1:] != (n, n) or place.max(initial=0) >= len(stack):
            raise EmtomoError(
                f"{self.files[i]}: {count_text(int(place.max(initial=0)) + 1, 'image')} "
                f"of {n} × {n} pixels are asked for, there are "
                f"{stack.shape[0]} of {stack.shape[2]} × {stack.shape[1]}."
            )
        images = self.sign * np.asarray(stack[place], np.float32)
        weights, rotations = view.weights(self.points[i], shown), view.geometry.sections[shown]
        offsets, movement = np.zeros((len(shown), 2)), self._movement(i, view)
        if movement is not None:  # stacks were cut where the particle was at first
            offsets, rotations = movement[0][shown] / self.options.pixel_size, rotations @ movement[1][shown]
        return ImageViews(
            images, weights=weights, rotations=rotations, offsets=offsets, noise_group=self.records[s].order()[tilts]
        )
