"""Protocol: tilt series, optics and poses of a population refined together."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pyworkflow.object import Object
from pyworkflow.protocol.params import Form

from emtomo.compute.device import check_device
from emtomo.compute.fourier.shell_correlation import resolution_text
from emtomo.compute.multiparticle.options import MultiParticleOptions
from emtomo.compute.multiparticle.refine import MultiParticleRefinement as Refinement
from emtomo.compute.multiparticle.refine import MultiParticleResult, PopulationIteration
from emtomo.compute.tilt.particle_images import ParticleImageOptions
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import FSC, Average, SetOfParticleSeries, SetOfTiltSeries
from emtomo.objects.array_store import ArrayStore
from emtomo.objects.population import Population, Species, write_members
from emtomo.objects.population_arrays import (
    PopulationArrays,
    motion_rows,
    movement_rows,
    read_population,
    tilt_rows,
    write_particles,
    write_tilt_series,
)
from emtomo.objects.trial_poses import TRIAL_POSES, read_trial_poses, write_trial_poses
from emtomo.objects.volume_arrays import write_curves
from emtomo.objects.whole_files import write_table
from emtomo.options import Param

MOST = 8  # outputs of one kind that have names


@dataclass(frozen=True, kw_only=True)
class PopulationImageOptions:
    """How images of particles are cut."""

    missing_tilts: Annotated[
        int,
        Param(
            "Missing tilts at most",
            "Particles that lie outside more images than this are left out of the maps and counted.",
            ge=0,
            expert=True,
        ),
    ] = 5
    invert: Annotated[
        bool, Param("Invert tilt images?", "Particles must be white; in tilt images they are dark.", expert=True)
    ] = True


def _name_of(name: str, k: int) -> str:
    """Return what the k-th output of a kind is called, from 0: name, name_2, ..."""
    return name if k == 0 else f"{name}_{k + 1}"


class MultiParticleRefinement(EmtomoProtocol):
    """Refine the geometry and optics of tilt series and the poses of all particles in them together.

    Every image of every particle is compared with a section of its own half's map. Image warps, stage angles, volume
    warps, magnification, optics and poses are solved for in one sparse least-squares problem. A group of parameters is
    kept only if particles that took no part in fitting it agree better afterwards, so that a series is never worse than
    it was. New maps and their resolution follow every iteration; the result is the best of them.
    """

    NAME = "multi-particle-refinement"
    _label = "multi-particle refinement"
    _possibleOutputs = {
        _name_of(name, k): kind
        for name, kind in (
            ("tilt_series", SetOfTiltSeries), ("particle_series", SetOfParticleSeries), ("average", Average),
            ("fsc", FSC),
        )
        for k in range(MOST)
    } | {"population": Population}  # fmt: skip
    OPTIONS = (MultiParticleOptions, PopulationImageOptions)
    PIECES = True
    KEEPS_PARTS = True
    STEPS_PER = "tilt series"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "population", "Population", "Population", "Tilt series and species (create-population).")
        add_device(form)

    def _check(self) -> list[str]:
        check_device(self.device.get())
        members = self.input_population.get().members()
        errors = []
        for what, found in (("species", members.species), ("sources", members.sources)):
            if len(found) > MOST:
                errors.append(f"A population may have at most {MOST} {what}, this one has {len(found)}.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.refine_step)

    def refine_step(self) -> None:
        """Refine all series in every iteration; keep every one; register."""
        self.forget_remarks()
        given = self.input_population.get()
        population = read_population(given.members())
        reading, options = self.options(PopulationImageOptions), self.options(MultiParticleOptions)
        left = Path(str(given.file.get())).with_name(TRIAL_POSES)
        refinement = Refinement(
            population.species,
            read_trial_poses(left, options, population.series),
            options,
            ParticleImageOptions(missing_tilts=reading.missing_tilts, invert=reading.invert),
            self.device.get(),
            self.map_reduce,
            ArrayStore(str(Path(self._getExtraPath("series")).absolute()), self._stamp()),
            1 if self._on_dask() else self.numberOfThreads.get(),
        )
        result = refinement.run(
            lambda share: self.progress(share, 1.0), lambda done: self._write_tables(population, done)
        )
        self._write_tables(population, result)
        self.remark(*result.remarks, *self._describe(population, result))
        self._output(population, result)

    # --- results ---

    def _output(self, population: PopulationArrays, result: MultiParticleResult) -> None:
        outputs: dict[str, Object] = {}
        sources, species = [], []
        for k in range(len(population.members.sources)):
            path = Path(self._getPath(f"{_name_of('tilt_series', k)}.sqlite"))
            sources.append(write_tilt_series(path, population, k, result.series))
            outputs[_name_of("tilt_series", k)] = sources[k]
        for k, one in enumerate(population.members.species):
            made, files = result.maps[k], self._write_maps(population, result, k)
            n, size = made.average.shape[0], population.species[k].pixel_size
            path = Path(self._getPath(f"{_name_of('particle_series', k)}.sqlite"))
            particles = write_particles(path, population, k, result.series)
            values: dict[str, Any] = {
                "file": files["average"], "half1_file": files["half1"], "half2_file": files["half2"],
                "pixel_size": size, "box_size": n, "symmetry": population.species[k].symmetry,
                "resolution": made.measured.resolution, "particles": len(population.frames[k]),
            }  # fmt: skip
            outputs |= {
                _name_of("particle_series", k): particles,
                _name_of("average", k): Average(**values),
                _name_of("fsc", k): FSC(file=files["fsc"], pixel_size=size, resolution=made.measured.resolution),
            }
            species.append(
                Species(
                    **values, name=one.name.get(), mask_file=one.mask_file.get(), diameter=one.diameter.get(),
                    particles_file=str(path),
                )
            )  # fmt: skip
        file = Path(self._getExtraPath("population.json"))
        write_trial_poses(file.with_name(TRIAL_POSES), self.options(MultiParticleOptions), result.series)
        write_members(file, sources, species)
        given = self.input_population.get().values()
        outputs["population"] = Population(**{**given, "file": str(file)})
        self._register(self.input_population, **outputs)

    def _write_maps(self, population: PopulationArrays, result: MultiParticleResult, k: int) -> dict[str, str]:
        """Write average and half maps of a species; return their files, and that of the FSC."""
        made, size = result.maps[k], population.species[k].pixel_size
        files = {name: self._getExtraPath(f"{_name_of(name, k)}.mrc") for name in ("average", "half1", "half2")}
        mrc.write_volume(files["average"], made.average, size)
        for h, volume in made.measured.halves.items():
            mrc.write_volume(files[f"half{h}"], volume, size)
        files["fsc"] = self._getExtraPath(f"{_name_of('fsc', k)}.csv")
        return files

    def _write_tables(self, population: PopulationArrays, done: PopulationIteration | MultiParticleResult) -> None:
        """Write what windows show of a refinement while it runs, and in the end of its best iteration."""
        self._write_csv("metrics.csv", [asdict(one) for one in done.metrics])
        self._write_csv("tilts.csv", tilt_rows(population.series, done.series))
        self._write_csv("movements.csv", movement_rows(population.series, done.series))
        names = [one.name for one in population.species]
        self._write_csv(
            "motion.csv", motion_rows(names, done.series), ["series", "species", "dose", "shift", "rotation"]
        )
        for k, (made, before) in enumerate(zip(done.maps, done.before, strict=True)):
            size = population.species[k].pixel_size
            for name, curves in (("fsc", made.measured.curves), ("fsc_before", before.curves)):
                file = self._getExtraPath(f"{_name_of(name, k)}.csv")
                write_curves(file, curves, made.average.shape[0], size)
        rows = [
            {"iteration": iteration, "series": one.name, **asdict(trial)}
            for iteration, reports in enumerate(done.reports, 1)
            for one, report in zip(done.series, reports, strict=True)
            for trial in report.trials
        ]
        columns = ["iteration", "series", "name", "kept", "gain", "held_out", "remark"]
        self._write_csv("trials.csv", rows, columns)

    def _write_csv(self, name: str, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
        write_table(Path(self._getExtraPath(name)), pd.DataFrame(rows, columns=columns), digits=6)

    def _describe(self, population: PopulationArrays, result: MultiParticleResult) -> list[str]:
        """Return sentences: resolution before and after, what was kept, what was not tried and why."""
        out = []
        for one, made, before in zip(population.species, result.maps, result.before, strict=True):
            texts = [resolution_text(m.resolution, one.pixel_size) for m in (before, made.measured)]
            out.append(f"{one.name}: resolution {texts[0]} before, {texts[1]} after (FSC 0.143, within the mask).")
        trials = [trial for reports in result.reports for report in reports for trial in report.trials]
        tried = [trial for trial in trials if trial.held_out]
        for name in dict.fromkeys(trial.name for trial in tried):
            mine = [trial for trial in tried if trial.name == name]
            kept = sum(trial.kept for trial in mine)
            out.append(f"{name.capitalize()} kept in {kept} of {len(mine)} trials.")
        remarks = dict.fromkeys(f"{trial.name.capitalize()}: {trial.remark}" for trial in trials if trial.remark)
        return out + list(remarks)[:10]

    # --- the state between series ---

    def _stamp(self) -> str:
        """Return what a kept series depends on, as text."""
        return str(sorted((k, str(v)) for k, v in self.fingerprint().items()))
