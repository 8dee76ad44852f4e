"""2D classification of images whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from emtomo.compute.checkpoint import stamp_of
from emtomo.compute.classification.averages import centres_of_mass, offsets_in_images
from emtomo.compute.classification.checkpoint import pack_state, unpack_state
from emtomo.compute.classification.classify import Classification
from emtomo.compute.classification.options import ClassificationOptions
from emtomo.compute.classification.selection import discount_gain
from emtomo.compute.device import cuda_available, use_threads
from emtomo.errors import EmtomoError
from tests.compute.classification.data import DIAMETER, PIXEL, best_correlation, purity, simulate


def classify(images, *, classes=4, iterations=10, ctf=True, device="cpu", **options):
    chosen = ClassificationOptions(
        number_of_classes=classes, iterations=iterations, mask_diameter=DIAMETER, ctf_correction=ctf, **options
    )
    return Classification(images.values, PIXEL, chosen, images.ctf if ctf else None, images.group, device=device)


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)
    yield
    use_threads(0)


@pytest.fixture(scope="module")
def images():
    return simulate(32, 240, 4, 0.4)


@pytest.fixture(scope="module")
def result(images):
    use_threads(1)
    return classify(images, classes=6).run()


def test_classes_are_the_kinds(images, result):
    assert purity(images.label, result.class_index) > 0.97
    assert result.members.sum() == len(images.label)
    assert np.array_equal(result.members, np.bincount(result.class_index, minlength=6))
    for k in np.flatnonzero(result.members > 20):
        kind = np.bincount(images.label[result.class_index == k]).argmax()
        assert best_correlation(result.averages[k], images.shapes[kind]) > 0.93


def test_poses_are_the_truth_in_every_class_up_to_a_turn(images, result):
    """psi turns the average into the particle, from x towards y: the opposite of RELION's."""
    for k in np.flatnonzero(result.members > 20):
        kind = np.bincount(images.label[result.class_index == k]).argmax()
        mine = (result.class_index == k) & (images.label == kind)
        turn = np.exp(1j * np.deg2rad(result.psi[mine] + images.psi[mine]))
        mean = turn.mean()
        assert np.median(np.abs(np.angle(turn / mean, deg=True))) < 4.0
        # averages are centred by what is clearly white, shapes by all their mass: they differ by a constant
        off = offsets_in_images(result.shift[mine] - images.shift[mine], -images.psi[mine])
        assert np.median(np.hypot(*(off - np.median(off, axis=0)).T)) < 0.5
        assert np.abs(centres_of_mass(result.averages[k : k + 1])).max() < 0.6


@pytest.mark.parametrize("n", [32, 33])
def test_odd_and_even_boxes(n):
    odd = simulate(n, 100, 2, 0.5)
    found = classify(odd, classes=2, iterations=6).run()
    assert purity(odd.label, found.class_index) > 0.97


def test_junk_has_the_lowest_rank():
    """Noise has the lowest gain; dense pieces, no two alike, gain much, but their averages explain little of them."""
    mixed = simulate(32, 160, 3, 0.25, junk=50)
    rng, (y, x) = np.random.default_rng(2), np.indices((32, 32)) - 16
    for image in mixed.values[-25:]:
        for cy, cx in rng.uniform(-6, 6, (4, 2)):
            width = rng.uniform(2, 3.5)
            image += 1.5 * mixed.values.std() * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    found = classify(mixed, classes=6).run()

    def area_under_curve(rank):
        real, junk = rank[found.class_index][mixed.label >= 0], rank[found.class_index][mixed.label < 0]
        return (real[:, None] > junk).mean() + 0.5 * (real[:, None] == junk).mean()

    assert area_under_curve(found.class_gain) < 0.6
    assert area_under_curve(discount_gain(found.class_gain, found.explained)) > 0.9
    dense = np.bincount(found.class_index[-25:], minlength=6).argmax()
    assert found.explained[dense] < 0.7 and np.delete(found.explained, dense).min() > 0.85


def test_two_threads_give_the_same_to_the_last_bit(images):
    found = []
    for count in (1, 2, 3):
        use_threads(count)
        one = classify(images)
        found.append(one.step(one.step(one.begin())[0])[0])
    for other in found[1:]:
        assert all(np.array_equal(getattr(found[0], name), getattr(other, name)) for name in vars(other))


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_available(), reason="no CUDA device and no simulator")
@pytest.mark.parametrize("options", [{"classes": 2}, {"classes": 1, "psi_step": 30.0}])  # fewer angles than cells
def test_a_gpu_gives_the_same_up_to_rounding(options):
    few = simulate(32, 60, 2, 0.4, groups=2)
    here, there = (classify(few, iterations=2, device=device, **options).run() for device in ("cpu", "cuda"))
    assert np.array_equal(here.class_index, there.class_index) and np.array_equal(here.psi, there.psi)
    assert np.abs(here.averages - there.averages).max() < 1e-5 * np.abs(here.averages).max()
    assert there.gain == pytest.approx(here.gain, abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"mini_batches": 4, "zero_mask": False}])
def test_a_kept_state_goes_on_as_if_nothing_had_happened(images, options):
    """Images are transformed anew about the centres of the kept state."""
    whole = classify(images, iterations=4, **options)
    state, one = whole.step(whole.begin())
    state, two = whole.step(state)
    kept = pack_state(state, [one, two], "abc")
    assert all(value.dtype != object for value in kept.values())
    again, metrics = unpack_state(kept)
    assert stamp_of(kept) == "abc" and metrics == [one, two]
    there, here = whole.step(state)[0], classify(images, iterations=4, **options).step(again)[0]
    assert all(np.array_equal(getattr(there, name), getattr(here, name)) for name in vars(there))
    # killed between the last iteration and the end
    there, here = (vars(one.finish(state, metrics)) for one in (whole, classify(images, iterations=2, **options)))
    np.testing.assert_equal(here, there)
    assert options or np.ptp(there["explained"]) > 0


def test_a_state_of_something_else_is_refused():
    with pytest.raises(EmtomoError, match="iteration of this version"):
        unpack_state({"record": np.array('{"stamp": "a", "metrics": []}')})
    with pytest.raises(EmtomoError, match="iteration of this version"):
        stamp_of({})


@pytest.mark.parametrize(
    "options",
    [
        {"zero_mask": False},
        {"ctf": False},
        {"ignore_first_peak": True},
        {"max_resolution": 25.0},
        {"correct_contrast": False},
        {"psi_step": 10.0, "offset_step": 1.5, "offset_range": 4.0},
    ],
)
def test_every_option_still_finds_the_kinds(options):
    few = simulate(32, 120, 2, 0.4, groups=3)
    found = classify(few, classes=2, iterations=6, **options).run()
    assert purity(few.label, found.class_index) > 0.95


def test_mini_batches_and_fast_subsets_assign_every_particle():
    many = simulate(32, 700, 3, 0.4)
    batches = classify(many, classes=3, mini_batches=12).run()
    subsets = classify(many, classes=3, iterations=6, fast_subsets=True).run()
    for found in (batches, subsets):
        assert found.members.sum() == 700 and (found.class_index >= 0).all()
        assert purity(many.label, found.class_index) > 0.97
    assert [m.particles for m in batches.metrics][0] < 700 and batches.metrics[-1].particles == 700
    assert [m.particles for m in subsets.metrics] == [300] * 5 + [700]


def test_the_contrast_of_groups_is_found():
    uneven = simulate(32, 160, 2, 0.6, groups=2)
    quiet = simulate(32, 160, 2, 1e9, groups=2).values  # the same images without noise
    more = np.where(uneven.group == 1, 0.3, -0.2)[:, None, None].astype(np.float32)
    one = classify(replace(uneven, values=uneven.values + more * quiet), classes=2, iterations=6)
    state = one.begin()
    while not one.has_ended(state):
        state, _ = one.step(state)
    # grey scales are those of the noise outside of the mask, which all have in common
    assert state.contrast[1] / state.contrast[0] == pytest.approx(1.3 / 0.8, rel=0.12)


def test_no_class_stays_empty(images):
    """Expectation-maximisation alone, from random shares, leaves most classes empty."""
    found = classify(images, classes=8, iterations=10).run()
    assert (found.members > 0).sum() == 8


def test_bad_input_is_said_in_a_sentence(images):
    with pytest.raises(EmtomoError, match="240 particles cannot make 241 classes"):
        classify(images, classes=241)
    broken = images.values.copy()
    broken[16, 3, 3] = np.nan
    with pytest.raises(EmtomoError, match="1 of 240 images hold values that are not numbers; the first is image 17"):
        classify(replace(images, values=broken))
    flat = images.values.copy()
    flat[2] = 1.0
    with pytest.raises(EmtomoError, match="Image 3 is constant"):
        classify(replace(images, values=flat))
    options = ClassificationOptions(number_of_classes=1, mask_diameter=100.0)
    with pytest.raises(EmtomoError, match="no images"):
        Classification(np.zeros((0, 32, 32)), PIXEL, options, images.ctf)
    with pytest.raises(EmtomoError, match="needs the CTF"):
        Classification(images.values, PIXEL, options)
    with pytest.raises(EmtomoError, match="squares"):
        Classification(np.zeros((3, 32, 30)), PIXEL, options, images.ctf)
    with pytest.raises(EmtomoError, match="at least 16 pixels"):
        Classification(np.ones((3, 8, 8)), PIXEL, options, images.ctf)
    with pytest.raises(EmtomoError, match="Mask diameter must be given"):
        Classification(images.values, PIXEL, ClassificationOptions(number_of_classes=1), images.ctf)
