"""Cutting, turning and averaging boxes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from emtomo.compute.averaging import fourier_average, rotate_boxes, wedge_weights
from emtomo.compute.extraction import ExtractOptions, box_starts, extract, fits
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation, resolution_at
from emtomo.compute.rotations import random_rotations, zyx
from emtomo.errors import EmtomoError
from emtomo.synthetic.shapes import MEMBRANE_PROTEIN, place, protein_density

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
PLAIN = {"invert": False, "normalize": "none"}


@pytest.mark.parametrize("box", [8, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int8, np.uint16, ">f4", np.float16])
def test_boxes_are_slices_of_the_tomogram(box, dtype, rng):
    volume = rng.integers(0, 100, (20, 24, 28)).astype(dtype)
    starts, rest = box_starts(np.array([[10.0, 12.0, 14.0], [9.6, 11.4, 13.7]]), box)
    out = np.empty((2, box, box, box), np.float32)
    extract(volume, starts, ExtractOptions(box_size=box, **PLAIN), out)
    z, y, x = starts[0]
    assert_array_equal(out[0], volume[z : z + box, y : y + box, x : x + box].astype(np.float32))
    assert out[0, box // 2, box // 2, box // 2] == volume[10, 12, 14]
    assert_allclose(rest[1], [-0.4, 0.4, -0.3])


def test_padding_repeats_the_edge_and_fits_tells_which_boxes_need_it(rng):
    volume = rng.normal(size=(10, 10, 10)).astype(np.float32)
    starts, _ = box_starts(np.array([[0.0, 5, 9], [5, 5, 5]]), 6)
    assert fits(starts, 6, volume.shape).tolist() == [False, True]
    out = np.empty((2, 6, 6, 6), np.float32)
    extract(volume, starts, ExtractOptions(box_size=6, **PLAIN), out)
    padded = np.pad(volume, 6, mode="edge")
    z, y, x = starts[0] + 6
    assert_array_equal(out[0], padded[z : z + 6, y : y + 6, x : x + 6])


@pytest.mark.parametrize(("how", "box"), [("background", 16), ("background", 15), ("edge", 16)])
def test_background_gets_mean_zero_and_deviation_one(how, box, rng):
    volume = rng.normal(5, 3, (20, 20, 20)).astype(np.float32)
    out = np.empty((1, box, box, box), np.float32)
    options = ExtractOptions(box_size=box, invert=True, normalize=how, background_diameter=10)
    extract(volume, np.array([[1, 2, 3]]), options, out)
    grid = np.indices((box,) * 3) - box // 2
    if how == "background":
        background = (grid**2).sum(axis=0) > 25
    else:
        faces = (0, box - 1)
        background = np.isin(np.indices((box,) * 3), faces).any(axis=0)
    assert out[0][background].mean() == pytest.approx(0, abs=1e-4)
    assert out[0][background].std() == pytest.approx(1, abs=1e-4)
    cut = volume[1 : 1 + box, 2 : 2 + box, 3 : 3 + box]
    assert np.corrcoef(out[0].ravel(), cut.ravel())[0, 1] == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("factor", [2.0, 1.5])
def test_downsampling_keeps_the_centre(factor):
    grid = np.indices((24, 24, 24)) - 12
    volume = np.exp(-(grid**2).sum(axis=0) / 18).astype(np.float32)
    options = ExtractOptions(box_size=24, downsampling=factor, **PLAIN)
    m = options.final_box
    out = np.empty((1, m, m, m), np.float32)
    extract(volume, np.array([[0, 0, 0]]), options, out)
    assert np.unravel_index(out.argmax(), out.shape) == (0, m // 2, m // 2, m // 2)
    assert_allclose(
        out[0], np.flip(np.pad(out[0], 1 - m % 2), (0, 1, 2))[(slice(1 - m % 2, None),) * 3][:m, :m, :m], atol=0.02
    ) if m % 2 else None


def test_a_background_diameter_without_background_is_refused():
    out = np.empty((1, 8, 8, 8), np.float32)
    with pytest.raises(EmtomoError, match="leaves no background"):
        extract(np.zeros((9, 9, 9)), np.zeros((1, 3)), ExtractOptions(box_size=8, background_diameter=30), out)


@pytest.mark.parametrize("box", [12, 13])
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_turning_equals_scipy_and_the_devices_agree(box, cubic, device, rng):
    if device == "cuda":
        box -= 7
    boxes = rng.normal(size=(2, box, box, box)).astype(np.float32)
    rotations, shifts = random_rotations(2, 3), rng.uniform(-1, 1, (2, 3))
    ours = rotate_boxes(boxes, rotations, shifts, cubic=cubic, device=device)
    index = np.indices((box,) * 3).reshape(3, -1) - box // 2
    for k in range(2):
        at = zyx(rotations[k]) @ index + box // 2 + shifts[k][::-1, None]
        inside = ((at >= 0) & (at <= box - 1)).all(axis=0)
        if not cubic:
            expected = map_coordinates(boxes[k].astype(float), at, order=1)
            assert_allclose(ours[k].ravel()[inside], expected[inside], atol=1e-4)
        else:  # a polynomial of second degree is reproduced exactly away from the edge
            a, b, c = np.indices((box,) * 3)
            quadratic = (0.3 * a * a - b * c + 2 * c + 1).astype(np.float32)
            turned = rotate_boxes(quadratic[None], rotations[k : k + 1], shifts[k : k + 1], device=device)[0].ravel()
            deep = ((at >= 1) & (at <= box - 2)).all(axis=0)
            exact = 0.3 * at[0] ** 2 - at[1] * at[2] + 2 * at[2] + 1
            assert_allclose(turned[deep], exact[deep], rtol=1e-3, atol=1e-2)


def test_a_quarter_turn_about_z_takes_x_to_y():
    """out(r) = box(R r): with R = Rz(90°), what stands at y in the box stands at x in the result."""
    box = np.zeros((1, 9, 9, 9), np.float32)
    box[0, 4, 4 + 3, 4] = 1.0
    turned = rotate_boxes(
        box, Rotation.from_euler("z", [90], degrees=True).as_matrix().reshape(1, 3, 3), np.zeros((1, 3))
    )
    assert turned[0, 4, 4, 4 + 3] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("size", [40, 41])
def test_placing_a_molecule_and_turning_it_back_returns_it(size):
    template = protein_density(MEMBRANE_PROTEIN, size, 8.0)
    for seed in range(3):
        rotation = random_rotations(1, seed)[0]
        volume = np.zeros((90, 92, 94), np.float32)
        centre = np.array([44.3, 46.8, 47.4])
        place(volume, template, centre, rotation)
        starts, rest = box_starts(centre[None], size)
        out = np.empty((1, size, size, size), np.float32)
        extract(volume, starts, ExtractOptions(box_size=size, **PLAIN), out)
        back = rotate_boxes(out, rotation[None], rest[:, ::-1])[0]
        assert np.corrcoef(back.ravel(), template.ravel())[0, 1] > 0.98
        mirrored = np.corrcoef(back[:, ::-1].ravel(), template.ravel())[0, 1]
        assert mirrored < 0.9  # the molecule tells its hand


@pytest.mark.parametrize("size", [16, 17])
def test_wedge_counts_frequencies_within_the_tilt_range(size):
    weights = wedge_weights(size, np.eye(3)[None], np.array([-60.0]), np.array([60.0]))
    assert weights.shape == (size, size, size // 2 + 1)
    assert weights[0, 0, 3] == 1 and weights[0, 3, 0] == 1  # along x and y: measured
    assert weights[3, 0, 0] == 0  # along z, the beam: not measured
    assert weights.mean() == pytest.approx(2 / 3, abs=0.08)
    turned = wedge_weights(
        size, Rotation.from_euler("x", [90], degrees=True).as_matrix().reshape(1, 3, 3), [-60.0], [60.0]
    )
    assert turned[0, 3, 0] == 0 and turned[3, 0, 0] == 1  # y of the reference lies along the beam


def test_wedge_knows_the_sign_of_the_tilt():
    weights = wedge_weights(16, np.eye(3)[None], np.array([10.0]), np.array([80.0]))
    assert weights[4, 0, 4] == 1 and weights[-4, 0, 4] == 0  # kz = +kx is measured at +45°


def test_fourier_average_of_identical_boxes_with_full_weights_is_the_box(rng):
    box = rng.normal(size=(12, 12, 12))
    assert_allclose(fourier_average(5 * box, np.full((12, 12, 7), 5.0), 5), box, atol=1e-6)


def test_wedge_aware_average_fills_what_the_plain_one_weakens():
    """The same molecule in many orientations, each without its wedge: the aware average is nearer to it."""
    size = 24
    molecule = protein_density(MEMBRANE_PROTEIN, size, 14.0)
    rotations = random_rotations(60, 4)
    turned = rotate_boxes(np.repeat(molecule[None], 60, 0), np.swapaxes(rotations, 1, 2), np.zeros((60, 3)))
    mask = wedge_weights(size, np.eye(3)[None], np.array([-50.0]), np.array([50.0]))
    measured = np.fft.irfftn(np.fft.rfftn(turned, axes=(1, 2, 3)) * mask, (size,) * 3, axes=(1, 2, 3))
    back = rotate_boxes(measured.astype(np.float32), rotations, np.zeros((60, 3)))
    weights = wedge_weights(size, rotations, np.full(60, -50.0), np.full(60, 50.0))
    aware = fourier_average(back.sum(axis=0, dtype=float), weights, 60)
    power = np.abs(np.fft.fftn(molecule)) ** 2

    def deviation(volume):
        return (np.abs(np.fft.fftn(volume) - np.fft.fftn(molecule)) ** 2)[power > 1e-3 * power.max()].sum()

    assert deviation(aware) < 0.6 * deviation(back.mean(axis=0))


@pytest.mark.parametrize("n", [16, 17])
def test_fsc_of_a_volume_with_itself_is_one_and_of_noise_is_small(n, rng):
    a, b = rng.normal(size=(2, n, n, n))
    assert_allclose(fourier_shell_correlation(a, a), 1.0)
    assert np.abs(fourier_shell_correlation(a, b)[3:]).max() < 0.4
    assert_allclose(fourier_shell_correlation(a, -3 * a + 0), -1.0)


def test_fsc_weights_the_half_transform_like_the_full_one(rng):
    n = 12
    a, b = rng.normal(size=(2, n, n, n))
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    k = np.fft.fftfreq(n) * n
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2)).astype(int)
    full = [
        (fa * fb.conj())[shell == s].real.sum()
        / np.sqrt((np.abs(fa[shell == s]) ** 2).sum() * (np.abs(fb[shell == s]) ** 2).sum())
        for s in range(n // 2 + 1)
    ]
    assert_allclose(fourier_shell_correlation(a, b), full, atol=1e-10)


def test_resolution_is_read_between_shells():
    curve = np.array([1.0, 1.0, 0.643, -0.357, 0])
    assert resolution_at(curve, 8, 10.0) == pytest.approx(80 / 2.5)


def test_volumes_of_two_sizes_have_no_fsc():
    with pytest.raises(EmtomoError, match="one size"):
        fourier_shell_correlation(np.zeros((4, 4, 4)), np.zeros((5, 5, 5)))
