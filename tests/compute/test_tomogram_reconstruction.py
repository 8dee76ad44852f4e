"""Tomograms from tilt series: the adjoint, places, densities and contrast transfer against truth."""

import numpy as np
import pytest
from scipy import ndimage

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.compute.tilt.operators import AlignedOperator, GeneralOperator, Grid, Heights, is_aligned
from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import ReconstructTomogramOptions
from emtomo.compute.tilt.warps import ImageWarp
from emtomo.errors import EmtomoError

ANGLES = np.linspace(-60, 60, 25)
PLAIN = ReconstructTomogramOptions(dose_weights=False, normalise=False)


def geometry(angles=ANGLES, axis=0.0, x_tilt=0.0, shifts=None, pixel=5.0, **others):
    n = len(angles)
    shifts = np.zeros((n, 2)) if shifts is None else shifts
    columns = {"angle": angles, "tilt_axis_angle": np.full(n, axis), "x_tilt": np.full(n, x_tilt), "dose": np.zeros(n),
               "shift_x": shifts[:, 0], "shift_y": shifts[:, 1], "scale": np.ones(n)}  # fmt: skip
    columns |= {k: others.pop(k) for k in tuple(others) if k.startswith(("defocus", "excluded"))}
    return tilt_geometry(columns, pixel_size=pixel, **others)


def blob_images(g, points, size, pixel, sigma):
    """Return (n, y, x) images of Gaussian blobs at points in Å, through the geometry alone."""
    seen = g.project(np.asarray(points, float))
    y, x = ((np.arange(s) - s // 2) * pixel for s in size)
    out = np.zeros((len(g), *size), np.float32)
    for t in range(len(g)):
        for u, v, _ in seen[t]:
            out[t] += np.exp(-((x[None] - u) ** 2 + (y[:, None] - v) ** 2) / (2 * sigma**2)).astype(np.float32)
    return out


def with_halves(images, g, shape, options):
    """Return a tomogram and its halves."""
    halves = []
    made = reconstruct_tomogram(
        lambda t: images[t], g, shape, 5.0, options, on_halves=lambda *h: halves.extend(v.copy() for v in h)
    )
    return made, halves


def peak_of(volume, near, reach=3):
    """Return x, y, z in voxels of the maximum about a place: the vertex of a paraboloid through the logarithms."""
    i, j, k = (int(round(c)) for c in near)
    box = volume[k - reach : k + reach + 1, j - reach : j + reach + 1, i - reach : i + reach + 1].astype(float)
    top = np.array(np.unravel_index(box.argmax(), box.shape))
    out = np.array([k, j, i]) - reach + top.astype(float)
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        low, middle, high = (np.log(box[tuple(top + s * step)]) for s in (-1, 0, 1))
        out[axis] += 0.5 * (low - high) / (low - 2 * middle + high)
    return out[::-1]


@pytest.mark.parametrize("axis, x_tilt", [(0, 0), (85.3, 0), (-4.0, 3.0)])
def test_back_projection_is_the_adjoint_of_projection(axis, x_tilt):
    rng = np.random.default_rng(1)
    g = geometry(np.array([-58.0, -20, 3, 41]), axis, x_tilt, rng.normal(0, 20, (4, 2)))
    grid = Grid((21, 34, 45), 5.0)
    heights = Heights.of(g, grid, 0.0)
    if is_aligned(g, grid):
        operator, shape = AlignedOperator(g, grid, 5.0, 64, heights), (4, 1, 64, 34)
    else:
        operator, shape = GeneralOperator(g, grid, np.full(2, 5.0), np.array([32.0, 30.0]), heights), (4, 1, 60, 64)
    assert is_aligned(g, grid) == (x_tilt == 0)
    volume, images = (
        rng.standard_normal(operator.shape).astype(np.float32),
        rng.standard_normal(shape).astype(np.float32),
    )
    tilts = np.arange(4)
    there, back = np.zeros(shape, np.float32), np.zeros(operator.shape, np.float32)
    operator.forward(volume, there, tilts)
    operator.back(images, back, tilts)
    left, right = (there.astype(float) * images).sum(), (volume.astype(float) * back).sum()
    assert abs(left - right) < 1e-5 * np.sqrt((there.astype(float) ** 2).sum() * (images.astype(float) ** 2).sum())


@pytest.mark.parametrize("axis, x_tilt", [(0.0, 0.0), (90.0, 0.0), (84.7, 0.0), (-95.0, 0.0), (3.0, 2.5)])
@pytest.mark.parametrize("shape", [(40, 64, 70), (41, 63, 71)])
def test_points_come_back_where_they_are(axis, x_tilt, shape):
    rng = np.random.default_rng(2)
    pixel, points = 5.0, np.array([[80.0, -60, 30], [-101.3, 47.7, -42.6], [0, 0, 0]])
    warp = ImageWarp(*rng.normal(0, 6, (2, 1, 3, 3)), (100 * pixel, 96 * pixel))
    for image_warp in (None, warp):
        g = geometry(axis=axis, x_tilt=x_tilt, shifts=rng.normal(0, 15, (25, 2)), image_warp=image_warp)
        images = blob_images(g, points, (96, 100), pixel, 9.0)
        tomogram = reconstruct_tomogram(images.__getitem__, g, shape, pixel, PLAIN)
        for point in points:
            place = point / pixel + np.array([shape[2] // 2, shape[1] // 2, shape[0] // 2])
            assert np.abs(peak_of(tomogram, place) - place).max() < 0.05


def test_densities_come_back_and_halves_add_up():
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-90, 90, 30), rng.uniform(-90, 90, 30), rng.uniform(-60, 60, 30)])
    g = geometry(np.linspace(-88, 88, 60))
    images = blob_images(g, points, (80, 80), 5.0, 12.0)
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) * 5.0 for n in (48, 64, 64)), indexing="ij")
    truth = sum(np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / (2 * 12.0**2)) for p in points)
    # a Gaussian's line integral is sqrt(2 pi) sigma, in voxels
    truth /= np.sqrt(2 * np.pi) * 12.0 / 5.0
    for weighting in ("ramp", "exact"):
        options = ReconstructTomogramOptions(dose_weights=False, normalise=False, weighting=weighting)
        made, (even, odd) = with_halves(images, g, (48, 64, 64), options)
        a, b = made - made.mean(), truth - truth.mean()
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
        assert (a * b).sum() / (b * b).sum() == pytest.approx(1, abs=0.1)
        assert np.corrcoef(even.ravel(), odd.ravel())[0, 1] > 0.8 and np.abs(even - odd).max() > 0
        assert np.abs((even + odd) / 2 - made).max() < 1e-5 * np.abs(made).max()
    sirt = ReconstructTomogramOptions(method="sirt", iterations=20, dose_weights=False, normalise=False)
    made = reconstruct_tomogram(lambda t: images[t], g, (48, 64, 64), 5.0, sirt)
    assert np.corrcoef(made.ravel(), truth.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("method", ["wbp", "sirt"])
def test_of_a_single_tilt_one_half_is_empty(method):
    image = np.random.default_rng(2).standard_normal((1, 16, 17)).astype(np.float32)
    options = ReconstructTomogramOptions(method=method, iterations=2)
    made, (even, odd) = with_halves(image, geometry(np.zeros(1)), (3, 12, 13), options)
    assert made.std() > 0 and even.std() > 0 and not odd.any()


@pytest.mark.parametrize("axis, x_tilt", [(0.0, 0.0), (90.0, 0.0), (-4.0, 0.0), (180.0, 1.5)])
def test_the_ends_of_the_tilt_axis_are_as_strong_as_the_middle(axis, x_tilt):
    rng = np.random.default_rng(6)
    images = ndimage.gaussian_filter(rng.standard_normal((9, 101, 101)), (0, 1, 1)).astype(np.float32)
    g = geometry(np.linspace(-40, 40, 9), axis, x_tilt)
    made = reconstruct_tomogram(images.__getitem__, g, (21, 101, 60), 5.0, PLAIN)
    middle = made[:, 20:81].std()
    for ends in (made[:, 2:6], made[:, -6:-2]):
        assert ends.std() == pytest.approx(middle, rel=0.15)


def test_aligned_and_general_geometry_give_the_same_tomogram():
    rng = np.random.default_rng(4)
    g = geometry(axis=12.0, shifts=rng.normal(0, 10, (25, 2)))
    tilted = geometry(axis=12.0, x_tilt=0.2, shifts=g.shifts)
    points = rng.uniform(-80, 80, (12, 3)) * (1, 1, 0.6)
    made = []
    for one in (g, tilted):
        images = blob_images(one, points, (80, 84), 5.0, 10.0)
        made.append(reconstruct_tomogram(lambda t, images=images: images[t], one, (40, 60, 60), 5.0, PLAIN))
    fsc = fourier_shell_correlation(*(np.pad(m, ((10, 10), (0, 0), (0, 0))) for m in made))
    assert fsc[1:20].min() > 0.99


@pytest.mark.parametrize("axis", [0.0, -90.0, 180.0])
@pytest.mark.parametrize("shape, pixel, ctf", [((15, 90, 101), 5.0, "full"), ((11, 44, 51), 10.0, "none")])
def test_transforms_and_splines_sample_the_same(axis, shape, pixel, ctf):
    """Images whose rows run along or across the tilt axis are sampled by their transforms, others by splines."""
    rng, k = np.random.default_rng(8), np.hypot(np.fft.fftfreq(97)[:, None], np.fft.rfftfreq(112))
    images = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((7, 97, 112))) * np.exp(-((k / 0.12) ** 2)), (97, 112))
    shifts, options = rng.uniform(-20, 20, (7, 2)), ReconstructTomogramOptions(ctf=ctf)
    still = ImageWarp(*np.zeros((2, 1, 2, 2)), (100.0, 100.0))
    made = []
    for warp in (None, still):  # a warp that moves nothing wants splines
        g = geometry(np.linspace(-60, 60, 7), axis, shifts=shifts, defocus_u=np.full(7, 3e4), image_warp=warp)
        made.append(reconstruct_tomogram(images.astype(np.float32).__getitem__, g, shape, pixel, options))
    inside = np.s_[:, 8:-8, 8:-8]
    assert np.abs(made[0] - made[1])[inside].max() < 0.02 * made[0].std()


def test_ctf_correction_follows_the_height():
    """Contrast at a spacing that the uncorrected tomogram shows inverted comes out right in slabs of defocus."""
    pixel, n, rng = 4.0, 128, np.random.default_rng(5)
    angles = np.linspace(-50, 50, 21)
    g = geometry(angles, pixel=pixel, defocus_u=np.full(21, 30000.0), defocus_v=np.full(21, 30000.0))
    points = np.column_stack([rng.uniform(-180, 180, 60), rng.uniform(-180, 180, 60), rng.uniform(-150, 150, 60)])
    seen = g.project(points)
    kx, ky = np.fft.rfftfreq(n, pixel)[None], np.fft.fftfreq(n, pixel)[:, None]
    blob = np.exp(-2 * np.pi**2 * 4.0**2 * (kx**2 + ky**2))
    images = np.zeros((21, n, n), np.float32)
    plain = np.zeros_like(images)
    for t in range(21):
        ctf = g.take(np.array([t])).local_ctf(seen[t, None, :, 2])[0].values(kx, ky)
        waves = np.exp(
            -2j
            * np.pi
            * (kx * (seen[t, :, 0, None, None] + n // 2 * pixel) + ky * (seen[t, :, 1, None, None] + n // 2 * pixel))
        )
        images[t] = np.fft.irfft2((waves * blob * ctf).sum(axis=0), (n, n))
        plain[t] = np.fft.irfft2((waves * blob).sum(axis=0), (n, n))
    truth = reconstruct_tomogram(lambda t: plain[t], g, (84, 100, 100), pixel, PLAIN)
    curves = {}
    for ctf in ("none", "phase_flip", "full"):
        options = ReconstructTomogramOptions(ctf=ctf, dose_weights=False, normalise=False)
        made = reconstruct_tomogram(lambda t: images[t], g, (84, 100, 100), pixel, options)
        cut = [np.pad(v, ((8, 8), (0, 0), (0, 0))) for v in (made, truth)]
        curves[ctf] = fourier_shell_correlation(*cut)
    fine = slice(22, 45)  # 18 to 9 Å
    assert curves["none"][fine].mean() < 0.3
    assert curves["phase_flip"][fine].min() > 0.6
    assert curves["full"][fine].min() > 0.8


def test_bad_input_is_one_sentence():
    g, image = geometry(), np.zeros((32, 32), np.float32)
    with pytest.raises(EmtomoError, match="All tilts are excluded"):
        reconstruct_tomogram(lambda t: image, geometry(excluded=np.ones(25)), (8, 16, 16), 5.0, PLAIN)
    with pytest.raises(EmtomoError, match="no defocus"):
        reconstruct_tomogram(lambda t: image, g, (8, 16, 16), 5.0, ReconstructTomogramOptions(ctf="full"))
    with pytest.raises(EmtomoError, match="at least half"):
        reconstruct_tomogram(lambda t: image, g, (8, 16, 16), 1.0, PLAIN)
    with pytest.raises(EmtomoError, match="tilt 1: all pixels"):
        reconstruct_tomogram(lambda t: image, g, (8, 16, 16), 5.0, ReconstructTomogramOptions())
    with pytest.raises(EmtomoError, match="tilt 1: the image has pixels"):
        reconstruct_tomogram(lambda t: np.full((32, 32), np.nan), g, (8, 16, 16), 5.0, PLAIN)


@pytest.mark.cuda
@pytest.mark.parametrize("x_tilt", [0.0, 4.0])
def test_cuda_gives_the_same_tomogram(x_tilt):
    angles = np.array([-40.0, 5, 50])
    g = geometry(angles, 7.0, x_tilt, defocus_u=np.full(3, 2e4), defocus_v=np.full(3, 2e4))
    images = np.random.default_rng(6).standard_normal((3, 14, 15)).astype(np.float32)
    options = ReconstructTomogramOptions(ctf="full", slab_thickness=30.0)
    cpu, gpu = (
        reconstruct_tomogram(images.__getitem__, g, (5, 9, 10), 5.0, options, device=device)
        for device in ("cpu", "cuda")
    )
    assert cpu.std() > 0
    assert np.abs(cpu - gpu).max() < 2e-5 * np.abs(cpu).max()
