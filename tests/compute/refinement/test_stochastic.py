"""Initial models from random orientations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.device import cuda_available
from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.plan import HalfSet
from emtomo.compute.matching.match import Matcher
from emtomo.compute.matching.model import MaskedReference
from emtomo.compute.matching.options import ScanOptions
from emtomo.compute.matching.weighting import wedge_transfer
from emtomo.compute.refinement.model_agreement import correlate_models, mirror
from emtomo.compute.refinement.stochastic_gradient import SMALLEST_BOX, InitialModelOptions, StochasticModel
from emtomo.compute.refinement.symmetric_model import impose_symmetry
from emtomo.compute.rotations import random_rotations
from emtomo.errors import EmtomoError
from tests.compute.refinement.data import PIXEL, blobs, image_particles, particles

TRUTH = blobs(32)
SOURCE, POSES, _ = particles(TRUTH, 40, 2.0)
OPTIONS = {"filter_to": 50.0, "iterations": 2, "mask_diameter": 280.0}


def against(model: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the FSC of a model, turned and moved onto the truth."""
    n = truth.shape[0]
    wide = np.zeros((n + 32,) * 3, np.float32)
    wide[16 : 16 + n, 16 : 16 + n, 16 : 16 + n] = model
    wide += 0.02 * model.std() * np.random.default_rng(0).standard_normal(wide.shape, np.float32)
    options = ScanOptions(whiten=False, other_objects=False, local_contrast=False, gold=0, lowpass=40.0)
    template = MaskedReference.of(truth, ball(n, 12, 2.0))
    found = Matcher(wide, PIXEL, True, template, wedge_transfer(-90, 90), options).locate().places
    shift = (found.positions[0] - (16 + n // 2))[::-1]
    return fourier_shell_correlation(rotate_boxes(model[None], found.rotations[:1], shift[None])[0], truth)


@pytest.mark.slow  # grows a model from nothing
@pytest.mark.parametrize("fourier", [True, False])
def test_a_model_grows_from_random_orientations(fourier):
    made = StochasticModel(SOURCE, POSES, InitialModelOptions(fourier=fourier, **OPTIONS))
    first = made.half.reference.copy()
    model = made.run()
    shell = int(32 * PIXEL / 60)
    assert against(model, TRUTH)[shell] > 0.8 > against(first, TRUTH)[shell]
    chosen, poses = made.align_all()
    assert len(chosen) == 40 == made.touched.sum()
    # all particles are turned from their true orientations by the same rotation
    turn = Rotation.from_matrix(poses.rotations[chosen]).inv() * Rotation.from_matrix(POSES.rotations[chosen])
    spread = (turn * turn.mean().inv()).magnitude()
    assert np.rad2deg(np.median(spread)) < 12


def test_the_seed_decides_and_the_model_is_the_same_again():
    options = {**OPTIONS, "iterations": 1, "batches": 3, "batch_size": 5}
    found = [StochasticModel(SOURCE, POSES, InitialModelOptions(seed=seed, **options)).run() for seed in (4, 4, 5)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.1


@pytest.mark.cuda
@pytest.mark.slow  # numba's simulator runs one thread after the other
@pytest.mark.skipif(not cuda_available(), reason="no CUDA device and no simulator")
def test_a_gpu_grows_the_same_model():
    source, poses, _ = particles(blobs(SMALLEST_BOX, count=4), 2, 0.3)
    options = InitialModelOptions(filter_to=60.0, iterations=1, batches=1, batch_size=2, mask_diameter=90.0)
    here, there = (StochasticModel(source, poses, options, device=device) for device in ("cpu", "cuda"))
    start = here.half.reference.copy()
    for model in (here, there):
        model.step()
    assert np.abs(here.half.reference - there.half.reference).max() < 0.02 * np.abs(start).max()
    assert np.abs(here.half.reference - start).max() > 0.1 * np.abs(start).max()
    assert here.half.noise == pytest.approx(there.half.noise, rel=1e-3)


def test_symmetry_can_be_applied_from_the_beginning():
    truth = blobs(32, "C4", count=4)
    source, poses, _ = particles(truth, 24, 1.0)
    model = StochasticModel(
        source, poses, InitialModelOptions(symmetry="C4", apply_symmetry=True, batches=8, **OPTIONS)
    ).run()
    rotated = np.rot90(model[:, 1:, 1:], axes=(1, 2))
    assert np.corrcoef(rotated.ravel(), model[:, 1:, 1:].ravel())[0, 1] > 0.98
    assert against(model, truth)[5] > 0.7


def test_a_reference_is_gone_on_from():
    start = np.roll(TRUTH, 1, axis=0) * 37
    model = StochasticModel(SOURCE, POSES, InitialModelOptions(batches=2, **{**OPTIONS, "iterations": 1}), start)
    correlation = fourier_shell_correlation(model.run(), start)
    assert correlation[5] > 0.9


def test_more_in_a_batch_than_there_are_takes_all():
    few, poses, _ = particles(TRUTH, 3, 1.0)
    made = StochasticModel(few, poses, InitialModelOptions(batch_size=50, iterations=1, batches=2, filter_to=60.0))
    assert np.isfinite(made.run()).all() and made.touched.all()


def test_bad_input_is_reported():
    small, poses, _ = particles(blobs(12), 3, 1.0)
    with pytest.raises(EmtomoError, match="at least 16 voxels"):
        StochasticModel(small, poses, InitialModelOptions())
    with pytest.raises(EmtomoError, match="reference must be 32"):
        StochasticModel(SOURCE, POSES, InitialModelOptions(), TRUTH[:20, :20, :20])
    with pytest.raises(EmtomoError, match="Symmetry must be"):
        StochasticModel(SOURCE, POSES, InitialModelOptions(symmetry="X2"))


@pytest.mark.slow  # grows models from nothing
def test_the_likeliest_of_two_seeds_is_the_molecule_in_either_hand():
    """Of images of single views; a second class beside it stays almost empty."""
    truth = blobs(24)
    source, poses = image_particles(truth, 300, 0.5, np.zeros(1))
    options = {"batch_size": 40, "iterations": 3, "batches": 10, "filter_to": 40.0, "mask_diameter": 200.0}
    models = []
    for seed in (1, 2):
        models.append(
            StochasticModel(
                source, poses, InitialModelOptions(seed=seed, number_of_classes=2, non_negative=True, **options)
            )
        )
        models[-1].run()
    best = max(models, key=lambda model: model.likelihood)
    mean, _ = correlate_models(truth, best.half.reference, PIXEL, 40.0)
    assert mean > 0.9 and best.half.reference.min() >= 0
    chosen, _ = best.align_all()
    assert len(chosen) == (best.touched & (best.numbers == best.best)).sum()


def test_several_models_share_the_particles():
    source, poses, _ = particles(blobs(SMALLEST_BOX, count=4), 8, 0.5)
    options = InitialModelOptions(
        filter_to=60.0, iterations=1, batches=2, batch_size=6, mask_diameter=90.0, number_of_classes=2,
        non_negative=True,
    )  # fmt: skip
    model = StochasticModel(source, poses, options)
    volume = model.run()
    assert volume.min() >= 0 and len(model.halves) == 2 and model.shares.sum() == pytest.approx(1, abs=0.01)
    assert np.isfinite(model.likelihood) and set(model.numbers) <= {0, 1}
    chosen, _ = model.align_all()
    assert len(chosen) == (model.touched & (model.numbers == model.best)).sum()


def test_models_agree_whatever_their_orientation_and_hand():
    truth = blobs(SMALLEST_BOX, count=5)
    turned = rotate_boxes(truth[None], random_rotations(1, 5), np.array([[0.5, -1.0, 0.3]]))[0]
    for volume, hand in ((turned, False), (mirror(turned), True)):
        mean, mirrored = correlate_models(truth, volume, PIXEL, 50.0)
        assert mean > 0.95 and mirrored == hand


def test_models_of_single_images_begin_coarse_and_take_large_batches():
    images, poses = image_particles(blobs(24), 130, 0.5, np.zeros(1))
    options = InitialModelOptions(filter_to=30.0, mask_diameter=200.0, iterations=2, batches=2)
    made = StochasticModel(images, poses, options)
    assert made.batch_size == 100 and made.shell == pytest.approx(24 * PIXEL / 40.0)  # a fifth of the diameter
    made.steps = 2
    assert made.shell == pytest.approx(24 * PIXEL / 30.0)
    boxes = StochasticModel(SOURCE, POSES, InitialModelOptions(filter_to=50.0, mask_diameter=280.0))
    assert boxes.batch_size == 12 and boxes.shells[0] == boxes.shells[1]


def test_a_model_without_symmetry_goes_on_with_it():
    """Its axes are brought to the standard place, and every batch keeps the symmetry."""
    truth = blobs(SMALLEST_BOX, "C4", count=4)
    images, poses = image_particles(truth, 20, 0.3, np.zeros(1))
    options = InitialModelOptions(
        symmetry="C4", filter_to=50.0, mask_diameter=120.0, iterations=3, batches=2, batch_size=10
    )
    made = StochasticModel(images, poses, options)
    turn = random_rotations(1, 8)
    made.halves = [HalfSet(rotate_boxes(truth[None], turn, np.array([[0.4, -0.6, 0.2]]))[0], made.half.noise)]
    more, axes = impose_symmetry(made)
    assert axes.score > 0.9 and more.symmetry == "C4" and more.total == 2
    assert max(abs((one @ axes.rotation)[2, 2]) for one in (turn[0], turn[0].T)) > 0.999
    volume = more.run()[:, 1:, 1:]
    assert np.corrcoef(np.rot90(volume, axes=(1, 2)).ravel(), volume.ravel())[0, 1] > 0.98
