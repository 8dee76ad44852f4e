"""Simulated lattices and tilt series in error: distances, images at the projected places, sizes of the errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.tilt.geometry import tilt_geometry
from emtomo.errors import EmtomoError
from emtomo.synthetic.errors import ErrorOptions, disturb_geometry, disturb_poses
from emtomo.synthetic.ice import image_ice
from emtomo.synthetic.imaging import tilt_angles
from emtomo.synthetic.lattice import hexagonal_lattice, ring_density
from emtomo.synthetic.particle_imaging import Kind, Shells, image_particles
from emtomo.synthetic.phantom import PhantomOptions, arrange_particles, make_phantom
from emtomo.synthetic.shapes import membrane_profile

EVERYTHING = ErrorOptions(
    stage_error=1.0, shift_error=20, image_warp=15, volume_warp=10, doming=30, defocus_error=1500, error_seed=3
)
NO_SHELLS = Shells(np.zeros((0, 3)), np.zeros(0))


def _geometry(n=21, defocus=8000.0, pixel=5.0, size=(640.0, 600.0, 400.0)):
    angles = np.linspace(-60, 60, n)
    columns = {"angle": angles, "dose": 3.0 * np.argsort(np.argsort(np.abs(angles)))}
    columns |= {"defocus_u": np.full(n, defocus)}
    return tilt_geometry(columns, pixel_size=pixel, image_size=size[:2], volume_size=size)


def test_neighbours_in_a_lattice_lie_a_spacing_apart():
    places, frames = hexagonal_lattice(500.0, 73.0, 1)
    assert_allclose(np.linalg.norm(places, axis=1), 500, rtol=1e-9)
    assert_allclose(frames[:, :, 2] * 500, places, atol=1e-6)
    assert_allclose(np.linalg.det(frames), 1)
    whole = 4 * np.pi * 500**2 / (73**2 * np.sqrt(0.75))
    assert 0.75 * whole < len(places) < whole
    distances, _ = cKDTree(places).query(places, 7)
    assert distances[:, 1].min() > 0.84 * 73
    full = distances[:, 6] < 1.1 * 73  # six neighbours: within a patch
    assert full.mean() > 0.4
    assert_allclose(distances[full, 1:], 73, rtol=0.08)


def test_x_of_a_unit_points_to_a_neighbour():
    places, frames = hexagonal_lattice(800.0, 73.0, 2)
    tree = cKDTree(places)
    beside = tree.query(places + 73 * frames[:, :, 0], 1)[0]
    assert (beside < 15).mean() > 0.75
    between = tree.query(places + 73 * (np.cos(np.pi / 6) * frames[:, :, 0] + 0.5 * frames[:, :, 1]), 1)[0]
    assert (between < 15).mean() < 0.1


def test_the_ring_has_six_fold_symmetry_and_a_hand():
    ring = ring_density(5.0, 12.0)
    n = ring.shape[0]
    turned = _turned_about_z(ring, 60)
    assert np.corrcoef(ring.ravel(), turned.ravel())[0, 1] > 0.98
    assert np.corrcoef(ring.ravel(), _turned_about_z(ring, 30).ravel())[0, 1] < 0.9
    mirrored = np.roll(ring[:, ::-1], 1 - n % 2, axis=1)
    best = max(np.corrcoef(ring.ravel(), _turned_about_z(mirrored, a).ravel())[0, 1] for a in range(0, 60, 5))
    assert best < 0.9


@pytest.mark.parametrize(("pixel", "spacing"), [(4.0, 73.0), (7.0, 90.0)])
def test_a_layer_of_rings_has_the_density_of_a_membrane(pixel, spacing):
    across = np.arange(-100, 100, 0.5)
    membrane = membrane_profile(across).sum() * 0.5
    layer = ring_density(pixel, 2 * pixel, spacing).sum() * pixel**3 / (spacing**2 * np.sqrt(0.75))
    assert layer == pytest.approx(membrane, rel=1e-3)


def _turned_about_z(volume, angle):
    from scipy.ndimage import affine_transform

    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    middle = np.array(volume.shape) // 2
    return affine_transform(volume, turn, middle - turn @ middle, order=1)


def test_a_sample_has_its_lattice_under_the_membrane():
    options = PhantomOptions(
        size_x=160, size_y=160, size_z=150, pixel_size=8, vesicles=1, vesicle_radius=450, soluble_proteins=0,
        arrangement="hexagonal", seed=4,
    )  # fmt: skip
    sample = make_phantom(options)
    some = sample.particles["membrane"]
    assert len(some.positions) > 150
    depth = sample.radii[0] - np.linalg.norm(some.positions - sample.centres[0], axis=1)
    assert_allclose(depth, 100, atol=1e-6)
    assert sample.density.max() < 4 and len(sample.particles["soluble"].positions) == 0
    again = arrange_particles(options)
    assert_allclose(again.particles["membrane"].positions, some.positions)


def test_a_lattice_without_room_is_refused():
    options = PhantomOptions(vesicles=1, vesicle_radius=200, arrangement="hexagonal", lattice_depth=150)
    with pytest.raises(EmtomoError, match="has no room at a depth of 150"):
        arrange_particles(options)


@pytest.mark.parametrize("shape", [(120, 128), (121, 129)])
def test_particles_are_imaged_where_the_geometry_says(shape, rng):
    pixel = 5.0
    given = _geometry(n=9, size=(shape[1] * pixel, shape[0] * pixel, 400.0))
    true = disturb_geometry(given, EVERYTHING)
    ball = np.zeros((12, 12, 12), np.float32)
    z, y, x = np.indices(ball.shape) - 6
    ball[:] = np.exp(-(z**2 + y**2 + x**2) / (2 * 1.5**2))
    for _ in range(3):
        point = rng.uniform(-150, 150, (1, 3)) * [1, 1, 0.6]
        images = -image_particles([Kind(ball, point, np.eye(3)[None])], NO_SHELLS, true, shape)
        seen = true.project(point)[:, 0, :2] / pixel + [shape[1] // 2, shape[0] // 2]
        assert np.abs(seen - given.project(point)[:, 0, :2] / pixel - [shape[1] // 2, shape[0] // 2]).max() > 3
        for image, where in zip(images, seen, strict=True):
            assert np.abs(_peak(image) - where).max() < 0.15


def _peak(image):
    """Return x, y of the highest point, between pixels by a parabola."""
    y, x = np.unravel_index(image.argmax(), image.shape)
    out = []
    for line, k in ((image[y], x), (image[:, x], y)):
        a, b, c = line[k - 1 : k + 2]
        out.append(k + 0.5 * (a - c) / (a - 2 * b + c))
    return np.array(out)


def test_a_turned_particle_is_imaged_as_its_turned_density(rng):
    """Sections of a molecule in its orientation are projections of the sample that holds it."""
    options = PhantomOptions(
        size_x=96, size_y=90, size_z=60, pixel_size=8, vesicles=1, vesicle_radius=150, membrane_proteins=3,
        soluble_proteins=3, dose=0, snr=1e6, tilt_step=20, defocus=20000,
    )  # fmt: skip
    from emtomo.synthetic.imaging import acquisition_order, take_tilt_series

    sample = make_phantom(options)
    angles = tilt_angles(options)
    whole = take_tilt_series(sample.density, options)
    geometry = tilt_geometry(
        {"angle": angles, "dose": 0 * angles, "acquisition_order": acquisition_order(angles) + 1,
         "scale": np.ones(len(angles)), "defocus_u": np.full(len(angles), 20000.0)}, pixel_size=8.0,
    )  # fmt: skip
    kinds = [Kind(sample.templates[k], p.positions, p.rotations) for k, p in sample.particles.items()]
    ours = image_particles(kinds, Shells(sample.centres, sample.radii), geometry, (90, 96))
    for a, b in zip(ours, whole, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97
        assert a.std() / b.std() == pytest.approx(1, abs=0.1)


def test_errors_have_the_size_that_was_asked_for():
    given = _geometry(n=400)
    true = disturb_geometry(given, EVERYTHING)
    turns = np.einsum("nij,nkj->nik", true.rotations, given.rotations)
    vectors = np.rad2deg(np.stack([turns[:, 2, 1], turns[:, 0, 2], turns[:, 1, 0]], axis=1))
    assert_allclose(vectors.std(axis=0), 1.0, rtol=0.12)
    assert_allclose((true.shifts - given.shifts).std(axis=0), 20, rtol=0.12)
    assert (true.ctf.defocus - given.ctf.defocus).std() == pytest.approx(1500, rel=0.12)
    for grid in (true.image_warp.x, true.image_warp.y):
        assert grid.shape == (400, 3, 3) and grid.std() == pytest.approx(15, rel=0.05)
        assert_allclose(grid.mean(axis=(1, 2)), 0, atol=1e-9)
    domed = disturb_geometry(given, ErrorOptions(doming=30))
    middle, side = np.zeros((1, 3)), np.array([[320.0, 0, 0]])
    lifted = [domed.volume_warp.node_weights(p)[0] @ domed.volume_warp.planes(given.dose)[:, :, 2].T
              for p in (middle, side)]  # fmt: skip
    rise = (lifted[0] - lifted[1]).ravel()
    assert rise[given.dose.argmax()] == pytest.approx(30) and rise[given.dose.argmin()] == pytest.approx(0, abs=1e-9)
    walked = [disturb_geometry(given, ErrorOptions(volume_warp=10, error_seed=s)).volume_warp.nodes for s in range(20)]
    assert np.std([w[-1] for w in walked]) == pytest.approx(10, rel=0.1) and not np.any([w[0] for w in walked])


def test_nothing_wrong_changes_nothing():
    given = _geometry()
    true = disturb_geometry(given, ErrorOptions())
    assert_allclose(true.rotations, given.rotations)
    assert_allclose(true.shifts, given.shifts)
    assert true.image_warp is None and true.volume_warp is None
    assert not ErrorOptions().of_series and not ErrorOptions().of_poses


def test_errors_follow_their_seed_and_series():
    given = _geometry()
    a, b, c = (disturb_geometry(given, EVERYTHING, k).shifts for k in (0, 0, 1))
    assert_allclose(a, b)
    assert np.abs(a - c).max() > 1


def test_poses_are_off_by_what_was_asked_for(rng):
    from scipy.spatial.transform import Rotation

    places, turns = rng.normal(0, 100, (2000, 3)), Rotation.random(2000, random_state=1).as_matrix()
    moved, turned = disturb_poses(places, turns, ErrorOptions(rotation_error=4, position_error=5))
    assert_allclose((moved - places).std(axis=0), 5, rtol=0.06)
    about = Rotation.from_matrix(turns.transpose(0, 2, 1) @ turned).as_rotvec(degrees=True)
    assert_allclose(about.std(axis=0), 4, rtol=0.06)
    none = disturb_poses(np.zeros((0, 3)), np.zeros((0, 3, 3)), ErrorOptions(rotation_error=4))
    assert none[0].shape == (0, 3) and none[1].shape == (0, 3, 3)


def test_noise_has_the_size_that_was_asked_for():
    sample = PhantomOptions(arrangement="hexagonal", vesicles=1, vesicle_radius=250, size_x=80, size_y=80, size_z=70)
    some = arrange_particles(sample)
    ring = some.particles["membrane"]
    kinds, shells = [Kind(some.templates["membrane"], ring.positions, ring.rotations)], Shells(some.centres, some.radii)
    geometry = _geometry(n=5, pixel=10.0)
    clean, noisy = (image_particles(kinds, shells, geometry, (80, 80), snr=s, seed=2) for s in (None, 0.25))
    assert clean.var() / (noisy - clean).var() == pytest.approx(0.25, rel=0.05)
    half = image_particles(kinds, shells, geometry, (80, 80), snr=0.25, structural_noise=0.5, thickness=700, seed=2)
    for white, mixed, scale in zip(noisy - clean, half - clean, geometry.scale, strict=True):
        assert mixed.std() == pytest.approx(white.std(), rel=0.05)
        assert np.corrcoef(white.ravel(), mixed.ravel())[0, 1] == pytest.approx(np.sqrt(1 - 0.5 * scale), abs=0.05)


@pytest.mark.parametrize("hand", [1, -1])
def test_ice_has_the_defocus_of_its_height(hand):
    columns = {"angle": [50.0], "tilt_axis_angle": [30.0], "shift_x": [60.0], "defocus_u": [15000.0]}
    geometry = tilt_geometry(columns, pixel_size=4.0, hand=hand)
    image = image_ice(geometry, 0, (500, 511), 200.0, np.random.default_rng(0))
    kx, ky = np.fft.rfftfreq(100, 4.0)[None], np.fft.fftfreq(100, 4.0)[:, None]
    rings = (np.hypot(kx, ky) > 0.03) & (np.hypot(kx, ky) < 0.1)
    for far in (-900, 900):
        power, heights = np.zeros((100, 51)), []
        for along in range(-450, 451, 50):
            x, y, height = geometry.project(np.array([[far, along, 0.0]]))[0, 0]
            column, row = np.rint(np.array([x, y]) / 4).astype(int) + [511 // 2 - 50, 500 // 2 - 50]
            window = image[row : row + 100, column : column + 100] * np.hanning(100)[:, None] * np.hanning(100)
            power += np.abs(np.fft.rfft2(window)) ** 2
            heights.append(height)
        assert np.ptp(heights) < 1e-6 and abs(heights[0]) > 500
        fits = [
            np.corrcoef(power[rings], Ctf.of_defocus(15000 + d).values(kx, ky)[rings] ** 2)[0, 1]
            for d in hand * heights[0] * np.array([1, 0, -1])
        ]
        assert fits[0] > 0.7 and fits[0] > max(fits[1:]) + 0.05, fits
