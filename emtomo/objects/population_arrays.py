"""Populations as multi-particle refinement takes them, and back: sets of tilt series and of particles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.multiparticle import species as arrays
from emtomo.compute.multiparticle.geometry_update import movements
from emtomo.compute.multiparticle.population import Series
from emtomo.compute.multiparticle.species_particles import SpeciesParticles
from emtomo.compute.optics.dose import WARP_B_FACTOR_PER_DOSE
from emtomo.compute.positions import check_finite
from emtomo.compute.rotations import angle_between
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects.particle_motions import motion_texts, motions_of
from emtomo.objects.particle_poses import shifts_of
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.population import Members, Species
from emtomo.objects.rotation import positions_of, rotation_columns, rotations_of
from emtomo.objects.series_warps import read_microscope, read_warps, warps_json
from emtomo.objects.tilt_images import TiltImages
from emtomo.objects.tilt_series import SetOfTiltSeries, image_columns


@dataclass(frozen=True)
class PopulationArrays:
    """A population as arrays, and where they came from.

    Attributes
    ----------
    members : Members
    species : list of compute's Species
    series : list of Series
        Those with particles.
    frames : list of DataFrame
        Of every species: the particles that lie in these series.
    rows : list of lists of int arrays
        Of every series and species: places in the frames.
    sources : list of int
        Of every series: number of its set.
    """

    members: Members
    species: list[arrays.Species]
    series: list[Series]
    frames: list[pd.DataFrame]
    rows: list[list[np.ndarray]]
    sources: list[int]


def read_species(one: Species) -> arrays.Species:
    """Return a species with its maps.

    Raises
    ------
    EmtomoError
        If a map is missing or has another size.
    """
    halves = {}
    for h in (1, 2):
        file = getattr(one, f"half{h}_file").get()
        if not file:
            raise EmtomoError(f"{one.name.get()}: the species has no half map {h}; run create-species again.")
        halves[h] = np.asarray(mrc.read_volume(file), np.float32)
    mask = one.mask_file.get()
    return arrays.Species(
        str(one.name.get()), halves, float(one.pixel_size.get()), float(one.diameter.get()),
        str(one.symmetry.get() or "C1"), np.asarray(mrc.read_volume(mask), np.float32) if mask else None,
    )  # fmt: skip


def read_population(members: Members) -> PopulationArrays:
    """Return the arrays of a population; particles outside all of its tilt series are left out."""
    names = [(k, str(name)) for k, source in enumerate(members.sources) for name in source.tomogram_ids()]
    frames = []
    for one in members.species:
        frame = one.particle_series().frame()
        frame = frame[frame["tomogram_id"].isin({name for _, name in names})].reset_index(drop=True)
        check_finite(positions_of(frame) + shifts_of(frame), f"{one.name.get()}: the position of particle")
        frames.append(frame)
    series, rows, sources = [], [], []
    for k, name in names:
        mine = [np.flatnonzero(frame["tomogram_id"].to_numpy() == name) for frame in frames]
        if not any(len(part) for part in mine):
            continue
        source = members.sources[k]
        images = TiltImages(source.images(name), folder=Path.cwd())
        particles = tuple(_particles(frame.iloc[part]) for frame, part in zip(frames, mine, strict=True))
        series.append(Series(name, members.geometry(source, name), images, particles))
        rows.append(mine)
        sources.append(k)
    return PopulationArrays(members, [read_species(one) for one in members.species], series, frames, rows, sources)


def _particles(frame: pd.DataFrame) -> SpeciesParticles:
    points, half = positions_of(frame) + shifts_of(frame), frame["half"].to_numpy(int)
    return SpeciesParticles(rotations_of(frame), points, half, motion=motions_of(frame))


def make_refined_frame(population: PopulationArrays, species: int, series: Sequence[Series]) -> pd.DataFrame:
    """Return the rows of a species' particles as they are in refined series."""
    frame = population.frames[species].copy()
    positions, rotations = positions_of(frame) + shifts_of(frame), rotations_of(frame)
    score, motion = frame["score"].to_numpy(float).copy(), np.full(len(frame), None, object)
    for one, rows in zip(series, population.rows, strict=True):
        part, mine = one.particles[species], rows[species]
        positions[mine], rotations[mine] = part.positions, part.rotations
        motion[mine] = motion_texts(part.motion, len(part))
        if part.score.any():
            score[mine] = part.score
    columns = {axis: positions[:, k] for k, axis in enumerate("xyz")}
    columns |= {f"shift_{axis}": np.zeros(len(frame)) for axis in "xyz"} | rotation_columns(rotations, len(frame))
    return frame.assign(**columns, score=score, motion=motion)


def write_particles(
    path: Path, population: PopulationArrays, species: int, series: Sequence[Series]
) -> SetOfParticleSeries:
    """Write the refined particles of a species as a set."""
    given = population.members.species[species].particle_series()
    out = SetOfParticleSeries.create(path)
    out.copy_fields(given)
    out.extend(make_refined_frame(population, species, series))
    return out


def write_tilt_series(
    path: Path, population: PopulationArrays, source: int, series: Sequence[Series]
) -> SetOfTiltSeries:
    """Write a source with the refined geometry of its series; series without particles stay as they are."""
    given = population.members.sources[source]
    out = SetOfTiltSeries.create(path)
    out.copy_fields(given)
    frame = given.frame()
    refined = {one.name: one.geometry for one, k in zip(series, population.sources, strict=True) if k == source}
    tables, cells = [], []
    for name, cell in zip(frame["tomogram_id"], frame["warps"], strict=True):
        table = given.images(name)
        if name in refined:
            table = table.assign(**{str(c): v for c, v in image_columns(refined[name]).items()})
            cell = make_refined_cell(cell, refined[name], float(given.cs.get()))
        tables.append(table.assign(tomogram_id=name))
        cells.append(cell)
    out.extend(frame.assign(warps=cells, tilts=None), images=pd.concat(tables, ignore_index=True))
    return out


def make_refined_cell(cell: str | None, geometry: TiltGeometry, set_cs: float) -> str | None:
    """Return the ``warps`` cell of a refined series; `cell` is the one that it had."""
    *_, rotations = read_warps(cell, geometry.image_size)
    _, old_cs = read_microscope(cell)
    cs = float(np.mean(geometry.ctf.cs)) if geometry.ctf is not None else set_cs
    own = old_cs is not None or abs(cs - set_cs) > 1e-9
    return warps_json(
        geometry.image_warp, geometry.volume_warp, None if rotations is None else geometry.rotations,
        magnification=geometry.magnification, cs=cs if own else None,
    )  # fmt: skip


def tilt_rows(before: Sequence[Series], after: Sequence[Series]) -> list[dict[str, object]]:
    """Return for every tilt what a refinement changed about it: defocus, rotation and shift, scale and B factor."""
    rows: list[dict[str, object]] = []
    for old, new in zip(before, after, strict=True):
        a, b = old.geometry, new.geometry
        angles = tilt_angles(b.rotations)[:, 1]
        turns = angle_between(a.orientations, b.orientations).round(4)  # the arc cosine of nearly 1 is not finer
        shifts = np.linalg.norm(b.project(np.zeros((1, 3)))[:, 0, :2] - a.project(np.zeros((1, 3)))[:, 0, :2], axis=1)
        defocus = [np.full(len(a), np.nan) if g.ctf is None else np.broadcast_to(g.ctf.defocus, len(a)) for g in (a, b)]
        b_factor = WARP_B_FACTOR_PER_DOSE * b.dose if b.b_factor is None else b.b_factor
        rows += [
            {
                "series": new.name, "tilt": t + 1, "angle": angles[t], "dose": b.dose[t],
                "defocus_before": defocus[0][t], "defocus": defocus[1][t], "turn": turns[t], "shift": shifts[t],
                "scale": b.scale[t], "bfactor": b_factor[t],
            }
            for t in range(len(b))
        ]  # fmt: skip
    return rows


def movement_rows(before: Sequence[Series], after: Sequence[Series]) -> list[dict[str, object]]:
    """Return how points of a grid moved in every tilt image, in Å."""
    rows: list[dict[str, object]] = []
    for old, new in zip(before, after, strict=True):
        seen, moved = movements(old.geometry, new.geometry)
        rows += [
            {"series": new.name, "tilt": t + 1, "x": x, "y": y, "dx": dx, "dy": dy}
            for t in range(len(seen))
            for (x, y), (dx, dy) in zip(seen[t], moved[t], strict=True)
        ]
    return rows


def motion_rows(species: Sequence[str], series: Sequence[Series]) -> list[dict[str, object]]:
    """Return how far particles have moved (Å) and rotated (degrees) since the first dose: root mean squares."""
    rows: list[dict[str, object]] = []
    for one in series:
        dose = one.geometry.dose[~one.geometry.excluded]
        for name, particles in zip(species, one.particles, strict=True):
            motion = particles.motion
            if motion is None:
                continue
            moved, turned = (np.sqrt((a**2).sum(axis=2).mean(axis=0)) for a in (motion.shifts, motion.rotations))
            doses = np.linspace(dose.min(), dose.max(), motion.knots)
            rows += [
                {"series": one.name, "species": name, "dose": d, "shift": m, "rotation": np.rad2deg(t)}
                for d, m, t in zip(doses, moved, turned, strict=True)
            ]
    return rows
