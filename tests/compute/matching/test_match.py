"""Matching against truth: places, orientations, false alarms, other objects, contrast."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from emtomo.compute.matching.match import Matcher, select_candidates
from emtomo.compute.matching.model import MaskedReference, automatic_mask
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.weighting import frequencies, noise_spectrum, wedge_transfer
from emtomo.compute.symmetry import symmetric_angle
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.wedge import tilt_transfer
from emtomo.errors import EmtomoError
from tests.compute.matching.data import MOLECULE, RADIUS, angles, mask, spread, tomogram
from tests.compute.refinement.data import blobs

SHAPE = (52, 88, 79)
WEDGE = wedge_transfer(-60, 60)
MODEL = MaskedReference.of(MOLECULE, mask())
PLACES, TURNS = spread(SHAPE, 9, 4, 20)


@pytest.fixture(autouse=True)
def small_scans(monkeypatch):
    """Scan at a radius of five voxels instead of eight: the molecule here has hardly ten."""
    monkeypatch.setattr("emtomo.compute.matching.match.COARSE_RADIUS", 5.0)


def found_in(volume, model=MODEL, peaks=None, white=True, **options):
    """Return the places that are taken, and the match."""
    matcher = Matcher(volume, 10.0, white, model, WEDGE, ScanOptions(**options))
    match = matcher.locate()
    return match.places.take(select_candidates(match.places, match.cells, model.radius, peaks or PeakOptions())), match


@pytest.mark.parametrize("exhaustive", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_copy_is_found_and_nothing_else(exhaustive):
    volume = tomogram(SHAPE, PLACES, TURNS, 0.12, 7)
    found, match = found_in(volume, exhaustive=exhaustive, angular_step=18)
    assert match.binning == (1 if exhaustive else pytest.approx(1.9, abs=0.25))
    distance, index = cKDTree(PLACES).query(found.positions)
    assert sorted(index[distance < 3]) == list(range(9)) and (distance > 3).sum() <= 2
    true = distance < 3
    assert np.median(distance[true]) < 0.5
    assert np.median(angles(found.rotations[true], TURNS[index[true]])) < 4


@pytest.mark.slow  # scans a tomogram two or three times
def test_noise_gives_as_many_false_alarms_as_asked():
    counts = []
    for seed in range(3):
        noise = tomogram((50, 80, 90), np.zeros((0, 3)), np.zeros((0, 3, 3)), 1.0, seed)
        found, _ = found_in(noise, peaks=PeakOptions(false_alarms=4), other_objects=False)
        counts.append(len(found))
    assert 1 <= np.mean(counts) <= 8


@pytest.mark.slow  # scans a tomogram two or three times
def test_another_molecule_falls_behind():
    other = blobs(25, seed=11, count=40)
    volume = tomogram(SHAPE, PLACES[:5], TURNS[:5], 0.1, 7)
    volume += 2 * tomogram(SHAPE, PLACES[5:], TURNS[5:], 1e9, 8, molecule=other)
    share = []
    for weigh in (False, True):
        found, _ = found_in(volume, peaks=PeakOptions(false_alarms=0, number_of_particles=9), other_objects=weigh)
        tops = cKDTree(PLACES).query(found.positions)[1]
        scores = dict(zip(tops, found.scores, strict=True))
        mine = np.mean([scores.get(i, 0) for i in range(5)])
        theirs = np.mean([scores.get(i, 0) for i in range(5, 9)])
        share.append(theirs / mine)
    assert share[1] < 0.9 * share[0]


def test_symmetry_searches_less_and_finds_the_same():
    molecule = blobs(25, "C4", seed=2, count=5)
    volume = tomogram(SHAPE, PLACES, TURNS, 0.08, 7, molecule=molecule)
    found, match = found_in(volume, MaskedReference.of(molecule, mask()), symmetry="C4")
    assert len(match.rotations) < 500
    distance, index = cKDTree(PLACES).query(found.positions)
    assert sorted(index[distance < 3]) == list(range(9))
    assert np.median(symmetric_angle(found.rotations[distance < 3], TURNS[index[distance < 3]], "C4")) < 4


@pytest.mark.slow  # scans a tomogram two or three times
def test_wrong_contrast_is_noticed_and_dark_particles_are_found():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.3, 7)
    assert not found_in(volume)[1].inverted
    found, match = found_in(-volume)
    assert match.inverted
    found, match = found_in(-volume, white=False)
    assert not match.inverted
    assert (cKDTree(found.positions).query(PLACES)[0] < 1).all() and len(found) <= 11


@pytest.mark.slow  # scans a tomogram two or three times
def test_random_phases_and_plain_filters_find_the_copies_too():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.1, 7)
    for options in (
        {"random_phases": True},
        {"whiten": False, "local_contrast": False, "lowpass": 30, "highpass": 400},
    ):
        found, _ = found_in(volume, **options)
        assert (cKDTree(PLACES).query(found.positions)[0] < 3).sum() == 9, options


def test_gold_is_not_picked():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.3, 7)
    z, y, x = (int(c) for c in PLACES[0])
    volume[z - 3 : z + 4, y - 3 : y + 4, x - 3 : x + 4] += 60 * volume.std()
    found, _ = found_in(volume, peaks=PeakOptions(number_of_particles=20))
    assert cKDTree(found.positions).query(PLACES[0])[0] > RADIUS / 2


def test_fine_exhaustive_steps_do_not_multiply_what_is_tried_again():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.3, 7)
    matcher = Matcher(volume, 10.0, True, MODEL, WEDGE, ScanOptions(exhaustive=True, angular_step=6))
    assert len(matcher.rotations) > 10_000 and len(matcher.retried) < 1300


def test_numbers_and_distances_are_kept():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.3, 7)
    found, match = found_in(volume, peaks=PeakOptions(number_of_particles=4))
    assert len(found) == 4 and (np.diff(found.scores) <= 0).all()
    far = match.places.take(select_candidates(match.places, match.cells, 60.0, PeakOptions(false_alarms=0)))
    assert cKDTree(far.positions).query_pairs(59.9) == set()


@pytest.mark.slow  # scans a tomogram two or three times
def test_tiles_do_not_change_the_picks():
    volume = tomogram(SHAPE, PLACES, TURNS, 0.1, 7)
    found = []
    for tile in (10**9, 80_000):
        match = Matcher(volume, 10.0, True, MODEL, WEDGE, ScanOptions(), tile).locate()
        found.append(match.places.take(select_candidates(match.places, match.cells, RADIUS, PeakOptions())))
    # a maximum at the cut may be climbed from another side
    found = [places.take(np.flatnonzero(places.scores > 7.5)) for places in found]
    assert len(found[0]) == len(found[1]) == 9
    distance, same = cKDTree(found[1].positions).query(found[0].positions)
    assert distance.max() < 0.05
    assert angles(found[0].rotations, found[1].rotations[same]).max() < 0.5


def test_edges_and_odd_sizes():
    volume = tomogram((41, 64, 57), np.array([[20, 30, 28.0]]), TURNS[:1], 1.0, 2)
    found, _ = found_in(volume, border=0.0)
    assert np.linalg.norm(found.positions[0] - [20, 30, 28]) < 0.5
    even = np.zeros((28,) * 3, np.float32)
    even[2:27, 2:27, 2:27] = MOLECULE  # centre 12 + 2 = 28 // 2
    around = np.zeros((28,) * 3, np.float32)
    around[2:27, 2:27, 2:27] = mask()
    found, _ = found_in(volume, MaskedReference.of(even, around))
    assert np.linalg.norm(found.positions[0] - [20, 30, 28]) < 0.5


def test_bad_models_and_tomograms_are_reported():
    with pytest.raises(EmtomoError, match="does not fit"):
        found_in(np.random.default_rng(0).random((12, 60, 60), np.float32))
    with pytest.raises(EmtomoError, match="no signal"):
        found_in(np.ones((40, 60, 60), np.float32))
    with pytest.raises(EmtomoError, match="no signal"):
        found_in(np.full((40, 60, 60), np.nan, np.float32))
    with pytest.raises(EmtomoError, match="mask is empty"):
        MaskedReference.of(MOLECULE, np.zeros_like(MOLECULE))
    with pytest.raises(EmtomoError, match="no contrast"):
        MaskedReference.of(np.ones((25,) * 3, np.float32), mask())
    with pytest.raises(EmtomoError, match="mask must have"):
        MaskedReference.of(MOLECULE, mask(23))
    with pytest.raises(EmtomoError, match="no numbers"):
        MaskedReference.of(np.full((25,) * 3, np.nan, np.float32), mask())
    with pytest.raises(EmtomoError, match="coarser"):
        found_in(np.random.default_rng(0).random((40, 60, 60), np.float32), highpass=10.0)


def test_an_automatic_mask_holds_the_molecule():
    made = automatic_mask(MOLECULE)
    assert 0.98 < (made * np.maximum(MOLECULE, 0)).sum() / np.maximum(MOLECULE, 0).sum() <= 1.0


def test_noise_is_measured_between_particles():
    rng = np.random.default_rng(1)
    clean = tomogram((80, 120, 120), *spread((80, 120, 120), 2, 1), 1e9, 1)
    noise = rng.standard_normal(clean.shape, np.float32) * clean.std()
    between = noise_spectrum(clean + noise, wedge_transfer(-90, 90), 24)[3:] / clean.var() - 1
    everywhere = noise_spectrum(clean + noise, wedge_transfer(-90, 90), 200)[3:] / clean.var() - 1
    assert np.abs(between[20:]).max() < 0.15
    assert between.max() < 0.35 * everywhere.max()


def test_tilts_measure_a_wedge_and_lose_by_dose():
    angle = np.arange(-60, 61, 3.0)
    plain = tilt_geometry({"angle": angle})
    kx, ky, kz = frequencies((64, 64, 64))
    cover = tilt_transfer(plain, 10.0, 90.0)(kx, ky, kz)
    sharp = WEDGE(kx, ky, kz)
    k = np.sqrt(kx**2 + ky**2 + kz**2) < 0.3
    assert cover[k & (sharp > 0)].mean() > 0.9 and cover[k & (sharp == 0)].mean() < 0.15
    geometry = tilt_geometry({"angle": angle, "dose": np.full(41, 30.0)})
    dosed = tilt_transfer(geometry, 10.0, 20.0)(kx, ky, kz)
    assert dosed[0, 0, 20] < 0.9 * cover[0, 0, 20] and dosed[0, 0, 20] < dosed[0, 0, 2]
    geometry = tilt_geometry({"angle": angle, "defocus_u": np.full(41, 40000.0)})
    ctf = tilt_transfer(geometry, 4.0, 20.0, "white")(kx, ky, kz)
    assert ctf[0, 0, 1] > 0 and ctf.min() < -0.5
