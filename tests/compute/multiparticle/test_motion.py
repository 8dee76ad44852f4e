"""Particles that move over the dose: found where they do, refused where they do not; maps follow them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ImageParticles
from emtomo.compute.multiparticle.options import OWN, MultiParticleOptions
from emtomo.compute.multiparticle.series import SeriesRefinement
from emtomo.compute.multiparticle.species_particles import CutViews, pack_particles, unpack_particles
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series
from emtomo.compute.tilt.particle_motion import ParticleMotions
from tests.compute.multiparticle.data import simulate, true_state
from tests.compute.multiparticle.series_data import BOX, DIAMETER, PIXEL, one_series

MOVING = MultiParticleOptions(preset=OWN, image_warp="", stage_angles=False, pose_doses=3, motion_prior=4.0)


def moving_state(knots=3, size=4.0, seed=3, particles=12):
    """Return particles that move from the first dose on, and the same without movement."""
    rng, still = np.random.default_rng(seed), true_state(particles, seed, knots=knots)
    steps = np.cumsum(rng.normal(0, size, (particles, knots, 3)), axis=1)
    turns = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 0.3 * size, (particles * knots, 3)))).as_matrix()
    turns = turns.reshape(particles, knots, 3, 3)
    turns[:, 0] = np.eye(3)
    return replace(still, positions=still.positions + steps, rotations=still.rotations @ turns), still


@pytest.mark.parametrize("moves", [True, False])
def test_movement_is_found_where_particles_move(moves):
    truth, still = moving_state(size=4.0 if moves else 0.0, particles=30)
    simulation = simulate(truth, still, noise=1.0)
    result = SeriesRefinement([simulation.images], still, MOVING).run()
    kept = {trial.name: trial.kept for trial in result.trials}
    assert kept["movement of particles"] == moves
    error = [np.sqrt(((s.project() - truth.project())[..., :2] ** 2).mean()) for s in (still, result.state)]
    assert error[1] < 0.4 * error[0] if moves else error[1] < 0.3


def test_movements_are_those_of_the_state():
    truth, _ = moving_state()
    geometry = truth.geometry
    motions = ParticleMotions.between(truth.rotations, truth.positions)
    seen, turned = truth.project()[..., :2], truth.image_rotations()
    first = SeriesState(geometry, truth.rotations[:, :1], truth.positions[:, :1])
    for i in (0, 7):
        moved, turns = motions.in_images(i, truth.rotations[i, 0], truth.positions[i, 0], geometry)
        assert_allclose(first.project()[i, :, :2] + moved, seen[i], atol=1e-6)
        expected = geometry.orientations @ turns @ truth.rotations[i, 0]
        assert_allclose(expected, turned[i], atol=1e-6)
    again = motions.poses(truth.rotations[:, 0], truth.positions[:, 0])
    assert_allclose(again[0], truth.rotations, atol=1e-9)
    assert_allclose(again[1], truth.positions, atol=1e-9)
    assert ParticleMotions.between(truth.rotations[:, :1], truth.positions[:, :1]) is None
    assert_allclose(motions.resample(5).resample(3).shifts, motions.shifts, atol=1e-9)


def test_maps_are_made_where_particles_are():
    """All move alike, which is the same as tilts that are shifted."""
    given = one_series(0, wrong=False)[0]
    particles, geometry = given.particles[0], given.geometry
    count, step = len(particles), np.array([12.0, -7.0, 5.0])
    motion = ParticleMotions(np.zeros((count, 2, 3)), np.tile(np.stack([0 * step, step]), (count, 1, 1)))
    share = (geometry.dose - geometry.dose.min()) / np.ptp(geometry.dose)
    shifted = replace(geometry, shifts=geometry.shifts + (share[:, None] * (geometry.rotations @ step))[:, :2])
    options = ParticleImageOptions(pixel_size=PIXEL, box_size=BOX, diameter=DIAMETER, premultiply=True)
    maps = []
    for seen, part in ((geometry, replace(particles, motion=motion)), (shifted, particles)):
        views = CutViews(prepare_series(given.images, seen, options), part)
        counts = [len(views(i).images) for i in range(count)]
        source = ImageParticles(BOX, PIXEL, counts, views, "ctf_squared", True)
        poses = Poses(part.rotations, np.zeros((count, 3)), part.half)
        maps.append(reconstruct(source, poses).average)
    assert_allclose(*maps, atol=2e-3 * np.abs(maps[1]).max())


def test_movements_travel_as_arrays():
    truth, _ = moving_state()
    motions = ParticleMotions.between(truth.rotations, truth.positions)
    part = replace(one_series(0, count=12, wrong=False)[0].particles[0], motion=motions)
    assert_allclose(unpack_particles(pack_particles(part, 1), 1).motion.shifts, motions.shifts)
    assert unpack_particles(pack_particles(replace(part, motion=None), 0), 0).motion is None
