"""The scan against the definition of a correlation; tiles, threads, guide."""

import numpy as np
import pytest

from emtomo.compute import device
from emtomo.compute.matching.guide import surface_guide
from emtomo.compute.matching.scan import scan, tile_of_memory, tiles
from emtomo.compute.matching.template import MatchingTemplate, count_expected_maxima, cut_for, mask_template
from emtomo.compute.matching.weighting import apply_matched_filter, wedge_transfer
from emtomo.compute.rotations import random_rotations
from tests.compute.matching.data import MOLECULE, RADIUS, mask, spread, tomogram
from tests.compute.refinement.data import blobs

SHAPE = (45, 60, 52)
REACH = 11


@pytest.fixture(scope="module")
def prepared():
    """A filtered tomogram, its template, some orientations."""
    places, turns = spread(SHAPE, 3, 1)
    volume = tomogram(SHAPE, places, turns, 1.0, 1)
    fine, weighting = apply_matched_filter(volume / volume.std(), wedge_transfer(-60, 60), (0.0, 0.5), True, 20)
    template = MatchingTemplate(mask_template(MOLECULE, mask()), 1.0, weighting)
    return fine, template, random_rotations(7, 3)


def test_scores_are_correlations_with_the_turned_template(prepared):
    fine, template, turns = prepared
    scores, which = scan(fine, template, turns[:1], 3, REACH, 10**9)
    n = template.size
    off = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), axis=-1)[..., ::-1].reshape(-1, 3)
    from scipy.ndimage import map_coordinates

    # reference at R.T r, so that tomogram = R @ reference
    source = (off @ turns[0])[:, ::-1] + n // 2
    turned = map_coordinates(template.box, source.T, order=3).reshape((n,) * 3)
    for at in ((22, 30, 26), (15, 20, 40), (30, 41, 15)):
        low = [c - n // 2 for c in at]
        box = np.zeros((n,) * 3)
        inside = tuple(slice(max(0, a), min(a + n, s)) for a, s in zip(low, SHAPE, strict=True))
        box[tuple(slice(i.start - a, i.stop - a) for i, a in zip(inside, low, strict=True))] = fine[inside]
        expected = (box * turned).sum() / template.norms(turns[:1])[0]
        assert abs(scores[at] - expected) < 0.05 * scores[np.isfinite(scores)].std()
    assert (which == 0).all()


def test_the_border_is_left_out(prepared):
    fine, template, turns = prepared
    scores, _ = scan(fine, template, turns[:1], 4, REACH, 10**9)
    inner = scores[4:-4, 4:-4, 4:-4]
    assert np.isfinite(inner).all() and np.isfinite(scores).sum() == inner.size


@pytest.mark.parametrize("most", [60_000, 90_000, 140_000])
def test_tiles_do_not_change_the_scores(prepared, most):
    fine, template, turns = prepared
    whole = scan(fine, template, turns, 4, REACH, 10**9)
    assert len(list(tiles(SHAPE, 4, REACH, most))) > 1
    parts = scan(fine, template, turns, 4, REACH, most)
    there = np.isfinite(whole[0])
    assert (
        np.abs(parts[0][there] - whole[0][there]).max() < 0.02 * whole[0].max()
    )  # linear between frequencies of another grid
    assert (parts[1] == whole[1])[there].mean() > 0.95


def test_threads_do_not_change_the_scores(prepared):
    fine, template, turns = prepared
    found = []
    for count in (1, 3):
        device.use_threads(count)
        found.append(scan(fine, template, turns, 4, REACH, 10**9))
    device.use_threads(0)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.cuda
@pytest.mark.skipif(not device.cuda_available(), reason="no CUDA device and no simulator")
@pytest.mark.parametrize("guided", [False, True])
def test_the_gpu_gives_the_same_scores(guided):
    # tiny: numba's simulator runs one thread after the other
    shape, small = (15, 16, 14), blobs(9, seed=2, count=3)
    volume = np.random.default_rng(1).standard_normal(shape, np.float32)
    fine, weighting = apply_matched_filter(volume, wedge_transfer(-60, 60), (0.0, 0.5), True, 8)
    template = MatchingTemplate(mask_template(small, mask(9, 3.0)), 1.0, weighting)
    turns = random_rotations(3, 3)
    guide = surface_guide(np.array([[7, 8, 7.0]]), np.array([[0, 0, 1.0]]), shape, turns, 4.0, 100) if guided else None
    here = scan(fine, template, turns, 2, 4, 10**9, guide)
    there = scan(fine, template, turns, 2, 4, 10**9, guide, device="cuda")
    np.testing.assert_allclose(there[0], here[0], atol=1e-4)
    assert (there[1] == here[1]).mean() > 0.999


def test_tiles_cover_every_place_once():
    seen = np.zeros((50, 61, 47), int)
    for tile in tiles(seen.shape, 5, 9, 30_000):
        seen[tuple(slice(a, b) for a, b in zip(tile.start, tile.stop, strict=True))] += 1
    assert (seen[5:-5, 5:-5, 5:-5] == 1).all() and seen.sum() == 40 * 51 * 37
    assert list(tiles((8, 60, 60), 5, 9, 10**6)) == []


def test_tiles_shrink_with_the_memory(monkeypatch):
    import os

    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 100 if name == "SC_AVPHYS_PAGES" else real(name))
    assert tile_of_memory(10**8) < 10**5
    monkeypatch.setattr(os, "sysconf", lambda name: 10**9 if name == "SC_AVPHYS_PAGES" else real(name))
    assert tile_of_memory(10**8) == 10**8


def test_a_guide_allows_only_its_places_and_orientations(prepared):
    fine, template, _ = prepared
    turns = random_rotations(40, 5)
    guide = surface_guide(np.array([[22, 30, 26.0]]), np.array([[0, 0, 1.0]]), SHAPE, turns, 6.0, 50)
    scores, which = scan(fine, template, turns, 4, REACH, 10**9, guide)
    there = np.argwhere(np.isfinite(scores))
    assert np.linalg.norm(there - [22, 30, 26], axis=1).max() <= 6
    tilt = np.rad2deg(np.arccos(turns[which[np.isfinite(scores)], 2, 2]))
    assert tilt.max() <= 53  # within the cone but for the grid of directions
    assert not surface_guide(np.zeros((0, 3)), np.zeros((0, 3)), SHAPE, turns, 6.0, 50).kind.any()


def test_norms_are_the_deviation_of_scores_in_noise(prepared):
    _, template, turns = prepared
    noise = np.random.default_rng(3).standard_normal((60, 90, 90), np.float32)
    fine, weighting = apply_matched_filter(noise, wedge_transfer(-60, 60), (0.0, 0.5), True, 30)
    own = MatchingTemplate(template.box, 1.0, weighting)
    scores, _ = scan(fine, own, turns[:1], 5, REACH, 10**9)
    assert scores[np.isfinite(scores)].std() == pytest.approx(1, abs=0.08)


def test_the_cut_falls_with_false_alarms_and_rises_with_the_search():
    assert cut_for(1, 1e6) < cut_for(0.1, 1e6) < cut_for(0.1, 1e9)
    assert count_expected_maxima(cut_for(2, 1e7), 1e7) == pytest.approx(2, rel=1e-3)


def test_a_blurred_template_is_less_rough(prepared):
    _, template, turns = prepared
    smooth = MatchingTemplate(mask_template(blobs(25, seed=5, count=1), mask(25, RADIUS)), 1.0, template.weighting)
    assert smooth.roughness(turns) < template.roughness(turns)
