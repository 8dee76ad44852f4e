"""Tilt series of a population: each is refined against all species' references, and its particles are added up."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients
from emtomo.compute.fourier.reconstruction import empty_sums
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ImageParticles
from emtomo.compute.map_reduce import OnProgress, in_threads
from emtomo.compute.multiparticle.geometry_update import pack_geometry, unpack_geometry, update_geometry
from emtomo.compute.multiparticle.images import References, SpeciesImages, cut_images
from emtomo.compute.multiparticle.options import MultiParticleOptions
from emtomo.compute.multiparticle.series import SeriesRefinement, SeriesResult, Trial
from emtomo.compute.multiparticle.species import Species
from emtomo.compute.multiparticle.species_particles import CutViews, SpeciesParticles, pack_particles, unpack_particles
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.refinement.iteration import ParticleBlock, count_blocks
from emtomo.compute.refinement.reconstruct import ReconstructionTask, insert_block
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.particle_images import ParticleImageOptions, PreparedSeries, prepare_series
from emtomo.compute.tilt.particle_motion import ParticleMotions
from emtomo.errors import EmtomoError

STEPS = 100  # of progress for every series


@dataclass(frozen=True)
class Series:
    """A tilt series with its particles.

    Attributes
    ----------
    name : str
    geometry : TiltGeometry
        Of all tilts.
    images : callable
        Number of a tilt from 0 to its (y, x) image; it may travel to other processes.
    particles : tuple of SpeciesParticles
        One for every species; may be empty.
    fold_geometries : tuple of TiltGeometry
        Fitted without other particles each, where particles are few; empty before a refinement.
    """

    name: str
    geometry: TiltGeometry
    images: Callable[[int], np.ndarray]
    particles: tuple[SpeciesParticles, ...]
    fold_geometries: tuple[TiltGeometry, ...] = ()


@dataclass(frozen=True)
class SeriesReport:
    """What was tried on a series, and how well its images agree now.

    Attributes
    ----------
    trials : list of Trial
    score_before, score : float
        Log likelihood of all particles.
    ring_correlations : list of (t, s) arrays
        Of every species, for the tilts that take part.
    amplitudes, precisions : list of (s,) arrays
        Of every species: amplitude of the reference in the images, and 1 / its variance.
    """

    trials: list[Trial]
    score_before: float
    score: float
    ring_correlations: list[np.ndarray]
    amplitudes: list[np.ndarray]
    precisions: list[np.ndarray]


class Store(Protocol):
    """Keeps refined series, so that an interrupted iteration goes on with the next one."""

    def load(self, iteration: int, name: str) -> dict[str, np.ndarray] | None:
        """Return what was saved, None if nothing was."""

    def save(self, iteration: int, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays, whole or not at all."""


@dataclass(frozen=True)
class SeriesBlock:
    """Series that are worked on one after the other, by their numbers."""

    members: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    def parts(self, n: int) -> list["SeriesBlock"]:
        """Return at most `n` blocks of about the same length."""
        return [SeriesBlock(part) for part in np.array_split(self.members, max(1, min(n, len(self))))]


@dataclass
class PopulationSums:
    """What some series give.

    Attributes
    ----------
    series : dict
        Refined series by their numbers.
    reports : dict
        Of refined series.
    sums : dict
        By species and half, as :func:`~emtomo.compute.fourier.reconstruction.empty_sums` makes them.
    left_out : dict
        By series and species: how many particles too few images show.
    """

    series: dict[int, Series]
    reports: dict[int, SeriesReport]
    sums: dict[tuple[int, int], np.ndarray]
    left_out: dict[tuple[int, int], int]

    def combine(self, other: "PopulationSums") -> "PopulationSums":
        """Return what all of these series give together."""
        sums = {
            key: np.add(value, other.sums[key], dtype=float) if key in other.sums else value
            for key, value in self.sums.items()
        }
        sums |= {key: value for key, value in other.sums.items() if key not in sums}
        return PopulationSums(
            self.series | other.series, self.reports | other.reports, sums, self.left_out | other.left_out
        )


@dataclass
class PopulationTask:
    """What all series of an iteration share.

    Attributes
    ----------
    series : sequence of Series
    species : sequence of Species
        Their half maps are not needed where particles are only added up.
    references : sequence of References or None
        None of a species that takes no part in the fit.
    options : MultiParticleOptions
        As :meth:`.MultiParticleOptions.resolve_preset` gives them.
    iteration : int
        0: nothing is refined.
    image_options : ParticleImageOptions
        How images are read; pixel size, box and diameter are the species'.
    insert : bool
        Whether particles are added up.
    device : str
    store : Store or None
    at_once : bool
        Whether several series may be worked on at the same time in one process; each takes more memory.
    """

    series: Sequence[Series]
    species: Sequence[Species]
    references: Sequence[References | None]
    options: MultiParticleOptions
    iteration: int
    image_options: ParticleImageOptions
    insert: bool = True
    device: str = "cpu"
    store: Store | None = None
    at_once: bool = False

    parallel = False  # a series takes all threads

    def prepare(self, series: Series) -> list[PreparedSeries]:
        """Return a series with its images at every species' pixel size."""
        made: dict[float, PreparedSeries] = {}
        out = []
        for one in self.species:
            options = replace(
                self.image_options, pixel_size=one.pixel_size, box_size=one.size, diameter=one.diameter,
                premultiply=True,
            )  # fmt: skip
            if one.pixel_size not in made:
                try:
                    made[one.pixel_size] = prepare_series(series.images, series.geometry, options)
                except EmtomoError as error:
                    raise EmtomoError(f"{series.name}: {error}") from None
            out.append(replace(made[one.pixel_size], options=options))
        return out


_ONE_AT_A_TIME = threading.Lock()


def work_on_series(shared: PopulationTask, block: SeriesBlock, on_progress: OnProgress) -> PopulationSums:
    """Refine the series of a block one after the other, and add up their particles."""
    out = PopulationSums({}, {}, {}, {})
    for number in block.members:
        i, series = int(number), shared.series[int(number)]
        with nullcontext() if shared.at_once else _ONE_AT_A_TIME:
            prepared = shared.prepare(series)
            on_progress(STEPS // 10)
            if shared.iteration > 0:
                series, out.reports[i] = refine_series(shared, i, prepared)
                out.series[i] = series
            on_progress(STEPS // 2)
            if shared.insert:
                insert_series(shared, i, series, prepared, out)
            on_progress(STEPS - STEPS // 10 - STEPS // 2)
    return out


def refine_series(shared: PopulationTask, number: int, prepared: list[PreparedSeries]) -> tuple[Series, SeriesReport]:
    """Return a refined series, or what the store kept of it."""
    series = shared.series[number]
    kept = shared.store.load(shared.iteration, series.name) if shared.store is not None else None
    if kept is not None:
        return unpack_series(series, kept)
    chosen = [
        k for k, (one, refs) in enumerate(zip(series.particles, shared.references, strict=True)) if len(one) and refs
    ]
    if not chosen:
        return series, SeriesReport([], 0.0, 0.0, [], [], [])
    images: list[SpeciesImages] = []
    for k in chosen:
        references = shared.references[k]
        assert references is not None
        images.append(cut_images(prepared[k], series.particles[k].positions, series.particles[k].half, references))
    tilts, geometry = prepared[chosen[0]].tilts, prepared[chosen[0]].geometry
    moving = [part.motion.knots for part in (series.particles[k] for k in chosen) if part.motion is not None]
    poses = [series.particles[k].poses(max([shared.options.pose_doses, *moving])) for k in chosen]
    start, trial_poses = (
        SeriesState(geometry, *(np.concatenate(parts) for parts in zip(*each, strict=True)))
        for each in (poses, [series.particles[k].with_trial_poses().poses(poses[0][0].shape[1]) for k in chosen])
    )
    tried = [k for k, one in enumerate(series.particles) if one.trial_poses is not None]
    # the same particles are held out in every iteration: others would agree better with what they were fitted to
    result = SeriesRefinement(
        images, start, shared.options, shared.options.seed, shared.iteration == 1,
        len(shared.series) == 1, shared.device, [one.take(tilts) for one in series.fold_geometries],
        trial_poses if tried == chosen else None,  # with other species, other images are held out
    ).run()  # fmt: skip
    refined = _with_result(series, chosen, tilts, result)
    report = SeriesReport(
        result.trials, result.score_before, float(result.score.sum()), result.ring_correlations,
        [model.amplitude.mean(axis=0) for model in result.models], [model.precision for model in result.models],
    )  # fmt: skip
    if shared.store is not None:
        shared.store.save(shared.iteration, series.name, pack_series(refined, report))
    return refined, report


def _with_result(series: Series, chosen: list[int], tilts: np.ndarray, result: SeriesResult) -> Series:
    """Return a series with the geometry and the particles of a result."""
    particles, first = [replace(one, trial_poses=None) for one in series.particles], 0
    for k in chosen:
        rows = slice(first, first + len(particles[k]))
        first = rows.stop
        particles[k] = SpeciesParticles(
            result.state.rotations[rows, 0], result.state.positions[rows, 0], particles[k].half, result.score[rows],
            ParticleMotions.between(result.state.rotations[rows], result.state.positions[rows]),
            (result.trial_poses.rotations[rows, 0], result.trial_poses.positions[rows, 0]),
        )  # fmt: skip
    geometry = update_geometry(series.geometry, tilts, result.state.geometry)
    folds = tuple(update_geometry(series.geometry, tilts, one) for one in result.fold_geometries)
    return replace(series, geometry=geometry, particles=tuple(particles), fold_geometries=folds)


def insert_series(
    shared: PopulationTask, number: int, series: Series, prepared: list[PreparedSeries], out: PopulationSums
) -> None:
    """Add up the particles of a series, as reconstruct-average does; those that too few images show are left out."""
    for k, (one, particles) in enumerate(zip(shared.species, series.particles, strict=True)):
        if not len(particles):
            continue
        view = replace(prepared[k], geometry=series.geometry.take(prepared[k].tilts))
        kept = view.select_particles(particles.positions)
        out.left_out[number, k] = int((~kept).sum())
        members = np.flatnonzero(kept)
        if not len(members):
            continue
        counts = view.visible(particles.positions[members]).sum(axis=0)
        images = CutViews(view, particles.take(members))
        source = ImageParticles(one.size, one.pixel_size, list(counts), images, "ctf_squared", True)
        poses = Poses(particles.rotations[members], np.zeros((len(members), 3)), particles.half[members])
        coefficients = FourierCoefficients(one.size, one.size / 2, 2)
        halves = [h for h in (1, 2) if (poses.half == h).any()]
        blocks = [ParticleBlock(h, np.flatnonzero(poses.half == h)).parts(count_blocks(one.size)) for h in halves]
        totals = in_threads(insert_block, ReconstructionTask(source, poses, coefficients), blocks, lambda more: None)
        for h, total in zip(halves, totals, strict=True):
            before = out.sums.get((k, h))
            out.sums[k, h] = total.sums if before is None else np.add(before, total.sums, dtype=float)


def nothing_inserted(size: int) -> np.ndarray:
    """Return the sums of a half without particles."""
    return empty_sums(size / 2)


# --- series as arrays ---


def pack_series(series: Series, report: SeriesReport) -> dict[str, np.ndarray]:
    """Return a refined series with its report as arrays, without objects."""
    out = {"folds": np.array(len(series.fold_geometries))}
    for prefix, geometry in [
        ("geometry", series.geometry),
        *((f"fold_{k}", one) for k, one in enumerate(series.fold_geometries)),
    ]:
        out |= {f"{prefix}_{name}": values for name, values in pack_geometry(geometry).items()}
    for k, one in enumerate(series.particles):
        out |= pack_particles(one, k)
    out["trial_names"] = np.array([trial.name for trial in report.trials], "U64")
    out["trial_remarks"] = np.array([trial.remark for trial in report.trials], "U256")
    out["trials"] = np.array([[t.kept, t.gain, t.held_out] for t in report.trials], float).reshape(-1, 3)
    out["scores"] = np.array([report.score_before, report.score])
    for name in ("ring_correlations", "amplitudes", "precisions"):
        values = getattr(report, name)
        out |= {f"{name}_{k}": array for k, array in enumerate(values)}
    out["species_shown"] = np.array(len(report.amplitudes))
    return out


def unpack_series(series: Series, arrays: dict[str, np.ndarray]) -> tuple[Series, SeriesReport]:
    """Return what :func:`pack_series` packed; images and half sets that do not change are those of `series`."""
    geometry, *folds = (
        unpack_geometry(series.geometry, {k.removeprefix(at): v for k, v in arrays.items() if k.startswith(at)})
        for at in ("geometry_", *(f"fold_{k}_" for k in range(int(arrays.get("folds", 0)))))
    )
    particles = tuple(unpack_particles(arrays, k) for k in range(len(series.particles)))
    trials = [
        Trial(str(name), bool(kept), float(gain), int(held), str(remark))
        for name, (kept, gain, held), remark in zip(
            arrays["trial_names"], arrays["trials"], arrays["trial_remarks"], strict=True
        )
    ]
    count = int(arrays["species_shown"])
    lists = [
        [arrays[f"{name}_{k}"] for k in range(count)] for name in ("ring_correlations", "amplitudes", "precisions")
    ]
    before, score = arrays["scores"]
    report = SeriesReport(trials, float(before), float(score), *lists)
    return replace(series, geometry=geometry, particles=particles, fold_geometries=tuple(folds)), report
