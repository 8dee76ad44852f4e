"""Projection, reconstruction, CTF and the phantom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import rotate

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.optics.ctf import Ctf, wavelength
from emtomo.compute.optics.dose import dose_weights
from emtomo.compute.positions import to_voxels
from emtomo.compute.tilt.projection import back_project, filter_ramp, project
from emtomo.synthetic.imaging import acquisition_order, reconstruct, take_tilt_series, tilt_angles
from emtomo.synthetic.phantom import PhantomOptions, make_phantom, user_points
from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, protein_density

SMALL = PhantomOptions(
    size_x=96, size_y=96, size_z=64, vesicles=1, vesicle_radius=200, membrane_proteins=10, soluble_proteins=3
)


@pytest.mark.parametrize("n", [31, 32])
def test_projection_at_zero_is_the_sum_along_z(n, rng):
    volume = rng.normal(size=(n, 5, n)).astype(np.float32)
    assert_allclose(project(volume, np.array([0.0]))[0], volume.sum(axis=0), atol=1e-3)


def test_projection_of_a_point_moves_as_x_cos_t_plus_z_sin_t():
    volume = np.zeros((41, 1, 41), np.float32)
    volume[20 + 8, 0, 20 + 3] = 1
    for angle in (-50.0, -20.0, 30.0, 60.0):
        t = np.deg2rad(angle)
        image = project(volume, np.array([angle]))[0, 0]
        place = (np.arange(41) * image).sum() / image.sum() - 20
        assert place == pytest.approx(3 * np.cos(t) + 8 * np.sin(t), abs=0.15)


def test_projection_of_a_rotated_phantom_is_the_rotated_projection():
    molecule = protein_density(SOLUBLE_PROTEIN, 40, 8.0)
    turned = rotate(molecule, 25.0, axes=(0, 2), reshape=False, order=3)
    a, b = project(molecule, np.array([25.0]))[0], project(turned, np.array([0.0]))[0]
    c = project(turned, np.array([50.0]))[0]
    best = max(np.corrcoef(a.ravel(), other.ravel())[0, 1] for other in (b, c))
    assert best > 0.99


def test_full_tilt_range_reconstructs_the_molecule():
    molecule = protein_density(SOLUBLE_PROTEIN, 48, 8.0)
    angles = np.arange(-90, 90, 2.0)
    found = back_project(filter_ramp(project(molecule, angles)), angles, 48)
    curve = fourier_shell_correlation(found, molecule)
    assert (curve[1:10] > 0.98).all()
    inside = molecule > 0.5 * molecule.max()
    assert found[inside].mean() / molecule[inside].mean() == pytest.approx(1, abs=0.15)  # the window takes some


def test_wavelength_is_the_textbook_value():
    assert wavelength(300) == pytest.approx(0.0196875, rel=1e-4)  # Reimer & Kohl, table 2.2: 1.97 pm
    assert wavelength(200) == pytest.approx(0.025079, rel=1e-4)


def test_ctf_begins_negative_and_has_its_zeros_where_the_phase_is_a_multiple_of_pi():
    ctf = Ctf.of_defocus(20000.0).image((8, 2000), 1.0, contrast="dark")[0]
    assert ctf[0] == pytest.approx(-0.1, abs=1e-6)
    k = np.fft.rfftfreq(2000, 1.0)
    first = k[np.flatnonzero(np.diff(np.sign(ctf)))[0]]
    length = wavelength(300)
    phase = np.pi * length * 20000 * first**2 - 0.5 * np.pi * 2.7e7 * length**3 * first**4 + np.arcsin(0.1)
    assert phase == pytest.approx(np.pi, rel=5e-3)


def test_dose_weakens_detail_first():
    weights = dose_weights(np.fft.rfftfreq(64, 2.0), 60.0)
    assert (np.diff(weights[1:]) < 0).all() and weights[1] > 0.9 and weights[-1] < 0.2


def test_dose_symmetric_order_starts_at_zero_and_alternates():
    order = acquisition_order(np.array([-6.0, -3, 0, 3, 6]))
    assert order.tolist() == [4, 2, 0, 1, 3]


def test_the_same_seed_gives_the_same_sample_and_image():
    a, b = make_phantom(SMALL), make_phantom(SMALL)
    assert_allclose(a.density, b.density)
    assert_allclose(take_tilt_series(a.density, SMALL), take_tilt_series(b.density, SMALL))


def test_membrane_proteins_stand_on_their_vesicle_and_point_outward():
    phantom = make_phantom(SMALL)
    some = phantom.particles["membrane"]
    away = some.positions - phantom.centres[some.vesicle - 1]
    assert_allclose(np.linalg.norm(away, axis=1), phantom.radii[some.vesicle - 1], rtol=1e-9)
    outward = away / np.linalg.norm(away, axis=1, keepdims=True)
    assert_allclose(some.rotations[:, :, 2], outward, atol=1e-9)


def test_reconstruction_is_dark_where_the_sample_is_dense():
    phantom = make_phantom(SMALL)
    tomogram = reconstruct(take_tilt_series(phantom.density, SMALL), SMALL)
    dense = phantom.density > 0.5
    assert tomogram[dense].mean() < tomogram[~dense].mean() - 0.3 * tomogram.std()
    assert len(tilt_angles(SMALL)) == 41


def test_user_points_lie_on_the_vesicle_and_in_the_tomogram():
    phantom = make_phantom(SMALL)
    picked = user_points(phantom, phantom.density.shape, 10.0, per_vesicle=25, noise=1.0, seed=1)
    points = np.array([p for _, role, p in picked if role == "point"])
    away = np.linalg.norm(points - phantom.centres[0], axis=1) - phantom.radii[0]
    assert len(points) == 25 and np.abs(away).max() < 40
    voxels = to_voxels(points, phantom.density.shape, 10.0)
    assert (voxels >= 0).all() and (voxels <= np.array(phantom.density.shape) - 1).all()
