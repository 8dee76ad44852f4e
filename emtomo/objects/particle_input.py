"""The particles that refinement, averages and models are made from, whatever they are: boxes, images, tilt series."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pyworkflow.object import Set
from pyworkflow.protocol.params import Form

from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ParticleSource
from emtomo.compute.positions import check_finite
from emtomo.compute.tilt.particle_images import ParticleImageOptions
from emtomo.engine.lineage import upstream
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.io.mrc_header import SIZES_AGREE
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.image_particles import StackedParticles, image_source
from emtomo.objects.particle_motions import motions_of
from emtomo.objects.particle_poses import poses_of, shifts_of, with_poses
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.particle_source import particles_of
from emtomo.objects.rotation import positions_of, rotations_of
from emtomo.objects.series_images import CutImages, SeriesImages, SeriesRecord, StackedImages, few_tilts_text
from emtomo.objects.subtomogram import SetOfSubtomograms
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.options import LARGEST_PIXEL, Param, pixel_size_unless
from emtomo.wording import count_text, no_match_text

KINDS = "SetOfSubtomograms,SetOfParticles,SetOfParticleSeries,SetOfCoordinates3D"
OTHER_NAMES = {"particles": "subtomograms", "particle_series": "subtomograms"}  # of the protocols' input
OUTPUTS = {"SetOfSubtomograms": "subtomograms", "SetOfParticles": "particles"}
SMALLEST_IMAGE = 8  # pixels


@dataclass(frozen=True, kw_only=True)
class ParticleInputOptions:
    """How particles are read."""

    pixel_size: Annotated[
        float,
        Param(
            "Pixel size",
            "Of images that are cut from tilt series; need not be a multiple of theirs. 0: that of the particles, "
            "or of the tilt images where they have none.",
            unit="Å",
            ge=0,
            le=LARGEST_PIXEL,
            validate=pixel_size_unless(0),
        ),
    ] = 0.0
    box_size: Annotated[
        int,
        Param(
            "Box size",
            "Edge of images that are cut from tilt series, at their pixel size. 0: the particles' box, in Å.",
            unit="pixel",
            ge=0,
            le=1024,
        ),
    ] = 0
    diameter: Annotated[
        float,
        Param(
            "Particle diameter",
            "Tilt images that do not show all of it are left out. 0: 75 % of the box.",
            unit="Å",
            ge=0,
            expert=True,
        ),
    ] = 0.0
    first_tilts: Annotated[
        int,
        Param("First tilts only", "The tilts with the least dose; 0: all that are not excluded.", ge=0, expert=True),
    ] = 0
    missing_tilts: Annotated[
        int,
        Param("Missing tilts at most", "Particles that lie outside more images are left out.", ge=0, expert=True),
    ] = 5
    invert: Annotated[
        bool, Param("Invert tilt images?", "Particles must be white; in tilt images they are dark.", expert=True)
    ] = True
    ctf_correction: Annotated[
        bool,
        Param("CTF correction", "Of particles of micrographs. Off: images as if nothing changed their phases."),
    ] = True


@dataclass(frozen=True)
class Particles:
    """Particles of a set, and where refinement reads them.

    Attributes
    ----------
    items : TableSet
        The set.
    frame : DataFrame
        Its rows that take part; particles of one tilt series beside each other. The index is the row in the set.
    source : ParticleSource
    origin : (n, 3) array
        Å: where shifts begin. Boxes keep their shifts, images are cut at the particles' centres.
    remarks : list of str
    """

    items: TableSet
    frame: pd.DataFrame
    source: ParticleSource
    origin: np.ndarray
    remarks: list[str]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def output(self) -> str:
        """Return what a protocol calls its set of refined particles."""
        return OUTPUTS.get(type(self.items).__name__, "particle_series")

    def poses(self, seed: int, pixel_size: float | None = None) -> Poses:
        """Return the particles' poses from `origin` on; see :func:`poses_of`. Voxels of another size if asked."""
        pixel = pixel_size or self.source.pixel_size
        poses = poses_of(self.frame, pixel, seed)
        return Poses(poses.rotations, poses.shifts - self.origin / pixel, poses.half)

    def rows(self, poses: Poses, pixel_size: float | None = None) -> pd.DataFrame:
        """Return the rows with new poses, in the order of the set."""
        out = with_poses(self.frame, poses, pixel_size or self.source.pixel_size, self.origin)
        return out.sort_index().reset_index(drop=True)

    def with_classes(self, numbers: np.ndarray, certainty: np.ndarray) -> "Particles":
        """Return the particles with class numbers, and the probability of these."""
        return replace(self, frame=self.frame.assign(class_number=numbers, certainty=certainty))

    def rows_with_own_poses(self) -> pd.DataFrame:
        """Return the rows with the poses that they have, in the order of the set."""
        return self.frame.sort_index().reset_index(drop=True)

    def take(self, chosen: np.ndarray) -> "Particles":
        """Return the rows of some of the particles; their images are not taken along."""
        return Particles(self.items, self.frame.iloc[chosen], self.source, self.origin[chosen], self.remarks)

    def create_set(self, path: str) -> TableSet:
        """Return a new, empty set for refined particles: of the same kind, coordinates become particle series."""
        if not isinstance(self.items, SetOfCoordinates3D):
            out = type(self.items).create(path)
            out.copy_fields(self.items)
            if isinstance(out, SetOfParticleSeries):  # images may have been cut at another size than the set's
                out.pixel_size.set(self.source.pixel_size)
                out.box_size.set(self.source.size)
            return out
        return SetOfParticleSeries.create(path, pixel_size=self.source.pixel_size, box_size=self.source.size)


def add_particle_inputs(protocol: EmtomoProtocol, form: Form, help: str) -> None:
    """Add the inputs of particles: the set, and the tilt series from which images are cut."""
    protocol._add_input(form, "subtomograms", KINDS, "Particles", help)
    protocol._add_input(
        form,
        "tilt_series",
        "SetOfTiltSeries",
        "Tilt series",
        "Images are cut from them when they are needed, at the pixel size below; nothing is written. Empty: "
        "subtomograms are read from their boxes, other particles from the tilt series that they were found in.",
        optional=True,
    )


def tilt_series_of(protocol: Any) -> SetOfTiltSeries | None:
    """Return the tilt series from which a protocol's particles are cut; None where they are boxes or single images.

    Raises
    ------
    EmtomoError
        If the particles need tilt series, and none are given or known.
    """
    items = protocol.input_subtomograms.get()
    if not protocol.input_tilt_series.pointsNone():
        if type(items).__name__ == "SetOfParticles":
            raise EmtomoError("Particles of micrographs have no tilt series; leave that input empty.")
        series: SetOfTiltSeries = protocol.input_tilt_series.get()
        return series
    if not isinstance(items, SetOfCoordinates3D | SetOfParticleSeries):
        return None
    found = upstream(protocol.input_subtomograms, SetOfTiltSeries)
    if found is None:
        raise EmtomoError("The tilt series from which the particles' images are cut are not known; choose tilt series.")
    return found


def particle_sizes(protocol: Any, options: ParticleInputOptions) -> tuple[int, float]:
    """Return the box in voxels and the pixel size in Å of the particles that :func:`open_particles` returns.

    Raises
    ------
    EmtomoError
        As there, as far as it shows without reading images.
    """
    items = protocol.input_subtomograms.get()
    series = tilt_series_of(protocol)
    if series is None:
        return int(items.box_size.get()), float(items.pixel_size.get())
    stacked = isinstance(items, SetOfParticleSeries) and items.count("file") == len(items) > 0
    cut = image_options(items, series, options, stacked)
    return cut.box_size, cut.pixel_size


def input_problem(protocol: Any, options: ParticleInputOptions) -> str:
    """Return in a sentence why a protocol's particles cannot be read; empty if nothing is known against it."""
    items = protocol.input_subtomograms.get()
    if not len(items):
        return "There is no particle."
    try:
        particle_sizes(protocol, options)
        series = tilt_series_of(protocol)
        stacked = isinstance(items, SetOfParticleSeries) and items.count("file") == len(items)
        if series is None and options.ctf_correction and not isinstance(items, SetOfSubtomograms):
            items.ctf()
        if series is not None:
            cut = image_options(items, series, options, stacked)
            for name in _common_names(items.tomogram_ids(), series):
                SeriesRecord.of(series, name).view(cut, images=False)
    except EmtomoError as error:
        return str(error)
    return ""


def open_particles(protocol: Any, options: ParticleInputOptions, *, number: int = 0, seed: int = 1) -> Particles:
    """Return the particles of a protocol's inputs; `number` of them, drawn at random, where it is not 0.

    Raises
    ------
    EmtomoError
        If stacks, weights or tilt series cannot be used, or no particle is left.
    """
    items = protocol.input_subtomograms.get()
    frame = items.frame()
    if 0 < number < len(frame):
        chosen = np.random.default_rng(seed).choice(len(frame), number, replace=False)
        frame = frame.iloc[np.sort(chosen)].reset_index(drop=True)
    if not len(frame):
        raise EmtomoError("There is no particle.")
    series = tilt_series_of(protocol)
    if series is not None:
        return series_particles(items, frame, series, options)
    if isinstance(items, SetOfSubtomograms):
        missing = frame["file"].isna() | (frame["file"] == "")
        if missing.any():
            raise EmtomoError(
                f"{int(missing.sum())} of {count_text(len(frame), 'subtomogram')} "
                "have no box: choose the tilt series from which "
                "their images are cut."
            )
        return Particles(items, frame, particles_of(items, frame), np.zeros((len(frame), 3)), [])
    images = StackedParticles(
        list(frame["file"]), frame["index"].to_numpy(int), int(items.box_size.get()), float(items.pixel_size.get()),
        1 if items.white.get() else -1, items.ctf(frame) if options.ctf_correction else None,
        bool(items.premultiplied.get()),
    )  # fmt: skip
    return Particles(items, frame, image_source(images), np.zeros((len(frame), 3)), [])


def series_particles(
    items: TableSet, frame: pd.DataFrame, series: SetOfTiltSeries, options: ParticleInputOptions
) -> Particles:
    """Return particles whose images come from tilt series, or from stacks made of them.

    Raises
    ------
    EmtomoError
        If none of the particles is in the tilt series or visible, or tilt series or sizes cannot be used.
    """
    if isinstance(items, SetOfCoordinates3D):
        frame = frame.drop(columns="picker").assign(shift_x=0.0, shift_y=0.0, shift_z=0.0, half=0)
    wanted = list(dict.fromkeys(frame["tomogram_id"]))
    names = _common_names(wanted, series)
    remarks = []
    missing = [str(name) for name in wanted if name not in names]
    if missing:
        left_out = int(frame["tomogram_id"].isin(missing).sum())
        remarks.append(
            f"No tilt series for the particles of {', '.join(missing)}: "
            f"{count_text(left_out, 'particle is', 'particles are')} left out."
        )
    frame = frame[frame["tomogram_id"].isin(names)].sort_values("tomogram_id", kind="stable")
    stacked = isinstance(items, SetOfParticleSeries) and bool(frame["file"].notna().all()) and len(frame) > 0
    cut = image_options(items, series, options, stacked)
    origin = shifts_of(frame)
    points = positions_of(frame) + origin
    check_finite(points, "The position of particle")
    records = [SeriesRecord.of(series, name) for name in names]
    which = frame["tomogram_id"].map({name: k for k, name in enumerate(names)}).to_numpy(int)
    images: SeriesImages
    if stacked:
        images = stacks = _stacked(items, frame, records, which, points, cut)
        counts = np.array([len(stacks.list_visible(i)) for i in range(len(frame))])
        kept = counts > 0
    else:
        images = cut_images = CutImages(records, which, points, cut)
        counts, kept = cut_images.count_visible()
    images.set_motions(motions_of(frame), rotations_of(frame))
    if not kept.all():
        outside = frame["tomogram_id"][~kept].value_counts(sort=False)
        where = ", ".join(f"{n} of {name}" for name, n in outside.items())
        remarks.append(
            "Particles left out, which more than "
            f"{count_text(options.missing_tilts, 'image')} do not show whole: {where}."
        )
        if not kept.any():
            raise EmtomoError(
                "No particle is shown whole by all but "
                f"{count_text(options.missing_tilts, 'image')} of its tilt series: check that "
                "positions and tilt series belong together, or allow more missing tilts."
            )
        images = images.take(kept)
    views = [record.view(cut, images=False) for record in records]
    if few := few_tilts_text(counts[kept], which[kept], views):
        remarks.append(few)
    source = images.source(counts[kept].tolist(), cut.pixel_size)
    return Particles(items, frame[kept], source, origin[kept], remarks)


def _common_names(wanted: list[str], series: SetOfTiltSeries) -> list[str]:
    """Return the tilt series that have particles."""
    known = series.tomogram_ids()
    names = [name for name in known if name in set(wanted)]
    if not names:
        raise EmtomoError(no_match_text("tilt series", wanted, known))
    return names


def image_options(
    items: Set, series: SetOfTiltSeries, options: ParticleInputOptions, stacked: bool
) -> ParticleImageOptions:
    """Return how images are cut: sizes that are not asked for are those of the particles, in Å.

    Raises
    ------
    EmtomoError
        If a size is not known, or is another one than that of the stacks.
    """
    own, box = float(items.pixel_size.get() or 0), int(items.box_size.get() or 0)
    if stacked:
        asked = options.pixel_size or own
        if abs(asked / own - 1) > SIZES_AGREE or options.box_size not in (0, box):
            raise EmtomoError(
                f"The stacks of the particle series have {box} pixels of {own:.4g} Å; for "
                f"{options.box_size or box} of {asked:.4g} Å give the particles' subtomograms or coordinates, and "
                "their images are cut from the tilt series."
            )
    usual = 0.0 if isinstance(items, SetOfCoordinates3D) else own
    pixel = options.pixel_size or usual or float(series.pixel_size.get() or 0)
    size = options.box_size or (2 * round(box * own / pixel / 2) if box and own and pixel else 0)
    if stacked:
        size = box
    if size < SMALLEST_IMAGE:
        raise EmtomoError(f"Box size must be at least {SMALLEST_IMAGE} pixels, got {size or 'none'}.")
    return ParticleImageOptions(
        pixel_size=pixel,
        box_size=size,
        diameter=options.diameter,
        first_tilts=options.first_tilts,
        missing_tilts=options.missing_tilts,
        invert=options.invert,
        premultiply=bool(items.premultiplied.get()) if stacked else True,
    )


def _stacked(
    items: Any,
    frame: pd.DataFrame,
    records: list[SeriesRecord],
    which: np.ndarray,
    points: np.ndarray,
    options: ParticleImageOptions,
) -> StackedImages:
    visible = []
    for row, (text, s) in enumerate(zip(frame["visible"], which, strict=True)):
        shown = np.array([letter == "1" for letter in str(text or "")], bool)
        if len(shown) != len(records[s].table):
            raise EmtomoError(
                f"Particle {row + 1} says of {count_text(len(shown), 'tilt')} whether they show it; its tilt series "
                f"{records[s].name} has {len(records[s].table)}."
            )
        visible.append(shown)
    return StackedImages(
        records, which, points, options, list(frame["file"]), frame["index"].to_numpy(int), visible,
        bool(items.every_tilt.get()), 1 if items.white.get() else -1,
    )  # fmt: skip
