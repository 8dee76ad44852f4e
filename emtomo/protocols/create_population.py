"""Protocol: tilt series and species that are refined together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pyworkflow.protocol.params import Form

from emtomo.compute.tilt.particle_images import ParticleImageOptions, check_series
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.objects.population import Members, Population, Species, write_members
from emtomo.options import Param
from emtomo.wording import count_text, list_text


@dataclass(frozen=True, kw_only=True)
class PopulationOptions:
    """Which tilts take part."""

    first_tilts: Annotated[
        int, Param("First tilts only", "The tilts with the least dose of every series; 0: all.", ge=0)
    ] = 0
    include_excluded: Annotated[
        bool, Param("Include excluded tilts", "Tilts that were excluded take part all the same.")
    ] = False


class CreatePopulation(EmtomoProtocol):
    """Choose which tilt series (sources) and species multi-particle refinement refines together.

    Every particle of a species belongs to the tilt series of its name. What fits nowhere is listed.
    """

    NAME = "create-population"
    _label = "create population"
    _possibleOutputs = {"population": Population}
    OPTIONS = (PopulationOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form, "tilt_series", "SetOfTiltSeries", "Sources", "Sets of aligned tilt series with CTF.", many=True
        )
        self._add_input(form, "species", "Species", "Species", "One or more kinds of particles.", many=True)

    def _check(self) -> list[str]:
        members = self._members()
        return _problems(members)

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.create_step)

    def create_step(self) -> None:
        """Write the list of members, say what does not fit, register."""
        self.forget_remarks()
        members = self._members()
        counts = members.counts()
        idle = [name for name, numbers in counts.items() if not sum(numbers)]
        if idle:
            self.remark(f"No particles in {', '.join(idle)}.")
        used = 0
        for k, species in enumerate(members.species):
            mine = sum(numbers[k] for numbers in counts.values())
            names = species.particle_series().tomogram_ids()
            away = [name for name in names if name not in counts]
            if away:
                total = int(species.particles.get())
                self.remark(
                    f"{species.name.get()}: no tilt series for {total - mine} "
                    f"of {count_text(total, 'particle')} ({', '.join(away)})."
                )
            used += mine
        path = Path(self._getExtraPath("population.json"))
        write_members(path, members.sources, members.species)
        population = Population(
            file=str(path),
            sources=len(members.sources),
            tilt_series=len(counts) - len(idle),
            species=len(members.species),
            particles=used,
            first_tilts=members.first_tilts,
            include_excluded=members.include_excluded,
        )
        self._register(self.input_tilt_series, population=population)

    # --- helpers ---

    def _members(self) -> Members:
        options = self.options(PopulationOptions)
        sources = [pointer.get() for pointer in self.input_tilt_series]
        species: list[Species] = [pointer.get() for pointer in self.input_species]
        return Members(sources, species, options.first_tilts, options.include_excluded)


def _problems(members: Members) -> list[str]:
    """Return in sentences what cannot be refined."""
    errors = []
    names = [name for source in members.sources for name in source.tomogram_ids()]
    for what, listed in (("tilt series", names), ("species", [str(one.name.get()) for one in members.species])):
        twice = next((name for k, name in enumerate(listed) if name in listed[:k]), None)
        if twice is not None:
            errors.append(f"Two {what} are called {twice}: each needs a name of its own.")
    if errors:
        return errors
    counts = members.counts()
    for k, species in enumerate(members.species):
        if not sum(numbers[k] for numbers in counts.values()):
            errors.append(
                f"No particle of {species.name.get()} lies in these tilt series: its particles are of "
                f"{list_text(species.particle_series().tomogram_ids(), 'none')}, the series are "
                f"{list_text(names, 'none')}."
            )
    for source in members.sources:
        for name in source.tomogram_ids():
            if not sum(counts[name]):
                continue
            try:
                geometry = members.geometry(source, name)
                for species in members.species:
                    check_series(geometry, _cutting(species))
            except EmtomoError as error:
                text = str(error)
                errors.append(text if text.startswith(f"{name}:") else f"{name}: {text}")
    return errors


def _cutting(species: Species) -> ParticleImageOptions:
    return ParticleImageOptions(
        pixel_size=float(species.pixel_size.get()),
        box_size=int(species.box_size.get()),
        diameter=float(species.diameter.get()),
    )
