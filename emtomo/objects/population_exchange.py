"""Between populations and the files of M."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.convert import ConversionReport
from emtomo.io.m_population import MSource, MSpecies, hash_file, write_population, write_source, write_species
from emtomo.io.names import check_file_names
from emtomo.io.particles import ParticleList, VolumeGeometry, convert_frame
from emtomo.io.warp import write_tomostar, write_xml
from emtomo.io.warp_m import sample_columns, write_m
from emtomo.objects.particle_motions import motions_of
from emtomo.objects.population import Members, Population, Species
from emtomo.objects.rotation import positions_of, rotations_of
from emtomo.objects.tilt_exchange import tilts_of
from emtomo.objects.tilt_series import SetOfTiltSeries


def write_for_m(population: Population, target: Path) -> ConversionReport:
    """Write a population as M's files: ``target/name.population``, with sources and species in folders beside it.

    Tilt series are written as ``.tomostar`` and ``.xml``; maps and masks are copied. M finds the tilt images by the
    names in the ``.tomostar`` files.

    Raises
    ------
    EmtomoError
        If the folder is not empty, or a size is not known that M needs.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EmtomoError(f"{target} is there already: a population is written into a new or empty folder.")
    members = population.members()
    check_file_names([str(one.name.get()) for one in members.species], "the name of a species", target)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        sources = [_write_source(one, k, members, part) for k, one in enumerate(members.sources, 1)]
        hashes = {name.removesuffix(".tomostar"): key for one in sources for key, name in one.files.items()}
        versions = {one.guid: one.version for one in sources}
        species = [_write_species(one, members, hashes, versions, part) for one in members.species]
        write_population(part / f"{target.name}.population", species, sources)
        if target.exists():
            target.rmdir()
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    done = ConversionReport([f"Written: {population} as a population of M."])
    done.files = [target / f"{target.name}.population"]
    return done


def _write_source(series: SetOfTiltSeries, number: int, members: Members, folder: Path) -> MSource:
    """Write a set of tilt series as a data source; tilts that take no part are not used in it."""
    name = f"source_{number}"
    here = folder / "sources" / name
    here.mkdir(parents=True)
    files, sizes = {}, []
    for tomogram_id in series.tomogram_ids():
        z, y, x = series.shape(tomogram_id)
        sizes.append((x, y, z))
        tilts = tilts_of(series, tomogram_id)
        excluded = members.geometry(series, tomogram_id).excluded
        tilts = replace(tilts, table=tilts.table.assign(excluded=excluded.astype(int)))
        write_xml(here / f"{tomogram_id}.xml", tilts)
        # the list holds every image, so that it and the metadata have the same tilts
        write_tomostar(here / f"{tomogram_id}.tomostar", replace(tilts, table=tilts.table.assign(excluded=0)))
        files[hash_file(here / f"{tomogram_id}.tomostar")] = f"{tomogram_id}.tomostar"
    x, y, z = np.max(sizes, axis=0)
    source = MSource(
        here / f"{name}.source", name, float(series.pixel_size.get()), (int(x), int(y), int(z)), files,
        members.first_tilts or -1,
    )  # fmt: skip
    write_source(source)
    return source


def _write_species(
    species: Species, members: Members, hashes: dict[str, str], versions: dict[str, str], folder: Path
) -> MSpecies:
    """Write a species with its maps, mask and those particles whose tilt series are there."""
    name = str(species.name.get())
    made = MSpecies(
        Path(), name, float(species.pixel_size.get()), float(species.diameter.get()), str(species.symmetry.get()),
        float(species.resolution.get() or -1), versions,
    )  # fmt: skip
    here = folder / "species" / f"{name}_{made.guid[:8]}"
    here.mkdir(parents=True)
    made.path = here / f"{name}.species"
    for ending, file in (("half1", species.half1_file), ("half2", species.half2_file), ("mask", species.mask_file)):
        source = Path(str(file.get()))
        mrc.read_header(source)  # a project that somebody sent may name any file of this machine
        shutil.copyfile(source, made.beside(f"{ending}.mrc"))
    frame = species.particle_series().frame()
    frame = frame[frame["tomogram_id"].isin(hashes)].reset_index(drop=True)
    volumes = {
        tomogram: VolumeGeometry((shape[2], shape[1], shape[0]), float(source.pixel_size.get()))
        for source in members.sources
        for tomogram, shape in ((t, source.shape(t)) for t in source.tomogram_ids())
    }
    particles = ParticleList(
        frame["tomogram_id"].to_numpy(object), positions_of(frame), np.zeros((len(frame), 3)), rotations_of(frame),
        unit="angstrom", origin="centre", pixel_size=np.full(len(frame), made.pixel_size),
        columns={"half": frame["half"].to_numpy(int)},
    )  # fmt: skip
    particles = convert_frame(particles, "angstrom", "corner", volumes=volumes)
    particles.family = "m"
    particles.other = pd.DataFrame({"wrpSourceHash": frame["tomogram_id"].map(hashes)})
    if (motions := motions_of(frame)) is not None:
        assert particles.rotations is not None
        samples = sample_columns(*motions.poses(particles.rotations, particles.centres))
        particles.other = pd.concat([particles.other, samples], axis=1)
    write_m(made.beside("particles.star"), particles)
    write_species(made)
    return made
