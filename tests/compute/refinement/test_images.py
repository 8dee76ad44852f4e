"""Refinement, reconstruction and initial models from images: tilt series and single ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.likelihood.poses import Poses
from emtomo.compute.refinement.checkpoint import pack_state, unpack_state
from emtomo.compute.refinement.options import RefineOptions
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.compute.refinement.refine import Refinement
from emtomo.compute.refinement.stochastic_gradient import InitialModelOptions, StochasticModel
from emtomo.compute.rotations import angle_between
from tests.compute.refinement.data import GroupedByTilt, blobs, image_particles, particles, turned_by

N = 20
VOLUME = blobs(N)
ANGLES = np.arange(-60, 61, 12.0)


def away(truth: Poses, degrees: float = 10.0) -> Poses:
    return Poses(turned_by(truth.rotations, degrees, 2), np.zeros_like(truth.shifts), truth.half)


@pytest.mark.parametrize("angles", [ANGLES, np.zeros(1)], ids=["series", "single"])
def test_refinement_from_images_returns_from_ten_degrees(angles):
    count, noise = (16, 1.0) if len(angles) > 1 else (120, 0.3)
    source, truth = image_particles(VOLUME, count, noise, angles)
    options = RefineOptions(initial_lowpass=60.0, angular_step=1.8, mask_diameter=180.0, max_iterations=4)
    result = Refinement(source, away(truth), VOLUME, options).run()
    seen = 3 if len(angles) > 1 else 2  # nothing tells how far along the beam a single image's particle is
    common = Rotation.from_matrix(np.swapaxes(result.poses.rotations, 1, 2) @ truth.rotations).mean().as_matrix()
    assert np.median(angle_between(result.poses.rotations @ common, truth.rotations)) < 1.7  # all may turn together
    assert np.median(np.abs(result.poses.shifts - truth.shifts)[:, :seen]) < 0.2
    against = fourier_shell_correlation(result.average, VOLUME)
    assert against[1:6].min() > (0.92 if len(angles) > 1 else 0.96)


def test_reconstruction_from_images_is_as_good_as_from_boxes():
    source, truth = image_particles(VOLUME, 40, 0.0, ANGLES)
    boxes, poses, _ = particles(VOLUME, 40, 0.0)
    images, whole = (
        fourier_shell_correlation(reconstruct(s, p).average, VOLUME) for s, p in ((source, truth), (boxes, poses))
    )
    assert (images[1:8] > whole[1:8] - 0.02).all()
    assert images[1:8].min() > 0.98


def test_orientations_are_found_in_a_search_over_all_of_them():
    """Tilt series are searched by the 3D sums of their views."""
    source, truth = image_particles(VOLUME, 8, 0.5, ANGLES)
    start = Poses(np.repeat(np.eye(3)[None], 8, 0), np.zeros((8, 3)), truth.half)
    options = RefineOptions(initial_lowpass=50.0, angular_step=12.0, mask_diameter=180.0, offset_range=2.0)
    refinement = Refinement(source, start, VOLUME, options)
    state, *_ = refinement.step(refinement.begin())
    assert (angle_between(state.poses.rotations, truth.rotations) < 5).mean() > 0.8


def test_noise_is_measured_for_every_group_of_views():
    source, truth = image_particles(VOLUME, 6, 1.0, ANGLES[:2])
    loud = source.views.images
    loud[:, 1] *= 3.0
    grouped = type(source)(
        source.size, source.pixel_size, source.counts, GroupedByTilt(source.views), noise_groups=2
    )  # fmt: skip
    options = RefineOptions(initial_lowpass=60.0, angular_step=1.8, mask_diameter=180.0)
    noise = Refinement(grouped, truth, VOLUME, options).begin().halves[1].noise
    first, second = np.split(noise, 2)
    assert np.median(second[2:8] / first[2:8]) > 3.0


def test_the_strength_of_every_tilt_is_measured():
    """A tilt that shows particles at a third counts as one; weights and data follow."""
    source, truth = image_particles(VOLUME, 16, 0.0, ANGLES)
    images, rng = source.views.images, np.random.default_rng(1)
    strength = np.where(np.arange(len(ANGLES)) % 3 == 1, 1 / 3, 1.0)
    images *= strength[:, None, None].astype(np.float32)
    images += 0.3 * images.std() * rng.normal(size=images.shape)
    counts, groups = source.counts, len(ANGLES)
    grouped = type(source)(source.size, source.pixel_size, counts, GroupedByTilt(source.views), noise_groups=groups)
    options = RefineOptions(initial_lowpass=60.0, angular_step=1.8, mask_diameter=180.0)
    refinement = Refinement(grouped, truth, VOLUME, options)
    state = refinement.begin()
    for _ in range(2):
        state, *_ = refinement.step(state)
    for half in state.halves.values():
        assert np.allclose(half.scale / half.scale.max(), strength, atol=0.12)
    again, _ = unpack_state(pack_state(state, [], ""))
    assert np.array_equal(again.halves[2].scale, state.halves[2].scale)


def test_an_initial_model_grows_from_images():
    source, truth = image_particles(VOLUME, 24, 0.5, ANGLES)
    options = InitialModelOptions(filter_to=60.0, iterations=1, batches=4, batch_size=8, mask_diameter=180.0)
    blurred = np.roll(VOLUME, 1, axis=0) * 20
    model = StochasticModel(source, truth, options, blurred)
    correlation = fourier_shell_correlation(model.run(), VOLUME)
    assert np.isfinite(model.half.reference).all()
    assert correlation[1:3].min() > 0.9
