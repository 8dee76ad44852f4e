"""Multi-particle refinement: iterations over all series of a population, each followed by new maps of all species."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from emtomo.compute.device import check_device
from emtomo.compute.fourier.reconstruction import Sums
from emtomo.compute.map_reduce import MapReduce, in_threads
from emtomo.compute.multiparticle.calibration import equivalent_b_factors, fit_series_weights
from emtomo.compute.multiparticle.images import References
from emtomo.compute.multiparticle.mean_magnification import keep_mean_magnification
from emtomo.compute.multiparticle.options import SERIES_WEIGHTS, MultiParticleOptions
from emtomo.compute.multiparticle.population import (
    STEPS,
    PopulationSums,
    PopulationTask,
    Series,
    SeriesBlock,
    SeriesReport,
    Store,
    nothing_inserted,
    work_on_series,
)
from emtomo.compute.multiparticle.species import (
    MeasuredMaps,
    Species,
    average_of_sums,
    make_references,
    maps_of_sums,
    measure_maps,
)
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.tilt.particle_images import ParticleImageOptions
from emtomo.errors import EmtomoError
from emtomo.options import check_options

AS_GOOD = 0.005  # of the half maps' agreement, which chance changes by as much from one iteration to the next


@dataclass(frozen=True)
class PopulationMetrics:
    """One species after one iteration; resolution in Å, score the log likelihood of all its series together."""

    iteration: int
    species: str
    resolution: float
    quality: float
    score: float
    kept: int
    tried: int
    held_out_gain: float
    seconds: float


@dataclass(frozen=True)
class SpeciesMaps:
    """A species' average with half maps and FSC."""

    average: np.ndarray
    measured: MeasuredMaps


@dataclass(frozen=True)
class PopulationIteration:
    """What there is after an iteration; see :class:`MultiParticleResult`. `number` is 0 before the first.

    `reports` and `metrics` are of all iterations so far.
    """

    number: int
    series: list[Series]
    maps: list[SpeciesMaps]
    before: list[MeasuredMaps]
    reports: list[list[SeriesReport]]
    metrics: list[PopulationMetrics]


@dataclass(frozen=True)
class MultiParticleResult:
    """A finished refinement.

    Attributes
    ----------
    series : list of Series
        With refined geometry and particles.
    maps : list of SpeciesMaps
    before : list of MeasuredMaps
        The same from the geometry and poses as they were given.
    iteration : int
        Whose series and maps these are: the last one in which the half maps agree best, or as well but for half a
        percent; 0 for what was given, if none is better.
    reports : list of lists of SeriesReport
        Of every iteration, of every series.
    metrics : list of PopulationMetrics
    remarks : list of str
    """

    series: list[Series]
    maps: list[SpeciesMaps]
    before: list[MeasuredMaps]
    iteration: int
    reports: list[list[SeriesReport]]
    metrics: list[PopulationMetrics]
    remarks: list[str]


class MultiParticleRefinement:
    """Everything that stays the same from the first to the last iteration.

    Parameters
    ----------
    species : sequence of Species
    series : sequence of Series
        With particles of these species, in their order.
    options : MultiParticleOptions
    image_options : ParticleImageOptions, optional
        How images are read: contrast, first tilts, missing tilts.
    device : str
    map_reduce : MapReduce
        Where series are worked on.
    store : Store, optional
        Where refined series are kept.
    at_once : int
        Series that are worked on at the same time in this process; 1 leaves it to `map_reduce`.

    Raises
    ------
    EmtomoError
        If an option is outside its bounds, there is no species, no series, or a half of a species has no particle.
    """

    def __init__(
        self,
        species: Sequence[Species],
        series: Sequence[Series],
        options: MultiParticleOptions,
        image_options: ParticleImageOptions | None = None,
        device: str = "cpu",
        map_reduce: MapReduce = in_threads,
        store: Store | None = None,
        at_once: int = 1,
    ) -> None:
        self.at_once = at_once > 1
        self.species, self.given, self.options = list(species), list(series), check_options(options).resolve_preset()
        self.image_options = image_options or ParticleImageOptions()
        self.device, self.store = check_device(device), store
        self.map_reduce = partial(in_threads, at_once=at_once) if self.at_once else map_reduce
        if not self.species or not self.given:
            raise EmtomoError("Multi-particle refinement needs at least one species and one tilt series.")
        for k, one in enumerate(self.species):
            halves = np.concatenate([series.particles[k].half for series in self.given])
            for h in (1, 2):
                if not (halves == h).any():
                    raise EmtomoError(f"{one.name}: there is no particle of half {h} in the tilt series.")

    def run(
        self,
        on_progress: Callable[[float], None] = lambda share: None,
        on_iteration: Callable[[PopulationIteration], None] = lambda iteration: None,
    ) -> MultiParticleResult:
        """Reconstruct what was given, then refine and reconstruct in every iteration.

        Parameters
        ----------
        on_progress : callable
            Called with the share that is done, 0 to 1.
        on_iteration : callable
            Called with what was given, and after every iteration.
        """
        iterations = self.options.iterations
        began = time.monotonic()

        def progress(iteration: int) -> Callable[[int], None]:
            total, done, turn = STEPS * len(self.given), [0], threading.Lock()

            def add(more: int) -> None:
                with turn:
                    done[0] += more
                    on_progress((iteration + min(done[0] / total, 1.0)) / (iterations + 1))

            return add

        series = list(self.given)
        found = self._work(series, [None] * len(self.species), 0, progress(0))
        best = maps = self._maps(found)
        before = [one.measured for one in maps]
        metrics = self._metrics(0, maps, [], time.monotonic() - began)
        best_series, best_iteration, most = series, 0, _quality(maps)
        reports: list[list[SeriesReport]] = []
        on_iteration(PopulationIteration(0, series, maps, before, [], list(metrics)))
        remarks = self._describe_left_out(found)
        measured = [self._first_maps(k, one) for k, one in enumerate(before)]
        for iteration in range(1, iterations + 1):
            began = time.monotonic()
            references = [self._references(k, one, iteration) for k, one in enumerate(measured)]
            if not any(references):
                remarks.append("No species has half maps that agree in more than a few shells: nothing was refined.")
                break
            scaled, weighed = self._refines_magnifications(references), self.options.weights == SERIES_WEIGHTS
            found = self._work(series, references, iteration, progress(iteration), insert=not (scaled or weighed))
            series = [found.series.get(i, one) for i, one in enumerate(series)]
            reports.append([found.reports[i] for i in range(len(series))])
            if scaled:
                series = keep_mean_magnification(self.given, series)
            if weighed:
                series = self._weigh_series(series, reports[-1])
            if scaled or weighed:
                found = self._work(series, references, 0, lambda more: None)
            maps = self._maps(found)
            measured = [one.measured for one in maps]
            metrics += self._metrics(iteration, maps, reports[-1], time.monotonic() - began)
            on_iteration(PopulationIteration(iteration, series, maps, before, list(reports), list(metrics)))
            quality = _quality(maps)
            if quality >= most or (best_iteration and quality >= (1 - AS_GOOD) * most):
                best, best_series, best_iteration, most = maps, series, iteration, max(quality, most)
        if reports and best_iteration < len(reports):
            remarks.append(
                f"The half maps agree less after iteration {best_iteration}: geometry, poses and maps are its own."
                if best_iteration
                else "No iteration made the half maps agree better: geometry, poses and maps are those that were given."
            )
        return MultiParticleResult(best_series, best, before, best_iteration, reports, metrics, remarks)

    # --- parts of an iteration ---

    def _work(
        self, series: Sequence[Series], references: Sequence[References | None], iteration: int,
        on_progress: Callable[[int], None], *, insert: bool = True,
    ) -> PopulationSums:  # fmt: skip
        """Refine (where the iteration is not 0) and add up all series."""
        bare = [replace(one, halves={1: one.halves[1], 2: one.halves[2]}) for one in self.species]
        task = PopulationTask(
            series, bare, references, self.options, iteration, self.image_options, insert, self.device, self.store,
            self.at_once,
        )  # fmt: skip
        blocks = [SeriesBlock(np.array([i])) for i in range(len(series))]
        return self.map_reduce(work_on_series, task, [blocks], on_progress)[0]

    def _maps(self, found: PopulationSums) -> list[SpeciesMaps]:
        """Return the maps of all species from the sums over all series."""
        out = []
        for k, one in enumerate(self.species):
            sums = {}
            for h in (1, 2):
                partial = found.sums.get((k, h))
                if partial is None:
                    raise EmtomoError(
                        f"{one.name}: no particle of half {h} is shown whole by enough images: check that positions "
                        "and tilt series belong together, or allow more missing tilts."
                    )
                radius = one.size / 2
                sums[h] = Sums.of(one.size, radius, [nothing_inserted(one.size), partial]).complete(one.symmetry)
            measured = measure_maps(one, maps_of_sums(sums))
            out.append(SpeciesMaps(average_of_sums(sums, measured.curves), measured))
        return out

    def _first_maps(self, number: int, reconstructed: MeasuredMaps) -> MeasuredMaps:
        """Return the species' own half maps where they are better resolved than what its particles gave."""
        one = self.species[number]
        given = measure_maps(one, one.halves)
        return given if given.shell > reconstructed.shell + 1 else reconstructed

    def _references(self, number: int, maps: MeasuredMaps, iteration: int) -> References | None:
        last = max(self.options.iterations - 1, 1)
        share = self.options.first_iteration / 100
        share += (1 - share) * (iteration - 1) / last
        return make_references(self.species[number], maps, self._all_optics(), min(share, 1.0))

    def _refines_magnifications(self, references: Sequence[References | None]) -> bool:
        """Return whether several series have a magnification each."""
        best = min(one.resolution for one in references if one is not None)
        return self.options.magnification and len(self.given) > 1 and best <= self.options.optics_resolution

    def _all_optics(self) -> Ctf:
        """Return the CTF of all tilts of all series."""
        parts = [series.geometry.ctf for series in self.given]
        known = [ctf for ctf in parts if ctf is not None]
        if not known:
            raise EmtomoError("the tilt series have no defocus: estimate their CTF, or import it with its CTF files.")
        u, v = (
            np.concatenate([np.atleast_1d(getattr(ctf, name)) for ctf in known]) for name in ("defocus_u", "defocus_v")
        )
        cs, voltage = (float(np.mean([np.mean(getattr(ctf, name)) for ctf in known])) for name in ("cs", "voltage"))
        return Ctf(u, v, cs=cs, voltage=voltage)

    def _weigh_series(self, series: list[Series], reports: list[SeriesReport]) -> list[Series]:
        """Return the series with a scale and a B factor each, from how strong the first species is in them."""
        shown = [i for i, report in enumerate(reports) if report.amplitudes]
        if len(shown) < 2:
            return series
        shells = min(len(reports[i].amplitudes[0]) for i in shown)
        one = self.species[0]
        square = (np.arange(shells) / (one.size * one.pixel_size)) ** 2
        found = fit_series_weights(
            np.stack([reports[i].amplitudes[0][:shells] for i in shown]),
            np.stack([reports[i].precisions[0][:shells] for i in shown]),
            square,
        )
        out, finest = list(series), float(np.sqrt(square[-1]))
        for i, (scale, b_factor) in zip(shown, found, strict=True):
            geometry, *folds = (
                replace(each, scale=each.scale * scale, b_factor=equivalent_b_factors(each, finest) + b_factor)
                for each in (series[i].geometry, *series[i].fold_geometries)
            )
            out[i] = replace(series[i], geometry=geometry, fold_geometries=tuple(folds))
        return out

    def _metrics(
        self, iteration: int, maps: list[SpeciesMaps], reports: list[SeriesReport], seconds: float
    ) -> list[PopulationMetrics]:
        trials = [trial for report in reports for trial in report.trials]
        kept = [trial for trial in trials if trial.kept]
        score = sum(report.score for report in reports) if reports else np.nan
        return [
            PopulationMetrics(
                iteration, one.name, made.measured.resolution, made.measured.quality, score, len(kept), len(trials),
                sum(trial.gain for trial in kept), seconds,
            )
            for one, made in zip(self.species, maps, strict=True)
        ]  # fmt: skip

    def _describe_left_out(self, found: PopulationSums) -> list[str]:
        """Return a sentence about particles that too few images show whole."""
        parts = [
            f"{count} of {self.species[k].name} in {self.given[i].name}"
            for (i, k), count in sorted(found.left_out.items())
            if count
        ]
        allowed = self.image_options.missing_tilts
        return (
            [f"Not in the maps, since more than {allowed} images do not show them whole: {', '.join(parts)}."]
            if parts
            else []
        )


def _quality(maps: Sequence[SpeciesMaps]) -> float:
    return sum(one.measured.quality for one in maps)
