"""CTF and dose: other formulas for the same, derivatives against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.compute.optics.ctf import Ctf, image_frequencies, wavelength
from emtomo.compute.optics.dose import b_factor_weights, critical_dose, dose_weights

ONE = Ctf(
    31000.0, 28000.0, 35.0, phase_shift=20.0, cs=2.2, amplitude_contrast=0.07, voltage=200.0, scale=0.8, b_factor=30.0
)
KX, KY = image_frequencies((7, 12), 2.3)


def test_relions_tensor_of_the_defocus_gives_the_same():
    """RELION's ctf.cpp: -sin(K1 kAk + K2 k⁴ - K5 - K3), A minus the defocus tensor."""
    turn = np.deg2rad(ONE.angle)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tensor = -axes.T @ np.diag([ONE.defocus_u, ONE.defocus_v]) @ axes
    k = np.stack(np.broadcast_arrays(KX, KY), axis=-1)
    k2 = (k**2).sum(-1)
    length = 12.2643247 / np.sqrt(200e3 * (1 + 200e3 * 0.978466e-6))
    gamma = np.pi * length * np.einsum("...i,ij,...j->...", k, tensor, k) + np.pi / 2 * 2.2e7 * length**3 * k2**2
    gamma -= np.deg2rad(20) + np.arctan(0.07 / np.sqrt(1 - 0.07**2))
    expected = -np.sin(gamma) * np.exp(-30 * k2 / 4) * 0.8
    assert_allclose(ONE.values(KX, KY, dtype=float), expected, atol=1e-9)
    assert_allclose(ONE.values(KX, KY, contrast="dark"), -expected, atol=1e-6)
    assert_allclose(ONE.image((7, 12), 2.3, contrast="flipped"), np.abs(expected), atol=1e-6)
    with pytest.raises(ValueError, match="contrast"):
        ONE.values(KX, KY, contrast="black")


def test_white_protein_is_positive_at_low_frequency_and_underfocus():
    assert Ctf.of_defocus(20000.0).values(0.0, 0.0) == pytest.approx(0.1)
    assert Ctf.of_defocus(20000.0).values(0.01, 0.0) > 0.1
    assert Ctf.of_defocus(20000.0, phase_shift=90.0).values(0.0, 0.0) == pytest.approx(np.sqrt(1 - 0.01), abs=1e-6)


@pytest.mark.parametrize("contrast", ["white", "dark", "flipped"])
def test_derivatives_are_those_of_finite_differences(contrast):
    found = ONE.derivatives(KX, KY, contrast=contrast, dtype=float)

    def slope(step, **changes):
        ends = [replace(ONE, **{k: getattr(ONE, k) + s * step * v for k, v in changes.items()}) for s in (1, -1)]
        high, low = (e.values(KX, KY, contrast=contrast, dtype=float) for e in ends)
        return (high - low) / (2 * step)

    assert_allclose(found.defocus, slope(0.1, defocus_u=1, defocus_v=1), atol=1e-8)
    assert_allclose(found.astigmatism, slope(0.1, defocus_u=0.5, defocus_v=-0.5), atol=1e-8)
    assert_allclose(found.angle, slope(1e-3, angle=1), atol=1e-6)
    assert_allclose(found.phase_shift, slope(1e-3, phase_shift=1), atol=1e-7)
    assert_allclose(found.cs, slope(1e-4, cs=1), atol=1e-5)


def test_an_array_of_images_is_its_images_one_by_one():
    many = Ctf(
        np.array([[20000.0, 25000], [30000, 1000]]), np.array([21000.0, 26000]), angle=np.array([[10.0], [70.0]])
    )
    assert many.shape == (2, 2)
    together = many.values(KX, KY)
    assert together.shape == (2, 2, 7, 7) and together.dtype == np.float32
    slopes = many.derivatives(KX, KY)
    for place in np.ndindex(2, 2):
        assert_allclose(together[place], many[place].values(KX, KY), atol=1e-6)
        assert_allclose(slopes.angle[place], many[place].derivatives(KX, KY).angle, atol=1e-6)
    assert many.with_defocus_added(np.zeros((3, 2, 2))).shape == (3, 2, 2)
    assert many[:, :1].values(0.1, 0.0).shape == (2, 1)


def test_wavelength_takes_arrays():
    assert_allclose(wavelength(np.array([200.0, 300.0])), [wavelength(200), wavelength(300)])


def test_dose_weights_are_grant_and_grigorieffs():
    assert critical_dose(0.1) == pytest.approx(0.245 * 0.1**-1.665 + 2.81)
    assert critical_dose(0.1, 200.0) == pytest.approx(0.8 * critical_dose(0.1))
    weights = dose_weights(np.array([0.0, 0.1]), np.array([0.0, 30.0, 60.0]))
    assert weights.shape == (3, 2) and (weights[0] == 1).all()
    assert weights[1, 1] == pytest.approx(np.exp(-30 / (2 * critical_dose(0.1))), rel=1e-6)
    assert weights[2, 0] == pytest.approx(1, abs=1e-6)
    assert b_factor_weights(0.1, 4.0 * 30) == pytest.approx(np.exp(-30 * 0.01))


def test_the_first_peak_can_be_ignored():
    k = np.linspace(0, 1 / 8, 200)
    ctf = Ctf.of_defocus(15000.0)
    plain, flat = ctf.values(k, 0 * k), ctf.values(k, 0 * k, ignore_first_peak=True)
    peak = int(np.argmax(np.diff(plain) < 0)) - 1
    assert np.all(flat[:peak] == 1) and plain[0] < 0.2
    assert np.array_equal(flat[peak + 5 :], plain[peak + 5 :])
    assert np.all(ctf.values(k[:peak], 0 * k[:peak], contrast="dark", ignore_first_peak=True) == -1)
