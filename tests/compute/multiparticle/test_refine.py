"""Whole refinements of tiny populations: truth, zero iterations, noise, several species, resuming, parity."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.fourier.shell_correlation import first_shell_below, fourier_shell_correlation
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.likelihood.views import ImageParticles
from emtomo.compute.map_reduce import in_threads
from emtomo.compute.multiparticle import series as series_module
from emtomo.compute.multiparticle.geometry_update import pack_geometry, unpack_geometry, update_geometry
from emtomo.compute.multiparticle.mean_magnification import keep_mean_magnification
from emtomo.compute.multiparticle.options import OWN, SERIES_WEIGHTS, MultiParticleOptions
from emtomo.compute.multiparticle.refine import MultiParticleRefinement
from emtomo.compute.multiparticle.species_particles import CutViews, SpeciesParticles
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.tilt.particle_images import ParticleImageOptions, prepare_series
from emtomo.errors import EmtomoError
from tests.compute.multiparticle.data import molecule
from tests.compute.multiparticle.series_data import BOX, DIAMETER, PIXEL, in_image_error, one_series, species_of

TWO = MultiParticleOptions(preset=OWN, iterations=2, image_warp="1 x 1", stage_angles=False)


@pytest.fixture(scope="module")
def two_series():
    pairs = [one_series(k) for k in range(2)]
    return [given for given, _ in pairs], [true for _, true in pairs]


class Kept:
    """A store in memory."""

    def __init__(self):
        self.saved, self.loaded = {}, []

    def load(self, iteration, name):
        self.loaded.append((iteration, name))
        return self.saved.get((iteration, name))

    def save(self, iteration, name, arrays):
        self.saved[iteration, name] = arrays


@pytest.fixture(scope="module")
def refined(two_series):
    """Both series at the same time; other tests compare with one after the other."""
    store, progress, shown = Kept(), [], []
    refinement = MultiParticleRefinement([species_of()], two_series[0], TWO, store=store, at_once=2)
    result = refinement.run(progress.append, shown.append)
    return result, store, progress, shown


def test_a_population_comes_nearer_to_the_truth(two_series, refined):
    given, truth = two_series
    result, _, progress, shown = refined
    assert in_image_error(result.series, truth) < 0.6 * in_image_error(given, truth)
    fsc = [
        fourier_shell_correlation(volume, molecule(BOX, pixel=PIXEL))
        for volume in (sum(result.before[0].halves.values()), result.maps[0].average)
    ]
    assert first_shell_below(fsc[1], 0.5) > first_shell_below(fsc[0], 0.5)
    assert result.iteration > 0
    assert progress == sorted(progress) and progress[-1] == pytest.approx(1.0)
    assert [one.iteration for one in result.metrics] == [0, 1, 2]
    assert [(one.number, len(one.reports)) for one in shown] == [(0, 0), (1, 1), (2, 2)]
    assert np.isnan(result.metrics[0].score) and result.metrics[2].score > 0


def test_zero_iterations_change_nothing(two_series):
    given = two_series[0]
    result = MultiParticleRefinement([species_of()], given, replace(TWO, iterations=0)).run()
    assert result.iteration == 0 and not result.reports
    for one, before in zip(result.series, given, strict=True):
        assert one is before
    assert result.maps[0].measured.resolution == pytest.approx(result.before[0].resolution)


def test_the_maps_are_what_reconstruction_gives(refined):
    """Export parity: the average from refined series and poses is the refinement's own."""
    result = refined[0]
    sources = []
    for series in result.series:
        options = ParticleImageOptions(pixel_size=PIXEL, box_size=BOX, diameter=DIAMETER, premultiply=True)
        prepared = prepare_series(series.images, series.geometry, options)
        particles = series.particles[0]
        kept = prepared.select_particles(particles.positions)
        sources.append((CutViews(prepared, particles.take(kept)), particles.rotations[kept], particles.half[kept]))

    def views(i):
        first = len(sources[0][1])
        return sources[0][0](i) if i < first else sources[1][0](i - first)

    rotations, half = (np.concatenate([one[k] for one in sources]) for k in (1, 2))
    counts = [len(views(i).images) for i in range(len(half))]
    source = ImageParticles(BOX, PIXEL, counts, views, "ctf_squared", True)
    found = reconstruct(source, Poses(rotations, np.zeros((len(half), 3)), half))
    for h in (1, 2):
        assert_allclose(found.halves[h], result.maps[0].measured.halves[h], atol=1e-3 * np.abs(found.halves[h]).max())


def test_an_interrupted_refinement_goes_on_with_the_next_series(two_series, refined):
    given, result, saved = two_series[0], refined[0], refined[1].saved
    store = Kept()
    store.saved = {key: arrays for key, arrays in saved.items() if key != (2, "series 2")}
    again = MultiParticleRefinement([species_of()], given, TWO, store=store).run()
    assert set(store.saved) == set(saved)
    for one, before in zip(again.series, result.series, strict=True):
        assert_allclose(one.geometry.shifts, before.geometry.shifts, atol=1e-6)
        assert_allclose(one.particles[0].positions, before.particles[0].positions, atol=1e-6)
        assert len(one.fold_geometries) == len(before.fold_geometries) == 7  # of 8 particles
        for found, expected in zip(one.fold_geometries, before.fold_geometries, strict=True):
            assert_allclose(found.shifts, expected.shifts, atol=1e-6)
    assert [t.kept for t in again.reports[1][0].trials] == [t.kept for t in result.reports[1][0].trials]


def test_the_same_particles_are_held_out_in_every_iteration(two_series, monkeypatch):
    """Others have been fitted to, and would agree better with what they were fitted to."""
    held, own = [], series_module.hold_out

    def hold_out(*arguments):
        held.append(own(*arguments))
        return held[-1]

    monkeypatch.setattr(series_module, "hold_out", hold_out)
    MultiParticleRefinement([species_of()], two_series[0][:1], TWO).run()
    assert len(held) == 2 and np.array_equal(*held)


def test_the_mean_magnification_of_all_series_stays(two_series):
    """Positions in the images stay where they are; 12 and 8 particles."""
    given = [replace(s, geometry=replace(s.geometry, hand=1)) for s in two_series[0]]
    more = given[0].particles[0]
    rows = np.r_[np.arange(8), np.arange(4)]
    given[0] = replace(
        given[0], particles=(SpeciesParticles(more.rotations[rows], more.positions[rows], more.half[rows]),)
    )
    matrices = np.array([[1.02, 0.003], [-0.003, 1.02]]), np.array([[1.01, 0], [0, 0.99]])
    refined = [replace(s, geometry=replace(s.geometry, magnification=m)) for s, m in zip(given, matrices, strict=True)]
    refined = [replace(s, fold_geometries=(s.geometry,)) for s in refined]
    found = keep_mean_magnification(given, refined)
    logs = [np.log(np.linalg.det(s.geometry.magnification)) for s in found]
    assert np.average(logs, weights=[12, 8]) == pytest.approx(0, abs=1e-12)
    was = [np.log(np.linalg.det(m)) for m in matrices]
    assert logs[0] - logs[1] == pytest.approx(was[0] - was[1])
    for one, before in zip(found, refined, strict=True):
        seen, expected = (s.geometry.project(s.particles[0].positions)[..., :2] for s in (one, before))
        assert_allclose(seen, expected, atol=1e-6)
        assert_allclose(one.fold_geometries[0].magnification, one.geometry.magnification)
    assert keep_mean_magnification(given, given) == given


def test_images_of_noise_change_nothing():
    given = [one_series(k, snr=1e-4)[0] for k in range(2)]
    result = MultiParticleRefinement([species_of()], given, replace(TWO, iterations=1)).run()
    assert all(one is before for one, before in zip(result.series, given, strict=True)) or result.iteration == 0


def test_two_species_of_different_pixel_size_share_the_images():
    given, true = one_series(0)
    first, second = np.arange(8) < 4, np.arange(8) >= 4
    both = []
    for series in (given, true):
        one = series.particles[0]
        parts = tuple(SpeciesParticles(one.rotations[m], one.positions[m], one.half[m]) for m in (first, second))
        both.append(replace(series, particles=parts))
    other = replace(species_of(size=24), name="the same at 10 Å", pixel_size=10.0)
    options = replace(TWO, iterations=1, weights=SERIES_WEIGHTS)
    result = MultiParticleRefinement([species_of(), other], [both[0]], options).run()
    assert [one.average.shape[0] for one in result.maps] == [BOX, 24]
    assert len(result.metrics) == 4
    seen = [
        s.geometry.project(np.concatenate([p.positions for p in s.particles]))[..., :2] for s in (*result.series, *both)
    ]
    assert np.linalg.norm(seen[0] - seen[2]) <= np.linalg.norm(seen[1] - seen[2])


def test_pieces_may_be_worked_on_anywhere(two_series, refined):
    """As on Dask: everything travels as bytes, and back."""
    import pickle

    def elsewhere(work, shared, groups, on_progress):
        shared, groups = pickle.loads(pickle.dumps((shared, groups)))
        return pickle.loads(pickle.dumps(in_threads(work, shared, groups, on_progress)))

    given = two_series[0]
    again = MultiParticleRefinement([species_of()], given, replace(TWO, iterations=1), map_reduce=elsewhere).run()
    shifts = refined[1].saved[1, "series 1"]["geometry_shifts"]
    if again.iteration == 1:
        assert_allclose(again.series[0].geometry.shifts, shifts, atol=1e-6)


def test_particles_that_no_image_shows_stay_where_they_are():
    given = one_series(0)[0]
    one = given.particles[0]
    away = replace(given, particles=(SpeciesParticles(one.rotations[:2], one.positions[:2] + 5000, one.half[:2]),))
    both = [given, replace(away, name="nothing to see")]
    result = MultiParticleRefinement([species_of()], both, replace(TWO, iterations=1)).run()
    assert np.array_equal(result.series[1].particles[0].positions, away.particles[0].positions)
    assert any("2 of blobs in nothing to see" in sentence for sentence in result.remarks)
    with pytest.raises(EmtomoError, match="no particle of half 1 is shown whole by enough images"):
        MultiParticleRefinement([species_of()], [away], TWO).run()


def test_odd_boxes_and_series_of_one_tilt():
    given = one_series(0)[0]
    result = MultiParticleRefinement([species_of(size=27)], [given], replace(TWO, iterations=1)).run()
    assert result.maps[0].average.shape == (27, 27, 27)
    alone = replace(given.geometry, excluded=np.arange(len(given.geometry)) != 5)
    options = replace(TWO, iterations=1, volume_warp="1 x 1 x 1 x 2", stage_angles=True)
    result = MultiParticleRefinement([species_of()], [replace(given, geometry=alone)], options).run()
    assert np.isfinite(result.maps[0].average).all()


def test_a_series_without_defocus_is_reported(two_series):
    bare = replace(two_series[0][0], geometry=replace(two_series[0][0].geometry, ctf=None))
    with pytest.raises(EmtomoError, match="series 1: the tilt series has no defocus"):
        MultiParticleRefinement([species_of()], [bare], TWO).run()


def test_tilts_that_take_no_part_keep_what_they_have():
    given, true = one_series(3)
    tilts = np.array([0, 2, 5])
    whole, refined_tilts = given.geometry, true.geometry.take(tilts)
    updated = update_geometry(whole, tilts, refined_tilts)
    others = np.setdiff1d(np.arange(len(whole)), tilts)
    points = given.particles[0].positions
    assert_allclose(updated.project(points)[tilts], refined_tilts.project(points), atol=1e-9)
    assert_allclose(updated.project(points)[others], whole.project(points)[others], atol=1e-9)
    assert update_geometry(whole, tilts, whole.take(tilts)) is whole
    again = unpack_geometry(whole, pack_geometry(updated))
    assert_allclose(again.project(points), updated.project(points))


def test_clear_refusals(two_series):
    given = two_series[0]
    with pytest.raises(EmtomoError, match="at least one species"):
        MultiParticleRefinement([], given, TWO)
    alone = [replace(s, particles=(replace(s.particles[0], half=np.ones(8, int)),)) for s in given]
    with pytest.raises(EmtomoError, match="blobs: there is no particle of half 2"):
        MultiParticleRefinement([species_of()], alone, TWO)
    with pytest.raises(EmtomoError, match="blobs: the diameter must be above 0 and at most the box, 256 Å, got 300 Å"):
        replace(species_of(), diameter=300.0)
    with pytest.raises(EmtomoError, match="blobs: the mask must be 32 voxels wide"):
        replace(species_of(), mask=np.ones((8, 8, 8)))
