"""Species and populations: what multi-particle refinement refines together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.particle_images import choose_tilts
from emtomo.engine.fields import Field
from emtomo.engine.state import write_json
from emtomo.errors import EmtomoError
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.stored import read_stored, reading_stored
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.objects.volume import Average, Result
from emtomo.wording import count_text

_NEEDED = ("name", "file", "half1_file", "half2_file", "mask_file", "particles_file")  # of every species


class Species(Average):
    """One kind of particle: its average with half maps, its mask, and the poses of its particles."""

    FIELDS: tuple[Field, ...] = (
        Field("name", str, "by which outputs and files are called"),
        *Average.FIELDS,
        Field("mask_file", str, "MRC file with values from 0 to 1, of the map's box"),
        Field("diameter", float, "of the particle", "Å"),
        Field("particles_file", str, "table of its particle series: poses and halves"),
    )

    def header_files(self) -> list[str]:
        """Return the files whose headers should say the pixel size of this."""
        return [self.file.get() or "", self.mask_file.get() or ""]

    def particle_series(self) -> SetOfParticleSeries:
        """Return the particles: centres (x, y, z), rotations and halves, in tilt series by their names."""
        return SetOfParticleSeries.open(self.particles_file.get())


class Population(Result):
    """Tilt series and the species in them.

    Its file lists the sets of tilt series (sources) and the species; see :meth:`members`.
    """

    FIELDS = (
        Field("file", str, "JSON file of sources and species"),
        Field("sources", int, "sets of tilt series"),
        Field("tilt_series", int, "tilt series in them"),
        Field("species", int, "kinds of particles"),
        Field("particles", int, "of all species, in these tilt series"),
        Field("first_tilts", int, "so many tilts of every series take part, those with the least dose; 0: all", "", 0),
        Field("include_excluded", bool, "excluded tilts take part all the same", "", False),
    )

    def __str__(self) -> str:
        tilts = f", first {count_text(self.first_tilts.get(), 'tilt')}" if self.first_tilts.get() else ""
        return (
            f"{count_text(self.species.get(), 'species')}, {count_text(self.particles.get(), 'particle')} in "
            f"{count_text(self.tilt_series.get(), 'tilt series')}{tilts}"
        )

    def header_files(self) -> list[str]:
        """Return nothing: sources and species have the files."""
        return []

    def parts(self) -> list[Any]:
        """Return sources and species; none where the file is not whole."""
        try:
            members = self.members()
        except EmtomoError:
            return []
        return [*members.sources, *members.species]

    def members(self) -> "Members":
        """Return the sources and the species.

        Raises
        ------
        EmtomoError
            If the file is not whole.
        """
        path = Path(str(self.file.get()))
        found = read_stored(path)
        _check_listed(path, found)
        with reading_stored(f"{path}: the list of the population"):
            sources = [SetOfTiltSeries.open(str(name)) for name in found["sources"]]
            species = [Species(**values) for values in found["species"]]
        return Members(sources, species, int(self.first_tilts.get() or 0), bool(self.include_excluded.get()))


@dataclass(frozen=True)
class Members:
    """What belongs to a population.

    Attributes
    ----------
    sources : list of SetOfTiltSeries
    species : list of Species
    first_tilts : int
    include_excluded : bool
    """

    sources: list[SetOfTiltSeries]
    species: list[Species]
    first_tilts: int = 0
    include_excluded: bool = False

    def geometry(self, source: SetOfTiltSeries, name: str) -> TiltGeometry:
        """Return the geometry of a series; tilts that take no part are excluded in it.

        Raises
        ------
        EmtomoError
            If no tilt takes part.
        """
        whole = source.geometry(name)
        if self.include_excluded:
            whole = replace(whole, excluded=np.zeros(len(whole), bool))
        try:
            chosen = choose_tilts(whole, self.first_tilts)
        except EmtomoError as error:
            raise EmtomoError(f"{name}: {error}") from None
        excluded = np.ones(len(whole), bool)
        excluded[chosen] = False
        return replace(whole, excluded=excluded)

    def counts(self) -> dict[str, list[int]]:
        """Return for every tilt series the number of particles of every species."""
        names = [name for source in self.sources for name in source.tomogram_ids()]
        found = [one.particle_series().frame(["tomogram_id"])["tomogram_id"].value_counts() for one in self.species]
        return {name: [int(numbers.get(name, 0)) for numbers in found] for name in names}


def _check_listed(path: Path, found: dict[str, Any]) -> None:
    """Refuse a list of members in which something is missing that every population has."""

    def refuse(missing: str) -> NoReturn:
        """Say what the file has not."""
        raise EmtomoError(
            f"{path}: the list of a population must name its sources and species, and has {missing}; run what made it "
            "again."
        )

    for name in ("sources", "species"):
        if not isinstance(found.get(name), list) or not found[name]:
            refuse(f"no {name}")
    for k, values in enumerate(found["species"], 1):
        missing = [name for name in _NEEDED if not isinstance(values, dict) or not values.get(name)]
        if missing:
            refuse(f"no {', '.join(missing)} for species {k}")


def write_members(path: Path, sources: Sequence[SetOfTiltSeries], species: Sequence[Species]) -> None:
    """Write the file of a population."""
    listed: dict[str, Any] = {
        "sources": [str(source.getFileName()) for source in sources],
        "species": [one.values() for one in species],
    }
    write_json(path, listed)
