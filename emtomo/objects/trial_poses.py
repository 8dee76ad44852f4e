"""Poses that a refinement leaves to the next one, beside its population: those that new poses are compared with."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from emtomo.compute.multiparticle.options import MultiParticleOptions
from emtomo.compute.multiparticle.population import Series
from emtomo.compute.multiparticle.species_particles import SpeciesParticles
from emtomo.objects.stored import reading_stored
from emtomo.objects.whole_files import write_arrays

TRIAL_POSES = "trial_poses.npz"


def write_trial_poses(path: Path, options: MultiParticleOptions, series: Sequence[Series]) -> None:
    """Write the poses in which the images held out of trials had no part, and what says which images those are."""
    arrays = {"held_out": _held_out(options), "names": np.array([one.name for one in series])}
    for i, one in enumerate(series):
        for k, particles in enumerate(one.particles):
            if particles.trial_poses is not None:
                arrays[f"rotations_{i}_{k}"], arrays[f"positions_{i}_{k}"] = particles.trial_poses
    write_arrays(path, arrays)


def read_trial_poses(path: Path, options: MultiParticleOptions, series: Sequence[Series]) -> list[Series]:
    """Return series with the poses that an earlier refinement left.

    Nothing is taken where that one held out other images (another seed or share), or where there is no file: the
    population comes from create-population or from an older version.

    Raises
    ------
    EmtomoError
        If the file is damaged.
    """
    if not path.is_file():
        return list(series)
    with reading_stored(path), _arrays_of(path) as data:
        same = np.array_equal(data["held_out"], _held_out(options))
        if not same or list(data["names"]) != [one.name for one in series]:
            return list(series)
        return [
            replace(one, particles=tuple(_with_poses(part, data, f"{i}_{k}") for k, part in enumerate(one.particles)))
            for i, one in enumerate(series)
        ]


@contextmanager
def _arrays_of(path: Path) -> Iterator[NpzFile]:
    try:
        with np.load(path, allow_pickle=False) as data:
            yield data
    except (BadZipFile, OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None


def _held_out(options: MultiParticleOptions) -> np.ndarray:
    return np.array([options.seed, options.held_out], float)


def _with_poses(particles: SpeciesParticles, data: NpzFile, number: str) -> SpeciesParticles:
    if f"rotations_{number}" not in data:
        return particles
    rotations, positions = data[f"rotations_{number}"], data[f"positions_{number}"]
    if rotations.shape != (len(particles), 3, 3) or positions.shape != (len(particles), 3):
        raise ValueError(f"poses of {len(rotations)} particles, and the series has {len(particles)}")
    if not (np.isfinite(rotations).all() and np.isfinite(positions).all()):
        raise ValueError("not all poses are finite")
    return replace(particles, trial_poses=(rotations, positions))
