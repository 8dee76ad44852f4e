"""Tiny tilt series as images, simulated by the package's own generator, with wrong metadata."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from emtomo.compute.multiparticle.parameters import ImageWarps, StageAngles
from emtomo.compute.multiparticle.population import Series
from emtomo.compute.multiparticle.species import Species
from emtomo.compute.multiparticle.species_particles import SpeciesParticles
from emtomo.compute.rotations import random_rotations
from emtomo.synthetic.particle_imaging import Kind, Shells, image_particles
from tests.compute.multiparticle.data import IMAGE, VOLUME, molecule, tilt_geometry

PIXEL, BOX, DIAMETER = 8.0, 32, 160.0
SHAPE = (88, 100)  # rows, columns
NO_SHELLS = Shells(np.zeros((0, 3)), np.zeros(0))


class Images:
    """Called with the number of a tilt it returns the image; it may travel to other processes."""

    def __init__(self, stack):
        self.stack = stack

    def __call__(self, tilt):
        return self.stack[tilt]


def particles_of(count, seed):
    """Return positions far enough from the edges and from each other, and random rotations."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        point = rng.uniform(-0.5, 0.5, 3) * (np.array(VOLUME) - [200, 200, 40])
        if all(np.linalg.norm(point - other) > 110 for other in found):
            found.append(point)
    return np.array(found), random_rotations(count, seed)


def one_series(number, count=8, snr=0.3, tilts=11, wrong=True, density=None):
    """Return a series whose metadata and poses are wrong, and the same with true ones."""
    rng = np.random.default_rng(100 + number)
    given = replace(tilt_geometry(tilts, 10.0), image_size=(SHAPE[1] * PIXEL, SHAPE[0] * PIXEL))
    positions, rotations = particles_of(count, number)
    true, start_rotations, start = given, rotations, positions
    if wrong:
        stage, warp = StageAngles(tilts, 1.0), ImageWarps(tilts, (2, 2), IMAGE, 1.0, 1.0)
        true = stage.apply(given, rng.normal(0, np.deg2rad(0.15), stage.size))
        true = replace(true, shifts=true.shifts + rng.normal(0, 6, (tilts, 2)))
        true = warp.apply(warp.prepare(true), rng.normal(0, 2.0, warp.size))
        start_rotations = rotations @ Rotation.from_rotvec(np.deg2rad(rng.normal(0, 1.5, (count, 3)))).as_matrix()
        start = positions + rng.normal(0, 3.0, (count, 3))
    kind = Kind(molecule(BOX, pixel=PIXEL) if density is None else density, positions, rotations)
    stack = image_particles([kind], NO_SHELLS, true, SHAPE, snr=snr, seed=number)
    half = np.arange(count) % 2 + 1
    series = [
        Series(f"series {number + 1}", geometry, Images(stack), (SpeciesParticles(turns, places, half),))
        for geometry, turns, places in ((given, start_rotations, start), (true, rotations, positions))
    ]
    return series[0], series[1]


def species_of(halves=None, size=BOX):
    """Return the species of the molecule; without half maps of its own."""
    empty = np.zeros((size, size, size), np.float32)
    return Species("blobs", halves or {1: empty, 2: empty}, PIXEL, DIAMETER)


def in_image_error(series, truth):
    """Return the root mean square distance in Å of particles from where they are, over all images."""
    total, count = 0.0, 0
    for one, true in zip(series, truth, strict=True):
        seen, right = (s.geometry.project(s.particles[0].positions)[..., :2] for s in (one, true))
        total += ((seen - right) ** 2).sum()
        count += seen[..., 0].size
    return float(np.sqrt(total / count))
