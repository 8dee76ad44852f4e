"""Every block alone is recovered when only it is wrong; and the normal equations are those of finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.multiparticle.least_squares import PopulationImages, Problem, fit, normal_equations
from emtomo.compute.multiparticle.optics_parameters import Magnifications, OpticsOfTilts, add_astigmatism
from emtomo.compute.multiparticle.parameters import ImageShifts, ImageWarps, StageAngles, VolumeWarps
from emtomo.compute.multiparticle.pose_parameters import PoseParameters
from emtomo.compute.multiparticle.state import SeriesState
from tests.compute.multiparticle.data import IMAGE, VOLUME, simulate, tilt_geometry, true_state
from tests.compute.multiparticle.test_sweep import weighted

T = 15
WIDE = PoseParameters(np.deg2rad(5.0), 10.0)


def blocks():
    """Every kind of block, with the widths of wrong values to try."""
    return {
        "shift": (ImageShifts(T, 8.0), 4.0),
        "warp": (ImageWarps(T, (3, 2), IMAGE, 8.0, 5.0), 3.0),
        "stage": (StageAngles(T, np.deg2rad(0.5)), np.deg2rad(0.3)),
        "volume": (VolumeWarps((2, 2, 1, 3), VOLUME, (0.0, 28.0), 10.0), 5.0),
        "magnification": (Magnifications(0.03), 0.01),
        "defocus": (OpticsOfTilts(T, "defocus", 3000.0), 1000.0),
        "astigmatism": (OpticsOfTilts(T, "astigmatism", 2000.0), 700.0),
        "phase": (OpticsOfTilts(T, "phase", np.deg2rad(30)), np.deg2rad(10)),
        "cs": (OpticsOfTilts(T, "cs", 1500.0), 800.0),  # such coarse images hardly show it
    }


def series_of(simulation):
    images = simulation.images
    return PopulationImages([images], [weighted(images, simulation.truth.geometry, simulation.deviation)])


def problem_of(block, simulation, start, poses=None):
    prepared = replace(start, geometry=block.prepare(start.geometry))
    series = series_of(simulation)
    return Problem(series, prepared, [block], poses, series.used)


def everything_else(rng):
    """Return a geometry of the other hand that has stage angles, warps and a magnification already."""
    geometry = replace(tilt_geometry(T), hand=-1, stage=Rotation.from_rotvec(rng.normal(0, 0.02, (T, 3))).as_matrix())
    for block in (ImageWarps(T, (3, 2), IMAGE, 8.0, 5.0), VolumeWarps((2, 2, 1, 3), VOLUME, (0.0, 28.0), 10.0)):
        geometry = block.apply(block.prepare(geometry), rng.normal(0, 3, block.size))
    return replace(geometry, magnification=np.array([[1.01, 0.003], [-0.002, 0.99]]))


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("name", list(blocks()))
def test_normal_equations_are_finite_differences(name, bare):
    block, width = blocks()[name]
    rng = np.random.default_rng(5)
    start = true_state(5, geometry=None if bare else everything_else(rng))
    simulation = simulate(start, noise=0.3, radius=9.0)
    problem = problem_of(block, simulation, start)
    here = rng.normal(0, 0.3 * width, block.size)
    state = problem.state(here, np.zeros((5, 0)))
    found = normal_equations(problem, state, problem.evaluate(state)).shared_gradient
    for _ in range(3):
        direction = np.abs(rng.normal(0, 1, block.size)) * found  # along the gradient, more or less
        direction *= 0.02 * width / np.abs(direction).max()

        def score(h, direction=direction):
            moved = problem.state(here + h * direction, np.zeros((5, 0)))
            return problem.images.sweep(moved, problem.used, slopes=False).score.sum()

        assert_allclose(found @ direction, (score(1) - score(-1)) / 2, rtol=0.1, err_msg=name)


@pytest.mark.parametrize("name", list(blocks()))
def test_a_block_alone_is_recovered(name):
    block, width = blocks()[name]
    rng = np.random.default_rng(2)
    start = true_state(30)
    wrong = rng.normal(0, width, block.size)
    if name == "magnification":
        wrong = np.array([0.01, 0.004, -0.004, -0.012])
    truth = replace(start, geometry=block.apply(block.prepare(start.geometry), wrong))
    problem = problem_of(block, simulate(truth, start, noise=0.3), start)
    end = fit(problem)
    assert error(end.values, wrong) < 0.25 * error(np.zeros(block.size), wrong)
    # the geometry that comes out sees the particles where they are
    seen, true, before = (s.project()[..., :2] for s in (end.state, truth, start))
    assert np.linalg.norm(seen - true) < max(0.25 * np.linalg.norm(before - true), 1e-6)


def error(found, wrong):
    """Return the root mean square of what is wrong."""
    return float(np.sqrt(np.mean((found - wrong) ** 2)))


@pytest.mark.parametrize("knots", [1, 2])
def test_poses_alone_are_recovered(knots):
    rng = np.random.default_rng(3)
    truth = true_state(12, knots=knots)
    turns = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 1.5, (12, 3)))).as_matrix()[:, None]
    start = replace(
        truth, rotations=truth.rotations @ turns, positions=truth.positions + rng.normal(0, 3.5, (12, 1, 3))
    )
    if knots == 2:  # and they move while they are exposed
        truth = replace(truth, positions=truth.positions + rng.normal(0, 3, (12, 1, 3)) * [[[-0.5]], [[0.5]]][0])
    simulation = simulate(truth, start, noise=0.3)
    series = series_of(simulation)
    end = fit(Problem(series, start, [], PoseParameters(np.deg2rad(5), 10.0, 5.0), series.used))
    error = np.sqrt(((end.state.positions - truth.positions) ** 2).mean())
    assert error < 0.25 * np.sqrt(((start.positions - truth.positions) ** 2).mean())
    angle = Rotation.from_matrix(
        (np.swapaxes(end.state.rotations, 2, 3) @ truth.rotations).reshape(-1, 3, 3)
    ).magnitude()
    assert np.rad2deg(np.median(angle)) < 0.5


def test_all_together_are_recovered():
    """Stage, warps and poses at once: what particles and tilts share is distinguished."""
    rng = np.random.default_rng(4)
    start = true_state(30)
    stage, warp = StageAngles(T, np.deg2rad(0.3)), ImageWarps(T, (2, 2), IMAGE, 8.0, 5.0)
    geometry = warp.prepare(start.geometry)
    wrong = [rng.normal(0, np.deg2rad(0.15), stage.size), rng.normal(0, 2.5, warp.size)]
    moved = warp.apply(stage.apply(geometry, wrong[0]), wrong[1])
    truth = replace(start, geometry=replace(moved, shifts=moved.shifts + rng.normal(0, 5, (T, 2))))
    turns = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 1.5, (30, 1, 3))).reshape(-1, 3)).as_matrix()[:, None]
    begin = SeriesState(geometry, start.rotations @ turns, start.positions + rng.normal(0, 3.5, (30, 1, 3)))
    simulation = simulate(truth, begin, noise=3.0)
    series = series_of(simulation)
    end = fit(Problem(series, begin, [stage, warp], WIDE, series.used), sweeps=8)
    before, after = (
        np.sqrt(((s.project()[..., :2] - truth.project()[..., :2]) ** 2).sum(axis=2).mean()) for s in (begin, end.state)
    )
    assert after < 0.2 * before
    assert after < 1.6


@pytest.mark.parametrize("knots", [1, 2, 3])
def test_poses_normal_equations_are_finite_differences(knots):
    rng = np.random.default_rng(6)
    start = true_state(3, geometry=everything_else(rng), knots=knots)
    simulation = simulate(start, noise=0.3, radius=9.0)
    series = series_of(simulation)
    problem = Problem(series, start, [], WIDE, series.used)
    here = np.tile([0.02, 0.02, 0.02, 2.0, 2.0, 2.0], knots) * rng.normal(0, 0.3, (3, 6 * knots))
    state = problem.state(np.zeros(0), here)
    found = normal_equations(problem, state, problem.evaluate(state)).pose_gradient
    scale = np.tile([0.002, 0.002, 0.002, 0.1, 0.1, 0.1], knots)
    for _ in range(3):
        direction = scale * rng.normal(0, 1, (3, 6 * knots)) * np.abs(found * scale)
        direction *= 1 / np.abs(direction / scale).max()

        def score(h, direction=direction):
            moved = problem.state(np.zeros(0), here + h * direction)
            return series.sweep(moved, series.used, slopes=False).score.sum()

        assert_allclose((found * direction).sum(), (score(1) - score(-1)) / 2, rtol=0.1, atol=0.05)


def test_nothing_to_fit_or_no_sweeps_change_nothing():
    start = true_state(3)
    simulation = simulate(start)
    series = series_of(simulation)
    for blocks_, poses, sweeps in (([], None, 6), ([StageAngles(T, 0.01)], WIDE, 0)):
        end = fit(Problem(series, start, blocks_, poses, series.used), sweeps)
        assert end.state is start


def test_a_warp_on_another_grid_is_taken_at_the_new_nodes(rng):
    coarse = ImageWarps(T, (2, 2), IMAGE, 8.0, 5.0)
    geometry = coarse.apply(coarse.prepare(tilt_geometry(T)), rng.normal(0, 5, coarse.size))
    fine = ImageWarps(T, (3, 3), IMAGE, 8.0, 5.0).prepare(geometry)
    points = rng.uniform(-0.4, 0.4, (20, 3)) * VOLUME
    assert_allclose(fine.project(points), geometry.project(points), atol=1e-6)  # bilinear is a spline of any grid
    assert coarse.prepare(geometry) is geometry
    one = VolumeWarps((2, 2, 1, 2), VOLUME, (0.0, 28.0), 10.0)
    warped = one.apply(one.prepare(tilt_geometry(T)), rng.normal(0, 5, one.size))
    more = VolumeWarps((3, 2, 2, 3), VOLUME, (0.0, 28.0), 10.0).prepare(warped)
    assert_allclose(more.project(points), warped.project(points), atol=1e-6)


def test_astigmatism_adds_as_vectors():
    ctf = tilt_geometry(2).ctf
    once = add_astigmatism(ctf, np.array([[300.0, 0.0], [0.0, 200.0]]))
    assert_allclose([once.defocus_u, once.defocus_v, once.angle], [[20300, 20200], [19700, 19800], [0, 45]])
    back = add_astigmatism(once, np.array([[-300.0, 0.0], [0.0, -200.0]]))
    assert_allclose(back.defocus_u - back.defocus_v, 0, atol=1e-9)
