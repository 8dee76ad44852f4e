"""The parts of the search against laws: scores, peaks, threshold, sizes, rotations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from emtomo.compute.blobs import LogOptions
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.picking.bank import TemplateBank, score_templates, shape_with_margin
from emtomo.compute.picking.choice import choose_blobs, choose_templates
from emtomo.compute.picking.options import BlobOptions, TemplateChoice, TemplateOptions
from emtomo.compute.picking.peaks import Peaks, fit_peaks, keep_apart
from emtomo.compute.picking.preparation import crop_frequencies, prepare, search_shape
from emtomo.compute.picking.references import measure_diameter, rotate_image, rotate_templates, view_rotations
from emtomo.compute.picking.search import search_blobs
from emtomo.compute.picking.shapes import draw_blobs
from emtomo.compute.symmetry import symmetry_rotations
from emtomo.errors import EmtomoError


def gaussian(n, y, x, sigma=2.0):
    rows, columns = np.indices((n, n))
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("with_ctf", [False, True])
def test_scores_are_local_correlations(rng, with_ctf):
    """A score is the correlation coefficient under the disc times the root of its pixels, by brute force."""
    m, image = 9, rng.normal(size=(41, 46)).astype(np.float32)
    bank = TemplateBank.of(np.stack([gaussian(m, 4, 4), gaussian(m, 3, 5), gaussian(m, 4, 2, 1.2)]), 5.0, energy=1.0)
    shape = shape_with_margin(image.shape, bank)
    ctf = Ctf.of_defocus(20000.0).image(shape, 5.0) if with_ctf else None
    found = score_templates(image, bank, 1.0, ctf)
    flat = (bank.coefficients @ bank.basis.reshape(len(bank.basis), -1)).reshape(-1, m, m)
    canvas = np.zeros((3, *shape))
    canvas[:, :m, :m] = flat
    seen = canvas if ctf is None else np.fft.irfft2(np.fft.rfft2(canvas) * ctf, shape)
    padded = np.zeros(shape)
    padded[: image.shape[0], : image.shape[1]] = image
    for y, x in ((12, 20), (20, 15), (30, 33)):
        here = image[y - 4 : y + 5, x - 4 : x + 5]
        inside = here[bank.disc > 0]
        mean, deviation = inside.mean(), inside.std()
        scores = []
        for one in seen:
            product = float((one * np.roll(padded, (4 - y, 4 - x), (0, 1))).sum()) - one.sum() * mean
            norm = np.sqrt((one**2).sum() - one.sum() ** 2 / bank.disc.sum())
            scores.append(product / norm / deviation)
        assert_allclose(found.best[y, x], max(scores), atol=2e-4)
        assert found.template[y, x] == int(np.argmax(scores))


def test_noise_scores_have_deviation_one_at_any_sampling(rng):
    """Also where the image was filtered: what a score means does not depend on shrink factor and resolution."""
    noise = rng.normal(size=(300, 320)).astype(np.float32)
    for resolution, shrink in ((20.0, 0.0), (40.0, 0.0), (40.0, 1.0)):
        ready = prepare(noise, 10.0, resolution, white=True, shrink=shrink)
        blobs, _ = draw_blobs(ready.pixel_size, 180, 180, "disc")
        scores = score_templates(ready.image, TemplateBank.of(blobs[1:2], ready.pixel_size), ready.passed).best
        assert_allclose(scores[20:-20, 20:-20].std(), 1, atol=0.12)


@pytest.mark.parametrize(
    ("shrink", "expected"),
    [(0, (300, 360)), (1, (1000, 1200)), (0.5, (500, 600)), (401, (334, 400)), (5000, (1000, 1200))],
)
def test_shrink_factor_as_the_walkthrough_has_it(shrink, expected):
    assert search_shape((1000, 1200), 3.0, 20.0, shrink) == expected


@pytest.mark.parametrize("shape", [(120, 150), (121, 149)])
def test_smaller_images_keep_places(shape):
    image = np.zeros(shape, np.float32)
    image[60, 80] = 1
    small = crop_frequencies(gaussian_filter(image, 6), (40, 50))
    peak = np.array(np.unravel_index(small.argmax(), small.shape)) * np.array(shape) / (40, 50)
    assert np.abs(peak - (60, 80)).max() <= 1.6
    assert_allclose(small.mean(), image.mean(), rtol=1e-3)


@pytest.mark.parametrize("n", [24, 25])
def test_images_turn_about_their_centre_from_x_to_y(n):
    c = n // 2
    turned = rotate_image(gaussian(n, c, c + 5), 90)
    assert_allclose(turned, gaussian(n, c + 5, c), atol=0.02)
    assert_allclose(rotate_image(gaussian(n, c, c), 33), gaussian(n, c, c), atol=0.02)


@pytest.mark.parametrize(("n", "pixel"), [(40, 5.0), (41, 5.0), (33, 7.1), (64, 3.3)])
def test_references_of_any_box_and_pixel_size_stay_centred(n, pixel):
    """A centred reference matches itself at its own centre, to a tenth of a pixel, whatever its sampling."""
    sigma = 40.0 / pixel
    reference = gaussian(n, n // 2, n // 2, sigma)[None]
    templates = rotate_templates(reference, pixel, 10.0, TemplateOptions(angular_step=90, mask_diameter=120))
    for template in templates.bank.basis[:1]:
        weight = np.abs(template)
        centre = [(np.indices(weight.shape)[a] * weight).sum() / weight.sum() for a in (0, 1)]
        assert_allclose(centre, weight.shape[0] // 2, atol=0.1)
    index = np.arange(len(templates.bank))
    assert templates.source(index)[1].tolist() == [0, 90, 180, 270]


def test_diameters_are_measured():
    rows, columns = np.indices((64, 64)) - 32
    disc = (np.hypot(rows, columns) <= 15).astype(np.float32)
    assert abs(measure_diameter(disc[None] + 3) - 30) <= 3


@pytest.mark.parametrize(("symmetry", "most"), [("C1", 48), ("D7", 8), ("O", 6)])
def test_views_cover_all_directions(symmetry, most):
    views = view_rotations(30, symmetry)
    assert len(views) <= most
    assert_allclose(np.einsum("nij,nkj->nik", views, views), np.broadcast_to(np.eye(3), views.shape), atol=1e-12)
    seen = np.einsum("nj,sjk->nsk", views[:, 2], symmetry_rotations(symmetry)).reshape(-1, 3)
    anywhere = Rotation.random(500, random_state=1).as_matrix()[:, 2]
    assert np.rad2deg(np.arccos(np.clip((anywhere @ seen.T).max(axis=1), -1, 1))).max() < 32


def test_two_gaussians_are_recovered(rng):
    scores = np.concatenate([rng.normal(3.0, 0.5, 3000), rng.normal(7.0, 1.0, 500)])
    fit = fit_peaks(scores)
    assert_allclose(fit.means, [3, 7], atol=0.15)
    assert_allclose(fit.spreads, [0.5, 1.0], atol=0.15)
    assert_allclose(fit.shares, [6 / 7, 1 / 7], atol=0.03)
    x = fit.threshold
    density = [s / d * np.exp(-0.5 * ((x - m) / d) ** 2) for s, m, d in zip((6, 1), (3, 7), (0.5, 1.0), strict=True)]
    assert 0.4 < density[0] / density[1] < 2.5
    assert np.isfinite(fit_peaks(np.zeros(0)).threshold)


def test_peaks_apart_are_those_of_a_plain_loop(rng):
    places = rng.uniform(0, 100, (400, 2))
    kept: list[int] = []
    for k, place in enumerate(places):
        if all(np.linalg.norm(place - places[j]) > 7 for j in kept):
            kept.append(k)
    assert keep_apart(places, 7.0).tolist() == kept
    assert keep_apart(np.zeros((0, 2)), 7.0).tolist() == []


def peaks_of(scores, variations=None):
    n = len(scores)
    places = np.column_stack([np.arange(n) * 100.0, np.zeros(n)])
    order = np.argsort(-np.asarray(scores))
    varied = np.ones(n) if variations is None else np.asarray(variations)[order]
    return Peaks(places, np.asarray(scores)[order], np.zeros(n, int), varied, np.ones(n), np.zeros(n))


def test_thresholds_move_in_deviations(rng):
    """The threshold of blobs moves by the particles' spread; responses far above are ice, wherever they score high."""
    scores = np.concatenate([rng.normal(3.0, 0.5, 3000), rng.normal(7.0, 1.0, 500)])
    found = [peaks_of(scores), peaks_of([7.0, 7.0, 30.0], [1, 5, 1])]
    log = {"min_diameter": 100.0, "max_diameter": 100.0, "min_distance": 10.0}
    usual = choose_blobs(found, 1.0, LogOptions(**log))
    moved = choose_blobs(found, 1.0, LogOptions(**log, adjust_threshold=0.5))
    assert_allclose(moved.threshold - usual.threshold, 0.5 * usual.statistics.spreads[1])
    assert sum(map(len, moved.peaks)) < sum(map(len, usual.peaks))
    assert usual.index[1].tolist() == [1]  # neither the score of 30 nor the one in a place of five times the deviation
    all_of_them = choose_blobs(found, 1.0, LogOptions(**log, upper_threshold=99999))
    assert len(all_of_them.peaks[1]) == 3
    low = choose_blobs(found, 1.0, LogOptions(**log, upper_threshold=1.5))
    assert low.upper < usual.upper
    picked = choose_templates(found, 1.0, 10.0, TemplateChoice(threshold=6.5))
    assert sum(map(len, picked.peaks)) == (scores > 6.5).sum() + 3


@pytest.mark.parametrize("contrast", [0.0, 0.6, 1.5, 6.0])
def test_particles_of_any_contrast_and_none(contrast):
    """Strong particles are no ice; where there is nothing, the tail of the noise is not picked."""
    rng = np.random.default_rng(3)
    image, (y, x) = rng.standard_normal((160, 260)).astype(np.float32), np.indices((160, 260))
    truth = [(35.2, 40.7), (40.0, 120.4), (38.6, 210.1), (120.3, 60.2), (118.9, 150.5), (110.0, 225.8)]
    for place in truth:
        image -= contrast * (np.hypot(y - place[0], x - place[1]) < 10)
    options = LogOptions(min_diameter=80, max_diameter=120)
    found = search_blobs(image, 5.0, False, options, BlobOptions())[0].peaks
    chosen = choose_blobs([found], 5.0, options).peaks[0].positions
    if not contrast:
        assert len(chosen) <= 3
        return
    assert len(chosen) == len(truth) and cdist(truth, chosen).min(axis=1).max() < 2


@pytest.mark.parametrize(("shape", "seed"), [((80, 90), 0), ((150, 171), 0), ((300, 320), 3)])
def test_noise_of_any_extent_is_hardly_picked(shape, seed):
    """The noise of a micrograph is not parted into noise and particles, be its peaks few or many."""
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    options = LogOptions(min_diameter=100, max_diameter=160)
    found = search_blobs(image, 6.0, False, options, BlobOptions())[0].peaks
    assert len(choose_blobs([found], 6.0, options).peaks[0]) <= 2


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.ones((60, 60)), {}, "no signal"),
        (np.full((60, 60), np.nan), {}, "3600 values that are no finite numbers"),
        (np.zeros((4, 60, 60)), {}, "movies are not picked on"),
        (np.random.default_rng(0).normal(size=(60, 60)), {"max_diameter": 900.0}, "do not fit into a micrograph"),
        (np.random.default_rng(0).normal(size=(60, 60)), {"min_diameter": 300.0}, "must not be above"),
        (np.random.default_rng(0).normal(size=(60, 60)), {"min_diameter": 10.0}, "smaller than two pixels"),
    ],
)
def test_bad_micrographs_are_refused(image, options, message):
    log = LogOptions(**{"min_diameter": 100.0, "max_diameter": 200.0, **options})
    with pytest.raises(EmtomoError, match=message):
        search_blobs(image, 10.0, False, log, BlobOptions())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 20, 20)), "Reference 1 is empty"),
        (np.stack([gaussian(20, 10, 10), np.full((20, 20), np.nan)]), "Reference 2 holds values"),
        (np.zeros((2, 20, 21)), "square images"),
        (gaussian(20, 10, 10)[None], "smaller than four pixels"),
    ],
)
def test_bad_references_are_refused(images, message):
    with pytest.raises(EmtomoError, match=message):
        rotate_templates(images, 10.0, 10.0, TemplateOptions(mask_diameter=30))
