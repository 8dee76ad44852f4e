"""The CTF of real spectra (β-galactosidase, 200 kV) against what CTFFIND4 found."""

import numpy as np
import pandas as pd
import pytest

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.power_spectra import background_projection, polar_grid
from emtomo.compute.optics.ring_fit import RingFit, RingSpectra
from tests.conftest import shared

PIXEL, BOX = 1.39955, 512


def _fit(amplitude: np.ndarray) -> tuple[float, float]:
    options = CtfEstimationOptions(high_resolution=4.5, max_defocus=60000)
    grid = polar_grid(BOX, PIXEL, options.low_resolution, options.high_resolution)
    subtract = background_projection(grid)
    half = np.fft.ifftshift(np.pad(amplitude.astype(np.float32), ((0, 0), (0, 1))), axes=0)
    power = grid.sample(half[None] ** 2)
    profile = np.log(power.mean(axis=(0, 1)))
    rings = ((power / np.exp(profile - profile @ subtract) - 1) @ subtract).astype(complex)
    optics = Ctf.of_defocus(0.0, cs=1.4, voltage=200.0)
    level = np.zeros((1, 1))
    spectra = RingSpectra(grid, optics, rings, level, np.ones((1, len(grid.rings))), subtract, np.zeros(1, int))
    fit = RingFit(spectra, 1, options).fit()
    half_difference = float(np.hypot(*fit.astigmatism[0])) / 2
    return float(fit.defocus[0]) + half_difference, float(fit.defocus[0]) - half_difference


@pytest.mark.parametrize("part", [0, 1])
def test_real_spectra_give_the_defocus_of_ctffind(part):
    table = pd.read_csv(shared("bgal", "relion_bgal_ctf.csv"), index_col="micrograph")
    known = table[["ctffind4_defocus_u_A", "ctffind4_defocus_v_A"]].dropna()
    with np.load(shared("bgal", "relion_bgal_power_spectra.npz")) as data:
        spectra, numbers = data["spectra"], data["micrograph"].astype(int)
    assert len(known) == 11
    for number in known.index[part::2]:
        found = _fit(spectra[list(numbers).index(number)])
        assert np.abs(known.loc[number].to_numpy() - found).max() <= 50
