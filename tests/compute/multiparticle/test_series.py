"""A series is never worse than its input: what is true is kept, what is noise is not."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from emtomo.compute.multiparticle import series
from emtomo.compute.multiparticle.blocks import cap_grid, choose_blocks
from emtomo.compute.multiparticle.calibration import (
    calibrate,
    equivalent_b_factors,
    fit_series_weights,
    fit_tilt_weights,
)
from emtomo.compute.multiparticle.folds import hold_out
from emtomo.compute.multiparticle.least_squares import PopulationImages, Problem, fit, put_poses_back
from emtomo.compute.multiparticle.optics_parameters import OpticsOfTilts
from emtomo.compute.multiparticle.options import MOST, OWN, SPATIAL, TILT_WEIGHTS, MultiParticleOptions, parse_grid
from emtomo.compute.multiparticle.parameters import ImageWarps, StageAngles
from emtomo.compute.multiparticle.series import SeriesRefinement
from emtomo.compute.multiparticle.species import shell_beyond_gaps
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.compute.multiparticle.sweep import correlate
from emtomo.errors import EmtomoError
from emtomo.options import check_options, problems
from tests.compute.multiparticle.data import IMAGE, molecule, simulate, tilt_geometry, true_state

T = 15
ALL = MultiParticleOptions(
    preset=OWN, image_warp="2 x 2", volume_warp="1 x 1 x 1 x 3", stage_angles=True, magnification=True, defocus=True,
    astigmatism=True, cs=True, weights=TILT_WEIGHTS, optics_resolution=40.0, held_out=25.0,
)  # fmt: skip
SPATIAL_ONLY = MultiParticleOptions(preset=OWN, image_warp="2 x 2", held_out=25.0)


def wrong_series(seed=4, particles=40, noise=4.0, defocus=0.0):
    """Return a simulation whose stage, shifts, warps and poses are wrong, and the state to begin with."""
    rng = np.random.default_rng(seed)
    ideal = true_state(particles, seed)
    stage, warp = StageAngles(T, 1.0), ImageWarps(T, (2, 2), IMAGE, 1.0, 1.0)
    moved = stage.apply(warp.prepare(ideal.geometry), rng.normal(0, np.deg2rad(0.15), stage.size))
    moved = warp.apply(moved, rng.normal(0, 2.5, warp.size))
    ctf = moved.ctf.with_defocus_added(rng.normal(0, defocus, T))
    truth = replace(ideal, geometry=replace(moved, shifts=moved.shifts + rng.normal(0, 5, (T, 2)), ctf=ctf))
    turns = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 1.5, (particles, 3)))).as_matrix()[:, None]
    start = SeriesState(
        ideal.geometry, ideal.rotations @ turns, ideal.positions + rng.normal(0, 3.5, (particles, 1, 3))
    )
    return simulate(truth, start, noise=noise, seed=seed), start


def in_image(state, truth):
    """Return the root mean square distance in Å of particles from where they are in the images."""
    return float(np.sqrt(((state.project()[..., :2] - truth.project()[..., :2]) ** 2).sum(axis=2).mean()))


def test_true_errors_are_found_and_kept():
    simulation, start = wrong_series()
    result = SeriesRefinement([simulation.images], start, SPATIAL_ONLY).run()
    kept = {trial.name: trial.kept for trial in result.trials}
    assert kept["image warp"]
    assert in_image(result.state, simulation.truth) < 0.25 * in_image(start, simulation.truth)
    assert result.score.sum() > result.score_before


def test_few_particles_keep_poses_that_noise_alone_would_move():
    """Tilts are found; the poses, which are right, stay although fitting them would raise the score of these images."""
    truth = true_state(10)
    shifts = np.random.default_rng(2).normal(0, 8, (T, 2))
    start = replace(truth, geometry=replace(truth.geometry, shifts=truth.geometry.shifts + shifts))
    options = MultiParticleOptions(preset=OWN, image_warp="1 x 1", stage_angles=False)
    state, more = start, {}
    for iteration in (1, 2):
        images = simulate(truth, start, noise=5.0).images
        result = SeriesRefinement([images], state, options, first=iteration == 1, **more).run()
        kept = {trial.name: trial.kept for trial in result.trials}
        assert kept["image warp"] == (iteration == 1) and not kept["particle poses"]
        assert result.state.rotations is start.rotations and result.state.positions is start.positions
        assert in_image(result.state, truth) < 0.5 * in_image(start, truth)
        state, more = result.state, {"fold_geometries": result.fold_geometries, "trial_poses": result.trial_poses}


def test_geometry_without_the_poses_that_were_fitted_beside_it():
    """Tilts that are all shifted alike have moved the particles instead: put back, the tilts take the shift over."""
    truth = true_state(6)
    shifts = truth.geometry.orientations[:, :2] @ np.array([5.0, -3.0, 2.0])
    start = replace(truth, geometry=replace(truth.geometry, shifts=truth.geometry.shifts + shifts))
    images = simulate(truth, start, noise=1.0).images
    refinement = SeriesRefinement([images], start, MultiParticleOptions(preset=OWN, image_warp="1 x 1"))
    block = ImageWarps(T, (1, 1), IMAGE, 10.0, 5.0)
    prepared = replace(start, geometry=block.prepare(start.geometry))
    problem = Problem(refinement.images, prepared, [block], refinement.poses, refinement.images.used)
    together = fit(problem)
    values = put_poses_back(problem, together)
    still = np.zeros_like(together.pose_values)
    left = [in_image(problem.state(each, still), truth) for each in (together.values, values)]
    assert left[1] < 0.4 * left[0]
    others = replace(problem, used=problem.used & (np.arange(len(start)) > 1)[:, None])
    again = fit(others, 2, replace(together, pose_values=1.1 * together.pose_values))
    assert_allclose(again.pose_values[:2], 1.1 * together.pose_values[:2])  # no image of theirs took part
    assert np.abs(again.pose_values[2:] - 1.1 * together.pose_values[2:]).max() > 0.1


def noise_only(simulation, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, simulation.deviation, (2, *simulation.images.data.shape))
    return replace(simulation.images, data=(noise[0] + 1j * noise[1]).astype(np.complex64))


@pytest.mark.parametrize("what", ["noise", "noise that nobody noticed", "another species"])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_accepted_where_there_is_nothing(what, seed, monkeypatch):
    simulation, start = wrong_series(seed)
    if what == "noise that nobody noticed":  # held-out particles alone must do
        monkeypatch.setattr(series, "LEAST_AGREEMENT", 0.0)
    if what.startswith("noise"):
        images = noise_only(simulation, seed)
    else:
        reference = molecule(32, seed=99)
        images = simulate(simulation.truth, start, noise=4.0, seed=seed, reference=reference).images
    result = SeriesRefinement([images], start, ALL, seed=seed).run()
    assert not any(trial.kept for trial in result.trials), result.trials
    assert result.state is start


def test_what_is_right_stays_as_good(rng):
    """Where nothing is wrong, whatever is kept does not make it worse."""
    truth = true_state(40)
    images = simulate(truth, noise=4.0).images
    result = SeriesRefinement([images], truth, ALL).run()
    assert in_image(result.state, truth) < 1.0
    assert np.abs(result.state.geometry.ctf.defocus - truth.geometry.ctf.defocus).max() < 1500


def test_no_parameters_change_nothing():
    simulation, start = wrong_series(particles=12)
    nothing = MultiParticleOptions(preset=OWN, image_warp="", poses=False, stage_angles=False)
    result = SeriesRefinement([simulation.images], start, nothing).run()
    assert result.state is start and not result.trials


def test_shared_parameters_without_poses():
    simulation, start = wrong_series(noise=1.0)
    start = replace(simulation.truth, geometry=start.geometry)
    options = MultiParticleOptions(preset=OWN, image_warp="1 x 1", poses=False, stage_angles=False)
    result = SeriesRefinement([simulation.images], start, options).run()
    assert [trial.name for trial in result.trials if trial.kept] == ["image warp"]
    assert_allclose(result.state.positions, start.positions)
    assert in_image(result.state, simulation.truth) < 0.6 * in_image(start, simulation.truth)  # warps are left


def test_optics_only_where_the_resolution_allows_them():
    simulation, start = wrong_series(particles=12)
    images = PopulationImages([simulation.images], [], "cpu")
    for coarse, expected in ((10.0, []), (40.0, ["defocus"])):
        blocks, remarks = choose_blocks(images, start, replace(ALL, optics_resolution=10.0, defocus_resolution=coarse))
        optics = [block for block in blocks if isinstance(block, OpticsOfTilts)]
        assert [block.name for block in optics] == expected
        sentences = dict(remarks)
        assert "10 Å are needed" in sentences["astigmatism"] and "1 x 1 nodes" in sentences["image warp"]
    width = np.linalg.inv(optics[0].precision())
    assert np.sqrt(width.mean()) < 2 < 0.8 * 2000 < np.sqrt(width[0, 0])  # the mean stays, each tilt may go far


@pytest.mark.parametrize("mean_stays", [False, True])
def test_an_exhaustive_search_finds_a_defocus_far_off(mean_stays):
    simulation, start = wrong_series(noise=0.5, defocus=1500.0)
    start = replace(simulation.truth, geometry=replace(simulation.truth.geometry, ctf=start.geometry.ctf))
    options = MultiParticleOptions(
        preset=OWN, image_warp="", poses=False, stage_angles=False, defocus=True, exhaustive_defocus=True,
        optics_resolution=10.0 if mean_stays else 40.0, defocus_resolution=40.0,
    )  # fmt: skip
    result = SeriesRefinement([simulation.images], start, options).run()
    off = [s.geometry.ctf.defocus - simulation.truth.geometry.ctf.defocus for s in (start, result.state)]
    if mean_stays:
        assert abs(off[1].mean() - off[0].mean()) < 5
        off = [each - each.mean() for each in off]
    assert np.linalg.norm(off[1]) < 0.3 * np.linalg.norm(off[0])


def test_tilt_weights_are_recovered():
    geometry = tilt_geometry(T)
    rng = np.random.default_rng(0)
    scale, b_factor = rng.uniform(0.6, 1.0, T), rng.uniform(0, 400, T)
    truth = true_state(30, geometry=replace(geometry, scale=scale / scale.max(), b_factor=b_factor - b_factor.min()))
    simulation = simulate(truth, noise=0.5)
    start = replace(truth, geometry=replace(geometry, b_factor=np.zeros(T)))
    products = correlate(simulation.images, start)
    model = calibrate(simulation.images, start, products)
    found = fit_tilt_weights(start.geometry, [model], [simulation.images], [products])
    assert np.corrcoef(found.scale, scale)[0, 1] > 0.9
    assert np.corrcoef(found.b_factor, b_factor)[0, 1] > 0.8
    assert found.scale.max() == pytest.approx(1.0) and found.b_factor.min() == pytest.approx(0.0)


@pytest.mark.parametrize("wrong", [True, False])
def test_tilt_weights_are_kept_where_they_help(wrong):
    """Tilts that are fainter and more blurred than their dose says; nothing is kept where dose weights are right."""
    rng, geometry = np.random.default_rng(0), tilt_geometry(T)
    scale = np.where(np.abs(np.arange(T) - T // 2) > 4, 0.3, 1.0) * rng.uniform(0.7, 1.0, T) if wrong else np.ones(T)
    blur = rng.uniform(0, 600, T) if wrong else np.zeros(T)
    truth = true_state(40, geometry=replace(geometry, scale=scale, b_factor=blur) if wrong else geometry)
    start = replace(truth, geometry=geometry)  # which knows the dose alone
    options = MultiParticleOptions(
        preset=OWN, image_warp="", poses=False, stage_angles=False, weights=TILT_WEIGHTS, held_out=25.0
    )
    result = SeriesRefinement([simulate(truth, noise=2.0).images], start, options).run()
    assert [(trial.name, trial.kept) for trial in result.trials] == [("weights", wrong)]
    if wrong:
        assert np.corrcoef(result.state.geometry.scale, scale)[0, 1] > 0.8


def test_b_factors_stand_for_the_dose():
    geometry = replace(tilt_geometry(T), dose=np.linspace(0, 120, T))
    k = np.linspace(0, 0.06, 30)
    found = replace(geometry, b_factor=equivalent_b_factors(geometry, 0.06)).weights(k)
    assert_allclose(found, geometry.weights(k), atol=0.08)
    assert equivalent_b_factors(replace(geometry, b_factor=np.arange(T)), 0.06)[3] == 3


def test_a_single_series_has_no_magnification_of_its_own():
    simulation, start = wrong_series(particles=12)
    images = PopulationImages([simulation.images], [], "cpu")
    for alone in (True, False):
        blocks, remarks = choose_blocks(images, start, ALL, alone)
        width = np.linalg.inv(next(b for b in blocks if b.name == "magnification").precision())
        assert (np.sqrt([1, 0, 0, 1] @ width @ [1, 0, 0, 1]) < 1e-4) == alone == ("magnification" in dict(remarks))
        assert np.sqrt([1, 0, 0, -1] @ width @ [1, 0, 0, -1]) == pytest.approx(np.sqrt(2) * 0.01)


def test_series_weights_are_recovered():
    square = (np.arange(14) / 256.0) ** 2
    scale, b_factor = np.array([1.0, 0.8, 0.6]), np.array([0.0, 100.0, 30.0])
    amplitude = 5 * scale[:, None] * np.exp(-0.25 * b_factor[:, None] * square)
    found = fit_series_weights(amplitude, np.full(amplitude.shape, 1e4), square)
    assert_allclose(found[:, 0], scale, atol=0.03)
    assert_allclose(found[:, 1], b_factor, atol=20)


def test_calibration_finds_noise_and_amplitude():
    truth = true_state(30)
    simulation = simulate(truth, noise=2.0)
    images = replace(
        simulation.images,
        references=replace(simulation.images.references, transforms=0.5 * simulation.images.references.transforms),
    )
    model = calibrate(images, truth)
    assert_allclose(model.amplitude[:, 2:10], 2.0, rtol=0.1)
    assert_allclose(1 / model.inverse_noise[:, 3:] / simulation.deviation, 1.0, rtol=0.15)


@pytest.mark.parametrize(
    ("particles", "each", "fits"), [(200, 20, 1), (60, 10, 1), (40, 10, 1), (30, 3, 4), (12, 1, 10), (5, 1, 5)]
)
def test_a_tenth_of_the_particles_is_held_out(rng, particles, each, fits):
    half = np.arange(particles) % 2 + 1
    held = np.array(hold_out(half, 0.1, rng))
    assert held.shape == (fits, particles) and (held.sum(axis=1) == each).all()
    assert held.sum(axis=0).max() == 1  # others every time
    if each > 1:
        assert all(abs(int(one[half == 1].sum()) - int(one[half == 2].sum())) <= 1 for one in held)
    assert hold_out(half[:4], 0.1, rng) == []


def test_held_out_particles_of_few_never_take_part():
    """Other particles are held out of every fold; none has had a part in what it is compared with, nor comes to it.

    Were they compared with the first fold's geometry, which was fitted to them, a good fit would look 5 to 33 worse.
    """
    simulation, start = wrong_series(1, particles=16, noise=2.0)
    options = MultiParticleOptions(preset=OWN, image_warp="1 x 1")
    first = SeriesRefinement([simulation.images], start, options).run()
    assert [trial.kept for trial in first.trials if trial.name in ("image warp", "stage angles")] == [True, True]
    assert len(first.fold_geometries) == 4
    again = SeriesRefinement(
        [simulation.images], first.state, options, 0, False,
        fold_geometries=first.fold_geometries, trial_poses=first.trial_poses,
    ).run()  # fmt: skip
    assert min(trial.gain for trial in again.trials) > -10, again.trials
    # images of a particle that is held out of the second fold say nothing about that fold's geometry
    refinement = SeriesRefinement([simulation.images], start, options)
    fold = refinement.folds[1]
    data = simulation.images.data.copy()
    data[fold.held] = np.roll(data[fold.held], 1, axis=1)
    other = SeriesRefinement([replace(simulation.images, data=data)], start, options)
    other.images = replace(other.images, models=refinement.images.models)  # amplitudes and noise are of all particles
    shift = ImageWarps(T, (1, 1), IMAGE, 10.0, 5.0)
    shifts = [one._fit_without(shift, one.folds[1])[0].values for one in (refinement, other)]
    assert_allclose(*shifts)


def test_shells_behind_a_zero_of_the_ctf_are_compared():
    curve = np.array([1, 0.9, 0.8, 0.5, 0.05, -0.1, 0.3, 0.4, 0.2, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0])
    first = shell_beyond_gaps(curve, 0.15, 1, 0)
    assert 3 < first < 4 and first == shell_beyond_gaps(curve, 0.15, 1, 1)
    assert 8 < shell_beyond_gaps(curve, 0.15, 1, 2) < 9  # one shell alone does not end a gap
    assert shell_beyond_gaps(np.ones(9), 0.15, 1, 2) == np.inf
    assert shell_beyond_gaps(np.r_[1, 1, 0, np.ones(4)], 0.15, 1, 2) == np.inf


def test_grids():
    assert parse_grid("4 x 3", 2) == (4, 3) and parse_grid(" 2×2x1 x 5", 4) == (2, 2, 1, 5)
    assert parse_grid("", 2) is None and parse_grid("0", 4) is None
    for text in ("4", "4 x", "a x b", "0 x 3", "4 x 3 x 2", "99999999999 x 1"):
        with pytest.raises(EmtomoError, match="A grid must be 2 whole numbers"):
            parse_grid(text, 2)
    for values, sentence in (
        ({"image_warp": "65 x 2"}, "A grid must be 2 whole numbers"),
        ({"volume_warp": "2 x 2 x 2 x 1"}, "A volume warp needs at least 2 nodes in time"),
    ):
        assert problems(MultiParticleOptions, asdict(MultiParticleOptions(**values))) == []  # the preset says another
        with pytest.raises(EmtomoError, match=sentence):
            check_options(MultiParticleOptions(preset=OWN, **values))
    assert cap_grid((6, 4), 10) == (3, 3) and cap_grid((6, 4), 0) == (1, 1) and cap_grid((2, 2), 100) == (2, 2)


def test_presets():
    spatial, most = (MultiParticleOptions(preset=name).resolve_preset() for name in (SPATIAL, MOST))
    assert (spatial.iterations, spatial.defocus, spatial.volume_warp) == (4, False, "")
    assert (most.iterations, most.defocus, most.weights) == (3, True, TILT_WEIGHTS)
    own = MultiParticleOptions(preset=OWN, iterations=2)
    assert own.resolve_preset() is own
