import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.fft import fftn, fftshift, ifftn, ifftshift

from emtomo.compute.fourier.resampling import bin_volume, resample, resampling_matrix
from emtomo.compute.linear_algebra import multiply
from emtomo.compute.positions import centre
from emtomo.errors import EmtomoError


def blob(shape, offset, sigma):
    """A Gaussian at `offset` voxels (zyx) from the centre."""
    grids = np.meshgrid(*[np.arange(n) - n // 2 - o for n, o in zip(shape, offset, strict=True)], indexing="ij")
    return np.exp(-sum(g**2 for g in grids) / (2 * sigma**2)).astype(np.float32)


def centre_of_mass(volume):
    total = volume.sum(dtype=float)
    return np.array([(np.indices(volume.shape)[k] * volume).sum(dtype=float) / total for k in range(3)])


@pytest.mark.parametrize("shape", [(40, 48, 56), (41, 47, 55), (40, 45, 50)])
@pytest.mark.parametrize("factor", [1.0, 2.0, 3.0, 1.5, 1.37])
def test_a_blob_stays_where_it_is_in_angstrom(shape, factor):
    offset = np.array([2.3, -3.7, 4.1])
    binned = bin_volume(blob(shape, offset, 3.5), factor)
    place = (centre_of_mass(binned) - centre(binned.shape)) * factor
    # a hundredth of a voxel of the input, as the issue asks
    assert_allclose(place, offset, atol=0.01)


@pytest.mark.parametrize("n", [32, 48])
def test_equals_cropping_the_fourier_transform_about_the_centre(n, rng):
    volume = rng.normal(size=(n, n, n)).astype(np.float32)
    m, low = n // 2, n // 2 - n // 4
    spectrum = fftshift(fftn(ifftshift(volume)))[low : low + m, low : low + m, low : low + m].copy()
    # the Nyquist plane is shared between both signs; cropping alone would keep one of them
    for axis in range(3):
        spectrum[(slice(None),) * axis + (0,)] = 0
    cropped = fftshift(ifftn(ifftshift(spectrum))).real / 8
    ours = bin_volume(volume, 2.0)
    without_nyquist = fftshift(fftn(ifftshift(ours)))
    for axis in range(3):
        without_nyquist[(slice(None),) * axis + (0,)] = 0
    assert_allclose(fftshift(ifftn(ifftshift(without_nyquist))).real, cropped, atol=2e-6)


def test_factor_one_changes_nothing(rng):
    volume = rng.normal(size=(7, 8, 9)).astype(np.float32)
    assert_allclose(bin_volume(volume, 1.0), volume, atol=1e-5)


def test_the_mean_of_a_constant_stays():
    assert_allclose(bin_volume(np.full((10, 11, 12), 3.0, np.float32), 1.7), 3.0, rtol=1e-5)


def test_binning_slice_by_slice_is_resampling_of_the_whole(rng):
    volume = rng.normal(size=(20, 17, 16)).astype(np.float32)
    assert_allclose(bin_volume(volume, 2.0), resample(volume, (10, 8, 8), 2.0), atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_products_are_those_of_numpy_in_every_order(rng, kind):
    left, right = rng.normal(size=(2, 3, 5, 7)).astype(kind)
    for a, b in ((left, right.swapaxes(1, 2)), (left[:, ::2], right.swapaxes(1, 2)[..., ::-1])):
        assert_allclose(multiply(a, b), a @ b, rtol=1e-5, atol=1e-6)
        assert_allclose(multiply(a[1], b[1]), a[1] @ b[1], rtol=1e-5, atol=1e-6)
        assert multiply(a, b).dtype == kind


def test_finer_sampling_then_coarser_returns_the_input():
    smooth = blob((16, 16, 16), (0.5, -1.2, 0.3), 2.0)  # nothing at the Nyquist frequency, which is halved
    finer = resample(smooth, (32, 32, 32), 0.5)
    assert_allclose(resample(finer, (16, 16, 16), 2.0), smooth, atol=1e-4)


def test_rows_of_the_matrix_sum_to_one():
    assert_allclose(resampling_matrix(37, 20, 1.8).sum(axis=1), 1, rtol=1e-5)


def test_a_factor_below_one_is_refused():
    with pytest.raises(EmtomoError, match="must be at least 1, got 0.5"):
        bin_volume(np.zeros((4, 4, 4)), 0.5)
