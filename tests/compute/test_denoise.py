"""Beltrami flow and edge-enhancing diffusion against slow float64 versions of the equations, and their laws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.denoise import DenoiseOptions, _blurred, _mean_gradient, _mean_gradient_cuda, denoise
from emtomo.compute.device import select_cuda, use_threads
from emtomo.compute.kernels import diffusion, diffusion_cpu
from emtomo.compute.noise import noise_level
from emtomo.errors import EmtomoError
from tests.conftest import shared

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
SHAPES = [(5, 6, 7), (8, 8, 8), (1, 6, 5), (4, 1, 1), (3, 4, 2)]


def neighbours(v):
    """Return a function that gives v displaced by (z, y, x), the nearest voxel inside standing for one outside."""
    padded = np.pad(v.astype(float), 1, mode="edge")
    n = v.shape

    def at(z, y, x):
        return padded[1 + z : 1 + z + n[0], 1 + y : 1 + y + n[1], 1 + x : 1 + x + n[2]]

    return at


def beltrami_reference(v, dt):
    """Fernandez 2009: I_t = [ (1+Iy²+Iz²)Ixx + ... - 2 Ix Iy Ixy - ... ] / (1+Ix²+Iy²+Iz²)²."""
    at = neighbours(v)
    c = at(0, 0, 0)
    iz, iy, ix = (at(*d) - at(*-np.array(d)) for d in np.eye(3, dtype=int))
    iz, iy, ix = iz / 2, iy / 2, ix / 2
    izz, iyy, ixx = (at(*d) + at(*-np.array(d)) - 2 * c for d in np.eye(3, dtype=int))
    ixy = (at(0, 1, 1) + at(0, -1, -1) - at(0, 1, -1) - at(0, -1, 1)) / 4
    ixz = (at(1, 0, 1) + at(-1, 0, -1) - at(1, 0, -1) - at(-1, 0, 1)) / 4
    iyz = (at(1, 1, 0) + at(-1, -1, 0) - at(1, -1, 0) - at(-1, 1, 0)) / 4
    g = 1 + ix**2 + iy**2 + iz**2
    top = (1 + iy**2 + iz**2) * ixx + (1 + ix**2 + iz**2) * iyy + (1 + ix**2 + iy**2) * izz
    top -= 2 * (ix * iy * ixy + ix * iz * ixz + iy * iz * iyz)
    return c + dt * top / g**2


@pytest.mark.parametrize("shape", SHAPES)
def test_beltrami_equals_the_equation(shape, rng):
    v = rng.normal(size=shape).astype(np.float32)
    out = np.empty_like(v)
    diffusion_cpu.beltrami_cpu(v, np.float32(0.6), out)
    assert_allclose(out, beltrami_reference(v, 0.15), atol=2e-5)


def test_the_same_body_runs_as_plain_python(rng):
    v = rng.normal(size=(3, 3, 3)).astype(np.float32)
    value = diffusion.beltrami_voxel(v, 1, 0, 2, 1, 0, 2, 1, 0, 2, np.float32(0.6))
    assert_allclose(value, beltrami_reference(v, 0.15)[1, 1, 1], atol=1e-5)


@pytest.mark.parametrize(("linear", "expected"), [(False, [0, 1, 1]), (True, [0, 0, 1])])
def test_tensor_stops_diffusion_across_the_edge(linear, expected, rng):
    """With g = 0 the eigenvalues are those that Weickert's EED (planar) and the linear form prescribe."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.random(random_state=1).as_matrix()
    j = (turn @ np.diag([1e4, 300.0, 1.0]) @ turn.T).astype(np.float32)
    d = diffusion.tensor_voxel(j[0, 0], j[1, 1], j[2, 2], j[0, 1], j[0, 2], j[1, 2], np.float32(1.0), linear)
    tensor = np.array([[d[0], d[3], d[4]], [d[3], d[1], d[5]], [d[4], d[5], d[2]]])
    assert_allclose(np.diag(turn.T @ tensor @ turn), expected, atol=2e-3)


def test_diffusivity_equals_weickert():
    s2 = np.array([0.01, 0.3, 0.7, 1.0, 1.5, 3.0, 100.0], np.float32)
    ours = np.array([diffusion.diffusivity(s, np.float32(1.0)) for s in s2])
    assert_allclose(ours, 1 - np.exp(-3.31488 / s2.astype(float) ** 4), atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_do_not_change_the_result(shape, rng):
    v = rng.normal(size=shape).astype(np.float32)
    whole, tiled = np.empty_like(v), np.empty_like(v)
    arguments = (np.float32(0.1), np.float32(1 / 108), False)
    diffusion_cpu.eed_cpu(v, *arguments, 64, 16, whole)
    diffusion_cpu.eed_cpu(v, *arguments, 2, 3, tiled)
    assert_allclose(tiled, whole, atol=1e-6)


@pytest.mark.parametrize("method", ["eed", "bflow"])
def test_strong_contrast_threshold_makes_eed_plain_diffusion(method, rng):
    """Where g = 1 the tensor is the identity: one step is dt times the Laplacian."""
    v = rng.normal(size=(6, 7, 8)).astype(np.float32)
    out = np.empty_like(v)
    diffusion_cpu.eed_cpu(v, np.float32(0.1), np.float32(1e-12), False, 64, 16, out)
    at = neighbours(v)
    laplacian = sum(at(*d) + at(*-np.array(d)) - 2 * v.astype(float) for d in np.eye(3, dtype=int))
    assert_allclose(out, v + 0.1 * laplacian, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", ["eed", "bflow"])
@pytest.mark.parametrize("shape", [(5, 6, 4), (4, 5, 7), (19, 3, 4)])
def test_devices_agree(device, method, shape, rng):
    v = rng.normal(size=shape).astype(np.float32)
    options = DenoiseOptions(method=method, iterations=2)
    assert_allclose(denoise(v, options, device=device), denoise(v, options), atol=1e-4)


@pytest.mark.parametrize("options", [DenoiseOptions(), DenoiseOptions(method="bflow"), DenoiseOptions(linear=True)])
def test_offset_scale_and_axes_do_not_matter(options, rng):
    v = rng.normal(size=(16, 16, 16)).astype(np.float32)
    plain = denoise(v, options)
    assert_allclose(denoise(50 * v + 1000, options), 50 * plain + 1000, atol=0.05)
    assert_allclose(denoise(v.transpose(2, 0, 1), options), plain.transpose(2, 0, 1), atol=2e-3)
    assert_allclose(denoise(v[::-1], options), plain[::-1], atol=2e-3)


@pytest.mark.parametrize(("depth", "sigma"), [(1, 0.5), (2, 3.0), (7, 0.5), (30, 1.0), (41, 2.5)])
def test_slabs_are_blurred_as_the_whole(depth, sigma, rng):
    from scipy.ndimage import gaussian_filter

    v = rng.normal(size=(depth, 9, 8)).astype(np.float32)
    np.testing.assert_array_equal(_blurred(v, sigma), gaussian_filter(v, sigma))


@pytest.mark.cuda
def test_a_gpu_takes_the_mean_gradient_as_the_cpu_does(rng):
    v = rng.normal(size=(9, 5, 6)).astype(np.float32)
    cuda = select_cuda("cuda")
    assert _mean_gradient_cuda(cuda.to_device(v), cuda) == pytest.approx(_mean_gradient(v), rel=1e-6)


def test_result_does_not_depend_on_the_number_of_threads(rng):
    v = rng.normal(size=(40, 20, 20)).astype(np.float32)
    try:
        use_threads(1)
        one = denoise(v, DenoiseOptions())
    finally:
        use_threads(0)
    assert_allclose(denoise(v, DenoiseOptions()), one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7), (200, 12, 11)])
def test_mean_gradient_is_that_of_central_differences(shape, rng):
    v = rng.normal(size=shape).astype(np.float32)
    at = neighbours(v)
    gradient = np.sqrt(sum(((at(*d) - at(*-np.array(d))) / 2) ** 2 for d in np.eye(3, dtype=int)))
    assert _mean_gradient(v) == pytest.approx(gradient.mean(), rel=1e-5 if shape[0] < 64 else 0.01)


def test_noise_goes_and_an_edge_stays(rng):
    step = np.zeros((40, 40, 40), np.float32)
    step[:, :, 20:] = 6.0
    noisy = step + rng.normal(size=step.shape).astype(np.float32)
    calm = denoise(noisy, DenoiseOptions(iterations=20))
    assert calm[:, :, 5:15].std() < 0.2 * noisy[:, :, 5:15].std()
    profile = calm.mean(axis=(0, 1))
    assert profile[21] - profile[18] > 0.85 * 6.0


def test_noise_level_of_white_noise_is_its_deviation(rng):
    smooth = np.linspace(0, 30, 64)[None, None, :]
    assert noise_level(smooth + rng.normal(0, 2.5, (20, 64, 64))) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.zeros((4, 4)), "three axes"),
        (np.zeros((0, 4, 4)), "at least one voxel"),
        (np.full((4, 4, 4), np.nan), "NaN"),
    ],
)
def test_bad_volumes_get_a_sentence(volume, message):
    with pytest.raises(EmtomoError, match=message):
        denoise(volume, DenoiseOptions())


def test_an_unstable_step_is_refused():
    with pytest.raises(EmtomoError, match=r"Time step must be <= 0.15, got 0.2"):
        denoise(np.zeros((4, 4, 4)), DenoiseOptions(time_step=0.2))


def test_a_constant_volume_stays_constant():
    assert_allclose(denoise(np.full((6, 6, 6), 7.0), DenoiseOptions()), 7.0, atol=1e-4)


@pytest.mark.slow
def test_phantom_gains_more_contrast_than_any_gaussian_that_leaves_edges_as_sharp():
    """Membranes and ribosomes of the peer-made phantom: contrast over the deviation of the background.

    Sharpness is the width, at half depth, of the membrane's profile about the first sphere.
    """
    import mrcfile
    import pandas as pd
    from scipy.ndimage import gaussian_filter

    with mrcfile.open(shared("phantom_tomogram", "tomo_001_rec_snr0.5.mrc.gz")) as file:
        tomogram = file.data
    with mrcfile.open(shared("phantom_tomogram", "tomo_001_lbl.mrc.gz")) as file:
        labels = file.data
    sphere = pd.read_csv(shared("phantom_tomogram", "truth_spheres_fitted.csv")).iloc[0]
    z, y, x = (g - c / 10 for g, c in zip(np.ogrid[tuple(map(slice, labels.shape))],
                                          (sphere.z_A, sphere.y_A, sphere.x_A), strict=True))  # fmt: skip
    distance = np.sqrt(z**2 + y**2 + x**2) - sphere.r_A / 10
    near = np.flatnonzero((np.abs(z) < 15) & (np.abs(distance) < 12.5))
    near = near[np.argsort(distance.flat[near])]
    distance = distance.flat[near]
    outside, *particles = (np.flatnonzero(labels == k) for k in (0, 1, 3))

    def contrast(volume):
        background = volume.flat[outside]
        return np.array([(background.mean() - volume.flat[k].mean()) / background.std() for k in particles])

    def width(volume):
        steps, across = np.arange(-12, 12.1, 0.5), volume.flat[near]
        bounds = zip(*(np.searchsorted(distance, steps + s) for s in (-0.3, 0.3)), strict=True)
        profile = np.array([across[low:high].mean() for low, high in bounds])
        profile -= np.median(np.r_[profile[:8], profile[-8:]])
        return 0.5 * (profile < profile.min() / 2).sum()

    calm = denoise(tomogram, DenoiseOptions(iterations=60))
    blurred = [gaussian_filter(tomogram, s) for s in (0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3)]
    as_sharp = [v for v in blurred if width(v) <= width(calm)]
    assert len(as_sharp) >= 3
    assert (contrast(calm) > 1.25 * np.max([contrast(v) for v in as_sharp], axis=0)).all()
    assert (contrast(calm) > np.max([contrast(v) for v in blurred], axis=0)).all()
